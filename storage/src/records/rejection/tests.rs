use chrono::{DateTime, Days, Utc};
use clinical::id::ClinicId;
use clinical::uid::{SopInstanceUid, StudyInstanceUid};

use super::{
    Again, Applied, Code, Ground, Note, Purged, Standing, Target, apply, hidden, hide_again, purge_due,
    remove, restore, standing, wait_to_remove, wait_to_store,
};
use crate::archive::Archive;
use crate::db::{Db, sql};
use crate::records::instance::{Instance, named_among};
use crate::records::search::{FoundSeries, FoundStudy, Search};
use crate::records::study::Study;
use crate::testing::{Place, count, instance_facts, now, on_both, place_of};

const CLINIC: ClinicId = ClinicId::DEFAULT;

fn study() -> StudyInstanceUid {
    "1.2.3".parse().unwrap()
}

fn sop(text: &str) -> SopInstanceUid {
    text.parse().unwrap()
}

/// Two series, of two instances and of one.
async fn three_instances(db: &Db) -> [Place; 2] {
    let mut tx = db.begin().await.unwrap();
    let places = [place_of(&mut tx, "1.2.3", "1.2.3.1").await, place_of(&mut tx, "1.2.3", "1.2.3.2").await];
    for (place, uid) in [(0, "1.2.3.1.1"), (0, "1.2.3.1.2"), (1, "1.2.3.2.1")] {
        places[place].insert(&mut tx, &instance_facts(uid, "aa"), now()).await.unwrap();
    }
    tx.commit().await.unwrap();
    places
}

async fn remove_at(
    db: &Db,
    series: Option<&str>,
    instance: Option<&str>,
    at: DateTime<Utc>,
) -> super::Removed {
    let (study, series) = (study(), series.map(|uid| uid.parse().unwrap()));
    let instance = instance.map(sop);
    let target = Target { study: &study, series: series.as_ref(), instance: instance.as_ref() };
    let ground = Ground { code: Code::Deleted, reason: "sent twice", by: "administrator" };
    let mut tx = db.begin().await.unwrap();
    let standed = target.look(&mut tx, CLINIC).await.unwrap().unwrap();
    let removed = remove(&mut tx, CLINIC, &target, &standed, &ground, at).await.unwrap();
    tx.commit().await.unwrap();
    removed
}

async fn visible(db: &Db) -> (usize, usize, usize) {
    let mut read = db.read().await.unwrap();
    let all = Search { limit: 9, ..Search::default() };
    (
        FoundStudy::search(&mut read, CLINIC, &all).await.unwrap().len(),
        FoundSeries::search(&mut read, CLINIC, &all).await.unwrap().len(),
        Instance::of(&mut read, CLINIC, &study(), None, None).await.unwrap().len(),
    )
}

#[tokio::test]
async fn what_the_law_still_keeps_is_hidden_until_it_may_go() {
    on_both(async |db| {
        three_instances(&db).await;
        let removed = remove_at(&db, Some("1.2.3.1"), None, now()).await;
        // ten years after it was stored, for the study has no date
        let day = now().date_naive().checked_add_months(chrono::Months::new(120)).unwrap();
        assert_eq!((removed.instance_count, removed.kept_until), (2, Some(day)));
        assert!(removed.blob_keys.is_empty());
        assert_eq!(visible(&db).await, (1, 1, 1));
        remove_at(&db, None, None, now()).await;
        assert_eq!(visible(&db).await, (0, 0, 0));
        let target = Target { study: &study(), series: None, instance: None };
        assert_eq!(
            target.look(&mut db.read().await.unwrap(), CLINIC).await.unwrap(),
            None,
            "it is not there"
        );

        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::folder(folder.path()).unwrap();
        let keys: Vec<String> = ["1.1", "1.2", "2.1"].map(|end| format!("1.2.3.{end}/aa.dcm")).into();
        assert_eq!(purge_due(&db, &archive, now()).await.unwrap(), Purged::default(), "nothing is due");
        let due = now() + chrono::TimeDelta::days(3_700);
        archive.put(&keys[0], [vec![1_u8].into()]).await.unwrap();
        let purged = purge_due(&db, &archive, due).await.unwrap();
        assert_eq!(purged, Purged { removals: 2, blobs: 3, left: 0 });
        assert!(archive.get(&keys[0]).await.is_err());
        for table in ["instances", "series", "studies", "rejections"] {
            assert_eq!(count(&db, table).await, 0, "{table}");
        }
        assert_eq!(count(&db, "tombstones").await, 2, "who removed what stays known");
        assert!(named_among(&mut db.read().await.unwrap(), &keys).await.unwrap().is_empty());
        assert_eq!(purge_due(&db, &archive, due).await.unwrap(), Purged::default(), "it is done");
    })
    .await;
}

