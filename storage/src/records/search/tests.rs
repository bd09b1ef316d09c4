use chrono::TimeDelta;
use clinical::id::ClinicId;

use super::{Condition, FoundInstance, FoundSeries, FoundStudy, Key, Search};
use crate::db::Db;
use crate::records::instance::Instance;
use crate::records::patient::{Patient, PatientFacts};
use crate::records::series::{Series, SeriesFacts};
use crate::records::study::{Study, StudyFacts};
use crate::testing::{instance_facts, now, on_both};

const CLINIC: ClinicId = ClinicId::DEFAULT;

/// Three studies: Ada's CT and SR of two days, a chest radiograph of `100%_B`, and one without any facts.
async fn three_studies(db: &Db) {
    let rows = [
        ("1.2.1", "Muster^Ada", "A1", Some("20260102"), Some("101500"), "CT Head", &["CT", "SR"][..]),
        ("1.2.2", "100%_B", "B2", Some("20260103"), Some("0930"), "Thorax", &["DX"][..]),
        ("1.2.3", "", "", None, None, "", &[][..]),
    ];
    let mut tx = db.begin().await.unwrap();
    for (uid, name, mrn, date, time, description, modalities) in rows {
        let study_uid = uid.parse().unwrap();
        let patient = PatientFacts { mrn: mrn.into(), name: name.into(), ..PatientFacts::default() };
        let patient = Patient::ensure(&mut tx, CLINIC, &patient, &study_uid, now()).await.unwrap();
        let facts = StudyFacts {
            study_date: date.map(str::to_owned),
            study_time: time.map(str::to_owned),
            description: Some(description.to_owned()),
            referring_physician: Some("Heile^Erna".to_owned()),
            ..StudyFacts::default()
        };
        let study = Study::ensure(&mut tx, CLINIC, patient, &study_uid, &facts, now()).await.unwrap();
        for (number, modality) in modalities.iter().enumerate() {
            let facts = SeriesFacts {
                modality: Some((*modality).to_owned()),
                series_number: Some(9 - number as i64),
                ..SeriesFacts::default()
            };
            let series = format!("{uid}.{number}").parse().unwrap();
            Series::ensure(&mut tx, CLINIC, study, &series, &facts, now()).await.unwrap();
            for instance in 0..2 {
                let mut facts = instance_facts(&format!("{uid}.{number}.{instance}"), "aa");
                facts.instance_number = Some(2 - instance);
                let later = now() + TimeDelta::seconds(instance);
                Instance::insert(&mut tx, CLINIC, &study_uid, &series, &facts, later).await.unwrap().unwrap();
            }
        }
    }
    tx.commit().await.unwrap();
}

async fn found(db: &Db, key: Key, condition: Condition) -> Vec<String> {
    let search = Search { conditions: vec![(key, condition)], limit: 10, ..Search::default() };
    let mut read = db.read().await.unwrap();
    let studies = FoundStudy::search(&mut read, CLINIC, &search).await.unwrap();
    studies.iter().map(|study| study.study_uid.to_string()).collect()
}

fn pattern(text: &str) -> Condition {
    Condition::Pattern(vec![text.to_owned()])
}

#[tokio::test]
async fn studies_come_newest_first_with_their_counts_and_those_without_a_date_last() {
    on_both(async |db| {
        three_studies(&db).await;
        let mut read = db.read().await.unwrap();
        let all = Search { limit: 10, ..Search::default() };
        let studies = FoundStudy::search(&mut read, CLINIC, &all).await.unwrap();
        let uids: Vec<&str> = studies.iter().map(|study| study.study_uid.as_str()).collect();
        assert_eq!(uids, ["1.2.2", "1.2.1", "1.2.3"]);
        assert_eq!((studies[1].series_count, studies[1].instance_count), (2, 4));
        assert_eq!(studies[1].modalities, ["CT", "SR"]);
        assert!(studies[2].modalities.is_empty());
        let second = Search { limit: 1, offset: 1, ..Search::default() };
        assert_eq!(FoundStudy::search(&mut read, CLINIC, &second).await.unwrap(), studies[1..2]);
        assert!(FoundStudy::search(&mut read, ClinicId::new(), &all).await.unwrap().is_empty());
        let ids = [studies[2].study_id, studies[0].study_id];
        assert_eq!(FoundStudy::of(&mut read, CLINIC, &ids).await.unwrap().len(), 2);
        assert!(FoundStudy::of(&mut read, CLINIC, &[]).await.unwrap().is_empty());
        assert!(FoundStudy::of(&mut read, ClinicId::new(), &ids).await.unwrap().is_empty());
    })
    .await;
}

