//! The values of one region, each with what makes it, and what can be done while another is made.

use kernels::{Activation, Pair};
use tract_onnx::tract_core::internal::OutletId;

use super::shape::Shape;
use super::unit::{Before, Convolve, Doing, Scale};

/// A value of a region.
#[derive(Debug)]
pub(super) struct Value {
    pub doing: Doing,
    pub inputs: Vec<usize>,
    pub shape: Shape,
    /// tract's node that gives it.
    pub node: usize,
    /// How often the region itself needs it.
    pub uses: usize,
    /// Whether somebody outside needs it.
    pub is_output: bool,
}

/// The values of a region, each after those that it is made of.
#[derive(Debug, Default)]
pub(super) struct Values {
    pub all: Vec<Value>,
    /// Where each value from outside comes from.
    pub inputs: Vec<(OutletId, usize)>,
    pub outputs: Vec<(OutletId, usize)>,
}

impl Values {
    /// A value with its shape and the node that gives it.
    pub fn add(&mut self, doing: Doing, inputs: Vec<usize>, (shape, node): (Shape, usize)) -> usize {
        for input in &inputs {
            self.all[*input].uses += 1;
        }
        self.all.push(Value { doing, inputs, shape, node, uses: 0, is_output: false });
        self.all.len() - 1
    }

    /// tract's nodes that give values made here.
    pub fn nodes(&self) -> impl Iterator<Item = usize> {
        self.all.iter().filter(|it| !matches!(it.doing, Doing::Input)).map(|it| it.node)
    }

    /// Brings what can be done at once into one value: activations, scales, sums.
    pub fn fuse(&mut self) {
        for index in 0..self.all.len() {
            let is_done = self.merge_into_before(index) || self.take_in_residual(index);
            if !is_done {
                self.put_before(index);
            }
        }
    }

    /// Whether a value serves one other value alone.
    fn is_private(&self, value: usize) -> bool {
        self.all[value].uses == 1 && !self.all[value].is_output
    }

    /// Lets the value before do this one's work too, where it can; this value is the other one then.
    fn merge_into_before(&mut self, index: usize) -> bool {
        let Some(before) = self.all[index].inputs.first().copied() else { return false };
        let (earlier, later) = self.all.split_at_mut(index);
        let (it, before_it) = (&mut later[0], &mut earlier[before]);
        let is_done = match &it.doing {
            Doing::Rename(None) => true,
            Doing::Scale(scale) if before_it.uses == 1 && !before_it.is_output => {
                takes_in(&mut before_it.doing, scale)
            }
            _ => false,
        };
        if is_done {
            it.doing = Doing::Gone;
            self.replace(index, before);
        }
        is_done
    }

    /// Whoever needs `gone` needs `by` from now on.
    fn replace(&mut self, gone: usize, by: usize) {
        let (uses, is_output) = (self.all[gone].uses, self.all[gone].is_output);
        self.all[by].uses += uses;
        self.all[by].uses -= 1;
        self.all[by].is_output |= is_output;
        self.all[gone].inputs.clear();
        for value in &mut self.all[gone + 1..] {
            value.inputs.iter_mut().filter(|it| **it == gone).for_each(|it| *it = by);
        }
        self.outputs.iter_mut().filter(|(_, it)| *it == gone).for_each(|(_, it)| *it = by);
    }

    /// A sum of a convolution and something else becomes the convolution with a residual.
    fn take_in_residual(&mut self, index: usize) -> bool {
        let (Doing::Join(Pair::Add, activation), [left, right]) =
            (&self.all[index].doing, &self.all[index].inputs[..])
        else {
            return false;
        };
        let (activation, pair) = (activation.clone(), [(*left, *right), (*right, *left)]);
        let shape = self.all[index].shape;
        let can = |(sums, residual): &(usize, usize)| {
            let Doing::Convolve(convolve) = &self.all[*sums].doing else { return false };
            let in_channels = self.all[self.all[*sums].inputs[0]].shape.channels;
            sums != residual
                && self.is_private(*sums)
                && convolve.activation == Activation::None
                && !convolve.has_residual
                && !convolve.is_depthwise(in_channels)
                && self.all[*residual].shape == shape
                && self.all[*sums].shape == shape
        };
        // the later one, since the other is there by then
        let mut pair = pair;
        pair.sort_by_key(|(sums, _)| std::cmp::Reverse(*sums));
        let Some((sums, residual)) = pair.into_iter().find(can) else { return false };
        let Doing::Convolve(mut convolve) = std::mem::replace(&mut self.all[sums].doing, Doing::Gone) else {
            return false;
        };
        convolve.has_residual = true;
        convolve.activation = activation;
        let mut inputs = std::mem::take(&mut self.all[sums].inputs);
        inputs.push(residual);
        self.all[sums].uses = 0;
        self.all[index].doing = Doing::Convolve(convolve);
        self.all[index].inputs = inputs;
        true
    }

