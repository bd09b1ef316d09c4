//! `medilink demo users`: what it prints opens the doors that it says, and no others.

use serde_json::{Value, json};

use crate::support::server::{BOTH, Server, output};

/// The clinics that the command prints.
fn clinics(server: &Server) -> Vec<Value> {
    let (is_well, text) = output(server.command().args(["demo", "users", "--json"]));
    assert!(is_well, "{text}");
    let begin = text.find("{\n").unwrap_or_else(|| panic!("{text}"));
    let answer: Value =
        serde_json::Deserializer::from_str(&text[begin..]).into_iter().next().unwrap().unwrap();
    answer["clinics"].as_array().unwrap().clone()
}

fn user<'c>(clinic: &'c Value, role: &str) -> &'c Value {
    clinic["users"].as_array().unwrap().iter().find(|user| user["role"] == role).unwrap()
}

/// The status of signing in, and the access token.
fn sign_in(server: &Server, user: &Value) -> (u16, String) {
    let words = json!({ "email": user["email"], "password": user["password"] });
    let answer =
        reqwest::blocking::Client::new().post(server.url("/api/v1/auth/login")).json(&words).send().unwrap();
    let status = answer.status().as_u16();
    let token = answer.json::<Value>().unwrap()["access_token"].as_str().unwrap_or_default().to_owned();
    (status, token)
}

/// The status of a path for the bearer of `token`.
fn status(server: &Server, path: &str, token: &str) -> u16 {
    reqwest::blocking::Client::new()
        .get(server.url(path))
        .bearer_auth(token)
        .send()
        .unwrap()
        .status()
        .as_u16()
}

#[test]
fn each_role_of_two_clinics_signs_in_and_sees_its_own_clinic() {
    for engine in BOTH {
        let server = Server::start(engine);
        let clinics = clinics(&server);
        assert_eq!(clinics.len(), 2);
        let place = |clinic: &Value| format!("/api/v1/patients/{}", clinic["patientId"].as_str().unwrap());
        let (ours, theirs) = (place(&clinics[0]), place(&clinics[1]));
        assert_eq!(clinics[0]["users"].as_array().unwrap().len(), 12, "a user for every role");
        for (role, own) in [("DOCTOR", 200), ("PATIENT", 200), ("SYSTEM_AUDITOR", 403)] {
            let (signed_in, token) = sign_in(&server, user(&clinics[0], role));
            assert_eq!((signed_in, status(&server, &ours, &token)), (200, own), "{role}");
            assert_ne!(status(&server, &theirs, &token), 200, "{role} of another clinic");
        }
        let (_, token) = sign_in(&server, user(&clinics[0], "DOCTOR"));
        let me = reqwest::blocking::Client::new()
            .get(server.url("/api/v1/me"))
            .bearer_auth(&token)
            .send()
            .unwrap();
        assert!(me.text().unwrap().contains("DOCTOR"));
        assert_eq!(status(&server, &theirs, &token), 404, "another clinic's patient is not there");
    }
}

#[test]
fn passwords_are_made_anew_and_never_where_real_people_are_kept() {
    let server = Server::start(crate::support::server::Engine::Sqlite);
    let first = clinics(&server);
    let second = clinics(&server);
    assert_eq!(first[0]["clinicId"], second[0]["clinicId"]);
    assert_eq!(sign_in(&server, user(&first[0], "NURSE")).0, 401, "the earlier password counts no more");
    assert_eq!(sign_in(&server, user(&second[0], "NURSE")).0, 200);
    let person = json!({ "name": { "family": "Real", "given": "Ada" } });
    assert_eq!(server.post("/api/v1/patients").json(&person).send().unwrap().status(), 201);
    let (is_well, text) = output(server.command().args(["demo", "users", "--json"]));
    assert!(!is_well && text.contains("real people"), "{text}");
}
