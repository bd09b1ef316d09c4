//! Which of tract's operators have a kernel of ours.
//!
//! The graph is looked at as it was read: there a convolution is still a convolution, whatever its window, and every
//! value has its images and channels in front. tract's own rewriting comes later, for what no region covers.

use std::collections::HashSet;

use kernels::{Activation, Direction, Extent, Pair, Pool, PoolSpec, Pooling};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::array::{Pad, PadMode, TypedConcat};
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cnn::{
    Conv, Deconv, KernelFormat, MaxPool, PaddingSpec, PoolSpec as TractPool, SumPool,
};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::logic::Iff;
use tract_onnx::tract_core::ops::nn::gelu_approximate::GeluApproximate;
use tract_onnx::tract_core::ops::nn::{DataFormat, LeakyRelu, Reduce, Reducer, Softmax, SoftmaxKind};
use tract_onnx_opl::lrn::Lrn;

use super::given::Given;
use super::patterns;
use super::shape::{Frame, Shape, filled};
use super::unit::{Convolve, Doing, Scale, Unit, Window};
use super::weights::Weights;
use super::{constants, resizing};

/// Zeros before and after each axis of space.
type Pads = (Extent, Extent);

/// A graph that is looked at.
pub(super) struct Graph<'m> {
    pub model: &'m TypedModel,
    pub given: &'m Given<'m>,
    pub frame: Frame,
    pub isa: kernels::Isa,
    /// Nodes that the kernels have refused: they stay tract's.
    pub refused: &'m HashSet<usize>,
}

