//! What a covered piece of the network does: one operator of ours for one or more of tract's nodes.

use kernels::{Activation, Coordinates, Direction, Extent, Interpolation, Pair, PoolSpec, Pooling};
use tract_onnx::tract_core::internal::OutletId;

use super::weights::Weights;

/// One operator of ours, and the nodes of tract's that it stands for.
#[derive(Debug)]
pub(super) struct Unit {
    pub doing: Doing,
    pub inputs: Vec<OutletId>,
    /// Nodes before the last one whose values nobody else needs.
    pub absorbed: Vec<usize>,
}

impl Unit {
    pub fn of(doing: Doing, inputs: Vec<OutletId>) -> Self {
        Unit { doing, inputs, absorbed: Vec::new() }
    }

    /// An activation alone.
    pub fn activation(activation: Activation, input: OutletId) -> Self {
        Unit::of(Doing::Scale(Scale { by: None, activation }), vec![input])
    }
}

/// What is done.
#[derive(Debug, Clone)]
pub(super) enum Doing {
    /// A value that comes from outside of the region.
    Input,
    Convolve(Box<Convolve>),
    Scale(Scale),
    Join(Pair, Activation),
    Concat,
    /// The same numbers; the channels are called by another order where there is one.
    Rename(Option<Vec<usize>>),
    Pool(Pooling, PoolSpec),
    PoolAll(Pooling),
    Resize(Resizing),
    Normalize(Normalize),
    Respond {
        size: usize,
        /// Alpha, beta and bias.
        by: (f32, f32, f32),
    },
    Softmax,
    /// Done by another value.
    Gone,
}

/// A convolution.
#[derive(Debug, Clone)]
pub(super) struct Convolve {
    pub window: Window,
    pub out_channels: usize,
    pub groups: usize,
    pub direction: Direction,
    pub weights: Weights,
    /// One number an output channel.
    pub bias: Vec<f32>,
    pub activation: Activation,
    /// What happens to the input on its way in.
    pub before: Option<Before>,
    /// Whether the last input is added to the sums.
    pub has_residual: bool,
}

impl Convolve {
    pub fn is_depthwise(&self, in_channels: usize) -> bool {
        self.groups > 1 && self.groups == in_channels && self.groups == self.out_channels
    }
}

/// A window over the axes of space.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub kernel: Extent,
    pub stride: Extent,
    pub dilation: Extent,
    pub pad_before: Extent,
    pub pad_after: Extent,
}

/// What stands before a convolution and is done while its input is read.
#[derive(Debug, Clone)]
pub(super) enum Before {
    Scale(Scale),
    Normalize(Normalize),
}

impl Before {
    pub fn activation(&self) -> &Activation {
        match self {
            Before::Scale(it) => &it.activation,
            Before::Normalize(it) => &it.activation,
        }
    }
}

/// `activation(scale * x + shift)`
#[derive(Debug, Clone)]
pub(super) struct Scale {
    /// One scale and one shift a channel; none for an activation alone.
    pub by: Option<(Vec<f32>, Vec<f32>)>,
    pub activation: Activation,
}

/// Mean and spread of each group of channels over an image become 0 and 1, then scale, shift and activation.
#[derive(Debug, Clone)]
pub(super) struct Normalize {
    pub groups: usize,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub epsilon: f32,
    pub activation: Activation,
}

/// Another extent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resizing {
    pub scales: Option<[f64; 3]>,
    pub way: (Interpolation, Coordinates),
}
