//! Networks by their plans: densely connected, residual, separable, and those that go down and up again.

use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;

use super::numbers::Numbers;

/// A graph that grows; every operator gives the name of its value.
struct Growing {
    graph: pb::GraphProto,
    numbers: Numbers,
    /// Axes of space.
    space: usize,
}

/// A convolution's window.
#[derive(Clone, Copy)]
struct Window {
    side: i64,
    stride: i64,
    groups: i64,
    has_bias: bool,
    /// What keeps the size of values through what follows it.
    gain: f32,
}

const PLAIN: Window = Window { side: 3, stride: 1, groups: 1, has_bias: false, gain: 2.0 };
const POINT: Window = Window { side: 1, ..PLAIN };

fn ints(name: &str, ints: Vec<i64>) -> pb::AttributeProto {
    pb::AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints as i32,
        ints,
        ..Default::default()
    }
}

fn int(name: &str, i: i64) -> pb::AttributeProto {
    pb::AttributeProto { name: name.to_owned(), r#type: AttributeType::Int as i32, i, ..Default::default() }
}

fn float(name: &str, f: f32) -> pb::AttributeProto {
    pb::AttributeProto { name: name.to_owned(), r#type: AttributeType::Float as i32, f, ..Default::default() }
}

fn text(name: &str, text: &str) -> pb::AttributeProto {
    let s = text.as_bytes().to_vec();
    pb::AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::String as i32,
        s,
        ..Default::default()
    }
}

fn value(name: &str, sides: &[i64]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value};
    let side = |side: &i64| Dimension { value: Some(Value::DimValue(*side)), ..Default::default() };
    let shape = pb::TensorShapeProto { dim: sides.iter().map(side).collect() };
    let tensor = pb::type_proto::Tensor { elem_type: 1, shape: Some(shape) };
    let kind = pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() };
    pb::ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..Default::default() }
}

impl Growing {
    /// A graph that takes `x`, one image of these channels and sides.
    fn new(channels: i64, sides: &[i64]) -> Growing {
        let input = vec![value("x", &[&[1, channels][..], sides].concat())];
        let graph = pb::GraphProto { name: "made".to_owned(), input, ..Default::default() };
        Growing { graph, numbers: Numbers::new(), space: sides.len() }
    }

    fn node(&mut self, operator: &str, inputs: &[&str], attribute: Vec<pb::AttributeProto>) -> String {
        let name = format!("v{}", self.graph.node.len());
        self.graph.node.push(pb::NodeProto {
            op_type: operator.to_owned(),
            name: name.clone(),
            input: inputs.iter().map(|it| (*it).to_owned()).collect(),
            output: vec![name.clone()],
            attribute,
            ..Default::default()
        });
        name
    }

    fn weights(&mut self, sides: &[i64], inputs: i64, gain: f32) -> String {
        let name = format!("w{}", self.graph.initializer.len());
        self.graph.initializer.push(self.numbers.weights(&name, sides, inputs, gain));
        name
    }

    fn between(&mut self, count: i64, low: f32, high: f32) -> String {
        let name = format!("w{}", self.graph.initializer.len());
        self.graph.initializer.push(self.numbers.between(&name, &[count], low, high));
        name
    }

    fn axes(&self, each: i64, times: usize) -> Vec<i64> {
        vec![each; self.space * times]
    }

    fn conv(&mut self, x: &str, (ins, outs): (i64, i64), window: Window) -> String {
        let Window { side, stride, groups, has_bias, gain } = window;
        let sides = [vec![outs, ins / groups], self.axes(side, 1)].concat();
        let weights = self.weights(&sides, sides[1..].iter().product(), gain);
        let bias = has_bias.then(|| self.between(outs, -0.1, 0.1));
        let inputs: Vec<&str> = [x, &weights].into_iter().chain(bias.as_deref()).collect();
        let attributes = vec![
            ints("kernel_shape", self.axes(side, 1)),
            ints("strides", self.axes(stride, 1)),
            ints("pads", self.axes(side / 2, 2)),
            int("group", groups),
        ];
        self.node("Conv", &inputs, attributes)
    }

    fn normalized(&mut self, x: &str, channels: i64) -> String {
        let [scale, variance] = [(); 2].map(|()| self.between(channels, 0.8, 1.2));
        let [shift, mean] = [(); 2].map(|()| self.between(channels, -0.1, 0.1));
        self.node("BatchNormalization", &[x, &scale, &shift, &mean, &variance], vec![float("epsilon", 1e-5)])
    }

    fn relu(&mut self, x: &str) -> String {
        self.node("Relu", &[x], vec![])
    }

    fn swish(&mut self, x: &str) -> String {
        let gate = self.node("Sigmoid", &[x], vec![]);
        self.node("Mul", &[x, &gate], vec![])
    }

    /// Convolution and normalization.
    fn layer(&mut self, x: &str, between: (i64, i64), window: Window) -> String {
        let x = self.conv(x, between, window);
        self.normalized(&x, between.1)
    }

