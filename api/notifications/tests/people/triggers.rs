//! What happens elsewhere becomes word to those who must know.

use std::sync::Arc;

use clinical::clock::{Clock, SystemClock};
use clinical::event::Event;
use clinical::id::{AnalysisId, AssessmentId, InvoiceId, PatientId, PaymentId};
use clinical::role::Role;
use notifications::triggers::Triggers;
use serde_json::{Value, json};
use storage::db::{Db, sql};
use storage::outbox::relay::{Work, place_all};
use storage::outbox::{Listener, Told, after, tell};
use storage::records::analysis::Analysis;
use storage::records::assessment::Assessment;
use storage::records::member::Position;
use storage::records::patient::{Patient, PatientFacts};
use storage::testing::{now, on_both, scored, stored_image};

use crate::support::{CLINIC, House};

const PATH: &str = "/api/v1/notifications";

/// Tells the events and lets the triggers hear all there are, twice over.
async fn happened(db: &Db, events: &[Event]) {
    let mut tx = db.begin().await.unwrap();
    for event in events {
        tell(&mut tx, CLINIC, event, now()).await.unwrap();
    }
    tx.commit().await.unwrap();
    place_all(db, Work::None).await.unwrap();
    let triggers = Triggers::new(db.clone(), Arc::new(SystemClock));
    let told = after(&mut db.read().await.unwrap(), 0, 1_000).await.unwrap();
    let heard: Vec<Told> = told.into_iter().filter(|told| triggers.hears(told)).collect();
    for _ in 0..2 {
        triggers.hear(&heard).await.unwrap();
    }
}

async fn patient(db: &Db) -> PatientId {
    let mut tx = db.begin().await.unwrap();
    let facts = PatientFacts { mrn: "P1".into(), ..PatientFacts::default() };
    let patient = Patient::ensure(&mut tx, CLINIC, &facts, &"1.2.3".parse().unwrap(), now()).await.unwrap();
    tx.commit().await.unwrap();
    patient
}

fn titles(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|it| it["title"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn physicians_hear_of_findings_and_of_present_ones_urgently() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (_, doctor) = house.person(Role::Doctor).await;
        let (_, receptionist) = house.person(Role::Receptionist).await;
        let mut tx = db.begin().await.unwrap();
        let (study_id, instance_id) = stored_image(&mut tx).await;
        Analysis::record(&mut tx, CLINIC, &scored(study_id, instance_id, "aa", 0.9), now()).await.unwrap();
        tx.commit().await.unwrap();
        let ready = |analysis_ids| Event::FindingsReady { study_id, analysis_ids, found: None };
        happened(&db, &[ready(Vec::new())]).await;
        assert_eq!(house.get(PATH, &doctor).await, json!([]), "nothing was written");
        // A study of many images is told of for every hundred of them.
        for _ in 0..3 {
            happened(&db, &[ready(vec![AnalysisId::new()])]).await;
        }
        let list = house.get(PATH, &doctor).await;
        assert_eq!(list.as_array().unwrap().len(), 1, "heard many times, told once");
        assert_eq!((&list[0]["urgency"], &list[0]["category"]), (&json!("high"), &json!("clinical")));
        assert_eq!(list[0]["data"], json!({"study_id": study_id, "present": "1", "count": "1"}));
        assert_eq!(house.get(PATH, &receptionist).await, json!([]));
    })
    .await;
}

