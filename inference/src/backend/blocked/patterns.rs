//! Operators that reach tract in pieces, found by their shape.

use kernels::{Activation, Direction, Pooling};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

use super::constants;
use super::recognize::Graph;
use super::shape::Shape;
use super::unit::{Convolve, Doing, Normalize, Unit, Window};
use super::weights::Weights;

/// Views of axes one after another that are followed.
const LONGEST: usize = 8;
/// Numbers that are tried out to see what a view of axes does: 64 MiB of them.
const MOST_NUMBERS: usize = 1 << 23;

/// What ends in a sum, a product or a quotient.
pub(super) fn of_pair(graph: &Graph<'_>, outlet: OutletId) -> Option<Unit> {
    match graph.pair(outlet)?.0 {
        "Mul" => silu(graph, outlet),
        "Div" => {
            let (input, sum) = mean(graph, outlet)?;
            let unit =
                Unit { doing: Doing::PoolAll(Pooling::Average), inputs: vec![input], absorbed: vec![sum] };
            graph.shape(input)?;
            closed(graph, unit, outlet)
        }
        "Add" => instance_normalization(graph, outlet),
        _ => None,
    }
}

/// The unit, if nobody outside of it needs what it absorbs.
fn closed(graph: &Graph<'_>, unit: Unit, last: OutletId) -> Option<Unit> {
    let is_inside = |node: usize| node == last.node || unit.absorbed.contains(&node);
    let is_closed = unit.absorbed.iter().all(|node| {
        let outlet = OutletId::new(*node, 0);
        !graph.model.outputs.contains(&outlet)
            && graph.model.outlet_successors(outlet).iter().all(|user| is_inside(user.node))
    });
    is_closed.then_some(unit)
}

/// `x * sigmoid(x)`
fn silu(graph: &Graph<'_>, outlet: OutletId) -> Option<Unit> {
    let (_, left, right) = graph.pair(outlet)?;
    for (x, bent) in [(left, right), (right, left)] {
        if graph.curve(bent).is_some_and(|(name, of)| name == "Sigmoid" && of == x)
            && graph.shape(x).is_some()
        {
            let unit = Unit { absorbed: vec![bent.node], ..Unit::activation(Activation::Silu, x) };
            return closed(graph, unit, outlet);
        }
    }
    None
}

/// A mean over all axes of space: what it is of, and the node that sums.
fn mean(graph: &Graph<'_>, outlet: OutletId) -> Option<(OutletId, usize)> {
    let ("Div", sum, count) = graph.pair(outlet)? else { return None };
    let reduce = graph.op::<Reduce>(sum)?;
    let input = graph.model.node(sum.node).inputs[0];
    let sides = graph.model.outlet_fact(input).ok()?.shape.as_concrete()?;
    let is_over_space = reduce.reducer == Reducer::Sum && reduce.axes.iter().copied().eq(2..sides.len());
    let pixels: usize = sides.get(2..)?.iter().product();
    (is_over_space && constants::scalar(graph, count)? == pixels as f32).then_some((input, sum.node))
}

/// A product or sum of a value and a constant of one number a channel: the value, and the numbers.
fn with_constant(
    graph: &Graph<'_>,
    outlet: OutletId,
    wanted: &str,
    channels: usize,
) -> Option<(OutletId, Vec<f32>)> {
    let (name, left, right) = graph.pair(outlet)?;
    if name != wanted {
        return None;
    }
    [(left, right), (right, left)]
        .into_iter()
        .find_map(|(value, constant)| Some((value, constants::per_channel(graph, constant, channels)?)))
}

