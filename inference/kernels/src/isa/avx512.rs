//! AVX-512F: one register.

use std::arch::x86_64::*;

use super::lanes::Lanes;

#[derive(Clone, Copy)]
pub(crate) struct Avx512(__m512);

macro_rules! by_intrinsic {
    ($($name:ident($($argument:ident),*) => $intrinsic:ident;)*) => {$(
        #[inline(always)]
        fn $name(self, $($argument: Self),*) -> Self {
            // SAFETY: this type is reached only where the processor has AVX-512F (see `Lanes`).
            Avx512(unsafe { $intrinsic(self.0 $(, $argument.0)*) })
        }
    )*};
}

impl Lanes for Avx512 {
    const WINDOW: usize = 14;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's, and AVX-512F is there.
        Avx512(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's, and AVX-512F is there.
        unsafe { _mm512_storeu_ps(to, self.0) }
    }

    #[inline(always)]
    fn fetch(from: *const f32) {
        // SAFETY: a hint; it reads nothing and cannot fail, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) };
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: AVX-512F is there.
        Avx512(unsafe { _mm512_set1_ps(value) })
    }

    by_intrinsic! {
        add(other) => _mm512_add_ps;
        sub(other) => _mm512_sub_ps;
        mul(other) => _mm512_mul_ps;
        div(by) => _mm512_div_ps;
        mul_add(by, plus) => _mm512_fmadd_ps;
        mul_sub_from(by, from) => _mm512_fnmadd_ps;
        max(other) => _mm512_max_ps;
        min(other) => _mm512_min_ps;
        sqrt() => _mm512_sqrt_ps;
        scale_by_power(exponent) => _mm512_scalef_ps;
    }

    #[inline(always)]
    fn add_pairs(self, by: Self, plus: Self) -> Self {
        // SAFETY: only what `Isa::has_bf16` lets through comes here; sixteen pairs of bf16 are 64 bytes of any bits.
        unsafe { Avx512(_mm512_dpbf16_ps(plus.0, bits(self.0), bits(by.0))) }
    }

    #[inline(always)]
    unsafe fn store_pairs(self, to: *mut f32) {
        // SAFETY: the caller's, and `Isa::has_bf16` let it through.
        unsafe { to.cast::<__m256bh>().write_unaligned(_mm512_cvtneps_pbh(self.0)) }
    }

    #[inline(always)]
    fn max_or_nan(self, other: Self) -> Self {
        // SAFETY: AVX-512F is there.
        unsafe {
            // `max` gives `other` where either is none; where `self` is, it is kept
            let is_number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(self.0, self.0);
            Avx512(_mm512_mask_max_ps(self.0, is_number, self.0, other.0))
        }
    }

    #[inline(always)]
    fn round(self) -> Self {
        // SAFETY: AVX-512F is there.
        Avx512(unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0) })
    }
}

/// The same bits as pairs of bf16.
#[inline(always)]
fn bits(lanes: __m512) -> __m512bh {
    // SAFETY: both are 64 bytes for which all bits are allowed.
    unsafe { std::mem::transmute(lanes) }
}
