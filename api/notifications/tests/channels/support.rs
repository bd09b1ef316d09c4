//! The channels over a database, and messages to send.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use clinical::clock::SystemClock;
use clinical::id::ClinicId;
use futures::future::BoxFuture;
use gate::testing::{Answer, app, get, request, send};
use gate::{App, HttpLimits, layers};
use http::{Method, Request, header};
use notifications::channel::{
    Address, ChannelSettings, ChannelState, Enclosure, Outgoing, PushUrgency, Report, ReportListener,
    Switchboard,
};
use serde_json::Value;
use storage::db::{Db, DbError};
use storage::records::clinic::Clinic;
use storage::records::webhook::target::Targets;
use storage::testing::now;
use tempfile::TempDir;
use uuid::Uuid;

/// What the webhooks have reported.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Vec<Report>>);

impl Heard {
    pub(crate) fn all(&self) -> Vec<Report> {
        self.0.lock().unwrap().clone()
    }
}

impl ReportListener for Heard {
    fn take<'a>(&'a self, reports: &'a [Report]) -> BoxFuture<'a, Result<(), DbError>> {
        self.0.lock().unwrap().extend_from_slice(reports);
        Box::pin(async { Ok(()) })
    }
}

pub(crate) struct House {
    pub(crate) app: App,
    router: Router,
    /// A clinic beside the default one.
    pub(crate) other: ClinicId,
    pub(crate) switchboard: Switchboard,
    pub(crate) heard: Arc<Heard>,
    _folder: TempDir,
}

impl House {
    pub(crate) async fn over(db: &Db) -> Self {
        Self::with(db, ChannelSettings::default(), Targets::PrivateToo).await
    }

    pub(crate) async fn with(db: &Db, settings: ChannelSettings, targets: Targets) -> Self {
        // A second test of the process finds it installed.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (app, folder) = app(db, HttpLimits::default(), now());
        let mut tx = db.begin().await.unwrap();
        let other = Clinic::create(&mut tx, "Other", "UTC", now()).await.unwrap().clinic_id;
        tx.commit().await.unwrap();
        let keys = app.authenticator.keyring().clone();
        let switchboard =
            Switchboard::new(db.clone(), Arc::new(SystemClock), keys, settings, targets).unwrap();
        let heard = Arc::new(Heard::default());
        let reports = Arc::clone(&heard) as Arc<dyn ReportListener>;
        let state = ChannelState { app: app.clone(), switchboard: switchboard.clone(), reports };
        let router = layers(notifications::channel::routes(state), app.clone());
        Self { app, router, other, switchboard, heard, _folder: folder }
    }

    /// As the administrator.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        get(&self.router, path).await
    }

    /// As the administrator.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        let request = request(Method::PUT, path).header(header::CONTENT_TYPE, "application/json");
        send(&self.router, request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// As anybody.
    pub(crate) async fn call(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(Method::POST).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        send(&self.router, request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Sets a channel's providers for the other clinic: `name`, `credentials`, the first to try first.
    pub(crate) async fn serve_by(&self, channel: &str, providers: &[(&str, Value)]) {
        let mut all = providers.iter().map(
            |(provider, credentials)| serde_json::json!({"provider": provider, "credentials": credentials}),
        );
        let primary = all.next().unwrap();
        let body = serde_json::json!({channel: {"primary": primary, "fallback": all.collect::<Vec<_>>()}});
        let path = format!("/api/v1/clinics/{}/communication/config", self.other);
        let written = self.put(&path, &body).await;
        assert_eq!(written.status.as_u16(), 200, "{:?}", written.body);
    }
}

/// A message to `to`.
pub(crate) fn outgoing(to: Address) -> Outgoing {
    Outgoing {
        dedupe_id: Uuid::new_v4(),
        to,
        subject: "A result is ready: Ñandú".to_owned(),
        text: "Sign in to read it.\n.\nA line with one dot stays.".to_owned(),
        html: Some("<p>Sign in to read it.</p>".to_owned()),
        enclosure: None,
        template: None,
        data: BTreeMap::from([("kind".to_owned(), "finding".to_owned())]),
        urgency: PushUrgency::High,
        ttl: Duration::from_secs(3_600),
    }
}

/// The same with an invoice on paper: bytes of every value, more than a line of base64.
pub(crate) fn with_paper(message: Outgoing) -> Outgoing {
    let bytes = b"%PDF-1.7\r\n".iter().copied().chain((0..=u8::MAX).cycle().take(5_000)).collect();
    let file_name = "invoice-000042.pdf".to_owned();
    Outgoing { enclosure: Some(Enclosure { file_name, media_type: "application/pdf", bytes }), ..message }
}

/// A mailbox.
pub(crate) fn mailbox(address: &str) -> Address {
    Address::Email(address.parse().unwrap())
}

/// A migrated SQLite database of its own: what is tested here is what goes over the wire.
pub(crate) async fn database() -> (Db, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite:{}", folder.path().join("rows.sqlite").display())).await.unwrap();
    db.migrate().await.unwrap();
    (db, folder)
}
