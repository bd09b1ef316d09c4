//! A convolution's weights, which stay where they are until they are packed.

use kernels::Direction;
use tract_onnx::tract_core::internal::OutletId;

use super::constants;
use super::recognize::Graph;

/// How weights lie beside how the kernels take them.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// The same.
    Same,
    /// `[in, out]`, which become `[out, in]`.
    Turned,
    /// As tract has those of a transposed convolution, `[out, in / groups, …]`: they become `[in, out / groups, …]`.
    Deconv,
}

/// A convolution's weights, by where they come from.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    outlet: OutletId,
    order: Order,
    /// What the sums of each output channel are multiplied by.
    scale: Option<Vec<f32>>,
}

/// The channels that weights are of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Between {
    pub ins: usize,
    pub outs: usize,
    pub groups: usize,
    pub direction: Direction,
}

impl Weights {
    /// Weights that lie as the kernels take them.
    pub fn of(outlet: OutletId) -> Self {
        Weights { outlet, order: Order::Same, scale: None }
    }

    /// Weights `[in, out]` of a product.
    pub fn turned(outlet: OutletId) -> Self {
        Weights { order: Order::Turned, ..Weights::of(outlet) }
    }

    /// Weights of a transposed convolution of tract's.
    pub fn of_deconv(outlet: OutletId) -> Self {
        Weights { order: Order::Deconv, ..Weights::of(outlet) }
    }

    /// Multiplies the sums of each output channel by its factor.
    pub fn scale(&mut self, by: &[f32]) {
        match &mut self.scale {
            Some(scale) => scale.iter_mut().zip(by).for_each(|(it, by)| *it *= by),
            None => self.scale = Some(by.to_vec()),
        }
    }

    /// The numbers as the kernels take them; none where the constants that they hang on cannot be reckoned out.
    pub fn numbers(&self, graph: &Graph<'_>, between: Between) -> Option<Vec<f32>> {
        let Between { ins, outs, groups, .. } = between;
        let numbers = constants::numbers(graph, self.outlet)?;
        if ins == 0 || outs == 0 || groups == 0 || !numbers.len().is_multiple_of(outs * (ins / groups).max(1))
        {
            return None;
        }
        let mut numbers = match self.order {
            Order::Same => numbers,
            Order::Turned => {
                let ins = numbers.len() / outs;
                (0..ins * outs).map(|place| numbers[place % ins * outs + place / ins]).collect()
            }
            Order::Deconv => {
                let (group_in, group_out) = (ins / groups, outs / groups);
                let taps = numbers.len() / (outs * group_in);
                let mut turned = Vec::with_capacity(numbers.len());
                for (channel, out) in
                    (0..ins).flat_map(|channel| (0..group_out).map(move |out| (channel, out)))
                {
                    let from = (channel / group_in * group_out + out) * group_in + channel % group_in;
                    turned.extend_from_slice(&numbers[from * taps..][..taps]);
                }
                turned
            }
        };
        if let Some(scale) = &self.scale {
            scaled(&mut numbers, scale, between);
        }
        Some(numbers)
    }
}

/// Scales the weights of each output channel by its factor.
fn scaled(weights: &mut [f32], by: &[f32], between: Between) {
    let Between { ins, outs, groups, direction } = between;
    if direction == Direction::Forward {
        let each = weights.len() / outs;
        for (weights, by) in weights.chunks_exact_mut(each).zip(by) {
            weights.iter_mut().for_each(|it| *it *= by);
        }
        return;
    }
    // [in, out / groups, …]: the outputs of an input's group, one after another
    let (group_in, group_out) = (ins / groups, outs / groups);
    let taps = weights.len() / (ins * group_out);
    for (place, weights) in weights.chunks_exact_mut(taps).enumerate() {
        let (channel, out) = (place / group_out, place % group_out);
        let by = by[channel / group_in * group_out + out];
        weights.iter_mut().for_each(|it| *it *= by);
    }
}