/// `(x - mean) * rsqrt(variance + epsilon) * gamma + beta`, as tract takes InstanceNormalization apart.
fn instance_normalization(graph: &Graph<'_>, outlet: OutletId) -> Option<Unit> {
    let shape = graph.shape(outlet)?;
    let (scaled, beta) = with_constant(graph, outlet, "Add", shape.channels)?;
    let (divided, gamma) = with_constant(graph, scaled, "Mul", shape.channels)?;
    let ("Mul", left, right) = graph.pair(divided)? else { return None };
    let (difference, root, sane) = [(left, right), (right, left)].into_iter().find_map(|(one, other)| {
        let (name, of) = graph.curve(other)?;
        (name == "Rsqrt").then_some((one, other, of))
    })?;
    let ("Sub", x, average) = graph.pair(difference)? else { return None };
    let (of, sum) = mean(graph, average)?;
    let ("Add", one, other) = graph.pair(sane)? else { return None };
    let (variance, epsilon) = [(one, other), (other, one)]
        .into_iter()
        .find_map(|(value, constant)| Some((value, constants::scalar(graph, constant)?)))?;
    let (squares, square_sum) = mean(graph, variance)?;
    let (name, squared) = graph.curve(squares)?;
    if of != x || name != "Square" || squared != difference || graph.shape(x)? != shape {
        return None;
    }
    let normalize = Normalize { groups: shape.channels, gamma, beta, epsilon, activation: Activation::None };
    let between = [scaled, divided, root, sane, variance, squares, difference, average];
    let mut absorbed: Vec<usize> = between.iter().map(|it| it.node).collect();
    absorbed.extend([sum, square_sum]);
    closed(graph, Unit { doing: Doing::Normalize(normalize), inputs: vec![x], absorbed }, outlet)
}

/// PRelu: `slope * x` where zero is above `x`, else `x`.
pub(super) fn leaky_by_channel(graph: &Graph<'_>, node: &TypedNode, shape: Shape) -> Option<Unit> {
    let [test, product, x] = node.inputs[..] else { return None };
    let (name, zero, of) = graph.pair(test)?;
    let is_test = name == "GT" && of == x && constants::scalar(graph, zero)? == 0.0;
    let (value, slopes) = with_constant(graph, product, "Mul", shape.channels)?;
    if !is_test || value != x || graph.shape(x)? != shape {
        return None;
    }
    let unit =
        Unit { absorbed: vec![test.node, product.node], ..Unit::activation(Activation::PRelu(slopes), x) };
    closed(graph, unit, OutletId::new(node.id, 0))
}

/// A product with a matrix of constants: a convolution of one pixel, or of a whole image that was flattened before.
pub(super) fn dense(graph: &Graph<'_>, node: &TypedNode, shape: Shape) -> Option<Unit> {
    let op = node.op_as::<EinSum>()?;
    let axes = op.axes.to_string();
    let (inputs, out) = axes.split_once("->")?;
    let (data, matrix) = inputs.split_once(',')?;
    let two = |text: &str| -> Option<[char; 2]> { text.chars().collect::<Vec<_>>().try_into().ok() };
    let ([row, inner], matrix_axes, out_axes) = (two(data)?, two(matrix)?, two(out)?);
    let is_turned = match (matrix_axes, out_axes) {
        ([a, b], [c, d]) if c == row && b == inner && a == d => false,
        ([a, b], [c, d]) if c == row && a == inner && b == d => true,
        _ => return None,
    };
    if op.q_params.is_some() || row == inner || node.inputs.len() != 2 || shape.extent != [1; 3] {
        return None;
    }
    let flat = graph.shape(node.inputs[0])?;
    let weights = graph.weights(node.inputs[1])?;
    let weights = if is_turned { Weights::turned(weights) } else { Weights::of(weights) };
    let outs = shape.channels;
    let numbers = graph.model.outlet_fact(node.inputs[1]).ok()?.shape.volume().to_usize().ok()?;
    if flat.extent != [1; 3] || numbers != flat.channels * outs {
        return None;
    }
    let (input, extent, absorbed) = match flattened(graph, node.inputs[0]) {
        Some((input, shape, absorbed)) => (input, shape.extent, absorbed),
        None => (node.inputs[0], [1; 3], Vec::new()),
    };
    let none = [0; 3];
    let convolve = Convolve {
        window: Window {
            kernel: extent,
            stride: [1; 3],
            dilation: [1; 3],
            pad_before: none,
            pad_after: none,
        },
        out_channels: outs,
        groups: 1,
        direction: Direction::Forward,
        weights,
        bias: vec![0.0; outs],
        activation: Activation::None,
        before: None,
        has_residual: false,
    };
    let unit = Unit { doing: Doing::Convolve(Box::new(convolve)), inputs: vec![input], absorbed };
    closed(graph, unit, OutletId::new(node.id, 0))
}

