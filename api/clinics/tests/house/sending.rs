//! Peers and what is forwarded to them.

use clinical::id::{ClinicId, PeerId};
use clinical::role::Role;
use http::Method;
use serde_json::json;
use storage::testing::on_both;

use crate::support::House;

#[tokio::test]
async fn a_clinic_administrator_names_peers_and_others_only_see_them() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let admin = house.person(house.other, Role::ClinicAdmin).await;
        let technician = house.person(house.other, Role::LabTechnician).await;
        let doctor = house.person(house.other, Role::Doctor).await;
        let peers = format!("/api/v1/clinics/{}/dicom-peers", house.other);
        let body = json!({"aeTitle": " PACS ", "host": "10.0.0.7", "port": 104});
        for (who, code) in [(&technician, 403), (&doctor, 403), (&admin, 201)] {
            let answer = house.ask(who, Method::POST, &peers, Some(&body)).await;
            assert_eq!(answer.status.as_u16(), code);
        }
        let listed = house.ask(&technician, Method::GET, &peers, None).await.json();
        let peer = listed[0].clone();
        assert_eq!(
            (&peer["aeTitle"], &peer["port"], &peer["usesTls"]),
            (&json!("PACS"), &json!(104), &json!(false))
        );

        let again = house.post(&peers, &body).await;
        assert_eq!(again.problem(), (409, "dicom-peer-exists".into()));
        for (bad, code) in [
            (json!({"aeTitle": "SEVENTEEN_LETTERS", "host": "a", "port": 1}), "invalid-ae-title"),
            (json!({"aeTitle": "A", "host": "a:b/c", "port": 1}), "invalid-host"),
            (json!({"aeTitle": "A", "host": "", "port": 1}), "invalid-host"),
            (json!({"aeTitle": "A", "host": "a", "port": 0}), "invalid-host"),
        ] {
            assert_eq!(house.post(&peers, &bad).await.problem(), (400, code.into()), "{bad}");
        }
        let one = format!("{peers}/{}", peer["id"].as_str().unwrap());
        let changed = house.patch(&one, &json!({"host": "fd00::7", "usesTls": true})).await.json();
        assert_eq!(
            (&changed["host"], &changed["usesTls"], &changed["port"]),
            (&json!("fd00::7"), &json!(true), &json!(104))
        );
        assert_eq!(house.get(&one).await.json(), changed);
        let elsewhere =
            format!("/api/v1/clinics/{}/dicom-peers/{}", ClinicId::DEFAULT, peer["id"].as_str().unwrap());
        assert_eq!(house.get(&elsewhere).await.problem(), (404, "not-found".into()));
        assert_eq!(house.delete(&one).await.status.as_u16(), 204);
        assert_eq!(house.get(&peers).await.json(), json!([]));
    })
    .await;
}

#[tokio::test]
async fn a_rule_names_a_peer_of_its_clinic_and_holds_it() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let clinic = format!("/api/v1/clinics/{}", house.other);
        let (peers, rules) = (format!("{clinic}/dicom-peers"), format!("{clinic}/forward-rules"));
        let peer =
            house.post(&peers, &json!({"aeTitle": "PACS", "host": "pacs.example", "port": 104})).await.json();
        let lost = house.post(&rules, &json!({"peerId": PeerId::new()})).await;
        assert_eq!(lost.problem(), (400, "unknown-dicom-peer".into()));
        let body =
            json!({"peerId": peer["id"], "modality": " CT ", "callingAe": "CT1", "wantsCommitment": true});
        let made = house.post(&rules, &body).await;
        assert_eq!(made.status.as_u16(), 201);
        let rule = made.json();
        assert_eq!(
            (&rule["modality"], &rule["bodyPart"], &rule["isEnabled"]),
            (&json!("CT"), &json!(null), &json!(true))
        );
        let long = house.post(&rules, &json!({"peerId": peer["id"], "modality": "SEVENTEEN_LETTERS"})).await;
        assert_eq!(long.problem(), (400, "invalid-text".into()));

        let one = format!("{rules}/{}", rule["id"].as_str().unwrap());
        let changed =
            house.patch(&one, &json!({"callingAe": null, "bodyPart": "CHEST", "isEnabled": false})).await;
        let changed = changed.json();
        assert_eq!(
            (&changed["callingAe"], &changed["bodyPart"], &changed["isEnabled"]),
            (&json!(null), &json!("CHEST"), &json!(false))
        );
        assert_eq!(house.get(&rules).await.json(), json!([changed]));
        let held = house.delete(&format!("{peers}/{}", peer["id"].as_str().unwrap())).await;
        assert_eq!(held.problem(), (409, "dicom-peer-in-use".into()));
        assert_eq!(house.delete(&one).await.status.as_u16(), 204);
        assert_eq!(house.get(&one).await.problem(), (404, "not-found".into()));
    })
    .await;
}
