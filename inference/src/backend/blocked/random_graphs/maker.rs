//! Makes small networks of whatever may follow whatever.

use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;

/// Numbers that look random and are the same in every run (xorshift64, Marsaglia 2003).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    pub fn numbers(&mut self, count: usize, most: f32) -> Vec<f32> {
        (0..count).map(|_| ((self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0) * most).collect()
    }
}

/// A value of the graph: its name, its channels, its sides.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub name: String,
    pub channels: usize,
    pub sides: Vec<usize>,
}

pub(super) struct Maker {
    seeded: Seeded,
    /// Images at once.
    pub images: usize,
    pub graph: pb::GraphProto,
    pub values: Vec<Made>,
}

pub(super) enum Attribute<'a> {
    Int(&'a str, i64),
    Ints(&'a str, Vec<i64>),
    Float(&'a str, f32),
    Text(&'a str, &'a str),
}

fn attribute(of: Attribute<'_>) -> pb::AttributeProto {
    let (name, kind) = match &of {
        Attribute::Int(name, _) => (name, AttributeType::Int),
        Attribute::Ints(name, _) => (name, AttributeType::Ints),
        Attribute::Float(name, _) => (name, AttributeType::Float),
        Attribute::Text(name, _) => (name, AttributeType::String),
    };
    let mut attribute =
        pb::AttributeProto { name: (*name).to_owned(), r#type: kind as i32, ..Default::default() };
    match of {
        Attribute::Int(_, value) => attribute.i = value,
        Attribute::Ints(_, values) => attribute.ints = values,
        Attribute::Float(_, value) => attribute.f = value,
        Attribute::Text(_, text) => attribute.s = text.as_bytes().to_vec(),
    }
    attribute
}

pub(super) fn tensor_info(name: &str, sides: &[usize]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value};
    let side = |side: &usize| Dimension { value: Some(Value::DimValue(*side as i64)), ..Default::default() };
    let shape = pb::TensorShapeProto { dim: sides.iter().map(side).collect() };
    let tensor = pb::type_proto::Tensor { elem_type: 1, shape: Some(shape) };
    let kind = pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() };
    pb::ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..Default::default() }
}

