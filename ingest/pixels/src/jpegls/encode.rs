//! The lossless encoder: the decoder's mirror (T.87, annex A).

use super::JpegLsError;
use super::context::{Context, Gradients, RUN_ORDER, RunContext, golomb_parameter};
use super::preset::{Coding, Preset};
use super::segments::JpegLsHeader;

/// The codestream of an image, components together (`R G B R G B …`), without loss, line by line interleaved.
///
/// # Errors
///
/// [`JpegLsError::Malformed`] where `header` is out of range, [`JpegLsError::OtherImage`] where there are more or
/// fewer samples than it says.
pub fn encode(samples: &[u16], header: &JpegLsHeader) -> Result<Vec<u8>, JpegLsError> {
    let (Ok(rows), Ok(columns)) = (u16::try_from(header.rows), u16::try_from(header.columns)) else {
        return Err(JpegLsError::Malformed("the image has more than 65,535 rows or columns"));
    };
    let components = usize::from(header.components);
    if !(2..=16).contains(&header.precision) || !(1..=4).contains(&components) || rows == 0 || columns == 0 {
        return Err(JpegLsError::Malformed("the frame header is out of range"));
    }
    let row_length = usize::from(columns) * components;
    if samples.len() != row_length * usize::from(rows) {
        return Err(JpegLsError::OtherImage);
    }
    let coding = Coding::new(header.precision.into(), 0, Preset::default())?;
    let mut encoder = ScanEncoder::new(coding, head(header, rows, columns));
    let width = usize::from(columns);
    let mut above = vec![vec![0_u16; width + 2]; components];
    let mut lines = above.clone();
    let mut run_indices = [0; 4];
    for row in samples.chunks_exact(row_length) {
        for (place, (above, line)) in above.iter_mut().zip(&mut lines).enumerate() {
            above[width + 1] = above[width];
            line[0] = above[1];
            for (value, sample) in line[1..].iter_mut().zip(row.iter().skip(place).step_by(components)) {
                *value = *sample;
            }
            encoder.line(above, line, &mut run_indices[place]);
        }
        std::mem::swap(&mut above, &mut lines);
    }
    Ok(encoder.end())
}

/// SOI, frame header and scan header (T.87, annex C).
fn head(header: &JpegLsHeader, rows: u16, columns: u16) -> Vec<u8> {
    let count = header.components;
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xF7, 0, 8 + 3 * count, header.precision];
    bytes.extend_from_slice(&rows.to_be_bytes());
    bytes.extend_from_slice(&columns.to_be_bytes());
    bytes.push(count);
    (1..=count).for_each(|component| bytes.extend_from_slice(&[component, 0x11, 0]));
    bytes.extend_from_slice(&[0xFF, 0xDA, 0, 6 + 2 * count, count]);
    (1..=count).for_each(|component| bytes.extend_from_slice(&[component, 0]));
    bytes.extend_from_slice(&[0, u8::from(count > 1), 0]);
    bytes
}

struct ScanEncoder {
    bits: BitWriter,
    coding: Coding,
    gradients: Gradients,
    contexts: [Context; 365],
    run_contexts: [RunContext; 2],
}

impl ScanEncoder {
    fn new(coding: Coding, head: Vec<u8>) -> Self {
        Self {
            bits: BitWriter { bytes: head, cache: 0, held: 0, after_ff: false },
            gradients: Gradients::new(&coding),
            contexts: [Context::new(&coding); 365],
            run_contexts: [RunContext::new(&coding); 2],
            coding,
        }
    }

    /// One line of one component. Both slices have a place before and one after the line.
    fn line(&mut self, above: &[u16], line: &[u16], run_index: &mut usize) {
        let end = line.len() - 1;
        let mut at = 1;
        while at < end {
            let a = i32::from(line[at - 1]);
            let [c, b, d] = [above[at - 1], above[at], above[at + 1]].map(i32::from);
            let context = self.gradients.context(a, b, c, d);
            if context != 0 {
                self.regular(context, a, b, c, line[at].into());
                at += 1;
                continue;
            }
            let left = &line[at..end];
            let length = left.iter().take_while(|value| i32::from(**value) == a).count();
            self.run(length, length == left.len(), run_index);
            at += length;
            if at < end {
                self.interruption(a, above[at].into(), line[at].into(), *run_index);
                *run_index = run_index.saturating_sub(1);
                at += 1;
            }
        }
    }

    /// A sample of regular mode (T.87, sections A.4 to A.6).
    #[inline]
    fn regular(&mut self, signed_context: i32, a: i32, b: i32, c: i32, value: i32) {
        let coding = &self.coding;
        let sign = if signed_context < 0 { -1 } else { 1 };
        let context = &mut self.contexts[signed_context.unsigned_abs() as usize];
        let predicted = (a + b - c).clamp(a.min(b), a.max(b));
        let predicted = (predicted + sign * context.correction).clamp(0, coding.max_value);
        let error = reduced(sign * (value - predicted), coding.range);

        let k = golomb_parameter(context.count, context.errors);
        let is_inverted = k == 0 && 2 * context.bias <= -context.count;
        let folded = if is_inverted { !error } else { error };
        let mapped = if folded < 0 { -2 * folded - 1 } else { 2 * folded };
        self.bits.golomb(mapped as u32, k, coding.limit - coding.error_bits - 1, coding.error_bits);
        context.learn(error, 1, coding.reset);
    }

