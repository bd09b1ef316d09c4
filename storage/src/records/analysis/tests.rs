//! Analyses on both databases.

use super::*;
use crate::records::finding::FindingFilter;
use crate::testing::{instance_facts, now, on_both, place_of, scored, stored_image};

fn key(version: &str) -> NetworkKey {
    NetworkKey { name: "example".to_owned(), version: version.to_owned(), sha256: "cc".to_owned() }
}

/// A card with another calibration has the weights of the one before.
#[tokio::test]
async fn versions_that_share_their_weights_read_an_image_each_for_itself() {
    on_both(async |db| {
        let clinic = ClinicId::DEFAULT;
        let mut tx = db.begin().await.unwrap();
        let (study, instance) = stored_image(&mut tx).await;
        let first = scored(study, instance, "aa", 0.75);
        let anew =
            NewAnalysis { network_version: "1-calibrated.1".into(), ..scored(study, instance, "aa", 0.5) };
        let shadow = NewAnalysis { is_shadow: true, ..anew.clone() };
        let first_id = Analysis::record(&mut tx, clinic, &first, now()).await.unwrap();
        let shadow_id = Analysis::record(&mut tx, clinic, &shadow, now()).await.unwrap();
        assert_ne!(first_id, shadow_id);
        let done = Analysis::done_of_study(&mut tx, clinic, study).await.unwrap();
        let expected = [((instance, key("1")), false), ((instance, key("1-calibrated.1")), true)];
        assert_eq!(done, HashMap::from(expected));
        assert_eq!(Analysis::record(&mut tx, clinic, &anew, now()).await.unwrap(), shadow_id);
        let newest = Analysis::of_study(&mut tx, clinic, study).await.unwrap();
        assert_eq!(newest.iter().map(|it| it.analysis_id).collect::<Vec<_>>(), [shadow_id]);
        assert_eq!(newest[0].findings[0].probability, 0.5);
    })
    .await;
}

#[tokio::test]
async fn a_run_written_twice_is_one_row() {
    on_both(async |db| {
        let clinic = ClinicId::DEFAULT;
        let mut tx = db.begin().await.unwrap();
        let (study, instance) = stored_image(&mut tx).await;
        let run = scored(study, instance, "aa", 0.75);
        let first = Analysis::record(&mut tx, clinic, &run, now()).await.unwrap();
        let again = Analysis::record(&mut tx, clinic, &run, now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(first, again);

        let mut read = db.read().await.unwrap();
        let listed =
            Analysis::list(&mut read, clinic, Superseded::LeftOut, Shown::Everybody, None, 10).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].findings.len(), 1);
        assert_eq!(listed[0].findings[0].probability, 0.75);
        let done = Analysis::done_of_study(&mut read, clinic, study).await.unwrap();
        assert_eq!(done, HashMap::from([((instance, key("1")), false)]));
        let of_instance = Analysis::of_instance(&mut read, clinic, instance, Superseded::LeftOut).await;
        assert_eq!(of_instance.unwrap(), listed);
        assert_eq!(Analysis::of_study(&mut read, clinic, study).await.unwrap(), listed);
        let elsewhere = Analysis::of_study(&mut read, ClinicId::new(), study).await;
        assert_eq!(elsewhere.unwrap(), []);
        assert_eq!(Analysis::find(&mut read, clinic, first).await.unwrap(), listed[0]);
    })
    .await;
}

