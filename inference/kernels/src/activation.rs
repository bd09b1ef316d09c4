//! What happens to a number once its sum is known.

use crate::error::{KernelError, same_length};
use crate::isa::table::Table;
use crate::primitive::curve::Curve;
use crate::primitive::map::Bounds;
use crate::tensor::{Buffer, Channels};

/// What happens to a number once its sum is known. The names and formulas are ONNX's.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Activation {
    /// `x`
    #[default]
    None,
    /// `max(x, 0)`
    Relu,
    /// `x`, times the slope where it is below zero.
    LeakyRelu(f32),
    /// `x`, times the channel's slope where it is below zero; one slope a channel.
    PRelu(Vec<f32>),
    /// Within two bounds.
    Clip {
        /// The lower bound.
        min: f32,
        /// The upper bound.
        max: f32,
    },
    /// `x * sigmoid(x)`, also called Swish.
    Silu,
    /// `x * min(max(x / 6 + 1/2, 0), 1)`
    HardSwish,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `min(max(alpha * x + beta, 0), 1)`
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at zero.
        beta: f32,
    },
    /// The hyperbolic tangent.
    Tanh,
    /// `x / 2 * (1 + erf(x / √2))`
    Gelu,
    /// GELU with a hyperbolic tangent in place of the error function.
    GeluTanh,
}

/// An activation made ready for one map of channels.
#[derive(Debug, Clone)]
pub(crate) struct Finish {
    pub bounds: Bounds,
    pub curve: Option<Curve>,
    slopes: Buffer,
}

impl Finish {
    pub(crate) fn new(activation: &Activation, channels: &Channels) -> Result<Self, KernelError> {
        let mut slopes = Buffer::default();
        let (mut bounds, mut curve) = (None, None);
        match activation {
            Activation::None => {}
            Activation::Relu => bounds = Some((0.0, f32::INFINITY)),
            Activation::Clip { min, max } => bounds = Some((*min, *max)),
            Activation::LeakyRelu(slope) => curve = Some(Curve::Leaky(*slope)),
            Activation::PRelu(each) => {
                same_length("the slopes of PReLU", channels.count(), each.len())?;
                slopes = channels.spread(each)?;
                curve = Some(Curve::PRelu);
            }
            Activation::Silu => curve = Some(Curve::Silu),
            Activation::HardSwish => curve = Some(Curve::HardSwish),
            Activation::Sigmoid => curve = Some(Curve::Sigmoid),
            Activation::HardSigmoid { alpha, beta } => curve = Some(Curve::HardSigmoid(*alpha, *beta)),
            Activation::Tanh => curve = Some(Curve::Tanh),
            Activation::Gelu => curve = Some(Curve::Gelu),
            Activation::GeluTanh => curve = Some(Curve::GeluTanh),
        }
        Ok(Finish { bounds, curve, slopes })
    }

    /// Bends `pixels` pixels of the block, `step` floats apart, whose bounds are already held.
    ///
    /// # Safety
    ///
    /// Sixteen numbers can be read and written at each pixel; `block` is one of the channels that it was made for.
    #[inline]
    pub(crate) unsafe fn bend(&self, table: &Table, at: *mut f32, pixels: usize, step: usize, block: usize) {
        if let Some(curve) = self.curve {
            let slopes = self.slopes.get(block * 16..).map_or(std::ptr::null(), <[f32]>::as_ptr);
            // SAFETY: the caller's; PReLU was made with sixteen slopes for each block.
            unsafe { (table.bend)(at, pixels, step, curve, slopes) };
        }
    }
}
