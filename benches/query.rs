//! What a search costs, and whether it stays so as instances become many: rows written straight into an SQLite file.
//!
//! `cargo bench -p storage --bench query -- 10000 1000000` names the numbers of instances; each table is filled to
//! them in turn. Where `MEDILINK_TEST_POSTGRES` is set and `postgres` is named too, a schema there is filled instead.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]
#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::time::{Duration, Instant};

use clinical::id::ClinicId;
use storage::db::{Db, sql};
use storage::records::instance::Instance;
use storage::records::patient::{Patient, PatientFacts};
use storage::records::search::{Condition, FoundInstance, FoundSeries, FoundStudy, Key, Level, Search};
use storage::records::series::{Series, SeriesFacts};
use storage::records::study::{Study, StudyFacts};
use storage::testing::{fresh_postgres_url, instance_facts, now};

const CLINIC: ClinicId = ClinicId::DEFAULT;
/// Each study has so many, in two series; the first one has a thousand.
const OF_STUDY: usize = 200;
const OF_FIRST: usize = 1_000;
const ROUNDS: u32 = 30;

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut counts: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if counts.is_empty() {
        counts.push(10_000);
    }
    let folder = tempfile::tempdir().unwrap();
    let url = match words.iter().any(|word| word == "postgres") {
        true => fresh_postgres_url().await,
        false => format!("sqlite:{}", folder.path().join("rows.sqlite").display()),
    };
    let db = Db::open(&url).await.unwrap();
    db.migrate().await.unwrap();
    let (mut study, mut written) = (0, 0);
    for count in counts {
        let begun = Instant::now();
        while written < count {
            written += fill(&db, study).await;
            study += 1;
        }
        if db.engine() == "PostgreSQL" {
            // as its own housekeeping does from time to time
            let mut tx = db.begin().await.unwrap();
            sql("ANALYZE patients, studies, series, instances").execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
        }
        let (engine, took) = (db.engine(), begun.elapsed().as_secs());
        println!("{engine}: {written} instances of {study} studies, filled in {took} s");
        ask_all(&db, study).await;
    }
    db.close().await;
}

/// Writes the study of that number; how many instances it has.
async fn fill(db: &Db, number: usize) -> usize {
    let mut tx = db.begin().await.unwrap();
    let uid = format!("1.2.{number}").parse().unwrap();
    let name = format!("Name{}^Given{number}", number % 97);
    let patient = PatientFacts { mrn: format!("P{number}"), name, ..PatientFacts::default() };
    let patient = Patient::ensure(&mut tx, CLINIC, &patient, &uid, now()).await.unwrap();
    let facts = StudyFacts {
        study_date: Some(format!("20{:02}{:02}{:02}", number % 25, number % 12 + 1, number % 28 + 1)),
        study_time: Some("101500".into()),
        accession_number: Some(format!("A{number}")),
        ..StudyFacts::default()
    };
    let study = Study::ensure(&mut tx, CLINIC, patient, &uid, &facts, now()).await.unwrap();
    let count = if number == 0 { OF_FIRST } else { OF_STUDY };
    for number in 0..2 {
        let series = format!("{uid}.{number}").parse().unwrap();
        let facts = SeriesFacts { modality: Some("CT".into()), ..SeriesFacts::default() };
        Series::ensure(&mut tx, CLINIC, study, &series, &facts, now()).await.unwrap();
        for instance in 0..count / 2 {
            let facts = instance_facts(&format!("{series}.{instance}"), "aa");
            Instance::insert(&mut tx, CLINIC, &uid, &series, &facts, now()).await.unwrap().unwrap();
        }
    }
    tx.commit().await.unwrap();
    count
}

async fn ask_all(db: &Db, studies: usize) {
    let text = |text: &str| Condition::Pattern(vec![text.to_owned()]);
    let limited = |limit| Search { limit, ..Search::default() };
    let by = |key, condition, limit| Search { conditions: vec![(key, condition)], ..limited(limit) };
    let middle = studies / 2;
    let uid = Condition::OneOf(vec![format!("1.2.{middle}")]);
    let of_first = Search { study: Some("1.2.0".parse().unwrap()), ..limited(5_001) };
    let asked = [
        ("study by UID", Level::Study, by(Key::StudyInstanceUid, uid, 101)),
        ("study by Patient ID", Level::Study, by(Key::PatientId, text(&format!("P{middle}")), 101)),
        ("studies by name, Name1*", Level::Study, by(Key::PatientName, text("Name1*"), 101)),
        ("studies by name, *iven1*", Level::Study, by(Key::PatientName, text("*iven1*"), 101)),
        ("studies by words", Level::Study, by(Key::PatientName, Condition::Words(vec!["name1".into()]), 101)),
        ("newest 100 studies", Level::Study, limited(101)),
        ("series of a study", Level::Series, of_first.clone()),
        ("1,000 instances of a study", Level::Instance, of_first),
        ("1,000 instances of any", Level::Instance, limited(1_001)),
    ];
    for (name, level, search) in asked {
        let (mut least, mut counting, mut found) = (Duration::MAX, Duration::MAX, 0);
        for _ in 0..ROUNDS {
            let mut read = db.read().await.unwrap();
            let begun = Instant::now();
            found = match level {
                Level::Study => FoundStudy::search(&mut read, CLINIC, &search).await.unwrap().len(),
                Level::Series => FoundSeries::search(&mut read, CLINIC, &search).await.unwrap().len(),
                Level::Instance => FoundInstance::search(&mut read, CLINIC, &search).await.unwrap().len(),
            };
            least = least.min(begun.elapsed());
            let begun = Instant::now();
            search.count(&mut read, CLINIC, level).await.unwrap();
            counting = counting.min(begun.elapsed());
        }
        println!("  {name:<28} {found:>5} found {least:>12.1?}, counted in {counting:>12.1?}");
    }
}
