//! Cuts regions out of tract's graph and puts operators of ours in their places.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kernels::{KernelError, Workers};
use tract_onnx::tract_core::internal::*;

use super::given::Given;
use super::operator::Region;
use super::packing::Packing;
use super::plan::{Plan, Refused, Way};
use super::recognize::Graph;
use super::regions::Regions;
use super::shape::Frame;
use crate::backend::{Coverage, RegionFigures};

/// Operators that are refused one by one; after that, whole regions are.
const FEW: usize = 8;

/// How regions are cut.
pub(super) struct Cut<'c> {
    pub way: Way,
    pub workers: &'c Arc<dyn Workers + Send>,
    pub packing: &'c mut Packing,
}

/// A plan, and which of the graph's values it takes and gives.
struct Planned {
    plan: Plan,
    taken: Vec<OutletId>,
    given: Vec<OutletId>,
}

impl Cut<'_> {
    /// Replaces what has kernels of ours by regions. What the kernels refuse stays tract's.
    ///
    /// # Errors
    ///
    /// Weights that are infinite or none, and tract's own errors.
    pub fn regions(mut self, model: &mut TypedModel, weights: Given<'_>) -> TractResult<Coverage> {
        let mut coverage = Coverage::default();
        if let Some(frame) = Frame::of(model) {
            let (regions, planned) = self.plans(model, &weights, frame)?;
            coverage.multiplications = regions.left;
            coverage.ended_by = regions.ended_by;
            for Planned { plan, .. } in &planned {
                coverage.multiplications += plan.multiplications * frame.images as u64;
                coverage.covered += plan.multiplications * frame.images as u64;
                coverage.regions.push(figures(plan));
            }
            self.put_in(model, planned, frame)?;
        }
        weights.settle(model)?;
        model.compact()?;
        Ok(coverage)
    }

    /// The regions and their plans, without what the kernels refuse.
    fn plans(
        &mut self,
        model: &TypedModel,
        weights: &Given<'_>,
        frame: Frame,
    ) -> TractResult<(Regions, Vec<Planned>)> {
        let mut refused = HashSet::new();
        let mut rounds = 0;
        'anew: loop {
            let graph = Graph { model, given: weights, frame, isa: self.way.isa, refused: &refused };
            let mut regions = Regions::of(&graph)?;
            let mut planned = Vec::new();
            for values in std::mem::take(&mut regions.all) {
                let taken = values.inputs.iter().map(|(outlet, _)| *outlet).collect();
                let given = values.outputs.iter().map(|(outlet, _)| *outlet).collect();
                let nodes: Vec<usize> = values.nodes().collect();
                match Plan::new(values, self.way, &graph, self.packing) {
                    Ok(plan) => planned.push(Planned { plan, taken, given }),
                    Err(_) if self.packing.is_stale() => {
                        self.packing.restart();
                        continue 'anew;
                    }
                    Err(Refused { error: error @ KernelError::NotFinite(_), .. }) => return Err(error.into()),
                    Err(Refused { node, .. }) => {
                        rounds += 1;
                        match node.filter(|_| rounds <= FEW) {
                            Some(node) => refused.extend([node]),
                            None => refused.extend(nodes),
                        }
                        self.packing.restart();
                        continue 'anew;
                    }
                }
            }
            return Ok((regions, planned));
        }
    }

    /// Puts the operators into the graph.
    fn put_in(&self, model: &mut TypedModel, planned: Vec<Planned>, frame: Frame) -> TractResult<()> {
        let mut patch = TypedModelPatch::new("regions");
        let mut done: HashMap<OutletId, OutletId> = HashMap::new();
        for (number, Planned { plan, taken, given }) in planned.into_iter().enumerate() {
            let facts = given.iter().map(|outlet| {
                let fact = model.outlet_fact(*outlet)?;
                Ok(f32::fact(fact.shape.as_concrete().context("a covered value has a known shape")?))
            });
            let facts = facts.collect::<TractResult<_>>()?;
            let region = Region::new(plan, frame.images, facts, Arc::clone(self.workers));
            let taps = taken.iter().map(|outlet| match done.get(outlet) {
                Some(tap) => Ok(*tap),
                None => patch.tap_model(model, *outlet),
            });
            let taps = taps.collect::<TractResult<Vec<_>>>()?;
            let wires = patch.wire_node(format!("region.{number}"), region, &taps)?;
            for (outlet, wire) in given.into_iter().zip(wires) {
                done.insert(outlet, wire);
                patch.shunt_outside(model, outlet, wire)?;
            }
        }
        if patch.is_empty() { Ok(()) } else { patch.apply(model) }
    }
}

fn figures(plan: &Plan) -> RegionFigures {
    RegionFigures {
        steps: plan.steps.len(),
        multiplications: plan.multiplications,
        memory_bytes: (plan.memory * size_of::<f32>()) as u64,
        weights_bytes: plan.weights as u64,
    }
}