    /// A run of `length` samples (T.87, section A.7.1).
    fn run(&mut self, length: usize, ends_line: bool, run_index: &mut usize) {
        let mut left = length;
        while left >= 1 << RUN_ORDER[*run_index] {
            self.bits.put(1, 1);
            left -= 1 << RUN_ORDER[*run_index];
            *run_index = (*run_index + 1).min(31);
        }
        match (ends_line, left) {
            (true, 0) => {}
            (true, _) => self.bits.put(1, 1),
            (false, _) => {
                self.bits.put(0, 1);
                self.bits.put(left as u32, RUN_ORDER[*run_index]);
            }
        }
    }

    /// The sample that ends a run (T.87, section A.7.2).
    fn interruption(&mut self, a: i32, b: i32, value: i32, run_index: usize) {
        let coding = &self.coding;
        let kind = i32::from(a == b);
        let error = if a > b { b - value } else { value - b };
        let error = reduced(error, coding.range);
        let context = &mut self.run_contexts[kind as usize];
        let k = golomb_parameter(context.count, context.errors + kind * (context.count >> 1));
        let mapped_is_negative = k != 0 || 2 * context.negative >= context.count;
        let is_mapped = error != 0 && (error < 0) == mapped_is_negative;
        let mapped = 2 * error.abs() - kind - i32::from(is_mapped);
        let escape_at = coding.limit - RUN_ORDER[run_index] - 1 - coding.error_bits - 1;
        self.bits.golomb(mapped as u32, k, escape_at, coding.error_bits);
        context.learn(error, (mapped + 1 - kind) >> 1, coding.reset);
    }

    fn end(self) -> Vec<u8> {
        let mut bytes = self.bits.end();
        bytes.extend_from_slice(&[0xFF, 0xD9]);
        bytes
    }
}

/// An error modulo RANGE, of the least size (T.87, section A.4.5).
#[inline]
fn reduced(error: i32, range: i32) -> i32 {
    let error = if error < 0 { error + range } else { error };
    if error >= (range + 1) / 2 { error - range } else { error }
}

/// Writes bits, most significant first; a byte after 0xFF carries seven (T.87, section A.1).
struct BitWriter {
    bytes: Vec<u8>,
    cache: u64,
    held: u32,
    after_ff: bool,
}

impl BitWriter {
    /// The `count` low bits of `value`, at most 32.
    #[inline]
    fn put(&mut self, value: u32, count: u32) {
        self.cache = self.cache << count | u64::from(value);
        self.held += count;
        loop {
            let width = if self.after_ff { 7 } else { 8 };
            if self.held < width {
                return;
            }
            self.held -= width;
            let byte = (self.cache >> self.held) as u8 & (0xFF >> (8 - width));
            self.cache &= (1 << self.held) - 1;
            self.bytes.push(byte);
            self.after_ff = byte == 0xFF;
        }
    }

    /// A limited-length Golomb code (T.87, section A.5.3).
    #[inline]
    fn golomb(&mut self, value: u32, k: u32, escape_at: u32, escape_bits: u32) {
        let high = value >> k;
        if high < escape_at {
            self.zeros(high);
            self.put(1, 1);
            self.put(value & ((1 << k) - 1), k);
        } else {
            self.zeros(escape_at);
            self.put(1, 1);
            self.put(value - 1, escape_bits);
        }
    }

    /// A unary part may be longer than a word.
    fn zeros(&mut self, mut count: u32) {
        while count > 0 {
            let part = count.min(16);
            self.put(0, part);
            count -= part;
        }
    }

    fn end(mut self) -> Vec<u8> {
        let width = if self.after_ff { 7 } else { 8 };
        if self.held > 0 {
            self.put(0, width - self.held);
        }
        if self.after_ff {
            // FF must not stand before the marker
            self.bytes.push(0);
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jpegls::{decode, header};
    use proptest::prelude::*;

    fn round_trip(samples: &[u16], form: &JpegLsHeader) {
        let stream = encode(samples, form).unwrap();
        assert_eq!(header(&stream), Ok(*form));
        assert_eq!(decode(&stream, form).as_deref(), Ok(samples));
    }

    /// T.87, section A.1: a stream that ends in FF gets a further byte.
    #[test]
    fn a_last_byte_of_ff_is_followed_by_another() {
        let mut bits = BitWriter { bytes: Vec::new(), cache: 0, held: 0, after_ff: false };
        bits.put(0xFF, 8);
        assert_eq!(bits.end(), [0xFF, 0]);
    }

    #[test]
    fn an_image_out_of_range_is_refused() {
        let form = JpegLsHeader { precision: 8, rows: 1, columns: 2, components: 1 };
        assert_eq!(encode(&[1], &form), Err(JpegLsError::OtherImage));
        let wide = JpegLsHeader { columns: 70_000, ..form };
        assert!(matches!(encode(&[], &wide), Err(JpegLsError::Malformed(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// The decoder is held against CharLS by the golden streams.
        #[test]
        fn every_image_comes_back(
            precision in 2..=16_u8,
            (rows, columns, components) in (1..9_u32, 1..40_u32, 1..=4_u8),
            noise in 0..=16_u32,
            seed: u32,
        ) {
            let count = rows * columns * u32::from(components);
            let mask = u16::MAX >> (16 - precision);
            let mut state = seed | 1;
            let samples: Vec<u16> = (0..count).map(|index| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                let spike = if state % 7 == 0 { (state >> 8).checked_shr(32 - noise).unwrap_or(0) } else { 0 };
                ((index / 50) as u16).wrapping_add(spike as u16) & mask
            }).collect();
            round_trip(&samples, &JpegLsHeader { precision, rows, columns, components });
        }
    }
}
