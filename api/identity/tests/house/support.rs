//! A service with a clock that a test sets, and people in it.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::Clock;
use clinical::id::{ClinicId, UserId};
use clinical::role::Role;
use gate::testing::{Answer, TOKEN, send};
use gate::{App, Authenticator, HttpLimits, TokenSettings};
use http::{Method, Request, header};
use identity::{Identity, IdentitySettings, PasswordCost};
use serde_json::{Value, json};
use storage::archive::Archive;
use storage::db::{Db, sql};
use storage::secret::Keyring;
use storage::testing::now;
use tempfile::TempDir;

pub const PASSWORD: &str = "correct horse battery staple";

struct SetClock(Mutex<DateTime<Utc>>);

impl Clock for SetClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }
}

/// A service with this house alone.
pub struct House {
    pub app: App,
    pub router: Router,
    clock: Arc<SetClock>,
    _folder: TempDir,
}

impl House {
    pub fn new(db: &Db) -> Self {
        Self::with(db, IdentitySettings::default())
    }

    pub fn with(db: &Db, settings: IdentitySettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(SetClock(Mutex::new(now())));
        let time: Arc<dyn Clock> = Arc::<SetClock>::clone(&clock);
        let keyring = Keyring::from_text("a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        let tokens = TokenSettings::default();
        let authenticator = Authenticator::new(TOKEN, db.clone(), Arc::clone(&time), keyring, tokens);
        let archive = Archive::folder(folder.path()).unwrap();
        let app = App::new(db.clone(), archive, time, HttpLimits::default(), authenticator);
        let settings =
            IdentitySettings { password_cost: PasswordCost { memory_kib: 8, passes: 1 }, ..settings };
        let routes = identity::routes(Identity::new(app.clone(), settings));
        let router = gate::layers(routes, app.clone());
        Self { app, router, clock, _folder: folder }
    }

    pub fn pass(&self, time: TimeDelta) {
        *self.clock.0.lock().unwrap() += time;
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// A request of whoever has `token`; nobody has the empty one.
    pub async fn ask(&self, method: Method, path: &str, token: &str, body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
        };
        send(&self.router, request.body(body).unwrap()).await
    }

    pub async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, token, body).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::GET, path, token, Value::Null).await
    }

    pub async fn delete(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::DELETE, path, token, Value::Null).await
    }

    /// A user of the default clinic.
    pub async fn user(&self, email: &str, role: Role) -> UserId {
        let body = json!({"email": email, "name": "Ada", "password": PASSWORD, "role": role});
        let answer = self.post("/api/v1/users", TOKEN, body).await;
        assert_eq!(answer.status, 201, "{:?}", answer.body);
        serde_json::from_value(answer.json()["userId"].clone()).unwrap()
    }

    pub async fn login(&self, email: &str, password: &str) -> Answer {
        self.post("/api/v1/auth/login", "", json!({"email": email, "password": password})).await
    }

    /// Access and refresh token of a user who signs in.
    pub async fn tokens(&self, email: &str) -> (String, String) {
        let answer = self.login(email, PASSWORD).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        (text(&answer, "access_token"), text(&answer, "refresh_token"))
    }

    pub async fn refresh(&self, token: &str) -> Answer {
        self.post("/api/v1/auth/refresh", "", json!({"refresh_token": token})).await
    }

    /// What the trail tells: action and outcome, oldest first.
    pub async fn trail(&self) -> Vec<String> {
        let mut read = self.app.db.read().await.unwrap();
        let select = "SELECT action || ' ' || outcome FROM audit_trail ORDER BY audit_id";
        sql(select).fetch_all(&mut read).await.unwrap()
    }

    /// Another clinic.
    pub async fn clinic(&self) -> ClinicId {
        let clinic = ClinicId::new();
        let mut tx = self.app.db.begin().await.unwrap();
        let insert = "INSERT INTO clinics (clinic_id, name, created_at) VALUES ($1, 'Other', $2)";
        sql(insert).bind(clinic).bind(now()).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        clinic
    }
}

pub fn text(answer: &Answer, field: &str) -> String {
    answer.json()[field].as_str().unwrap().to_owned()
}

pub fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