impl Graph<'_> {
    pub fn shape(&self, outlet: OutletId) -> Option<Shape> {
        self.frame.shape(self.model.outlet_fact(outlet).ok()?)
    }

    /// Whether nobody but one input of one node needs the outlet.
    pub fn has_one_user(&self, outlet: OutletId) -> bool {
        self.model.outlet_successors(outlet).len() == 1 && !self.model.outputs.contains(&outlet)
    }

    /// The operator that gives an outlet, where it is one of this kind.
    pub fn op<T: TypedOp>(&self, outlet: OutletId) -> Option<&T> {
        self.model.node(outlet.node).op_as::<T>()
    }

    /// The name of an operator on each number for itself, and its input.
    pub fn curve(&self, outlet: OutletId) -> Option<(String, OutletId)> {
        let name = self.op::<ElementWiseOp>(outlet)?.0.name();
        Some((name, self.model.node(outlet.node).inputs[0]))
    }

    /// The name of an operator on two numbers, and its inputs.
    pub fn pair(&self, outlet: OutletId) -> Option<(&'static str, OutletId, OutletId)> {
        let name = self.op::<TypedBinOp>(outlet)?.0.name();
        let inputs = &self.model.node(outlet.node).inputs;
        Some((name, inputs[0], inputs[1]))
    }

    /// What a node is to us; none for one that stays tract's.
    pub fn unit(&self, node: &TypedNode) -> Option<Unit> {
        let outlet = OutletId::new(node.id, 0);
        let others = 1..node.outputs.len();
        let is_alone = others.map(|slot| OutletId::new(node.id, slot)).all(|other| {
            self.model.outlet_successors(other).is_empty() && !self.model.outputs.contains(&other)
        });
        let is_refused = self.refused.contains(&node.id);
        if !is_alone || is_refused || node.inputs.is_empty() || constants::is_constant(self, outlet) {
            return None;
        }
        let shape = self.shape(outlet)?;
        let input = node.inputs[0];
        if let Some(op) = node.op_as::<Conv>() {
            return self.convolution(op, node, shape);
        }
        if let Some(op) = node.op_as::<Deconv>() {
            return self.transposed(op, node, shape);
        }
        if node.op_is::<TypedBinOp>() {
            return patterns::of_pair(self, outlet).or_else(|| self.of_pair(outlet, shape));
        }
        if let Some(op) = node.op_as::<ElementWiseOp>() {
            self.shape(input)?;
            return Some(Unit::activation(activation(op)?, input));
        }
        if let Some(op) = node.op_as::<MaxPool>() {
            return self.pool(Pooling::Max, &op.pool_spec, input, shape);
        }
        if let Some(op) = node.op_as::<SumPool>() {
            let pooling = if op.count_include_pad { Pooling::AveragePadded } else { Pooling::Average };
            return if op.normalize { self.pool(pooling, &op.pool_spec, input, shape) } else { None };
        }
        if let Some(op) = node.op_as::<Reduce>() {
            self.shape(input)?;
            let is_over_space = op.axes.iter().copied().eq(self.frame.axes());
            return (op.reducer == Reducer::Max && is_over_space)
                .then(|| Unit::of(Doing::PoolAll(Pooling::Max), vec![input]));
        }
        if let Some(op) = node.op_as::<TypedConcat>() {
            let is_of_values =
                |it: &OutletId| self.shape(*it).is_some() && !constants::is_constant(self, *it);
            return (op.axis == 1 && node.inputs.iter().all(is_of_values))
                .then(|| Unit::of(Doing::Concat, node.inputs.to_vec()));
        }
        if let Some(op) = node.op_as::<Softmax>() {
            let is_over_channels = *op.axes == [1] && op.kind == SoftmaxKind::Softmax;
            return is_over_channels.then(|| Unit::of(Doing::Softmax, vec![input]));
        }
        if let Some(op) = node.op_as::<Lrn>() {
            let doing = Doing::Respond { size: op.size, by: (op.alpha, op.beta, op.bias) };
            return Some(Unit::of(doing, vec![input]));
        }
        if node.op_is::<Iff>() {
            return patterns::leaky_by_channel(self, node, shape);
        }
        if node.op_is::<EinSum>() {
            return patterns::dense(self, node, shape);
        }
        if node.op_is::<AxisOp>() {
            return patterns::renaming(self, outlet, shape);
        }
        if ["Identity", "Dropout"].contains(&node.op.name().as_ref()) {
            return (self.shape(input)? == shape).then(|| Unit::of(Doing::Rename(None), vec![input]));
        }
        resizing::unit(self, node, shape)
    }

    fn convolution(&self, op: &Conv, node: &TypedNode, shape: Shape) -> Option<Unit> {
        let is_ours = op.q_params.is_none()
            && op.kernel_fmt == KernelFormat::OIHW
            && op.pool_spec.data_format == DataFormat::NCHW;
        if !is_ours {
            return None;
        }
        // tract leaves a Pad in front of the convolution that could do it
        let (input, absorbed, pads) = match self.zeros_around(node.inputs[0]) {
            Some((input, pads)) => (input, vec![node.inputs[0].node], Some(pads)),
            None => (node.inputs[0], Vec::new(), None),
        };
        let mut window = self.window(&op.pool_spec, node.inputs[0])?;
        if let Some((before, after)) = pads {
            for axis in 0..3 {
                window.pad_before[axis] += before[axis];
                window.pad_after[axis] += after[axis];
            }
        }
        let convolve = Convolve {
            window,
            out_channels: op.pool_spec.output_channels,
            groups: op.group,
            direction: Direction::Forward,
            weights: self.weights(node.inputs[1]).map(Weights::of)?,
            bias: self.bias(node.inputs[2], shape.channels)?,
            activation: Activation::None,
            before: None,
            has_residual: false,
        };
        self.fits(&convolve, input, shape)?;
        Some(Unit { doing: Doing::Convolve(Box::new(convolve)), inputs: vec![input], absorbed })
    }

    fn transposed(&self, op: &Deconv, node: &TypedNode, shape: Shape) -> Option<Unit> {
        let spec = &op.pool_spec;
        if op.kernel_format != KernelFormat::OIHW || spec.data_format != DataFormat::NCHW {
            return None;
        }
        let input = self.model.outlet_fact(node.inputs[0]).ok()?;
        let sides = input.shape.as_concrete()?;
        let padding = spec.padding.compute_for_deconv(
            &sides[2..],
            &spec.kernel_shape,
            &spec.dilations(),
            &spec.strides(),
            &op.adjustments,
        );
        let padding = padding.ok()?;
        let side = |of: &dyn Fn(usize) -> usize| (0..padding.len()).map(of).collect::<Vec<_>>();
        let window = Window {
            kernel: filled(&spec.kernel_shape, 1),
            stride: filled(&spec.strides(), 1),
            dilation: filled(&spec.dilations(), 1),
            pad_before: filled(&side(&|axis| padding[axis].pad_before), 0),
            pad_after: filled(&side(&|axis| padding[axis].pad_after), 0),
        };
        let (ins, outs, groups) = (spec.input_channels, spec.output_channels, op.group);
        if groups == 0 || !ins.is_multiple_of(groups) || !outs.is_multiple_of(groups) {
            return None;
        }
        let convolve = Convolve {
            window,
            out_channels: outs,
            groups,
            direction: Direction::Transposed { extra: filled(&op.adjustments, 0) },
            weights: self.weights(node.inputs[1]).map(Weights::of_deconv)?,
            bias: self.bias(node.inputs[2], shape.channels)?,
            activation: Activation::None,
            before: None,
            has_residual: false,
        };
        self.fits(&convolve, node.inputs[0], shape)?;
        Some(Unit::of(Doing::Convolve(Box::new(convolve)), vec![node.inputs[0]]))
    }

    /// An outlet of 32-bit numbers that hangs on constants alone.
    pub fn weights(&self, outlet: OutletId) -> Option<OutletId> {
        let is_float = self.model.outlet_fact(outlet).ok()?.datum_type == f32::datum_type();
        (is_float && constants::is_constant(self, outlet)).then_some(outlet)
    }

    /// One number a channel; tract has one for all where a convolution has none of its own.
    fn bias(&self, outlet: OutletId, channels: usize) -> Option<Vec<f32>> {
        let bias = constants::numbers(self, outlet)?;
        match bias.as_slice() {
            [one] => Some(vec![*one; channels]),
            _ => (bias.len() == channels).then_some(bias),
        }
    }

    /// Whether our convolution has the output that tract's has.
    fn fits(&self, convolve: &Convolve, input: OutletId, shape: Shape) -> Option<()> {
        let input = self.shape(input)?;
        let mut spec = kernels::ConvolutionSpec::new(
            kernels::Input::Blocked(kernels::Channels::dense(input.channels).ok()?),
            input.extent,
            convolve.out_channels,
            convolve.window.kernel,
        );
        convolve.shape_of(&mut spec);
        let is_same = spec.output_extent().ok()? == shape.extent && convolve.out_channels == shape.channels;
        is_same.then_some(())
    }

    /// A pad of zeros around the axes of space that only this outlet's user needs: what is padded, and by how much.
    fn zeros_around(&self, outlet: OutletId) -> Option<(OutletId, Pads)> {
        let pad = self.op::<Pad>(outlet)?;
        let PadMode::Constant(value) = &pad.mode else { return None };
        let is_zero = value.cast_to_scalar::<f32>().ok()? == 0.0;
        let is_in_space = pad.pads.iter().take(2).all(|it| *it == (0, 0));
        if !is_zero || !is_in_space || !self.has_one_user(outlet) {
            return None;
        }
        let input = self.model.node(outlet.node).inputs[0];
        self.shape(input)?;
        let sides = |of: &dyn Fn(&(usize, usize)) -> usize| {
            filled(&pad.pads.iter().skip(2).map(of).collect::<Vec<_>>(), 0)
        };
        Some((input, (sides(&|it| it.0), sides(&|it| it.1))))
    }

    fn window(&self, spec: &TractPool, input: OutletId) -> Option<Window> {
        if spec.data_format != DataFormat::NCHW {
            return None;
        }
        let sides = self.model.outlet_fact(input).ok()?.shape.as_concrete()?;
        let padding = spec.computed_padding(&sides[2..]);
        let side = |of: &dyn Fn(usize) -> usize| (0..padding.len()).map(of).collect::<Vec<_>>();
        Some(Window {
            kernel: filled(&spec.kernel_shape, 1),
            stride: filled(&spec.strides(), 1),
            dilation: filled(&spec.dilations(), 1),
            pad_before: filled(&side(&|axis| padding[axis].pad_before), 0),
            pad_after: filled(&side(&|axis| padding[axis].pad_after), 0),
        })
    }

    fn pool(&self, pooling: Pooling, spec: &TractPool, input: OutletId, shape: Shape) -> Option<Unit> {
        let window = self.window(spec, input)?;
        let spec = PoolSpec {
            extent: self.shape(input)?.extent,
            kernel: window.kernel,
            stride: window.stride,
            dilation: window.dilation,
            pad_before: window.pad_before,
            pad_after: window.pad_after,
            keeps_last: matches!(spec.padding, PaddingSpec::ExplicitOnnxPool(_, _, true)),
        };
        let pool = Pool::new(pooling, spec, self.isa).ok()?;
        (pool.output_extent() == shape.extent).then(|| Unit::of(Doing::Pool(pooling, spec), vec![input]))
    }

    /// Two numbers to one: with a constant it is a scale, a shift or a bound.
    fn of_pair(&self, outlet: OutletId, shape: Shape) -> Option<Unit> {
        let (name, left, right) = self.pair(outlet)?;
        let constant = |it| constants::per_channel(self, it, shape.channels);
        if let Some(by) = constant(right) {
            return (self.shape(left)? == shape).then(|| by_constant(name, &by, false, left)).flatten();
        }
        if let Some(by) = constant(left) {
            return (self.shape(right)? == shape).then(|| by_constant(name, &by, true, right)).flatten();
        }
        let pair = match name {
            "Add" => Pair::Add,
            "Mul" => Pair::Multiply,
            _ => return None,
        };
        let (one, other) = (self.shape(left)?, self.shape(right)?);
        let pixel = Shape { extent: [1; 3], ..shape };
        let inputs = match (one == shape, other == shape) {
            (true, true) => vec![left, right],
            (true, false) if other == pixel => vec![left, right],
            (false, true) if one == pixel => vec![right, left],
            _ => return None,
        };
        Some(Unit::of(Doing::Join(pair, Activation::None), inputs))
    }
}

