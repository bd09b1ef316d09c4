//! Pixel by pixel: affine, sum, product, blend.

use super::curve::leaky;
use super::{unroll, unroll_blocks};
use crate::isa::lanes::{LANES, Lanes, PAIRS};

/// The lowest and the highest value that is let through.
pub(crate) type Bounds = Option<(f32, f32)>;

/// Where two numbers come from, and the floats between two pixels of the second.
pub(crate) type Both = (*const f32, *const f32, usize);

/// `leaky(bound(scale * x + shift))`, sixteen channels at once.
#[derive(Clone, Copy)]
pub(crate) struct Affine {
    /// Sixteen numbers.
    pub scale: *const f32,
    /// Sixteen numbers.
    pub shift: *const f32,
    pub bounds: Bounds,
    /// The slope below zero; 1 leaves the value as it is.
    pub slope: f32,
}

impl Affine {
    /// The same for a later block.
    ///
    /// # Safety
    ///
    /// `scale` and `shift` reach as far as the block's sixteen numbers.
    pub(crate) unsafe fn of_block(&self, block: usize) -> Affine {
        // SAFETY: the caller's.
        unsafe {
            Affine { scale: self.scale.add(block * LANES), shift: self.shift.add(block * LANES), ..*self }
        }
    }
}

/// What happens to sixteen numbers on their way.
///
/// No closure does it: what has no `target_feature` of its own is a call where the compiler does not inline it, and so is
/// each instruction in it.
pub(crate) trait OnItsWay<L>: Copy {
    fn of(self, x: L) -> L;
}

/// Nothing.
#[derive(Clone, Copy)]
pub(crate) struct AsItIs;

/// `max(scale * x + shift, 0)`
#[derive(Clone, Copy)]
pub(crate) struct Rectified<L> {
    scale: L,
    shift: L,
}

/// `max(y, slope * y)` of `y = scale * x + shift`, for slopes of 0 to 1.
#[derive(Clone, Copy)]
pub(crate) struct Leaking<L> {
    scale: L,
    shift: L,
    slope: L,
}

impl<L: Lanes> OnItsWay<L> for AsItIs {
    #[inline(always)]
    fn of(self, x: L) -> L {
        x
    }
}

impl<L: Lanes> OnItsWay<L> for Rectified<L> {
    #[inline(always)]
    fn of(self, x: L) -> L {
        L::splat(0.0).max(x.mul_add(self.scale, self.shift))
    }
}

impl<L: Lanes> OnItsWay<L> for Leaking<L> {
    #[inline(always)]
    fn of(self, x: L) -> L {
        let y = x.mul_add(self.scale, self.shift);
        y.mul(self.slope).max(y)
    }
}

/// Runs `$body` with what an [`Affine`] does, in as few instructions as that takes, called `$way`.
macro_rules! by_affine {
    ($lanes:ty, $by:expr, |$way:ident| $body:expr) => {{
        let by: &$crate::primitive::map::Affine = $by;
        let loaded = $crate::primitive::map::Loaded::<$lanes>::load(by);
        match (by.bounds, by.slope) {
            (Some((0.0, f32::INFINITY)), 1.0) => {
                let $way = loaded.rectified();
                $body
            }
            (None, 0.0..=1.0) => {
                let $way = loaded.leaking();
                $body
            }
            _ => {
                let $way = loaded;
                $body
            }
        }
    }};
}
pub(crate) use by_affine;

/// An [`Affine`] in registers.
#[derive(Clone, Copy)]
pub(crate) struct Loaded<L: Lanes> {
    scale: L,
    shift: L,
    low: L,
    high: L,
    slope: L,
    is_leaky: bool,
}

impl<L: Lanes> Loaded<L> {
    /// # Safety
    ///
    /// Sixteen numbers can be read at `scale` and at `shift`.
    #[inline(always)]
    pub(crate) unsafe fn load(by: &Affine) -> Self {
        let (low, high) = by.bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        // SAFETY: the caller's.
        let (scale, shift) = unsafe { (L::load(by.scale), L::load(by.shift)) };
        let slope = L::splat(by.slope);
        Loaded { scale, shift, low: L::splat(low), high: L::splat(high), slope, is_leaky: by.slope != 1.0 }
    }

    /// The same without bounds but zero.
    #[inline(always)]
    pub(crate) fn rectified(self) -> Rectified<L> {
        Rectified { scale: self.scale, shift: self.shift }
    }

    /// The same without bounds.
    #[inline(always)]
    pub(crate) fn leaking(self) -> Leaking<L> {
        Leaking { scale: self.scale, shift: self.shift, slope: self.slope }
    }
}

impl<L: Lanes> OnItsWay<L> for Loaded<L> {
    #[inline(always)]
    fn of(self, x: L) -> L {
        let bounded = self.high.min(self.low.max(x.mul_add(self.scale, self.shift)));
        if self.is_leaky { leaky(bounded, self.slope) } else { bounded }
    }
}

