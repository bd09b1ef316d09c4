//! A region as one operator of tract's.

use std::sync::{Arc, Mutex, PoisonError};

use kernels::Workers;
use tract_onnx::tract_core::internal::*;

use super::plan::Plan;
use super::steps::Memory;

/// A region as one operator of tract's; a batch is one image after another.
#[derive(Clone)]
pub(super) struct Region {
    plan: Arc<Plan>,
    images: usize,
    facts: TVec<TypedFact>,
    workers: Arc<dyn Workers + Send>,
    /// What earlier runs worked in.
    idle: Arc<Mutex<Vec<Memory>>>,
}

impl Region {
    pub fn new(plan: Plan, images: usize, facts: TVec<TypedFact>, workers: Arc<dyn Workers + Send>) -> Self {
        Region { plan: Arc::new(plan), images, facts, workers, idle: Arc::default() }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Memory>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Region {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Region of {} steps", self.plan.steps.len())
    }
}

impl PartialEq for Region {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.plan, &other.plan)
    }
}

impl Eq for Region {}

impl Op for Region {
    fn name(&self) -> StaticName {
        "BlockedRegion".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Region {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let idle = self.idle().pop();
        let mut memory = idle.unwrap_or_else(|| Memory::of(&self.plan));
        let views =
            inputs.iter().map(|it| it.to_plain_array_view::<f32>()).collect::<TractResult<Vec<_>>>()?;
        let inputs: Option<Vec<&[f32]>> = views.iter().map(|view| view.to_slice()).collect();
        let inputs = inputs.context("tract keeps numbers side by side")?;
        let mut outputs = TVec::new();
        for fact in &self.facts {
            let sides = fact.shape.as_concrete().context("the outputs of a region have known shapes")?;
            outputs.push(Tensor::zero::<f32>(sides)?);
        }
        {
            let mut all: Vec<&mut [f32]> = Vec::new();
            for output in &mut outputs {
                let view = output.to_plain_array_view_mut::<f32>()?;
                all.push(view.into_slice().context("tract keeps numbers side by side")?);
            }
            for image in 0..self.images {
                let inputs: Vec<&[f32]> = inputs.iter().map(|all| part(all, self.images, image)).collect();
                let mut outputs: Vec<&mut [f32]> =
                    all.iter_mut().map(|all| part_mut(all, self.images, image)).collect();
                self.plan.run(self.workers.as_ref(), &mut memory, &inputs, &mut outputs)?;
            }
        }
        self.idle().push(memory);
        Ok(outputs.into_iter().map(IntoTValue::into_tvalue).collect())
    }
}

impl TypedOp for Region {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.facts.clone())
    }

    as_op!();
}

fn part(all: &[f32], images: usize, image: usize) -> &[f32] {
    let len = all.len() / images;
    &all[image * len..][..len]
}

fn part_mut(all: &mut [f32], images: usize, image: usize) -> &mut [f32] {
    let len = all.len() / images;
    &mut all[image * len..][..len]
}
