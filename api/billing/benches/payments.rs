//! What the house itself takes, over a provider in memory that answers at once: a payment that is begun, and one webhook
//! fifty times at once.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

#[expect(dead_code, reason = "the journeys use more of it")]
#[path = "../tests/house/fake.rs"]
mod fake;
#[expect(dead_code, reason = "the journeys use more of it")]
#[path = "../tests/house/support.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use storage::db::Db;
use support::{House, about_payment, house};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// The same webhook comes so often at once.
const AT_ONCE: usize = 50;

async fn over(url: &str) -> Arc<House> {
    let db = Db::open(url).await.unwrap();
    db.migrate().await.unwrap();
    Arc::new(house(&db))
}

/// The time that 99 of 100 did not exceed.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() * 99 / 100).copied().unwrap_or_default()
}

fn begun(criterion: &mut Criterion, runtime: &Runtime, house: &House) {
    let mut times = Vec::new();
    criterion.bench_function("billing/a payment is begun", |bencher| {
        bencher.iter_batched(
            || runtime.block_on(house.bill(10_000)),
            |invoice| {
                let started = Instant::now();
                runtime.block_on(house.begin(&invoice));
                times.push(started.elapsed());
            },
            BatchSize::PerIteration,
        );
    });
    println!("a payment is begun: p99 {:?} of {}", p99(times.clone()), times.len());
}

async fn told_at_once(house: &Arc<House>, intent: &str) {
    let mut hooks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (house, event) = (Arc::clone(house), about_payment(&format!("evt_{intent}"), intent));
        hooks.spawn(async move { house.told(event).await.status });
    }
    assert!(hooks.join_all().await.iter().all(|status| *status == 200));
}

fn told(criterion: &mut Criterion, runtime: &Runtime, house: &Arc<House>) {
    let paid = async || {
        let (_, intent) = house.begin(&house.bill(10_000).await).await;
        house.stripe.pay(&intent);
        intent
    };
    criterion.bench_function("billing/one webhook fifty times at once", |bencher| {
        bencher.iter_batched(
            || runtime.block_on(paid()),
            |intent| runtime.block_on(told_at_once(house, &intent)),
            BatchSize::PerIteration,
        );
    });
}

fn payments(criterion: &mut Criterion) {
    let (runtime, folder) = (Runtime::new().unwrap(), tempfile::tempdir().unwrap());
    let url = format!("sqlite:{}", folder.path().join("rows.sqlite").display());
    let house = runtime.block_on(over(&url));
    begun(criterion, &runtime, &house);
    told(criterion, &runtime, &house);
}

criterion_group!(benches, payments);
criterion_main!(benches);
