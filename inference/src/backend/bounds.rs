//! What no network asks for: windows and steps wider than any image, values larger than its card's memory.
//!
//! Runtimes list every place of a window and make room for every value before they see that neither can be: some of them
//! for minutes. Here it is seen from the numbers alone: windows before any runtime, values by those of the binary, once the
//! graph is read. What a runtime makes of constants meanwhile is bounded by the child that it is proved in.

use tract_onnx::pb;
use tract_onnx::prelude::TypedModel;

use super::onnx_file::{nodes, shown};

/// The widest window, step or border, in pixels.
const WIDEST: i64 = 1 << 20;
/// The most places of a window.
const PLACES: i64 = 1 << 24;
/// The attributes that are counted in pixels, or in channels, with their least value.
const COUNTED: [(&str, i64); 7] = [
    ("kernel_shape", 1),
    ("strides", 1),
    ("dilations", 1),
    ("pads", -WIDEST),
    ("output_padding", 0),
    ("output_shape", 1),
    ("group", 1),
];

/// `Ok` if every window, step and border of a network is one that an image may have.
///
/// # Errors
///
/// The operator, and what it has instead.
pub(super) fn check_windows(model: &pb::ModelProto) -> Result<(), String> {
    // Other domains mean by these names what they like.
    for node in nodes(model).filter(|node| matches!(node.domain.as_str(), "" | "ai.onnx")) {
        let wrong = |what: String| {
            let output = node.output.first().map_or("", String::as_str);
            Err(format!("its {} that gives {:?} has {what}", shown(&node.op_type), shown(output)))
        };
        // Within a function an attribute may refer to one of its caller's, and holds nothing itself.
        for attribute in node.attribute.iter().filter(|it| it.ref_attr_name.is_empty()) {
            let Some((name, least)) = COUNTED.into_iter().find(|(name, _)| attribute.name == *name) else {
                continue;
            };
            let numbers = if name == "group" { &[attribute.i][..] } else { &attribute.ints };
            if let Some(number) = numbers.iter().find(|it| !(least..=WIDEST).contains(*it)) {
                return wrong(format!("{name} of {number}, which must be {least} to {WIDEST}"));
            }
            let places = numbers.iter().try_fold(1_i64, |places, it| places.checked_mul(*it));
            if name == "kernel_shape" && places.is_none_or(|places| places > PLACES) {
                return wrong(format!("a window of {numbers:?}, which has more than {PLACES} places"));
            }
        }
    }
    Ok(())
}

/// `Ok` if no value of a graph needs more memory than the card allows, and every answer holds something.
///
/// # Errors
///
/// The value and its shape.
pub(super) fn check_values(model: &TypedModel, most_mib: u64) -> Result<(), String> {
    for node in model.nodes() {
        for (slot, outlet) in node.outputs.iter().enumerate() {
            let Some(sides) = outlet.fact.shape.as_concrete() else { continue };
            let name = shown(&node.name);
            let numbers = sides.iter().try_fold(1_u64, |product, side| product.checked_mul(*side as u64));
            let bytes = numbers.and_then(|it| it.checked_mul(outlet.fact.datum_type.size_of() as u64));
            if bytes.is_none_or(|bytes| bytes > most_mib << 20) {
                let allowed = format!("its card allows {most_mib} MiB of memory");
                return Err(format!("its value {name:?} would have the shape {sides:?}, and {allowed}"));
            }
            if sides.contains(&0) && model.outputs.contains(&(node.id, slot).into()) {
                return Err(format!("its answer {name:?} has the shape {sides:?}, which holds nothing"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(node: pb::NodeProto) -> pb::ModelProto {
        let function = pb::FunctionProto { node: vec![node], ..Default::default() };
        pb::ModelProto { functions: vec![function], ..Default::default() }
    }

    #[test]
    fn what_a_function_takes_from_its_caller_and_what_other_domains_mean_is_theirs() {
        let group = pb::AttributeProto { name: "group".into(), ..Default::default() };
        let conv = |domain: &str, reference: &str| pb::NodeProto {
            op_type: "Conv".into(),
            domain: domain.into(),
            attribute: vec![pb::AttributeProto { ref_attr_name: reference.into(), ..group.clone() }],
            ..Default::default()
        };
        assert!(check_windows(&of(conv("", ""))).is_err(), "a group of 0");
        assert!(check_windows(&of(conv("", "groups"))).is_ok());
        assert!(check_windows(&of(conv("org.example", ""))).is_ok());
    }
}
