//! The house, two clinics, and people who have signed in.

use axum::Router;
use axum::body::Body;
use chrono::TimeDelta;
use clinical::id::{ClinicId, SessionId};
use clinical::role::Role;
use gate::testing::{Answer, TOKEN, app, send};
use gate::{App, HttpLimits, layers};
use http::{Method, Request, header};
use serde_json::Value;
use storage::db::Db;
use storage::records::clinic::Clinic;
use storage::records::member::{Member, Position};
use storage::records::session::{NewSession, Session};
use storage::records::user::User;
use storage::secret::SYSTEM;
use storage::testing::now;
use tempfile::TempDir;

pub(crate) struct House {
    pub(crate) app: App,
    router: Router,
    /// A clinic beside the default one.
    pub(crate) other: ClinicId,
    _folder: TempDir,
}

impl House {
    pub(crate) async fn over(db: &Db) -> Self {
        let (app, folder) = app(db, HttpLimits::default(), now());
        let mut tx = db.begin().await.unwrap();
        let other = Clinic::create(&mut tx, "Other", "UTC", now()).await.unwrap().clinic_id;
        tx.commit().await.unwrap();
        let router = layers(::clinics::routes(app.clone()), app.clone());
        Self { app, router, other, _folder: folder }
    }

    /// Someone of this role in the clinic; the token that they have signed in by.
    pub(crate) async fn person(&self, clinic: ClinicId, role: Role) -> String {
        let mut tx = self.app.db.begin().await.unwrap();
        let (session_id, email) = (SessionId::new(), format!("{}@example.org", SessionId::new()));
        let user = User::create(&mut tx, &email.parse().unwrap(), "Someone", None, now()).await.unwrap();
        Member::add(&mut tx, clinic, user.user_id, &Position::of(role), now()).await.unwrap();
        let session = NewSession {
            session_id,
            user_id: user.user_id,
            refresh_key: self.app.authenticator.keyring().seal(SYSTEM, "session", &[0; 32]).unwrap(),
            means: "password".into(),
            address: None,
            device: None,
            expires_at: now() + TimeDelta::days(7),
        };
        Session::begin(&mut tx, &session, now()).await.unwrap();
        tx.commit().await.unwrap();
        self.app.authenticator.issue(user.user_id, session_id).await.unwrap().text
    }

    /// A request of whoever has `token`.
    pub(crate) async fn ask(&self, token: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        send(&self.router, request.body(body).unwrap()).await
    }

    /// As the administrator.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(TOKEN, Method::GET, path, None).await
    }

    /// As the administrator.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(TOKEN, Method::POST, path, Some(body)).await
    }

    /// As the administrator.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.ask(TOKEN, Method::PUT, path, Some(body)).await
    }

    /// As the administrator.
    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.ask(TOKEN, Method::PATCH, path, Some(body)).await
    }

    /// As the administrator.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask(TOKEN, Method::DELETE, path, None).await
    }
}
