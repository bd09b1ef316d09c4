//! Users, for those who run a clinic.

use clinical::id::{ClinicId, PatientId, UserId};
use clinical::role::Role;
use gate::testing::TOKEN;
use http::Method;
use serde_json::{Value, json};
use storage::records::member::{Member, Position};
use storage::testing::{now, on_both};

use crate::support::{House, PASSWORD, refused};

#[tokio::test]
async fn who_runs_a_clinic_makes_and_sees_its_users() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("boss@example.org", Role::ClinicAdmin).await;
        let (boss, _) = house.tokens("boss@example.org").await;
        let create = async |body: Value| house.post("/api/v1/users", &boss, body).await;
        let body = json!({"email": "nurse@example.org", "name": "Nia", "role": "NURSE", "specialty": "ward"});
        let made = create(body.clone()).await;
        assert_eq!(made.status, 201);
        assert_eq!(made.json()["state"], "active");
        assert!(made.json().get("passwordHash").is_none());
        assert_eq!(create(body.clone()).await.problem(), refused(409, "email-taken"));

        for (field, value, status) in [
            ("email", json!("nobody"), 422),
            ("name", json!(""), 422),
            ("role", json!("GOD"), 422),
            ("specialty", json!("x".repeat(101)), 422),
            ("password", json!("short"), 422),
            ("userId", json!(UserId::new()), 422),
            ("patientId", json!(PatientId::new()), 404),
            ("role", json!("SUPER_ADMIN"), 403),
            ("role", json!("SYSTEM_AUDITOR"), 403),
        ] {
            let mut body = json!({"email": "x@example.org", "name": "X", "role": "NURSE"});
            body[field] = value;
            assert_eq!(create(body).await.status.as_u16(), status, "{field}");
        }

        let first = house.get("/api/v1/users?limit=1", &boss).await;
        assert_eq!(first.json()[0]["email"], "nurse@example.org");
        let link = first.header("link");
        let next = link.split(['<', '>']).nth(1).unwrap();
        assert_eq!(house.get(next, &boss).await.json()[0]["email"], "boss@example.org");
        let id = made.json()["userId"].as_str().unwrap().to_owned();
        assert_eq!(house.get(&format!("/api/v1/users/{id}"), &boss).await.json()["name"], "Nia");

        let body = json!({"email": "auditor@example.org", "name": "A", "role": "SYSTEM_AUDITOR"});
        assert_eq!(house.post("/api/v1/users", TOKEN, body).await.status, 201);
    })
    .await;
}

#[tokio::test]
async fn who_runs_a_clinic_has_no_power_over_accounts_that_count_elsewhere() {
    on_both(async |db| {
        let house = House::new(&db);
        let other = house.clinic().await;
        house.user("boss@example.org", Role::ClinicAdmin).await;
        let (boss, _) = house.tokens("boss@example.org").await;
        let both = house.user("both@example.org", Role::Doctor).await;
        let root = house.user("root@example.org", Role::SuperAdmin).await;
        let nurse = house.user("nurse@example.org", Role::Nurse).await;
        let mut tx = db.begin().await.unwrap();
        Member::add(&mut tx, other, both, &Position::of(Role::ClinicAdmin), now()).await.unwrap();
        tx.commit().await.unwrap();

        for (user, status) in [(both, 403), (root, 403), (nurse, 201), (UserId::new(), 404)] {
            let link = house.post(&format!("/api/v1/users/{user}/reset-link"), &boss, Value::Null).await;
            assert_eq!(link.status.as_u16(), status);
        }
        let disable = async |user: UserId, token: &str| {
            let body = json!({"state": "disabled"});
            house.ask(Method::PATCH, &format!("/api/v1/users/{user}"), token, body).await.status.as_u16()
        };
        let (nurses, _) = house.tokens("nurse@example.org").await;
        assert_eq!(disable(both, &boss).await, 403);
        assert_eq!(disable(nurse, &nurses).await, 403, "a nurse runs nothing");
        assert_eq!(disable(nurse, &boss).await, 200);
        assert_eq!(house.get("/api/v1/me", &nurses).await.status, 401, "at once");
        assert_eq!(disable(both, TOKEN).await, 200);
    })
    .await;
}

#[tokio::test]
async fn a_user_of_another_clinic_is_not_there() {
    on_both(async |db| {
        let house = House::new(&db);
        let other = house.clinic().await;
        house.user("boss@example.org", Role::ClinicAdmin).await;
        let (boss, _) = house.tokens("boss@example.org").await;
        let request = http::Request::post("/api/v1/users")
            .header("authorization", format!("Bearer {TOKEN}"))
            .header("x-clinic-id", other.to_string())
            .header("content-type", "application/json");
        let body = json!({"email": "far@example.org", "name": "F", "role": "NURSE", "password": PASSWORD});
        let made = gate::testing::send(&house.router, request.body(body.to_string().into()).unwrap()).await;
        let far = made.json()["userId"].as_str().unwrap().to_owned();
        for (method, path, body) in [
            (Method::GET, format!("/api/v1/users/{far}"), Value::Null),
            (Method::PATCH, format!("/api/v1/users/{far}"), json!({"state": "disabled"})),
            (Method::POST, format!("/api/v1/users/{far}/reset-link"), Value::Null),
        ] {
            assert_eq!(
                house.ask(method, &path, &boss, body).await.problem(),
                refused(404, "not-found"),
                "{path}"
            );
        }
        let (nurse, _) = house.tokens("far@example.org").await;
        let me = house.get("/api/v1/me", &nurse).await.json();
        assert_eq!(me["memberships"][0]["clinicId"], json!(other));
        assert_ne!(other, ClinicId::DEFAULT);
    })
    .await;
}
