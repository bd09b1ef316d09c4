//! Codes that follow the time, and those for the day the device is lost.

use aws_lc_rs::hmac;
use chrono::TimeDelta;
use clinical::role::Role;
use gate::testing::Answer;
use serde_json::{Value, json};
use storage::testing::on_both;

use crate::support::{House, PASSWORD, refused, text};

/// RFC 6238 as an authenticator computes it.
fn code(secret: &str, at_s: i64) -> String {
    let secret = data_encoding::BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret);
    let tag = hmac::sign(&key, &(at_s / 30).to_be_bytes());
    let offset = usize::from(tag.as_ref()[19] & 15);
    let word = u32::from_be_bytes(tag.as_ref()[offset..offset + 4].try_into().unwrap());
    format!("{:06}", (word & 0x7fff_ffff) % 1_000_000)
}

struct Enrolled {
    house: House,
    access: String,
    secret: String,
    recovery: Vec<String>,
}

async fn enrolled(db: &storage::db::Db) -> Enrolled {
    let house = House::new(db);
    house.user("ada@example.org", Role::Doctor).await;
    let (access, _) = house.tokens("ada@example.org").await;
    let begin = async |password: &str| {
        house.post("/api/v1/me/second-factor", &access, json!({"currentPassword": password})).await
    };
    assert_eq!(begin("wrong").await.problem(), refused(403, "password-wrong"));
    begin(PASSWORD).await;
    let begun = begin(PASSWORD).await;
    assert_eq!(begun.status, 201);
    assert!(text(&begun, "otpauthUri").starts_with("otpauth://totp/Medilink:ada%40example.org?secret="));
    let secret = text(&begun, "secret");
    assert_eq!(house.login("ada@example.org", PASSWORD).await.status, 200, "begun is not yet asked for");

    let confirm = async |code: &str| {
        house.post("/api/v1/me/second-factor/confirm", &access, json!({"code": code})).await
    };
    assert_eq!(confirm("000000").await.problem(), refused(403, "second-factor-wrong"));
    let confirmed = confirm(&code(&secret, house.now().timestamp())).await;
    assert_eq!(confirmed.status, 200);
    let recovery: Vec<String> = serde_json::from_value(confirmed.json()["recoveryCodes"].clone()).unwrap();
    assert_eq!(recovery.len(), 10);
    assert_eq!(begin(PASSWORD).await.problem(), refused(409, "second-factor-set"));
    Enrolled { house, access, secret, recovery }
}

impl Enrolled {
    async fn login(&self, totp: &str) -> Answer {
        let body = json!({"email": "ada@example.org", "password": PASSWORD, "totp": totp});
        self.house.post("/api/v1/auth/login", "", body).await
    }

    fn now_s(&self) -> i64 {
        self.house.now().timestamp()
    }
}

#[tokio::test]
async fn a_code_lets_in_once_and_only_with_the_password() {
    on_both(async |db| {
        let ada = enrolled(&db).await;
        let without = ada.house.login("ada@example.org", PASSWORD).await;
        assert_eq!(without.problem(), refused(401, "second-factor-required"));
        let wrong = ada.house.login("ada@example.org", "wrong password").await;
        assert_eq!(
            wrong.problem(),
            refused(401, "invalid-grant"),
            "who has no password hears of no second factor"
        );

        let used = ada.login(&code(&ada.secret, ada.now_s())).await;
        assert_eq!(used.problem(), refused(401, "second-factor-wrong"), "it confirmed the factor already");
        ada.house.pass(TimeDelta::seconds(30));
        let next = code(&ada.secret, ada.now_s());
        let twice = tokio::join!(ada.login(&next), ada.login(&next));
        let mut statuses = [twice.0.status.as_u16(), twice.1.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401], "of two at once one gets in");
        let me = ada.house.get("/api/v1/me", &ada.access).await.json();
        assert_eq!(me["hasSecondFactor"], true);
    })
    .await;
}

#[tokio::test]
async fn a_recovery_code_lets_in_once_however_it_is_typed() {
    on_both(async |db| {
        let ada = enrolled(&db).await;
        let typed = ada.recovery[0].to_lowercase().replace('-', " ");
        assert_eq!(ada.login(&typed).await.status, 200);
        assert_eq!(ada.login(&ada.recovery[0]).await.problem(), refused(401, "second-factor-wrong"));
        assert_eq!(ada.login(&ada.recovery[1]).await.status, 200);
        assert_eq!(ada.login(&"x".repeat(10_000)).await.status, 401);
    })
    .await;
}

#[tokio::test]
async fn a_second_factor_is_taken_away_by_who_has_both() {
    on_both(async |db| {
        let ada = enrolled(&db).await;
        let disable = async |password: &str, code: &str| {
            let body = json!({"currentPassword": password, "code": code});
            ada.house.post("/api/v1/me/second-factor/disable", &ada.access, body).await
        };
        let good = ada.recovery[2].as_str();
        assert_eq!(disable("wrong", good).await.problem(), refused(403, "password-wrong"));
        assert_eq!(disable(PASSWORD, "000000").await.problem(), refused(403, "second-factor-wrong"));
        assert_eq!(disable(PASSWORD, good).await.status, 204);
        assert_eq!(ada.house.login("ada@example.org", PASSWORD).await.status, 200);
        let again =
            ada.house.post("/api/v1/me/second-factor/confirm", &ada.access, json!({"code": "000000"})).await;
        assert_eq!(again.problem(), refused(409, "no-second-factor-begun"));
        assert_eq!(ada.house.post("/api/v1/me/second-factor", "", Value::Null).await.status, 401);
    })
    .await;
}
