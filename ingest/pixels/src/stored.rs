//! Bits Stored out of Bits Allocated: shift, mask, sign.

use clinical::imaging::Samples;

use crate::image_pixel::ImagePixel;

/// Which bits of a container are the sample.
///
/// Source: PS3.5, section 8.1.1. What lies outside, old overlays among it, is cleared.
#[derive(Debug, Clone, Copy)]
struct Cut {
    shift: u32,
    bits: u32,
    is_signed: bool,
}

impl Cut {
    fn unsigned(self, container: u32) -> u32 {
        (container >> self.shift) & (u32::MAX >> (32 - self.bits))
    }

    fn signed(self, container: u32) -> i32 {
        ((container >> self.shift) << (32 - self.bits)).cast_signed() >> (32 - self.bits)
    }

    /// The samples of `containers`, in the narrowest type that holds `bits_stored`.
    fn samples(self, containers: impl Iterator<Item = u32>, bits_stored: u8) -> Samples {
        match (bits_stored, self.is_signed) {
            (..=8, false) => Samples::U8(containers.map(|it| self.unsigned(it) as u8).collect()),
            (..=8, true) => Samples::I8(containers.map(|it| self.signed(it) as i8).collect()),
            (..=16, false) => Samples::U16(containers.map(|it| self.unsigned(it) as u16).collect()),
            (..=16, true) => Samples::I16(containers.map(|it| self.signed(it) as i16).collect()),
            (_, false) => Samples::U32(containers.map(|it| self.unsigned(it)).collect()),
            (_, true) => Samples::I32(containers.map(|it| self.signed(it)).collect()),
        }
    }
}

/// How the bytes of a sample follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Big,
    /// Single bytes within big-endian words of 16 bits: every pair is swapped (PS3.5, section 8.1.1 and annex A.3).
    BytesInBigWords,
}

/// The samples of native bytes, 8 to 32 bits allocated.
pub(crate) fn from_bytes(bytes: &[u8], order: ByteOrder, form: &ImagePixel) -> Samples {
    let cut = Cut {
        shift: u32::from(form.high_bit + 1 - form.bits_stored),
        bits: form.bits_stored.into(),
        is_signed: form.is_signed,
    };
    let stored = form.bits_stored;
    match (form.bits_allocated, order) {
        (8, ByteOrder::BytesInBigWords) => {
            let swapped = bytes.as_chunks::<2>().0.iter().flat_map(|pair| [pair[1], pair[0]]);
            cut.samples(swapped.map(u32::from), stored)
        }
        (8, _) if stored == 8 && !form.is_signed => Samples::U8(bytes.to_vec()),
        (8, _) => cut.samples(bytes.iter().map(|byte| u32::from(*byte)), stored),
        (16, ByteOrder::Little) => {
            let words = bytes.as_chunks::<2>().0.iter();
            cut.samples(words.map(|word| u16::from_le_bytes(*word).into()), stored)
        }
        (16, _) => {
            let words = bytes.as_chunks::<2>().0.iter();
            cut.samples(words.map(|word| u16::from_be_bytes(*word).into()), stored)
        }
        (_, ByteOrder::Little) => {
            let words = bytes.as_chunks::<4>().0.iter();
            cut.samples(words.map(|word| u32::from_le_bytes(*word)), stored)
        }
        _ => {
            let words = bytes.as_chunks::<4>().0.iter();
            cut.samples(words.map(|word| u32::from_be_bytes(*word)), stored)
        }
    }
}