#[tokio::test]
async fn what_ran_in_the_shadow_is_shown_to_nobody_until_its_network_is_active() {
    on_both(async |db| {
        let clinic = ClinicId::DEFAULT;
        let mut tx = db.begin().await.unwrap();
        let (study, instance) = stored_image(&mut tx).await;
        let run = scored(study, instance, "aa", 0.75);
        let shadow = NewAnalysis { is_shadow: true, ..run.clone() };
        let id = Analysis::record(&mut tx, clinic, &shadow, now()).await.unwrap();
        tx.commit().await.unwrap();

        let mut read = db.read().await.unwrap();
        assert!(Analysis::find(&mut read, clinic, id).await.is_err());
        let every = Superseded::Listed;
        assert_eq!(Analysis::of_instance(&mut read, clinic, instance, every).await.unwrap(), []);
        assert_eq!(Analysis::list(&mut read, clinic, every, Shown::Everybody, None, 9).await.unwrap(), []);
        let findings = Finding::list(&mut read, clinic, FindingFilter::default(), Shown::Everybody, None, 9)
            .await
            .unwrap();
        assert_eq!(findings, []);
        let hidden = Finding::of_analysis(&mut read, clinic, id).await.unwrap();
        assert!(Finding::find(&mut read, clinic, hidden[0].finding_id).await.is_err());
        let done = Analysis::done_of_study(&mut read, clinic, study).await.unwrap();
        assert_eq!(done, HashMap::from([((instance, key("1")), true)]));
        drop(read);

        let mut tx = db.begin().await.unwrap();
        assert_eq!(Analysis::record(&mut tx, clinic, &run, now()).await.unwrap(), id);
        Analysis::record(&mut tx, clinic, &shadow, now()).await.unwrap();
        assert_eq!(Analysis::find(&mut tx, clinic, id).await.unwrap().findings.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_abstention_keeps_its_code_and_reason() {
    on_both(async |db| {
        let clinic = ClinicId::DEFAULT;
        let mut tx = db.begin().await.unwrap();
        let (study, instance) = stored_image(&mut tx).await;
        let why = Abstention { code: AbstentionCode::NotEligible, reason: "age is 40 years".into() };
        let run = NewAnalysis {
            outcome: Outcome::Abstained(why.clone()),
            confidence_percent: None,
            ..scored(study, instance, "aa", 0.5)
        };
        let id = Analysis::record(&mut tx, clinic, &run, now()).await.unwrap();
        let found = Analysis::find(&mut tx, clinic, id).await.unwrap();
        assert_eq!(found.abstention, Some(why));
        assert_eq!((found.confidence_percent, found.findings.len()), (None, 0));
    })
    .await;
}

#[tokio::test]
async fn a_newer_version_and_other_bytes_stand_in_for_what_was_said_before() {
    on_both(async |db| {
        let clinic = ClinicId::DEFAULT;
        let mut tx = db.begin().await.unwrap();
        let (study, instance) = stored_image(&mut tx).await;
        let first = scored(study, instance, "aa", 0.75);
        let nobody =
            NewAnalysis { network_name: "none".into(), network_sha256: String::new(), ..first.clone() };
        let other =
            NewAnalysis { network_name: "other".into(), network_sha256: "ee".into(), ..first.clone() };
        let second =
            NewAnalysis { network_version: "2".into(), network_sha256: "dd".into(), ..first.clone() };
        let mut ids = Vec::new();
        for run in [&nobody, &first, &other, &second, &second, &nobody] {
            ids.push(Analysis::record(&mut tx, clinic, run, now()).await.unwrap());
        }
        let [none, first_id, other_id, second_id, again, none_again] = ids[..] else { panic!("six runs") };
        let expected = (second_id, none);
        assert_eq!((again, none_again), expected, "and a run that is repeated changes nothing");
        let newest = Analysis::of_instance(&mut tx, clinic, instance, Superseded::LeftOut).await.unwrap();
        let mut newest: Vec<_> = newest.iter().map(|it| it.analysis_id).collect();
        newest.sort();
        assert_eq!(newest, [other_id, second_id]);
        let of_study = Analysis::of_study(&mut tx, clinic, study).await.unwrap();
        assert_eq!(of_study.len(), 2);

        let every =
            Analysis::list(&mut tx, clinic, Superseded::Listed, Shown::Everybody, None, 9).await.unwrap();
        let older: Vec<_> = every.iter().filter(|it| it.superseded_at == Some(now())).collect();
        assert_eq!((every.len(), older.len()), (4, 2), "nothing is lost");
        let filter = FindingFilter { superseded: Superseded::Listed, ..FindingFilter::default() };
        let findings = Finding::list(&mut tx, clinic, filter, Shown::Everybody, None, 9).await.unwrap();
        assert_eq!(findings.iter().filter(|it| it.superseded_at.is_some()).count(), 2);
        let default = FindingFilter::default();
        assert_eq!(
            Finding::list(&mut tx, clinic, default, Shown::Everybody, None, 9).await.unwrap().len(),
            2
        );
        let kept = findings.iter().find(|it| it.analysis_id == first_id).unwrap().finding_id;
        assert!(Finding::find(&mut tx, clinic, kept).await.unwrap().superseded_at.is_some());

        let replaced = NewAnalysis { instance_sha256: "bb".into(), ..second.clone() };
        Analysis::record(&mut tx, clinic, &replaced, now()).await.unwrap();
        let newest =
            Analysis::list(&mut tx, clinic, Superseded::LeftOut, Shown::Everybody, None, 9).await.unwrap();
        assert_eq!(newest.len(), 2, "the other network's, and that of the new bytes");
    })
    .await;
}

#[tokio::test]
async fn what_was_said_of_the_first_bytes_counts_again_when_they_come_back() {
    on_both(async |db| {
        let clinic = ClinicId::DEFAULT;
        let mut tx = db.begin().await.unwrap();
        let (study, instance) = stored_image(&mut tx).await;
        let [first, other] = ["aa", "bb"].map(|sha256| scored(study, instance, sha256, 0.75));
        let mut ids = Vec::new();
        for (run, is_to_do) in [(&first, None), (&other, None), (&first, Some(true)), (&first, Some(false))] {
            let present = "UPDATE instances SET sha256 = $1";
            sql(present).bind(&run.instance_sha256).execute(&mut tx).await.unwrap();
            let done = Analysis::done_of_study(&mut tx, clinic, study).await.unwrap();
            assert_eq!(done.get(&(instance, key("1"))).copied(), is_to_do);
            ids.push(Analysis::record(&mut tx, clinic, run, now()).await.unwrap());
        }
        assert_eq!(ids[2..], [ids[0], ids[0]]);
        let newest = Analysis::of_study(&mut tx, clinic, study).await.unwrap();
        assert_eq!(newest.iter().map(|it| it.analysis_id).collect::<Vec<_>>(), [ids[0]]);
        assert_eq!(Analysis::find(&mut tx, clinic, ids[1]).await.unwrap().superseded_at, Some(now()));
    })
    .await;
}

#[tokio::test]
async fn after_a_rollback_the_good_versions_findings_are_back() {
    on_both(async |db| {
        let clinic = ClinicId::DEFAULT;
        let mut tx = db.begin().await.unwrap();
        let (study, instance) = stored_image(&mut tx).await;
        let good = scored(study, instance, "aa", 0.75);
        let bad = NewAnalysis { network_version: "2".into(), ..scored(study, instance, "aa", 0.25) };
        let mut ids = Vec::new();
        for run in [&good, &bad] {
            ids.push(Analysis::record(&mut tx, clinic, run, now()).await.unwrap());
        }
        let done = Analysis::done_of_study(&mut tx, clinic, study).await.unwrap();
        let expected = [((instance, key("1")), true), ((instance, key("2")), false)];
        assert_eq!(done, HashMap::from(expected), "the good one has to be shown again");
        let in_the_shadow = NewAnalysis { is_shadow: true, ..good.clone() };
        Analysis::record(&mut tx, clinic, &in_the_shadow, now()).await.unwrap();
        assert!(Analysis::find(&mut tx, clinic, ids[0]).await.unwrap().superseded_at.is_some());
        Analysis::record(&mut tx, clinic, &good, now()).await.unwrap();
        let newest = Analysis::of_instance(&mut tx, clinic, instance, Superseded::LeftOut).await.unwrap();
        assert_eq!(newest.iter().map(|it| it.analysis_id).collect::<Vec<_>>(), [ids[0]]);
    })
    .await;
}

#[tokio::test]
async fn of_a_series_the_newest_run_stands_in_for_those_before_a_late_slice() {
    on_both(async |db| {
        let clinic = ClinicId::DEFAULT;
        let mut tx = db.begin().await.unwrap();
        let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
        let first = place.insert(&mut tx, &instance_facts("1.2.3.1.1", "aa"), now()).await.unwrap();
        let late = place.insert(&mut tx, &instance_facts("1.2.3.1.2", "bb"), now()).await.unwrap();
        let of_image = NewAnalysis {
            network_name: "flat".into(),
            network_sha256: "ee".into(),
            ..scored(place.study_id, first, "aa", 0.5)
        };
        let before = NewAnalysis { is_of_series: true, ..scored(place.study_id, first, "aa", 0.5) };
        let after = NewAnalysis { is_of_series: true, ..scored(place.study_id, late, "bb", 0.5) };
        let mut ids = Vec::new();
        for run in [&of_image, &before, &after] {
            ids.push(Analysis::record(&mut tx, clinic, run, now()).await.unwrap());
        }
        let newest = Analysis::of_study(&mut tx, clinic, place.study_id).await.unwrap();
        assert_eq!(newest.iter().map(|it| it.analysis_id).collect::<Vec<_>>(), [ids[0], ids[2]]);
    })
    .await;
}

#[tokio::test]
async fn what_runs_in_the_shadow_stands_in_for_nothing_before_it_is_shown() {
    on_both(async |db| {
        let clinic = ClinicId::DEFAULT;
        let mut tx = db.begin().await.unwrap();
        let (study, instance) = stored_image(&mut tx).await;
        let first = scored(study, instance, "aa", 0.75);
        let second =
            NewAnalysis { network_version: "2".into(), network_sha256: "dd".into(), ..first.clone() };
        let shadow = NewAnalysis { is_shadow: true, ..second.clone() };
        let first_id = Analysis::record(&mut tx, clinic, &first, now()).await.unwrap();
        Analysis::record(&mut tx, clinic, &shadow, now()).await.unwrap();
        assert_eq!(Analysis::find(&mut tx, clinic, first_id).await.unwrap().superseded_at, None);
        Analysis::record(&mut tx, clinic, &second, now()).await.unwrap();
        assert_eq!(Analysis::find(&mut tx, clinic, first_id).await.unwrap().superseded_at, Some(now()));
    })
    .await;
}
