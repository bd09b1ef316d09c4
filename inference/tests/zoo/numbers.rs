//! Weights that look random and are the same in every run.

use tract_onnx::pb;

/// Numbers that are made; more than these are the same again. A prime, so that no layer's rows are alike.
const MADE: usize = 65_521;

/// Makes tensors, each of other numbers.
pub struct Numbers {
    /// From -1 to 1.
    made: Vec<f32>,
    tensors: usize,
}

impl Numbers {
    /// By xorshift64 (Marsaglia 2003).
    pub fn new() -> Numbers {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        Numbers { made: (0..MADE).map(|_| next()).collect(), tensors: 0 }
    }

    /// A tensor of numbers from `low` to `high`.
    pub fn between(&mut self, name: &str, sides: &[i64], low: f32, high: f32) -> pb::TensorProto {
        let first = self.tensors * 7919 % MADE;
        self.tensors += 1;
        let turned = self.made[first..].iter().chain(&self.made[..first]);
        let numbers = turned.map(|it| low + (it + 1.0) / 2.0 * (high - low));
        let bytes: Vec<u8> = numbers.flat_map(f32::to_le_bytes).collect();
        let mut left = sides.iter().product::<i64>() as usize * size_of::<f32>();
        let mut raw_data = Vec::with_capacity(left);
        while left > 0 {
            raw_data.extend_from_slice(&bytes[..left.min(bytes.len())]);
            left -= left.min(bytes.len());
        }
        pb::TensorProto {
            name: name.to_owned(),
            dims: sides.to_vec(),
            data_type: 1,
            raw_data,
            ..Default::default()
        }
    }

    /// Weights of a layer whose every output is a sum of `inputs`: sums keep the size of what goes in, times `gain`'s root.
    pub fn weights(&mut self, name: &str, sides: &[i64], inputs: i64, gain: f32) -> pb::TensorProto {
        // a uniform distribution's variance is a third of its bound's square
        let bound = (3.0 * gain / inputs as f32).sqrt();
        self.between(name, sides, -bound, bound)
    }
}
