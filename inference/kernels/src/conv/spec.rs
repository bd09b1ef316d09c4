//! The shape of a convolution, and what follows from it.

use crate::error::{KernelError, LARGEST, LARGEST_PAD, product};
use crate::isa::Isa;
use crate::tensor::{Channels, Extent};

/// How a convolution's input lies in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// In blocks, with this map.
    Blocked(Channels),
    /// As `[channels, depth, height, width]`: so many channels, at most 16. A network's image comes like this.
    Plain(usize),
}

/// Which way the window goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Each output gathers from a window of inputs. Weights are `[out, in / groups, depth, height, width]`.
    #[default]
    Forward,
    /// Each input scatters to a window of outputs. Weights are `[in, out / groups, depth, height, width]`; `extra` rows,
    /// columns and planes are added after the last output.
    Transposed {
        /// ONNX's `output_padding`.
        extra: Extent,
    },
}

/// The shape of a convolution, as ONNX's Conv and ConvTranspose have it; an image has a depth of 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvolutionSpec {
    /// Channels of the input and how they lie.
    pub input: Input,
    /// Depth, height and width of the input.
    pub extent: Extent,
    /// Channels of the output.
    pub out_channels: usize,
    /// The window.
    pub kernel: Extent,
    /// Steps of the window (of the output, where transposed).
    pub stride: Extent,
    /// Steps within the window.
    pub dilation: Extent,
    /// Zeros before the first row, column and plane (outputs cut off, where transposed).
    pub pad_before: Extent,
    /// Zeros after the last.
    pub pad_after: Extent,
    /// Groups of channels that do not mix.
    pub groups: usize,
    /// Which way the window goes.
    pub direction: Direction,
}

impl ConvolutionSpec {
    /// A convolution of stride 1 without padding; the other fields are there to be changed.
    pub fn new(input: Input, extent: Extent, out_channels: usize, kernel: Extent) -> Self {
        ConvolutionSpec {
            input,
            extent,
            out_channels,
            kernel,
            stride: [1; 3],
            dilation: [1; 3],
            pad_before: [0; 3],
            pad_after: [0; 3],
            groups: 1,
            direction: Direction::Forward,
        }
    }

    /// The same with `pad` zeros on both sides.
    #[must_use]
    pub fn padded(self, pad: Extent) -> Self {
        ConvolutionSpec { pad_before: pad, pad_after: pad, ..self }
    }

    /// The same with these steps.
    #[must_use]
    pub fn strided(self, stride: Extent) -> Self {
        ConvolutionSpec { stride, ..self }
    }

    /// Channels of the input.
    pub fn in_channels(&self) -> usize {
        match &self.input {
            Input::Blocked(channels) => channels.count(),
            Input::Plain(count) => *count,
        }
    }

    /// Depth, height and width of the output.
    ///
    /// # Errors
    ///
    /// [`KernelError::Zero`], [`KernelError::TooLarge`], [`KernelError::Impossible`] where no output remains.
    pub fn output_extent(&self) -> Result<Extent, KernelError> {
        let mut out = [0; 3];
        for axis in 0..3 {
            let (size, kernel, stride) = (self.extent[axis], self.kernel[axis], self.stride[axis]);
            let (dilation, pads) = (self.dilation[axis], [self.pad_before[axis], self.pad_after[axis]]);
            if [size, kernel, stride, dilation].contains(&0) {
                return Err(KernelError::Zero("an extent, kernel, stride or dilation"));
            }
            let is_small = [size, kernel, stride, dilation].into_iter().all(|it| it <= LARGEST);
            if !is_small || pads.into_iter().any(|it| it > LARGEST_PAD) {
                return Err(KernelError::TooLarge);
            }
            let pad = pads[0] + pads[1];
            let window = product(&[dilation, kernel - 1])? + 1;
            out[axis] = match self.direction {
                Direction::Forward => {
                    let room = (size + pad).checked_sub(window);
                    room.ok_or(KernelError::Impossible("the window is larger than the padded input"))?
                        / stride
                        + 1
                }
                Direction::Transposed { extra } => {
                    if extra[axis] >= stride.max(dilation).max(2) {
                        return Err(KernelError::Impossible("more is added after the output than one step"));
                    }
                    let whole = product(&[size - 1, stride])? + window + extra[axis];
                    let left = whole.checked_sub(pad).filter(|left| *left > 0);
                    left.ok_or(KernelError::Impossible("the padding cuts off the whole output"))?
                }
            };
            if out[axis] > LARGEST {
                return Err(KernelError::TooLarge);
            }
        }
        Ok(out)
    }
}

/// When a convolution may be computed by Winograd's minimal filtering.
///
/// It needs a fifth to a quarter of the multiplications of a 3×3 convolution, nine sixteenths where that has a stride of 2, and a quarter of those of a plain input's 7×7 of
/// stride 2. It differs from the plain sum by some 10⁻⁶ of the layer's largest value, at the corners of tiles of six by up to 10⁻⁵ (the plain sum itself by some 10⁻⁷).
///
/// Whatever allows it allows Strassen's product in Winograd's form for 1×1 as well: seven eighths of the multiplications, wherever the shape allows if
/// a tile is named. Either spreads a value that is infinite or none to pixels beyond its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Winograd {
    /// Where it pays.
    #[default]
    Auto,
    /// Never: plain sums only.
    Never,
    /// By tiles of two wherever the shape allows.
    Two,
    /// By tiles of four wherever the shape allows.
    Four,
    /// By tiles of six wherever the shape allows.
    Six,
}

