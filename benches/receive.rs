//! One CT instance of 0.5 MB through the hall: hash, check, fsync, commit. Bound by the disk's fsync.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use clinical::clock::SystemClock;
use clinical::id::ClinicId;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ingest::limits::IngestLimits;
use ingest::receive::{OnConflict, Receipt, ReceiveSettings, Receiver};
use storage::archive::Archive;
use storage::db::Db;
use tokio::runtime::Runtime;

#[path = "support/mod.rs"]
mod support;

fn hall(runtime: &Runtime, folder: &std::path::Path) -> Receiver {
    let url = format!("sqlite:{}", folder.join("rows.sqlite").display());
    let db = runtime.block_on(async {
        let db = Db::open(&url).await.unwrap();
        db.migrate().await.unwrap();
        db
    });
    let archive = Archive::folder(&folder.join("archive")).unwrap();
    let settings = ReceiveSettings {
        limits: IngestLimits::default(),
        on_conflict: OnConflict::Keep,
        quiet: TimeDelta::seconds(5),
        spool_folder: folder.to_owned(),
    };
    Receiver::new(db, archive, Arc::new(SystemClock), settings)
}

async fn take(receiver: &Receiver, file: Vec<u8>) {
    let mut spool = receiver.spool();
    for piece in Bytes::from(file).chunks(128 << 10) {
        spool.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    receiver.receive(Receipt::from_sender(ClinicId::DEFAULT), spool).await.unwrap();
}

fn receive(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let receiver = hall(&runtime, folder.path());
    let study = support::fresh_uid();
    let mut group = criterion.benchmark_group("receive");
    for at_a_time in [1, 4, 16] {
        group.throughput(Throughput::Elements(at_a_time));
        group.bench_function(format!("ct_512_at_a_time_{at_a_time}"), |bencher| {
            bencher.iter_batched(
                || (0..at_a_time).map(|_| support::ct(&study, 512)).collect::<Vec<_>>(),
                |files| {
                    let takes = files.into_iter().map(|file| take(&receiver, file));
                    runtime.block_on(futures::future::join_all(takes))
                },
                criterion::BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, receive);
criterion_main!(benches);
