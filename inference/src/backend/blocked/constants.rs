//! What a network's constants are once the few operators between them and their use are done.

use std::sync::Arc;

use tract_onnx::tract_core::internal::*;

/// Operators between a constant and its use; weights go through three (groups split, turned, merged).
const DEEPEST: usize = 8;

/// Numbers of a constant that is reckoned out: 1 GiB of them. A file may declare any.
const MOST_NUMBERS: i64 = 1 << 28;

/// The value of an outlet that hangs on constants alone.
pub(super) fn tensor(model: &TypedModel, outlet: OutletId) -> Option<Arc<Tensor>> {
    to_depth(model, outlet, DEEPEST)
}

fn to_depth(model: &TypedModel, outlet: OutletId, depth: usize) -> Option<Arc<Tensor>> {
    if let Some(value) = &model.outlet_fact(outlet).ok()?.konst {
        return Some(Arc::clone(value));
    }
    let node = model.node(outlet.node);
    let numbers = node.outputs[outlet.slot].fact.shape.volume().to_i64().ok()?;
    if depth == 0 || node.inputs.is_empty() || numbers > MOST_NUMBERS {
        return None;
    }
    let inputs = node.inputs.iter().map(|input| Some(to_depth(model, *input, depth - 1)?.into_tvalue()));
    let outputs = node.op.eval_out_of_plan(inputs.collect::<Option<_>>()?).ok()??;
    outputs.into_iter().nth(outlet.slot).map(TValue::into_arc_tensor)
}

/// The numbers of a constant in 32 bits.
pub(super) fn numbers(model: &TypedModel, outlet: OutletId) -> Option<Vec<f32>> {
    let tensor = tensor(model, outlet)?;
    Some(tensor.to_plain_array_view::<f32>().ok()?.iter().copied().collect())
}

/// A constant that is one number.
pub(super) fn scalar(model: &TypedModel, outlet: OutletId) -> Option<f32> {
    match numbers(model, outlet)?.as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}

/// A constant of one number, or of one a channel: `[1, channels, 1 …]`, as one number a channel.
pub(super) fn per_channel(model: &TypedModel, outlet: OutletId, channels: usize) -> Option<Vec<f32>> {
    let tensor = tensor(model, outlet)?;
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
