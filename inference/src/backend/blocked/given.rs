//! Weights that stay in the network's file until they are packed.

use std::collections::{BTreeMap, HashMap, HashSet};

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;

/// Numbers that a graph takes as inputs beside its image: little-endian, by node.
#[derive(Debug, Default)]
pub(super) struct Given<'a> {
    by_node: HashMap<usize, &'a [u8]>,
}

impl<'a> Given<'a> {
    /// Those of these names.
    pub fn of(model: &TypedModel, by_name: &BTreeMap<String, &'a [u8]>) -> Given<'a> {
        let named = |input: &OutletId| Some((input.node, *by_name.get(&model.node(input.node).name)?));
        // the image comes first
        Given { by_node: model.inputs.iter().skip(1).filter_map(named).collect() }
    }

    pub fn has(&self, outlet: OutletId) -> bool {
        self.by_node.contains_key(&outlet.node)
    }

    /// The numbers of one of them.
    pub fn numbers(&self, outlet: OutletId) -> Option<Vec<f32>> {
        let (numbers, _) = self.by_node.get(&outlet.node)?.as_chunks::<4>();
        Some(numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// The numbers of one as tract has them.
    pub fn tensor(&self, model: &TypedModel, outlet: OutletId) -> Option<Arc<Tensor>> {
        let numbers = self.numbers(outlet)?;
        let fact = model.outlet_fact(outlet).ok()?;
        Some(Tensor::from_shape(fact.shape.as_concrete()?, &numbers).ok()?.into_arc_tensor())
    }

    /// Makes constants of those that the graph still needs; the others are inputs no more.
    ///
    /// # Errors
    ///
    /// tract's, where the graph is none.
    pub fn settle(self, model: &mut TypedModel) -> TractResult<()> {
        let order: HashSet<usize> = model.eval_order()?.into_iter().collect();
        for node in self.by_node.keys().copied() {
            let is_needed = model.node(node).outputs[0].successors.iter().any(|it| order.contains(&it.node));
            if is_needed {
                let value = self.tensor(model, OutletId::new(node, 0)).context("weights have their shape")?;
                model.nodes[node].outputs[0].fact = TypedFact::try_from(&value)?;
                model.nodes[node].op = Box::new(Const::new(value)?);
            }
        }
        model.inputs.retain(|input| !self.has(*input));
        Ok(())
    }
}
