//! AVX2 with FMA: two registers.

use std::arch::x86_64::*;

use super::lanes::Lanes;

#[derive(Clone, Copy)]
pub(crate) struct Avx2(__m256, __m256);

macro_rules! by_intrinsic {
    ($($name:ident($($argument:ident),*) => $intrinsic:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, $($argument: Self),*) -> Self {
            // SAFETY: this type is reached only where the processor has AVX2 and FMA (see `Lanes`).
            unsafe { Avx2($intrinsic(self.0 $(, $argument.0)*), $intrinsic(self.1 $(, $argument.1)*)) }
        }
    )*};
}

impl Lanes for Avx2 {
    const WINDOW: usize = 6;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's, and AVX2 is there.
        unsafe { Avx2(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's, and AVX2 is there.
        unsafe {
            _mm256_storeu_ps(to, self.0);
            _mm256_storeu_ps(to.add(8), self.1);
        }
    }

    #[inline(always)]
    fn fetch(from: *const f32) {
        // SAFETY: a hint; it reads nothing and cannot fail, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: AVX2 is there.
        let half = unsafe { _mm256_set1_ps(value) };
        Avx2(half, half)
    }

    by_intrinsic! {
        add(other) => _mm256_add_ps;
        sub(other) => _mm256_sub_ps;
        mul(other) => _mm256_mul_ps;
        div(by) => _mm256_div_ps;
        mul_add(by, plus) => _mm256_fmadd_ps;
        mul_sub_from(by, from) => _mm256_fnmadd_ps;
        max(other) => _mm256_max_ps;
        min(other) => _mm256_min_ps;
        sqrt() => _mm256_sqrt_ps;
    }

    #[inline(always)]
    fn max_or_nan(self, other: Self) -> Self {
        let larger = self.max(other);
        // SAFETY: AVX2 is there.
        unsafe {
            // `max` gives `other` where either is none; where `self` is, it is kept
            let keep = |larger, own| _mm256_blendv_ps(larger, own, _mm256_cmp_ps::<_CMP_UNORD_Q>(own, own));
            Avx2(keep(larger.0, self.0), keep(larger.1, self.1))
        }
    }

    #[inline(always)]
    fn round(self) -> Self {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: AVX2 is there.
        unsafe { Avx2(_mm256_round_ps::<NEAREST>(self.0), _mm256_round_ps::<NEAREST>(self.1)) }
    }

    #[inline(always)]
    fn scale_by_power(self, exponent: Self) -> Self {
        // SAFETY: AVX2 is there.
        unsafe {
            let bias = _mm256_set1_epi32(127);
            let low = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(exponent.0), bias));
            let high = _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtps_epi32(exponent.1), bias));
            self.mul(Avx2(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high)))
        }
    }
}
