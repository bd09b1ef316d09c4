//! Without intrinsics: arrays that the compiler turns into what the target has. Miri runs this form.

use super::lanes::{LANES, Lanes};

#[derive(Clone, Copy)]
#[repr(align(64))]
pub(crate) struct Portable([f32; LANES]);

/// Adding and taking away 1.5 · 2²³ rounds to the nearest whole number below 2²² (IEEE 754, round to even).
const ROUNDER: f32 = 12_582_912.0;

/// A fused product where the target has one; elsewhere it would be a call into the C library for each number.
const HAS_FMA: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64", target_arch = "riscv64"));

#[inline(always)]
fn each(mut value: impl FnMut(usize) -> f32) -> Portable {
    let mut result = [0.0; LANES];
    for (lane, it) in result.iter_mut().enumerate() {
        *it = value(lane);
    }
    Portable(result)
}

impl Lanes for Portable {
    const WINDOW: usize = 3;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's: sixteen numbers can be read there; an array of f32 has their alignment.
        Portable(unsafe { from.cast::<[f32; LANES]>().read() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's: sixteen numbers can be written there.
        unsafe { to.cast::<[f32; LANES]>().write(self.0) }
    }

    #[inline(always)]
    fn fetch(_from: *const f32) {}

    #[inline(always)]
    fn splat(value: f32) -> Self {
        Portable([value; LANES])
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        each(|lane| self.0[lane] + other.0[lane])
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        each(|lane| self.0[lane] - other.0[lane])
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        each(|lane| self.0[lane] * other.0[lane])
    }

    #[inline(always)]
    fn div(self, by: Self) -> Self {
        each(|lane| self.0[lane] / by.0[lane])
    }

    #[inline(always)]
    fn mul_add(self, by: Self, plus: Self) -> Self {
        if HAS_FMA {
            each(|lane| self.0[lane].mul_add(by.0[lane], plus.0[lane]))
        } else {
            each(|lane| self.0[lane] * by.0[lane] + plus.0[lane])
        }
    }

    #[inline(always)]
    fn mul_sub_from(self, by: Self, from: Self) -> Self {
        if HAS_FMA {
            each(|lane| (-self.0[lane]).mul_add(by.0[lane], from.0[lane]))
        } else {
            each(|lane| from.0[lane] - self.0[lane] * by.0[lane])
        }
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        each(|lane| if self.0[lane] > other.0[lane] { self.0[lane] } else { other.0[lane] })
    }

    #[inline(always)]
    fn max_or_nan(self, other: Self) -> Self {
        each(|lane| {
            let (own, other) = (self.0[lane], other.0[lane]);
            if own > other || own.is_nan() { own } else { other }
        })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        each(|lane| if self.0[lane] < other.0[lane] { self.0[lane] } else { other.0[lane] })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        each(|lane| self.0[lane].sqrt())
    }

    #[inline(always)]
    fn round(self) -> Self {
        each(|lane| (self.0[lane] + ROUNDER) - ROUNDER)
    }

    #[inline(always)]
    fn scale_by_power(self, exponent: Self) -> Self {
        each(|lane| self.0[lane] * f32::from_bits((exponent.0[lane] + (ROUNDER + 127.0)).to_bits() << 23))
    }
}
