//! Clinics, their places and titles, and what they have set.

use clinical::id::ClinicId;
use clinical::role::Role;
use http::Method;
use serde_json::{Value, json};
use storage::testing::on_both;

use crate::support::House;

fn ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_clinic_is_made_renamed_and_suspended() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let asked = json!({"name": "  North ", "timeZone": "Africa/Nairobi"});
        let made = house.post("/api/v1/clinics", &asked).await;
        assert_eq!(made.status.as_u16(), 201);
        let made = made.json();
        assert_eq!((&made["name"], &made["state"]), (&json!("North"), &json!("active")));
        let path = format!("/api/v1/clinics/{}", made["id"].as_str().unwrap());
        assert_eq!(house.get(&path).await.json(), made);
        let suspended = house.patch(&path, &json!({"state": "suspended", "name": "South"})).await.json();
        assert_eq!((&suspended["name"], &suspended["state"]), (&json!("South"), &json!("suspended")));
        assert_eq!(suspended["timeZone"], "Africa/Nairobi", "what is left out stays");
        assert_eq!(house.patch(&path, &json!({"state": "active"})).await.json()["state"], "active");
        for (body, refusal) in [
            (json!({"name": ""}), (400, "invalid-text")),
            (json!({"name": "x".repeat(201)}), (400, "invalid-text")),
            (json!({"name": "North", "timeZone": "Mars/Olympus"}), (400, "invalid-time-zone")),
            (json!({"name": "North", "clinicId": ClinicId::new()}), (422, "invalid-json")),
        ] {
            let refused = house.post("/api/v1/clinics", &body).await.problem();
            assert_eq!(refused, (refusal.0, refusal.1.to_owned()), "{body}");
        }
    })
    .await;
}

