//! Windows that keep channels apart: depthwise convolution and pooling.

use super::curve::silu;
use super::map::Bounds;
use super::unroll;
use crate::isa::lanes::{LANES, Lanes};

/// One place of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tap {
    /// Floats from the pixel's base.
    pub offset: isize,
    /// Floats from the block's weights; unused where a window has none.
    pub weight: usize,
}

/// What a window makes of its places.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Windowed {
    /// The weighted sum, from a bias.
    Weighed,
    /// The largest; none where one of them is none.
    Largest,
    /// The sum times a factor.
    Mean(f32),
}

/// A row of windows over one block.
#[derive(Clone, Copy)]
pub(crate) struct Window<'a> {
    pub taps: &'a [Tap],
    /// Floats between two pixels that are read.
    pub step: usize,
    /// For [`Windowed::Weighed`]: the block's weights, sixteen a tap.
    pub weights: *const f32,
    /// For [`Windowed::Weighed`]: sixteen numbers.
    pub bias: *const f32,
    pub bounds: Bounds,
    /// Whether the sums are bent by SiLU while they are in registers: what most depthwise convolutions ask for.
    pub is_silu: bool,
}

#[inline(always)]
unsafe fn tile<L: Lanes, const PIXELS: usize>(
    windowed: Windowed,
    read: *const f32,
    out: *mut f32,
    window: &Window<'_>,
) {
    let step = window.step;
    let mut sums = [L::splat(0.0); 14];
    // SAFETY: `slide` vouches for every tap of every pixel.
    unsafe {
        match windowed {
            Windowed::Weighed => {
                let bias = L::load(window.bias);
                unroll!(PIXELS, P, {
                    sums[P] = bias;
                });
                for tap in window.taps {
                    let (at, weight) = (read.offset(tap.offset), L::load(window.weights.add(tap.weight)));
                    unroll!(PIXELS, P, {
                        sums[P] = L::load(at.add(P * step)).mul_add(weight, sums[P]);
                    });
                }
            }
            Windowed::Largest => {
                unroll!(PIXELS, P, {
                    sums[P] = L::splat(f32::NEG_INFINITY);
                });
                for tap in window.taps {
                    let at = read.offset(tap.offset);
                    unroll!(PIXELS, P, {
                        sums[P] = sums[P].max_or_nan(L::load(at.add(P * step)));
                    });
                }
            }
            Windowed::Mean(factor) => {
                for tap in window.taps {
                    let at = read.offset(tap.offset);
                    unroll!(PIXELS, P, {
                        sums[P] = sums[P].add(L::load(at.add(P * step)));
                    });
                }
                let factor = L::splat(factor);
                unroll!(PIXELS, P, {
                    sums[P] = sums[P].mul(factor);
                });
            }
        }
        if let Some((low, high)) = window.bounds {
            let (low, high) = (L::splat(low), L::splat(high));
            unroll!(PIXELS, P, {
                sums[P] = high.min(low.max(sums[P]));
            });
        }
        if window.is_silu {
            unroll!(PIXELS, P, {
                sums[P] = silu(sums[P]);
            });
        }
        unroll!(PIXELS, P, {
            sums[P].store(out.add(P * LANES));
        });
    }
}

/// `pixels` windows side by side.
///
/// # Safety
///
/// Sixteen numbers can be read at `read + pixel * step + tap.offset` for every pixel and tap, and written at
/// `out + pixel * 16`; for [`Windowed::Weighed`] also at `bias` and at `weights + tap.weight`.
#[inline(always)]
pub(crate) unsafe fn slide<L: Lanes>(
    windowed: Windowed,
    read: *const f32,
    out: *mut f32,
    pixels: usize,
    window: &Window<'_>,
) {
    let mut done = 0;
    macro_rules! take {
        ($count:literal) => {
            while pixels - done >= $count {
                // SAFETY: the caller vouches for all pixels, and `done + count` are not more.
                unsafe {
                    tile::<L, $count>(windowed, read.add(done * window.step), out.add(done * LANES), window);
                }
                done += $count;
            }
        };
    }
    if L::WINDOW > 6 {
        take!(14);
        take!(7);
    } else if L::WINDOW > 3 {
        take!(6);
    }
    take!(3);
    take!(1);
}
