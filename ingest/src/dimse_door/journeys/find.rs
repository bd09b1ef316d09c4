//! C-FIND by findscu: levels, matching kinds, character sets, counts.

use clinical::ae_title::AeTitle;
use clinical::clock::Clock;
use storage::db::built_sql;
use storage::records::ae_title::{ClinicTitle, Side};
use storage::records::clinic::Clinic;
use storage::records::patient::Shown;
use storage::records::search::Search;
use storage::testing::{count, instance_facts, now, on_both, place_of};

use super::super::answer::Asked;
use super::super::find::HallMatches;
use super::*;
use crate::scp::query::{Level, Matches, Model, Query};

const YAMADA: Sample<'_> = Sample {
    charset: "ISO_IR 192",
    name: "Yamada^Tarou=山田^太郎=やまだ^たろう",
    id: "Y1",
    study: "1.2.2",
    series: "1.2.2.1",
    sop: "1.2.2.1.1",
    date: "20260203",
    ..ADA
};
const DIONYSIOS: Sample<'_> = Sample {
    charset: "ISO_IR 126",
    name: "Διονυσιος",
    id: "G1",
    study: "1.2.3",
    series: "1.2.3.1",
    sop: "1.2.3.1.1",
    date: "20260304",
    modality: "MR",
    ..ADA
};

/// Ada's study of two series with three instances, Yamada's and Dionysios's with one each.
async fn three_patients(db: Db) -> Open {
    let door = Open::with(db, &[]).await;
    door.take(&ADA.file()).await;
    door.take(&Sample { sop: "1.2.1.1.2", number: "2", ..ADA }.file()).await;
    door.take(&Sample { sop: "1.2.1.2.1", series: "1.2.1.2", modality: "SR", ..ADA }.file()).await;
    door.take(&YAMADA.file()).await;
    door.take(&DIONYSIOS.file()).await;
    door
}

/// What findscu writes down of each response, and all it says.
async fn findscu(door: &Open, flags: &[&[u8]]) -> (Vec<InMemDicomObject>, String) {
    let place = tempfile::tempdir_in(door.folder.path()).unwrap();
    let folder = place.path().to_str().unwrap().as_bytes().to_vec();
    let fixed: [&[u8]; 6] = [b"-v", b"-aec", b"MEDILINK", b"-X", b"-od", &folder];
    let output = dcmtk("findscu", door, &[&fixed, flags].concat()).await;
    let read = |path: &PathBuf| {
        let file = part10::Part10::read(std::fs::read(path).unwrap().into(), &part10::Limits::default());
        file.unwrap().header().clone()
    };
    (files(place.path()).iter().map(read).collect(), explain(&output))
}

/// The values of `tag` in the answers to a query of the Study Root.
async fn studies(door: &Open, keys: &[&[u8]], tag: Tag) -> Vec<String> {
    let mut flags: Vec<&[u8]> = vec![b"-S", b"-k", b"QueryRetrieveLevel=STUDY", b"-k", b"StudyInstanceUID"];
    for key in keys {
        flags.extend([&b"-k"[..], key]);
    }
    let (answers, said) = findscu(door, &flags).await;
    assert!(said.contains("Success"), "{said}");
    let mut values: Vec<_> = answers.iter().map(|answer| text(answer, tag)).collect();
    values.sort();
    values
}

