//! How long one answer takes on one core: the differential, the next question, the words, the whole assessment.
//!
//! Beside Criterion's means the percentiles of 20,000 calls are printed: what is promised is a 99th percentile.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clinical::decision::{FindingState, Presentation};
use criterion::{Criterion, criterion_group, criterion_main};
use models::{FindingIx, Knowledge};
use triage::{Engine, Evidence};

const CALLS: usize = 20_000;
const STORY: &str = "65 year old man with chest discomfort for 3 days. It is worse when walking uphill and eases with rest. \
    The pain spreads to the left arm. He is short of breath and sweats. No fever, no cough, no wheezing, no vomiting or nausea. \
    History of hypertension, smoker for 25 years.";

/// Patients with findings of every condition in turn: about half of them told, present and absent.
fn patients(knowledge: &Knowledge) -> Vec<Evidence> {
    let of = |(at, condition): (usize, &models::Condition)| {
        let mut evidence = Evidence::default();
        evidence.age = Some((7 * at % 90) as f32);
        evidence.duration_days = Some(3.0);
        for (place, figure) in condition.findings.iter().enumerate().take(40) {
            match (at + place) % 4 {
                0 | 1 => evidence.say(figure.finding, FindingState::Present),
                2 => evidence.say(figure.finding, FindingState::Absent),
                _ => {}
            }
        }
        for (risk, _) in condition.risks.iter().take(3) {
            evidence.say(FindingIx(risk.0), FindingState::Present);
        }
        evidence
    };
    knowledge.conditions.iter().enumerate().map(of).collect()
}

fn percentiles<T>(name: &str, mut call: impl FnMut(usize) -> T) {
    for at in 0..CALLS / 10 {
        black_box(call(at));
    }
    let mut times: Vec<Duration> = (0..CALLS)
        .map(|at| {
            let began = Instant::now();
            black_box(call(at));
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |share: f64| times[((CALLS - 1) as f64 * share) as usize];
    println!("{name}: p50 {:?}, p95 {:?}, p99 {:?}, worst {:?}", at(0.5), at(0.95), at(0.99), at(1.0));
}

fn assess(criterion: &mut Criterion) {
    let began = Instant::now();
    let knowledge = Arc::new(Knowledge::built_in().expect("a test of the knowledge holds that it is read"));
    println!("knowledge read in {:?}", began.elapsed());
    let began = Instant::now();
    let engine = Engine::new(Arc::clone(&knowledge));
    println!("engine made in {:?}", began.elapsed());
    println!("{} conditions, {} findings", knowledge.conditions.len(), knowledge.findings.len());

    let patients = patients(&knowledge);
    let rankings: Vec<_> = patients.iter().map(|patient| engine.rank(patient)).collect();
    let story = Presentation { text: Some(STORY.to_owned()), ..Presentation::default() };
    let count = patients.len();
    percentiles("differential", |at| engine.rank(&patients[at % count]));
    percentiles("next question", |at| engine.ask(&patients[at % count], &rankings[at % count], 1));
    percentiles("words of a story", |_| engine.read(&story));
    percentiles("whole assessment", |_| engine.assess(&story));

    criterion.bench_function("differential", |bench| {
        let mut at = 0;
        bench.iter(|| {
            at += 1;
            engine.rank(black_box(&patients[at % count]))
        });
    });
    criterion.bench_function("next question", |bench| {
        let mut at = 0;
        bench.iter(|| {
            at += 1;
            engine.ask(&patients[at % count], &rankings[at % count], 1)
        });
    });
    criterion.bench_function("words of a story", |bench| bench.iter(|| engine.read(black_box(&story))));
    criterion.bench_function("whole assessment", |bench| bench.iter(|| engine.assess(black_box(&story))));
}

criterion_group!(benches, assess);
criterion_main!(benches);
