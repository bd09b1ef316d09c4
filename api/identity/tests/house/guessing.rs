//! Guessing is slowed, and locks nobody out.

use chrono::TimeDelta;
use clinical::role::Role;
use serde_json::json;
use storage::testing::on_both;

use crate::support::{House, PASSWORD, refused};

#[tokio::test]
async fn after_five_wrong_passwords_the_next_try_waits_even_for_an_unknown_address() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        for email in ["ada@example.org", "nobody@example.org"] {
            for _ in 0..5 {
                assert_eq!(house.login(email, "wrong password").await.status, 401);
            }
            let early = house.login(email, PASSWORD).await;
            assert_eq!(early.problem(), refused(429, "slow-down"));
            assert_eq!(early.header("retry-after"), "1");
        }
        house.pass(TimeDelta::seconds(1));
        assert_eq!(house.login("ADA@example.org", PASSWORD).await.status, 200);
        assert_eq!(house.login("ada@example.org", "wrong password").await.status, 401, "counted anew");
    })
    .await;
}

#[tokio::test]
async fn a_device_of_ones_own_does_not_feel_what_others_guess() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        house.user("eve@example.org", Role::Doctor).await;
        let (access, device) = house.tokens("ada@example.org").await;
        let (_, eves) = house.tokens("eve@example.org").await;
        house.post("/api/v1/auth/logout", &access, serde_json::Value::Null).await;
        for _ in 0..40 {
            house.login("ada@example.org", "wrong password").await;
        }
        let with = async |device: &str, password: &str| {
            let body = json!({"email": "ada@example.org", "password": password, "device": device});
            house.post("/api/v1/auth/login", "", body).await
        };
        assert_eq!(with(&eves, PASSWORD).await.status, 429, "another person's device proves nothing");
        assert_eq!(with("mlr_AAAA", PASSWORD).await.status, 429);
        assert_eq!(with(&device, PASSWORD).await.status, 200);
        for _ in 0..5 {
            assert_eq!(with(&device, "wrong password").await.status, 401);
        }
        assert_eq!(with(&device, PASSWORD).await.status, 429, "who took the device guesses no faster");
    })
    .await;
}

#[tokio::test]
async fn a_stolen_access_token_does_not_guess_the_password() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::Doctor).await;
        let (access, _) = house.tokens("ada@example.org").await;
        let change = async || {
            let body = json!({"currentPassword": "wrong password", "newPassword": "a new password"});
            house.post("/api/v1/me/password", &access, body).await
        };
        for _ in 0..5 {
            assert_eq!(change().await.problem(), refused(403, "password-wrong"));
        }
        assert_eq!(change().await.problem(), refused(429, "slow-down"));
    })
    .await;
}