/// The samples of a codec, whose own precision and sign need not be the object's.
///
/// A codestream that codes whole containers is cut like native ones; one that
/// codes fewer bits than are stored has its sign at its own highest bit.
pub(crate) fn from_codec(samples: Samples, precision: u8, form: &ImagePixel) -> Samples {
    let codes_container = precision > form.high_bit;
    let codec_is_signed = matches!(samples, Samples::I8(_) | Samples::I16(_) | Samples::I32(_));
    let bits = if codec_is_signed { form.bits_stored } else { form.bits_stored.min(precision) };
    let cut = Cut {
        shift: if codes_container { u32::from(form.high_bit + 1 - form.bits_stored) } else { 0 },
        bits: bits.into(),
        is_signed: form.is_signed,
    };
    let as_they_are = cut.shift == 0 && precision <= form.bits_stored;
    match samples {
        Samples::U8(values) if as_they_are && !form.is_signed && form.bits_stored <= 8 => Samples::U8(values),
        Samples::U16(values) if as_they_are && !form.is_signed && form.bits_stored <= 16 => {
            Samples::U16(values)
        }
        Samples::I16(values) if as_they_are && form.is_signed && (9..=16).contains(&form.bits_stored) => {
            Samples::I16(values)
        }
        Samples::U8(values) => cut.samples(values.into_iter().map(u32::from), form.bits_stored),
        Samples::I8(values) => cut.samples(values.into_iter().map(|it| it as u32), form.bits_stored),
        Samples::U16(values) => cut.samples(values.into_iter().map(u32::from), form.bits_stored),
        Samples::I16(values) => cut.samples(values.into_iter().map(|it| it as u32), form.bits_stored),
        Samples::U32(values) => cut.samples(values.into_iter(), form.bits_stored),
        Samples::I32(values) => cut.samples(values.into_iter().map(|it| it as u32), form.bits_stored),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_pixel::Interpretation;

    fn form(bits_allocated: u8, bits_stored: u8, high_bit: u8, is_signed: bool) -> ImagePixel {
        ImagePixel {
            rows: 1,
            columns: 2,
            samples_per_pixel: 1,
            bits_allocated,
            bits_stored,
            high_bit,
            is_signed,
            is_planar: false,
            interpretation: Interpretation::Monochrome2,
        }
    }

    /// PS3.5, section 8.1.1 and figure D.2-1: 12 bits stored in 16, high bit 11; the overlay above is cleared.
    #[test]
    fn an_overlay_in_the_unused_bits_is_cleared() {
        let samples = from_bytes(&[0xFF, 0x8F, 0x01, 0xF0], ByteOrder::Little, &form(16, 12, 11, false));
        assert_eq!(samples, Samples::U16(vec![0x0FFF, 1]));
    }

    #[test]
    fn the_sign_stands_at_the_highest_stored_bit() {
        let samples = from_bytes(&[0xFF, 0x0F, 0x00, 0x08], ByteOrder::Little, &form(16, 12, 11, true));
        assert_eq!(samples, Samples::I16(vec![-1, -2048]));
    }

    #[test]
    fn a_high_bit_above_the_stored_bits_shifts() {
        let samples = from_bytes(&[0xF0, 0xFF, 0x1F, 0x00], ByteOrder::Little, &form(16, 12, 15, false));
        assert_eq!(samples, Samples::U16(vec![0xFFF, 1]));
    }

    #[test]
    fn big_endian_words_are_read_as_such() {
        let big = |bytes: &[u8], form| from_bytes(bytes, ByteOrder::Big, &form);
        assert_eq!(big(&[1, 2], form(16, 16, 15, false)), Samples::U16(vec![0x0102]));
        assert_eq!(big(&[1, 2, 3, 4], form(32, 32, 31, false)), Samples::U32(vec![0x0102_0304]));
        let bytes = from_bytes(&[1, 2, 3, 4], ByteOrder::BytesInBigWords, &form(8, 8, 7, false));
        assert_eq!(bytes, Samples::U8(vec![2, 1, 4, 3]));
    }

    /// A 13-bit signed object whose JPEG 2000 stream says unsigned: 6192 is -2000 in 13 bits.
    #[test]
    fn an_unsigned_codestream_of_a_signed_object_gets_its_sign() {
        let samples = from_codec(Samples::U16(vec![6192, 5]), 13, &form(16, 13, 12, true));
        assert_eq!(samples, Samples::I16(vec![-2000, 5]));
        let samples = from_codec(Samples::I16(vec![-2000, 5]), 13, &form(16, 13, 12, false));
        assert_eq!(samples, Samples::U16(vec![6192, 5]));
    }
}
