//! The one pass against the plain way: shade every pixel, cut, then average by the definition.

use clinical::imaging::{LutTable, ModalityLut, Rescale, VoiFunction, VoiLut, Window};
use models::{Crop, Luts, ReferenceVectors, Registry};
use proptest::prelude::*;

use super::*;

fn input(side: usize) -> Input {
    let mut input = Registry::built_in().get("pneumonia28").unwrap().input.clone();
    input.shape = vec![1, 1, side, side];
    input
}

fn frame(rows: u32, columns: u32, bits_stored: u8, samples: Samples) -> Frame {
    Frame {
        index: 0,
        rows,
        columns,
        samples_per_pixel: 1,
        bits_stored,
        samples,
        photometric: Photometric::Monochrome2,
        modality_lut: None,
        voi_lut: None,
        padding: None,
    }
}

fn window(center: f64, width: f64, function: VoiFunction) -> Option<VoiLut> {
    Some(VoiLut::Window(Window { center, width, function }))
}

/// The shades of a prepared image, 0 to 255, to a thousandth.
fn greys(frame: &Frame, side: usize) -> Vec<f32> {
    prepare(frame, &input(side)).unwrap().iter().map(|value| (value * 255_000.0).round() / 1000.0).collect()
}

/// The mean over each new pixel's area, summed over every old pixel with its overlap.
fn plain_mean(shades: &[f64], rows: usize, columns: usize, size: usize) -> Vec<f64> {
    let side = rows.min(columns);
    let (top, left) = ((rows - side) / 2, (columns - side) / 2);
    let step = side as f64 / size as f64;
    let overlap = |old: usize, new: usize| {
        let (start, end) = (new as f64 * step, (new + 1) as f64 * step);
        (end.min((old + 1) as f64) - start.max(old as f64)).max(0.0)
    };
    let mut means = Vec::new();
    for row in 0..size {
        for column in 0..size {
            let mut sum = 0.0;
            for y in 0..side {
                for x in 0..side {
                    sum += overlap(y, row) * overlap(x, column) * shades[(top + y) * columns + left + x];
                }
            }
            means.push(sum / (step * step));
        }
    }
    means
}

proptest! {
    #[test]
    fn one_pass_gives_what_the_plain_way_gives(
        rows in 1_u32..40,
        columns in 1_u32..40,
        size in 1_usize..12,
        seed in any::<u32>(),
        center in -500.0..3000.0_f64,
        width in 1.0..4000.0_f64,
        invert in any::<bool>(),
    ) {
        let values: Vec<u16> =
            (0..rows * columns).map(|at| (at.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 20) as u16).collect();
        let by = Rescale { slope: 1.5, intercept: -100.0 };
        let window = Window { center, width, function: VoiFunction::Linear };
        let shades: Vec<f64> = values
            .iter()
            .map(|value| {
                let shade = window.shade(by.slope * f64::from(*value) + by.intercept);
                ((if invert { 1.0 - shade } else { shade }) * 255.0).round()
            })
            .collect();
        let frame = Frame {
            modality_lut: Some(ModalityLut::Rescale(by)),
            voi_lut: Some(VoiLut::Window(window)),
            photometric: if invert { Photometric::Monochrome1 } else { Photometric::Monochrome2 },
            ..frame(rows, columns, 12, Samples::U16(values))
        };
        let plain = plain_mean(&shades, rows as usize, columns as usize, size);
        for (found, expected) in greys(&frame, size).iter().zip(plain) {
            prop_assert!((f64::from(*found) - expected).abs() < 1e-2, "{found} is not {expected}");
        }
    }
}

