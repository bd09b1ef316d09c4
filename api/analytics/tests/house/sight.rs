//! What is hidden from whoever is not of the clinic.

use clinical::id::StudyId;
use clinical::person::Sex;
use clinical::role::Role;
use gate::testing::token_of;
use serde_json::{Value, json};
use storage::db::Db;
use storage::records::clinic::Clinic;
use storage::records::member::Position;
use storage::testing::on_both;

use crate::support::{CLINIC, House, now, paid, ready, refunded, stored};

#[tokio::test]
async fn small_counts_are_hidden_from_whoever_is_not_of_the_clinic() {
    on_both(async |db| {
        let house = House::open(&db);
        for _ in 0..6 {
            house.patient("2026-11-05T08:00:00Z", Sex::Male, Some("1980-01-01")).await;
        }
        house.patient("2026-11-05T08:00:00Z", Sex::Female, Some("1990-01-01")).await;
        house.tell(&[("2026-11-05T08:00:00Z", paid(100, "USD"))]).await;
        house.counted().await;
        let mut tx = db.begin().await.unwrap();
        let elsewhere = Clinic::create(&mut tx, "Elsewhere", "UTC", now()).await.unwrap().clinic_id;
        tx.commit().await.unwrap();
        let staff = token_of(&house.app, CLINIC, &Position::of(Role::ClinicAdmin)).await;
        let auditor = token_of(&house.app, elsewhere, &Position::of(Role::SystemAuditor)).await;
        let path = "/api/analytics/demographics";
        assert_eq!(house.get_as(&staff, CLINIC, path).await.json()["femalePatients"], 1);
        let shown = house.get_as(&auditor, CLINIC, path).await.json();
        assert_eq!(shown["femalePatients"], Value::Null);
        assert_eq!(shown["malePatients"], Value::Null, "or the whole of 7 would tell the other");
        let stats = house.get_as(&auditor, CLINIC, "/api/analytics/stats").await.json();
        assert_eq!((&stats["totalPatients"], &stats["revenue"]), (&json!(7), &Value::Null));
        let day = house.get_as(&auditor, CLINIC, "/api/analytics/stats?from=2026-11-05&to=2026-11-05").await;
        assert_eq!(day.problem(), (403, "whole-months-only".to_owned()));

        let nurse = token_of(&house.app, CLINIC, &Position::of(Role::Nurse)).await;
        assert_eq!(house.get_as(&nurse, CLINIC, path).await.problem().0, 403);
        let foreign = token_of(&house.app, elsewhere, &Position::of(Role::ClinicAdmin)).await;
        assert_eq!(house.get_as(&foreign, CLINIC, path).await.problem().0, 404);
        let own = house.get_as(&foreign, elsewhere, "/api/analytics/stats").await.json();
        assert_eq!(own["totalPatients"], 0, "another clinic's patients are not there");
    })
    .await;
}

/// Somebody who runs the installation and is of another clinic.
async fn outsider(house: &House, db: &Db) -> String {
    let mut tx = db.begin().await.unwrap();
    let elsewhere = Clinic::create(&mut tx, "Elsewhere", "UTC", now()).await.unwrap().clinic_id;
    tx.commit().await.unwrap();
    token_of(&house.app, elsewhere, &Position::of(Role::SystemAuditor)).await
}

#[tokio::test]
async fn a_small_part_is_not_told_by_the_whole_and_the_other_parts() {
    on_both(async |db| {
        let house = House::open(&db);
        let day = "2026-11-05T08:00:00Z";
        for number in 0..6 {
            let (scan, image) = (StudyId::new(), StudyId::new());
            house.tell(&[(day, stored(scan, "CT")), (day, ready(scan, 1)), (day, paid(1_000, "USD"))]).await;
            house.tell(&[(day, stored(image, "CR")), (day, ready(image, i64::from(number < 2)))]).await;
        }
        house.tell(&[(day, refunded(300, "USD"))]).await;
        house.counted().await;
        let outsider = outsider(&house, &db).await;
        let shown = async |path: &str| {
            house.get_as(&outsider, CLINIC, &format!("/api/analytics/{path}")).await.json()
        };
        let imaging = shown("imaging").await;
        assert_eq!((&imaging["positive"], &imaging["read"]), (&json!(8), &json!(12)));
        for line in imaging["byModality"].as_array().unwrap() {
            assert_eq!((&line["read"], &line["positive"]), (&json!(6), &Value::Null), "8 less 6 would be 2");
        }
        let platform = shown("platform").await;
        let named = |list: &str, key: &str, name: &str| {
            platform[list].as_array().unwrap().iter().find(|it| it[key] == name).unwrap().clone()
        };
        assert_eq!(named("features", "feature", "BILLING")["events"], 7);
        assert_eq!(
            named("events", "event", "payment_succeeded")["count"],
            Value::Null,
            "7 less 6 would be 1"
        );
        assert_eq!(shown("stats").await["revenue"], Value::Null, "60 less 57 would be of one refund");
        let all = house.json("/api/analytics/imaging").await;
        assert_eq!(all["byModality"][0]["positive"], 2, "the clinic sees it");
    })
    .await;
}

#[tokio::test]
async fn two_totals_do_not_tell_of_the_few_patients_between_them() {
    on_both(async |db| {
        let house = House::open(&db);
        for when in ["2026-09-05T08:00:00Z", "2026-11-05T08:00:00Z"] {
            for _ in 0..6 {
                house.patient(when, Sex::Male, None).await;
            }
        }
        house.patient("2026-10-05T08:00:00Z", Sex::Male, None).await;
        house.counted().await;
        let outsider = outsider(&house, &db).await;
        let mut shown = Vec::new();
        for days in [
            "from=2026-09-01&to=2026-09-30",
            "from=2026-10-01&to=2026-10-31",
            "from=2026-11-01&to=2026-11-30",
        ] {
            let stats = house.get_as(&outsider, CLINIC, &format!("/api/analytics/stats?{days}")).await.json();
            shown.push((stats["totalPatients"].clone(), stats["patientChangePercent"].clone()));
        }
        let hidden = (Value::Null, Value::Null);
        assert_eq!(shown, [(json!(6), Value::Null), hidden, (json!(13), Value::Null)]);
    })
    .await;
}