#[tokio::test]
async fn people_see_their_own_clinics_and_another_one_is_not_there() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let admin = house.person(house.other, Role::ClinicAdmin).await;
        let (own, default) = (house.other, ClinicId::DEFAULT);
        let listed = house.ask(&admin, Method::GET, "/api/v1/clinics", None).await;
        assert_eq!(ids(&listed.json()), [own.to_string()]);
        let all = house.get("/api/v1/clinics?limit=1").await;
        assert_eq!(ids(&all.json()), [own.to_string()]);
        assert!(all.header("link").contains("rel=\"next\""), "the super-administrator sees more");

        let name = json!({"name": "Mine"});
        let ours = format!("/api/v1/clinics/{own}");
        assert_eq!(house.ask(&admin, Method::PATCH, &ours, Some(&name)).await.status.as_u16(), 200);
        let suspend = json!({"state": "suspended"});
        let refused = house.ask(&admin, Method::PATCH, &ours, Some(&suspend)).await;
        assert_eq!(refused.problem(), (403, "not-allowed".into()));
        let refused = house.ask(&admin, Method::POST, "/api/v1/clinics", Some(&name)).await;
        assert_eq!(refused.problem(), (403, "not-allowed".into()));
        for path in ["", "/locations", "/members", "/settings", "/ae-titles"] {
            let theirs = format!("/api/v1/clinics/{default}{path}");
            let refused = house.ask(&admin, Method::GET, &theirs, None).await;
            assert_eq!(refused.problem(), (404, "not-found".into()), "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn in_a_suspended_clinic_nobody_works_but_a_super_administrator() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let admin = house.person(house.other, Role::ClinicAdmin).await;
        let path = format!("/api/v1/clinics/{}", house.other);
        assert_eq!(house.ask(&admin, Method::GET, &path, None).await.status.as_u16(), 200);
        assert_eq!(house.patch(&path, &json!({"state": "suspended"})).await.status.as_u16(), 200);
        let refused = house.ask(&admin, Method::GET, &path, None).await;
        assert_eq!(refused.problem(), (403, "clinic-suspended".into()));
        assert_eq!(house.get(&path).await.json()["state"], "suspended");
        assert_eq!(house.patch(&path, &json!({"state": "active"})).await.status.as_u16(), 200);
        assert_eq!(house.ask(&admin, Method::GET, &path, None).await.status.as_u16(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_place_is_added_changed_and_removed_unless_someone_works_there() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let places = format!("/api/v1/clinics/{}/locations", house.other);
        let made = house.post(&places, &json!({"name": "East", "phone": "+254 1"})).await;
        assert_eq!(made.status.as_u16(), 201);
        let made = made.json();
        assert_eq!((&made["isOpen"], &made["address"]), (&json!(true), &Value::Null));
        let again = house.post(&places, &json!({"name": "East"})).await;
        assert_eq!(again.problem(), (409, "location-exists".into()));
        let place = format!("{places}/{}", made["id"].as_str().unwrap());
        let changed = house.patch(&place, &json!({"phone": null, "isOpen": false})).await.json();
        assert_eq!((&changed["phone"], &changed["isOpen"]), (&Value::Null, &json!(false)));
        assert_eq!(changed["name"], "East");
        assert_eq!(house.get(&places).await.json(), json!([changed]));
        assert_eq!(house.get(&place).await.json(), changed);

        let nurse = json!({"email": "n@example.org", "name": "N", "role": "NURSE", "locationId": made["id"]});
        let members = format!("/api/v1/clinics/{}/members", house.other);
        let nurse = house.post(&members, &nurse).await.json();
        assert_eq!(house.delete(&place).await.problem(), (409, "location-in-use".into()));
        let member = format!("{members}/{}", nurse["id"].as_str().unwrap());
        assert_eq!(house.delete(&member).await.status.as_u16(), 204);
        assert_eq!(house.delete(&place).await.status.as_u16(), 204);
        assert_eq!(house.get(&place).await.problem(), (404, "not-found".into()));
        let elsewhere = place.replace(&house.other.to_string(), &ClinicId::DEFAULT.to_string());
        assert_eq!(house.get(&elsewhere).await.problem(), (404, "not-found".into()));
    })
    .await;
}

#[tokio::test]
async fn a_title_means_one_clinic_and_only_the_operator_says_which() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let titles = format!("/api/v1/clinics/{}/ae-titles", house.other);
        let named = house.post(&titles, &json!({"aeTitle": " NORTH PACS ", "side": "called"})).await;
        assert_eq!(named.status.as_u16(), 201);
        assert_eq!(named.json()["aeTitle"], "NORTH PACS");
        assert_eq!(house.get(&titles).await.json(), json!([named.json()]));
        let theirs = format!("/api/v1/clinics/{}/ae-titles", ClinicId::DEFAULT);
        let taken = house.post(&theirs, &json!({"aeTitle": "NORTH PACS", "side": "called"})).await;
        assert_eq!(taken.problem(), (409, "ae-title-taken".into()));
        let long = house.post(&titles, &json!({"aeTitle": "SEVENTEEN_LETTERS", "side": "called"})).await;
        assert_eq!(long.problem(), (400, "invalid-ae-title".into()));
        let admin = house.person(house.other, Role::ClinicAdmin).await;
        let body = json!({"aeTitle": "MEDILINK", "side": "called"});
        let refused = house.ask(&admin, Method::POST, &titles, Some(&body)).await;
        assert_eq!(refused.problem(), (403, "not-allowed".into()), "it could take another clinic's images");
        assert_eq!(house.delete(&format!("{theirs}/NORTH%20PACS")).await.status.as_u16(), 404);
        assert_eq!(house.delete(&format!("{titles}/NORTH%20PACS")).await.status.as_u16(), 204);
        assert_eq!(house.get(&titles).await.json(), json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_setting_says_where_it_comes_from() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let path = format!("/api/v1/clinics/{}/settings", house.other);
        let own = json!({"locale": "sw", "appointmentMinutes": 30});
        assert_eq!(house.put(&path, &own).await.status.as_u16(), 200);
        let global = json!({"currency": "KES", "locale": "fr"});
        assert_eq!(house.put("/api/v1/settings", &global).await.status.as_u16(), 200);
        let settings = house.get(&path).await.json();
        assert_eq!(settings["locale"], json!({"value": "sw", "from": "clinic"}));
        assert_eq!(settings["currency"], json!({"value": "KES", "from": "global"}));
        assert_eq!(settings["recordRetentionYears"], json!({"value": 10, "from": "built_in"}));
        assert_eq!(house.put(&path, &json!({"locale": null})).await.json()["locale"]["from"], "global");
        assert_eq!(house.get("/api/v1/settings").await.json()["locale"]["value"], "fr");
        for (body, refusal) in [
            (json!({"currency": "kes"}), (400, "invalid-setting")),
            (json!({"appointmentMinutes": 4}), (400, "invalid-setting")),
            (json!({"colour": "red"}), (422, "invalid-json")),
        ] {
            assert_eq!(house.put(&path, &body).await.problem(), (refusal.0, refusal.1.to_owned()), "{body}");
        }
        let admin = house.person(house.other, Role::ClinicAdmin).await;
        let refused = house.ask(&admin, Method::PUT, "/api/v1/settings", Some(&global)).await;
        assert_eq!(refused.problem(), (403, "not-allowed".into()));
        assert_eq!(house.ask(&admin, Method::PUT, &path, Some(&own)).await.status.as_u16(), 200);
    })
    .await;
}