#[tokio::test]
async fn what_the_law_keeps_no_longer_goes_at_once() {
    on_both(async |db| {
        three_instances(&db).await;
        let later = now().checked_add_days(Days::new(3_700)).unwrap();
        let removed = remove_at(&db, None, Some("1.2.3.1.2"), later).await;
        assert_eq!((removed.instance_count, removed.kept_until), (1, None));
        assert_eq!(removed.blob_keys, ["1.2.3.1.2/aa.dcm"]);
        assert_eq!(visible(&db).await, (1, 2, 2));
        assert_eq!(count(&db, "instances").await, 2);
    })
    .await;
}

/// RAD TF-2, section 4.66.4.1.3, and the codes of PS3.16, CID 7011.
#[tokio::test]
async fn a_note_hides_what_it_names_and_says_what_becomes_of_it_later() {
    on_both(async |db| {
        let [place, _] = three_instances(&db).await;
        let note = |code: &str, uids: &[&str]| Note {
            code: Code::of_note(code).unwrap(),
            instances: uids.iter().map(|uid| (study(), sop(uid))).collect(),
        };
        let elsewhere =
            Note { instances: vec![("1.2.9".parse().unwrap(), sop("1.2.3.2.1"))], ..note("113001", &[]) };
        let mut tx = db.begin().await.unwrap();
        for (note, by, raised) in [
            (note("113037", &["1.2.3.1.1", "1.2.3.1.9"]), "2.25.1", 1),
            (note("113001", &["1.2.3.1.2"]), "2.25.2", 1),
            (elsewhere, "2.25.3", 0),
        ] {
            assert_eq!(apply(&mut tx, CLINIC, &note, &sop(by), now()).await.unwrap().raised.len(), raised);
        }
        tx.commit().await.unwrap();
        assert_eq!(visible(&db).await, (1, 1, 1), "of another study it names nothing");
        assert_eq!(Code::of_note("113000"), None, "«Of Interest» rejects nothing");

        let mut tx = db.begin().await.unwrap();
        let series = "1.2.3.1".parse().unwrap();
        for (uid, again) in [
            ("1.2.3.1.1", Some(Again::Refused)),
            ("1.2.3.1.9", Some(Again::Refused)),
            ("1.2.3.1.2", Some(Again::Hidden)),
            ("1.2.3.1.3", None),
        ] {
            let standing = standing(&mut tx, CLINIC, &study(), &series, &sop(uid)).await.unwrap();
            assert_eq!(standing.rejected.map(|(code, _)| code.again()), again, "{uid}");
            assert!(standing.is_place_hidden && !standing.is_locked);
            assert!(place.insert(&mut tx, &instance_facts(uid, "bb"), now()).await.is_none(), "{uid}");
        }
        assert!(hidden(&mut tx, CLINIC, &sop("1.2.3.1.2")).await.unwrap().is_some());
        restore(&mut tx, CLINIC, &study(), &series, &sop("1.2.3.1.3")).await.unwrap();
        assert!(place.insert(&mut tx, &instance_facts("1.2.3.1.3", "bb"), now()).await.is_some());
        tx.commit().await.unwrap();
        assert_eq!(visible(&db).await, (1, 2, 2));
    })
    .await;
}

#[tokio::test]
async fn into_a_locked_study_nothing_is_written() {
    on_both(async |db| {
        let [place, _] = three_instances(&db).await;
        let mut tx = db.begin().await.unwrap();
        for (since, changed) in [(None, false), (Some(now()), true), (Some(now()), false)] {
            assert_eq!(Study::lock(&mut tx, CLINIC, &study(), since).await.unwrap(), changed);
        }
        assert!(place.insert(&mut tx, &instance_facts("1.2.3.1.3", "bb"), now()).await.is_none());
        let (series, new) = ("1.2.3.1".parse().unwrap(), sop("1.2.3.1.3"));
        assert!(standing(&mut tx, CLINIC, &study(), &series, &new).await.unwrap().is_locked);
        assert!(Study::lock(&mut tx, CLINIC, &study(), None).await.unwrap());
        assert!(place.insert(&mut tx, &instance_facts("1.2.3.1.3", "bb"), now()).await.is_some());
        assert!(Study::lock(&mut tx, ClinicId::new(), &study(), None).await.is_err());
        let locked = "SELECT count(*) FROM studies WHERE locked_at IS NOT NULL";
        assert_eq!(sql(locked).fetch_one::<i64>(&mut tx).await.unwrap(), 0);
    })
    .await;
}

