//! The people of a clinic.

use clinical::id::{ClinicId, LocationId};
use clinical::role::Role;
use http::Method;
use serde_json::{Value, json};
use storage::testing::on_both;

use crate::support::House;

fn members(clinic: ClinicId) -> String {
    format!("/api/v1/clinics/{clinic}/members")
}

#[tokio::test]
async fn a_person_joins_is_changed_and_leaves() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let path = members(house.other);
        let new =
            json!({"email": "Ada@example.org", "name": "Ada", "role": "DOCTOR", "specialty": "radiology"});
        let made = house.post(&path, &new).await;
        assert_eq!(made.status.as_u16(), 201);
        let made = made.json();
        assert_eq!((&made["email"], &made["role"]), (&json!("Ada@example.org"), &json!("DOCTOR")));
        let again =
            house.post(&path, &json!({"email": "ada@EXAMPLE.org", "name": "A", "role": "NURSE"})).await;
        assert_eq!(again.problem(), (409, "member-exists".into()));
        let also = json!({"email": "ada@example.org", "name": "Eve", "role": "NURSE"});
        let elsewhere = house.post(&members(ClinicId::DEFAULT), &also).await.json();
        assert_eq!(elsewhere["userId"], made["userId"], "one person, however many clinics");
        assert_eq!(elsewhere["name"], "Ada", "who is known keeps their name");

        let one = format!("{path}/{}", made["id"].as_str().unwrap());
        let changed = house.patch(&one, &json!({"role": "NURSE", "specialty": null})).await.json();
        assert_eq!((&changed["role"], &changed["specialty"]), (&json!("NURSE"), &Value::Null));
        assert_eq!(house.get(&path).await.json(), json!([changed]));
        assert_eq!(house.get(&one).await.json(), changed);
        let stranger = json!({"locationId": LocationId::new()});
        assert_eq!(house.patch(&one, &stranger).await.problem(), (404, "not-found".into()));
        assert_eq!(house.delete(&one).await.status.as_u16(), 204);
        assert_eq!(house.get(&one).await.problem(), (404, "not-found".into()));
        assert_eq!(house.get(&members(ClinicId::DEFAULT)).await.json(), json!([elsewhere]));
    })
    .await;
}

#[tokio::test]
async fn a_clinic_cannot_make_masters_over_others() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let admin = house.person(house.other, Role::ClinicAdmin).await;
        let path = members(house.other);
        for role in ["SUPER_ADMIN", "SYSTEM_AUDITOR"] {
            let new = json!({"email": "a@example.org", "name": "A", "role": role});
            let refused = house.ask(&admin, Method::POST, &path, Some(&new)).await;
            assert_eq!(refused.problem(), (403, "role-not-grantable".into()));
        }
        let new = json!({"email": "a@example.org", "name": "A", "role": "CLINIC_ADMIN"});
        let made = house.ask(&admin, Method::POST, &path, Some(&new)).await;
        assert_eq!(made.status.as_u16(), 201);
        let one = format!("{path}/{}", made.json()["id"].as_str().unwrap());
        let raise = json!({"role": "SUPER_ADMIN"});
        let refused = house.ask(&admin, Method::PATCH, &one, Some(&raise)).await;
        assert_eq!(refused.problem(), (403, "role-not-grantable".into()));
        assert_eq!(house.patch(&one, &raise).await.json()["role"], "SUPER_ADMIN");
        for (method, body) in [(Method::PATCH, json!({"role": "NURSE"})), (Method::DELETE, Value::Null)] {
            let refused = house.ask(&admin, method, &one, Some(&body)).await;
            assert_eq!(refused.problem(), (403, "role-not-grantable".into()));
        }
        let nurse = house.person(house.other, Role::Nurse).await;
        let refused = house.ask(&nurse, Method::POST, &path, Some(&new)).await;
        assert_eq!(refused.problem(), (403, "not-allowed".into()));
        assert_eq!(house.ask(&nurse, Method::GET, &path, None).await.status.as_u16(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_role_that_was_taken_away_opens_nothing_at_the_next_request() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let admin = house.person(house.other, Role::ClinicAdmin).await;
        let path = members(house.other);
        let list = house.ask(&admin, Method::GET, &path, None).await.json();
        let one = format!("{path}/{}", list[0]["id"].as_str().unwrap());
        assert_eq!(house.patch(&one, &json!({"role": "PATIENT"})).await.status.as_u16(), 200);
        let refused = house.ask(&admin, Method::GET, &path, None).await;
        assert_eq!(refused.problem(), (403, "not-allowed".into()));
        assert_eq!(house.delete(&one).await.status.as_u16(), 204);
        let refused = house.ask(&admin, Method::GET, &path, None).await;
        assert_eq!(refused.problem(), (404, "not-found".into()));
    })
    .await;
}

#[tokio::test]
async fn what_is_no_member_is_refused() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let path = members(house.other);
        for (body, refusal) in [
            (json!({"email": "nobody", "name": "A", "role": "NURSE"}), (400, "invalid-email")),
            (json!({"email": "a@example.org", "name": "\u{0}", "role": "NURSE"}), (400, "invalid-text")),
            (json!({"email": "a@example.org", "name": "A", "role": "JANITOR"}), (422, "invalid-json")),
            (
                json!({"email": "a@example.org", "name": "A", "role": "NURSE", "passwordHash": "x"}),
                (422, "invalid-json"),
            ),
            (
                json!({"email": "a@example.org", "name": "A", "role": "NURSE", "locationId": LocationId::new()}),
                (404, "not-found"),
            ),
        ] {
            let refused = house.post(&path, &body).await.problem();
            assert_eq!(refused, (refusal.0, refusal.1.to_owned()), "{body}");
        }
        assert_eq!(house.get(&path).await.json(), json!([]));
    })
    .await;
}
