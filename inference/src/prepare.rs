//! From a frame to a network's input, in one pass over the pixels that the network sees.
//!
//! Look-up tables, shades, crop and resize are one loop: stored values go
//! through one table into the sums of the smaller image, and no full-size
//! picture is made between.

mod area;
mod back;
mod colour;
mod grey;
mod place;
mod sample;

use clinical::imaging::{Frame, Photometric, Samples};
use models::{Channels, Input, Quantise, Resize};
use ndarray::{Array2, Array4, Axis, Slice, Zip};

use self::area::{Tone, area_mean};
pub(crate) use self::back::{WayBack, between, region_on_frame};
use self::grey::Shades;
use self::place::Place;

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

/// The network's input for a frame, `[1, channels, rows, columns]`; for a volume's network, one of its slices.
///
/// Shades come by Modality LUT and VOI LUT (PS3.3, C.11.1 and C.11.2), or by the card's own window. Where an
/// object has no VOI LUT, values of up to 8 bits are taken as they are, and the darkest and brightest of
/// more bits become black and white. MONOCHROME1 is inverted, padding is black, RGB becomes its luma unless
/// the network takes colours. With `quantise = "8-bit"` shades are rounded to 256 before the image is cut
/// and resized, as in the networks' training.
///
/// A card that takes modality units or stored values gets those, held to its value range; nothing is inverted then.
///
/// # Errors
///
/// [`PrepareError`]
pub fn prepare(frame: &Frame, input: &Input) -> Result<Array4<f32>, PrepareError> {
    check(frame)?;
    let place = Place::of(frame.rows as usize, frame.columns as usize, input);
    let planes = match (frame.photometric, input.channels) {
        (Photometric::Rgb, Channels::Grey) => vec![colour::luma_plane(frame, &place, input)?],
        (Photometric::Rgb, Channels::Rgb) => colour::planes(frame, &place, input)?,
        (Photometric::Monochrome1 | Photometric::Monochrome2, _) => vec![grey_plane(frame, &place, input)?],
    };
    let mut prepared = Array4::zeros((1, input.channels.count(), input.rows(), input.columns()));
    let [black, white] = input.value_range;
    for channel in 0..input.channels.count() {
        let (mean, deviation) = input.normalisation(channel);
        let normal = |value: f32| (value - mean) / deviation;
        let plane = planes.get(channel).unwrap_or(&planes[0]);
        let (rows, columns) = place.within();
        let mut image = prepared.index_axis_mut(Axis(0), 0);
        let mut image = image.index_axis_mut(Axis(0), channel);
        image.fill(normal(black));
        let mut within = image.slice_axis_mut(Axis(0), Slice::from(rows));
        let within = within.slice_axis_mut(Axis(1), Slice::from(columns));
        Zip::from(within).and(plane).for_each(|target, value| {
            *target = normal(if input.is_in_units() {
                value.clamp(black, white)
            } else {
                black + (white - black) * (value / 255.0)
            });
        });
    }
    Ok(prepared)
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

/// The grey frame at the network's size: shades of 0 to 255, or units.
fn grey_plane(frame: &Frame, place: &Place, input: &Input) -> Result<Array2<f32>, PrepareError> {
    let shades = Shades::of(frame, input)?;
    Ok(if input.is_in_units() {
        plane(frame, place, input.resize, |stored| shades.in_units(stored))
    } else if input.quantise == Quantise::EightBit {
        plane(frame, place, input.resize, |stored| shades.grey(stored))
    } else {
        plane(frame, place, input.resize, |stored| shades.fine_grey(stored))
    })
}

/// The frame's one sample a pixel at the network's size; of up to 16 bits each tone is looked up once.
fn plane<T: Tone>(frame: &Frame, place: &Place, resize: Resize, tone: impl Fn(i64) -> T) -> Array2<f32> {
    match &frame.samples {
        Samples::U8(values) => {
            let table = table::<256, T>(|index| tone(index as u8 as i64));
            resized(values, place, resize, |value| table[usize::from(value)])
        }
        Samples::I8(values) => {
            let table = table::<256, T>(|index| tone(i64::from(index as u8 as i8)));
            resized(values, place, resize, |value| table[usize::from(value as u8)])
        }
        Samples::U16(values) => {
            let table = table::<65536, T>(|index| tone(index as u16 as i64));
            resized(values, place, resize, |value| table[usize::from(value)])
        }
        Samples::I16(values) => {
            let table = table::<65536, T>(|index| tone(i64::from(index as u16 as i16)));
            resized(values, place, resize, |value| table[usize::from(value as u16)])
        }
        Samples::U32(values) => resized(values, place, resize, |value| tone(i64::from(value))),
        Samples::I32(values) => resized(values, place, resize, |value| tone(i64::from(value))),
    }
}

/// The tone of every stored value, in the order in which `tone` counts them.
fn table<const LENGTH: usize, T: Tone>(tone: impl Fn(usize) -> T) -> Box<[T; LENGTH]> {
    let mut table = Box::new([T::default(); LENGTH]);
    for (index, entry) in table.iter_mut().enumerate() {
        *entry = tone(index);
    }
    table
}

/// What of an image lies in its place, at the place's size.
fn resized<P: Copy, T: Tone>(
    pixels: &[P],
    place: &Place,
    resize: Resize,
    tone: impl Fn(P) -> T,
) -> Array2<f32> {
    match resize {
        Resize::Area => area_mean(pixels, &place.region, place.size, tone),
        Resize::Linear => sample::linear(pixels, &place.region, place.size, |pixel| tone(pixel).into()),
        Resize::Nearest => sample::nearest(pixels, &place.region, place.size, |pixel| tone(pixel).into()),
    }
}

#[cfg(test)]
mod tests;