/// PS3.4, C.2.2.2.4, and C.2.2.2.1 for person names.
#[tokio::test]
async fn wildcards_match_and_names_match_whatever_their_case() {
    on_both(async |db| {
        three_studies(&db).await;
        assert_eq!(found(&db, Key::PatientName, pattern("MUSTER*")).await, ["1.2.1"]);
        assert_eq!(found(&db, Key::PatientName, pattern("muster^ad?")).await, ["1.2.1"]);
        assert_eq!(found(&db, Key::PatientName, pattern("100%_B")).await, ["1.2.2"]);
        assert!(found(&db, Key::PatientName, pattern("%")).await.is_empty(), "no wildcard of DICOM");
        assert!(found(&db, Key::PatientName, pattern("*_d?")).await.is_empty(), "escaped");
        assert_eq!(found(&db, Key::ReferringPhysicianName, pattern("heile*")).await.len(), 3);
        assert_eq!(found(&db, Key::StudyDescription, pattern("CT*")).await, ["1.2.1"]);
        assert!(
            found(&db, Key::StudyDescription, pattern("ct*")).await.is_empty(),
            "case counts but in names"
        );
        assert_eq!(found(&db, Key::PatientId, pattern("?2")).await, ["1.2.2"]);
    })
    .await;
}

/// PS3.4, C.2.2.2.5: both bounds are included.
#[tokio::test]
async fn ranges_include_their_bounds() {
    on_both(async |db| {
        three_studies(&db).await;
        let days = |from: Option<&str>, to: Option<&str>| Condition::Days {
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        let times = |from: &str, to: &str| Condition::Times { from: Some(from.into()), to: Some(to.into()) };
        assert_eq!(found(&db, Key::StudyDate, days(Some("20260103"), None)).await, ["1.2.2"]);
        assert_eq!(found(&db, Key::StudyDate, days(None, Some("20260102"))).await, ["1.2.1"]);
        assert_eq!(found(&db, Key::StudyDate, days(Some("20260102"), Some("20260103"))).await.len(), 2);
        assert_eq!(found(&db, Key::StudyTime, times("093000", "093059")).await, ["1.2.2"]);
        assert_eq!(found(&db, Key::StudyTime, times("093001", "101500")).await, ["1.2.1"]);
    })
    .await;
}

#[tokio::test]
async fn lists_and_modalities_match_any_of_their_values() {
    on_both(async |db| {
        three_studies(&db).await;
        let list = |all: &[&str]| Condition::OneOf(all.iter().map(|one| (*one).to_owned()).collect());
        assert_eq!(
            found(&db, Key::StudyInstanceUid, list(&["1.2.3", "1.2.1", "9"])).await,
            ["1.2.1", "1.2.3"]
        );
        assert_eq!(found(&db, Key::ModalitiesInStudy, list(&["SR"])).await, ["1.2.1"]);
        assert_eq!(found(&db, Key::ModalitiesInStudy, list(&["DX", "SR"])).await, ["1.2.2", "1.2.1"]);
        assert!(found(&db, Key::ModalitiesInStudy, list(&["MR"])).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn series_and_instances_come_in_the_order_of_their_numbers() {
    on_both(async |db| {
        three_studies(&db).await;
        let mut read = db.read().await.unwrap();
        let study = Search { study: Some("1.2.1".parse().unwrap()), limit: 10, ..Search::default() };
        let series = FoundSeries::search(&mut read, CLINIC, &study).await.unwrap();
        let numbers: Vec<Option<i64>> = series.iter().map(|series| series.series_number).collect();
        assert_eq!(numbers, [Some(8), Some(9)]);
        assert_eq!(series[0].instance_count, 2);
        assert_eq!(FoundSeries::of(&mut read, CLINIC, &[series[1].series_id]).await.unwrap(), series[1..]);

        let within = Search { series: Some("1.2.1.1".parse().unwrap()), ..study.clone() };
        let instances = FoundInstance::search(&mut read, CLINIC, &within).await.unwrap();
        let numbers: Vec<Option<i64>> = instances.iter().map(|instance| instance.instance_number).collect();
        assert_eq!(numbers, [Some(1), Some(2)]);
        assert_eq!((instances[0].rows, instances[0].frame_count), (Some(64), Some(1)));

        let conditions = vec![
            (Key::Modality, Condition::OneOf(vec!["CT".into(), "DX".into()])),
            (Key::InstanceNumber, Condition::Number(2)),
            (Key::PatientName, pattern("muster*")),
        ];
        let search = Search { conditions, limit: 10, ..Search::default() };
        let instances = FoundInstance::search(&mut read, CLINIC, &search).await.unwrap();
        assert_eq!(instances.iter().map(|it| it.sop_uid.as_str()).collect::<Vec<_>>(), ["1.2.1.0.0"]);
        assert!(FoundInstance::search(&mut read, ClinicId::new(), &search).await.unwrap().is_empty());
        assert!(FoundSeries::search(&mut read, ClinicId::new(), &study).await.unwrap().is_empty());
    })
    .await;
}
