//! Sign-in at a real provider: npm's `oidc-provider`, run by Node.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::process::Stdio;

use clinical::role::Role;
use gate::testing::{Answer, send};
use http::{Method, Request, header};
use identity::{IdentitySettings, OidcProvider};
use serde_json::json;
use storage::testing::{on_both, told_by_test};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{House, PASSWORD, refused, text};

const START: &str = "/api/v1/auth/oidc/test/start";
const PUBLIC_URL: &str = "http://medilink.example";

/// The provider, where `login` signs in whoever comes; it ends when dropped.
struct Provider {
    port: u16,
    _child: Child,
    /// It goes on writing: a closed pipe would end it.
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    async fn start(login: &str, verified: &str) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let redirect = format!("{PUBLIC_URL}/api/v1/auth/oidc/test/callback");
        let mut child = Command::new(told_by_test("MEDILINK_TEST_NODE"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peers/oidc_provider.mjs"))
            .arg(told_by_test("MEDILINK_TEST_NODE_MODULES"))
            .args([port.to_string().as_str(), &redirect, login, verified])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
        Self { port, _child: child, _lines: lines }
    }

    fn house(&self, db: &storage::db::Db) -> House {
        let provider = OidcProvider {
            name: "test".into(),
            issuer: format!("http://127.0.0.1:{}", self.port),
            client_id: "medilink".into(),
            client_secret: "a secret of the test".into(),
        };
        let settings = IdentitySettings {
            public_url: PUBLIC_URL.into(),
            providers: vec![provider],
            ..IdentitySettings::default()
        };
        House::with(db, settings)
    }
}

/// What a browser brings back from the provider: our cookie, and path and query of the callback.
async fn come_back(house: &House) -> (String, String) {
    let started = house.get(START, "").await;
    assert_eq!(started.status, 303, "{:?}", started.body);
    let cookie = started.header("set-cookie");
    assert!(cookie.contains("HttpOnly; SameSite=Lax; Path=/api/v1/auth/oidc; Max-Age=600"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let mut place = started.header("location").to_owned();
    for parameter in ["code_challenge_method=S256", "state=", "nonce=", "response_type=code"] {
        assert!(place.contains(parameter), "{place}");
    }
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut jar = BTreeMap::new();
    let base = place.split("/auth").next().unwrap().to_owned();
    for _ in 0..5 {
        let cookies: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = browser.get(&place).header("cookie", cookies.join("; ")).send().await.unwrap();
        for set in answer.headers().get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            jar.insert(name.to_owned(), value.to_owned());
        }
        let next = answer.headers()["location"].to_str().unwrap().to_owned();
        if let Some(path) = next.strip_prefix(PUBLIC_URL) {
            return (cookie, path.to_owned());
        }
        place = if next.starts_with('/') { format!("{base}{next}") } else { next };
    }
    panic!("the provider sends nobody back");
}

async fn call_back(house: &House, cookie: &str, path: &str) -> Answer {
    let request = Request::get(path).header(header::COOKIE, cookie);
    send(&house.router, request.body(axum::body::Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_user_signs_in_elsewhere_and_is_known_by_the_providers_word_from_then_on() {
    let provider = Provider::start("ada", "verified").await;
    on_both(async |db| {
        let house = provider.house(&db);
        house.user("Ada@example.org", Role::Doctor).await;
        let (cookie, path) = come_back(&house).await;
        let answer = call_back(&house, &cookie, &path).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        assert!(answer.header("set-cookie").contains("Max-Age=0"));
        let access = text(&answer, "access_token");
        let sessions = house.get("/api/v1/me/sessions", &access).await.json();
        assert_eq!(sessions[0]["means"], "test");
        assert_eq!(house.refresh(&text(&answer, "refresh_token")).await.status, 200);
        let again = call_back(&house, &cookie, &path).await;
        assert_eq!(again.problem(), refused(401, "invalid-grant"), "the code was used");

        let moved = json!({"email": "ada@example.net", "currentPassword": PASSWORD});
        assert_eq!(house.ask(Method::PATCH, "/api/v1/me", &access, moved).await.status, 200);
        house.user("ada@example.org", Role::Nurse).await;
        let (cookie, path) = come_back(&house).await;
        let answer = call_back(&house, &cookie, &path).await;
        let me = house.get("/api/v1/me", &text(&answer, "access_token")).await.json();
        assert_eq!(me["email"], "ada@example.net", "whoever has the address now is somebody else");
    })
    .await;
}

#[tokio::test]
async fn a_return_that_does_not_belong_to_its_beginning_is_refused() {
    let provider = Provider::start("ada", "verified").await;
    on_both(async |db| {
        let house = provider.house(&db);
        house.user("ada@example.org", Role::Doctor).await;
        let (cookie, path) = come_back(&house).await;
        let (other_cookie, _) = come_back(&house).await;
        let code = path.split_once("code=").unwrap().1.split('&').next().unwrap();
        let callback = "/api/v1/auth/oidc/test/callback";
        for (cookie, path) in [
            ("", path.as_str()),
            ("medilink_oidc=", &path),
            ("medilink_oidc=a.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", &path),
            (&other_cookie, &path),
            (&cookie, &format!("{callback}?code={code}")),
            (&cookie, &format!("{callback}?code={code}&state=x")),
            (&cookie, &format!("{path}&error=access_denied")),
        ] {
            let answer = call_back(&house, cookie, path).await;
            assert_eq!(answer.problem(), refused(401, "invalid-grant"), "{cookie} {path}");
        }
        house.pass(chrono::TimeDelta::minutes(11));
        assert_eq!(call_back(&house, &cookie, &path).await.status, 401, "too late");
        let unknown = house.get("/api/v1/auth/oidc/other/start", "").await;
        assert_eq!(unknown.problem(), refused(404, "not-found"));
    })
    .await;
}

#[tokio::test]
async fn who_is_no_user_here_or_has_an_unverified_address_is_not_let_in() {
    let (stranger, unverified) =
        tokio::join!(Provider::start("eve", "verified"), Provider::start("ada", "unverified"));
    on_both(async |db| {
        for provider in [&stranger, &unverified] {
            let house = provider.house(&db);
            if provider.port == stranger.port {
                house.user("ada@example.org", Role::SuperAdmin).await;
            }
            let (cookie, path) = come_back(&house).await;
            assert_eq!(call_back(&house, &cookie, &path).await.problem(), refused(401, "no-account"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_named_as_the_cause() {
    on_both(async |db| {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let provider = OidcProvider {
            name: "test".into(),
            issuer: format!("http://127.0.0.1:{port}"),
            client_id: "medilink".into(),
            client_secret: "secret".into(),
        };
        let shown = format!("{provider:?}");
        assert!(!shown.contains("secret"), "{shown}");
        let house =
            House::with(&db, IdentitySettings { providers: vec![provider], ..IdentitySettings::default() });
        assert_eq!(house.get(START, "").await.problem(), refused(502, "provider-failed"));
    })
    .await;
}
