//! What a network's constants are once the few operators between them and their use are done.

use std::sync::Arc;

use tract_onnx::tract_core::internal::*;

use super::recognize::Graph;

/// Operators between a constant and its use; weights go through three (groups split, turned, merged).
const DEEPEST: usize = 8;

/// Numbers of a constant that is reckoned out: 1 GiB of them. A file may declare any.
const MOST_NUMBERS: i64 = 1 << 28;

/// Whether an outlet hangs on constants alone.
pub(super) fn is_constant(graph: &Graph<'_>, outlet: OutletId) -> bool {
    is_constant_to_depth(graph, outlet, DEEPEST)
}

fn is_constant_to_depth(graph: &Graph<'_>, outlet: OutletId, depth: usize) -> bool {
    let Ok(fact) = graph.model.outlet_fact(outlet) else { return false };
    if fact.konst.is_some() || graph.given.has(outlet) {
        return true;
    }
    let node = graph.model.node(outlet.node);
    depth > 0
        && !node.inputs.is_empty()
        && node.inputs.iter().all(|input| is_constant_to_depth(graph, *input, depth - 1))
        && fact.shape.volume().to_i64().is_ok_and(|numbers| numbers <= MOST_NUMBERS)
}

/// The value of an outlet that hangs on constants alone.
pub(super) fn tensor(graph: &Graph<'_>, outlet: OutletId) -> Option<Arc<Tensor>> {
    is_constant(graph, outlet).then(|| reckoned(graph, outlet))?
}

fn reckoned(graph: &Graph<'_>, outlet: OutletId) -> Option<Arc<Tensor>> {
    if let Some(value) = &graph.model.outlet_fact(outlet).ok()?.konst {
        return Some(Arc::clone(value));
    }
    if graph.given.has(outlet) {
        return graph.given.tensor(graph.model, outlet);
    }
    let node = graph.model.node(outlet.node);
    let inputs = node.inputs.iter().map(|input| Some(reckoned(graph, *input)?.into_tvalue()));
    let outputs = node.op.eval_out_of_plan(inputs.collect::<Option<_>>()?).ok()??;
    outputs.into_iter().nth(outlet.slot).map(TValue::into_arc_tensor)
}

/// The numbers of a constant in 32 bits.
pub(super) fn numbers(graph: &Graph<'_>, outlet: OutletId) -> Option<Vec<f32>> {
    if let Some(numbers) = graph.given.numbers(outlet) {
        return Some(numbers);
    }
    let tensor = tensor(graph, outlet)?;
    Some(tensor.to_plain_array_view::<f32>().ok()?.iter().copied().collect())
}

/// A constant that is one number.
pub(super) fn scalar(graph: &Graph<'_>, outlet: OutletId) -> Option<f32> {
    match numbers(graph, outlet)?.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}

/// A constant of one number, or of one a channel: `[1, channels, 1 …]`, as one number a channel.
pub(super) fn per_channel(graph: &Graph<'_>, outlet: OutletId, channels: usize) -> Option<Vec<f32>> {
    let tensor = tensor(graph, outlet)?;
    let values: Vec<f32> = tensor.to_plain_array_view::<f32>().ok()?.iter().copied().collect();
    if let [one] = values.as_slice() {
        return Some(vec![*one; channels]);
    }
    let is_per_channel = tensor.rank() >= 2
        && tensor
            .shape()
            .iter()
            .enumerate()
            .all(|(axis, side)| *side == if axis == 1 { channels } else { 1 });
    is_per_channel.then_some(values)
}
