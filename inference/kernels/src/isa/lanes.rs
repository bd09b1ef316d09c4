//! Sixteen numbers side by side: one pixel of one block of channels.

/// Numbers a block of channels holds, on every processor.
pub const LANES: usize = 16;

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
    /// `1 / self` of a normal number, to the last bit or nearly.
    fn recip(self) -> Self;
    /// To the nearest whole number.
    fn round(self) -> Self;
    /// `self * 2^exponent`; `exponent` is whole and within -126..=127.
    fn scale_by_power(self, exponent: Self) -> Self;

    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        let mut array = [0.0; LANES];
        // SAFETY: the array holds sixteen numbers.
        unsafe { self.store(array.as_mut_ptr()) };
        array
    }
}
