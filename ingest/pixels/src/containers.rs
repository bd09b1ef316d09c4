//! Frames as they stand in native Pixel Data: whole containers, little-endian, colours together.

use clinical::imaging::{DecodeRequest, Samples};
use part10::{Part10, PixelDataAt};

use crate::decode::{RLE_LOSSLESS, Raw, Source, joined, turn, wanted};
use crate::decode_pool::DecodePool;
use crate::decoded::Colours;
use crate::image_pixel::{ImagePixel, Interpretation, without_pixel_data};
use crate::{PixelError, PixelLimits, photometric, rle};

/// JPEG's lossy processes, whose colours are given as RGB.
const JPEG_LOSSY: [&str; 2] = ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"];

/// The frames of an object, from any form to native containers. No bit of a native or RLE frame is lost; a codec
/// gives the bits that it has coded, extended by their sign.
pub(crate) struct Containers<'a> {
    object: &'a Part10,
    source: Source<'a>,
    stored: ImagePixel,
    given: ImagePixel,
    is_rle: bool,
    is_native: bool,
}

impl<'a> Containers<'a> {
    /// # Errors
    ///
    /// [`PixelError`] where the object holds no pixels, or more than `limits`, or in a form that is not read.
    pub(crate) fn open(
        object: &'a Part10,
        limits: &PixelLimits,
        pool: &'a DecodePool,
    ) -> Result<Self, PixelError> {
        let place = object.pixel_data().ok_or_else(|| without_pixel_data(object))?;
        let stored = ImagePixel::read(object.header())?;
        wanted(object, &DecodeRequest::everything(), &stored, limits)?;
        let is_native = matches!(place, PixelDataAt::Native { .. });
        // native containers are read whole, as if all of their bits were stored
        let read_as = match stored.bits_allocated {
            bits @ 8.. if is_native => {
                ImagePixel { bits_stored: bits, high_bit: bits - 1, is_signed: false, ..stored }
            }
            _ => stored,
        };
        let source = Source::open(object, place, read_as, pool)?;
        let transfer_syntax = object.transfer_syntax().as_str();
        let interpretation = match stored.interpretation {
            Interpretation::YbrFull422 if is_native => Interpretation::YbrFull,
            Interpretation::YbrFull if JPEG_LOSSY.contains(&transfer_syntax) => Interpretation::Rgb,
            kept if kept.is_grey() || kept == Interpretation::PaletteColor => kept,
            Interpretation::YbrFull => Interpretation::YbrFull,
            _ => Interpretation::Rgb,
        };
        let given = ImagePixel { is_planar: false, interpretation, ..stored };
        let is_rle = !is_native && transfer_syntax == RLE_LOSSLESS;
        Ok(Self { object, source, stored, given, is_rle, is_native })
    }

    /// What the given frames are.
    pub(crate) fn form(&self) -> &ImagePixel {
        &self.given
    }

    /// Frame `index`; pixels of a single bit come as a byte each.
    pub(crate) fn frame(&self, index: u32) -> Result<Vec<u8>, PixelError> {
        let keeps_colours = self.given.interpretation == self.stored.interpretation;
        if self.is_rle && keeps_colours {
            return rle::decode(&joined(self.object.encapsulated_frame(index)?), &self.stored);
        }
        let mut raw = self.source.frame(index, None)?;
        if self.given.interpretation == Interpretation::Rgb || raw.colours == Colours::Rgb {
            self.to_rgb(&mut raw)?;
        }
        let count = raw.samples.len() as u64;
        if (raw.rows, raw.columns, count) != (self.given.rows, self.given.columns, self.given.sample_count())
        {
            return Err(PixelError::CodecFailed(
                "the frame has another number of samples than its size".into(),
            ));
        }
        let shift = if self.is_native { 0 } else { self.stored.high_bit + 1 - self.stored.bits_stored };
        Ok(bytes_of(&raw.samples, self.given.bits_allocated, shift))
    }

    fn to_rgb(&self, raw: &mut Raw) -> Result<(), PixelError> {
        if let Some(ybr) = turn(raw, self.stored.interpretation)? {
            let samples = std::mem::replace(&mut raw.samples, Samples::U8(Vec::new()));
            raw.samples = photometric::rgb(samples, ybr, self.stored.bits_stored)?;
        }
        if self.given.interpretation != Interpretation::Rgb {
            return Err(PixelError::malformed("the codestream has other colours than the object declares"));
        }
        Ok(())
    }
}

/// Samples in containers of `bits_allocated`, moved up by `shift`.
fn bytes_of(samples: &Samples, bits_allocated: u8, shift: u8) -> Vec<u8> {
    fn bytes(values: impl Iterator<Item = u32>, bits_allocated: u8, shift: u8) -> Vec<u8> {
        let values = values.map(|value| value << shift);
        match bits_allocated {
            ..=8 => values.map(|value| value as u8).collect(),
            9..=16 => values.flat_map(|value| (value as u16).to_le_bytes()).collect(),
            _ => values.flat_map(u32::to_le_bytes).collect(),
        }
    }
    match samples {
        Samples::U8(values) if bits_allocated <= 8 && shift == 0 => values.clone(),
        Samples::U8(values) => bytes(values.iter().map(|it| u32::from(*it)), bits_allocated, shift),
        Samples::I8(values) => bytes(values.iter().map(|it| *it as u32), bits_allocated, shift),
        Samples::U16(values) => bytes(values.iter().map(|it| u32::from(*it)), bits_allocated, shift),
        Samples::I16(values) => bytes(values.iter().map(|it| *it as u32), bits_allocated, shift),
        Samples::U32(values) => bytes(values.iter().copied(), bits_allocated, shift),
        Samples::I32(values) => bytes(values.iter().map(|it| it.cast_unsigned()), bits_allocated, shift),
    }
}