fn note_of(code: &str, named: &[(&str, &str)]) -> Note {
    let instances = named.iter().map(|(study, uid)| (study.parse().unwrap(), sop(uid))).collect();
    Note { code: Code::of_note(code).unwrap(), instances }
}

#[tokio::test]
async fn what_a_note_says_of_one_study_touches_no_other() {
    on_both(async |db| {
        three_instances(&db).await;
        let mut tx = db.begin().await.unwrap();
        place_of(&mut tx, "1.2.9", "1.2.9.1").await;
        let claimed = note_of("113037", &[("1.2.9", "1.2.3.1.1")]);
        apply(&mut tx, CLINIC, &claimed, &sop("2.25.1"), now()).await.unwrap();
        let (elsewhere, series) = ("1.2.9".parse().unwrap(), "1.2.3.1".parse().unwrap());
        let uid = sop("1.2.3.1.1");
        let again = |standing: Standing| standing.rejected.map(|(code, _)| code.again());
        let here = standing(&mut tx, CLINIC, &study(), &series, &uid).await.unwrap();
        let there = standing(&mut tx, CLINIC, &elsewhere, &series, &uid).await.unwrap();
        assert_eq!((again(here), again(there)), (None, Some(Again::Refused)));
        let own = note_of("113001", &[("1.2.3", "1.2.3.1.1")]);
        apply(&mut tx, CLINIC, &own, &sop("2.25.2"), now()).await.unwrap();
        let here = standing(&mut tx, CLINIC, &study(), &series, &uid).await.unwrap();
        assert_eq!(again(here), Some(Again::Hidden), "each study has its own word");
        sql("UPDATE tombstones SET kept_until = $1 WHERE study_uid = '1.2.9'")
            .bind(now())
            .execute(&mut tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(visible(&db).await.2, 2);

        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::folder(folder.path()).unwrap();
        let purged = purge_due(&db, &archive, now()).await.unwrap();
        assert_eq!(purged, Purged { removals: 1, blobs: 0, left: 0 });
        assert_eq!(count(&db, "instances").await, 3, "they are of another study than the tombstone");
    })
    .await;
}

#[tokio::test]
async fn a_locked_study_is_touched_by_no_note_and_no_purge() {
    on_both(async |db| {
        three_instances(&db).await;
        remove_at(&db, Some("1.2.3.1"), None, now()).await;
        let mut tx = db.begin().await.unwrap();
        Study::lock(&mut tx, CLINIC, &study(), Some(now())).await.unwrap();
        let note = note_of("113001", &[("1.2.3", "1.2.3.2.1")]);
        let applied = apply(&mut tx, CLINIC, &note, &sop("2.25.1"), now()).await.unwrap();
        assert_eq!(applied, Applied { locked: 1, ..Applied::default() });
        tx.commit().await.unwrap();
        assert_eq!(visible(&db).await, (1, 1, 1));
        assert_eq!(count(&db, "rejections").await, 2, "those of the removal");

        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::folder(folder.path()).unwrap();
        let due = now() + chrono::TimeDelta::days(3_700);
        assert_eq!(purge_due(&db, &archive, due).await.unwrap(), Purged::default());
        let mut tx = db.begin().await.unwrap();
        Study::lock(&mut tx, CLINIC, &study(), None).await.unwrap();
        tx.commit().await.unwrap();
        let purged = purge_due(&db, &archive, due).await.unwrap();
        assert_eq!(purged, Purged { removals: 1, blobs: 2, left: 0 });
    })
    .await;
}

#[tokio::test]
async fn a_study_with_nothing_visible_is_not_there_to_be_locked() {
    on_both(async |db| {
        three_instances(&db).await;
        remove_at(&db, None, None, now()).await;
        let mut tx = db.begin().await.unwrap();
        assert!(Study::lock(&mut tx, CLINIC, &study(), Some(now())).await.is_err());
        assert!(Study::by_uid(&mut tx, CLINIC, &study()).await.is_err());
    })
    .await;
}

#[tokio::test]
async fn the_study_date_that_a_sender_chose_never_shortens_the_time() {
    on_both(async |db| {
        three_instances(&db).await;
        let mut tx = db.begin().await.unwrap();
        let stored_on = now().date_naive();
        let later = chrono::NaiveDate::from_ymd_opt(2099, 12, 31).unwrap();
        for (date, since) in [("19000101", stored_on), ("20991231", later)] {
            sql("UPDATE studies SET study_date = $1").bind(date.to_owned()).execute(&mut tx).await.unwrap();
            let target = Target { study: &study(), series: None, instance: None };
            let standed = target.look(&mut tx, CLINIC).await.unwrap().unwrap();
            assert_eq!(standed.kept_until, since.checked_add_months(chrono::Months::new(120)).unwrap());
        }
    })
    .await;
}

#[tokio::test]
async fn a_note_before_its_study_is_remembered_for_what_comes_and_purged_with_it() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let quality =
            note_of("113001", &[("1.2.3", "1.2.3.1.1"), ("1.2.3", "1.2.3.1.2"), ("1.2.4", "1.2.4.1")]);
        let applied = apply(&mut tx, CLINIC, &quality, &sop("2.25.1"), now()).await.unwrap();
        assert_eq!(applied, Applied { remembered: 2, ..Applied::default() });
        let expired = note_of("113039", &[("1.2.5", "1.2.5.1")]);
        let applied = apply(&mut tx, CLINIC, &expired, &sop("2.25.2"), now()).await.unwrap();
        assert_eq!(applied, Applied::default(), "what comes later is shown whatever it says");

        let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
        for uid in ["1.2.3.1.1", "1.2.3.1.2"] {
            assert!(
                place.insert(&mut tx, &instance_facts(uid, "aa"), now()).await.is_none(),
                "{uid} is rejected"
            );
            let (study, series, uid) = (study(), "1.2.3.1".parse().unwrap(), sop(uid));
            let standing = standing(&mut tx, CLINIC, &study, &series, &uid).await.unwrap();
            let rejected = standing.rejected.unwrap();
            assert_eq!(rejected.0.again(), Again::Hidden);
            restore(&mut tx, CLINIC, &study, &series, &uid).await.unwrap();
            let id = place.insert(&mut tx, &instance_facts(uid.as_str(), "aa"), now()).await.unwrap();
            hide_again(&mut tx, CLINIC, &study, (id, &uid), rejected, now()).await.unwrap();
        }
        let counted = "SELECT instance_count FROM tombstones WHERE study_uid = '1.2.3'";
        assert_eq!(sql(counted).fetch_one::<i64>(&mut tx).await.unwrap(), 2);
        tx.commit().await.unwrap();
        assert_eq!(visible(&db).await, (0, 0, 0));

        let folder = tempfile::tempdir().unwrap();
        let archive = Archive::folder(folder.path()).unwrap();
        assert_eq!(purge_due(&db, &archive, now()).await.unwrap(), Purged::default());
        purge_due(&db, &archive, now() + chrono::TimeDelta::days(3_700)).await.unwrap();
        for table in ["instances", "series", "studies", "rejections"] {
            assert_eq!(count(&db, table).await, 0, "{table}");
        }
    })
    .await;
}

