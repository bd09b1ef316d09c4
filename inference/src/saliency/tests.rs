//! Maps of the networks of the box and of one that answers by brightness.

use std::cell::Cell;

use clinical::imaging::{Photometric, Samples};
use models::{Crop, Registry};
use ndarray::{ArrayD, ArrayViewD, IxDyn};

use super::*;
use crate::{InferenceBackend, LoadedNetwork, TractBackend};

fn frame(rows: u32, columns: u32, shade: impl Fn(u32, u32) -> u8) -> Frame {
    let pixels = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    Frame {
        index: 5,
        rows,
        columns,
        samples_per_pixel: 1,
        bits_stored: 8,
        samples: Samples::U8(pixels.map(|(row, column)| shade(row, column)).collect()),
        photometric: Photometric::Monochrome2,
        modality_lut: None,
        voi_lut: None,
        padding: None,
    }
}

/// A network whose second class is as probable as the upper left quarter of the image is bright.
struct UpperLeft;

impl InferenceBackend for UpperLeft {
    fn name(&self) -> &'static str {
        "upper left"
    }

    fn version(&self) -> String {
        "1".to_owned()
    }

    fn load(&self, _: &Card, _: &[u8]) -> Result<Box<dyn LoadedNetwork>, InferenceError> {
        Ok(Box::new(Self))
    }
}

impl LoadedNetwork for UpperLeft {
    fn run(&self, input: ArrayViewD<'_, f32>) -> Result<Outputs, InferenceError> {
        let (rows, columns) = (input.shape()[2] / 2, input.shape()[3] / 2);
        let corner = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        let bright =
            corner.map(|(row, column)| input[[0, 0, row, column]]).sum::<f32>() / (rows * columns) as f32;
        let bright = bright.clamp(0.0, 1.0);
        let answer = ArrayD::from_shape_vec(IxDyn(&[1, 2]), vec![1.0 - bright, bright]).unwrap();
        Ok(Outputs::from([("probabilities".to_owned(), answer)]))
    }
}

fn upper_left() -> Network {
    let mut card = Registry::built_in().get("pneumonia28").unwrap().clone();
    card.outputs.cam = None;
    card.input.crop = Crop::None;
    Network::load(&UpperLeft, &card, &[]).unwrap()
}

fn label(network: &Network) -> String {
    network.card().texts.label.clone()
}

/// Sums of the map's quarters: upper left, upper right, lower left, lower right.
fn quarters(map: &FrameMap) -> [f32; 4] {
    let mut sums = [0.0; 4];
    for row in 0..map.rows {
        for column in 0..map.columns {
            let quarter = usize::from(2 * row >= map.rows) * 2 + usize::from(2 * column >= map.columns);
            sums[quarter] += map.part(row, column);
        }
    }
    sums
}

#[test]
fn what_counted_is_found_by_hiding_it() {
    let network = upper_left();
    // Everything is dark but what counts.
    let frame = frame(100, 60, |row, column| if row < 50 && column < 30 { 220 } else { 20 });
    let found = explain(&network, &frame, &[&label(&network)], &|| true).unwrap();
    let [saliency] = found.as_slice() else { panic!("one label") };
    assert_eq!((saliency.means, saliency.map.frame), (Means::Occlusion, 5));
    assert_eq!((saliency.map.rows, saliency.map.columns), (100, 60));
    assert_eq!(saliency.map.values.iter().max(), Some(&u16::MAX));
    let [upper_left, others @ ..] = quarters(&saliency.map);
    assert!(upper_left > 20.0 * others.iter().sum::<f32>(), "{upper_left} {others:?}");
}

#[test]
fn whoever_has_no_time_gets_what_was_learned_until_then() {
    let network = upper_left();
    let frame = frame(56, 56, |row, column| if row < 28 && column < 28 { 220 } else { 20 });
    let asked = Cell::new(0);
    let times = |most: u32| {
        asked.set(0);
        explain(&network, &frame, &[&label(&network)], &|| {
            asked.set(asked.get() + 1);
            asked.get() <= most
        })
        .unwrap()
    };
    assert_eq!(times(0), [], "there was no time for anything");
    assert_eq!(times(1).len(), 1, "sixteen parts are one batch");
    assert_eq!(asked.get(), 2, "and then it is asked again");
    let coarse = quarters(&times(1)[0].map);
    assert!(coarse[0] > 5.0 * coarse[3], "{coarse:?}");
    times(u32::MAX);
    // By hand: 16, 64 and 256 parts in batches of 16.
    assert_eq!(asked.get(), 1 + 4 + 16);
}

/// The card: centre-square, so that of a wide frame nothing at the sides was seen.
#[test]
fn a_network_that_tells_by_itself_is_run_once_and_its_map_lies_where_it_looked() {
    let registry = Registry::built_in();
    let card = registry.get("pneumonia224").unwrap();
    let network = Network::load(&TractBackend, card, &registry.weights(card).unwrap()).unwrap();
    let frame = frame(1200, 2400, |row, column| ((row / 40 + column / 30) % 7 * 36) as u8);
    let never = || panic!("nothing is hidden");
    let found = explain(&network, &frame, &[&label(&network), "no-such-label"], &never).unwrap();
    let [saliency] = found.as_slice() else { panic!("one label of the card") };
    assert_eq!(saliency.means, Means::ActivationMap);
    assert_eq!((saliency.map.rows, saliency.map.columns), (256, 512), "of bounded size");
    let outside = (0..256).flat_map(|row| (0..127).chain(385..512).map(move |column| (row, column)));
    assert!(outside.into_iter().all(|(row, column)| saliency.map.part(row, column) == 0.0));
}

/// models/reference: what is likely pneumonia; where nothing speaks for the label the map is empty, else its maximum is
/// full.
#[test]
fn the_reference_images_have_maps() {
    let registry = Registry::built_in();
    for name in ["pneumonia224", "pneumonia28", "breast28"] {
        let card = registry.get(name).unwrap();
        let network = Network::load(&TractBackend, card, &registry.weights(card).unwrap()).unwrap();
        let reference = models::ReferenceVectors::of(card).unwrap().unwrap();
        let mut full = 0;
        for vector in &reference.vectors {
            let columns = reference.columns;
            let frame =
                frame(reference.rows, columns, |row, column| vector.image[(row * columns + column) as usize]);
            let found = explain(&network, &frame, &[&label(&network)], &|| true).unwrap();
            let most = found[0].map.values.iter().max().copied();
            assert!(most == Some(u16::MAX) || most == Some(0), "{name}: {most:?}");
            full += usize::from(most == Some(u16::MAX));
        }
        assert!(full > 0, "{name}: some image has what counted");
    }
}

#[test]
fn boxes_are_painted_as_strong_as_their_scores() {
    let region = |left, width| Region { frame: 5, left, top: 0.0, width, height: 1.0 };
    let map = painted(&frame(1, 4, |_, _| 0), &[(region(0.0, 0.5), 0.6), (region(0.25, 0.25), 0.8)]);
    let parts: Vec<u32> = (0..4).map(|column| (map.part(0, column) * 10.0).round() as u32).collect();
    assert_eq!(parts, [6, 8, 0, 0]);
}
