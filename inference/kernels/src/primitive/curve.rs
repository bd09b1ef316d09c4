//! Activations that are more than two bounds.

use crate::isa::lanes::{LANES, Lanes};

/// An activation that is computed after the sums are written, while they are still in the nearest cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Curve {
    Leaky(f32),
    /// One slope a channel, given beside.
    PRelu,
    Silu,
    HardSwish,
    Sigmoid,
    HardSigmoid(f32, f32),
    Tanh,
    Gelu,
    GeluTanh,
}

/// `e^x`, to 2 · 10⁻⁷ of its value; below 2⁻¹²⁶ it stays there, above 2¹²⁶ too.
#[inline(always)]
pub(crate) fn exp<L: Lanes>(x: L) -> L {
    power_of_two(x.mul(L::splat(std::f32::consts::LOG2_E)))
}

#[inline(always)]
fn power_of_two<L: Lanes>(x: L) -> L {
    // 2^r on -0.5..=0.5, minimax of degree 6
    const COEFFICIENTS: [f32; 6] =
        [1.339_086_3e-3, 9.676_032e-3, 5.550_357e-2, 2.402_210_7e-1, 6.931_472e-1, 1.000_000_1];
    let bounded = L::splat(126.0).min(L::splat(-126.0).max(x));
    let whole = bounded.round();
    let rest = bounded.sub(whole);
    let mut sum = L::splat(COEFFICIENTS[0]);
    for coefficient in &COEFFICIENTS[1..] {
        sum = sum.mul_add(rest, L::splat(*coefficient));
    }
    sum.scale_by_power(whole)
}

/// `numerator / (1 + e^-x)`: a division is under way while other numbers are multiplied, steps to a reciprocal are not.
#[inline(always)]
fn times_sigmoid<L: Lanes>(numerator: L, x: L) -> L {
    let power = power_of_two(x.mul(L::splat(-std::f32::consts::LOG2_E)));
    numerator.div(power.add(L::splat(1.0)))
}

#[inline(always)]
fn sigmoid<L: Lanes>(x: L) -> L {
    times_sigmoid(L::splat(1.0), x)
}

/// `x * sigmoid(x)`
#[inline(always)]
pub(crate) fn silu<L: Lanes>(x: L) -> L {
    times_sigmoid(x, x)
}

#[inline(always)]
fn tanh<L: Lanes>(x: L) -> L {
    sigmoid(x.add(x)).mul_add(L::splat(2.0), L::splat(-1.0))
}

/// The error function to 2 · 10⁻⁷: Abramowitz and Stegun, 7.1.26.
#[inline(always)]
fn erf<L: Lanes>(x: L) -> L {
    const COEFFICIENTS: [f32; 5] = [1.061_405_4, -1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];
    let zero = L::splat(0.0);
    let size = zero.sub(x).max(x);
    let t = L::splat(1.0).div(size.mul_add(L::splat(0.327_591_1), L::splat(1.0)));
    let mut sum = L::splat(COEFFICIENTS[0]);
    for coefficient in &COEFFICIENTS[1..] {
        sum = sum.mul_add(t, L::splat(*coefficient));
    }
    let tail = sum.mul(t).mul(exp(zero.sub(size.mul(size))));
    let positive = L::splat(1.0).sub(tail);
    // the sign of x: ±1, and between only where erf is nearly 0 anyway
    let sign = L::splat(1.0).min(L::splat(-1.0).max(x.mul(L::splat(1e30))));
    positive.mul(sign)
}

/// `max(x, 0) + slope * min(x, 0)`.
#[inline(always)]
pub(crate) fn leaky<L: Lanes>(x: L, slope: L) -> L {
    let zero = L::splat(0.0);
    slope.mul_add(zero.min(x), zero.max(x))
}

#[inline(always)]
fn hard_sigmoid<L: Lanes>(x: L, alpha: f32, beta: f32) -> L {
    L::splat(1.0).min(L::splat(0.0).max(x.mul_add(L::splat(alpha), L::splat(beta))))
}

/// Bends `pixels` pixels of one block in place.
///
/// # Safety
///
/// Sixteen numbers can be read and written at `at + pixel * step`; for [`Curve::PRelu`] sixteen can be read at `slopes`.
#[inline(always)]
pub(crate) unsafe fn bend<L: Lanes>(
    at: *mut f32,
    pixels: usize,
    step: usize,
    curve: Curve,
    slopes: *const f32,
) {
    macro_rules! each {
        (|$x:ident| $bent:expr) => {
            for pixel in 0..pixels {
                // SAFETY: the caller vouches for every pixel.
                unsafe {
                    let place = at.add(pixel * step);
                    let $x = L::load(place);
                    $bent.store(place);
                }
            }
        };
    }
    match curve {
        Curve::Leaky(slope) => each!(|x| leaky(x, L::splat(slope))),
        Curve::PRelu => {
            // SAFETY: the caller gives sixteen slopes.
            let slopes = unsafe { L::load(slopes) };
            each!(|x| leaky(x, slopes))
        }
        Curve::Silu => each!(|x| silu(x)),
        Curve::HardSwish => each!(|x| x.mul(hard_sigmoid(x, 1.0 / 6.0, 0.5))),
        Curve::Sigmoid => each!(|x| sigmoid(x)),
        Curve::HardSigmoid(alpha, beta) => each!(|x| hard_sigmoid(x, alpha, beta)),
        Curve::Tanh => each!(|x| tanh(x)),
        Curve::Gelu => each!(|x| {
            let half = x.mul(L::splat(0.5));
            half.mul_add(erf(x.mul(L::splat(std::f32::consts::FRAC_1_SQRT_2))), half)
        }),
        Curve::GeluTanh => each!(|x| {
            let cubic = x.mul(x).mul(x).mul_add(L::splat(0.044_715), x);
            let half = x.mul(L::splat(0.5));
            half.mul_add(tanh(cubic.mul(L::splat(0.797_884_6))), half)
        }),
    }
}

/// Softmax over the blocks of each pixel; `mask` is 0 for a channel and -∞ for a slot without one.
///
/// # Safety
///
/// Sixteen numbers can be read at `from + block * stride + pixel * 16` and written at the same place of `to`; `mask`
/// holds sixteen for each block.
#[inline(always)]
pub(crate) unsafe fn softmax<L: Lanes>(
    from: *const f32,
    to: *mut f32,
    pixels: usize,
    (blocks, stride): (usize, usize),
    mask: *const f32,
) {
    for pixel in 0..pixels {
        // SAFETY: the caller vouches for every pixel of every block.
        unsafe {
            let (from, to) = (from.add(pixel * LANES), to.add(pixel * LANES));
            let mut top = L::splat(f32::NEG_INFINITY);
            for block in 0..blocks {
                top = top.max(L::load(from.add(block * stride)).add(L::load(mask.add(block * LANES))));
            }
            let top = top.to_array().into_iter().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = L::splat(0.0);
            for block in 0..blocks {
                let mask = L::load(mask.add(block * LANES));
                let value = exp(L::load(from.add(block * stride)).sub(L::splat(top)).add(mask));
                // below 2^-126 an exponential stays at 2^-126: a slot without a channel becomes a plain zero
                let kept = L::splat(0.0).max(value.sub(L::splat(f32::MIN_POSITIVE)));
                kept.store(to.add(block * stride));
                sum = sum.add(kept);
            }
            let sum: f32 = sum.to_array().into_iter().sum();
            for block in 0..blocks {
                let at = to.add(block * stride);
                L::load(at).mul(L::splat(1.0 / sum)).store(at);
            }
        }
    }
}