impl Convolve {
    /// Writes window, groups and direction into a specification.
    pub fn shape_of(&self, spec: &mut kernels::ConvolutionSpec) {
        spec.stride = self.window.stride;
        spec.dilation = self.window.dilation;
        spec.pad_before = self.window.pad_before;
        spec.pad_after = self.window.pad_after;
        spec.groups = self.groups;
        spec.direction = self.direction;
    }
}

/// `name(x, by)`, or `name(by, x)` where the constant stands first.
fn by_constant(name: &str, by: &[f32], is_first: bool, input: OutletId) -> Option<Unit> {
    let all = |value: f32| vec![value; by.len()];
    let each = |of: &dyn Fn(f32) -> f32| by.iter().map(|it| of(*it)).collect::<Vec<_>>();
    let is_one_number = by.iter().all(|it| *it == by[0]);
    let (scale, shift) = match (name, is_first) {
        ("Mul", _) => (by.to_vec(), all(0.0)),
        ("Add", _) => (all(1.0), by.to_vec()),
        ("Sub", false) | ("SubF", true) => (all(1.0), each(&|it| -it)),
        ("Sub", true) | ("SubF", false) => (all(-1.0), by.to_vec()),
        ("Div", false) => (each(&|it| 1.0 / it), all(0.0)),
        ("Max", _) if is_one_number => {
            let bound = if by[0] == 0.0 {
                Activation::Relu
            } else {
                Activation::Clip { min: by[0], max: f32::INFINITY }
            };
            return Some(Unit::activation(bound, input));
        }
        ("Min", _) if is_one_number => {
            return Some(Unit::activation(Activation::Clip { min: f32::NEG_INFINITY, max: by[0] }, input));
        }
        _ => return None,
    };
    if !scale.iter().chain(&shift).all(|it| it.is_finite()) {
        return None;
    }
    Some(Unit::of(
        Doing::Scale(Scale { by: Some((scale, shift)), activation: Activation::None }),
        vec![input],
    ))
}

fn activation(op: &ElementWiseOp) -> Option<Activation> {
    if let Some(leaky) = op.0.downcast_ref::<LeakyRelu>() {
        return Some(Activation::LeakyRelu(leaky.alpha));
    }
    if let Some(gelu) = op.0.downcast_ref::<GeluApproximate>() {
        return (!gelu.fast_impl).then_some(Activation::GeluTanh);
    }
    Some(match op.0.name().as_str() {
        "Sigmoid" => Activation::Sigmoid,
        "Tanh" => Activation::Tanh,
        "HardSwish" => Activation::HardSwish,
        "Silu" => Activation::Silu,
        _ => return None,
    })
}
