//! Decoded frames against pydicom's arrays.

use ::pixels::{DecodePool, PixelLimits, decode, decode_floats};
use clinical::imaging::DecodeRequest;
use part10::Part10;

use crate::reference::{Foreign, Pixels, Reference};

/// What lossy codecs may round otherwise, in grey levels of 8 bits; the colour matrix doubles it (1.772 Cb).
const LOSSY_LEVELS: i64 = 3;

/// Whether every real number of every frame is pydicom's, to the bit.
fn real(object: &Part10, pixels: &Pixels, known: &[f64]) -> Result<(), String> {
    let frames = decode_floats(object, &DecodeRequest::everything(), &PixelLimits::default());
    let frames = frames.map_err(|error| error.to_string())?;
    let [count, rows, columns, _] = pixels.shape;
    let is_shaped = frames.len() as u64 == count
        && frames.iter().all(|it| (u64::from(it.rows), u64::from(it.columns)) == (rows, columns));
    let ours = frames.iter().flat_map(|frame| &frame.values).map(|value| value.to_bits());
    match is_shaped && ours.eq(known.iter().map(|value| value.to_bits())) {
        true => Ok(()),
        false => Err(format!("{} frames of other numbers", frames.len())),
    }
}

/// Whether every sample of every frame is pydicom's.
pub fn compared(reference: &Reference, file: &Foreign) -> Result<(), String> {
    let Some(pixels) = &file.pixels else { return Ok(()) };
    let object = reference.object(file).map_err(|error| error.to_string())?;
    if let Some(known) = reference.reals(pixels) {
        return real(&object, pixels, &known);
    }
    let frames =
        decode(&object, &DecodeRequest::everything(), &PixelLimits::default(), &DecodePool::inline())
            .map_err(|error| error.to_string())?;
    let [count, rows, columns, samples] = pixels.shape;
    let is_shaped = frames.len() as u64 == count
        && frames.iter().all(|frame| {
            (u64::from(frame.rows), u64::from(frame.columns)) == (rows, columns)
                && u64::from(frame.samples_per_pixel) == samples
        });
    if !is_shaped {
        return Err(format!("{} frames of another shape", frames.len()));
    }
    let known = reference.samples(pixels);
    let ours: Vec<i64> =
        frames.iter().flat_map(|frame| (0..frame.samples.len()).map(|at| frame.samples.at(at))).collect();
    let differences: Vec<i64> = ours.iter().zip(&known).map(|(ours, known)| ours - known).collect();
    let furthest = differences.iter().map(|it| it.abs()).max().unwrap_or(0);
    let levels = if pixels.is_lossy { LOSSY_LEVELS << frames[0].bits_stored.saturating_sub(8) } else { 0 };
    let brightness = |of: &[i64]| match of {
        [red, green, blue] => (299 * red + 587 * green + 114 * blue).abs() / 1_000,
        others => others.iter().map(|it| it.abs()).max().unwrap_or(0),
    };
    let grey = differences.chunks(samples as usize).map(brightness).max().unwrap_or(0);
    if grey > levels || furthest > 2 * levels {
        Err(format!("a sample is off by {furthest}"))
    } else {
        Ok(())
    }
}
