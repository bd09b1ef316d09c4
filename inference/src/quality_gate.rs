//! Images that are not fit to be read: too small, empty, badly exposed, or little more than a blank border.
//!
//! The limits are far from what sound images have, for the gate knows no network: of 8,660 chest radiographs and
//! breast ultrasound images at hand none is refused. What is subtler, such as a chest that is shown inverted,
//! is told by the network's own distance ([`crate::out_of_distribution`]).

use clinical::imaging::Frame;
use models::Input;
use ndarray::{Array2, ArrayView2, ArrayView4, Axis, Slice};

/// The least standard deviation of an image's shades, as a part of the way from black to white; the flattest sound
/// image has 0.025, at 28x28 pixels.
const LEAST_CONTRAST: f32 = 0.01;
/// The same for the middle half of the image; the flattest sound one has 0.015.
const LEAST_CONTRAST_IN_THE_MIDDLE: f32 = 0.005;
/// The least side of an image, as a part of the network's: below it most of what the network sees would be made up.
const LEAST_SIDE: f64 = 0.5;
/// What red, green and blue add to how bright a pixel looks.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];
/// A pixel from here on is white, and at its opposite or below it black.
const WHITE: f32 = 254.0 / 255.0;
/// The largest share of white pixels; the whitest sound image has 0.04.
const MOST_WHITE: f32 = 0.4;
/// The largest share of black pixels; the blackest sound image has 0.41.
const MOST_BLACK: f32 = 0.85;
/// The darkest mean; the darkest sound image has 0.12.
const LEAST_MEAN: f32 = 0.03;
/// The brightest mean; the brightest sound image has 0.88.
const MOST_MEAN: f32 = 0.96;
/// The least share of the image within its blank borders; the least of a sound one has 0.61.
const LEAST_FIELD: f32 = 0.3;

/// Why a frame is not fit to be read, in words, or `None` if nothing speaks against it.
///
/// `prepared` is the frame as the network would see it. Values in modality units have neither black nor white, so
/// only their contrast is judged.
pub(crate) fn objection(frame: &Frame, input: &Input, prepared: ArrayView4<'_, f32>) -> Option<String> {
    let side = frame.rows.min(frame.columns);
    let least = (LEAST_SIDE * input.rows().max(input.columns()) as f64).ceil();
    if f64::from(side) < least {
        let Frame { rows, columns, .. } = frame;
        return Some(format!(
            "the image has {rows} rows and {columns} columns; the network asks for {least} at least"
        ));
    }
    let channels: Vec<Array2<f32>> = prepared
        .index_axis(Axis(0), 0)
        .outer_iter()
        .enumerate()
        .map(|(at, it)| shades(input, at, it))
        .collect();
    let contrast = channels.iter().map(|shades| shades.std(0.0)).fold(0.0, f32::max);
    if contrast < LEAST_CONTRAST {
        return Some("the image is empty: it has no contrast".to_owned());
    }
    if input.is_in_units() {
        return None;
    }
    let luma = luma(channels)?;
    exposure(luma.view()).or_else(|| field(luma.view()))
}

/// One channel as it was before the card's mean and standard deviation, from 0 for black to 1 for white.
fn shades(input: &Input, channel: usize, values: ArrayView2<'_, f32>) -> Array2<f32> {
    let [black, white] = input.value_range;
    let (mean, deviation) = input.normalisation(channel);
    values.mapv(|value| (value * deviation + mean - black) / (white - black))
}

/// How bright colours look (Rec. ITU-R BT.601); one channel is that itself.
fn luma(channels: Vec<Array2<f32>>) -> Option<Array2<f32>> {
    if channels.len() != LUMA.len() {
        return channels.into_iter().next();
    }
    channels.into_iter().zip(LUMA).map(|(channel, weight)| channel * weight).reduce(|sum, part| sum + part)
}