/// PS3.4, section C.2.2.2: single value, wildcard, range, list of UID, universal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn studies_match_by_every_kind() {
    on_both(async |db| {
        let door = three_patients(db).await;
        for (keys, expected) in [
            (vec![&b"PatientName=MUSTER*"[..]], vec!["1.2.1"]),
            (vec![b"PatientName=muster^ad?"], vec!["1.2.1"]),
            (vec![b"PatientName=Muster^Ada"], vec!["1.2.1"]),
            (vec![b"PatientName=Yamada^Tarou"], vec!["1.2.2"]),
            (vec![b"PatientName=Muster"], vec![]),
            (vec![b"PatientName=*"], vec!["1.2.1", "1.2.2", "1.2.3"]),
            (vec![b"PatientName"], vec!["1.2.1", "1.2.2", "1.2.3"]),
            (vec![b"PatientID=?1"], vec!["1.2.1", "1.2.2", "1.2.3"]),
            (vec![b"StudyDate=20260102-20260203"], vec!["1.2.1", "1.2.2"]),
            (vec![b"StudyDate=20260203-"], vec!["1.2.2", "1.2.3"]),
            (vec![b"StudyDate=-20260102"], vec!["1.2.1"]),
            (vec![b"StudyDate=20260304"], vec!["1.2.3"]),
            (vec![b"StudyTime=10-11", b"PatientID=G1"], vec!["1.2.3"]),
            (vec![b"StudyTime=1016-"], vec![]),
            (vec![b"StudyInstanceUID=1.2.1\\1.2.3\\9.9"], vec!["1.2.1", "1.2.3"]),
            (vec![b"SOPClassesInStudy=1.2.840.10008.5.1.4.1.1.2\\1.2.3"], vec!["1.2.1", "1.2.2", "1.2.3"]),
            (vec![b"ModalitiesInStudy=SR"], vec!["1.2.1"]),
            (vec![b"ModalitiesInStudy=SR\\MR"], vec!["1.2.1", "1.2.3"]),
            (vec![b"Modality=MR"], vec!["1.2.3"]),
            (vec![b"AccessionNumber=ACC*", b"StudyDescription=H*d"], vec!["1.2.1", "1.2.2", "1.2.3"]),
        ] {
            let found = studies(&door, &keys, tags::STUDY_INSTANCE_UID).await;
            assert_eq!(
                found,
                expected,
                "{:?}",
                keys.iter().map(|it| String::from_utf8_lossy(it)).collect::<Vec<_>>()
            );
        }
        let classes = studies(&door, &[b"SOPClassesInStudy", b"PatientID=A1"], tags::SOP_CLASSES_IN_STUDY);
        assert_eq!(classes.await, ["1.2.840.10008.5.1.4.1.1.2"]);
        assert_eq!(count(&door.db, "audit_trail").await, 21, "a row each");
        door.close().await;
    })
    .await;
}

/// PS3.3, section C.12.1.1.2, and PS3.5, annex H: the query's texts are read by its own character set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_other_scripts_are_asked_in_their_sets_and_answered_in_unicode() {
    on_both(async |db| {
        let door = three_patients(db).await;
        let utf_8 = "PatientName=山田*".as_bytes();
        let jis = b"PatientName=\x1b$B;3ED\x1b(B*";
        let greek = b"PatientName=\xc4\xe9\xef\xed*";
        for (charset, name, study) in [
            (&b"SpecificCharacterSet=ISO_IR 192"[..], utf_8, "1.2.2"),
            (b"SpecificCharacterSet=\\ISO 2022 IR 87", jis, "1.2.2"),
            (b"SpecificCharacterSet=ISO_IR 126", greek, "1.2.3"),
        ] {
            assert_eq!(studies(&door, &[charset, name], tags::STUDY_INSTANCE_UID).await, [study]);
        }
        let (answers, said) = findscu(
            &door,
            &[b"-P", b"-k", b"QueryRetrieveLevel=PATIENT", b"-k", b"PatientID=G1", b"-k", b"PatientName"],
        )
        .await;
        assert_eq!(answers.len(), 1, "{said}");
        assert_eq!(text(&answers[0], tags::SPECIFIC_CHARACTER_SET), "ISO_IR 192");
        assert_eq!(text(&answers[0], tags::PATIENT_NAME), "Διονυσιος");
        door.close().await;
    })
    .await;
}

