use chrono::TimeDelta;
use clinical::id::ClinicId;

use super::{
    Condition, FoundInstance, FoundPatient, FoundSeries, FoundStudy, HeldInstance, Key, Level, Search,
};
use crate::db::{Conn, Db, sql};
use crate::plan::{assert_looks_up, assert_pages_along};
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
            referring_physician: Some("Heile^Érna".to_owned()),
            timezone_offset: Some("+0100".to_owned()),
            ..StudyFacts::default()
        };
        let study = Study::ensure(&mut tx, CLINIC, patient, &study_uid, &facts, now()).await.unwrap();
        for (number, modality) in modalities.iter().enumerate() {
            let facts = SeriesFacts {
                modality: Some((*modality).to_owned()),
                series_number: Some(9 - number as i64),
                requests: vec![(format!("S{number}"), "P1".to_owned()), (String::new(), "P2".to_owned())],
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

/// PS3.4, C.2.2.2.5.3: of 2 January 10:15 and 3 January 09:30 the second lies between the first's 10:16 and 09:30.
#[tokio::test]
async fn days_and_times_match_as_one_stretch() {
    on_both(async |db| {
        three_studies(&db).await;
        let stretch = |from: &str, to: &str| Condition::Moments {
            from: Some(from.to_owned()),
            to: Some(to.to_owned()).filter(|to| !to.is_empty()),
        };
        for (from, to, expected) in [
            ("20260102101600", "20260103093000", vec!["1.2.2"]),
            ("20260102101500", "20260103092959", vec!["1.2.1"]),
            ("20260102101500", "", vec!["1.2.2", "1.2.1"]),
        ] {
            assert_eq!(found(&db, Key::StudyDate, stretch(from, to)).await, expected, "{from}-{to}");
        }
    })
    .await;
}

#[tokio::test]
async fn studies_are_found_by_the_classes_in_them_and_tell_them_where_asked() {
    on_both(async |db| {
        three_studies(&db).await;
        let class = instance_facts("1.2", "aa").sop_class_uid;
        let any = Condition::OneOf(vec!["1.2.3".to_owned(), class.to_string()]);
        assert_eq!(found(&db, Key::SopClassesInStudy, any).await, ["1.2.2", "1.2.1"]);
        let none = Condition::OneOf(vec!["1.2.3".to_owned()]);
        assert!(found(&db, Key::SopClassesInStudy, none).await.is_empty());
        let mut read = db.read().await.unwrap();
        let all = Search { limit: 10, ..Search::default() };
        let mut studies = FoundStudy::search(&mut read, CLINIC, &all).await.unwrap();
        FoundStudy::add_sop_classes(&mut read, CLINIC, &mut studies).await.unwrap();
        let classes: Vec<_> = studies.into_iter().map(|study| study.sop_classes).collect();
        assert_eq!(classes, [vec![class.clone()], vec![class], vec![]]);
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

/// PS3.4, C.2.2.2.1.1: how a name is matched fuzzily is the archive's choice; here by words, without accents.
#[tokio::test]
async fn words_of_names_match_without_case_accents_and_order() {
    on_both(async |db| {
        three_studies(&db).await;
        let words = |text: &str| Condition::Words(vec![text.to_owned()]);
        for text in ["ada", "ÁDA must", "Muster, A", "muster^ada"] {
            assert_eq!(found(&db, Key::PatientName, words(text)).await, ["1.2.1"], "{text}");
        }
        assert!(found(&db, Key::PatientName, words("uster")).await.is_empty(), "words begin so");
        assert!(found(&db, Key::PatientName, words("ada berta")).await.is_empty(), "every word counts");
        assert_eq!(found(&db, Key::ReferringPhysicianName, words("erna hei")).await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn names_and_numbers_that_begin_alike_come_in_their_own_order() {
    on_both(async |db| {
        three_studies(&db).await;
        assert_eq!(found(&db, Key::PatientName, pattern("*a*")).await, ["1.2.1"]);
        assert_eq!(found(&db, Key::PatientId, pattern("A*")).await, ["1.2.1"]);
        assert_eq!(found(&db, Key::PatientId, pattern("a*")).await, [""; 0]);
        let both = Condition::Pattern(vec!["A*".to_owned(), "B2".to_owned()]);
        assert_eq!(found(&db, Key::PatientId, both).await, ["1.2.2", "1.2.1"]);
        assert_eq!(found(&db, Key::AccessionNumber, pattern("A*")).await, [""; 0]);
    })
    .await;
}

#[tokio::test]
async fn series_are_found_by_the_items_of_their_requests() {
    on_both(async |db| {
        three_studies(&db).await;
        let mut read = db.read().await.unwrap();
        for (key, text, count) in [
            (Key::ScheduledProcedureStepId, "S1", 1),
            (Key::ScheduledProcedureStepId, "S", 0),
            (Key::RequestedProcedureId, "P2", 3),
            (Key::RequestedProcedureId, "P?", 3),
            (Key::RequestedProcedureId, "P3", 0),
        ] {
            let search = Search { conditions: vec![(key, pattern(text))], limit: 10, ..Search::default() };
            let series = FoundSeries::search(&mut read, CLINIC, &search).await.unwrap();
            assert_eq!(series.len(), count, "{key:?} {text}");
            for series in series {
                assert_eq!(series.requests[1], (String::new(), "P2".to_owned()));
                assert_eq!(series.timezone_offset.as_deref(), Some("+0100"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn instances_of_many_studies_come_from_the_last_stored_on_and_are_counted() {
    on_both(async |db| {
        three_studies(&db).await;
        let mut read = db.read().await.unwrap();
        let two = Search { limit: 2, offset: 1, ..Search::default() };
        let instances = FoundInstance::search(&mut read, CLINIC, &two).await.unwrap();
        assert_eq!(
            instances.iter().map(|it| it.sop_uid.as_str()).collect::<Vec<_>>(),
            ["1.2.2.0.0", "1.2.1.1.1"]
        );
        for (level, count) in [(Level::Study, 3), (Level::Series, 3), (Level::Instance, 6)] {
            assert_eq!(two.count(&mut read, CLINIC, level).await.unwrap(), Some(count));
        }
        let conditions =
            vec![(Key::Rows, Condition::Numbers(vec![1, 64])), (Key::Columns, Condition::Number(64))];
        let images = Search { conditions, limit: 9, ..Search::default() };
        assert_eq!(FoundInstance::search(&mut read, CLINIC, &images).await.unwrap().len(), 6);
        assert_eq!(images.count(&mut read, ClinicId::new(), Level::Instance).await.unwrap(), Some(0));
    })
    .await;
}

/// So many studies that PostgreSQL, which counts them, tells an index that finds one from one that finds all.
async fn fill(db: &Db) {
    let mut tx = db.begin().await.unwrap();
    for number in 0..400 {
        let uid = format!("1.3.{number}").parse().unwrap();
        let name = format!("Name{number}");
        let patient = PatientFacts { mrn: format!("M{number}"), name, ..PatientFacts::default() };
        let patient = Patient::ensure(&mut tx, CLINIC, &patient, &uid, now()).await.unwrap();
        let accession_number = Some(format!("N{number}"));
        let facts =
            StudyFacts { accession_number, study_date: Some("20260102".into()), ..StudyFacts::default() };
        let study = Study::ensure(&mut tx, CLINIC, patient, &uid, &facts, now()).await.unwrap();
        let series = format!("1.3.{number}.1").parse().unwrap();
        Series::ensure(&mut tx, CLINIC, study, &series, &SeriesFacts::default(), now()).await.unwrap();
        for instance in 0..3 {
            let facts = instance_facts(&format!("1.3.{number}.1.{instance}"), "aa");
            Instance::insert(&mut tx, CLINIC, &uid, &series, &facts, now()).await.unwrap().unwrap();
        }
    }
    if db.engine() == "PostgreSQL" {
        sql("ANALYZE patients, studies, series, instances").execute(&mut tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// What is asked most is looked up, never looked through; PostgreSQL sorts what few rows an index has given.
#[tokio::test]
async fn the_usual_searches_are_read_along_an_index() {
    on_both(async |db| {
        fill(&db).await;
        let text = |text: &str| Condition::Pattern(vec![text.to_owned()]);
        let days = Condition::Days { from: Some("20260101".into()), to: None };
        let search =
            |key, condition| Search { conditions: vec![(key, condition)], limit: 9, ..Search::default() };
        for (asked, sqlite, postgres) in [
            (
                search(Key::StudyInstanceUid, Condition::OneOf(vec!["1.2".into()])),
                "autoindex_studies_2",
                "studies_clinic_id_study_uid_key",
            ),
            (search(Key::PatientId, text("P1")), "patients_by_mrn", "patients_by_mrn"),
            (search(Key::AccessionNumber, text("A1")), "studies_by_accession", "studies_by_accession"),
        ] {
            let index = if db.engine() == "SQLite" { sqlite } else { postgres };
            assert_looks_up(&db, index, async |conn: &mut Conn| {
                FoundStudy::search(conn, CLINIC, &asked).await.unwrap();
            })
            .await;
        }
        for (asked, index) in [
            (search(Key::PatientName, text("Name*")), "patients_by_name"),
            (search(Key::PatientId, text("M*")), "patients_by_mrn"),
            (search(Key::AccessionNumber, text("N*")), "studies_by_accession"),
            (search(Key::StudyDate, days), "studies_newest"),
            (Search { limit: 9, ..Search::default() }, "studies_newest"),
        ] {
            assert_pages_along(&db, index, async |conn: &mut Conn| {
                FoundStudy::search(conn, CLINIC, &asked).await.unwrap();
            })
            .await;
        }
        let all = Search { limit: 9, ..Search::default() };
        // of one clinic alone the primary key of PostgreSQL does as well
        let newest =
            |index: &'static str| if db.engine() == "SQLite" { index } else { "Index Scan Backward" };
        assert_pages_along(&db, newest("series_newest"), async |conn: &mut Conn| {
            FoundSeries::search(conn, CLINIC, &all).await.unwrap();
        })
        .await;
        assert_pages_along(&db, newest("instances_newest"), async |conn: &mut Conn| {
            FoundInstance::search(conn, CLINIC, &all).await.unwrap();
        })
        .await;
        let study = "1.2".parse().unwrap();
        assert_looks_up(&db, "instances_by_series", async |conn: &mut Conn| {
            Instance::of(conn, CLINIC, &study, None, None).await.unwrap();
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn patients_of_whom_there_are_images_come_with_their_counts() {
    on_both(async |db| {
        three_studies(&db).await;
        let of = async |conditions: Vec<(Key, Condition)>| {
            let search = Search { conditions, limit: 10, ..Search::default() };
            let mut read = db.read().await.unwrap();
            let ids = search.patient_ids(&mut read, CLINIC).await.unwrap();
            FoundPatient::of(&mut read, CLINIC, &ids).await.unwrap()
        };
        let all = of(vec![]).await;
        assert_eq!(
            all.iter().map(|it| it.mrn.as_str()).collect::<Vec<_>>(),
            ["", "B2", "A1"],
            "the last first"
        );
        for condition in [(Key::PatientName, pattern("muster*")), (Key::PatientId, pattern("A1"))] {
            let found = of(vec![condition, (Key::StudyDescription, pattern("passed over"))]).await;
            let counts: Vec<_> =
                found.iter().map(|it| (it.study_count, it.series_count, it.instance_count)).collect();
            assert_eq!(counts, [(1, 2, 4)]);
        }
        let mut read = db.read().await.unwrap();
        let elsewhere =
            Search { limit: 10, ..Search::default() }.patient_ids(&mut read, ClinicId::new()).await;
        assert!(elsewhere.unwrap().is_empty());
        drop(read);
        for (key, index) in [(Key::PatientName, "patients_by_name"), (Key::PatientId, "patients_by_mrn")] {
            let search = Search { conditions: vec![(key, pattern("A*"))], limit: 10, ..Search::default() };
            let work = async |rows: &mut Conn| drop(search.patient_ids(rows, CLINIC).await.unwrap());
            assert_pages_along(&db, index, work).await;
        }
    })
    .await;
}

#[tokio::test]
async fn identifiers_alone_become_records_again_and_what_is_held_is_told_with_its_place() {
    on_both(async |db| {
        three_studies(&db).await;
        let mut read = db.read().await.unwrap();
        let conditions = vec![(Key::StudyInstanceUid, pattern("1.2.1"))];
        let search = Search { conditions, limit: 10, ..Search::default() };
        let studies = search.ids(&mut read, CLINIC, Level::Study).await.unwrap();
        assert_eq!(
            FoundStudy::in_order(&mut read, CLINIC, &studies).await.unwrap()[0].study_uid.as_str(),
            "1.2.1"
        );
        let mut series = search.ids(&mut read, CLINIC, Level::Series).await.unwrap();
        series.reverse();
        let found = FoundSeries::in_order(&mut read, CLINIC, &series).await.unwrap();
        let numbers: Vec<_> = found.iter().map(|it| it.series_number).collect();
        assert_eq!(numbers, [Some(9), Some(8)], "in the order that is asked for");
        let instances = search.ids(&mut read, CLINIC, Level::Instance).await.unwrap();
        let found = FoundInstance::in_order(&mut read, CLINIC, &instances).await.unwrap();
        assert_eq!(found, FoundInstance::search(&mut read, CLINIC, &search).await.unwrap());
        let held = HeldInstance::search(&mut read, CLINIC, &search).await.unwrap();
        assert_eq!(held.len(), 4);
        assert_eq!((&held[0].sop_uid, held[0].size_bytes), (&found[0].sop_uid, 9_192));
        assert_eq!(held[0].blob_key, format!("{}/aa.dcm", held[0].sop_uid));
        assert!(HeldInstance::search(&mut read, ClinicId::new(), &search).await.unwrap().is_empty());
    })
    .await;
}