/// Views of axes that end in `outlet`: what they are a view of, and their nodes.
fn views(
    graph: &Graph<'_>,
    outlet: OutletId,
    is_start: impl Fn(OutletId) -> bool,
) -> Option<(OutletId, Vec<usize>)> {
    let (mut at, mut nodes) = (outlet, Vec::new());
    while graph.op::<AxisOp>(at).is_some() && nodes.len() < LONGEST {
        nodes.push(at.node);
        at = graph.model.node(at.node).inputs[0];
        if is_start(at) {
            return Some((at, nodes));
        }
        if !graph.has_one_user(at) {
            return None;
        }
    }
    None
}

/// An image whose numbers were brought into one line: the image.
fn flattened(graph: &Graph<'_>, outlet: OutletId) -> Option<(OutletId, Shape, Vec<usize>)> {
    let numbers = graph.shape(outlet)?.channels;
    let is_image =
        |it: OutletId| graph.shape(it).is_some_and(|shape| shape.extent != [1; 3] && shape.len() == numbers);
    let (image, nodes) = views(graph, outlet, is_image)?;
    // a view that turns axes would bring them into another order
    let is_plain =
        nodes.iter().all(|node| !matches!(graph.model.node(*node).op_as(), Some(AxisOp::Move(..))));
    (is_plain && graph.has_one_user(outlet)).then_some((image, graph.shape(image)?, nodes))
}

/// Views of axes after which every channel is whole again: a flattening of one pixel, or a shuffle of channels.
pub(super) fn renaming(graph: &Graph<'_>, outlet: OutletId, shape: Shape) -> Option<Unit> {
    let (image, nodes) = views(graph, outlet, |it| graph.shape(it) == Some(shape))?;
    if graph.frame.images != 1 {
        return None;
    }
    let mut sides = graph.model.outlet_fact(image).ok()?.shape.as_concrete()?.to_vec();
    let space = graph.frame.axes();
    // what leaves the axes of space alone does the same to an image of one pixel
    if sides.len() == space.end && nodes.iter().all(|node| leaves_space(graph, graph.model.node(*node))) {
        sides[space].fill(1);
    }
    let numbers: usize = sides.iter().product();
    if numbers > MOST_NUMBERS {
        return None;
    }
    let pixels = numbers / shape.channels;
    let places: Vec<i64> = (0..numbers as i64).collect();
    let mut value = Tensor::from_shape(&sides, &places).ok()?.into_tvalue();
    for node in nodes.iter().rev() {
        value = graph.model.node(*node).op.eval_out_of_plan(tvec!(value)).ok()??.into_iter().next()?;
    }
    let view = value.to_plain_array_view::<i64>().ok()?;
    let moved: Vec<usize> = view.iter().map(|place| *place as usize).collect();
    let mut order = Vec::with_capacity(shape.channels);
    for channel in moved.chunks_exact(pixels) {
        let is_whole = channel.iter().enumerate().all(|(index, place)| *place == channel[0] + index);
        if !is_whole || !channel[0].is_multiple_of(pixels) {
            return None;
        }
        order.push(channel[0] / pixels);
    }
    let is_in_order = order.iter().copied().eq(0..shape.channels);
    let absorbed = nodes[1..].to_vec();
    let unit = Unit { doing: Doing::Rename((!is_in_order).then_some(order)), inputs: vec![image], absorbed };
    closed(graph, unit, outlet)
}

/// Whether a view changes only axes before those of space, which come last.
fn leaves_space(graph: &Graph<'_>, node: &TypedNode) -> bool {
    let Ok(fact) = graph.model.outlet_fact(node.inputs[0]) else { return false };
    let front = fact.rank().saturating_sub(graph.frame.axes().len());
    match node.op_as::<AxisOp>() {
        Some(AxisOp::Add(at)) => *at < front,
        Some(AxisOp::Rm(at)) => *at < front,
        Some(AxisOp::Move(from, to)) => *from.max(to) < front,
        Some(AxisOp::Reshape(at, from, _)) => at + from.len() <= front,
        None => false,
    }
}
