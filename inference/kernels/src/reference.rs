//! The plainest form of every operator, in `f64` and without a thought of speed: what the others are held against.
//!
//! Tensors are `[channels, depth, height, width]`.

mod convolution;
mod normalization;
mod window;

pub use convolution::convolution;
pub use normalization::{local_response, normalization, softmax};
pub use window::{pooling, resize};

use crate::activation::Activation;
use crate::tensor::Extent;

/// Which number of a channel stands at a place; none where the place lies outside.
fn index(extent: Extent, place: [isize; 3]) -> Option<usize> {
    let mut index = 0;
    for axis in 0..3 {
        if place[axis] < 0 || place[axis] >= extent[axis] as isize {
            return None;
        }
        index = index * extent[axis] + place[axis] as usize;
    }
    Some(index)
}

/// The value at a place, or none where the place lies outside.
fn at(plain: &[f32], extent: Extent, channel: usize, place: [isize; 3]) -> Option<f64> {
    let pixels: usize = extent.iter().product();
    index(extent, place).map(|index| f64::from(plain[channel * pixels + index]))
}

/// Every place of an extent, in order.
fn places(extent: Extent) -> impl Iterator<Item = [usize; 3]> {
    let [depth, height, width] = extent;
    (0..depth).flat_map(move |z| (0..height).flat_map(move |y| (0..width).map(move |x| [z, y, x])))
}

/// An activation of one number of one channel.
pub fn activation(activation: &Activation, x: f64, channel: usize) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::None => x,
        Activation::Relu => x.max(0.0),
        Activation::LeakyRelu(slope) => x.max(0.0) + f64::from(*slope) * x.min(0.0),
        Activation::PRelu(slopes) => x.max(0.0) + f64::from(slopes[channel]) * x.min(0.0),
        Activation::Clip { min, max } => x.max(f64::from(*min)).min(f64::from(*max)),
        Activation::Silu => x * sigmoid(x),
        Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Activation::Sigmoid => sigmoid(x),
        Activation::HardSigmoid { alpha, beta } => (f64::from(*alpha) * x + f64::from(*beta)).clamp(0.0, 1.0),
        Activation::Tanh => x.tanh(),
        Activation::Gelu => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }
    }
}

/// The error function by its Taylor series: exact to some 10⁻⁸.
fn erf(x: f64) -> f64 {
    if x.abs() > 4.0 {
        return x.signum();
    }
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= -x * x / f64::from(n);
        sum += term / f64::from(2 * n + 1);
    }
    sum * 2.0 / std::f64::consts::PI.sqrt()
}
