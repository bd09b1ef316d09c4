//! Events go in once each, and a recount comes to the same.

use std::sync::Arc;
use std::time::Duration;

use analytics::{Counter, catch_up, rebuild};
use chrono::TimeDelta;
use clinical::event::Event;
use clinical::id::{FindingId, StudyId, UserId, VisitId};
use clinical::person::Sex;
use serde_json::json;
use storage::db::{Db, built_sql, sql};
use storage::outbox::{Hearing, Listener};
use storage::records::patient::Patient;
use storage::testing::{count, on_both};

use crate::support::{CLINIC, House, at, now, paid, ready, stored, visit, word};

#[tokio::test]
async fn who_is_changed_merged_or_erased_is_counted_as_they_are() {
    on_both(async |db| {
        let house = House::open(&db);
        let day = "2026-11-02T00:00:00Z";
        let into = house.patient(day, Sex::Male, Some("1980-01-01")).await;
        let from = house.patient(day, Sex::Male, Some("1980-01-01")).await;
        let erased = house.patient(day, Sex::Female, Some("1990-01-01")).await;
        house.counted().await;
        let mut tx = house.db.begin().await.unwrap();
        Patient::merge(&mut tx, CLINIC, into, from, at(day)).await.unwrap();
        Patient::erase(&mut tx, CLINIC, erased, at(day)).await.unwrap();
        tx.commit().await.unwrap();
        let merged = Event::PatientMerged { patient_id: into, from_patient_id: from };
        house.tell(&[(day, merged), (day, Event::PatientErased { patient_id: erased })]).await;
        house.counted().await;
        let answer = house.json("/api/analytics/demographics").await;
        assert_eq!((&answer["malePatients"], &answer["femalePatients"]), (&json!(1), &json!(0)));
        assert_eq!((&answer["unknownPatients"], &answer["ageGroups"]["unknown"]), (&json!(1), &json!(1)));
        assert_eq!(house.json("/api/analytics/stats").await["totalPatients"], 2);
        // 1990-01-01 is day 7305: not even an empty line says that somebody was born then.
        assert_eq!(count_where(&db, "analytics_counts", "metric = 'born' AND bucket = 7305").await, 0);
        assert_eq!(rebuild(&house.db).await.unwrap().differing, 0);
        assert_eq!(house.json("/api/analytics/demographics").await, answer);
    })
    .await;
}

#[tokio::test]
async fn an_event_that_is_brought_twice_or_after_a_crash_is_counted_once() {
    on_both(async |db| {
        let house = House::open(&db);
        let listener: Arc<dyn Listener> = Arc::new(Counter::new(db.clone()));
        house.tell(&[("2026-11-05T08:00:00Z", paid(100, "USD"))]).await;
        assert_eq!(house.counted().await, 1);
        let mut hearing = Hearing::new(db.clone(), Arc::clone(&listener));
        hearing.step(now()).await.unwrap();
        house.tell(&[("2026-11-05T08:00:00Z", paid(100, "USD"))]).await;
        assert_eq!(house.counted().await, 1, "before the listener has heard it");
        hearing.step(now()).await.unwrap();
        let told = storage::outbox::after(&mut db.read().await.unwrap(), 0, 10).await.unwrap();
        listener.hear(&told).await.unwrap();
        listener.hear(&told).await.unwrap();
        assert_eq!(house.json("/api/analytics/stats").await["revenue"], 2.0);
        assert_eq!(house.json("/api/analytics/billing").await["byCurrency"][0]["payments"], 2);
    })
    .await;
}

