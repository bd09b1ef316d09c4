//! What an ONNX file says of itself, read before any runtime sees it.
//!
//! Runtimes are large, and one of them follows paths that it finds in the file: a file that is none,
//! that points outside itself or that does not fit its card is refused here.

use std::collections::{BTreeMap, HashMap};

use models::{Card, Input, Outputs, Registry, Run, Task};
use tract_onnx::prelude::Framework;
use tract_onnx::{Onnx, pb};

use super::onnx_parts::Parts;
use super::{bounds, guarded};
use crate::InferenceError;

/// `TensorProto.DataType.FLOAT` of ONNX.
const FLOAT: i32 = 1;
/// The key of a tensor's path as it stands in the file: field 1, 8 bytes long.
const LOCATION: &[u8] = b"\x0a\x08location";
/// Memory that a network without a card may take, in MiB.
const MOST_MIB: u64 = 16 << 10;
/// The longest path of a file that a message repeats, in characters.
const MAX_SHOWN: usize = 80;

/// A network, the numbers of whose large tensors lie in its file.
#[derive(Debug)]
pub(crate) struct OnnxFile<'a> {
    /// The network without those numbers.
    model: pb::ModelProto,
    /// Those numbers, little-endian, by the tensor's name.
    numbers: BTreeMap<String, &'a [u8]>,
}

/// The network in a file, once it has proved to stand alone and to have the tensors of its card.
///
/// # Errors
///
/// [`InferenceError::NotOnnx`], [`InferenceError::NotLoaded`] for windows that no image has, [`InferenceError::ExternalData`]
/// where tensors lie in other files, [`InferenceError::CardMismatch`] for tensors other than the card's.
pub(crate) fn read<'a>(
    backend: &'static str,
    card: &Card,
    weights: &'a [u8],
) -> Result<OnnxFile<'a>, InferenceError> {
    let OnnxFile { model, numbers } = decoded(weights)?;
    let graph = graph_of(&model)?;
    stands_alone(card, &model, weights)?;
    let not_loaded = |reason| InferenceError::NotLoaded { backend, network: card.title(), reason };
    bounds::check_windows(&model).map_err(not_loaded)?;
    check_input(card, graph)?;
    check_outputs(card, graph)?;
    Ok(OnnxFile { model, numbers })
}

fn decoded(weights: &[u8]) -> Result<OnnxFile<'_>, InferenceError> {
    if weights.is_empty() {
        return Err(InferenceError::NotOnnx("it is empty".to_owned()));
    }
    let decode = |mut bytes: &[u8]| {
        let decoded = guarded(|| Onnx::default().proto_model_for_read(&mut bytes));
        decoded
            .map_err(|why| InferenceError::NotOnnx(format!("it is cut, or a file of another kind ({why})")))
    };
    match Parts::of(weights) {
        Some(Parts { rest, numbers }) => Ok(OnnxFile { model: decode(&rest)?, numbers }),
        None => Ok(OnnxFile { model: decode(weights)?, numbers: BTreeMap::new() }),
    }
}

fn graph_of(model: &pb::ModelProto) -> Result<&pb::GraphProto, InferenceError> {
    let graph = model.graph.as_ref().filter(|graph| !graph.node.is_empty());
    graph.ok_or_else(|| InferenceError::NotOnnx("it holds no graph, or an empty one".to_owned()))
}

impl<'a> OnnxFile<'a> {
    /// The operators that a runtime does not know, each once; those that ONNX does not define as `domain:name`.
    pub(crate) fn unknown_operators(&self, is_known: impl Fn(&str) -> bool) -> Vec<String> {
        unknown_operators(&self.model, is_known)
    }