/// models/reference: images of the network's own size, which are `grey / 255` to it.
#[test]
fn an_8_bit_image_of_the_networks_size_passes_unchanged() {
    let registry = Registry::built_in();
    for card in registry.iter() {
        let reference = ReferenceVectors::of(card).unwrap().unwrap();
        for vector in &reference.vectors {
            let frame = frame(reference.rows, reference.columns, 8, Samples::U8(vector.image.clone()));
            let prepared = prepare(&frame, &card.input).unwrap();
            assert_eq!(prepared.shape(), card.input.shape);
            for (value, grey) in prepared.iter().zip(&vector.image) {
                assert!((value - f32::from(*grey) / 255.0).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn without_a_voi_lut_more_than_8_bits_go_from_the_darkest_to_the_brightest() {
    let frame = frame(2, 2, 12, Samples::U16(vec![1000, 1500, 2000, 3000]));
    assert_eq!(greys(&frame, 2), [0.0, 64.0, 128.0, 255.0]);
}

#[test]
fn padding_is_black_and_stretches_nothing() {
    for (photometric, expected) in [
        (Photometric::Monochrome2, [0.0, 0.0, 128.0, 255.0]),
        (Photometric::Monochrome1, [0.0, 255.0, 128.0, 0.0]),
    ] {
        let samples = Samples::I16(vec![-2000, 100, 200, 300]);
        let frame = Frame { padding: Some((-2000, -2000)), photometric, ..frame(2, 2, 12, samples) };
        let found = greys(&frame, 2);
        assert!(
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() <= 1.0),
            "{found:?}"
        );
        assert_eq!(found[0], 0.0, "padding");
    }
}

#[test]
fn a_frame_of_nothing_but_padding_is_black() {
    let frame = Frame { padding: Some((5, 5)), ..frame(2, 2, 12, Samples::U16(vec![5; 4])) };
    assert_eq!(greys(&frame, 2), [0.0; 4]);
}

#[test]
fn a_falling_modality_lut_turns_the_least_stored_value_white() {
    let by = Rescale { slope: -1.0, intercept: 4095.0 };
    let samples = Samples::U16(vec![0, 4095, 4095, 0]);
    let frame = Frame { modality_lut: Some(ModalityLut::Rescale(by)), ..frame(2, 2, 12, samples) };
    assert_eq!(greys(&frame, 2), [255.0, 0.0, 0.0, 255.0]);
}

/// PS3.3, C.11.2.1.3: at the centre a sigmoid gives one half; far above it gives white.
#[test]
fn every_form_of_voi_lut_is_applied() {
    let of = |voi_lut| greys(&Frame { voi_lut, ..frame(1, 1, 12, Samples::U16(vec![1000])) }, 1)[0];
    assert_eq!(of(window(1000.0, 100.0, VoiFunction::Sigmoid)), 128.0);
    assert_eq!(of(window(1000.0, 100.0, VoiFunction::LinearExact)), 128.0);
    assert_eq!(of(window(0.0, 100.0, VoiFunction::Linear)), 255.0);
    let table = LutTable { first_mapped: 999, bits: 8, entries: vec![10, 20, 30] };
    assert_eq!(of(Some(VoiLut::Table(table))), 20.0);
}

#[test]
fn a_modality_table_comes_before_the_window() {
    let table = LutTable { first_mapped: 0, bits: 16, entries: vec![0, 50, 100] };
    let frame = Frame {
        modality_lut: Some(ModalityLut::Table(table)),
        voi_lut: window(50.0, 100.0, VoiFunction::LinearExact),
        ..frame(1, 1, 8, Samples::U8(vec![1]))
    };
    assert_eq!(greys(&frame, 1), [128.0]);
}

/// ITU-R BT.601: pure red, green and blue have a luma of 76, 150 and 29.
#[test]
fn colours_become_their_luma() {
    let rgb = |samples, bits| Frame {
        photometric: Photometric::Rgb,
        samples_per_pixel: 3,
        ..frame(1, 1, bits, samples)
    };
    for (pixel, luma) in [([255, 0, 0], 76.0), ([0, 255, 0], 150.0), ([0, 0, 255], 29.0), ([9, 9, 9], 9.0)] {
        assert_eq!(greys(&rgb(Samples::U8(pixel.to_vec()), 8), 1), [luma]);
    }
    assert_eq!(greys(&rgb(Samples::U16(vec![65535; 3]), 16), 1), [255.0]);
    let signed = prepare(&rgb(Samples::I16(vec![0; 3]), 16), &input(1));
    assert_eq!(signed, Err(PrepareError::UnsupportedColour));
}

#[test]
fn signed_and_wide_values_find_their_shades() {
    for samples in [
        Samples::I16(vec![-1000, 0, 1000, 3000]),
        Samples::I32(vec![-1000, 0, 1000, 3000]),
        Samples::U32(vec![9_000, 10_000, 11_000, 13_000]),
    ] {
        assert_eq!(greys(&frame(2, 2, 16, samples), 2), [0.0, 64.0, 128.0, 255.0]);
    }
    assert_eq!(greys(&frame(1, 1, 8, Samples::I8(vec![-128])), 1), [0.0]);
    assert_eq!(greys(&frame(1, 1, 8, Samples::I8(vec![127])), 1), [255.0]);
}

#[test]
fn a_frame_that_contradicts_itself_is_refused() {
    let short = frame(2, 2, 8, Samples::U8(vec![0; 3]));
    assert_eq!(prepare(&short, &input(2)), Err(PrepareError::WrongLength { expected: 4, found: 3 }));
    assert_eq!(prepare(&frame(0, 2, 8, Samples::U8(vec![])), &input(2)), Err(PrepareError::Empty));
    let huge = frame(u32::MAX, u32::MAX, 8, Samples::U8(vec![0]));
    assert!(matches!(prepare(&huge, &input(2)), Err(PrepareError::WrongLength { found: 1, .. })));
    let no_entries = LutTable { first_mapped: 0, bits: 8, entries: vec![] };
    let frame = Frame { voi_lut: Some(VoiLut::Table(no_entries)), ..frame(1, 1, 8, Samples::U8(vec![0])) };
    assert_eq!(prepare(&frame, &input(1)), Err(PrepareError::EmptyTable));
}

/// A card of one row of `columns` that takes values as finely as they come.
fn fine(columns: usize, channels: Channels) -> Input {
    Input {
        shape: vec![1, channels.count(), 1, columns],
        channels,
        quantise: Quantise::None,
        crop: Crop::None,
        ..input(1)
    }
}

fn near(found: &Array4<f32>, expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let is_near = found.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-4);
    assert!(is_near, "{found} is not {expected:?}");
}

/// By hand: (0.25 - 0.5) / 0.25 and (1 - 0.5) / 0.25; ImageNet's three means and deviations are the common case.
#[test]
fn mean_and_deviation_come_last_and_each_channel_has_its_own() {
    let frame = frame(1, 2, 16, Samples::U16(vec![16384, 65535]));
    let frame = Frame { voi_lut: window(32767.5, 65535.0, VoiFunction::LinearExact), ..frame };
    let input = Input { mean: Some(vec![0.5]), std: Some(vec![0.25]), ..fine(2, Channels::Grey) };
    near(&prepare(&frame, &input).unwrap(), &[-1.0, 2.0]);
    let (mean, std) = (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]);
    let input = Input { mean: Some(mean), std: Some(std), ..fine(1, Channels::Rgb) };
    let white = self::frame(1, 1, 8, Samples::U8(vec![255]));
    near(&prepare(&white, &input).unwrap(), &[2.2489, 2.4286, 2.64]);
}

#[test]
fn a_network_of_colours_gets_red_green_and_blue_apart() {
    let frame = |samples, bits| Frame {
        photometric: Photometric::Rgb,
        samples_per_pixel: 3,
        ..frame(1, 2, bits, samples)
    };
    for quantise in [Quantise::None, Quantise::EightBit] {
        let input = Input { quantise, ..fine(2, Channels::Rgb) };
        let found = prepare(&frame(Samples::U8(vec![255, 0, 51, 0, 102, 255]), 8), &input).unwrap();
        near(&found, &[1.0, 0.0, 0.0, 0.4, 0.2, 1.0]);
        let found = prepare(&frame(Samples::U16(vec![65535, 0, 0, 0, 0, 65535]), 16), &input).unwrap();
        near(&found, &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }
}

/// ITU-R BT.601 without rounding: 0.587 for pure green.
#[test]
fn a_fine_luma_is_not_rounded() {
    let green = Frame {
        photometric: Photometric::Rgb,
        samples_per_pixel: 3,
        ..frame(1, 1, 8, Samples::U8(vec![0, 255, 0]))
    };
    near(&prepare(&green, &fine(1, Channels::Grey)).unwrap(), &[0.587]);
}

/// PS3.3, C.11.2.1.3.2 by hand: centre 40, width 400 goes from -160 to 240; a CT's own window is not followed.
#[test]
fn the_cards_window_stands_in_for_the_images() {
    let by = Rescale { slope: 1.0, intercept: -1024.0 };
    let frame = Frame {
        modality_lut: Some(ModalityLut::Rescale(by)),
        voi_lut: window(-600.0, 1500.0, VoiFunction::Linear),
        ..frame(1, 4, 12, Samples::U16(vec![0, 964, 1064, 2000]))
    };
    let window = Some(models::CardWindow { center: 40.0, width: 400.0 });
    let input = Input { luts: Luts::Modality, window, ..fine(4, Channels::Grey) };
    near(&prepare(&frame, &input).unwrap(), &[0.0, 0.25, 0.5, 1.0]);
    let stored = Input { luts: Luts::Stored, ..input };
    near(&prepare(&frame, &stored).unwrap(), &[0.4, 1.0, 1.0, 1.0]);
}

#[test]
fn units_reach_the_network_as_they_are_held_to_its_range() {
    let by = Rescale { slope: 1.0, intercept: -1024.0 };
    let frame = Frame {
        modality_lut: Some(ModalityLut::Rescale(by)),
        voi_lut: window(-600.0, 1500.0, VoiFunction::Linear),
        photometric: Photometric::Monochrome1,
        padding: Some((1, 1)),
        ..frame(1, 4, 12, Samples::U16(vec![1, 964, 1064, 4000]))
    };
    let input = Input { luts: Luts::Modality, value_range: [-1000.0, 1000.0], ..fine(4, Channels::Grey) };
    near(&prepare(&frame, &input).unwrap(), &[-1000.0, -60.0, 40.0, 1000.0]);
    let stored = Input { luts: Luts::Stored, value_range: [0.0, 2000.0], ..input };
    near(&prepare(&frame, &stored).unwrap(), &[0.0, 964.0, 1064.0, 2000.0]);
    let broken = Frame {
        modality_lut: Some(ModalityLut::Rescale(Rescale { slope: f64::NAN, intercept: 0.0 })),
        ..frame
    };
    let input = Input { luts: Luts::Modality, value_range: [-1.0, 1.0], ..fine(4, Channels::Grey) };
    assert!(prepare(&broken, &input).unwrap().iter().all(|value| value.is_finite()));
}

/// By hand: two rows of four become one row of two in the middle of a 2 by 2 picture; black is -1 there.
#[test]
fn padding_is_black_in_the_networks_own_range() {
    let frame = frame(1, 2, 8, Samples::U8(vec![255, 255]));
    let input =
        Input { shape: vec![1, 1, 2, 2], pad: true, value_range: [-1.0, 1.0], ..fine(2, Channels::Grey) };
    near(&prepare(&frame, &input).unwrap(), &[1.0, 1.0, -1.0, -1.0]);
    let input = Input { mean: Some(vec![-1.0]), std: Some(vec![2.0]), ..input };
    near(&prepare(&frame, &input).unwrap(), &[1.0, 1.0, 0.0, 0.0]);
}

#[test]
fn every_filter_gives_a_flat_picture_back() {
    let frame = frame(7, 9, 8, Samples::U8(vec![51; 63]));
    for resize in [Resize::Area, Resize::Linear, Resize::Nearest] {
        for quantise in [Quantise::None, Quantise::EightBit] {
            let input = Input { resize, quantise, shape: vec![1, 1, 4, 13], ..fine(13, Channels::Grey) };
            near(&prepare(&frame, &input).unwrap(), &[0.2; 52]);
        }
    }
}

#[test]
fn a_slice_of_a_volume_has_the_rows_and_columns_of_the_network() {
    let frame = frame(2, 2, 8, Samples::U8(vec![255; 4]));
    let input = Input { shape: vec![1, 1, 16, 3, 5], ..fine(5, Channels::Grey) };
    assert_eq!(prepare(&frame, &input).unwrap().shape(), [1, 1, 3, 5]);
}
