//! What reading costs on one core: the check of a file, its frames, a network's input, a network's run, a picture.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

use bytes::Bytes;
use clinical::imaging::{DecodeRequest, ImageContext};
use criterion::{Criterion, criterion_group, criterion_main};
use inference::{Network, TractBackend};
use ingest::part10::{Limits, Part10};
use ingest::pixels::{self, DecodePool, PixelLimits, RenderFormat, RenderOptions};
use models::Registry;

#[path = "support/mod.rs"]
mod support;

fn read(criterion: &mut Criterion) {
    let file = Bytes::from(support::ct("1.2.3", 512));
    let large = Part10::read(support::ct("1.2.3", 2048).into(), &Limits::default()).unwrap();
    let (limits, pool) = (PixelLimits::default(), DecodePool::inline());
    let request = DecodeRequest::everything();
    criterion.bench_function("part10_read_ct_512", |bencher| {
        bencher.iter(|| Part10::read(file.clone(), &Limits::default()).unwrap());
    });
    criterion.bench_function("decode_native_2048", |bencher| {
        bencher.iter(|| pixels::decode(&large, &request, &limits, &pool).unwrap());
    });

    let registry = Registry::built_in();
    let card = registry.get("pneumonia224").unwrap();
    let network = Network::load(&TractBackend, card, &registry.weights(card).unwrap()).unwrap();
    let frames = pixels::decode(&large, &request, &limits, &pool).unwrap();
    criterion.bench_function("prepare_2048_to_224", |bencher| {
        bencher.iter(|| inference::prepare(&frames[0], &card.input).unwrap());
    });
    let child = ImageContext {
        modality: Some("CR".into()),
        body_part: Some("CHEST".into()),
        view_position: Some("AP".into()),
        age_years: Some(3.0),
        photometric_interpretation: Some("MONOCHROME2".into()),
        ..ImageContext::default()
    };
    criterion.bench_function("analyze_pneumonia224", |bencher| {
        bencher.iter(|| inference::analyze(&network, &frames, &child).unwrap());
    });
    let jpeg = RenderOptions { window: None, viewport: None, format: RenderFormat::Jpeg { quality: 90 } };
    criterion.bench_function("render_jpeg_2048", |bencher| {
        bencher.iter(|| pixels::render(&frames[0], &jpeg).unwrap());
    });
}

criterion_group!(benches, read);
criterion_main!(benches);
