//! Local response normalization: a channel is divided by what its neighbours sum up to.

use crate::error::KernelError;
use crate::isa::Isa;
use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::primitive::across::Response;
use crate::tensor::{Buffer, Channels, View, ViewMut};
use crate::workers::{Scratch, Shared, SharedMut, Workers};

/// Pixels of one piece of work.
const RUN: usize = 256;

/// `x / (bias + alpha / size * Σ x²)^beta`, the sum over `size` channels around each: ONNX's LRN.
#[derive(Clone)]
pub struct LocalResponse {
    table: &'static Table,
    mask: Buffer,
    size: usize,
    alpha: f32,
    beta: f32,
    bias: f32,
}

impl std::fmt::Debug for LocalResponse {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = out.debug_struct("LocalResponse");
        out.field("size", &self.size)
            .field("alpha", &self.alpha)
            .field("beta", &self.beta)
            .finish_non_exhaustive()
    }
}

impl LocalResponse {
    /// For tensors whose channels lie in order.
    ///
    /// # Errors
    ///
    /// [`KernelError::Impossible`]: the channels lie otherwise, so that neighbours are not side by side;
    /// [`KernelError::Zero`], [`KernelError::TooLarge`], [`KernelError::MissingIsa`].
    pub fn new(
        channels: &Channels,
        size: usize,
        (alpha, beta, bias): (f32, f32, f32),
        isa: Isa,
    ) -> Result<Self, KernelError> {
        if !channels.is_dense() {
            return Err(KernelError::Impossible("local response normalization of channels out of order"));
        }
        if size == 0 {
            return Err(KernelError::Zero("the size of a local response normalization"));
        }
        if size > 1 << 16 {
            return Err(KernelError::TooLarge);
        }
        let mask = channels.spread(&vec![1.0; channels.count()])?;
        Ok(LocalResponse { table: isa.table()?, mask, size, alpha, beta, bias })
    }

    /// From one tensor to another, on one thread or several; the bits are the same.
    ///
    /// # Errors
    ///
    /// [`KernelError::Mismatch`]: the shapes differ.
    pub fn run_on(
        &self,
        workers: &dyn Workers,
        input: &View<'_>,
        output: &mut ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), KernelError> {
        let blocks = self.mask.len() / LANES;
        if input.blocks() != blocks || output.blocks() != blocks || input.extent() != output.extent() {
            return Err(KernelError::Mismatch("the input or output of a local response normalization"));
        }
        let pixels = input.pixels();
        let before = (self.size - 1) / 2;
        let response = Response {
            blocks,
            stride: pixels * LANES,
            mask: self.mask.as_ptr(),
            before,
            after: self.size - 1 - before,
            factor: self.alpha / self.size as f32,
            bias: self.bias,
            beta: self.beta,
        };
        let response = Every(response);
        let (from, to) = (Shared(input.data().as_ptr()), SharedMut(output.data().as_mut_ptr()));
        let line_len = blocks * LANES + self.size - 1;
        scratch.spread(workers, line_len, pixels.div_ceil(RUN), &|run, line| {
            let first = run * RUN;
            let count = RUN.min(pixels - first);
            line.fill(0.0);
            // SAFETY: the run lies within every block of both tensors; the line is as long as it must be.
            unsafe {
                let (from, to) = (from.at(first * LANES), to.at(first * LANES));
                (self.table.respond)(from, to, count, line.as_mut_ptr(), response.get());
            }
        });
        Ok(())
    }
}

/// What all tasks read.
struct Every(Response);

impl Every {
    fn get(&self) -> &Response {
        &self.0
    }
}

// SAFETY: its one address is of a buffer that is borrowed for as long and never written.
unsafe impl Sync for Every {}