/// PS3.4, sections C.6.1.1 and C.3.4 (the counts).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_level_answers_with_its_keys_and_counts() {
    on_both(async |db| {
        let door = three_patients(db).await;
        let ask = async |model: &[u8], keys: &[&[u8]]| {
            let mut flags = vec![model];
            for key in keys {
                flags.extend([&b"-k"[..], key]);
            }
            findscu(&door, &flags).await
        };
        let keys: [&[u8]; 5] = [
            b"QueryRetrieveLevel=PATIENT",
            b"PatientID=A1",
            b"NumberOfPatientRelatedStudies",
            b"NumberOfPatientRelatedSeries",
            b"NumberOfPatientRelatedInstances",
        ];
        let (patients, said) = ask(b"-P", &keys).await;
        assert_eq!(patients.len(), 1, "{said}");
        let counts = [
            tags::NUMBER_OF_PATIENT_RELATED_STUDIES,
            tags::NUMBER_OF_PATIENT_RELATED_SERIES,
            tags::NUMBER_OF_PATIENT_RELATED_INSTANCES,
        ];
        assert_eq!(counts.map(|tag| text(&patients[0], tag)), ["1", "2", "3"]);

        let keys: [&[u8]; 6] = [
            b"QueryRetrieveLevel=STUDY",
            b"StudyInstanceUID=1.2.1",
            b"ModalitiesInStudy",
            b"NumberOfStudyRelatedSeries",
            b"NumberOfStudyRelatedInstances",
            b"PatientBirthDate",
        ];
        let (studies, said) = ask(b"-S", &keys).await;
        let study = &studies[0];
        assert_eq!(text(study, tags::MODALITIES_IN_STUDY), "CT\\SR", "{said}");
        assert_eq!(text(study, tags::NUMBER_OF_STUDY_RELATED_SERIES), "2");
        assert_eq!(text(study, tags::NUMBER_OF_STUDY_RELATED_INSTANCES), "3");
        assert_eq!(text(study, tags::RETRIEVE_AE_TITLE), "MEDILINK");
        assert_eq!(text(study, tags::INSTANCE_AVAILABILITY), "ONLINE");
        assert!(study.get(tags::PATIENT_BIRTH_DATE).is_some(), "without a value");

        let keys: [&[u8]; 6] = [
            b"QueryRetrieveLevel=SERIES",
            b"StudyInstanceUID=1.2.1",
            b"SeriesInstanceUID",
            b"Modality=CT",
            b"NumberOfSeriesRelatedInstances",
            b"PatientName",
        ];
        let (series, said) = ask(b"-S", &keys).await;
        assert_eq!(series.len(), 1, "{said}");
        assert_eq!(text(&series[0], tags::SERIES_INSTANCE_UID), "1.2.1.1");
        assert_eq!(text(&series[0], tags::NUMBER_OF_SERIES_RELATED_INSTANCES), "2");
        assert_eq!(text(&series[0], tags::PATIENT_NAME), "Muster^Ada", "of the levels above too");

        let keys: [&[u8]; 6] = [
            b"QueryRetrieveLevel=IMAGE",
            b"StudyInstanceUID=1.2.1",
            b"SeriesInstanceUID=1.2.1.1",
            b"SOPInstanceUID",
            b"InstanceNumber=2",
            b"SOPClassUID",
        ];
        let (images, said) = ask(b"-P", &keys).await;
        assert_eq!(images.len(), 1, "{said}");
        assert_eq!(text(&images[0], tags::SOP_INSTANCE_UID), "1.2.1.1.2");
        assert_eq!(text(&images[0], tags::SOP_CLASS_UID), CT);
        door.close().await;
    })
    .await;
}

/// PS3.4, table C.4-1: FF01 for keys that are not supported, A900 for an identifier that does not fit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_supported_and_what_does_not_fit_is_said() {
    on_both(async |db| {
        let door = three_patients(db).await;
        let ask = async |keys: &[&[u8]]| {
            let mut flags = vec![&b"-S"[..]];
            for key in keys {
                flags.extend([&b"-k"[..], key]);
            }
            findscu(&door, &flags).await
        };
        let (answers, said) =
            ask(&[b"QueryRetrieveLevel=STUDY", b"StudyInstanceUID=1.2.1", b"PatientWeight"]).await;
        assert!(answers.len() == 1 && said.contains("WarningUnsupportedOptionalKeys"), "{said}");
        assert!(answers[0].get(tags::PATIENT_WEIGHT).is_none());
        for keys in [
            [&b"QueryRetrieveLevel=PATIENT"[..], b"PatientID"],
            [b"PatientID=A1", b"StudyDate"],
            [b"QueryRetrieveLevel=STUDY", b"StudyDate=yesterday"],
            [b"QueryRetrieveLevel=STUDY", b"StudyInstanceUID=1.2.*"],
        ] {
            let (answers, said) = ask(&keys).await;
            assert!(answers.is_empty() && said.contains("DataSetDoesNotMatchSOPClass"), "{said}");
        }
        door.close().await;
    })
    .await;
}

