//! A segmentation network that is not part of this project, over a drawn fundus: how well it marks the vessels, and how
//! long one image takes.
//!
//! `cargo bench -p inference --bench vessels -- retina_vessels.onnx`; the card lies in `tests/support/cards`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up should stop")]

use std::time::Instant;

use clinical::imaging::{Frame, ImageContext, Outcome, Photometric, Samples};
use inference::{Network, TractBackend, analyze, explain};
use models::Card;

const CARD: &str = include_str!("../tests/support/cards/retina_vessels.toml");

/// Dark curves on a bright disc, as a fundus camera shows vessels; which pixels are on a curve.
fn fundus(side: u32) -> (Frame, Vec<bool>) {
    let middle = f64::from(side) / 2.0;
    let (mut samples, mut on_curve) = (Vec::new(), Vec::new());
    for row in 0..side {
        for column in 0..side {
            let (y, x) = (f64::from(row) - middle, f64::from(column) - middle);
            let is_inside = y.hypot(x) < 0.47 * f64::from(side);
            let scale = f64::from(side) / 512.0;
            let curve = |bend: f64, shift: f64, width: f64| {
                (y - shift * scale - bend * x * x / (200.0 * scale)).abs() < width * scale
            };
            let is_vessel = is_inside
                && (curve(0.6, -60.0, 4.0)
                    || curve(-0.6, 60.0, 4.0)
                    || curve(0.2, -130.0, 2.5)
                    || curve(-0.2, 130.0, 2.5));
            let shade = if is_vessel {
                [120, 45, 25]
            } else if is_inside {
                [205, 110, 60]
            } else {
                [0, 0, 0]
            };
            samples.extend(shade);
            on_curve.push(is_vessel);
        }
    }
    let frame = Frame {
        index: 0,
        rows: side,
        columns: side,
        samples_per_pixel: 3,
        bits_stored: 8,
        samples: Samples::U8(samples),
        photometric: Photometric::Rgb,
        modality_lut: None,
        voi_lut: None,
        padding: None,
    };
    (frame, on_curve)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let [path] = words.as_slice() else {
        println!("vessels: name the network's file to run it");
        return;
    };
    let (card, weights) = (Card::parse(CARD).unwrap(), std::fs::read(path).unwrap());
    card.verify_weights(&weights).unwrap();
    let network = Network::load(&TractBackend, &card, &weights).unwrap();
    let (frame, on_curve) = fundus(800);
    let image = ImageContext { modality: Some("OP".to_owned()), ..ImageContext::default() };
    let begun = Instant::now();
    let outcome = analyze(&network, std::slice::from_ref(&frame), &image).unwrap().outcome;
    let took = begun.elapsed();
    let Outcome::Scored(scores) = outcome else { panic!("{outcome:?}") };
    let maps = explain(&network, &frame, &["vessel"], &|| false).unwrap();
    let marked = maps[0].map.values.iter().map(|value| *value >= u16::MAX / 2);
    let (mut both, mut either) = (0_u32, 0_u32);
    for (marked, drawn) in marked.zip(&on_curve) {
        both += u32::from(marked && *drawn);
        either += u32::from(marked) + u32::from(*drawn);
    }
    let dice = 2.0 * f64::from(both) / f64::from(either);
    println!("Dice {dice:.3} against drawn vessels, probability {:.3}, {took:?}", scores[0].probability);
}
