//! Sign-in, the account, passwords, the first administrator.

use chrono::TimeDelta;
use clinical::job::{Job, Queue};
use clinical::role::Role;
use gate::testing::TOKEN;
use http::Method;
use identity::ResetMail;
use serde_json::{Value, json};
use storage::outbox::told;
use storage::queue::{self, Claimed, QueueLimits};
use storage::secret::SYSTEM;
use storage::testing::on_both;

use crate::support::{House, PASSWORD, refused, text};

/// RFC 6749, section 5.1.
#[tokio::test]
async fn a_sign_in_gives_tokens_that_nobody_on_the_way_keeps() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        let answer = house.login(" ADA@example.org ", PASSWORD).await;
        assert_eq!(answer.status, 200);
        assert_eq!((answer.header("cache-control"), answer.header("pragma")), ("no-store", "no-cache"));
        let tokens = answer.json();
        assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));

        let me = house.get("/api/v1/me", &text(&answer, "access_token")).await.json();
        assert_eq!((&me["kind"], &me["email"]), (&json!("user"), &json!("ada@example.org")));
        assert_eq!(me["memberships"][0]["role"], "DOCTOR");
        assert_eq!(me["hasSecondFactor"], false);
        assert!(house.trail().await.contains(&"account:sign-in success".to_owned()));

        let administrator = house.get("/api/v1/me", TOKEN).await.json();
        assert_eq!(administrator["kind"], "administrator");
    })
    .await;
}

#[tokio::test]
async fn an_unknown_address_a_wrong_password_and_a_disabled_user_look_the_same() {
    on_both(async |db| {
        let house = House::new(&db);
        let ada = house.user("ada@example.org", Role::Doctor).await;
        let wrong = house.login("ada@example.org", "wrong password").await;
        let unknown = house.login("eve@example.org", PASSWORD).await;
        let no_address = house.login("ada", PASSWORD).await;
        let too_long = house.login("ada@example.org", &"x".repeat(100_000)).await;
        let state = json!({"state": "disabled"});
        let changed = house.ask(Method::PATCH, &format!("/api/v1/users/{ada}"), TOKEN, state).await;
        assert_eq!(changed.json()["state"], "disabled");
        let disabled = house.login("ada@example.org", PASSWORD).await;
        for answer in [&wrong, &unknown, &no_address, &too_long, &disabled] {
            assert_eq!(answer.problem(), refused(401, "invalid-grant"));
            assert_eq!(answer.json()["detail"], wrong.json()["detail"]);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
        let denied = house.trail().await.into_iter().filter(|row| row == "account:sign-in denied").count();
        assert_eq!(denied, 5);
    })
    .await;
}

#[tokio::test]
async fn a_request_that_says_more_or_less_than_asked_is_refused() {
    on_both(async |db| {
        let house = House::new(&db);
        for body in [
            json!({"email": "a@example.org"}),
            json!({"email": "a@example.org", "password": PASSWORD, "role": "SUPER_ADMIN"}),
            json!({"email": 1, "password": PASSWORD}),
        ] {
            assert_eq!(house.post("/api/v1/auth/login", "", body).await.status, 422);
        }
        let twice = r#"{"email":"a@example.org","email":"b@example.org","password":"x"}"#;
        let request = http::Request::post("/api/v1/auth/login").header("content-type", "application/json");
        let answer = gate::testing::send(&house.router, request.body(twice.into()).unwrap()).await;
        assert_eq!(answer.status, 422);
        for path in ["/api/v1/me", "/api/v1/me/sessions", "/api/v1/users", "/api/v1/api-keys"] {
            assert_eq!(house.get(path, "").await.problem(), refused(401, "token-missing"), "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_ends_at_once_when_its_person_leaves() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        let (access, refresh) = house.tokens("ada@example.org").await;
        let (other, other_refresh) = house.tokens("ada@example.org").await;
        let sessions = house.get("/api/v1/me/sessions", &access).await.json();
        assert_eq!(sessions.as_array().unwrap().len(), 2);
        assert_eq!((&sessions[0]["isThis"], &sessions[1]["isThis"]), (&json!(false), &json!(true)));

        assert_eq!(house.post("/api/v1/auth/logout", &access, Value::Null).await.status, 204);
        assert_eq!(house.get("/api/v1/me", &access).await.problem(), refused(401, "token-invalid"));
        assert_eq!(house.refresh(&refresh).await.problem(), refused(401, "invalid-grant"));
        assert_eq!(house.get("/api/v1/me", &other).await.status, 200);

        let (third, _) = house.tokens("ada@example.org").await;
        let this = sessions[0]["sessionId"].as_str().unwrap();
        assert_eq!(house.delete(&format!("/api/v1/me/sessions/{this}"), &third).await.status, 204);
        assert_eq!(house.get("/api/v1/me", &other).await.status, 401);
        assert_eq!(house.refresh(&other_refresh).await.status, 401);

        let (fourth, _) = house.tokens("ada@example.org").await;
        assert_eq!(house.delete("/api/v1/me/sessions", &fourth).await.status, 204);
        assert_eq!(house.get("/api/v1/me", &third).await.status, 401);
        assert_eq!(house.get("/api/v1/me", &fourth).await.status, 200);

        house.user("eve@example.org", Role::Doctor).await;
        let (eve, _) = house.tokens("eve@example.org").await;
        let sessions = house.get("/api/v1/me/sessions", &fourth).await.json();
        let adas = sessions[0]["sessionId"].as_str().unwrap();
        let others = house.delete(&format!("/api/v1/me/sessions/{adas}"), &eve).await;
        assert_eq!(others.problem(), refused(404, "not-found"));
        let keyless = house.post("/api/v1/auth/logout", TOKEN, Value::Null).await;
        assert_eq!(keyless.problem(), refused(403, "no-account"));
    })
    .await;
}

#[tokio::test]
async fn an_access_token_ends_after_fifteen_minutes_and_the_session_after_a_week_unused() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        let (access, refresh) = house.tokens("ada@example.org").await;
        house.pass(TimeDelta::minutes(15));
        assert_eq!(house.get("/api/v1/me", &access).await.problem(), refused(401, "token-invalid"));
        house.pass(TimeDelta::days(7));
        assert_eq!(house.refresh(&refresh).await.problem(), refused(401, "invalid-grant"));
    })
    .await;
}

