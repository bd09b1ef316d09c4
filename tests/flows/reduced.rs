//! A decoder that leaves out what a network does not see: the same findings, for less.

use clinical::imaging::{DecodeRequest, Frame, LabelScore, Outcome};
use inference::{Network, TractBackend, analyze_forced};
use ingest::part10::{Limits, Part10};
use ingest::pixels::{DecodePool, PixelLimits, decode, transcode};
use models::{ReferenceVectors, Registry};

use crate::support::images::Image;

/// So much larger than in the data are the images, as radiographs are.
const TIMES: usize = 8;
/// The most that a probability may change; of 60 other children's images, enlarged likewise, the most was 0.022.
const MOST: f32 = 0.03;

/// A square image with so many times its rows and columns, smooth between its pixels, and a little noise.
fn enlarged(image: &[u8], side: usize) -> Vec<u8> {
    let at = |row: usize, column: usize| f32::from(image[row.min(side - 1) * side + column.min(side - 1)]);
    let place = |index: usize| {
        let centre = ((index as f32 + 0.5) / TIMES as f32 - 0.5).max(0.0);
        (centre as usize, centre.fract())
    };
    let large = side * TIMES;
    (0..large * large)
        .map(|index| {
            let ((row, down), (column, across)) = (place(index / large), place(index % large));
            let along = |row| at(row, column) * (1.0 - across) + at(row, column + 1) * across;
            let noise = (index.wrapping_mul(2_654_435_761) >> 13) % 9;
            (along(row) * (1.0 - down) + along(row + 1) * down + noise as f32 - 4.0).round() as u8
        })
        .collect()
}

fn scored(network: &Network, frames: &[Frame]) -> Vec<LabelScore> {
    match analyze_forced(network, frames).unwrap().outcome {
        Outcome::Scored(scores) => scores,
        Outcome::Abstained(why) => panic!("{why:?}"),
    }
}

#[test]
fn the_default_network_finds_the_same_in_less_of_an_image() {
    let registry = Registry::built_in();
    let card = registry.get("pneumonia224").unwrap();
    let network = Network::load(&TractBackend, card, &registry.weights(card).unwrap()).unwrap();
    let reference = ReferenceVectors::of(card).unwrap().unwrap();
    let side = reference.rows as usize;
    let pool = DecodePool::inline();
    for vector in &reference.vectors {
        let large = (side * TIMES) as u16;
        let image = Image {
            size: (large, large),
            pixels: enlarged(&vector.image, side),
            ..Image::child_chest(&vector.class)
        };
        let object = Part10::read(image.file().into(), &Limits::default()).unwrap();
        // JPEG 2000 lossless, and JPEG baseline.
        for syntax in ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.50"] {
            let file = transcode(&object, &syntax.parse().unwrap(), &PixelLimits::default(), &pool).unwrap();
            let object = Part10::read(file, &Limits::default()).unwrap();
            let frames =
                |request: &DecodeRequest| decode(&object, request, &PixelLimits::default(), &pool).unwrap();
            let whole = frames(&DecodeRequest::everything());
            let less = frames(&network.decode_request());
            assert_eq!((whole[0].rows, less[0].rows), (1792, 448), "{syntax}");
            for (whole, less) in scored(&network, &whole).iter().zip(scored(&network, &less)) {
                let apart = (whole.probability - less.probability).abs();
                assert!(apart <= MOST, "{syntax} {}: {whole:?} {less:?}", vector.class);
                assert_eq!(whole.is_positive(), less.is_positive(), "{syntax} {whole:?} {less:?}");
            }
        }
    }
}
