//! Pooling and resizing.

use super::{at, places};
use crate::error::KernelError;
use crate::pool::{PoolSpec, Pooling};
use crate::resize::{Coordinates, Interpolation};
use crate::tensor::Extent;

/// The largest or the mean of every window.
///
/// # Errors
///
/// As [`PoolSpec::output_extent`].
pub fn pooling(
    pooling: Pooling,
    spec: &PoolSpec,
    channels: usize,
    input: &[f32],
) -> Result<Vec<f64>, KernelError> {
    let mut out = Vec::new();
    for channel in 0..channels {
        for output in places(spec.output_extent()?) {
            let (mut values, mut padded) = (Vec::new(), 0);
            for window in places(spec.kernel) {
                let place = std::array::from_fn(|axis| {
                    let first = (output[axis] * spec.stride[axis]) as isize - spec.pad_before[axis] as isize;
                    first + (window[axis] * spec.dilation[axis]) as isize
                });
                let is_padded =
                    (0..3).all(|axis| place[axis] < (spec.extent[axis] + spec.pad_after[axis]) as isize);
                padded += usize::from(is_padded);
                values.extend(at(input, spec.extent, channel, place));
            }
            out.push(match pooling {
                Pooling::Max => values.into_iter().fold(f64::NEG_INFINITY, f64::max),
                Pooling::Average => values.iter().sum::<f64>() / values.len() as f64,
                Pooling::AveragePadded => values.iter().sum::<f64>() / padded as f64,
            });
        }
    }
    Ok(out)
}

/// The place of the input that an output place stands for.
fn source(x: usize, from: usize, to: usize, coordinates: Coordinates) -> f64 {
    let (x, scale) = (x as f64, to as f64 / from as f64);
    match coordinates {
        Coordinates::HalfPixel => (x + 0.5) / scale - 0.5,
        Coordinates::PytorchHalfPixel if to > 1 => (x + 0.5) / scale - 0.5,
        Coordinates::AlignCorners if to > 1 => x * (from as f64 - 1.0) / (to as f64 - 1.0),
        Coordinates::PytorchHalfPixel | Coordinates::AlignCorners => 0.0,
        Coordinates::Asymmetric => x / scale,
    }
}

/// Another extent, by the nearest pixel or by straight lines.
pub fn resize(
    input: &[f32],
    channels: usize,
    (from, to): (Extent, Extent),
    interpolation: Interpolation,
    coordinates: Coordinates,
) -> Vec<f64> {
    let inside = |axis: usize, place: f64| (place as isize).clamp(0, from[axis] as isize - 1);
    let mut out = Vec::new();
    for channel in 0..channels {
        for output in places(to) {
            let place: [f64; 3] =
                std::array::from_fn(|axis| source(output[axis], from[axis], to[axis], coordinates));
            let mut sum = 0.0;
            // eight corners; of the nearest pixel's, one has all the weight
            for corner in places([2; 3]) {
                let (mut weight, mut nearest) = (1.0, [0; 3]);
                for axis in 0..3 {
                    let rounded = match interpolation {
                        Interpolation::Linear => place[axis].clamp(0.0, from[axis] as f64 - 1.0),
                        Interpolation::NearestFloor => place[axis].floor(),
                        Interpolation::NearestCeil => place[axis].ceil(),
                        Interpolation::NearestPreferFloor => (place[axis] - 0.5).ceil(),
                        Interpolation::NearestPreferCeil => (place[axis] + 0.5).floor(),
                    };
                    let rest = rounded - rounded.floor();
                    weight *= if corner[axis] == 1 { rest } else { 1.0 - rest };
                    nearest[axis] = inside(axis, rounded.floor() + corner[axis] as f64);
                }
                sum += weight * at(input, from, channel, nearest).unwrap_or(0.0);
            }
            out.push(sum);
        }
    }
    out
}
