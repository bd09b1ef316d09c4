//! Resize, as ONNX has it.

use kernels::{Coordinates, Interpolation};
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::nn::resize::{CoordTransformer, Interpolator};
use tract_onnx_opl::resize::{AspectRatio, CoordTransform, Nearest, Resize};

use super::constants;
use super::recognize::Graph;
use super::shape::Shape;
use super::unit::{Doing, Resizing, Unit};

/// A resizing that the kernels have: along the axes of space, by the nearest pixel or by straight lines.
pub(super) fn unit(graph: &Graph<'_>, node: &TypedNode, shape: Shape) -> Option<Unit> {
    let op = node.op_as::<Resize>()?;
    let is_ours = op.axes.is_none()
        && !op.antialias
        && !op.exclude_outside
        && op.keep_aspect_ratio_policy == AspectRatio::Stretch;
    if !is_ours {
        return None;
    }
    let coordinates = match &op.coord_transformer {
        CoordTransform::Plain(CoordTransformer::HalfPixel) => Coordinates::HalfPixel,
        CoordTransform::Plain(CoordTransformer::AlignCorners) => Coordinates::AlignCorners,
        CoordTransform::Plain(CoordTransformer::Asymmetric) => Coordinates::Asymmetric,
        CoordTransform::Plain(CoordTransformer::PytorchHalfPixel) => Coordinates::PytorchHalfPixel,
        _ => return None,
    };
    let interpolation = match (&op.interpolator, op.nearest) {
        (Interpolator::Linear, _) => Interpolation::Linear,
        (Interpolator::Nearest, Nearest::Floor) => Interpolation::NearestFloor,
        (Interpolator::Nearest, Nearest::Ceil) => Interpolation::NearestCeil,
        (Interpolator::Nearest, Nearest::RoundPreferFloor) => Interpolation::NearestPreferFloor,
        (Interpolator::Nearest, Nearest::RoundPreferCeil) => Interpolation::NearestPreferCeil,
        (Interpolator::Cubic, _) => return None,
    };
    let input = node.inputs[0];
    let from = graph.shape(input)?;
    let rank = graph.model.outlet_fact(input).ok()?.rank();
    let scales = op.optional_scales_input.and_then(|slot| {
        let scales = constants::numbers(graph, *node.inputs.get(slot)?)?;
        (scales.len() == rank).then_some(scales)
    });
    let scales = scales.map(|scales| {
        let mut all = [1.0; 3];
        let space = &scales[2..];
        all[3 - space.len()..].iter_mut().zip(space).for_each(|(it, scale)| *it = f64::from(*scale));
        all
    });
    let resize =
        kernels::Resize::new((from.extent, shape.extent), scales, (interpolation, coordinates), graph.isa);
    let is_possible = from.channels == shape.channels && resize.is_ok();
    let resizing = Resizing { scales, way: (interpolation, coordinates) };
    is_possible.then(|| Unit::of(Doing::Resize(resizing), vec![input]))
}