    fn lit_layer(&mut self, x: &str, between: (i64, i64), window: Window) -> String {
        let x = self.layer(x, between, window);
        self.relu(&x)
    }

    fn swish_layer(&mut self, x: &str, between: (i64, i64), window: Window) -> String {
        let x = self.layer(x, between, window);
        self.swish(&x)
    }

    fn pooled(&mut self, operator: &str, x: &str, side: i64, pad: i64) -> String {
        let attributes = vec![
            ints("kernel_shape", self.axes(side, 1)),
            ints("strides", self.axes(2, 1)),
            ints("pads", self.axes(pad, 2)),
        ];
        self.node(operator, &[x], attributes)
    }

    /// A photograph's beginning: a window of 7, then a pooling.
    fn stem(&mut self) -> String {
        let x = self.lit_layer("x", (3, 64), Window { side: 7, stride: 2, ..PLAIN });
        self.pooled("MaxPool", &x, 3, 1)
    }

    fn classes(mut self, x: &str, channels: i64, classes: i64) -> pb::ModelProto {
        let mean = self.node("GlobalAveragePool", &[x], vec![]);
        let flat = self.node("Flatten", &[&mean], vec![int("axis", 1)]);
        let weights = self.weights(&[classes, channels], channels, 1.0);
        let offsets = self.between(classes, -0.1, 0.1);
        let answer = self.node("Gemm", &[&flat, &weights, &offsets], vec![int("transB", 1)]);
        self.finished(&answer, &[1, classes])
    }

    fn finished(mut self, answer: &str, sides: &[i64]) -> pb::ModelProto {
        self.graph.output.push(value(answer, sides));
        let operators = pb::OperatorSetIdProto { version: 13, ..Default::default() };
        let opset_import = vec![operators];
        pb::ModelProto { ir_version: 8, opset_import, graph: Some(self.graph), ..Default::default() }
    }
}

pub fn densenet121() -> pb::ModelProto {
    let mut it = Growing::new(3, &[224, 224]);
    let (mut x, mut channels) = (it.stem(), 64);
    for (block, layers) in [6, 12, 24, 16].into_iter().enumerate() {
        for _ in 0..layers {
            let y = it.normalized(&x, channels);
            let y = it.relu(&y);
            let y = it.lit_layer(&y, (channels, 128), POINT);
            let y = it.conv(&y, (128, 32), PLAIN);
            x = it.node("Concat", &[&x, &y], vec![int("axis", 1)]);
            channels += 32;
        }
        x = it.normalized(&x, channels);
        x = it.relu(&x);
        if block < 3 {
            x = it.conv(&x, (channels, channels / 2), POINT);
            channels /= 2;
            x = it.pooled("AveragePool", &x, 2, 0);
        }
    }
    it.classes(&x, channels, 1000)
}

pub fn resnet18() -> pb::ModelProto {
    resnet([2, 2, 2, 2], 1)
}

pub fn resnet50() -> pb::ModelProto {
    resnet([3, 4, 6, 3], 4)
}

/// Blocks of two windows of 3, or where they grow wider of 1, 3 and 1.
fn resnet(blocks: [usize; 4], wider: i64) -> pb::ModelProto {
    let mut it = Growing::new(3, &[224, 224]);
    let (mut x, mut channels) = (it.stem(), 64);
    for (stage, width) in [64, 128, 256, 512].into_iter().enumerate() {
        for block in 0..blocks[stage] {
            let (stride, outs) = (if stage > 0 && block == 0 { 2 } else { 1 }, width * wider);
            let last = Window { gain: 0.3, ..PLAIN };
            let y = if wider > 1 {
                let y = it.lit_layer(&x, (channels, width), POINT);
                let y = it.lit_layer(&y, (width, width), Window { stride, ..PLAIN });
                it.layer(&y, (width, outs), Window { side: 1, ..last })
            } else {
                let y = it.lit_layer(&x, (channels, width), Window { stride, ..PLAIN });
                it.layer(&y, (width, outs), last)
            };
            let short = if stride == 1 && channels == outs {
                x
            } else {
                it.layer(&x, (channels, outs), Window { stride, gain: 1.0, ..POINT })
            };
            x = it.node("Add", &[&y, &short], vec![]);
            x = it.relu(&x);
            channels = outs;
        }
    }
    it.classes(&x, channels, 1000)
}