    /// A scale or a normalization that one convolution alone needs is done while that reads its input.
    fn put_before(&mut self, index: usize) {
        let Doing::Convolve(convolve) = &self.all[index].doing else { return };
        let input = self.all[index].inputs[0];
        let before = match &self.all[input].doing {
            Doing::Scale(scale) => Before::Scale(scale.clone()),
            Doing::Normalize(normalize) => Before::Normalize(normalize.clone()),
            _ => return,
        };
        let is_simple =
            matches!(before.activation(), Activation::None | Activation::Relu | Activation::LeakyRelu(_));
        let can = is_simple
            && convolve.before.is_none()
            && !convolve.is_depthwise(self.all[input].shape.channels)
            && self.is_private(input);
        if !can {
            return;
        }
        let source = self.all[input].inputs[0];
        self.all[input].doing = Doing::Gone;
        self.all[input].inputs.clear();
        self.all[input].uses = 0;
        self.all[index].inputs[0] = source;
        if let Doing::Convolve(convolve) = &mut self.all[index].doing {
            convolve.before = Some(before);
        }
    }
}

/// Whether `doing` now does `scale` as well.
fn takes_in(doing: &mut Doing, scale: &Scale) -> bool {
    match doing {
        Doing::Convolve(convolve) => {
            if let Some((by, shift)) = &scale.by {
                if convolve.activation != Activation::None || convolve.has_residual {
                    return false;
                }
                scale_convolution(convolve, by, shift);
            }
            bends(&mut convolve.activation, &scale.activation)
        }
        Doing::Scale(before) => {
            if let Some((by, shift)) = &scale.by {
                if before.activation != Activation::None {
                    return false;
                }
                before.by = Some(match before.by.take() {
                    None => (by.clone(), shift.clone()),
                    Some((first, first_shift)) => composed((first, first_shift), (by, shift)),
                });
            }
            bends(&mut before.activation, &scale.activation)
        }
        Doing::Join(_, activation) if scale.by.is_none() => bends(activation, &scale.activation),
        Doing::Normalize(normalize) if scale.by.is_none() => {
            bends(&mut normalize.activation, &scale.activation)
        }
        _ => false,
    }
}

/// One activation after another as one, where there is such a one.
fn bends(before: &mut Activation, after: &Activation) -> bool {
    let joined = match (&*before, after) {
        (Activation::None, after) => after.clone(),
        (before, Activation::None) => before.clone(),
        (before, after) => match (bounds(before), bounds(after)) {
            (Some((low, high)), Some((floor, ceiling))) if low <= high && floor <= ceiling => {
                Activation::Clip { min: low.clamp(floor, ceiling), max: high.clamp(floor, ceiling) }
            }
            _ => return false,
        },
    };
    *before = joined;
    true
}

fn bounds(activation: &Activation) -> Option<(f32, f32)> {
    match activation {
        Activation::Relu => Some((0.0, f32::INFINITY)),
        Activation::Clip { min, max } => Some((*min, *max)),
        _ => None,
    }
}

/// `by * (first * x + first_shift) + shift`
fn composed(
    (first, first_shift): (Vec<f32>, Vec<f32>),
    (by, shift): (&[f32], &[f32]),
) -> (Vec<f32>, Vec<f32>) {
    let scale = first.iter().zip(by).map(|(first, by)| first * by).collect();
    let shifts = first_shift.iter().zip(by.iter().zip(shift));
    (scale, shifts.map(|(first, (by, shift))| first * by + shift).collect())
}

/// Scales each output channel by its factor, and shifts it.
fn scale_convolution(convolve: &mut Convolve, by: &[f32], shift: &[f32]) {
    convolve.weights.scale(by);
    for (bias, (by, shift)) in convolve.bias.iter_mut().zip(by.iter().zip(shift)) {
        *bias = *bias * by + shift;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_one_after_another_are_the_narrower_ones() {
        let clip = |min, max| Activation::Clip { min, max };
        let mut relu6 = Activation::Relu;
        assert!(bends(&mut relu6, &clip(f32::NEG_INFINITY, 6.0)));
        assert_eq!(relu6, clip(0.0, 6.0));
        assert!(!bends(&mut relu6, &Activation::Silu));
        let mut none = Activation::None;
        assert!(bends(&mut none, &Activation::Silu));
        assert_eq!(none, Activation::Silu);
    }

    #[test]
    fn a_scale_after_a_scale_is_one_scale() {
        let both = composed((vec![2.0], vec![1.0]), (&[3.0], &[-1.0]));
        assert_eq!(both, (vec![6.0], vec![2.0]), "3 * (2 x + 1) - 1 = 6 x + 2");
    }
}
