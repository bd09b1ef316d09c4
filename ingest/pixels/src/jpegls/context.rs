//! What coder and decoder learn alike from the samples before: gradients, contexts, Golomb parameters.

use super::preset::Coding;

/// Order of the run codes by run index (T.87, section A.2.1, J).
pub(super) const RUN_ORDER: [u32; 32] =
    [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// One context of regular mode: A, B, C and N of T.87, section A.2.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    pub(super) errors: i32,
    pub(super) bias: i32,
    pub(super) correction: i32,
    pub(super) count: i32,
}

impl Context {
    pub(super) fn new(coding: &Coding) -> Self {
        Self { errors: first_errors(coding), bias: 0, correction: 0, count: 1 }
    }

    /// Takes in a quantized prediction error (T.87, section A.6).
    #[inline]
    pub(super) fn learn(&mut self, error: i32, step: i32, reset: i32) {
        self.errors += error.abs();
        self.bias += error * step;
        if self.count == reset {
            self.errors >>= 1;
            self.bias >>= 1;
            self.count >>= 1;
        }
        self.count += 1;
        if self.bias <= -self.count {
            self.bias = (self.bias + self.count).max(1 - self.count);
            self.correction = (self.correction - 1).max(-128);
        } else if self.bias > 0 {
            self.bias = (self.bias - self.count).min(0);
            self.correction = (self.correction + 1).min(127);
        }
    }
}

/// One context of run interruption: A, N and Nn.
#[derive(Debug, Clone, Copy)]
pub(super) struct RunContext {
    pub(super) errors: i32,
    pub(super) count: i32,
    pub(super) negative: i32,
}

impl RunContext {
    pub(super) fn new(coding: &Coding) -> Self {
        Self { errors: first_errors(coding), count: 1, negative: 0 }
    }

    /// Takes in an error and its size as it was coded (T.87, section A.7.2.2).
    #[inline]
    pub(super) fn learn(&mut self, error: i32, size: i32, reset: i32) {
        self.negative += i32::from(error < 0);
        self.errors += size;
        if self.count == reset {
            self.errors >>= 1;
            self.count >>= 1;
            self.negative >>= 1;
        }
        self.count += 1;
    }
}

fn first_errors(coding: &Coding) -> i32 {
    ((coding.range + 32) / 64).max(2)
}

/// The quantized gradient for each difference from `-t3` to `t3`.
pub(super) struct Gradients {
    t3: i32,
    levels: Vec<i8>,
}

impl Gradients {
    pub(super) fn new(coding: &Coding) -> Self {
        let levels = (-coding.t3..=coding.t3).map(|difference| quantized(difference, coding)).collect();
        Self { t3: coding.t3, levels }
    }

    #[inline]
    fn level(&self, difference: i32) -> i32 {
        i32::from(self.levels[(difference.clamp(-self.t3, self.t3) + self.t3) as usize])
    }

    /// The context number with its sign: 0 means run mode (T.87, section A.3.4).
    #[inline]
    pub(super) fn context(&self, a: i32, b: i32, c: i32, d: i32) -> i32 {
        (self.level(d - b) * 9 + self.level(b - c)) * 9 + self.level(c - a)
    }
}

/// The Golomb parameter: the least `k` with `count << k >= errors` (T.87, section A.5.1).
#[inline]
pub(super) fn golomb_parameter(count: i32, errors: i32) -> u32 {
    let guess = (count.leading_zeros() as i32 - errors.leading_zeros() as i32).max(0) as u32;
    guess + u32::from((i64::from(count) << guess) < i64::from(errors))
}

/// T.87, section A.3.3.
fn quantized(difference: i32, coding: &Coding) -> i8 {
    let size = difference.abs();
    let level = if size <= coding.near {
        0
    } else if size < coding.t1 {
        1
    } else if size < coding.t2 {
        2
    } else if size < coding.t3 {
        3
    } else {
        4
    };
    if difference < 0 { -level } else { level }
}
