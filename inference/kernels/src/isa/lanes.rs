//! Sixteen numbers side by side: one pixel of one block of channels.

/// Numbers a block of channels holds, on every processor.
pub const LANES: usize = 16;

/// Places of a block whose numbers are pairs.
pub(crate) const PAIRS: usize = LANES / 2;

/// Sixteen `f32` that are computed with at once.
///
/// Whoever implements it for a type with intrinsics promises that the type is only reached through a
/// [`Table`](super::table::Table), which [`Isa::table`](super::Isa::table) gives only where the processor has them.
/// Everything is inlined into functions that carry the `target_feature`.
pub(crate) trait Lanes: Copy {
    /// Pixels of one window whose sums fit the registers.
    const WINDOW: usize;

    /// The sixteen numbers at `from`, of any alignment.
    ///
    /// # Safety
    ///
    /// Sixteen numbers can be read at `from`.
    unsafe fn load(from: *const f32) -> Self;

    /// Writes the sixteen numbers to `to`, of any alignment.
    ///
    /// # Safety
    ///
    /// Sixteen numbers can be written at `to`.
    unsafe fn store(self, to: *mut f32);

    /// Asks for the cache line at `from`, which need not be anywhere.
    fn fetch(from: *const f32);

    fn splat(value: f32) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, by: Self) -> Self;
    /// `self * by + plus`, rounded once where the processor can.
    fn mul_add(self, by: Self, plus: Self) -> Self;
    /// `from - self * by`.
    fn mul_sub_from(self, by: Self, from: Self) -> Self;
    /// The larger number; `other` where either is none, so that `bound.max(x)` keeps a NaN of `x`.
    fn max(self, other: Self) -> Self;
    /// The larger number; none where either is none.
    fn max_or_nan(self, other: Self) -> Self;
    /// The smaller number; `other` where either is none.
    fn min(self, other: Self) -> Self;
    fn sqrt(self) -> Self;
    /// To the nearest whole number.
    fn round(self) -> Self;
    /// `self * 2^exponent`; `exponent` is whole and within -126..=127.
    fn scale_by_power(self, exponent: Self) -> Self;

    /// `plus + self * by`, where each place holds two numbers of bf16 whose products are both added.
    #[inline(always)]
    fn add_pairs(self, by: Self, plus: Self) -> Self {
        let (left, right, mut sums) = (self.to_array(), by.to_array(), plus.to_array());
        for (sum, (left, right)) in sums.iter_mut().zip(left.into_iter().zip(right)) {
            let ((low, high), (by_low, by_high)) = (unpair(left), unpair(right));
            *sum += low * by_low + high * by_high;
        }
        // SAFETY: the array holds sixteen numbers.
        unsafe { Self::load(sums.as_ptr()) }
    }

    /// Writes the sixteen numbers as eight pairs of bf16, each in the place of one `f32`.
    ///
    /// # Safety
    ///
    /// Eight numbers can be written at `to`.
    #[inline(always)]
    unsafe fn store_pairs(self, to: *mut f32) {
        for (index, two) in self.to_array().as_chunks::<2>().0.iter().enumerate() {
            // SAFETY: the caller's.
            unsafe { to.add(index).write(pair(two[0], two[1])) };
        }
    }

    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        let mut array = [0.0; LANES];
        // SAFETY: the array holds sixteen numbers.
        unsafe { self.store(array.as_mut_ptr()) };
        array
    }
}

/// Two numbers, rounded to bf16 (the upper half of an `f32`), in the place of one; the first is the lower half.
#[inline]
pub(crate) fn pair(low: f32, high: f32) -> f32 {
    f32::from_bits(to_bf16(low) >> 16 | to_bf16(high) & 0xFFFF_0000)
}

/// What [`pair`] has put together.
#[inline]
fn unpair(two: f32) -> (f32, f32) {
    (f32::from_bits(two.to_bits() << 16), f32::from_bits(two.to_bits() & 0xFFFF_0000))
}

/// The bits of the nearest bf16, to even between two, in the upper half; what stands in the lower half means nothing.
#[inline]
fn to_bf16(number: f32) -> u32 {
    let bits = number.to_bits();
    // one that is none stays so: rounding could carry it over to zero
    if number.is_nan() { bits | 0x0040_0000 } else { bits + 0x7FFF + (bits >> 16 & 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_the_nearest_bf16() {
        let rounded = |number| unpair(pair(number, -number));
        assert_eq!(rounded(1.0), (1.0, -1.0));
        // between 1 and 1 + 2⁻⁷ lies 1 + 2⁻⁸: to the even one
        assert_eq!(rounded(1.0 + 0.003_906_25), (1.0, -1.0));
        assert_eq!(rounded(1.0 + 0.003_906_5), (1.007_812_5, -1.007_812_5));
        assert_eq!(rounded(f32::INFINITY), (f32::INFINITY, f32::NEG_INFINITY));
        let (low, high) = rounded(f32::NAN);
        assert!(low.is_nan() && high.is_nan());
    }
}
