//! Bits of an entropy-coded segment, with JPEG-LS's stuffing taken out.

use super::JpegLsError;

/// Reads bits, most significant first, up to the next marker or the end of the data.
///
/// After a byte of 0xFF the next one carries seven bits (T.87, section A.1);
/// a byte above 0x7F there begins a marker, which is never read as data.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    cache: u64,
    held: u32,
    after_ff: bool,
}

impl<'a> Bits<'a> {
    /// A reader that begins at `at`, the first byte after a scan header.
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, cache: 0, held: 0, after_ff: false }
    }

    /// Where the bytes end that have been taken in; no marker lies before it.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Takes in as many whole bytes as fit.
    #[inline]
    fn fill(&mut self) {
        if !self.after_ff
            && let Some(word) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>())
        {
            let word = u64::from_be_bytes(*word);
            let inverted = !word;
            let has_ff = inverted.wrapping_sub(0x0101_0101_0101_0101) & !inverted & 0x8080_8080_8080_8080;
            let count = (64 - self.held) / 8;
            if has_ff == 0 && count > 0 {
                let unused = 64 - 8 * count;
                self.cache |= (word >> unused) << (unused - self.held);
                self.held += 8 * count;
                self.at += count as usize;
                return;
            }
        }
        self.fill_by_byte();
    }

    #[inline(never)]
    fn fill_by_byte(&mut self) {
        while self.held <= 56 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            let is_marker = byte == 0xFF && self.bytes.get(self.at + 1).is_some_and(|next| *next > 0x7F);
            if is_marker {
                return;
            }
            let width = if self.after_ff { 7 } else { 8 };
            self.cache |= u64::from(byte) << (64 - width - self.held);
            self.held += width;
            self.after_ff = byte == 0xFF;
            self.at += 1;
        }
    }

    #[inline]
    fn drop_bits(&mut self, count: u32) {
        self.cache = self.cache.checked_shl(count).unwrap_or(0);
        self.held -= count;
    }

    /// The next bit.
    #[inline]
    pub(super) fn bit(&mut self) -> Result<bool, JpegLsError> {
        Ok(self.bits(1)? == 1)
    }

    /// The next `count` bits, at most 32, as a number.
    #[inline]
    pub(super) fn bits(&mut self, count: u32) -> Result<u32, JpegLsError> {
        if count == 0 {
            return Ok(0);
        }
        if self.held < count {
            self.fill();
            if self.held < count {
                return Err(JpegLsError::Truncated);
            }
        }
        let value = (self.cache >> (64 - count)) as u32;
        self.drop_bits(count);
        Ok(value)
    }

    /// A limited-length Golomb code (T.87, section A.5.3): `k` low bits after the
    /// unary part, or `escape_bits` of the value less one after `escape_at` zeros.
    #[inline]
    pub(super) fn golomb(&mut self, k: u32, escape_at: u32, escape_bits: u32) -> Result<u32, JpegLsError> {
        if self.held < 32 {
            self.fill();
        }
        let zeros = self.cache.leading_zeros();
        if zeros < escape_at && zeros + 1 + k <= self.held {
            let low = (self.cache << zeros << 1).checked_shr(64 - k).unwrap_or(0) as u32;
            self.drop_bits(zeros + 1 + k);
            return Ok((zeros << k) | low);
        }
        self.golomb_slowly(k, escape_at, escape_bits)
    }

    #[inline(never)]
    fn golomb_slowly(&mut self, k: u32, escape_at: u32, escape_bits: u32) -> Result<u32, JpegLsError> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > escape_at {
                return Err(JpegLsError::Malformed("a code is longer than its limit"));
            }
        }
        if zeros < escape_at { Ok((zeros << k) | self.bits(k)?) } else { Ok(self.bits(escape_bits)? + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T.87, section A.1: FF 7F carries 8 and 7 bits.
    #[test]
    fn the_bit_after_ff_is_left_out() {
        let mut bits = Bits::new(&[0xFF, 0x7F, 0x80], 0);
        assert_eq!(bits.bits(16), Ok(0xFFFF));
        assert_eq!(bits.bits(7), Ok(0));
        assert_eq!(bits.bit(), Err(JpegLsError::Truncated));
    }

    #[test]
    fn a_marker_ends_the_data() {
        let mut bits = Bits::new(&[0xA5, 0xFF, 0xD9], 0);
        assert_eq!(bits.bits(8), Ok(0xA5));
        assert_eq!(bits.bits(1), Err(JpegLsError::Truncated));
        assert_eq!(bits.position(), 1);
    }

    #[test]
    fn long_data_reads_the_same_by_word_as_by_byte() {
        let bytes: Vec<u8> = (0..200u32).map(|index| (index * 7 % 251) as u8).collect();
        let mut bits = Bits::new(&bytes, 0);
        for byte in &bytes {
            assert_eq!(bits.bits(3), Ok(u32::from(byte >> 5)));
            assert_eq!(bits.bits(5), Ok(u32::from(byte & 31)));
        }
    }

    /// T.87, section A.5.3: 0001 with k=2 and low bits 10 is 3 * 4 + 2.
    #[test]
    fn a_golomb_code_has_a_unary_and_a_binary_part() {
        let mut bits = Bits::new(&[0b0001_1000, 0b0000_1011], 0);
        assert_eq!(bits.golomb(2, 23, 8), Ok(14));
        assert_eq!(bits.bits(2), Ok(0));
        assert_eq!(bits.golomb(2, 4, 3), Ok(4), "the escape: four zeros, a one, three bits, plus one");
    }
}