impl Maker {
    /// An image of a random shape.
    pub fn new(seed: u64) -> Self {
        let mut seeded = Seeded(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let space = if seeded.below(4) == 0 { 3 } else { 2 };
        let images = seeded.one_of(&[1, 1, 1, 2]);
        let channels = seeded.one_of(&[1, 3, 4, 17, 24]);
        let sides: Vec<usize> =
            (0..space).map(|_| seeded.between(5, if space == 3 { 9 } else { 20 })).collect();
        Maker::of(seeded, images, channels, sides)
    }

    /// Images of this shape.
    pub fn with(channels: usize, sides: &[usize]) -> Self {
        Maker::of(Seeded(1), 1, channels, sides.to_vec())
    }

    fn of(seeded: Seeded, images: usize, channels: usize, sides: Vec<usize>) -> Self {
        let input = Made { name: "x".to_owned(), channels, sides };
        let mut graph = pb::GraphProto { name: "made".to_owned(), ..Default::default() };
        graph.input.push(tensor_info("x", &[&[images, channels][..], &input.sides].concat()));
        Maker { seeded, images, graph, values: vec![input] }
    }

    pub fn constant(&mut self, sides: &[usize], numbers: Vec<f32>) -> String {
        let name = format!("c{}", self.graph.initializer.len());
        self.graph.initializer.push(pb::TensorProto {
            name: name.clone(),
            dims: sides.iter().map(|it| *it as i64).collect(),
            data_type: 1,
            raw_data: numbers.into_iter().flat_map(f32::to_le_bytes).collect(),
            ..Default::default()
        });
        name
    }

    fn whole(&mut self, numbers: &[i64]) -> String {
        let name = format!("c{}", self.graph.initializer.len());
        self.graph.initializer.push(pb::TensorProto {
            name: name.clone(),
            dims: vec![numbers.len() as i64],
            data_type: 7,
            int64_data: numbers.to_vec(),
            ..Default::default()
        });
        name
    }

    pub fn node(&mut self, kind: &str, inputs: &[&str], attributes: Vec<Attribute<'_>>) -> String {
        let name = format!("v{}", self.graph.node.len());
        self.graph.node.push(pb::NodeProto {
            name: format!("{kind}_{name}"),
            op_type: kind.to_owned(),
            input: inputs.iter().map(|it| (*it).to_owned()).collect(),
            output: vec![name.clone()],
            attribute: attributes.into_iter().map(attribute).collect(),
            ..Default::default()
        });
        name
    }

    fn keep(&mut self, name: String, channels: usize, sides: Vec<usize>) {
        self.values.push(Made { name, channels, sides });
    }

    pub fn convolution(&mut self, from: &Made) {
        let space = from.sides.len();
        let kernel = self.seeded.one_of(&[1, 1, 2, 3, 3, 5]);
        let (stride, dilation) = (self.seeded.one_of(&[1, 1, 1, 2]), self.seeded.one_of(&[1, 1, 1, 2]));
        let pads = (self.seeded.below(kernel), self.seeded.below(kernel));
        let window = (kernel - 1) * dilation + 1;
        if from.sides.iter().any(|side| side + pads.0 + pads.1 < window) {
            return;
        }
        let groups = match self.seeded.below(4) {
            0 => from.channels,
            1 if from.channels.is_multiple_of(2) => 2,
            _ => 1,
        };
        let each_out = self.seeded.one_of(&[1, 2, 8, 16, 20]);
        let out = if groups == from.channels { groups } else { groups * each_out };
        let each_in = from.channels / groups;
        let count = out * each_in * kernel.pow(space as u32);
        let most = (3.0 / (each_in * kernel.pow(space as u32)) as f32).sqrt();
        let weights = self.seeded.numbers(count, most);
        let weights = self.constant(&[&[out, each_in][..], &vec![kernel; space]].concat(), weights);
        let bias = self.seeded.numbers(out, 0.5);
        let bias = self.constant(&[out], bias);
        let mut inputs = vec![from.name.as_str(), &weights];
        if self.seeded.below(2) == 0 {
            inputs.push(&bias);
        }
        let all = |value: usize| vec![value as i64; space];
        let attributes = vec![
            Attribute::Ints("kernel_shape", all(kernel)),
            Attribute::Ints("strides", all(stride)),
            Attribute::Ints("dilations", all(dilation)),
            Attribute::Ints("pads", [all(pads.0), all(pads.1)].concat()),
            Attribute::Int("group", groups as i64),
        ];
        let name = self.node("Conv", &inputs, attributes);
        let sides = from.sides.iter().map(|side| (side + pads.0 + pads.1 - window) / stride + 1).collect();
        self.keep(name, out, sides);
    }

    fn transposed(&mut self, from: &Made) {
        let space = from.sides.len();
        let (kernel, stride) = self.seeded.one_of(&[(2, 2), (3, 2), (3, 1), (4, 2), (1, 2)]);
        let pad = self.seeded.below(2).min(kernel - 1);
        if from.sides.iter().any(|side| *side > 12) {
            return;
        }
        let out = self.seeded.between(1, 20);
        let weights = self
            .seeded
            .numbers(from.channels * out * kernel.pow(space as u32), 0.7 / (from.channels as f32).sqrt());
        let weights = self.constant(&[&[from.channels, out][..], &vec![kernel; space]].concat(), weights);
        let all = |value: usize| vec![value as i64; space];
        let attributes = vec![
            Attribute::Ints("kernel_shape", all(kernel)),
            Attribute::Ints("strides", all(stride)),
            Attribute::Ints("pads", all(pad).repeat(2)),
        ];
        let sides: Vec<usize> =
            from.sides.iter().map(|side| (side - 1) * stride + kernel - 2 * pad).collect();
        if sides.contains(&0) {
            return;
        }
        let name = self.node("ConvTranspose", &[&from.name, &weights], attributes);
        self.keep(name, out, sides);
    }

    fn pool(&mut self, from: &Made) {
        let kernel = self.seeded.between(1, 3);
        let (stride, pad) = (self.seeded.between(1, 2), self.seeded.below(kernel));
        if from.sides.iter().any(|side| side + 2 * pad < kernel) {
            return;
        }
        let all = |value: usize| vec![value as i64; from.sides.len()];
        let mut attributes = vec![
            Attribute::Ints("kernel_shape", all(kernel)),
            Attribute::Ints("strides", all(stride)),
            Attribute::Ints("pads", all(pad).repeat(2)),
        ];
        let kind = self.seeded.one_of(&["MaxPool", "AveragePool"]);
        if kind == "AveragePool" {
            attributes.push(Attribute::Int("count_include_pad", self.seeded.below(2) as i64));
        }
        let name = self.node(kind, &[&from.name], attributes);
        let sides = from.sides.iter().map(|side| (side + 2 * pad - kernel) / stride + 1).collect();
        self.keep(name, from.channels, sides);
    }

    fn normalized(&mut self, from: &Made) {
        let count = from.channels;
        let of = |maker: &mut Maker, low: f32, spread: f32| {
            let numbers = maker.seeded.numbers(count, spread).iter().map(|it| it + low).collect();
            maker.constant(&[count], numbers)
        };
        let (scale, shift) = (of(self, 1.0, 0.3), of(self, 0.0, 0.3));
        if self.seeded.below(2) == 0 {
            let (mean, variance) = (of(self, 0.0, 0.3), of(self, 1.0, 0.3));
            let inputs = [from.name.as_str(), &scale, &shift, &mean, &variance];
            let name = self.node("BatchNormalization", &inputs, vec![Attribute::Float("epsilon", 1e-5)]);
            self.keep(name, count, from.sides.clone());
        } else if from.sides.iter().product::<usize>() > 8 {
            let inputs = [from.name.as_str(), &scale, &shift];
            let name = self.node("InstanceNormalization", &inputs, vec![Attribute::Float("epsilon", 1e-3)]);
            self.keep(name, count, from.sides.clone());
        }
    }

    fn bent(&mut self, from: &Made) {
        let name = match self.seeded.below(9) {
            0 | 1 => self.node("Relu", &[&from.name], vec![]),
            2 => self.node("LeakyRelu", &[&from.name], vec![Attribute::Float("alpha", 0.1)]),
            3 => {
                let bent = self.node("Sigmoid", &[&from.name], vec![]);
                self.node("Mul", &[&from.name, &bent], vec![])
            }
            4 => {
                let slopes = self.seeded.numbers(from.channels, 0.5);
                let ones = vec![1; from.sides.len()];
                let slopes = self.constant(&[&[from.channels][..], &ones].concat(), slopes);
                self.node("PRelu", &[&from.name, &slopes], vec![])
            }
            5 => {
                let (low, high) = (self.constant(&[], vec![-0.5]), self.constant(&[], vec![1.0]));
                self.node("Clip", &[&from.name, &low, &high], vec![])
            }
            6 => self.node("HardSigmoid", &[&from.name], vec![]),
            7 => self.node("Tanh", &[&from.name], vec![]),
            // tract's alone: a region ends here
            _ => self.node("Elu", &[&from.name], vec![]),
        };
        self.keep(name, from.channels, from.sides.clone());
    }

    fn joined(&mut self, from: &Made) {
        let same: Vec<Made> = self.values.iter().filter(|it| it.sides == from.sides).cloned().collect();
        let other = same[self.seeded.below(same.len())].clone();
        match self.seeded.below(4) {
            0 | 1 => {
                let name = self.node("Concat", &[&from.name, &other.name], vec![Attribute::Int("axis", 1)]);
                self.keep(name, from.channels + other.channels, from.sides.clone());
            }
            2 if other.channels == from.channels => {
                let name = self.node("Add", &[&from.name, &other.name], vec![]);
                self.keep(name, from.channels, from.sides.clone());
            }
            _ => {
                let mean = self.node("GlobalAveragePool", &[&from.name], vec![]);
                let gate = self.node("Sigmoid", &[&mean], vec![]);
                let name = self.node("Mul", &[&from.name, &gate], vec![]);
                self.keep(name, from.channels, from.sides.clone());
            }
        }
    }

    fn moved(&mut self, from: &Made) {
        let space = from.sides.len();
        match self.seeded.below(4) {
            0 if from.channels.is_multiple_of(2) && space == 2 => {
                let [rows, columns] = [from.sides[0] as i64, from.sides[1] as i64];
                let half = from.channels as i64 / 2;
                let apart = self.whole(&[0, 2, half, rows, columns]);
                let whole = self.whole(&[0, 2 * half, rows, columns]);
                let name = self.node("Reshape", &[&from.name, &apart], vec![]);
                let name =
                    self.node("Transpose", &[&name], vec![Attribute::Ints("perm", vec![0, 2, 1, 3, 4])]);
                let name = self.node("Reshape", &[&name, &whole], vec![]);
                self.keep(name, from.channels, from.sides.clone());
            }
            1 => {
                let size = self.seeded.between(1, 5) as i64;
                let name = self.node("LRN", &[&from.name], vec![Attribute::Int("size", size)]);
                self.keep(name, from.channels, from.sides.clone());
            }
            2 => {
                let name = self.node("Softmax", &[&from.name], vec![Attribute::Int("axis", 1)]);
                self.keep(name, from.channels, from.sides.clone());
            }
            _ if from.sides.iter().all(|side| *side <= 12) => {
                let scales = self.constant(&[2 + space], [&[1.0, 1.0][..], &vec![2.0; space]].concat());
                let (mode, way) = self.seeded.one_of(&[
                    ("nearest", "asymmetric"),
                    ("linear", "half_pixel"),
                    ("linear", "align_corners"),
                ]);
                let attributes = vec![
                    Attribute::Text("mode", mode),
                    Attribute::Text("coordinate_transformation_mode", way),
                    Attribute::Text("nearest_mode", "floor"),
                ];
                let name = self.node("Resize", &[&from.name, "", &scales], attributes);
                self.keep(name, from.channels, from.sides.iter().map(|side| 2 * side).collect());
            }
            _ => {}
        }
    }

    fn dense(&mut self, from: &Made) {
        let count = from.channels * from.sides.iter().product::<usize>();
        let flat = self.node("Flatten", &[&from.name], vec![Attribute::Int("axis", 1)]);
        let weights = self.seeded.numbers(10 * count, 1.0 / (count as f32).sqrt());
        let weights = self.constant(&[10, count], weights);
        let bias = self.seeded.numbers(10, 0.5);
        let bias = self.constant(&[10], bias);
        let name = self.node("Gemm", &[&flat, &weights, &bias], vec![Attribute::Int("transB", 1)]);
        self.graph.output.push(tensor_info(&name, &[self.images, 10]));
    }

    /// A network, an input for it, and that one's sides.
    pub fn graph(mut self) -> (pb::ModelProto, Vec<f32>, Vec<usize>) {
        for _ in 0..self.seeded.between(3, 14) {
            let later = self.values.len().saturating_sub(3);
            let from = self.values[self.seeded.between(later, self.values.len() - 1)].clone();
            match self.seeded.below(10) {
                0..4 => self.convolution(&from),
                4 => self.transposed(&from),
                5 => self.pool(&from),
                6 => self.normalized(&from),
                7 => self.bent(&from),
                8 => self.joined(&from),
                _ => self.moved(&from),
            }
        }
        let last = self.values[self.values.len() - 1].clone();
        if self.graph.node.is_empty() || self.seeded.below(3) == 0 {
            self.dense(&last);
        }
        let any = self.values[self.seeded.below(self.values.len())].clone();
        for value in [last, any] {
            let is_new = self.graph.output.iter().all(|it| it.name != value.name);
            if value.name != "x" && is_new {
                let sides = [&[self.images, value.channels][..], &value.sides].concat();
                self.graph.output.push(tensor_info(&value.name, &sides));
            }
        }
        let input = self.values[0].clone();
        let count = self.images * input.channels * input.sides.iter().product::<usize>();
        let numbers = self.seeded.numbers(count, 1.0);
        let sides = [&[self.images, input.channels][..], &input.sides].concat();
        (self.model(), numbers, sides)
    }

    pub fn model(self) -> pb::ModelProto {
        let opset = pb::OperatorSetIdProto { version: 13, ..Default::default() };
        pb::ModelProto {
            ir_version: 8,
            opset_import: vec![opset],
            graph: Some(self.graph),
            ..Default::default()
        }
    }
}