/// A restricted record does not exist for a machine without a person behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restricted_record_is_not_found() {
    on_both(async |db| {
        let door = three_patients(db).await;
        let mut tx = door.db.begin().await.unwrap();
        let veil = "UPDATE patients SET is_restricted = $1 WHERE mrn = 'A1'";
        built_sql(veil.to_owned()).bind(true).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(studies(&door, &[], tags::STUDY_INSTANCE_UID).await, ["1.2.2", "1.2.3"]);
        let (patients, _) =
            findscu(&door, &[b"-P", b"-k", b"QueryRetrieveLevel=PATIENT", b"-k", b"PatientID"]).await;
        let mut ids: Vec<_> = patients.iter().map(|patient| text(patient, tags::PATIENT_ID)).collect();
        ids.sort();
        assert_eq!(ids, ["G1", "Y1"]);
        door.close().await;
    })
    .await;
}

/// Whoever knows a clinic's title and may send could otherwise read the whole clinic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_user_identity_only_a_clinics_own_titles_and_the_named_ones_read_it() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        let south = Clinic::create(&mut tx, "South", "UTC", SystemClock.now()).await.unwrap().clinic_id;
        for (clinic, title, side) in [
            (ClinicId::DEFAULT, "MEDILINK", Side::Called),
            (ClinicId::DEFAULT, "OURS", Side::Calling),
            (south, "THEIRS", Side::Calling),
        ] {
            ClinicTitle::name(&mut tx, clinic, &title.parse().unwrap(), side, SystemClock.now())
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        let named = CallingAe::Only(vec!["NAMED".parse().unwrap()]);
        let door = Open::read_by(named, db, &[]).await;
        door.take(&ADA.file()).await;
        for (calling, may_read) in [("OURS", true), ("NAMED", true), ("THEIRS", false), ("ANYONE", false)] {
            let keys: [&[u8]; 7] =
                [b"-S", b"-aet", calling.as_bytes(), b"-k", b"QueryRetrieveLevel=STUDY", b"-k", b"PatientID"];
            let (answers, said) = findscu(&door, &keys).await;
            assert_eq!(answers.len(), usize::from(may_read), "{calling}: {said}");
            assert_eq!(said.contains("No Acceptable Presentation Contexts"), !may_read, "{calling}: {said}");
        }
        door.close().await;
    })
    .await;
}

/// A slow peer reads page by page what a query has found at first.
#[tokio::test]
async fn what_is_removed_while_a_query_is_told_is_told_no_more() {
    on_both(async |db| {
        let mut tx = db.begin().await.unwrap();
        for number in 0..250 {
            let place = place_of(&mut tx, &format!("1.2.{number}"), &format!("1.2.{number}.1")).await;
            let uid = format!("1.2.{number}.1.1");
            place.insert(&mut tx, &instance_facts(&uid, "aa"), now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        for (level, root) in [
            (Level::Patient, Model::PatientRoot),
            (Level::Study, Model::StudyRoot),
            (Level::Series, Model::StudyRoot),
            (Level::Image, Model::StudyRoot),
        ] {
            let asked =
                [DataElement::new(tags::QUERY_RETRIEVE_LEVEL, VR::CS, PrimitiveValue::from(level.as_str()))];
            let query = Query::new(root, InMemDicomObject::from_element_iter(asked)).unwrap();
            let search = Search { shown: Shown::Unrestricted, ..Search::default() };
            let asked = Asked::by(&query, AeTitle::MEDILINK);
            let mut matches =
                HallMatches::new(db.of(ClinicId::DEFAULT), ClinicId::DEFAULT, level, search, asked);
            for _ in 0..2 {
                assert_eq!(matches.next_page().await.unwrap().len(), 100, "{level:?}");
            }
            let mut tx = db.begin().await.unwrap();
            for table in ["studies", "series", "instances"] {
                let hide = format!("UPDATE {table} SET hidden_at = $1");
                built_sql(hide).bind(now()).execute(&mut tx).await.unwrap();
            }
            tx.commit().await.unwrap();
            assert!(matches.next_page().await.unwrap().is_empty(), "{level:?}");
            let mut tx = db.begin().await.unwrap();
            for table in ["studies", "series", "instances"] {
                built_sql(format!("UPDATE {table} SET hidden_at = NULL")).execute(&mut tx).await.unwrap();
            }
            tx.commit().await.unwrap();
        }
    })
    .await;
}
