//! JPEG Lossless (ITU-T T.81, process 14) with first-order prediction: what most archives speak.

use super::{EncodeError, Words};
use crate::image_pixel::ImagePixel;

/// Code lengths by rank of how often a category comes; the code of sixteen ones stays free (T.81, section C).
const LENGTHS: [u8; 17] = [2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

/// One frame, each sample predicted by its left neighbour (T.81, annex H), colours interleaved.
///
/// # Errors
///
/// [`EncodeError::NotRepresentable`] beyond 65,535 rows or columns.
pub(super) fn encode(words: &Words, form: &ImagePixel) -> Result<Vec<u8>, EncodeError> {
    let (Ok(rows), Ok(columns)) = (u16::try_from(form.rows), u16::try_from(form.columns)) else {
        return Err(EncodeError::NotRepresentable("more than 65,535 rows or columns"));
    };
    let precision = words.precision.max(2);
    let components = form.samples_per_pixel;
    let differences = differences(&words.samples, usize::from(components), usize::from(columns), precision);
    let mut counts = [0_u32; 17];
    differences.iter().for_each(|difference| counts[category(*difference)] += 1);
    let mut ranked: Vec<u8> = (0..17).collect();
    ranked.sort_by_key(|category| std::cmp::Reverse(counts[usize::from(*category)]));

    let mut stream = vec![0xFF, 0xD8, 0xFF, 0xC3, 0, 8 + 3 * components, precision];
    stream.extend_from_slice(&rows.to_be_bytes());
    stream.extend_from_slice(&columns.to_be_bytes());
    stream.push(components);
    (1..=components).for_each(|component| stream.extend_from_slice(&[component, 0x11, 0]));
    stream.extend_from_slice(&[0xFF, 0xC4, 0, 2 + 1 + 16 + 17, 0]);
    stream.extend((1..=16).map(|length| LENGTHS.iter().filter(|it| **it == length).count() as u8));
    stream.extend_from_slice(&ranked);
    stream.extend_from_slice(&[0xFF, 0xDA, 0, 6 + 2 * components, components]);
    (1..=components).for_each(|component| stream.extend_from_slice(&[component, 0]));
    stream.extend_from_slice(&[1, 0, 0]);

    let codes = codes(&ranked);
    let mut bits = BitWriter { bytes: stream, cache: 0, held: 0 };
    for difference in differences {
        let category = category(difference);
        let (code, length) = codes[category];
        bits.put(code, length);
        // negative ones are told by their complement; category 16 is -32,768 alone (T.81, table H.2)
        let low = if difference < 0 { i32::from(difference) - 1 } else { i32::from(difference) };
        if (1..16).contains(&category) {
            bits.put(low.cast_unsigned() & ((1 << category) - 1), category as u32);
        }
    }
    let mut stream = bits.end();
    stream.extend_from_slice(&[0xFF, 0xD9]);
    Ok(stream)
}

/// Differences modulo 65,536 from the left, at a row's start from above, at the first of all from half the range.
fn differences(samples: &[u16], components: usize, columns: usize, precision: u8) -> Vec<i16> {
    let row_length = components * columns;
    let predicted = |at: usize| match at % row_length {
        column if column >= components => samples[at - components],
        _ if at >= row_length => samples[at - row_length],
        _ => 1 << (precision - 1),
    };
    samples.iter().enumerate().map(|(at, sample)| sample.wrapping_sub(predicted(at)).cast_signed()).collect()
}

/// Bits of a difference's size.
fn category(difference: i16) -> usize {
    16 - difference.unsigned_abs().leading_zeros() as usize
}

/// Code and length of each category (T.81, section C.2).
fn codes(ranked: &[u8]) -> [(u32, u32); 17] {
    let mut codes = [(0, 0); 17];
    let (mut code, mut before) = (0_u32, LENGTHS[0]);
    for (category, length) in ranked.iter().zip(LENGTHS) {
        code <<= length - before;
        codes[usize::from(*category)] = (code, length.into());
        before = length;
        code += 1;
    }
    codes
}

/// Writes bits, most significant first; a zero byte follows each 0xFF (T.81, section F.1.2.3).
struct BitWriter {
    bytes: Vec<u8>,
    cache: u64,
    held: u32,
}

impl BitWriter {
    /// The `count` low bits of `value`, at most 32.
    #[inline]
    fn put(&mut self, value: u32, count: u32) {
        self.cache = self.cache << count | u64::from(value);
        self.held += count;
        while self.held >= 8 {
            self.held -= 8;
            let byte = (self.cache >> self.held) as u8;
            self.cache &= (1 << self.held) - 1;
            self.bytes.push(byte);
            if byte == 0xFF {
                self.bytes.push(0);
            }
        }
    }

    /// The rest is filled with ones.
    fn end(mut self) -> Vec<u8> {
        if self.held > 0 {
            let missing = 8 - self.held;
            self.put((1 << missing) - 1, missing);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T.81, section C: no code may be all ones, and the shorter ones come first.
    #[test]
    fn no_code_is_all_ones() {
        let ranked: Vec<u8> = (0..17).collect();
        for (code, length) in codes(&ranked) {
            assert!(code < (1 << length) - 1 || length < 16 && code < 1 << length, "{code:b} of {length}");
        }
        assert_eq!(codes(&ranked)[16], (0xFFFE, 16));
    }

    /// T.81, table H.2: 0 is category 0, 1 and -1 are 1, -32,768 is 16.
    #[test]
    fn a_category_is_the_bits_of_the_size() {
        assert_eq!([0, 1, -1, 2, 255, -256, i16::MIN].map(category), [0, 1, 1, 2, 8, 9, 16]);
    }
}
