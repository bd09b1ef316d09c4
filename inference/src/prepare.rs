//! From a frame to a network's input, in one pass over the pixels that the network sees.
//!
//! Look-up tables, shades, crop and resize are one loop: stored values go
//! through one table into the sums of the smaller image, and no full-size
//! picture is made between.

mod area;
mod grey;

use clinical::imaging::{Frame, Photometric, Samples};
use models::{Channels, Crop, Input, Quantise, Resize};
use ndarray::{Array2, Array4, Axis};

use self::area::{Square, area_mean};
use self::grey::{Shades, luma};

/// Why a frame cannot be made into an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    /// The frame has no rows or no columns.
    #[error("it has no pixels")]
    Empty,
    /// More or fewer samples than rows, columns and samples per pixel make.
    #[error("it has {found} samples where rows, columns and samples per pixel make {expected}")]
    WrongLength {
        /// By rows, columns and samples per pixel.
        expected: u64,
        /// As given.
        found: u64,
    },
    /// A look-up table without entries.
    #[error("its look-up table is empty")]
    EmptyTable,
    /// Colours that are neither 8 nor 16 bits without sign.
    #[error("its colours are neither unsigned 8-bit nor unsigned 16-bit values")]
    UnsupportedColour,
}

/// The network's input for a frame, of the card's shape and value range.
///
/// Shades come by Modality LUT and VOI LUT (PS3.3, C.11.1 and C.11.2). Where an object has no VOI LUT,
/// values of up to 8 bits are taken as they are, and the darkest and brightest of more bits become
/// black and white. MONOCHROME1 is inverted, padding is black, RGB becomes its luma. The shades are
/// rounded to 256 before the centre square is cut out and averaged down, as in the networks' training.
///
/// # Errors
///
/// [`PrepareError`]
pub fn prepare(frame: &Frame, input: &Input) -> Result<Array4<f32>, PrepareError> {
    let Input { channels: Channels::Grey, quantise: Quantise::EightBit, crop: Crop::CentreSquare, .. } =
        input;
    let Resize::Area = input.resize;
    check(frame)?;
    let square = Square::centred(frame.rows as usize, frame.columns as usize);
    let size = (input.rows(), input.columns());
    let mean = match frame.photometric {
        Photometric::Rgb => colour_mean(frame, &square, size)?,
        Photometric::Monochrome1 | Photometric::Monochrome2 => grey_mean(frame, &square, size)?,
    };
    let [black, white] = input.value_range;
    let scaled = mean.mapv_into(|grey| black + (white - black) * (grey / 255.0));
    Ok(scaled.insert_axis(Axis(0)).insert_axis(Axis(0)))
}

fn check(frame: &Frame) -> Result<(), PrepareError> {
    if frame.rows == 0 || frame.columns == 0 {
        return Err(PrepareError::Empty);
    }
    let per_pixel = match frame.photometric {
        Photometric::Rgb => 3,
        Photometric::Monochrome1 | Photometric::Monochrome2 => 1,
    };
    let expected = u64::from(frame.rows).saturating_mul(u64::from(frame.columns)).saturating_mul(per_pixel);
    let found = frame.samples.len() as u64;
    if found == expected { Ok(()) } else { Err(PrepareError::WrongLength { expected, found }) }
}

fn grey_mean(frame: &Frame, square: &Square, size: (usize, usize)) -> Result<Array2<f32>, PrepareError> {
    let shades = Shades::of(frame)?;
    Ok(match &frame.samples {
        Samples::U8(values) => {
            let table = shades.table::<256>(|index| index as u8 as i64);
            area_mean(values, square, size, |value| table[usize::from(value)])
        }
        Samples::I8(values) => {
            let table = shades.table::<256>(|index| i64::from(index as u8 as i8));
            area_mean(values, square, size, |value| table[usize::from(value as u8)])
        }
        Samples::U16(values) => {
            let table = shades.table::<65536>(|index| index as u16 as i64);
            area_mean(values, square, size, |value| table[usize::from(value)])
        }
        Samples::I16(values) => {
            let table = shades.table::<65536>(|index| i64::from(index as u16 as i16));
            area_mean(values, square, size, |value| table[usize::from(value as u16)])
        }
        Samples::U32(values) => area_mean(values, square, size, |value| shades.grey(i64::from(value))),
        Samples::I32(values) => area_mean(values, square, size, |value| shades.grey(i64::from(value))),
    })
}

fn colour_mean(frame: &Frame, square: &Square, size: (usize, usize)) -> Result<Array2<f32>, PrepareError> {
    let white = (1_u32 << frame.bits_stored.clamp(1, 16)) - 1;
    let eight_bit = |value: u32| ((value.min(white) * 255 + white / 2) / white) as u8;
    match &frame.samples {
        Samples::U8(values) if white == 255 => {
            let (pixels, _) = values.as_chunks::<3>();
            Ok(area_mean(pixels, square, size, luma))
        }
        Samples::U8(values) => {
            let (pixels, _) = values.as_chunks::<3>();
            Ok(area_mean(pixels, square, size, |pixel: [u8; 3]| {
                luma(pixel.map(|value| eight_bit(value.into())))
            }))
        }
        Samples::U16(values) => {
            let (pixels, _) = values.as_chunks::<3>();
            Ok(area_mean(pixels, square, size, |pixel: [u16; 3]| {
                luma(pixel.map(|value| eight_bit(value.into())))
            }))
        }
        _ => Err(PrepareError::UnsupportedColour),
    }
}

#[cfg(test)]
mod tests;
