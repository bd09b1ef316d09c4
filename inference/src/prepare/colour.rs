//! Colours, as they are or as their luma.

use clinical::imaging::{Frame, Samples};
use models::{Input, Quantise, Resize};
use ndarray::Array2;

use super::area::Tone;
use super::grey::luma;
use super::place::Place;
use super::{PrepareError, resized};

/// The luma of the frame at the network's size: shades of 0 to 255, or stored values.
pub(super) fn luma_plane(frame: &Frame, place: &Place, input: &Input) -> Result<Array2<f32>, PrepareError> {
    let Depth { white } = Depth::of(frame);
    match input.quantise {
        Quantise::EightBit => {
            let depth = Depth { white };
            plane(frame, place, input.resize, |pixel| luma(pixel.map(|value| depth.eight_bit(value))))
        }
        Quantise::None => {
            let part = scale(frame, input);
            plane(frame, place, input.resize, |[red, green, blue]| {
                part * (0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue))
            })
        }
    }
}

/// Red, green and blue of the frame at the network's size: 0 to 255, or stored values.
pub(super) fn planes(frame: &Frame, place: &Place, input: &Input) -> Result<Vec<Array2<f32>>, PrepareError> {
    let depth = Depth::of(frame);
    let part = scale(frame, input);
    (0..3)
        .map(|channel| match input.quantise {
            Quantise::EightBit => {
                plane(frame, place, input.resize, |pixel: [u16; 3]| depth.eight_bit(pixel[channel]))
            }
            Quantise::None => {
                plane(frame, place, input.resize, |pixel: [u16; 3]| part * f32::from(pixel[channel]))
            }
        })
        .collect()
}

/// What a stored value is multiplied by: to 255 for the brightest, or 1 where stored values are asked for.
fn scale(frame: &Frame, input: &Input) -> f32 {
    if input.is_in_units() { 1.0 } else { 255.0 / Depth::of(frame).white as f32 }
}

/// The greatest value of a colour.
#[derive(Clone, Copy)]
struct Depth {
    white: u32,
}

impl Depth {
    fn of(frame: &Frame) -> Self {
        Self { white: (1_u32 << frame.bits_stored.clamp(1, 16)) - 1 }
    }

    /// The value in 256 steps.
    fn eight_bit(self, value: u16) -> u8 {
        if self.white == 255 {
            return value.min(255) as u8;
        }
        let value = u32::from(value).min(self.white);
        ((value * 255 + self.white / 2) / self.white) as u8
    }
}

/// One tone a pixel, at the network's size.
fn plane<T: Tone>(
    frame: &Frame,
    place: &Place,
    resize: Resize,
    tone: impl Fn([u16; 3]) -> T,
) -> Result<Array2<f32>, PrepareError> {
    match &frame.samples {
        Samples::U8(values) => {
            let (pixels, _) = values.as_chunks::<3>();
            Ok(resized(pixels, place, resize, |pixel: [u8; 3]| tone(pixel.map(u16::from))))
        }
        Samples::U16(values) => {
            let (pixels, _) = values.as_chunks::<3>();
            Ok(resized(pixels, place, resize, tone))
        }
        _ => Err(PrepareError::UnsupportedColour),
    }
}
