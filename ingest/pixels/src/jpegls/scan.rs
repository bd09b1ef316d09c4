//! Samples of a scan: context modelling, prediction, run mode.

use super::JpegLsError;
use super::bits::Bits;
use super::context::{Context, Gradients, RUN_ORDER, RunContext, golomb_parameter};
use super::preset::Coding;

/// The state that the components of one scan share.
pub(super) struct ScanDecoder<'a> {
    bits: Bits<'a>,
    coding: Coding,
    /// `2 * NEAR + 1`.
    step: i32,
    gradients: Gradients,
    contexts: [Context; 365],
    run_contexts: [RunContext; 2],
}

impl<'a> ScanDecoder<'a> {
    pub(super) fn new(bits: Bits<'a>, coding: Coding) -> Self {
        Self {
            bits,
            step: 2 * coding.near + 1,
            gradients: Gradients::new(&coding),
            contexts: [Context::new(&coding); 365],
            run_contexts: [RunContext::new(&coding); 2],
            coding,
        }
    }

    /// Where the entropy-coded data ended.
    pub(super) fn position(&self) -> usize {
        self.bits.position()
    }

    /// One line of one component. Both slices have a place before and one after the line.
    pub(super) fn line(
        &mut self,
        above: &[u16],
        line: &mut [u16],
        run_index: &mut usize,
    ) -> Result<(), JpegLsError> {
        let end = line.len() - 1;
        let above = &above[..=end];
        let mut at = 1;
        let mut a = i32::from(line[0]);
        let mut c = i32::from(above[0]);
        let mut b = i32::from(above[1]);
        while at < end {
            let d = i32::from(above[at + 1]);
            let context = self.gradients.context(a, b, c, d);
            if context != 0 {
                a = self.regular(context, a, b, c)?;
                line[at] = a as u16;
                at += 1;
                c = b;
                b = d;
                continue;
            }
            let length = self.run(end - at, run_index)?;
            line[at..at + length].fill(a as u16);
            at += length;
            if at == end {
                break;
            }
            b = i32::from(above[at]);
            a = self.interruption(a, b, *run_index)?;
            *run_index = run_index.saturating_sub(1);
            line[at] = a as u16;
            at += 1;
            c = b;
            b = i32::from(above[at]);
        }
        Ok(())
    }

    /// One line of all components, sample by sample; each has its own pair of lines.
    pub(super) fn interleaved_line(
        &mut self,
        above: &[Vec<u16>],
        lines: &mut [Vec<u16>],
        run_index: &mut usize,
    ) -> Result<(), JpegLsError> {
        let end = lines[0].len() - 1;
        let mut at = 1;
        while at < end {
            let mut contexts = [0; 4];
            for ((context, above), line) in contexts.iter_mut().zip(above).zip(&*lines) {
                let [c, b, d] = [above[at - 1], above[at], above[at + 1]].map(i32::from);
                *context = self.gradients.context(line[at - 1].into(), b, c, d);
            }
            if contexts == [0; 4] {
                let length = self.run(end - at, run_index)?;
                for line in &mut *lines {
                    let a = line[at - 1];
                    line[at..at + length].fill(a);
                }
                at += length;
                if at == end {
                    break;
                }
                for (above, line) in above.iter().zip(&mut *lines) {
                    let value =
                        self.interruption_by_above(line[at - 1].into(), above[at].into(), *run_index)?;
                    line[at] = value as u16;
                }
                *run_index = run_index.saturating_sub(1);
            } else {
                for ((context, above), line) in contexts.into_iter().zip(above).zip(&mut *lines) {
                    let value =
                        self.regular(context, line[at - 1].into(), above[at].into(), above[at - 1].into())?;
                    line[at] = value as u16;
                }
            }
            at += 1;
        }
        Ok(())
    }

