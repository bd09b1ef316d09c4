use std::sync::Mutex;

use aws_lc_rs::encoding::{AsDer, Pkcs8V2Der};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use storage::db::Tx;
use storage::records::api_key::NewApiKey;
use storage::records::member::{Member, Position};
use storage::records::session::NewSession;
use storage::records::signing_key::{PRIVATE_KEY_PURPOSE, SigningKey};
use storage::records::user::User;
use storage::secret::SYSTEM;
use storage::testing::{now, on_both};

use super::*;

/// A clock that a test sets.
struct SetClock(Mutex<DateTime<Utc>>);

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// One process, a person who has signed in, and their token.
struct Scene {
    db: Db,
    clock: Arc<SetClock>,
    keyring: Keyring,
    authenticator: Authenticator,
    user: UserId,
    session: SessionId,
    token: String,
}

impl Scene {
    async fn new(db: Db) -> Self {
        let clock = Arc::new(SetClock(Mutex::new(now())));
        let keyring = Keyring::from_text("a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        let authenticator = process(&db, &clock, &keyring);
        let mut tx = db.begin().await.unwrap();
        let user =
            User::create(&mut tx, &"ada@example.org".parse().unwrap(), "Ada", None, now()).await.unwrap();
        let user = user.user_id;
        Member::add(&mut tx, ClinicId::DEFAULT, user, &Position::of(Role::Doctor), now()).await.unwrap();
        let session = begin(&mut tx, user, &keyring).await;
        tx.commit().await.unwrap();
        let token = authenticator.issue(user, session).await.unwrap().text;
        Self { db, clock, keyring, authenticator, user, session, token }
    }

    fn pass(&self, time: TimeDelta) {
        *self.clock.0.lock().unwrap() += time;
    }

    async fn knows(&self, token: &str) -> bool {
        match self.authenticator.principal(token).await {
            Ok(_) => true,
            Err(problem) => {
                assert_eq!((problem.status().as_u16(), problem.code()), (401, "token-invalid"));
                false
            }
        }
    }

    /// The key that signs, as only the service itself has it.
    async fn own_key(&self) -> (String, String, EncodingKey) {
        let rows = SigningKey::list(&mut self.db.read().await.unwrap(), self.clock.now()).await.unwrap();
        let der = self.keyring.open(SYSTEM, PRIVATE_KEY_PURPOSE, &rows[0].private_key).unwrap();
        let key = EncodingKey::from_ed_der(&der);
        (rows[0].signing_key_id.to_string(), rows[0].public_key.clone(), key)
    }

    fn claims(&self) -> Value {
        let at = self.clock.now().timestamp();
        json!({
            "iss": "medilink", "aud": "medilink-api", "sub": self.user, "sid": self.session,
            "jti": uuid::Uuid::new_v4(), "iat": at, "nbf": at, "exp": at + 900,
        })
    }
}

fn process(db: &Db, clock: &Arc<SetClock>, keyring: &Keyring) -> Authenticator {
    let clock: Arc<dyn Clock> = Arc::<SetClock>::clone(clock);
    Authenticator::new("the administrator's", db.clone(), clock, keyring.clone(), TokenSettings::default())
}

async fn begin(tx: &mut Tx, user_id: UserId, keyring: &Keyring) -> SessionId {
    let session_id = SessionId::new();
    let session = NewSession {
        session_id,
        user_id,
        refresh_key: keyring.seal(SYSTEM, "session", &[0; 32]).unwrap(),
        means: "password".into(),
        address: None,
        device: None,
        expires_at: now() + TimeDelta::days(7),
    };
    Session::begin(tx, &session, now()).await.unwrap();
    session_id
}

fn header(kid: &str) -> Header {
    Header { typ: Some("at+jwt".into()), kid: Some(kid.into()), ..Header::new(Algorithm::EdDSA) }
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn kid_of(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

#[tokio::test]
async fn a_person_a_machine_and_the_administrator_are_told_apart() {
    on_both(async |db| {
        let scene = Scene::new(db).await;
        let ada = scene.authenticator.principal(&scene.token).await.unwrap();
        assert_eq!(ada.who, Who::User { user_id: scene.user, session_id: scene.session });
        assert_eq!(ada.name, format!("user:{}", scene.user));
        assert_eq!(ada.memberships[0].role, Some(Role::Doctor));
        let administrator = scene.authenticator.principal("the administrator's").await.unwrap();
        assert_eq!((administrator.who, administrator.name.as_str()), (Who::Administrator, "administrator"));

        let new = NewApiKey {
            name: "gateway".into(),
            sha256: token_sha256("mlk_secret"),
            scopes: vec!["study:create".parse().unwrap()],
            created_by: "administrator".into(),
            expires_at: Some(now() + TimeDelta::days(1)),
        };
        let mut tx = scene.db.begin().await.unwrap();
        let key = ApiKey::create(&mut tx, ClinicId::DEFAULT, &new, now()).await.unwrap();
        tx.commit().await.unwrap();
        let machine = scene.authenticator.principal("mlk_secret").await.unwrap();
        assert_eq!(machine.who, Who::Key { api_key_id: key.api_key_id });
        assert_eq!(machine.scopes, Some(new.scopes));
        let found =
            ApiKey::find(&mut scene.db.read().await.unwrap(), ClinicId::DEFAULT, key.api_key_id).await;
        assert_eq!(found.unwrap().used_at, Some(now()), "it was seen");

        for unknown in ["", "mlk_", "mlk_secre", "the administrator", &"x".repeat(5_000)] {
            assert!(!scene.knows(unknown).await, "{unknown}");
        }
        let mut tx = scene.db.begin().await.unwrap();
        ApiKey::revoke(&mut tx, ClinicId::DEFAULT, key.api_key_id, now()).await.unwrap();
        tx.commit().await.unwrap();
        scene.authenticator.forget_key(key.api_key_id);
        assert!(!scene.knows("mlk_secret").await);
    })
    .await;
}

/// The bad tokens of RFC 8725, section 2, each refused as the others are.
#[tokio::test]
async fn a_token_that_is_not_wholly_ours_is_refused() {
    on_both(async |db| {
        let scene = Scene::new(db).await;
        let (kid, x, own) = scene.own_key().await;
        let signed = |header: &Header, claims: &Value| jsonwebtoken::encode(header, claims, &own).unwrap();
        assert!(
            scene.knows(&signed(&header(&kid), &scene.claims())).await,
            "the claims below differ by one thing"
        );

        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let none = json!({"alg": "none", "typ": "at+jwt", "kid": kid});
        let unsigned = format!("{}.{}.", part(&none), part(&scene.claims()));
        let other_case = format!("{}.{}.", part(&with(none, "alg", json!("None"))), part(&scene.claims()));
        let hs256 = Header { alg: Algorithm::HS256, ..header(&kid) };
        let public = EncodingKey::from_secret(&URL_SAFE_NO_PAD.decode(&x).unwrap());
        let public_text = EncodingKey::from_secret(x.as_bytes());
        let foreign: Pkcs8V2Der<'_> = Ed25519KeyPair::generate().unwrap().as_der().unwrap();
        let foreign = EncodingKey::from_ed_der(foreign.as_ref());
        let whole = signed(&header(&kid), &scene.claims());
        let (front, _) = whole.rsplit_once('.').unwrap();
        let twice =
            scene.claims().to_string().replacen('{', r#"{"sub":"00000000-0000-7000-8000-000000000001","#, 1);
        let twice = format!("{}.{}", part(&json!(header(&kid))), URL_SAFE_NO_PAD.encode(twice));
        let twice = format!(
            "{twice}.{}",
            jsonwebtoken::crypto::sign(twice.as_bytes(), &own, Algorithm::EdDSA).unwrap()
        );

        let mut bad = vec![
            ("no algorithm", unsigned),
            ("no algorithm, in another case", other_case),
            ("our public key as a secret", jsonwebtoken::encode(&hs256, &scene.claims(), &public).unwrap()),
            ("its text as a secret", jsonwebtoken::encode(&hs256, &scene.claims(), &public_text).unwrap()),
            ("a foreign key", jsonwebtoken::encode(&header(&kid), &scene.claims(), &foreign).unwrap()),
            ("no signature", format!("{front}.")),
            ("another token's signature", format!("{front}.{}", scene.token.rsplit('.').next().unwrap())),
            ("a claim twice", twice),
            ("another type", signed(&Header { typ: Some("JWT".into()), ..header(&kid) }, &scene.claims())),
            ("no key's name", signed(&Header { kid: None, ..header(&kid) }, &scene.claims())),
            (
                "what must be understood",
                signed(&Header { crit: Some(vec!["b64".into()]), ..header(&kid) }, &scene.claims()),
            ),
        ];
        for kid in ["../../../dev/null", "/etc/passwd", "' OR 1=1 --", "", "http://192.0.2.1/key"] {
            bad.push((kid, signed(&header(kid), &scene.claims())));
        }
        let at = scene.clock.now().timestamp();
        for (what, name, value) in [
            ("another audience", "aud", json!("others")),
            ("our audience among others", "aud", json!(["medilink-api", "others"])),
            ("another issuer", "iss", json!("others")),
            ("expired", "exp", json!(at)),
            ("not yet valid", "nbf", json!(at + 60)),
            ("a text for nbf", "nbf", json!(at.to_string())),
            ("a text for exp", "exp", json!((at + 900).to_string())),
            ("a fraction for exp", "exp", json!(at as f64 + 900.5)),
            ("exp beyond all time", "exp", json!(i64::MAX)),
            ("another person", "sub", json!(UserId::new())),
            ("another session", "sid", json!(SessionId::new())),
            ("no identifier", "sid", json!("1")),
            ("a claim that we never make", "role", json!("SUPER_ADMIN")),
        ] {
            bad.push((what, signed(&header(&kid), &with(scene.claims(), name, value))));
        }
        for name in ["iss", "aud", "sub", "sid", "jti", "iat", "nbf", "exp"] {
            bad.push((name, signed(&header(&kid), &without(scene.claims(), name))));
        }
        for (what, token) in bad {
            assert!(!scene.knows(&token).await, "{what}");
            assert!(!scene.knows(&token).await, "{what}, the second time");
        }
    })
    .await;
}

#[tokio::test]
async fn a_known_token_ends_in_its_time() {
    on_both(async |db| {
        let scene = Scene::new(db).await;
        assert!(scene.knows(&scene.token).await);
        scene.pass(TimeDelta::seconds(898));
        assert!(scene.knows(&scene.token).await);
        scene.pass(TimeDelta::seconds(2));
        assert!(!scene.knows(&scene.token).await);
    })
    .await;
}

#[tokio::test]
async fn what_changes_behind_a_known_token_counts_once_it_is_forgotten() {
    on_both(async |db| {
        let scene = Scene::new(db).await;
        assert!(scene.knows(&scene.token).await);
        let mut tx = scene.db.begin().await.unwrap();
        let member = Member::of(&mut tx, ClinicId::DEFAULT, scene.user).await.unwrap();
        let nurse = Position::of(Role::Nurse);
        Member::change(&mut tx, ClinicId::DEFAULT, member.membership_id, &nurse).await.unwrap();
        tx.commit().await.unwrap();
        let role = async || scene.authenticator.principal(&scene.token).await.unwrap().memberships[0].role;
        assert_eq!(role().await, Some(Role::Doctor), "remembered for some seconds");
        scene.authenticator.forget_user(scene.user);
        assert_eq!(role().await, Some(Role::Nurse));

        let mut tx = scene.db.begin().await.unwrap();
        Session::revoke(&mut tx, scene.user, scene.session, now()).await.unwrap();
        tx.commit().await.unwrap();
        scene.authenticator.forget_session(scene.session);
        assert!(!scene.knows(&scene.token).await);
    })
    .await;
}

#[tokio::test]
async fn a_new_key_signs_out_nobody() {
    on_both(async |db| {
        let scene = Scene::new(db).await;
        let mut tx = scene.db.begin().await.unwrap();
        let kid = scene.authenticator.rotate_keys(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        let other = process(&scene.db, &scene.clock, &scene.keyring);
        let issued = other.issue(scene.user, scene.session).await.unwrap().text;
        assert_eq!(kid_of(&issued), kid_of(&scene.token), "others must hear of the new key first");
        let published = other.jwks().await.unwrap();
        assert_eq!(published["keys"].as_array().unwrap().len(), 2);
        assert_eq!(published["keys"][0]["kid"], kid);
        assert_eq!(published["keys"][0]["crv"], "Ed25519");
        assert!(published["keys"][0].get("d").is_none());

        scene.pass(TimeDelta::seconds(40));
        let issued = other.issue(scene.user, scene.session).await.unwrap().text;
        assert_eq!(kid_of(&issued), kid);
        assert!(other.principal(&scene.token).await.is_ok(), "what the old key signed counts to its end");
        assert!(other.principal(&issued).await.is_ok());

        scene.pass(TimeDelta::minutes(20));
        let late = process(&scene.db, &scene.clock, &scene.keyring);
        assert_eq!(late.jwks().await.unwrap()["keys"].as_array().unwrap().len(), 1, "the old one has gone");
    })
    .await;
}

/// A process whose key-encryption key is another's verifies, and signs with a key of its own.
#[tokio::test]
async fn a_key_that_does_not_open_verifies_all_the_same() {
    on_both(async |db| {
        let scene = Scene::new(db).await;
        let keyring = Keyring::from_text("b:AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        let other = process(&scene.db, &scene.clock, &keyring);
        assert!(other.principal(&scene.token).await.is_ok());
        let issued = other.issue(scene.user, scene.session).await.unwrap().text;
        assert_ne!(kid_of(&issued), kid_of(&scene.token));
    })
    .await;
}
