//! Small ONNX files, written by hand as onnx.proto3 numbers their fields.

/// A field of bytes: a message, a text, packed numbers.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn whole(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// `TensorProto.DataType`
#[derive(Clone, Copy)]
pub enum Kind {
    Float = 1,
    Int64 = 7,
    Bool = 9,
}

/// An attribute of a node.
pub enum Attribute {
    Ints(&'static str, Vec<i64>),
    Int(&'static str, i64),
    Text(&'static str, &'static str),
    Graph(&'static str, Graph),
}

impl Attribute {
    fn bytes(&self) -> Vec<u8> {
        let named = |name: &str, kind: u64, value: Vec<u8>| {
            [field(1, name.as_bytes()), value, whole(20, kind)].concat()
        };
        match self {
            Self::Int(name, value) => named(name, 2, whole(3, *value as u64)),
            Self::Text(name, value) => named(name, 3, field(4, value.as_bytes())),
            Self::Graph(name, graph) => named(name, 5, field(6, &graph.bytes)),
            Self::Ints(name, values) => {
                named(name, 7, values.iter().flat_map(|value| whole(8, *value as u64)).collect())
            }
        }
    }
}

/// A graph that grows.
#[derive(Default, Clone)]
pub struct Graph {
    bytes: Vec<u8>,
}

impl Graph {
    fn with(mut self, number: u64, message: &[u8]) -> Self {
        self.bytes.extend(field(number, message));
        self
    }

    pub fn input(self, name: &str, kind: Kind, sides: &[i64]) -> Self {
        self.with(11, &value(name, kind, sides))
    }

    pub fn output(self, name: &str, kind: Kind, sides: &[i64]) -> Self {
        self.with(12, &value(name, kind, sides))
    }

    pub fn node(self, operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[Attribute]) -> Self {
        let mut node = Vec::new();
        inputs.iter().for_each(|name| node.extend(field(1, name.as_bytes())));
        outputs.iter().for_each(|name| node.extend(field(2, name.as_bytes())));
        node.extend(field(3, outputs[0].as_bytes()));
        node.extend(field(4, operator.as_bytes()));
        attributes.iter().for_each(|attribute| node.extend(field(5, &attribute.bytes())));
        self.with(1, &node)
    }

    pub fn floats(self, name: &str, sides: &[i64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, Kind::Float, sides, &raw)
    }

    pub fn integers(self, name: &str, sides: &[i64], values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, Kind::Int64, sides, &raw)
    }

    pub fn truth(self, name: &str) -> Self {
        self.tensor(name, Kind::Bool, &[], &[1])
    }

    fn tensor(self, name: &str, kind: Kind, sides: &[i64], raw: &[u8]) -> Self {
        let tensor = [dims(sides), whole(2, kind as u64), field(8, name.as_bytes()), field(9, raw)].concat();
        self.with(5, &tensor)
    }

    /// A tensor of floats whose values lie in another file.
    pub fn floats_elsewhere(self, name: &str, sides: &[i64], path: &str) -> Self {
        let location = [field(1, b"location"), field(2, path.as_bytes())].concat();
        let tensor = [
            dims(sides),
            whole(2, Kind::Float as u64),
            field(8, name.as_bytes()),
            field(13, &location),
            whole(14, 1),
        ]
        .concat();
        self.with(5, &tensor)
    }

    /// The whole file: ONNX IR 8, operators of version 13.
    pub fn file(self) -> Vec<u8> {
        let graph = self.with(2, b"made");
        [whole(1, 8), field(8, &whole(2, 13)), field(7, &graph.bytes)].concat()
    }
}

fn dims(sides: &[i64]) -> Vec<u8> {
    sides.iter().flat_map(|side| whole(1, *side as u64)).collect()
}

/// A named value; a side of 0 is known only when the network runs.
fn value(name: &str, kind: Kind, sides: &[i64]) -> Vec<u8> {
    let side = |side: &i64| field(1, &if *side == 0 { field(2, b"n") } else { whole(1, *side as u64) });
    let shape: Vec<u8> = sides.iter().flat_map(side).collect();
    let tensor = [whole(1, kind as u64), field(2, &shape)].concat();
    [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
}

/// Two classes by the mean of an image: logits `mean * weights + offsets`, then softmax.
pub fn by_mean(sides: [i64; 4], weights: [f32; 2], offsets: [f32; 2]) -> Graph {
    by_mean_with(sides, |graph| graph.floats("weights", &[1, 2], &weights), offsets)
}

/// The same, its weights put into the graph by `add`.
pub fn by_mean_with(sides: [i64; 4], add: impl FnOnce(Graph) -> Graph, offsets: [f32; 2]) -> Graph {
    add(Graph::default().input("image", Kind::Float, &sides))
        .floats("offsets", &[2], &offsets)
        .node(
            "ReduceMean",
            &["image"],
            &["means"],
            &[Attribute::Ints("axes", vec![2, 3]), Attribute::Int("keepdims", 0)],
        )
        .node("MatMul", &["means", "weights"], &["products"], &[])
        .node("Add", &["products", "offsets"], &["logits"], &[])
        .node("Softmax", &["logits"], &["probabilities"], &[Attribute::Int("axis", 1)])
        .output("probabilities", Kind::Float, &[1, 2])
}

/// Of each voxel the sum of itself and its neighbours, 27 in all, and what its sigmoid is.
pub fn sums_of_neighbours(sides: [i64; 3]) -> Graph {
    let sides = [1, 1, sides[0], sides[1], sides[2]];
    let around = |value| {
        Attribute::Ints(
            if value == 3 { "kernel_shape" } else { "pads" },
            vec![value; if value == 3 { 3 } else { 6 }],
        )
    };
    Graph::default()
        .input("image", Kind::Float, &sides)
        .floats("ones", &[1, 1, 3, 3, 3], &[1.0; 27])
        .node("Conv", &["image", "ones"], &["sums"], &[around(3), around(1)])
        .node("Sigmoid", &["sums"], &["mask"], &[])
        .output("mask", Kind::Float, &sides)
}

/// For grey images of 32 by 32: raw answers, twenty times what the mean of each pixel and its neighbours is above one half.
pub fn smoothed() -> Graph {
    let sides = [1, 1, 32, 32];
    Graph::default()
        .input("image", Kind::Float, &sides)
        .floats("mean", &[1, 1, 3, 3], &[1.0 / 9.0; 9])
        .floats("half", &[1], &[0.5])
        .floats("steep", &[1], &[20.0])
        .node(
            "Conv",
            &["image", "mean"],
            &["smooth"],
            &[Attribute::Ints("kernel_shape", vec![3; 2]), Attribute::Ints("pads", vec![1; 4])],
        )
        .node("Sub", &["smooth", "half"], &["above"], &[])
        .node("Mul", &["above", "steep"], &["answers"], &[])
        .output("answers", Kind::Float, &sides)
}

/// Never comes to its end: its condition stays true.
pub fn endless(sides: [i64; 4]) -> Graph {
    let body = Graph::default()
        .input("round", Kind::Int64, &[])
        .input("goes_on", Kind::Bool, &[])
        .input("held", Kind::Float, &[1, 2])
        .node("Identity", &["goes_on"], &["goes_on_still"], &[])
        .node("Softmax", &["held"], &["held_still"], &[Attribute::Int("axis", 1)])
        .output("goes_on_still", Kind::Bool, &[])
        .output("held_still", Kind::Float, &[1, 2]);
    // As many rounds as there are numbers.
    Graph::default()
        .input("image", Kind::Float, &sides)
        .integers("rounds", &[], &[i64::MAX])
        .truth("true")
        .floats("weights", &[1, 2], &[1.0, -1.0])
        .node(
            "ReduceMean",
            &["image"],
            &["means"],
            &[Attribute::Ints("axes", vec![2, 3]), Attribute::Int("keepdims", 0)],
        )
        .node("MatMul", &["means", "weights"], &["logits"], &[])
        .node(
            "Loop",
            &["rounds", "true", "logits"],
            &["probabilities"],
            &[Attribute::Graph("body", body.with(2, b"body"))],
        )
        .output("probabilities", Kind::Float, &[1, 2])
}

/// Wants a tensor of so many floats.
pub fn hungry(sides: [i64; 4], floats: i64) -> Graph {
    let means = [Attribute::Ints("axes", vec![2, 3]), Attribute::Int("keepdims", 0)];
    let rows = [Attribute::Ints("axes", vec![1]), Attribute::Int("keepdims", 1)];
    Graph::default()
        .input("image", Kind::Float, &sides)
        .integers("large", &[2], &[2, floats / 2])
        .node("ReduceMean", &["image"], &["means"], &means)
        .node("Expand", &["means", "large"], &["expanded"], &[])
        .node("Sin", &["expanded"], &["sines"], &[])
        .node("ReduceMean", &["sines"], &["rows"], &rows)
        .node("Transpose", &["rows"], &["logits"], &[Attribute::Ints("perm", vec![1, 0])])
        .node("Softmax", &["logits"], &["probabilities"], &[Attribute::Int("axis", 1)])
        .output("probabilities", Kind::Float, &[1, 2])
}