/// More than one statement holds, some of them twice.
#[tokio::test]
async fn a_long_note_hides_all_that_it_names() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
        let uids: Vec<_> = (0..1_200).map(|number| format!("1.2.3.1.{number}")).collect();
        for uid in &uids {
            place.insert(&mut tx, &instance_facts(uid, "aa"), now()).await.unwrap();
        }
        let named: Vec<_> = uids.iter().chain(&uids[..700]).map(|uid| ("1.2.3", uid.as_str())).collect();
        let applied =
            apply(&mut tx, CLINIC, &note_of("113001", &named), &sop("2.25.1"), now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!((applied.raised.len(), count(&db, "rejections").await), (1, 1_200));
        assert_eq!(visible(&db).await, (0, 0, 0));
    })
    .await;
}

/// On PostgreSQL neither transaction sees what the other has not committed; on SQLite one comes after the other.
#[tokio::test]
async fn a_note_and_the_first_instance_of_its_study_wait_for_each_other() {
    on_both(async |db| {
        let note = Note { code: Code::Quality, instances: vec![(study(), sop("1.2.3.1.1"))] };
        let mut arrival = db.begin().await.unwrap();
        wait_to_store(&mut arrival, CLINIC, &study()).await.unwrap();
        let place = place_of(&mut arrival, "1.2.3", "1.2.3.1").await;
        place.insert(&mut arrival, &instance_facts("1.2.3.1.1", "aa"), now()).await.unwrap();
        let rejecting = tokio::spawn({
            let (db, note) = (db.clone(), note.clone());
            async move {
                let mut tx = db.begin().await.unwrap();
                wait_to_remove(&mut tx, CLINIC, [&study()]).await.unwrap();
                let applied = apply(&mut tx, CLINIC, &note, &sop("1.2.3.9"), now()).await.unwrap();
                tx.commit().await.unwrap();
                applied
            }
        });
        // the note is given every chance to be too early
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        arrival.commit().await.unwrap();
        assert_eq!(rejecting.await.unwrap().raised.len(), 1, "the note has seen the study");
        assert_eq!(visible(&db).await, (0, 0, 0));
    })
    .await;
}
