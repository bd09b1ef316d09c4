//! The dashboard over what ten million visits, payments, patients and studies leave behind.
//!
//! `cargo bench -p analytics --bench stats`, over a SQLite file; with `MEDILINK_TEST_POSTGRES` over PostgreSQL as well.
//! Two years of one clinic: every quarter of an hour has its line of every metric and kind, as ten million rows would
//! have made them, in one statement a grain. The underlying rows themselves, which no answer reads, are not made.
//! Prints p50 and p99 of requests through the whole street, gate and audit included: while nothing happens, and each
//! after an event, when nothing that was read before can be used.

#![expect(clippy::unwrap_used, reason = "a measurement may end where what it stands on is missing")]

use std::time::Instant;

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, UserId};
use gate::testing::{app, get};
use gate::{HttpLimits, layers};
use storage::db::{Db, built_sql, sql};

/// What is underneath, in all.
const UNDERNEATH: i64 = 10_000_000;
/// Two years of quarters of an hour.
const QUARTERS: i64 = 2 * 365 * 96;
/// Requests of each path.
const REQUESTS: usize = 2_000;

#[tokio::main]
async fn main() {
    // `cargo test` runs every bench with this word: nothing is measured then.
    if std::env::args().any(|word| word == "--test") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut urls = vec![format!("sqlite:{}", folder.path().join("rows.sqlite").display())];
    #[expect(clippy::disallowed_methods, reason = "a bench has no Config")]
    if std::env::var("MEDILINK_TEST_POSTGRES").is_ok() {
        urls.push(storage::testing::fresh_postgres_url().await);
    }
    for url in urls {
        let db = Db::open(&url).await.unwrap();
        db.migrate().await.unwrap();
        fill(&db).await;
        for is_quiet in [true, false] {
            println!(" {}", if is_quiet { "nothing happens" } else { "an event before each request" });
            measure(&db, is_quiet).await;
        }
        db.close().await;
    }
}

fn now() -> DateTime<Utc> {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// The metrics with their kinds, in words without quotation marks.
fn metrics() -> Vec<(&'static str, String)> {
    let mut metrics = vec![("patients", String::new())];
    let specialties = ["Cardiology", "Dermatology", "Neurology", "Pediatrics", "Radiology"];
    metrics.extend(specialties.map(|name| ("visits", name.to_owned())));
    for currency in ["EUR", "USD"] {
        metrics.extend(
            ["payments", "received_minor", "refunded_minor", "invoices_issued", "issued_minor"]
                .map(|metric| (metric, currency.to_owned())),
        );
    }
    metrics.extend(["CT", "CR", "MR", "US"].map(|modality| ("studies", modality.to_owned())));
    metrics.extend((0..40).map(|_| ("physicians", UserId::new().to_string())));
    metrics
}

async fn fill(db: &Db) {
    let started = Instant::now();
    let last = now().timestamp() / 900;
    let each = UNDERNEATH / QUARTERS / 8;
    // A physician is not busy in every quarter.
    let stride = |metric: &str| if metric == "physicians" { 16 } else { 1 };
    let kinds: Vec<String> = metrics()
        .iter()
        .map(|(metric, dimension)| format!("('{metric}', '{dimension}', {})", stride(metric)))
        .collect();
    let kinds = kinds.join(", ");
    for (grain, first, count) in [(900, last - QUARTERS, QUARTERS), (86_400, last / 96 - 730, 731), (0, 0, 1)]
    {
        let is_there = if grain == 900 { "number % stride = 0" } else { "TRUE" };
        let text = format!(
            "WITH RECURSIVE numbers (number) AS
               (SELECT 0 UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < {count}),
               kinds (metric, dimension, stride) AS (VALUES {kinds})
             INSERT INTO analytics_counts (clinic_id, generation, metric, grain, bucket, dimension, amount)
             SELECT $1, 1, metric, {grain}, {first} + number, dimension, {each}
               FROM numbers CROSS JOIN kinds WHERE {is_there}"
        );
        let mut tx = db.begin().await.unwrap();
        built_sql(text).bind(ClinicId::DEFAULT).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    }
    if db.engine() == "PostgreSQL" {
        // as its own housekeeping does from time to time
        let mut tx = db.begin().await.unwrap();
        sql("ANALYZE analytics_counts").execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    }
    let mut read = db.read().await.unwrap();
    let lines: i64 = sql("SELECT count(*) FROM analytics_counts").fetch_one(&mut read).await.unwrap();
    println!("{}: {lines} lines of counts, made in {:.0} s", db.engine(), started.elapsed().as_secs_f64());
}

async fn measure(db: &Db, is_quiet: bool) {
    let (app, _folder) = app(db, HttpLimits::default(), now());
    let router = layers(analytics::routes(app.clone()), app);
    for path in ["stats", "stats?timeZone=Asia/Kolkata", "monthly-trends", "specialties", "imaging"] {
        let mut took = Vec::with_capacity(REQUESTS);
        for _ in 0..REQUESTS {
            if !is_quiet {
                let mut tx = db.begin().await.unwrap();
                sql("UPDATE analytics_generations SET position = position + 1")
                    .execute(&mut tx)
                    .await
                    .unwrap();
                tx.commit().await.unwrap();
            }
            let started = Instant::now();
            let answer = get(&router, &format!("/api/analytics/{path}")).await;
            took.push(started.elapsed());
            assert_eq!(answer.status, 200, "{path}");
        }
        took.sort();
        let at = |share: f64| took[(share * REQUESTS as f64) as usize].as_secs_f64() * 1_000.0;
        println!("  {path:<28} p50 {:6.2} ms  p99 {:6.2} ms", at(0.50), at(0.99));
    }
}
