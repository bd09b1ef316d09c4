//! Native Pixel Data: where a frame's bytes lie, and in which order.

use bytes::Bytes;
use clinical::imaging::Samples;
use part10::Part10;

use crate::PixelError;
use crate::image_pixel::{ImagePixel, Interpretation};
use crate::photometric;
use crate::stored::{self, ByteOrder};

/// Native frames of one object.
pub(crate) struct NativeFrames<'a> {
    object: &'a Part10,
    offset: u64,
    length: u64,
    form: ImagePixel,
    order: ByteOrder,
    /// Two pixels share their colour differences: four samples for two pixels.
    is_subsampled: bool,
}

impl<'a> NativeFrames<'a> {
    /// The frames of Pixel Data whose value lies at `offset`.
    ///
    /// # Errors
    ///
    /// [`PixelError::MalformedPixels`] and [`PixelError::UnsupportedPixelFormat`] for forms that cannot be native.
    pub(crate) fn new(
        object: &'a Part10,
        offset: u64,
        length: u64,
        form: ImagePixel,
        frame_count: u32,
    ) -> Result<Self, PixelError> {
        let order = ElementHead::before(object, offset).byte_order(&form);
        let mut is_subsampled =
            matches!(form.interpretation, Interpretation::YbrFull422 | Interpretation::YbrPartial422);
        if is_subsampled {
            // objects that say 4:2:2 and store every sample are common
            let whole = form.sample_count() * u64::from(form.bits_allocated / 8) * u64::from(frame_count);
            is_subsampled = length < whole;
        }
        if is_subsampled && (form.is_planar || form.columns % 2 == 1) {
            return Err(PixelError::malformed("subsampled colours need pixels in pairs"));
        }
        if form.interpretation == Interpretation::YbrByCodec {
            return Err(PixelError::malformed("a codec's colours without a codec"));
        }
        if form.bits_allocated == 1 && form.samples_per_pixel != 1 {
            return Err(PixelError::unsupported("colours of one bit"));
        }
        Ok(Self { object, offset, length, form, order, is_subsampled })
    }

    /// What the pixels are.
    pub(crate) fn form(&self) -> &ImagePixel {
        &self.form
    }

    /// Samples of one frame, colours together, not yet turned into RGB.
    ///
    /// # Errors
    ///
    /// [`PixelError::MalformedPixels`] where Pixel Data ends before the frame does.
    pub(crate) fn frame(&self, index: u32) -> Result<Samples, PixelError> {
        let form = &self.form;
        if form.bits_allocated == 1 {
            return self.bit_frame(index);
        }
        let samples = if self.is_subsampled { form.pixel_count() * 2 } else { form.sample_count() };
        let frame_length = samples * u64::from(form.bits_allocated / 8);
        let start = u64::from(index) * frame_length;
        // swapped pairs may begin one byte before an odd frame and end one byte behind it
        let is_swapped = self.order == ByteOrder::BytesInBigWords;
        let before = if is_swapped { start % 2 } else { 0 };
        let behind = if is_swapped { (start + frame_length) % 2 } else { 0 };
        let bytes = self.range(start - before, start + frame_length + behind)?;
        let mut stored = stored::from_bytes(&bytes, self.order, form);
        if before + behind > 0 {
            stored = photometric::part(stored, before as usize, samples as usize);
        }
        Ok(if self.is_subsampled {
            photometric::expand_pairs(&stored)
        } else if form.is_planar {
            photometric::interleave(&stored)
        } else {
            stored
        })
    }

    /// One bit a pixel, the first in the least significant bit; frames follow without padding (PS3.5, section 8.1.1).
    fn bit_frame(&self, index: u32) -> Result<Samples, PixelError> {
        let pixels = self.form.pixel_count();
        let first = u64::from(index) * pixels;
        let skipped = (first % 8) as usize;
        let swapped = self.order == ByteOrder::BytesInBigWords;
        let (start, end) = (first / 8, (first + pixels).div_ceil(8));
        let bytes = if swapped {
            let words = self.range(start & !1, end.next_multiple_of(2))?;
            let pairs = words.as_chunks::<2>().0.iter().flat_map(|pair| [pair[1], pair[0]]);
            Bytes::from_iter(pairs.skip((start % 2) as usize))
        } else {
            self.range(start, end)?
        };
        let bits = bytes.iter().flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1));
        Ok(Samples::U8(bits.skip(skipped).take(pixels as usize).collect()))
    }

    fn range(&self, start: u64, end: u64) -> Result<Bytes, PixelError> {
        if end > self.length {
            return Err(PixelError::malformed("Pixel Data ends before its last frame"));
        }
        let bytes = self.object.bytes(self.offset + start..self.offset + end);
        if bytes.len() as u64 != end - start {
            return Err(PixelError::malformed("the file ends before its last frame"));
        }
        Ok(bytes)
    }
}

/// The header of the Pixel Data element, as the file itself writes it.
struct ElementHead {
    is_big_endian: bool,
    has_word_vr: bool,
}

impl ElementHead {
    /// Reads the 12 bytes before a value: tag, VR and length (PS3.5, section 7.1.2).
    ///
    /// An element without VR has its tag elsewhere in them; it is little-endian.
    fn before(object: &Part10, offset: u64) -> Self {
        let bytes = object.bytes(offset.saturating_sub(12)..offset);
        let is_big_endian = bytes.starts_with(&[0x7F, 0xE0, 0x00, 0x10]);
        Self { is_big_endian, has_word_vr: bytes.get(4..6) == Some(b"OW") }
    }

    fn byte_order(&self, form: &ImagePixel) -> ByteOrder {
        match (self.is_big_endian, form.bits_allocated) {
            (false, _) => ByteOrder::Little,
            (true, 16 | 32) => ByteOrder::Big,
            (true, _) if self.has_word_vr => ByteOrder::BytesInBigWords,
            (true, _) => ByteOrder::Little,
        }
    }
}