#[tokio::test]
async fn a_recount_comes_to_the_same_and_mends_what_was_damaged() {
    on_both(async |db| {
        let house = House::open(&db);
        for number in 0..30 {
            let when = (at("2026-11-01T00:00:00Z") + TimeDelta::hours(7 * number)).to_rfc3339();
            let (study, finding) = (StudyId::new(), FindingId::new());
            house
                .tell(&[
                    (&when, paid(100 + number, "USD")),
                    (&when, visit(VisitId::new(), UserId::new(), "Cardiology", &when)),
                    (&when, stored(study, "CT")),
                    (&when, ready(study, number % 2)),
                    (&when, word(finding, study, number % 3 == 0)),
                ])
                .await;
        }
        house.patient("2026-11-05T08:00:00Z", Sex::Male, Some("1980-01-01")).await;
        house.counted().await;
        let paths = ["stats", "imaging", "specialties", "demographics", "billing", "platform"];
        let answers_of = async |house: &House| {
            let mut answers = Vec::new();
            for path in paths {
                answers.push(house.json(&format!("/api/analytics/{path}")).await);
            }
            answers
        };
        let answers = async || answers_of(&house).await;
        let (before, lines) = (answers().await, count(&db, "analytics_counts").await);
        let rebuilt = rebuild(&db).await.unwrap();
        assert_eq!((rebuilt.events, rebuilt.differing), (151, 0));
        assert_eq!((answers().await, count(&db, "analytics_counts").await), (before.clone(), lines));

        let mut tx = db.begin().await.unwrap();
        sql("UPDATE analytics_counts SET amount = amount + 7 WHERE metric = 'visits'")
            .execute(&mut tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        // Whoever has read before has kept it: no event was counted since.
        assert_ne!(answers_of(&House::open(&db)).await, before);
        assert_eq!(answers().await, before);
        assert!(rebuild(&db).await.unwrap().differing > 0);
        assert_eq!(answers().await, before);
        assert_eq!(count(&db, "analytics_generations").await, 1);
    })
    .await;
}

/// What an older program told has no such words: it reads, and is not counted.
#[tokio::test]
async fn events_of_an_older_program_still_read() {
    on_both(async |db| {
        let house = House::open(&db);
        let (study, finding) = (StudyId::new(), FindingId::new());
        house
            .tell(&[
                (
                    "2026-11-05T08:00:00Z",
                    Event::FindingsReady { study_id: study, analysis_ids: Vec::new(), found: None },
                ),
                ("2026-11-05T08:00:00Z", Event::FindingReviewed { finding_id: finding, review: None }),
            ])
            .await;
        let old = storage::outbox::told(&mut db.read().await.unwrap(), CLINIC, "finding_reviewed", 1)
            .await
            .unwrap();
        assert_eq!(old[0].body, json!({"type": "finding_reviewed", "finding_id": finding}));
        assert_eq!(house.counted().await, 2);
        assert_eq!(house.json("/api/analytics/imaging").await["agreement"]["reviewed"], 0);
    })
    .await;
}

/// More lines than are removed at a time, and one that the next recount would come upon.
#[tokio::test]
async fn what_a_killed_recount_has_left_is_removed_and_not_added_to() {
    on_both(async |db| {
        let house = House::open(&db);
        let study = StudyId::new();
        let day = "2026-11-05T08:00:00Z";
        house.tell(&[(day, stored(study, "CT")), (day, ready(study, 1))]).await;
        house.counted().await;
        let before = house.json("/api/analytics/imaging").await;
        let mut tx = db.begin().await.unwrap();
        for left in [
            "INSERT INTO analytics_counts (clinic_id, generation, metric, grain, bucket, dimension, amount)
             SELECT clinic_id, 2, metric, grain, bucket, dimension, amount FROM analytics_counts",
            "INSERT INTO analytics_records (clinic_id, generation, record_id, facts)
             SELECT clinic_id, 2, record_id, facts FROM analytics_records",
            "WITH RECURSIVE numbers (number) AS (SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number < 4500)
             INSERT INTO analytics_counts (clinic_id, generation, metric, grain, bucket, dimension, amount)
             SELECT clinic_id, 9, 'visits', 900, number, '', 1 FROM numbers CROSS JOIN clinics",
        ] {
            sql(left).execute(&mut tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        assert_eq!(rebuild(&db).await.unwrap().differing, 0);
        assert_eq!(house.json("/api/analytics/imaging").await, before);
        let left = "generation NOT IN (SELECT generation FROM analytics_generations)";
        assert_eq!(count_where(&db, "analytics_counts", left).await, 0);
        assert_eq!(count_where(&db, "analytics_records", left).await, 0);
    })
    .await;
}

async fn count_where(db: &Db, table: &str, clause: &str) -> i64 {
    let text = format!("SELECT count(*) FROM {table} WHERE {clause}");
    built_sql(text).fetch_one(&mut db.read().await.unwrap()).await.unwrap()
}

/// As at the end of a recount in another process.
#[tokio::test]
async fn who_waits_while_another_set_comes_to_be_shown_counts_on_in_that_one() {
    on_both(async |db| {
        let house = House::open(&db);
        house.tell(&[("2026-11-05T08:00:00Z", paid(100, "USD"))]).await;
        let mut tx = db.begin().await.unwrap();
        sql("INSERT INTO analytics_generations (generation, position, is_current)
             SELECT 2, position, FALSE FROM analytics_generations")
        .execute(&mut tx)
        .await
        .unwrap();
        sql("UPDATE analytics_generations SET is_current = (generation = 2)").execute(&mut tx).await.unwrap();
        let counting = tokio::spawn({
            let db = db.clone();
            async move { catch_up(&db).await }
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!counting.is_finished(), "it waits");
        tx.commit().await.unwrap();
        assert_eq!(counting.await.unwrap().unwrap(), 1);
        assert_eq!(house.json("/api/analytics/stats").await["revenue"], 1.0);
    })
    .await;
}