/// What is wrong with the light; `shades` go from 0 to 1.
fn exposure(shades: ArrayView2<'_, f32>) -> Option<String> {
    let share = |is_it: fn(f32) -> bool| {
        shades.iter().filter(|shade| is_it(**shade)).count() as f32 / shades.len() as f32
    };
    let white = share(|shade| shade >= WHITE);
    if white > MOST_WHITE {
        return Some(format!("the image is saturated: {:.0} % of it is white", white * 100.0));
    }
    let black = share(|shade| shade <= 1.0 - WHITE);
    if black > MOST_BLACK {
        return Some(format!("the image is mostly empty: {:.0} % of it is black", black * 100.0));
    }
    match shades.mean().unwrap_or(0.0) {
        mean if mean < LEAST_MEAN => Some("the image is underexposed: nearly all of it is dark".to_owned()),
        mean if mean > MOST_MEAN => Some("the image is overexposed: nearly all of it is bright".to_owned()),
        _ => None,
    }
}

/// What is wrong with what the picture holds: nothing in its middle, or little between blank borders.
fn field(shades: ArrayView2<'_, f32>) -> Option<String> {
    let half = |length: usize| Slice::from(length / 4..length - length / 4);
    let mut middle = shades;
    middle.slice_axis_inplace(Axis(0), half(shades.nrows()));
    middle.slice_axis_inplace(Axis(1), half(shades.ncols()));
    if middle.std(0.0) < LEAST_CONTRAST_IN_THE_MIDDLE {
        return Some("the field is empty: the middle of the image has no contrast".to_owned());
    }
    let seen = extent(shades, Axis(0)) * extent(shades, Axis(1));
    (seen < LEAST_FIELD).then(|| {
        format!("the field is collimated too far: {:.0} % of the image is blank border", (1.0 - seen) * 100.0)
    })
}

/// The part of an image's lines that is left without the blank ones at either end.
///
/// A line is blank when it has one shade and that is the outermost line's.
fn extent(shades: ArrayView2<'_, f32>, axis: Axis) -> f32 {
    let count = shades.len_of(axis);
    let blank_from = |outermost: usize, lines: &mut dyn Iterator<Item = usize>| {
        let edge = shades.index_axis(axis, outermost).mean().unwrap_or(0.0);
        lines
            .take_while(|line| {
                let line = shades.index_axis(axis, *line);
                line.std(0.0) < LEAST_CONTRAST && (line.mean().unwrap_or(0.0) - edge).abs() < LEAST_CONTRAST
            })
            .count()
    };
    let before = blank_from(0, &mut (0..count));
    let behind = blank_from(count - 1, &mut (0..count).rev());
    count.saturating_sub(before + behind) as f32 / count as f32
}

#[cfg(test)]
mod tests {
    use clinical::imaging::{Photometric, Samples};
    use models::{ReferenceVectors, Registry};

    use super::*;
    use crate::prepare;

    const SIDE: usize = 112;

    fn frame(side: usize, shade: impl Fn(usize, usize) -> u8) -> Frame {
        Frame {
            index: 0,
            rows: side as u32,
            columns: side as u32,
            samples_per_pixel: 1,
            bits_stored: 8,
            samples: Samples::U8((0..side * side).map(|at| shade(at / side, at % side)).collect()),
            photometric: Photometric::Monochrome2,
            modality_lut: None,
            voi_lut: None,
            padding: None,
        }
    }

    fn judged(frame: &Frame) -> Option<String> {
        let input = &Registry::built_in().get("pneumonia28").unwrap().input.clone();
        objection(frame, input, prepare(frame, input).unwrap().view())
    }

    /// Stripes of two shades, twelve pixels wide.
    fn stripes(y: usize, dark: u8, bright: u8) -> u8 {
        if (y / 12).is_multiple_of(2) { dark } else { bright }
    }

    fn assert_told(frame: &Frame, hint: &str) {
        let reason = judged(frame).unwrap_or_else(|| panic!("nothing said, {hint:?} expected"));
        assert!(reason.contains(hint), "{reason:?} says nothing of {hint:?}");
    }

