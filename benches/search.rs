//! What one search over HTTP costs, with nobody else asking: the gate, the rows, the answer and its row of the audit trail.
//!
//! `cargo bench -p dicomweb --bench search`: wall-clock time in the middle and at the 90th percentile, and processor time
//! of the whole process a request, over 5,000 studies in an SQLite file.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]
#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use chrono::TimeDelta;
use clinical::clock::{Clock, SystemClock};
use clinical::id::ClinicId;
use dicomweb::DicomWebState;
use gate::{App, Authenticator, HttpLimits, TokenSettings};
use http_body_util::BodyExt;
use ingest::limits::IngestLimits;
use ingest::pixels::{DecodePool, PixelLimits};
use ingest::receive::{OnConflict, ReceiveSettings, Receiver};
use storage::archive::Archive;
use storage::db::Db;
use storage::records::instance::Instance;
use storage::records::patient::{Patient, PatientFacts};
use storage::records::series::{Series, SeriesFacts};
use storage::records::study::{Study, StudyFacts};
use storage::testing::{instance_facts, keyring, now};
use tower::ServiceExt;

const CLINIC: ClinicId = ClinicId::DEFAULT;
const STUDIES: usize = 5_000;
const WARM_UP: usize = 200;
const ROUNDS: usize = 2_000;

#[tokio::main]
async fn main() {
    // a true disk: what is in memory alone is never flushed
    let folder = tempfile::tempdir_in("/var/tmp").unwrap();
    let url = format!("sqlite:{}", folder.path().join("rows.sqlite").display());
    let db = Db::open(&url).await.unwrap();
    db.migrate().await.unwrap();
    fill(&db).await;
    let router = router(&db, folder.path());
    let asked = [
        ("no route", "/dicom-web/none".to_owned()),
        ("refused: an invalid UID", "/dicom-web/studies?StudyInstanceUID=x".to_owned()),
        ("study by UID", "/dicom-web/studies?StudyInstanceUID=1.2.2500".to_owned()),
        ("study by Patient ID", "/dicom-web/studies?PatientID=P2500".to_owned()),
        ("11 studies by name", "/dicom-web/studies?PatientName=Name123*&limit=100".to_owned()),
        ("100 of 111 by name", "/dicom-web/studies?PatientName=Name12*&limit=100".to_owned()),
    ];
    for (name, path) in asked {
        for _ in 0..WARM_UP {
            ask(&router, &path).await;
        }
        let (mut took, before) = (Vec::with_capacity(ROUNDS), processor_time());
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            ask(&router, &path).await;
            took.push(begun.elapsed());
        }
        let processor = (processor_time() - before) / ROUNDS as u32;
        took.sort_unstable();
        let (middle, ninetieth) = (took[ROUNDS / 2], took[ROUNDS * 9 / 10]);
        println!("{name:<26} middle {middle:>9.1?}, 90th {ninetieth:>9.1?}, processor {processor:>9.1?}");
    }
}

async fn ask(router: &Router, path: &str) {
    let request =
        Request::get(path).header(header::AUTHORIZATION, "Bearer secret").header(header::HOST, "pacs");
    let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert!(answer.status().as_u16() < 500);
    answer.into_body().collect().await.unwrap();
}

/// Of all threads of this process.
fn processor_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let of_task = |task: std::fs::DirEntry| {
        let told = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        told.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.filter_map(Result::ok).map(of_task).sum())
}

async fn fill(db: &Db) {
    for studies in (0..STUDIES).collect::<Vec<_>>().chunks(500) {
        let mut tx = db.begin().await.unwrap();
        for number in studies {
            let uid = format!("1.2.{number}").parse().unwrap();
            let name = format!("Name{number}^Given");
            let patient = PatientFacts { mrn: format!("P{number}"), name, ..PatientFacts::default() };
            let patient = Patient::ensure(&mut tx, CLINIC, &patient, &uid, now()).await.unwrap();
            let facts = StudyFacts { study_date: Some("20260102".into()), ..StudyFacts::default() };
            let study = Study::ensure(&mut tx, CLINIC, patient, &uid, &facts, now()).await.unwrap();
            let series = format!("{uid}.1").parse().unwrap();
            let facts = SeriesFacts { modality: Some("CT".into()), ..SeriesFacts::default() };
            Series::ensure(&mut tx, CLINIC, study, &series, &facts, now()).await.unwrap();
            let facts = instance_facts(&format!("{series}.1"), "aa");
            Instance::insert(&mut tx, CLINIC, &uid, &series, &facts, now()).await.unwrap().unwrap();
        }
        tx.commit().await.unwrap();
    }
}

fn router(db: &Db, folder: &Path) -> Router {
    let archive = Archive::folder(&folder.join("blobs")).unwrap();
    let settings = ReceiveSettings {
        limits: IngestLimits::default(),
        on_conflict: OnConflict::Keep,
        quiet: TimeDelta::seconds(60),
        spool_folder: folder.to_owned(),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let receiver = Receiver::new(db.clone(), archive.clone(), clock.clone(), settings);
    let tokens = TokenSettings::default();
    let authenticator = Authenticator::new("secret", db.clone(), clock.clone(), keyring("bench"), tokens);
    let limits = HttpLimits::default();
    let app = App::new(db.clone(), archive, clock, limits, authenticator);
    let pool = Arc::new(DecodePool::inline());
    let state = DicomWebState::new(app.clone(), receiver, pool, PixelLimits::default());
    gate::layers(dicomweb::routes(state), app)
}
