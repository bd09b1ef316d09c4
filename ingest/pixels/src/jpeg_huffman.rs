//! Huffman codes of T.81, annexes C and F, over data with stuffed zero bytes.

use crate::decoded::CodecError;
use crate::jpeg_header::truncated;

/// Codes of up to so many bits are found in one step.
const FAST_BITS: u32 = 10;

/// A table of categories, or of runs with categories.
pub(crate) struct HuffmanTable {
    /// Value and code length by the next `FAST_BITS` bits; length 0 where the code is longer.
    fast: Vec<(u8, u8)>,
    /// For each length the first code that is too large for it, aligned to 16 bits.
    ends: [u32; 17],
    /// For each length the index of its first value less its first code.
    bases: [i32; 17],
    values: Vec<u8>,
}

impl HuffmanTable {
    /// Builds the codes from the count of each length and their values (T.81, section C.2).
    pub(crate) fn new(counts: &[u8; 16], values: &[u8]) -> Result<Self, CodecError> {
        let malformed = || CodecError::malformed("a JPEG Huffman table is impossible");
        let mut fast = vec![(0, 0); 1 << FAST_BITS];
        let (mut ends, mut bases) = ([0; 17], [0; 17]);
        let (mut code, mut index) = (0_u32, 0_usize);
        for length in 1..=16_u32 {
            bases[length as usize] = index as i32 - code as i32;
            for _ in 0..counts[length as usize - 1] {
                if code >= 1 << length {
                    return Err(malformed());
                }
                if length <= FAST_BITS {
                    let spread = FAST_BITS - length;
                    let first = (code << spread) as usize;
                    fast[first..first + (1 << spread)].fill((values[index], length as u8));
                }
                code += 1;
                index += 1;
            }
            ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(Self { fast, ends, bases, values: values.to_vec() })
    }
}

/// Reads bits up to the next marker or the end of the data.
pub(crate) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    cache: u64,
    held: u32,
}

impl<'a> Bits<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, cache: 0, held: 0 }
    }

    /// Where the bytes end that have been taken in; no marker lies before it.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Passes over the restart marker of this number (T.81, section B.2.1).
    pub(crate) fn restart(&mut self, number: u8) -> Result<(), CodecError> {
        self.fill();
        self.cache = 0;
        self.held = 0;
        while self.bytes.get(self.at..self.at + 2) == Some(&[0xFF, 0xFF]) {
            self.at += 1;
        }
        if self.bytes.get(self.at..self.at + 2) != Some(&[0xFF, 0xD0 + number]) {
            return Err(CodecError::malformed("a JPEG restart marker is missing"));
        }
        self.at += 2;
        Ok(())
    }

    #[inline]
    fn fill(&mut self) {
        if let Some(word) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
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
            if byte == 0xFF {
                if self.bytes.get(self.at + 1) != Some(&0) {
                    return;
                }
                self.at += 1;
            }
            self.at += 1;
            self.cache |= u64::from(byte) << (56 - self.held);
            self.held += 8;
        }
    }

    /// The next difference of the lossless process (T.81, sections F.2.2.1 and H.1.2.2).
    #[inline]
    pub(crate) fn difference(&mut self, table: &HuffmanTable) -> Result<i32, CodecError> {
        // category 16 stands for 32768 and has no further bits
        let (category, value) = self.coded(table, |category| if category == 16 { 0 } else { category })?;
        match category {
            0..=15 => Ok(value),
            16 => Ok(32_768),
            _ => Err(CodecError::malformed("a JPEG difference is out of range")),
        }
    }

    /// The next code's value and the number behind it, of as many bits as `extra_bits` makes of the value.
    ///
    /// Source: T.81, sections F.2.2.1 and F.2.2.3 (EXTEND).
    #[inline]
    pub(crate) fn coded(
        &mut self,
        table: &HuffmanTable,
        extra_bits: impl Fn(u32) -> u32,
    ) -> Result<(u32, i32), CodecError> {
        if self.held < 32 {
            self.fill();
        }
        let (value, length) = match table.fast[(self.cache >> (64 - FAST_BITS)) as usize] {
            (_, 0) => self.long_code(table)?,
            (value, length) => (u32::from(value), u32::from(length)),
        };
        let extra = extra_bits(value);
        if length + extra > self.held {
            return Err(truncated());
        }
        if extra == 0 {
            self.cache <<= length;
            self.held -= length;
            return Ok((value, 0));
        }
        if extra > 16 {
            return Err(CodecError::malformed("a JPEG difference is out of range"));
        }
        let bits = self.cache << length;
        self.cache = bits << extra;
        self.held -= length + extra;
        let number = (bits >> (64 - extra)) as i32;
        Ok((value, if number < 1 << (extra - 1) { number - (1 << extra) + 1 } else { number }))
    }

    fn long_code(&self, table: &HuffmanTable) -> Result<(u32, u32), CodecError> {
        let next = (self.cache >> 48) as u32;
        for length in FAST_BITS + 1..=16 {
            if next < table.ends[length as usize] {
                let index = (next >> (16 - length)) as i32 + table.bases[length as usize];
                let value = usize::try_from(index).ok().and_then(|index| table.values.get(index));
                let value = value.ok_or_else(truncated)?;
                return Ok(((*value).into(), length));
            }
        }
        Err(if self.held < 16 { truncated() } else { CodecError::malformed("a JPEG code is in no table") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two codes of two bits and one of three: 00, 01, 100 (T.81, section C.2).
    #[test]
    fn codes_grow_from_their_counts() {
        let mut counts = [0; 16];
        counts[1] = 2;
        counts[2] = 1;
        let table = HuffmanTable::new(&counts, &[0, 1, 3]).unwrap();
        // 00 | 01 0 | 01 1 | 100 101 | padding
        let mut bits = Bits::new(&[0b0001_0011, 0b1001_0111], 0);
        let read: Vec<i32> = (0..4).map(|_| bits.difference(&table).unwrap()).collect();
        assert_eq!(read, [0, -1, 1, 5]);
        assert!(bits.difference(&table).is_err());
    }

    #[test]
    fn more_codes_than_fit_are_refused() {
        let mut counts = [0; 16];
        counts[0] = 3;
        assert!(HuffmanTable::new(&counts, &[0, 1, 2]).is_err());
    }
}