#[tokio::test]
async fn what_was_reviewed_or_stood_in_for_is_told_to_nobody() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (_, doctor) = house.person(Role::Doctor).await;
        let mut tx = db.begin().await.unwrap();
        let (study_id, instance_id) = stored_image(&mut tx).await;
        for (version, probability) in [("aa", 0.9), ("bb", 0.1)] {
            let run = scored(study_id, instance_id, version, probability);
            let analysis_id = Analysis::record(&mut tx, CLINIC, &run, now()).await.unwrap();
            if version == "aa" {
                let replace = "UPDATE analyses SET superseded_at = $2 WHERE analysis_id = $1";
                sql(replace).bind(analysis_id).bind(now()).execute(&mut tx).await.unwrap();
            }
        }
        tx.commit().await.unwrap();
        let ready = Event::FindingsReady { study_id, analysis_ids: vec![AnalysisId::new()], found: None };
        happened(&db, std::slice::from_ref(&ready)).await;
        let list = house.get(PATH, &doctor).await;
        assert_eq!(list[0]["data"], json!({"study_id": study_id, "present": "0", "count": "1"}));
        assert_eq!((list.as_array().unwrap().len(), &list[0]["urgency"]), (1, &json!("low")));
        let (_, late) = house.person(Role::Doctor).await;
        let mut tx = db.begin().await.unwrap();
        sql("UPDATE findings SET review_state = 'accepted'").execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        happened(&db, &[ready]).await;
        assert_eq!(house.get(PATH, &late).await, json!([]), "all of it was seen");
    })
    .await;
}

#[tokio::test]
async fn an_emergency_is_told_to_those_who_treat_and_no_other_assessment_is() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let (_, doctor) = house.person(Role::Doctor).await;
        let (_, nurse) = house.person(Role::Nurse).await;
        let (_, accountant) = house.person(Role::Accountant).await;
        let mut events = Vec::new();
        let mut tx = db.begin().await.unwrap();
        for urgency in ["consultation", "emergency-ambulance"] {
            let assessment = Assessment {
                assessment_id: AssessmentId::new(),
                patient_id: None,
                presentation: "{}".into(),
                answer: "{}".into(),
                urgency: urgency.into(),
                knowledge_version: "aa".into(),
                made_by: "test".into(),
                made_at: now(),
            };
            assessment.record(&mut tx, CLINIC).await.unwrap();
            events.push(Event::AssessmentMade { assessment_id: assessment.assessment_id, urgency: None });
        }
        tx.commit().await.unwrap();
        happened(&db, &events).await;
        for who in [&doctor, &nurse] {
            let list = house.get(PATH, who).await;
            assert_eq!(titles(&list), ["An assessment needs attention now"]);
            assert_eq!(
                (&list[0]["type"], &list[0]["urgency"]),
                (&json!("emergency_alert"), &json!("critical"))
            );
        }
        assert_eq!(house.get(PATH, &accountant).await, json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_patient_hears_of_their_own_money_and_in_the_language_they_read() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let patient_id = patient(&db).await;
        let position = Position { patient_id: Some(patient_id), ..Position::of(Role::Patient) };
        let (_, own) = house.person_at(&position).await;
        let (_, other) = house.person(Role::Patient).await;
        house.put(&format!("{PATH}/preferences"), &own, json!({"locale": "de"})).await;
        let currency = "EUR".parse().unwrap();
        let invoice_id = InvoiceId::new();
        let patient_id = Some(patient_id);
        happened(
            &db,
            &[
                Event::InvoiceIssued { invoice_id, patient_id, amount_minor: 15_000, currency },
                Event::PaymentFailed {
                    payment_id: PaymentId::new(),
                    invoice_id: Some(invoice_id),
                    patient_id,
                    amount_minor: 15_000,
                    currency,
                },
                Event::InvoicePaid { invoice_id, patient_id, amount_minor: 15_000, currency },
                Event::InvoicePaid { invoice_id, patient_id: None, amount_minor: 1, currency },
            ],
        )
        .await;
        let list = house.get(PATH, &own).await;
        assert_eq!(
            titles(&list),
            ["Your invoice is paid", "A payment did not go through", "A new invoice over 150.00 EUR"]
        );
        assert_eq!(house.get(PATH, &other).await, json!([]));
        // The triggers tell by the time of the machine.
        house.clock.set(SystemClock.now());
        house.work().await;
        let subjects: Vec<Value> = house.mailbox.letters().iter().map(|it| it["subject"].clone()).collect();
        assert!(subjects.contains(&json!("Neue Rechnung über 150.00 EUR")), "{subjects:?}");
    })
    .await;
}
