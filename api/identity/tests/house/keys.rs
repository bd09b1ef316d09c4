//! Keys of machines, and those that sign.

use chrono::TimeDelta;
use clinical::role::Role;
use gate::testing::TOKEN;
use serde_json::{Value, json};
use storage::testing::on_both;

use crate::support::{House, refused, text};

#[tokio::test]
async fn a_machine_does_what_its_scopes_say_until_it_is_revoked() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("boss@example.org", Role::ClinicAdmin).await;
        let (boss, _) = house.tokens("boss@example.org").await;
        let create = async |token: &str, scopes: Value| {
            house.post("/api/v1/api-keys", token, json!({"name": "gateway", "scopes": scopes})).await
        };
        let of_people = create(&boss, json!(["member:list", "api_key:create"])).await;
        assert_eq!(of_people.problem(), refused(403, "not-allowed"));
        let made = create(&boss, json!(["member:list"])).await;
        assert_eq!(made.status, 201);
        let key = text(&made, "key");
        assert!(key.starts_with("mlk_") && key.len() == 47);
        assert_eq!(house.get("/api/v1/users", &key).await.status, 200);
        assert_eq!(house.get("/api/v1/api-keys", &key).await.problem(), refused(403, "not-allowed"));
        assert_eq!(create(&key, json!(["member:list"])).await.status, 403, "a machine makes no keys");

        let listed = house.get("/api/v1/api-keys", &boss).await;
        assert_eq!(listed.json()[0]["scopes"], json!(["member:list"]));
        assert!(!String::from_utf8_lossy(&listed.body).contains("mlk_"));
        let id = text(&made, "apiKeyId");
        assert_eq!(house.delete(&format!("/api/v1/api-keys/{id}"), &boss).await.status, 204);
        assert_eq!(house.get("/api/v1/users", &key).await.problem(), refused(401, "token-invalid"));
        assert_eq!(house.delete(&format!("/api/v1/api-keys/{id}"), &boss).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn a_key_has_no_scope_that_its_maker_lacks() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("boss@example.org", Role::ClinicAdmin).await;
        house.user("doc@example.org", Role::Doctor).await;
        let (boss, _) = house.tokens("boss@example.org").await;
        let (doctor, _) = house.tokens("doc@example.org").await;
        let create = async |token: &str, scopes: Value| {
            let body = json!({"name": "k", "scopes": scopes});
            house.post("/api/v1/api-keys", token, body).await.status.as_u16()
        };
        assert_eq!(create(&boss, json!(["finding:review"])).await, 403, "a clinic's head judges no findings");
        assert_eq!(create(&boss, json!(["clinic:create"])).await, 403);
        assert_eq!(create(&boss, json!(["account:update"])).await, 403, "what is one's own is nobody else's");
        assert_eq!(create(TOKEN, json!(["clinic:create"])).await, 201);
        assert_eq!(create(&doctor, json!(["finding:review"])).await, 403, "a doctor makes no keys");
        for odd in [json!([]), json!(["patient"]), json!(["patient:fly"]), json!(["*"])] {
            assert_eq!(create(&boss, odd).await, 422);
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_ends_in_its_time() {
    on_both(async |db| {
        let house = House::new(&db);
        let create = async |end| {
            let body = json!({"name": "k", "scopes": ["member:list"], "expiresAt": end});
            house.post("/api/v1/api-keys", TOKEN, body).await
        };
        let past = create(house.now()).await;
        assert_eq!(past.problem(), refused(422, "invalid-input"));
        let made = create(house.now() + TimeDelta::hours(1)).await;
        let key = text(&made, "key");
        assert_eq!(house.get("/api/v1/users", &key).await.status, 200);
        house.pass(TimeDelta::hours(1));
        assert_eq!(house.get("/api/v1/users", &key).await.problem(), refused(401, "token-invalid"));
    })
    .await;
}

#[tokio::test]
async fn signing_keys_are_published_and_replaced_without_a_sign_out() {
    on_both(async |db| {
        let house = House::new(&db);
        house.user("ada@example.org", Role::ClinicAdmin).await;
        let (access, refresh) = house.tokens("ada@example.org").await;
        let published = house.get("/.well-known/jwks.json", "").await;
        assert_eq!(published.header("content-type"), "application/jwk-set+json");
        assert_eq!(published.json()["keys"][0]["alg"], "EdDSA");
        let denied = house.post("/api/v1/auth/keys/rotate", &access, Value::Null).await;
        assert_eq!(denied.problem(), refused(403, "not-allowed"));
        let rotated = house.post("/api/v1/auth/keys/rotate", TOKEN, Value::Null).await;
        assert_eq!(rotated.status, 201);
        assert_eq!(house.get("/api/v1/me", &access).await.status, 200);
        house.pass(TimeDelta::seconds(60));
        assert_eq!(house.get("/api/v1/me", &access).await.status, 200);
        assert_eq!(house.refresh(&refresh).await.status, 200);
    })
    .await;
}