    /// A sample of regular mode (T.87, sections A.4 to A.6).
    #[inline]
    fn regular(&mut self, signed_context: i32, a: i32, b: i32, c: i32) -> Result<i32, JpegLsError> {
        let coding = &self.coding;
        let sign = if signed_context < 0 { -1 } else { 1 };
        let context = &mut self.contexts[signed_context.unsigned_abs() as usize];
        let (least, most) = (a.min(b), a.max(b));
        let predicted = (a + b - c).clamp(least, most);
        let predicted = (predicted + sign * context.correction).clamp(0, coding.max_value);

        let k = golomb_parameter(context.count, context.errors);
        let escape_at = coding.limit - coding.error_bits - 1;
        let mapped = self.bits.golomb(k, escape_at, coding.error_bits)? as i32;
        let mut error = (mapped >> 1) ^ -(mapped & 1);
        if k == 0 && coding.near == 0 && 2 * context.bias <= -context.count {
            error = !error;
        }
        if error.abs() > coding.range / 2 + 1 {
            return Err(JpegLsError::Malformed("a prediction error is out of range"));
        }

        context.learn(error, self.step, coding.reset);
        Ok(self.reconstructed(predicted, sign * error))
    }

    /// The sample of a prediction and a quantized error (T.87, section A.4.5).
    #[inline]
    fn reconstructed(&self, predicted: i32, error: i32) -> i32 {
        let coding = &self.coding;
        let mut value = predicted + error * self.step;
        if value < -coding.near {
            value += coding.range * self.step;
        } else if value > coding.max_value + coding.near {
            value -= coding.range * self.step;
        }
        value.clamp(0, coding.max_value)
    }

    /// How many samples of a run follow, at most `left` (T.87, section A.7.1).
    fn run(&mut self, left: usize, run_index: &mut usize) -> Result<usize, JpegLsError> {
        let mut length = 0;
        while self.bits.bit()? {
            let whole = 1_usize << RUN_ORDER[*run_index];
            let part = whole.min(left - length);
            length += part;
            if part == whole {
                *run_index = (*run_index + 1).min(31);
            }
            if length == left {
                return Ok(length);
            }
        }
        length += self.bits.bits(RUN_ORDER[*run_index])? as usize;
        if length >= left {
            return Err(JpegLsError::Malformed("a run is longer than its line"));
        }
        Ok(length)
    }

    /// The sample that ends a run (T.87, section A.7.2).
    fn interruption(&mut self, a: i32, b: i32, run_index: usize) -> Result<i32, JpegLsError> {
        if (a - b).abs() > self.coding.near {
            return self.interruption_by_above(a, b, run_index);
        }
        let error = self.interruption_error(1, run_index)?;
        Ok(self.reconstructed(a, error))
    }

    /// The same, where left and above differ, and always in sample interleave.
    fn interruption_by_above(&mut self, a: i32, b: i32, run_index: usize) -> Result<i32, JpegLsError> {
        let error = self.interruption_error(0, run_index)?;
        Ok(self.reconstructed(b, if a > b { -error } else { error }))
    }

    fn interruption_error(&mut self, kind: usize, run_index: usize) -> Result<i32, JpegLsError> {
        let coding = &self.coding;
        let context = &mut self.run_contexts[kind];
        let kind = kind as i32;
        let k = golomb_parameter(context.count, context.errors + kind * (context.count >> 1));
        let escape_at = coding.limit - RUN_ORDER[run_index] - 1 - coding.error_bits - 1;
        let mapped = self.bits.golomb(k, escape_at, coding.error_bits)? as i32;
        let is_mapped = (mapped + kind) & 1;
        let size = (mapped + kind + is_mapped) >> 1;
        if size > coding.range / 2 + 1 {
            return Err(JpegLsError::Malformed("a prediction error is out of range"));
        }
        let mapped_is_negative = k != 0 || 2 * context.negative >= context.count;
        let error = if (is_mapped == 1) == mapped_is_negative { -size } else { size };

        context.learn(error, (mapped + 1 - kind) >> 1, coding.reset);
        Ok(error)
    }
}
