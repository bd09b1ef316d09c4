//! Our own kernels inside tract: channel-blocked, Winograd where it pays, nothing to install.
//!
//! What has a kernel of ours is cut out of tract's graph in regions, as large as they can be, and each becomes one
//! operator with its own plan and memory. What no region covers stays tract's. One image a thread is the default.

mod constants;
mod operator;
mod patterns;
mod places;
mod plan;
mod recognize;
mod regions;
mod resizing;
mod shape;
mod steps;
mod unit;
mod values;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use kernels::{Isa, KernelError, OneThread, Workers};
use models::Card;
use ndarray::ArrayViewD;
use tract_onnx::tract_core::internal::*;

use super::tract::{TractNetwork, typed_model};
use super::{Coverage, InferenceBackend, LoadedNetwork, Outputs, RegionFigures, guarded};
use crate::InferenceError;
use operator::Region;
use plan::{Plan, Way};
use recognize::Graph;
use regions::Regions;
use shape::Frame;

const NAME: &str = "blocked";

/// Runs ONNX networks with our own kernels, and tract where those end.
#[derive(Clone)]
pub struct BlockedBackend {
    isa: Isa,
    is_exact: bool,
    workers: Arc<dyn Workers + Send>,
}

impl fmt::Debug for BlockedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("BlockedBackend");
        f.field("isa", &self.isa)
            .field("exact", &self.is_exact)
            .field("threads", &self.workers.count())
            .finish()
    }
}

impl Default for BlockedBackend {
    fn default() -> Self {
        BlockedBackend { isa: Isa::best(), is_exact: false, workers: Arc::new(OneThread) }
    }
}

impl BlockedBackend {
    /// The same with these instructions and no others.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotAvailable`] where the processor lacks them.
    pub fn with_isa(self, isa: Isa) -> Result<Self, InferenceError> {
        if !isa.is_present() {
            let reason = KernelError::MissingIsa(isa).to_string();
            return Err(InferenceError::NotAvailable { backend: NAME, reason });
        }
        Ok(BlockedBackend { isa, ..self })
    }

    /// The same with plain sums only, whatever the card says.
    #[must_use]
    pub fn exact(self) -> Self {
        BlockedBackend { is_exact: true, ..self }
    }

    /// The same with so many threads for one image: for a large image or a volume that comes alone. The answers are the
    /// same, bit by bit.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotAvailable`] where the system gives no threads.
    pub fn with_threads(self, threads: usize) -> Result<Self, InferenceError> {
        if threads <= 1 {
            return Ok(BlockedBackend { workers: Arc::new(OneThread), ..self });
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool =
            pool.map_err(|error| InferenceError::NotAvailable { backend: NAME, reason: error.to_string() })?;
        Ok(BlockedBackend { workers: Arc::new(Threads(pool)), ..self })
    }

    /// Replaces what has kernels of ours by regions.
    fn cut(&self, model: &mut TypedModel, is_exact: bool) -> TractResult<Coverage> {
        let Some(frame) = Frame::of(model) else { return Ok(Coverage::default()) };
        let regions = Regions::of(&Graph { model, frame, isa: self.isa })?;
        let mut coverage =
            Coverage { multiplications: regions.left, ended_by: regions.ended_by, ..Coverage::default() };
        let mut patch = TypedModelPatch::new("regions");
        let mut done: HashMap<OutletId, OutletId> = HashMap::new();
        for (number, values) in regions.all.into_iter().enumerate() {
            let taken: Vec<OutletId> = values.inputs.iter().map(|(outlet, _)| *outlet).collect();
            let given: Vec<OutletId> = values.outputs.iter().map(|(outlet, _)| *outlet).collect();
            let plan = Plan::new(values, Way { isa: self.isa, is_exact })?;
            coverage.multiplications += plan.multiplications * frame.images as u64;
            coverage.covered += plan.multiplications * frame.images as u64;
            coverage.regions.push(figures(&plan));
            let facts = given.iter().map(|outlet| {
                let fact = model.outlet_fact(*outlet)?;
                Ok(f32::fact(fact.shape.as_concrete().context("a covered value has a known shape")?))
            });
            let region = Region::new(
                plan,
                frame.images,
                facts.collect::<TractResult<_>>()?,
                Arc::clone(&self.workers),
            );
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
        if !patch.is_empty() {
            patch.apply(model)?;
            model.compact()?;
        }
        Ok(coverage)
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

/// Threads of one's own.
struct Threads(rayon::ThreadPool);

impl Workers for Threads {
    fn count(&self) -> usize {
        self.0.current_num_threads()
    }

    fn each(&self, work: &(dyn Fn(usize) + Sync)) {
        self.0.broadcast(|context| work(context.index()));
    }
}

struct BlockedNetwork {
    network: TractNetwork,
    isa: Isa,
    coverage: Coverage,
}

impl InferenceBackend for BlockedBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        format!("{} ({})", env!("CARGO_PKG_VERSION"), self.isa)
    }

    fn load(&self, card: &Card, weights: &[u8]) -> Result<Box<dyn LoadedNetwork>, InferenceError> {
        let not_loaded = |reason| InferenceError::NotLoaded { backend: NAME, network: card.title(), reason };
        let mut model = typed_model(NAME, card, weights)?;
        let is_exact = self.is_exact || card.run.exact;
        let coverage = guarded(|| self.cut(&mut model, is_exact)).map_err(not_loaded)?;
        let most = card.run.memory_limit_mib << 20;
        if coverage.memory_bytes() + coverage.weights_bytes() > most {
            let asked = (coverage.memory_bytes() + coverage.weights_bytes()).div_ceil(1 << 20);
            let most = card.run.memory_limit_mib;
            return Err(not_loaded(format!("it needs {asked} MiB of memory, its card allows {most} MiB")));
        }
        let network = TractNetwork::new(NAME, card, model)?;
        Ok(Box::new(BlockedNetwork { network, isa: self.isa, coverage }))
    }
}

impl LoadedNetwork for BlockedNetwork {
    fn run(&self, input: ArrayViewD<'_, f32>) -> Result<Outputs, InferenceError> {
        let is_finite = match input.as_slice() {
            Some(numbers) => kernels::is_finite(self.isa, numbers).unwrap_or(false),
            None => input.iter().all(|it| it.is_finite()),
        };
        if !is_finite {
            return Err(InferenceError::NotRun(
                "its input holds an infinite value or none at all".to_owned(),
            ));
        }
        self.network.run(input)
    }

    fn coverage(&self) -> Option<&Coverage> {
        Some(&self.coverage)
    }
}

#[cfg(test)]
mod random_graphs;
#[cfg(test)]
mod tests;
