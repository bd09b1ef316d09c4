//! The nine `light_*` graphs that the Python package `onnx` ships for its own tests: real networks without their weights.

use std::collections::HashSet;
use std::path::Path;

use prost::Message;
use tract_onnx::pb;

use super::numbers::Numbers;

pub const NAMES: [&str; 9] = [
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
];

/// One of them, with made weights in the places of its operators that stand for weights.
pub fn network(packages: &Path, name: &str) -> pb::ModelProto {
    let path = packages.join(format!("onnx/backend/test/data/light/light_{name}.onnx"));
    let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut model = pb::ModelProto::decode(&file[..]).unwrap();
    let graph = model.graph.as_mut().unwrap();
    let variances: HashSet<String> = graph
        .node
        .iter()
        .filter(|node| node.op_type == "BatchNormalization")
        .map(|node| node.input[4].clone())
        .collect();
    let mut numbers = Numbers::new();
    let (weights, nodes): (Vec<_>, Vec<_>) =
        std::mem::take(&mut graph.node).into_iter().partition(|node| node.op_type == "ConstantOfShape");
    for node in weights {
        let sides = whole(graph.initializer.iter().find(|it| it.name == node.input[0]).unwrap());
        let name = &node.output[0];
        graph.initializer.push(match sides[..] {
            [_] if variances.contains(name) => numbers.between(name, &sides, 0.5, 1.0),
            [_] => numbers.between(name, &sides, 0.1, 0.9),
            _ => numbers.weights(name, &sides, sides[1..].iter().product(), 2.0),
        });
    }
    let used: HashSet<String> = nodes.iter().flat_map(|node| node.input.clone()).collect();
    graph.node = nodes;
    graph.initializer.retain(|it| used.contains(&it.name));
    let given: HashSet<String> = graph.initializer.iter().map(|it| it.name.clone()).collect();
    graph.input.retain(|it| used.contains(&it.name) && !given.contains(&it.name));
    model
}

/// The whole numbers of a tensor.
fn whole(tensor: &pb::TensorProto) -> Vec<i64> {
    if !tensor.int64_data.is_empty() {
        return tensor.int64_data.clone();
    }
    let (numbers, _) = tensor.raw_data.as_chunks::<8>();
    numbers.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}