    /// The network with all its numbers.
    pub(crate) fn whole(mut self) -> pb::ModelProto {
        for tensor in self.model.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            if let Some(numbers) = self.numbers.remove(&tensor.name) {
                tensor.raw_data = numbers.to_vec();
            }
        }
        self.model
    }

    /// The network whose weights that only convolutions and products take are inputs after its own, and their numbers by
    /// name; all others are where they were.
    pub(crate) fn with_weights_apart(mut self) -> (pb::ModelProto, BTreeMap<String, &'a [u8]>) {
        let weights = self.weights();
        let numbers = std::mem::take(&mut self.numbers);
        let (apart, within) = numbers.into_iter().partition(|(name, _)| weights.contains_key(name));
        self.numbers = within;
        if let Some(graph) = &mut self.model.graph {
            graph.initializer.retain(|tensor| !weights.contains_key(&tensor.name));
            graph.input.retain(|input| !weights.contains_key(&input.name));
            graph.input.extend(weights.into_iter().map(|(name, sides)| input(name, &sides)));
        }
        (self.whole(), apart)
    }

    /// The sides of each large tensor that nothing but convolutions and products of the network itself take, as weights.
    fn weights(&self) -> BTreeMap<String, Vec<i64>> {
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for name in nodes(&self.model).flat_map(|node| &node.input) {
            *uses.entry(name).or_default() += 1;
        }
        let Some(graph) = &self.model.graph else { return BTreeMap::new() };
        let mut as_weights: HashMap<&str, usize> = HashMap::new();
        for node in &graph.node {
            let is_one = ["Conv", "ConvTranspose", "Gemm", "MatMul"].contains(&node.op_type.as_str());
            if let (true, Some(name)) = (is_one && is_standard(&node.domain), node.input.get(1)) {
                *as_weights.entry(name).or_default() += 1;
            }
        }
        let is_weights = |tensor: &&pb::TensorProto| {
            let name = tensor.name.as_str();
            self.numbers.contains_key(name)
                && as_weights.get(name).is_some_and(|count| uses.get(name) == Some(count))
                && graph.output.iter().all(|output| output.name != name)
                && graph.initializer.iter().filter(|other| other.name == name).count() == 1
        };
        graph.initializer.iter().filter(is_weights).map(|it| (it.name.clone(), it.dims.clone())).collect()
    }
}

/// An input of 32-bit numbers.
fn input(name: String, sides: &[i64]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value};
    let side = |side: &i64| Dimension { value: Some(Value::DimValue(*side)), ..Default::default() };
    let shape = pb::TensorShapeProto { dim: sides.iter().map(side).collect() };
    let tensor = pb::type_proto::Tensor { elem_type: FLOAT, shape: Some(shape) };
    let kind = pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() };
    pb::ValueInfoProto { name, r#type: Some(kind), ..Default::default() }
}

/// A card that says of a network only what its file says: the input with its shape, the first output as a mask.
///
/// It serves to run a network that has no card, never to make findings. Where the file leaves the first side open, it is 1.
///
/// # Errors
///
/// [`InferenceError::NotOnnx`], [`InferenceError::NoCard`].
pub fn bare_card(weights: &[u8]) -> Result<Card, InferenceError> {
    let OnnxFile { model, .. } = decoded(weights)?;
    let graph = graph_of(&model)?;
    let is_given = |input: &&pb::ValueInfoProto| !graph.initializer.iter().any(|it| it.name == input.name);
    let input = graph.input.iter().find(is_given).ok_or(InferenceError::NoCard("it takes no input"))?;
    let output = graph.output.first().ok_or(InferenceError::NoCard("it gives no output"))?;
    let Some(pb::type_proto::Value::TensorType(tensor)) =
        input.r#type.as_ref().and_then(|it| it.value.as_ref())
    else {
        return Err(InferenceError::NoCard("its input is no tensor"));
    };
    let mut sides = tensor.shape.as_ref().map(sides).unwrap_or_default();
    if let Some(first @ None) = sides.first_mut() {
        *first = Some(1);
    }
    let shape: Option<Vec<usize>> =
        sides.into_iter().map(|side| side.and_then(|side| usize::try_from(side).ok())).collect();
    let shape = shape.filter(|shape| !shape.is_empty());
    let shape = shape.ok_or(InferenceError::NoCard("its input has no known shape"))?;

    let registry = Registry::built_in();
    let any = registry.iter().next().ok_or(InferenceError::NoCard("the box holds none to go by"))?;
    Ok(Card {
        name: "network".to_owned(),
        version: "0".to_owned(),
        sha256: models::sha256(weights),
        task: Task::Segmentation,
        input: Input { name: input.name.clone(), shape, ..any.input.clone() },
        run: Run { memory_limit_mib: MOST_MIB, ..Run::default() },
        outputs: Outputs {
            probabilities: None,
            logits: None,
            activation: None,
            classes: Vec::new(),
            cam: None,
            embedding: None,
            features: None,
            mask: Some(output.name.clone()),
            boxes: None,
            scores: None,
        },
        calibration: None,
        labels: Vec::new(),
        out_of_distribution: None,
        ..any.clone()
    })
}

