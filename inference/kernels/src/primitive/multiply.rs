//! The product at the heart of every convolution: pixels × input channels × output channels.

use super::map::Bounds;
use super::{unroll, unroll_blocks};
use crate::isa::lanes::{LANES, Lanes};

/// Numbers that lie side by side and meet as many rows of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Floats from the pixel's base.
    pub offset: usize,
    pub len: usize,
}

/// What every tile of one row of pixels shares.
#[derive(Clone, Copy)]
pub(crate) struct Product<'a> {
    /// What a pixel reads, in the order of the weights' rows.
    pub segments: &'a [Segment],
    /// Whether what is read, and each weight, is a pair of bf16.
    pub is_paired: bool,
    /// Floats between two pixels that are read.
    pub step: usize,
    /// Floats between two pixels that are written.
    pub out_step: usize,
    /// Floats between two blocks of output channels.
    pub block_stride: usize,
    /// The same of what is added to them.
    pub residual_stride: usize,
    /// Sixteen numbers for each block; null is zero.
    pub bias: *const f32,
    /// Whether sums go on from what stands in the output, in place of the bias.
    pub goes_on: bool,
    /// Sums are held within these.
    pub bounds: Bounds,
}

/// One tile: `PIXELS` pixels of `BLOCKS` blocks of output channels, all in registers.
///
/// `out[block][pixel] = bound(bias[block] + Σ read[pixel][k] * weights[k][block] + residual[block][pixel])`, summed in
/// the order of `k` whatever the size of the tile. `STEP` is `product.step` when that is known to the compiler, else 0;
/// `PAIRED` is `product.is_paired`: each `k` is then two channels.
///
/// # Safety
///
/// For every pixel and segment, `len` numbers can be read at `read + pixel * step + offset`; `weights` holds
/// `BLOCKS * 16` numbers for each of them; sixteen numbers can be written (and read, where it goes on) at `out + block * block_stride + pixel *
/// out_step` and, unless it is null, read at `residual + block * residual_stride + pixel * out_step`; `bias` is null or holds `BLOCKS * 16`.
#[inline(always)]
pub(crate) unsafe fn multiply<
    L: Lanes,
    const PIXELS: usize,
    const BLOCKS: usize,
    const STEP: usize,
    const PAIRED: bool,
>(
    read: *const f32,
    weights: *const f32,
    out: *mut f32,
    residual: *const f32,
    product: &Product<'_>,
) {
    let step = if STEP == 0 { product.step } else { STEP };
    let mut sums = [[L::splat(0.0); 4]; 14];
    // SAFETY: every address is one that the caller vouches for.
    unsafe {
        if product.goes_on {
            unroll_blocks!(BLOCKS, B, {
                unroll!(PIXELS, P, {
                    sums[P][B] =
                        L::load(out.add(B * product.block_stride + P * product.out_step).cast_const());
                });
            });
        } else if !product.bias.is_null() {
            unroll_blocks!(BLOCKS, B, {
                let bias = L::load(product.bias.add(B * LANES));
                unroll!(PIXELS, P, {
                    sums[P][B] = bias;
                });
            });
        }
        let mut weights = weights;
        for segment in product.segments {
            let mut at = read.add(segment.offset);
            let end = at.add(segment.len);
            while at != end {
                let mut row = [L::splat(0.0); 4];
                unroll_blocks!(BLOCKS, B, {
                    row[B] = L::load(weights.add(B * LANES));
                });
                unroll!(PIXELS, P, {
                    let value = L::splat(*at.add(P * step));
                    unroll_blocks!(BLOCKS, B, {
                        sums[P][B] = if PAIRED {
                            value.add_pairs(row[B], sums[P][B])
                        } else {
                            value.mul_add(row[B], sums[P][B])
                        };
                    });
                });
                weights = weights.add(BLOCKS * LANES);
                at = at.add(1);
            }
        }
        let (out_step, block_stride, residual_stride) =
            (product.out_step, product.block_stride, product.residual_stride);
        if !residual.is_null() {
            unroll_blocks!(BLOCKS, B, {
                unroll!(PIXELS, P, {
                    sums[P][B] = sums[P][B].add(L::load(residual.add(B * residual_stride + P * out_step)));
                });
            });
        }
        if let Some((low, high)) = product.bounds {
            let (low, high) = (L::splat(low), L::splat(high));
            unroll_blocks!(BLOCKS, B, {
                unroll!(PIXELS, P, {
                    sums[P][B] = high.min(low.max(sums[P][B]));
                });
            });
        }
        unroll_blocks!(BLOCKS, B, {
            unroll!(PIXELS, P, {
                sums[P][B].store(out.add(B * block_stride + P * out_step));
            });
        });
    }
}
