use clinical::id::{AnalysisId, ClinicId, PatientId, StudyId, WorkitemId};
use serde_json::json;

use super::{Asked, Column, State, Workitem, WorkitemFacts, WorkitemSearch, completed, failed, started};
use crate::db::{Conn, Db, sql};
use crate::plan::assert_pages_along;
use crate::records::patient::{Patient, PatientFacts};
use crate::records::study::{Study, StudyFacts};
use crate::testing::{now, on_both};

const CLINIC: ClinicId = ClinicId::DEFAULT;

async fn create(db: &Db, uid: &str, study_id: Option<StudyId>, facts: WorkitemFacts) -> bool {
    let step = Workitem {
        workitem_id: WorkitemId::new(),
        uid: uid.parse().unwrap(),
        state: State::Scheduled,
        transaction_uid: None,
        study_id,
        is_ours: study_id.is_some(),
        body: json!({"00741204": {"vr": "LO", "Value": [facts.label]}}),
        updated_at: now(),
    };
    let mut tx = db.begin().await.unwrap();
    let created = Workitem::create(&mut tx, CLINIC, &step, &facts).await.unwrap();
    tx.commit().await.unwrap();
    created
}

async fn find(db: &Db, uid: &str) -> Workitem {
    Workitem::find(&mut db.read().await.unwrap(), CLINIC, &uid.parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_step_is_made_once_found_by_its_attributes_and_changed() {
    on_both(async |db| {
        let facts = |label: &str, at: &str| WorkitemFacts {
            label: label.to_owned(),
            priority: "HIGH".to_owned(),
            scheduled_at: Some(at.to_owned()),
            patient_name: Some("Muster^Ada".to_owned()),
            ..WorkitemFacts::default()
        };
        assert!(create(&db, "2.25.1", None, facts("first", "20260102101500")).await);
        assert!(create(&db, "2.25.2", None, facts("second", "20260103101500+0100")).await);
        assert!(!create(&db, "2.25.1", None, facts("again", "2026")).await);
        assert!(
            Workitem::find(&mut db.read().await.unwrap(), ClinicId::new(), &"2.25.1".parse().unwrap())
                .await
                .is_err()
        );

        let text = |text: &str| Asked::OneOf(vec![text.to_owned()]);
        let between = |from: &str, to: &str| Asked::Between(Some(from.to_owned()), Some(to.to_owned()));
        for (column, asked, found) in [
            (Column::ProcedureStepState, text("SCHEDULED"), &["2.25.2", "2.25.1"][..]),
            (Column::ProcedureStepState, text("COMPLETED"), &[]),
            (Column::ProcedureStepLabel, text("f*"), &["2.25.1"]),
            (Column::PatientName, text("MUSTER*"), &["2.25.2", "2.25.1"]),
            (Column::ScheduledProcedureStepStartDateTime, between("20260103", "2026010310"), &["2.25.2"]),
            (Column::ScheduledProcedureStepStartDateTime, between("2026", "20260102"), &["2.25.1"]),
            (Column::SopInstanceUid, text("2.25.2"), &["2.25.2"]),
        ] {
            let search =
                WorkitemSearch { conditions: vec![(column, asked)], limit: 9, ..WorkitemSearch::default() };
            let steps = Workitem::search(&mut db.read().await.unwrap(), CLINIC, &search).await.unwrap();
            assert_eq!(steps.iter().map(|step| step.uid.as_str()).collect::<Vec<_>>(), found, "{column:?}");
        }

        let mut tx = db.begin().await.unwrap();
        let mut step = Workitem::hold(&mut tx, CLINIC, &"2.25.1".parse().unwrap()).await.unwrap();
        (step.state, step.transaction_uid) = (State::InProgress, Some("2.25.9".to_owned()));
        step.write(&mut tx, CLINIC, &facts("first", "20260102101500")).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(find(&db, "2.25.1").await, step);
    })
    .await;
}

#[tokio::test]
async fn steps_of_ours_follow_their_analysis_and_others_do_not() {
    on_both(async |db| {
        let (study, other) = (StudyId::new(), StudyId::new());
        for (uid, study) in [("2.25.1", Some(study)), ("2.25.2", Some(other)), ("2.25.3", None)] {
            assert!(create(&db, uid, study, WorkitemFacts::default()).await);
        }
        let mut tx = db.begin().await.unwrap();
        started(&mut tx, CLINIC, study, now()).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(find(&db, "2.25.1").await.state, State::InProgress);
        let mut tx = db.begin().await.unwrap();
        completed(&mut tx, CLINIC, study, &[AnalysisId::new()], now()).await.unwrap();
        failed(&mut tx, CLINIC, study, now()).await.unwrap();
        failed(&mut tx, CLINIC, other, now()).await.unwrap();
        tx.commit().await.unwrap();
        let done = find(&db, "2.25.1").await;
        assert_eq!(done.state, State::Completed, "what is over stays as it is");
        let progress = &done.body["00741002"]["Value"][0];
        assert_eq!(progress["00741004"]["Value"], json!([100]));
        let place = format!("/api/findings?studyId={study}");
        assert_eq!(progress["00741008"]["Value"][0]["0074100A"]["Value"], json!([place]));
        assert_eq!(find(&db, "2.25.2").await.state, State::Canceled);
        assert_eq!(find(&db, "2.25.3").await.state, State::Scheduled);
        let told = crate::outbox::told(&mut db.read().await.unwrap(), CLINIC, "workitem_changed", 9).await;
        assert_eq!(told.unwrap().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_worklist_is_read_along_an_index() {
    on_both(async |db| {
        let all = WorkitemSearch { limit: 9, ..WorkitemSearch::default() };
        let state = Asked::OneOf(vec!["SCHEDULED".to_owned()]);
        let scheduled =
            WorkitemSearch { conditions: vec![(Column::ProcedureStepState, state)], ..all.clone() };
        for (search, index) in [(all, "workitems_newest"), (scheduled, "workitems_of_state")] {
            assert_pages_along(&db, index, async |conn: &mut Conn| {
                Workitem::search(conn, CLINIC, &search).await.unwrap();
            })
            .await;
        }
    })
    .await;
}

/// A patient of that Patient ID with a study, as an image of theirs makes them.
async fn imaged(db: &Db, mrn: &str, study: &str) -> PatientId {
    let mut tx = db.begin().await.unwrap();
    let (facts, study) =
        (PatientFacts { mrn: mrn.into(), ..PatientFacts::default() }, study.parse().unwrap());
    let patient = Patient::ensure(&mut tx, CLINIC, &facts, &study, now()).await.unwrap();
    Study::ensure(&mut tx, CLINIC, patient, &study, &StudyFacts::default(), now()).await.unwrap();
    tx.commit().await.unwrap();
    patient
}

async fn run(db: &Db, change: &'static str) {
    let mut tx = db.begin().await.unwrap();
    sql(change).execute(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
}

async fn listed(db: &Db) -> Vec<String> {
    let all = WorkitemSearch { limit: 9, ..WorkitemSearch::default() };
    let steps = Workitem::search(&mut db.read().await.unwrap(), CLINIC, &all).await.unwrap();
    let mut uids: Vec<String> = steps.iter().map(|step| step.uid.to_string()).collect();
    uids.sort_unstable();
    uids
}

fn naming(mrn: Option<&str>, studies: &[&str]) -> WorkitemFacts {
    let study_uids = studies.iter().map(|study| study.parse().unwrap()).collect();
    WorkitemFacts { mrn: mrn.map(str::to_owned), study_uids, ..WorkitemFacts::default() }
}

#[tokio::test]
async fn a_step_made_before_its_images_is_veiled_and_erased_with_everybody_whom_it_names() {
    on_both(async |db| {
        assert!(create(&db, "2.25.1", None, naming(Some("P1"), &[])).await);
        assert!(create(&db, "2.25.2", None, naming(None, &["1.2.9", "1.2.3"])).await);
        assert!(create(&db, "2.25.3", None, naming(Some("P2"), &["1.2.9"])).await);
        let patient = imaged(&db, "P1", "1.2.3").await;
        assert_eq!(listed(&db).await, ["2.25.1", "2.25.2", "2.25.3"]);
        for uid in ["2.25.1", "2.25.2"] {
            let patients = find(&db, uid).await.patients(&mut db.read().await.unwrap(), CLINIC).await;
            assert_eq!(patients.unwrap(), Some(vec![patient]), "{uid}");
        }

        run(&db, "UPDATE patients SET is_restricted = TRUE").await;
        assert_eq!(listed(&db).await, ["2.25.3"], "nor by its second study");
        let mut tx = db.begin().await.unwrap();
        Patient::erase(&mut tx, CLINIC, patient, now()).await.unwrap();
        tx.commit().await.unwrap();
        for uid in ["2.25.1", "2.25.2"] {
            let found = Workitem::find(&mut db.read().await.unwrap(), CLINIC, &uid.parse().unwrap()).await;
            assert!(found.is_err(), "{uid} says who they are");
        }
        assert_eq!(listed(&db).await, ["2.25.3"]);
    })
    .await;
}

#[tokio::test]
async fn a_step_whose_imaging_was_removed_is_not_shown() {
    on_both(async |db| {
        imaged(&db, "P1", "1.2.3").await;
        assert!(create(&db, "2.25.1", None, naming(None, &["1.2.3"])).await);
        assert!(create(&db, "2.25.2", None, naming(None, &["1.2.4"])).await);
        assert_eq!(listed(&db).await, ["2.25.1", "2.25.2"]);
        run(&db, "UPDATE studies SET hidden_at = stored_at").await;
        assert_eq!(listed(&db).await, ["2.25.2"], "hidden");
        run(&db, "DELETE FROM studies").await;
        assert_eq!(listed(&db).await, ["2.25.2"], "gone");
        let step = find(&db, "2.25.1").await;
        assert_eq!(step.patients(&mut db.read().await.unwrap(), CLINIC).await.unwrap(), None);
    })
    .await;
}
