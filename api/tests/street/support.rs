//! The whole street over one database.

use std::sync::Arc;

use api::{Doors, Street};
use assessments::AssessmentsState;
use axum::Router;
use axum::http::Method;
use billing::{Accounts, BillingState, Cashier};
use cds_hooks::CdsHooksState;
use chrono::{DateTime, TimeDelta, Utc};
use clinical::imaging::NetworkState;
use dicom_house::DicomState;
use dicomweb::DicomWebState;
use gate::socket::{Kinds, SocketLimits, Sockets};
use gate::testing::app;
use gate::{App, HttpLimits, Rule, layers};
use identity::{Identity, IdentitySettings};
use ingest::limits::IngestLimits;
use ingest::pixels::{DecodePool, PixelLimits};
use ingest::receive::{OnConflict, ReceiveSettings, Receiver};
use models::Registry;
use networks_house::NetworksState;
use notifications::NotificationsState;
use notifications::channel::{ChannelSettings, Switchboard};
use storage::db::Db;
use storage::records::network::NetworkName;
use storage::records::webhook::target::Targets;
use storage::testing::now;
use tempfile::TempDir;
use triage::Advisor;

pub struct Built {
    pub router: Router,
    pub app: App,
    /// Every route with its rule.
    pub rules: Vec<(Method, String, Rule)>,
    pub doors: Doors,
    pub sockets: Sockets,
    pub switchboard: Switchboard,
    archive: TempDir,
    _spool: TempDir,
}

impl Built {
    /// Whether no blob is there.
    pub fn archive_is_empty(&self) -> bool {
        let mut folders = vec![self.archive.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if !path.is_dir() {
                    return false;
                }
                folders.push(path);
            }
        }
        true
    }

    /// A file stands where the folder was: nothing can be written any more.
    pub fn lose_archive(&self) {
        std::fs::remove_dir_all(self.archive.path()).unwrap();
        std::fs::write(self.archive.path(), "").unwrap();
    }
}

pub fn street(db: &Db) -> Built {
    street_at(db, now())
}

/// The street at another time.
pub fn street_at(db: &Db, now: DateTime<Utc>) -> Built {
    let (app, archive) = app(db, HttpLimits::default(), now);
    let spool = tempfile::tempdir().unwrap();
    let settings = ReceiveSettings {
        limits: IngestLimits::default(),
        on_conflict: OnConflict::Keep,
        quiet: TimeDelta::seconds(10),
        spool_folder: spool.path().to_owned(),
    };
    let receiver = Receiver::new(app.db.clone(), app.archive.clone(), Arc::clone(&app.clock), settings);
    let pool = Arc::new(DecodePool::inline());
    let doors = Doors::default();
    let example =
        NetworkName { name: "example".to_owned(), version: "1".to_owned(), by_card: NetworkState::Active };
    let advisor = Arc::new(Advisor::built_in().unwrap());
    // A second test of the process finds it installed.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let keys = app.authenticator.keyring().clone();
    let (clock, channels) = (Arc::clone(&app.clock), ChannelSettings::default());
    let switchboard = Switchboard::new(db.clone(), clock, keys, channels, Targets::PublicOnly).unwrap();
    let kinds = notifications::plug(Kinds::default(), &app);
    let keyring = app.authenticator.keyring().clone();
    let accounts = Accounts::new(db.clone(), keyring, [], Arc::new(|_, _| None));
    let cashier = Cashier::new(db.clone(), Arc::clone(&app.clock), accounts, "https://here.example");
    let sockets = Sockets::new(app.clone(), SocketLimits::default(), kinds);
    let street = Street {
        notifications: NotificationsState::new(app.clone(), switchboard.clone(), "https://here.example"),
        sockets: sockets.clone(),
        assessments: AssessmentsState::new(app.clone(), Arc::clone(&advisor)),
        billing: BillingState::new(app.clone(), cashier),
        cds_hooks: CdsHooksState::new(app.clone(), advisor, "https://here.example"),
        dicom: DicomState::new(app.clone(), receiver.clone(), [example]),
        identity: Identity::new(app.clone(), IdentitySettings::default()),
        webhook_targets: Targets::PublicOnly,
        dicomweb: DicomWebState::new(app.clone(), receiver, pool, PixelLimits::default()),
        networks: NetworksState::new(app.clone(), Arc::new(Registry::built_in()), spool.path().to_owned()),
        app: app.clone(),
        doors: doors.clone(),
        gauges: Arc::new(|| metrics::gauge!("of_another_room").set(3.0)),
    };
    let routes = api::routes(street);
    let rules = routes.rules().map(|(method, path, rule)| (method.clone(), path.to_owned(), rule)).collect();
    Built {
        router: layers(routes, app.clone()),
        app,
        rules,
        doors,
        sockets,
        switchboard,
        archive,
        _spool: spool,
    }
}