/// Expanded, a window a channel, squeezed and excited, and made narrow again.
pub fn efficientnet_b0() -> pb::ModelProto {
    let mut it = Growing::new(3, &[224, 224]);
    let (mut x, mut channels) = (it.swish_layer("x", (3, 32), Window { stride: 2, ..PLAIN }), 32);
    for (times, outs, count, first_stride, side) in [
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    ] {
        for block in 0..count {
            let (stride, wide) = (if block == 0 { first_stride } else { 1 }, channels * times);
            let y = if times > 1 { it.swish_layer(&x, (channels, wide), POINT) } else { x.clone() };
            let y = it.swish_layer(&y, (wide, wide), Window { side, stride, groups: wide, ..PLAIN });
            let mean = it.node("GlobalAveragePool", &[&y], vec![]);
            let biased = Window { has_bias: true, ..POINT };
            let few = it.conv(&mean, (wide, channels / 4), biased);
            let few = it.swish(&few);
            let gate = it.conv(&few, (channels / 4, wide), biased);
            let gate = it.node("Sigmoid", &[&gate], vec![]);
            let y = it.node("Mul", &[&y, &gate], vec![]);
            let y = it.layer(&y, (wide, outs), Window { gain: 1.0, ..POINT });
            x = if stride == 1 && channels == outs { it.node("Add", &[&y, &x], vec![]) } else { y };
            channels = outs;
        }
    }
    let x = it.swish_layer(&x, (channels, 1280), POINT);
    it.classes(&x, 1280, 1000)
}

pub fn of_volumes() -> pb::ModelProto {
    let mut it = Growing::new(1, &[64; 3]);
    let (mut x, mut channels) = ("x".to_owned(), 1);
    for (outs, stride) in [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)] {
        x = it.lit_layer(&x, (channels, outs), Window { stride, ..PLAIN });
        channels = outs;
    }
    it.classes(&x, channels, 10)
}

/// Four levels of twice as many channels each, up again by nearest neighbours.
pub fn unet(width: i64) -> pb::ModelProto {
    let mut it = Growing::new(1, &[256; 2]);
    let (mut x, mut channels, mut short) = ("x".to_owned(), 1, Vec::new());
    for level in 0..4 {
        for _ in 0..2 {
            x = it.lit_layer(&x, (channels, width << level), PLAIN);
            channels = width << level;
        }
        if level < 3 {
            short.push(x.clone());
            x = it.pooled("MaxPool", &x, 2, 0);
        }
    }
    let raw_data = [1.0_f32, 1.0, 2.0, 2.0].into_iter().flat_map(f32::to_le_bytes).collect();
    let name = "scales".to_owned();
    it.graph.initializer.push(pb::TensorProto {
        name,
        dims: vec![4],
        data_type: 1,
        raw_data,
        ..Default::default()
    });
    for level in (0..3).rev() {
        let attributes = vec![
            text("mode", "nearest"),
            text("coordinate_transformation_mode", "asymmetric"),
            text("nearest_mode", "floor"),
        ];
        x = it.node("Resize", &[&x, "", "scales"], attributes);
        x = it.node("Concat", &[&short[level as usize], &x], vec![int("axis", 1)]);
        channels += width << level;
        for _ in 0..2 {
            x = it.lit_layer(&x, (channels, width << level), PLAIN);
            channels = width << level;
        }
    }
    let answer = it.conv(&x, (channels, 2), Window { has_bias: true, gain: 1.0, ..POINT });
    it.finished(&answer, &[1, 2, 256, 256])
}

/// As nnU-Net plans them: normalized by image, leaky, down by strides and up by transposed convolutions.
pub fn nnunet(space: usize, side: i64, width: i64, levels: usize) -> pb::ModelProto {
    let mut it = Growing::new(1, &vec![side; space]);
    let (mut x, mut channels, mut short) = ("x".to_owned(), 1, Vec::new());
    let block = |it: &mut Growing, x: &str, ins: i64, outs: i64, stride: i64| {
        let biased = Window { has_bias: true, ..PLAIN };
        let x = it.conv(x, (ins, outs), Window { stride, ..biased });
        let x = leaky(it, &x, outs);
        let x = it.conv(&x, (outs, outs), biased);
        leaky(it, &x, outs)
    };
    for level in 0..levels {
        x = block(&mut it, &x, channels, width << level, if level == 0 { 1 } else { 2 });
        channels = width << level;
        short.push(x.clone());
    }
    for level in (0..levels - 1).rev() {
        let outs = width << level;
        let sides = [vec![channels, outs], it.axes(2, 1)].concat();
        let weights = it.weights(&sides, channels, 1.0);
        let attributes = vec![ints("kernel_shape", it.axes(2, 1)), ints("strides", it.axes(2, 1))];
        x = it.node("ConvTranspose", &[&x, &weights], attributes);
        x = it.node("Concat", &[&x, &short[level]], vec![int("axis", 1)]);
        x = block(&mut it, &x, 2 * outs, outs, 1);
        channels = outs;
    }
    let answer = it.conv(&x, (channels, 3), Window { has_bias: true, gain: 1.0, ..POINT });
    it.finished(&answer, &[vec![1, 3], vec![side; space]].concat())
}

fn leaky(it: &mut Growing, x: &str, channels: i64) -> String {
    let scale = it.between(channels, 0.8, 1.2);
    let shift = it.between(channels, -0.1, 0.1);
    let x = it.node("InstanceNormalization", &[x, &scale, &shift], vec![float("epsilon", 1e-5)]);
    it.node("LeakyRelu", &[&x], vec![float("alpha", 0.01)])
}
