//! The whole street over one database.

use std::sync::Arc;

use api::{Doors, Street};
use axum::Router;
use chrono::TimeDelta;
use dicom_house::DicomState;
use dicomweb::DicomWebState;
use gate::HttpLimits;
use gate::testing::app;
use ingest::limits::IngestLimits;
use ingest::pixels::{DecodePool, PixelLimits};
use ingest::receive::{OnConflict, ReceiveSettings, Receiver};
use storage::db::Db;
use storage::testing::now;
use tempfile::TempDir;

pub struct Built {
    pub router: Router,
    pub doors: Doors,
    _folders: [TempDir; 2],
}

pub fn street(db: &Db) -> Built {
    let (app, archive) = app(db, HttpLimits::default(), now());
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
    let street = Street {
        dicom: DicomState::new(app.clone(), receiver.clone(), ["example".to_owned()]),
        dicomweb: DicomWebState::new(app.clone(), receiver, pool, PixelLimits::default()),
        app,
        doors: doors.clone(),
        gauges: Arc::new(|| metrics::gauge!("of_another_room").set(3.0)),
    };
    Built { router: api::router(street), doors, _folders: [archive, spool] }
}