/// `to = affine(from)` over `pixels` pixels of one block; both may be the same place.
///
/// # Safety
///
/// `pixels * 16` numbers can be read at `from` and written at `to`, sixteen read at `by.scale` and `by.shift`.
#[inline(always)]
pub(crate) unsafe fn affine<L: Lanes>(from: *const f32, to: *mut f32, pixels: usize, by: &Affine) {
    // SAFETY: the caller vouches for every pixel, and for scale and shift.
    unsafe {
        by_affine!(L, by, |way| {
            for pixel in 0..pixels {
                way.of(L::load(from.add(pixel * LANES))).store(to.add(pixel * LANES));
            }
        });
    }
}

/// As [`affine`], or as it comes where there is none, with `to` in pairs of bf16.
///
/// # Safety
///
/// `pixels * 16` numbers can be read at `from`, `pixels * 8` written at `to`, sixteen read at `by.scale` and `by.shift`.
#[inline(always)]
pub(crate) unsafe fn paired<L: Lanes>(from: *const f32, to: *mut f32, pixels: usize, by: Option<&Affine>) {
    // SAFETY: the caller vouches for every pixel, and for scale and shift.
    unsafe {
        let Some(by) = by else {
            for pixel in 0..pixels {
                L::load(from.add(pixel * LANES)).store_pairs(to.add(pixel * PAIRS));
            }
            return;
        };
        by_affine!(L, by, |way| {
            for pixel in 0..pixels {
                way.of(L::load(from.add(pixel * LANES))).store_pairs(to.add(pixel * PAIRS));
            }
        });
    }
}

/// What [`combine`] does with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pairing {
    Add,
    Multiply,
}

/// `to = bound(left ⊕ right)` over `pixels` pixels; places may be the same. `right_step` is 16, or 0 where one pixel
/// on the right stands for all.
///
/// # Safety
///
/// `pixels * 16` numbers can be read at `left` and written at `to`; sixteen can be read at `right + pixel * right_step`.
#[inline(always)]
pub(crate) unsafe fn combine<L: Lanes>(
    pairing: Pairing,
    (left, right, right_step): Both,
    to: *mut f32,
    pixels: usize,
    bounds: Bounds,
) {
    let (low, high) = bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    let (low, high) = (L::splat(low), L::splat(high));
    macro_rules! each {
        ($join:ident) => {
            for pixel in 0..pixels {
                // SAFETY: the caller vouches for every pixel.
                unsafe {
                    let joined =
                        L::load(left.add(pixel * LANES)).$join(L::load(right.add(pixel * right_step)));
                    high.min(low.max(joined)).store(to.add(pixel * LANES));
                }
            }
        };
    }
    match pairing {
        Pairing::Add => each!(add),
        Pairing::Multiply => each!(mul),
    }
}

/// `to = Σ weight * row` over `pixels` pixels of each of up to four rows.
///
/// # Safety
///
/// `pixels * 16` numbers can be read at every row and written at `to`.
#[inline(always)]
pub(crate) unsafe fn blend<L: Lanes>(rows: &[(*const f32, f32)], to: *mut f32, pixels: usize) {
    macro_rules! each {
        ($count:literal) => {
            for pixel in 0..pixels {
                let mut sum = L::splat(0.0);
                // SAFETY: the caller vouches for every pixel of every row.
                unsafe {
                    unroll_blocks!($count, R, {
                        let (row, weight) = rows[R];
                        sum = L::load(row.add(pixel * LANES)).mul_add(L::splat(weight), sum);
                    });
                    sum.store(to.add(pixel * LANES));
                }
            }
        };
    }
    match rows.len() {
        0 => {}
        1 => each!(1),
        2 => each!(2),
        3 => each!(3),
        _ => each!(4),
    }
}

/// Where a pixel of a resized row comes from: `(1 - weight) * first + weight * second`, in pixels; a weight of 0 is
/// the first as it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Between {
    pub first: usize,
    pub second: usize,
    pub weight: f32,
}

/// `to[i] = between(from)`.
///
/// # Safety
///
/// Every pixel that `places` names can be read at `from`, and as many pixels as places written at `to`.
#[inline(always)]
pub(crate) unsafe fn resample<L: Lanes>(from: *const f32, to: *mut f32, places: &[Between]) {
    for (pixel, place) in places.iter().enumerate() {
        // SAFETY: the caller vouches for every place.
        unsafe {
            let first = L::load(from.add(place.first * LANES));
            if place.weight == 0.0 {
                first.store(to.add(pixel * LANES));
                continue;
            }
            let second = L::load(from.add(place.second * LANES));
            second.sub(first).mul_add(L::splat(place.weight), first).store(to.add(pixel * LANES));
        }
    }
}
