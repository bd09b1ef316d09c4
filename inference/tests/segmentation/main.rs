//! The whole way of a segmentation: a frame in, masks of its own size out.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

#[path = "../../../tests/support/onnx.rs"]
#[expect(dead_code, reason = "what other tests need")]
mod onnx;

use clinical::imaging::{Frame, ImageContext, Outcome, Photometric, Samples};
use inference::{Means, Network, TractBackend, analyze, explain};
use models::Card;

const VESSELS: &str = include_str!("../../../tests/support/cards/retina_vessels.toml");

/// A card for a network that takes grey images of 32 by 32 and gives raw answers.
fn card() -> Card {
    let mut card = Card::parse(VESSELS).unwrap();
    card.input.shape = vec![1, 1, 32, 32];
    card.input.channels = models::Channels::Grey;
    card.outputs.activation = Some(models::Activation::Sigmoid);
    card.outputs.mask = Some("answers".to_owned());
    card.eligibility.modality = vec!["OP".to_owned()];
    card
}

fn frame(rows: u32, columns: u32, samples: Vec<u8>) -> Frame {
    Frame {
        index: 0,
        rows,
        columns,
        samples_per_pixel: 1,
        bits_stored: 8,
        samples: Samples::U8(samples),
        photometric: Photometric::Monochrome2,
        modality_lut: None,
        voi_lut: None,
        padding: None,
    }
}

/// By hand: of 160 rows and 80 columns, which become 32 by 16, a block of 60 by 40 pixels is bright; smoothing takes
/// the half of a step at its rim on both sides.
#[test]
fn a_bright_block_is_marked_where_it_lies_in_the_frame() {
    let network = Network::load(&TractBackend, &card(), &onnx::smoothed().file()).unwrap();
    let is_bright = |row: u32, column: u32| (50..110).contains(&row) && (20..60).contains(&column);
    let pixels = (0..160).flat_map(|row| (0..80).map(move |column| (row, column)));
    let samples = pixels.map(|(row, column)| if is_bright(row, column) { 230 } else { 20 }).collect();
    let frame = frame(160, 80, samples);
    let image = ImageContext { modality: Some("OP".to_owned()), ..ImageContext::default() };
    let Outcome::Scored(scores) = analyze(&network, std::slice::from_ref(&frame), &image).unwrap().outcome
    else {
        panic!("it looks")
    };
    assert!(scores[0].is_positive() && scores[0].probability > 0.99);
    let region = scores[0].region.unwrap();
    for (found, expected) in [
        (region.left, 20.0 / 80.0),
        (region.width, 40.0 / 80.0),
        (region.top, 50.0 / 160.0),
        (region.height, 60.0 / 160.0),
    ] {
        assert!((found - expected).abs() < 0.05, "{region:?}");
    }
    let maps = explain(&network, &frame, &["vessel"], &|| false).unwrap();
    assert_eq!((maps[0].means, maps[0].map.rows, maps[0].map.columns), (Means::Mask, 160, 80));
    let (mut both, mut one, mut other) = (0, 0, 0);
    for row in 0..160 {
        for column in 0..80 {
            let (marked, bright) = (maps[0].map.part(row, column) >= 0.5, is_bright(row, column));
            both += u32::from(marked && bright);
            one += u32::from(marked);
            other += u32::from(bright);
        }
    }
    let dice = f64::from(2 * both) / f64::from(one + other);
    assert!(dice > 0.93, "{dice}");
}