/// In which numbers a convolution's products are formed; sums, inputs and outputs are `f32` in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// IEEE 754 single precision.
    #[default]
    F32,
    /// Inputs and weights are rounded to bf16 (8 bits of significand) on their way in, where that is faster: the result differs
    /// by some 10⁻³ of the layer's largest value. Depthwise convolutions and Winograd's way stay with `f32`.
    Bf16,
}

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The instructions; the best that there are by default.
    pub isa: Isa,
    /// When Winograd's way is taken.
    pub winograd: Winograd,
    /// In which numbers.
    pub precision: Precision,
    /// Whether each run brings a [`Prologue`](super::Prologue) for the input.
    pub prologue: bool,
}

/// What follows from a specification once it is checked.
#[derive(Debug, Clone)]
pub(super) struct Geometry {
    pub spec: ConvolutionSpec,
    pub out: Extent,
    pub out_channels: Channels,
    /// Input channels of a group.
    pub group_in: usize,
    /// Output channels of a group.
    pub group_out: usize,
    /// Weights of one pair of channels.
    pub taps: usize,
}

impl Geometry {
    pub(super) fn new(spec: ConvolutionSpec) -> Result<Self, KernelError> {
        let out = spec.output_extent()?;
        let in_channels = spec.in_channels();
        if in_channels == 0 || spec.groups == 0 {
            return Err(KernelError::Zero("the number of channels or groups"));
        }
        if !in_channels.is_multiple_of(spec.groups) || !spec.out_channels.is_multiple_of(spec.groups) {
            return Err(KernelError::Impossible("the groups do not divide the channels"));
        }
        if matches!(spec.input, Input::Plain(count) if count > 16) {
            return Err(KernelError::Impossible("more than 16 plain channels"));
        }
        let [steps, taps] = [product(&spec.stride)?, product(&spec.kernel)?];
        if spec.direction != Direction::Forward && product(&[steps, taps])? > LARGEST {
            return Err(KernelError::TooLarge);
        }
        let (group_in, group_out) = (in_channels / spec.groups, spec.out_channels / spec.groups);
        // a depthwise convolution leaves every channel in its place; a transposed one writes them in order
        let is_depthwise =
            spec.groups > 1 && group_in == 1 && group_out == 1 && spec.direction == Direction::Forward;
        let out_channels = match (&spec.input, is_depthwise) {
            (Input::Blocked(channels), true) => channels.clone(),
            _ => Channels::dense(spec.out_channels)?,
        };
        let in_blocks = match &spec.input {
            Input::Blocked(channels) => channels.blocks(),
            Input::Plain(_) => 1,
        };
        // everything that is allocated or indexed below is a small multiple of these
        product(&[in_blocks, 16, spec.extent[0], spec.extent[1], spec.extent[2], 64])?;
        product(&[out_channels.blocks(), 16, out[0], out[1], out[2], 64])?;
        product(&[in_blocks + 1, out_channels.blocks() + 1, 256, taps, 64])?;
        Ok(Geometry { spec, out, out_channels, group_in, group_out, taps })
    }

    /// All weights.
    pub(super) fn weight_count(&self) -> usize {
        self.spec.out_channels * self.group_in * self.taps
    }

    /// Input blocks (one, where the input is plain).
    pub(super) fn in_blocks(&self) -> usize {
        match &self.spec.input {
            Input::Blocked(channels) => channels.blocks(),
            Input::Plain(_) => 1,
        }
    }

    /// Floats of one block of the input, and of the output.
    pub(super) fn block_len(&self) -> (usize, usize) {
        (self.spec.extent.iter().product::<usize>() * 16, self.out.iter().product::<usize>() * 16)
    }

    pub(super) fn is_depthwise(&self) -> bool {
        self.spec.groups > 1
            && self.group_in == 1
            && self.group_out == 1
            && self.spec.direction == Direction::Forward
            && matches!(self.spec.input, Input::Blocked(_))
    }

    pub(super) fn is_pointwise(&self) -> bool {
        self.spec.kernel == [1; 3]
            && self.spec.stride == [1; 3]
            && self.spec.pad_before == [0; 3]
            && self.spec.pad_after == [0; 3]
            && self.spec.direction == Direction::Forward
            && matches!(self.spec.input, Input::Blocked(_))
    }

    /// The weight between two channels at a place of the window; zero between groups.
    #[inline]
    pub(super) fn weight(&self, weights: &[f32], out: usize, channel: usize, tap: usize) -> f32 {
        if out >= self.spec.out_channels || out / self.group_out != channel / self.group_in {
            return 0.0;
        }
        let pair = match self.spec.direction {
            Direction::Forward => out * self.group_in + channel % self.group_in,
            Direction::Transposed { .. } => channel * self.group_out + out % self.group_out,
        };
        weights[pair * self.taps + tap]
    }
}