    #[test]
    fn an_image_of_one_shade_is_empty() {
        assert_told(&frame(SIDE, |_, _| 90), "no contrast");
    }

    #[test]
    fn an_image_of_few_pixels_is_too_small() {
        assert_told(
            &frame(13, |y, _| stripes(y, 50, 150)),
            "13 rows and 13 columns; the network asks for 14",
        );
        assert_eq!(judged(&frame(14, |y, _| (y * 9) as u8)), None);
    }

    #[test]
    fn a_burnt_out_image_is_saturated() {
        assert_told(&frame(SIDE, |y, x| if x < 60 { 255 } else { stripes(y, 90, 180) }), "saturated");
        assert_told(&frame(SIDE, |y, _| stripes(y, 240, 252)), "overexposed");
    }

    #[test]
    fn an_image_without_light_is_underexposed_or_empty() {
        assert_told(&frame(SIDE, |y, _| stripes(y, 2, 10)), "underexposed");
        assert_told(&frame(SIDE, |y, x| if y > 100 && x > 40 { 200 } else { 0 }), "mostly empty");
    }

    #[test]
    fn an_image_with_nothing_in_the_middle_has_an_empty_field() {
        let rim = |y: usize, x: usize| y.min(x).min(SIDE - 1 - y).min(SIDE - 1 - x) < 20;
        assert_told(&frame(SIDE, |y, x| if rim(y, x) { stripes(y, 40, 160) } else { 100 }), "field is empty");
    }

    #[test]
    fn an_image_that_is_mostly_border_is_collimated_too_far() {
        let inside = |y: usize, x: usize| (32..80).contains(&y) && (32..80).contains(&x);
        let small = frame(SIDE, |y, x| if inside(y, x) { stripes(y, 60, 200) } else { 20 });
        assert_told(&small, "% of the image is blank border");
    }

    /// A fundus is red all over: what is seen of it lies in its green.
    #[test]
    fn of_colours_what_counts_is_how_bright_they_look() {
        let mut input = Registry::built_in().get("pneumonia28").unwrap().input.clone();
        input.shape = vec![1, 3, 28, 28];
        input.channels = models::Channels::Rgb;
        (input.mean, input.std) = (Some(vec![0.5, 0.4, 0.3]), Some(vec![0.25, 0.5, 0.75]));
        let of = |colour: &dyn Fn(usize) -> [u8; 3]| {
            let samples = (0..SIDE * SIDE).flat_map(|at| colour(at / SIDE)).collect();
            let grey = frame(SIDE, |_, _| 0);
            let samples = Samples::U8(samples);
            let image = Frame { samples_per_pixel: 3, photometric: Photometric::Rgb, samples, ..grey };
            objection(&image, &input, prepare(&image, &input).unwrap().view())
        };
        assert_eq!(of(&|y| [255, stripes(y, 40, 160), 30]), None, "its red alone is saturated and empty");
        assert!(
            of(&|y| [stripes(y, 230, 245), 255, 255]).is_some_and(|reason| reason.contains("overexposed"))
        );
        assert!(of(&|_| [200, 100, 50]).is_some_and(|reason| reason.contains("no contrast")));
    }

    /// models/reference: images that the networks of the box learned from.
    #[test]
    fn sound_images_pass_and_so_do_dim_ones() {
        for card in Registry::built_in().iter() {
            let reference = ReferenceVectors::of(card).unwrap().unwrap();
            for vector in &reference.vectors {
                for weight in [256, 160] {
                    let side = reference.columns as usize;
                    let image =
                        frame(side, |y, x| (u32::from(vector.image[y * side + x]) * weight / 256) as u8);
                    let prepared = prepare(&image, &card.input).unwrap();
                    assert_eq!(objection(&image, &card.input, prepared.view()), None, "{}", card.name);
                }
            }
        }
    }
}
