//! Our own kernels inside tract: channel-blocked, Winograd where it pays, nothing to install.
//!
//! What has a kernel of ours is cut out of tract's graph in regions, as large as they can be, and each becomes one
//! operator with its own plan and memory. What no region covers stays tract's. One image a thread is the default.

mod constants;
mod cut;
mod given;
mod operator;
mod packing;
mod patterns;
mod places;
mod plan;
mod recognize;
mod regions;
mod resizing;
mod shape;
mod shelf;
mod steps;
mod unit;
mod values;
mod weights;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use kernels::{Isa, KernelError, OneThread, Workers};
use models::{Card, Precision};
use ndarray::ArrayViewD;

use super::tract::{TractNetwork, known, typed_model};
use super::{Coverage, InferenceBackend, LoadedNetwork, Outputs, guarded};
use crate::InferenceError;
use cut::Cut;
use given::Given;
use packing::{Keeping, Packing};
use plan::Way;
use shelf::Shelf;

const NAME: &str = "blocked";

/// Runs ONNX networks with our own kernels, and tract where those end.
#[derive(Clone)]
pub struct BlockedBackend {
    isa: Isa,
    is_exact: bool,
    precision: Precision,
    workers: Arc<dyn Workers + Send>,
    shelf: Option<Shelf>,
}

impl fmt::Debug for BlockedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("BlockedBackend");
        f.field("isa", &self.isa)
            .field("exact", &self.is_exact)
            .field("precision", &self.precision)
            .field("threads", &self.workers.count())
            .finish()
    }
}

impl Default for BlockedBackend {
    fn default() -> Self {
        BlockedBackend {
            isa: Isa::best(),
            is_exact: false,
            precision: Precision::F32,
            workers: Arc::new(OneThread),
            shelf: None,
        }
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

    /// The same, reckoning in bf16 for the cards that allow it: plain sums take half the time there, Winograd's stay in `f32`.
    ///
    /// # Errors
    ///
    /// [`InferenceError::NotAvailable`] where the instructions do not.
    pub fn in_bf16(self) -> Result<Self, InferenceError> {
        if self.isa.has_bf16() {
            return Ok(BlockedBackend { precision: Precision::Bf16, ..self });
        }
        let reason = KernelError::MissingBf16(self.isa).to_string();
        Err(InferenceError::NotAvailable { backend: NAME, reason })
    }

    /// The same with packed weights kept in this folder, which other processes may use at the same time: a network is packed
    /// once, and later only mapped. Nothing but such files should lie there.
    #[must_use]
    pub fn with_packed_weights_in(self, folder: &Path) -> Self {
        BlockedBackend { shelf: Some(Shelf::at(folder)), ..self }
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
}

/// What the packed weights of a network hang on, beside the version of the kernels' layout that they name themselves.
fn key(card: &Card, way: Way, weights: &[u8]) -> String {
    let (version, sha256, hash) = (env!("CARGO_PKG_VERSION"), &card.sha256, shelf::fingerprint(weights));
    let Way { isa, is_exact, precision } = way;
    let (shape, tensors) = (&card.input.shape, card.tensors());
    format!("{version} {isa} {is_exact} {precision:?} {sha256} {hash:016x} {shape:?} {tensors:?}")
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
    precision: Precision,
    coverage: Coverage,
    /// Its weights on their way to the shelf; held until the network goes.
    keeping: Keeping,
}

impl InferenceBackend for BlockedBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        format!("{} ({})", env!("CARGO_PKG_VERSION"), self.isa)
    }

    fn keeps_packed_weights(&self) -> bool {
        self.shelf.is_some()
    }

    fn load(&self, card: &Card, weights: &[u8]) -> Result<Box<dyn LoadedNetwork>, InferenceError> {
        let not_loaded = |reason| InferenceError::NotLoaded { backend: NAME, network: card.title(), reason };
        let (file, numbers) = known(NAME, card, weights)?.with_weights_apart();
        let mut model = typed_model(NAME, card, file)?;
        let given = Given::of(&model, &numbers);
        let is_exact = self.is_exact || card.run.exact;
        let precision =
            if card.run.bears(self.precision) && !is_exact { self.precision } else { Precision::F32 };
        let way = Way { isa: self.isa, is_exact, precision };
        let mut packing = match &self.shelf {
            Some(shelf) => Packing::on(shelf, key(card, way, weights)),
            None => Packing::Here,
        };
        let cut = Cut { way, workers: &self.workers, packing: &mut packing };
        let coverage = guarded(|| cut.regions(&mut model, given)).map_err(not_loaded)?;
        let most = card.run.memory_limit_mib << 20;
        if coverage.memory_bytes() + coverage.weights_bytes() > most {
            let asked = (coverage.memory_bytes() + coverage.weights_bytes()).div_ceil(1 << 20);
            let most = card.run.memory_limit_mib;
            return Err(not_loaded(format!("it needs {asked} MiB of memory, its card allows {most} MiB")));
        }
        let network = TractNetwork::new(NAME, card, model)?;
        let keeping = packing.finish();
        Ok(Box::new(BlockedNetwork { network, isa: self.isa, precision, coverage, keeping }))
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

    fn settle(&self) {
        self.keeping.wait();
    }

    fn precision(&self) -> Precision {
        self.precision
    }

    fn coverage(&self) -> Option<&Coverage> {
        Some(&self.coverage)
    }
}

#[cfg(test)]
mod random_graphs;
#[cfg(test)]
mod tests;
