//! One decoded frame: stored values, not yet passed through any look-up table.

use super::{ModalityLut, VoiLut};

/// How stored values become shades or colours, once decoding is done.
///
/// Palette colours and every YBR form are turned to RGB by the decoder, which
/// is the only one who knows what the codec has converted already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Photometric {
    /// The least value is white.
    Monochrome1,
    /// The least value is black.
    Monochrome2,
    /// Three samples a pixel.
    Rgb,
}

/// Stored values in row order; colours stand together (`R G B R G B …`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Samples {
    /// Up to 8 bits stored, unsigned.
    U8(Vec<u8>),
    /// Up to 8 bits stored, signed.
    I8(Vec<i8>),
    /// Up to 16 bits stored, unsigned.
    U16(Vec<u16>),
    /// Up to 16 bits stored, signed.
    I16(Vec<i16>),
    /// Up to 32 bits stored, unsigned.
    U32(Vec<u32>),
    /// Up to 32 bits stored, signed.
    I32(Vec<i32>),
}

impl Samples {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::I8(values) => values.len(),
            Self::U16(values) => values.len(),
            Self::I16(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::I32(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value at `index`, widened without loss.
    pub fn at(&self, index: usize) -> i64 {
        match self {
            Self::U8(values) => values[index].into(),
            Self::I8(values) => values[index].into(),
            Self::U16(values) => values[index].into(),
            Self::I16(values) => values[index].into(),
            Self::U32(values) => values[index].into(),
            Self::I32(values) => values[index].into(),
        }
    }
}

/// One frame with everything needed to show it or to feed it to a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The frame's place in its instance, counted from 0.
    pub index: u32,
    /// Rows of pixels.
    pub rows: u32,
    /// Columns of pixels.
    pub columns: u32,
    /// 1 for grey, 3 for RGB.
    pub samples_per_pixel: u8,
    /// Bits Stored (0028,0101) of each sample, after colour conversion.
    pub bits_stored: u8,
    /// `rows * columns * samples_per_pixel` values.
    pub samples: Samples,
    /// What the values mean.
    pub photometric: Photometric,
    /// To modality units; absent where the object has none.
    pub modality_lut: Option<ModalityLut>,
    /// The first window or table that the object offers; absent where it has none.
    pub voi_lut: Option<VoiLut>,
    /// Pixel Padding Value and Range Limit (0028,0120), (0028,0121): stored values that are no image.
    pub padding: Option<(i64, i64)>,
}
