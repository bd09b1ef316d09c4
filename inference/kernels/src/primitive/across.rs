//! Across channels: local response normalization.

use crate::isa::lanes::{LANES, Lanes};

/// What every pixel of a local response normalization shares.
#[derive(Clone, Copy)]
pub(crate) struct Response {
    /// Blocks of channels, in order and without gaps.
    pub blocks: usize,
    /// Floats between two blocks.
    pub stride: usize,
    /// For each place 1, or 0 where no channel stands.
    pub mask: *const f32,
    /// Channels before, and after, that count with a channel.
    pub before: usize,
    pub after: usize,
    /// `alpha / size`.
    pub factor: f32,
    pub bias: f32,
    pub beta: f32,
}

/// `x / (bias + factor * Σ x²)^beta` for one run of pixels.
///
/// `line` holds `before + blocks * 16 + after` numbers, of which those before and after the channels are zero.
///
/// # Safety
///
/// Sixteen numbers can be read at `from + block * stride + pixel * 16` and written at the same place of `to`; `line`
/// is as long as said, `mask` holds sixteen numbers for each block.
#[inline(always)]
pub(crate) unsafe fn respond<L: Lanes>(
    from: *const f32,
    to: *mut f32,
    pixels: usize,
    line: *mut f32,
    by: &Response,
) {
    let (factor, bias) = (L::splat(by.factor), L::splat(by.bias));
    for pixel in 0..pixels {
        // SAFETY: the caller vouches for every pixel of every block and for the line.
        unsafe {
            for block in 0..by.blocks {
                let value = L::load(from.add(block * by.stride + pixel * LANES));
                value
                    .mul(value)
                    .mul(L::load(by.mask.add(block * LANES)))
                    .store(line.add(by.before + block * LANES));
            }
            for block in 0..by.blocks {
                let mut sum = L::splat(0.0);
                for neighbour in 0..=by.before + by.after {
                    sum = sum.add(L::load(line.add(block * LANES + neighbour)));
                }
                let base = sum.mul_add(factor, bias);
                let place = block * by.stride + pixel * LANES;
                let value = L::load(from.add(place));
                let divided = if by.beta == 0.75 {
                    // the beta of every published network: two square roots in place of a power
                    let root = base.sqrt();
                    value.div(root.mul(root.sqrt()))
                } else {
                    let powers = base.to_array().map(|it| it.powf(-by.beta));
                    value.mul(L::load(powers.as_ptr()))
                };
                divided.store(to.add(place));
            }
        }
    }
}
