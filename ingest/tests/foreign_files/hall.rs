//! Every file through the hall, into the archive and back.

use std::sync::Arc;

use chrono::TimeDelta;
use clinical::clock::SystemClock;
use clinical::id::ClinicId;
use ingest::limits::IngestLimits;
use ingest::receive::{OnConflict, Receipt, ReceiveSettings, Receiver};
use storage::archive::Archive;
use storage::db::Db;
use storage::records::instance::Instance;

use crate::reference::Reference;
use crate::run::Failures;

const CLINIC: ClinicId = ClinicId::DEFAULT;

/// What was not stored, or came back as other bytes. Several files have one identity: each is taken, none is lost.
pub fn stored(reference: &Reference) -> Failures {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("rows.sqlite").display());
        let db = Db::open(&url).await.unwrap();
        db.migrate().await.unwrap();
        let archive = Archive::folder(&folder.path().join("archive")).unwrap();
        let settings = ReceiveSettings {
            limits: IngestLimits::default(),
            on_conflict: OnConflict::Replace,
            quiet: TimeDelta::seconds(5),
            spool_folder: folder.path().to_owned(),
        };
        let receiver = Receiver::new(db.clone(), archive.clone(), Arc::new(SystemClock), settings);
        let mut failures = Failures::new();
        for file in &reference.files {
            let bytes = reference.bytes(file);
            let mut spool = receiver.spool();
            spool.write(bytes.clone()).await.unwrap();
            let found = match receiver.receive(Receipt::from_sender(CLINIC), spool).await {
                Err(error) => error.to_string(),
                Ok(received) => {
                    let mut rows = db.read().await.unwrap();
                    let stored = Instance::find(&mut rows, CLINIC, received.instance_id).await.unwrap();
                    if archive.get(&stored.blob_key).await.unwrap() == bytes {
                        continue;
                    }
                    "other bytes came back".into()
                }
            };
            failures.insert((file.name.clone(), "stored"), found);
        }
        failures
    })
}