fn unknown_operators(model: &pb::ModelProto, is_known: impl Fn(&str) -> bool) -> Vec<String> {
    let unknown = nodes(model).filter(|node| !is_known(&node.op_type)).map(|node| {
        let (domain, name) = (shown(&node.domain), shown(&node.op_type));
        if is_standard(&domain) { name } else { format!("{domain}:{name}") }
    });
    let mut names: Vec<String> = unknown.collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn is_standard(domain: &str) -> bool {
    ["", "ai.onnx"].contains(&domain)
}

/// Refuses tensors whose values lie in another file: a network is one blob, and no path in it is followed.
///
/// Defaults of a function's attributes are not among what was read, so a file with functions must not hold the
/// key of such a path at all.
fn stands_alone(card: &Card, model: &pb::ModelProto, weights: &[u8]) -> Result<(), InferenceError> {
    if !model.functions.is_empty() && weights.windows(LOCATION.len()).any(|bytes| bytes == LOCATION) {
        return Err(InferenceError::ExternalData {
            network: card.title(),
            tensor: String::new(),
            file: String::new(),
        });
    }
    let outside = |tensor: &&pb::TensorProto| {
        let is_external = tensor.data_location == Some(pb::tensor_proto::DataLocation::External as i32);
        is_external || !tensor.external_data.is_empty()
    };
    let Some(tensor) = tensors(model).find(outside) else { return Ok(()) };
    let location = tensor.external_data.iter().find(|entry| entry.key == "location");
    Err(InferenceError::ExternalData {
        network: card.title(),
        tensor: shown(&tensor.name),
        file: shown(location.map_or("", |entry| &entry.value)),
    })
}

/// Whether the graph's only input is the card's, of its rank and sides.
fn check_input(card: &Card, graph: &pb::GraphProto) -> Result<(), InferenceError> {
    let mismatch = |what| Err(InferenceError::CardMismatch { network: card.title(), what });
    let is_given = |input: &&pb::ValueInfoProto| !graph.initializer.iter().any(|it| it.name == input.name);
    let inputs: Vec<&pb::ValueInfoProto> = graph.input.iter().filter(is_given).collect();
    let names: Vec<String> = inputs.iter().map(|input| shown(&input.name)).collect();
    let [input] = inputs.as_slice() else {
        return mismatch(format!("it takes {names:?}, the card's input is {:?}", card.input.name));
    };
    if input.name != card.input.name {
        return mismatch(format!("it takes {names:?}, the card's input is {:?}", card.input.name));
    }
    let Some(pb::type_proto::Value::TensorType(tensor)) =
        input.r#type.as_ref().and_then(|it| it.value.as_ref())
    else {
        return mismatch(format!("its input {:?} is no tensor", card.input.name));
    };
    if tensor.elem_type != FLOAT {
        return mismatch(format!(
            "its input {:?} holds other values than 32-bit floating-point ones",
            card.input.name
        ));
    }
    let Some(sides) = tensor.shape.as_ref().map(sides) else { return Ok(()) };
    let card_shape = &card.input.shape;
    let fits = sides.len() == card_shape.len()
        && sides.iter().zip(card_shape).all(|(found, card)| found.is_none_or(|found| found == *card as i64));
    if fits {
        return Ok(());
    }
    let found: Vec<String> =
        sides.iter().map(|side| side.map_or("?".to_owned(), |side| side.to_string())).collect();
    mismatch(format!(
        "its input {:?} has {} dimensions [{}], the card's shape {} {card_shape:?}",
        card.input.name,
        sides.len(),
        found.join(", "),
        card_shape.len(),
    ))
}

/// Whether the graph gives every output that the card names.
fn check_outputs(card: &Card, graph: &pb::GraphProto) -> Result<(), InferenceError> {
    for name in card.outputs.named().into_iter().chain(card.tensors()) {
        if !graph.output.iter().any(|output| output.name == name) {
            let present: Vec<String> = graph.output.iter().map(|output| shown(&output.name)).collect();
            return Err(InferenceError::CardMismatch {
                network: card.title(),
                what: format!("it gives {present:?}, the card's output {name:?} is not among them"),
            });
        }
    }
    let outputs = &card.outputs;
    for name in [&outputs.probabilities, &outputs.logits].into_iter().flatten() {
        let declared = graph.output.iter().find(|output| output.name == *name);
        let Some(pb::type_proto::Value::TensorType(tensor)) =
            declared.and_then(|output| output.r#type.as_ref()).and_then(|it| it.value.as_ref())
        else {
            continue;
        };
        let classes = outputs.classes.len() as i64;
        let last = tensor.shape.as_ref().and_then(|shape| sides(shape).last().copied().flatten());
        if last.is_some_and(|last| last != classes) {
            return Err(InferenceError::CardMismatch {
                network: card.title(),
                what: format!(
                    "its output {name:?} holds {} values, the card has {classes} classes",
                    last.unwrap_or(0)
                ),
            });
        }
    }
    Ok(())
}

/// The sides of a tensor; `None` for one that is known only when it runs.
fn sides(shape: &pb::TensorShapeProto) -> Vec<Option<i64>> {
    let side = |dimension: &pb::tensor_shape_proto::Dimension| match dimension.value {
        Some(pb::tensor_shape_proto::dimension::Value::DimValue(side)) if side > 0 => Some(side),
        _ => None,
    };
    shape.dim.iter().map(side).collect()
}

/// Every graph of the file: the network's, those of its control flow, and those of training.
fn graphs(model: &pb::ModelProto) -> Vec<&pb::GraphProto> {
    let of_training = model
        .training_info
        .iter()
        .flat_map(|info| [info.initialization.as_ref(), info.algorithm.as_ref()])
        .flatten();
    let mut found: Vec<&pb::GraphProto> = model.graph.iter().chain(of_training).collect();
    let of_functions = model.functions.iter().flat_map(|function| &function.node);
    found.extend(of_functions.flat_map(graphs_of));
    let mut next = 0;
    // A tree that was read from the file: it ends.
    while next < found.len() {
        let inner: Vec<&pb::GraphProto> = found[next].node.iter().flat_map(graphs_of).collect();
        found.extend(inner);
        next += 1;
    }
    found
}

fn graphs_of(node: &pb::NodeProto) -> impl Iterator<Item = &pb::GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

pub(super) fn nodes(model: &pb::ModelProto) -> impl Iterator<Item = &pb::NodeProto> {
    let of_functions = model.functions.iter().flat_map(|function| &function.node);
    graphs(model).into_iter().flat_map(|graph| &graph.node).chain(of_functions)
}

/// Every tensor that the file declares, wherever it stands.
fn tensors(model: &pb::ModelProto) -> impl Iterator<Item = &pb::TensorProto> {
    let initial = graphs(model).into_iter().flat_map(|graph| {
        let sparse = graph.sparse_initializer.iter().flat_map(parts);
        graph.initializer.iter().chain(sparse)
    });
    let constant = nodes(model).flat_map(|node| &node.attribute).flat_map(|attribute| {
        let sparse = attribute.sparse_tensor.iter().chain(&attribute.sparse_tensors).flat_map(parts);
        attribute.t.iter().chain(&attribute.tensors).chain(sparse)
    });
    initial.chain(constant)
}

fn parts(tensor: &pb::SparseTensorProto) -> impl Iterator<Item = &pb::TensorProto> {
    tensor.values.iter().chain(&tensor.indices)
}

/// A name from the file, as far as a message repeats it.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(MAX_SHOWN).collect()
}
