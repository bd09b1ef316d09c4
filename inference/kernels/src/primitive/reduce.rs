//! Many pixels to one: sums, means with their spread, the largest, and whether all are numbers.

use crate::isa::lanes::{LANES, Lanes};

/// Pixels whose sums are taken together: 16 KiB, so that the second look finds them in the nearest cache.
const CHUNK: usize = 256;

/// What [`reduce`] makes of many pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reduction {
    Sum,
    Largest,
}

/// The sum, or the largest, of `pixels` pixels of one block, for each of sixteen channels.
///
/// # Safety
///
/// `pixels * 16` numbers can be read at `from` and sixteen written at `to`.
#[inline(always)]
pub(crate) unsafe fn reduce<L: Lanes>(reduction: Reduction, from: *const f32, pixels: usize, to: *mut f32) {
    macro_rules! each {
        ($start:expr, $join:ident) => {{
            let mut total = L::splat($start);
            let mut first = 0;
            while first < pixels {
                let end = pixels.min(first + CHUNK);
                let mut parts = [L::splat($start); 4];
                for pixel in first..end {
                    // SAFETY: the caller vouches for every pixel.
                    let value = unsafe { L::load(from.add(pixel * LANES)) };
                    parts[pixel & 3] = parts[pixel & 3].$join(value);
                }
                total = total.$join(parts[0].$join(parts[1]).$join(parts[2].$join(parts[3])));
                first = end;
            }
            // SAFETY: the caller's.
            unsafe { total.store(to) }
        }};
    }
    match reduction {
        Reduction::Sum => each!(0.0, add),
        Reduction::Largest => each!(f32::NEG_INFINITY, max_or_nan),
    }
}

/// The mean of `pixels` pixels and the sum of their squared distances from it, for each of sixteen channels.
///
/// Chunks are summed around their own mean and joined as Chan, Golub and LeVeque (1979) do: one pass over the
/// memory, and no cancellation where the mean is large.
///
/// # Safety
///
/// `pixels * 16` numbers can be read at `from`, sixteen written at `mean` and at `spread`.
#[inline(always)]
pub(crate) unsafe fn moments<L: Lanes>(from: *const f32, pixels: usize, mean: *mut f32, spread: *mut f32) {
    let (mut mean_so_far, mut spread_so_far) = (L::splat(0.0), L::splat(0.0));
    let mut first = 0;
    while first < pixels {
        let end = pixels.min(first + CHUNK);
        let count = (end - first) as f32;
        let mut parts = [L::splat(0.0); 4];
        for pixel in first..end {
            // SAFETY: the caller vouches for every pixel.
            parts[pixel & 3] = parts[pixel & 3].add(unsafe { L::load(from.add(pixel * LANES)) });
        }
        let sum = parts[0].add(parts[1]).add(parts[2].add(parts[3]));
        let chunk_mean = sum.mul(L::splat(1.0 / count));
        let mut parts = [L::splat(0.0); 4];
        for pixel in first..end {
            // SAFETY: the caller vouches for every pixel.
            let distance = unsafe { L::load(from.add(pixel * LANES)) }.sub(chunk_mean);
            parts[pixel & 3] = distance.mul_add(distance, parts[pixel & 3]);
        }
        let chunk_spread = parts[0].add(parts[1]).add(parts[2].add(parts[3]));
        let between = chunk_mean.sub(mean_so_far);
        let share = count / end as f32;
        mean_so_far = between.mul_add(L::splat(share), mean_so_far);
        let joint = between.mul(between).mul(L::splat(first as f32 * share));
        spread_so_far = spread_so_far.add(chunk_spread).add(joint);
        first = end;
    }
    // SAFETY: the caller's.
    unsafe {
        mean_so_far.store(mean);
        spread_so_far.store(spread);
    }
}

/// Whether none of the `blocks * 16` numbers at `from` is infinite or no number.
///
/// # Safety
///
/// `blocks * 16` numbers can be read at `from`.
#[inline(always)]
pub(crate) unsafe fn is_finite<L: Lanes>(from: *const f32, blocks: usize) -> bool {
    let zero = L::splat(0.0);
    let mut parts = [zero; 4];
    for block in 0..blocks {
        // SAFETY: the caller vouches for every block.
        let value = unsafe { L::load(from.add(block * LANES)) };
        // zero times a number is zero; times anything else it is none
        parts[block & 3] = value.mul_add(zero, parts[block & 3]);
    }
    let sum = parts[0].add(parts[1]).add(parts[2].add(parts[3]));
    sum.to_array().into_iter().all(|it| it == 0.0)
}