#[tokio::test]
async fn another_password_ends_every_other_session() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        let (this, _) = house.tokens("ada@example.org").await;
        let (other, refresh) = house.tokens("ada@example.org").await;
        let change = async |current: &str, new: &str| {
            let body = json!({"currentPassword": current, "newPassword": new});
            house.post("/api/v1/me/password", &this, body).await
        };
        assert_eq!(change("wrong", "a new password").await.problem(), refused(403, "password-wrong"));
        assert_eq!(change(PASSWORD, "password1").await.problem(), refused(422, "password-refused"));
        assert_eq!(change(PASSWORD, "a new password").await.status, 204);
        assert_eq!(house.get("/api/v1/me", &this).await.status, 200);
        assert_eq!(house.get("/api/v1/me", &other).await.status, 401);
        assert_eq!(house.refresh(&refresh).await.status, 401);
        assert_eq!(house.login("ada@example.org", PASSWORD).await.status, 401);
        assert_eq!(house.login("ada@example.org", "a new password").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_person_changes_their_own_name_and_with_their_password_their_address() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        house.user("eve@example.org", Role::Doctor).await;
        let (access, _) = house.tokens("ada@example.org").await;
        let change = async |body| house.ask(Method::PATCH, "/api/v1/me", &access, body).await;
        assert_eq!(change(json!({"name": " Ada L. "})).await.json()["name"], "Ada L.");
        let without = change(json!({"email": "ada@example.net"})).await;
        assert_eq!(without.problem(), refused(422, "invalid-input"));
        let taken = change(json!({"email": "EVE@example.org", "currentPassword": PASSWORD})).await;
        assert_eq!(taken.problem(), refused(409, "email-taken"));
        let moved = change(json!({"email": "ada@example.net", "currentPassword": PASSWORD})).await;
        assert_eq!(moved.json()["email"], "ada@example.net");
        for odd in [json!({"name": "a\u{202e}b"}), json!({"name": ""}), json!({"name": "x".repeat(201)})] {
            assert_eq!(change(odd).await.problem(), refused(422, "invalid-input"));
        }
        for more in ["userId", "state", "memberships", "isActive"] {
            assert_eq!(change(json!({more: "x"})).await.status, 422, "mass assignment of {more}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_forgotten_password_is_set_once_with_a_token_that_only_its_person_gets() {
    on_both(async |db| {
        let house = House::new(&db);
        let ada = house.user("ada@example.org", Role::Doctor).await;
        let (access, refresh) = house.tokens("ada@example.org").await;
        for email in ["ada@example.org", "nobody@example.org", "no address"] {
            let answer = house.post("/api/v1/auth/password/forgot", "", json!({"email": email})).await;
            assert_eq!((answer.status.as_u16(), answer.body.len()), (202, 0), "{email}");
        }
        let mut read = db.read().await.unwrap();
        let asked =
            told(&mut read, clinical::id::ClinicId::DEFAULT, "password_reset_asked", 9).await.unwrap();
        assert_eq!(asked.len(), 1);
        drop(read);

        let link = house.post(&format!("/api/v1/users/{ada}/reset-link"), TOKEN, Value::Null).await;
        assert_eq!(link.status, 201);
        let reset = async |token: &str, password: &str| {
            let body = json!({"token": token, "newPassword": password});
            house.post("/api/v1/auth/password/reset", "", body).await
        };
        let token = text(&link, "token");
        assert_eq!(reset("mls_wrong", "a new password").await.problem(), refused(401, "invalid-grant"));
        assert_eq!(reset(&token, "12345678").await.problem(), refused(422, "password-refused"));
        assert_eq!(reset(&token, "a new password").await.status, 204);
        assert_eq!(reset(&token, "another password").await.problem(), refused(401, "invalid-grant"));
        assert_eq!(house.get("/api/v1/me", &access).await.status, 401);
        assert_eq!(house.refresh(&refresh).await.status, 401);
        assert_eq!(house.login("ada@example.org", "a new password").await.status, 200);

        let link = house.post(&format!("/api/v1/users/{ada}/reset-link"), TOKEN, Value::Null).await;
        house.pass(TimeDelta::minutes(61));
        let late = reset(&text(&link, "token"), "one more password").await;
        assert_eq!(late.problem(), refused(401, "invalid-grant"));
    })
    .await;
}

#[tokio::test]
async fn a_token_waits_sealed_until_it_is_mailed_by_those_who_have_power_over_the_account() {
    on_both(async |db| {
        let house = House::new(&db);
        let keys = house.app.authenticator.keyring().clone();
        let waiting = async |id| {
            let mut read = house.app.db.read().await.unwrap();
            ResetMail::waiting(&mut read, &keys, id, house.now()).await.unwrap()
        };
        let asked = async |email: &str| {
            house.post("/api/v1/auth/password/forgot", "", json!({"email": email})).await;
            let job =
                queue::claim_from(&db, Queue::Email, QueueLimits::default(), house.now()).await.unwrap();
            match job {
                Some(Claimed { job: Job::MailPasswordReset { single_use_token_id: id }, .. }) => id,
                other => panic!("{other:?}"),
            }
        };
        let doctor = house.user("ada@example.org", Role::Doctor).await;
        house.user("eve@example.org", Role::SuperAdmin).await;
        let id = asked("ada@example.org").await;
        let mail = waiting(id).await.unwrap();
        assert_eq!((mail.user_id, mail.carried_by), (doctor, clinical::id::ClinicId::DEFAULT));
        let above = asked("eve@example.org").await;
        assert_eq!(waiting(above).await.unwrap().carried_by, SYSTEM, "no clinic's server may read it");

        let mut tx = db.begin().await.unwrap();
        ResetMail::is_over(&mut tx, id).await.unwrap();
        tx.commit().await.unwrap();
        assert!(waiting(id).await.is_none(), "nobody mails it again");
        let body = json!({"token": mail.token, "newPassword": "a new password"});
        assert_eq!(house.post("/api/v1/auth/password/reset", "", body).await.status, 204);
        house.pass(TimeDelta::minutes(61));
        assert!(waiting(above).await.is_none(), "it counts no more");
    })
    .await;
}

#[tokio::test]
async fn the_first_administrator_is_made_once_with_the_printed_token() {
    on_both(async |db| {
        let house = House::new(&db);
        let earlier = identity::setup_link(&house.app).await.unwrap().unwrap();
        let token = identity::setup_link(&house.app).await.unwrap().unwrap();
        let setup = async |token: &str, email: &str| {
            let body = json!({"token": token, "email": email, "password": PASSWORD, "name": "Ada"});
            house.post("/api/v1/auth/setup", "", body).await
        };
        assert_eq!(setup("mls_x", "ada@example.org").await.problem(), refused(401, "invalid-grant"));
        let answer = setup(&token, "ada@example.org").await;
        assert_eq!(answer.status, 201);
        let me = house.get("/api/v1/me", &text(&answer, "access_token")).await.json();
        assert_eq!(me["memberships"][0]["role"], "SUPER_ADMIN");
        for used in [&token, &earlier] {
            assert_eq!(setup(used, "eve@example.org").await.problem(), refused(401, "invalid-grant"));
        }
        assert_eq!(identity::setup_link(&house.app).await.unwrap(), None);
    })
    .await;
}
