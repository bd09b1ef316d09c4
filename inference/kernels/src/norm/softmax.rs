//! Softmax over the channels of each pixel.

use crate::error::KernelError;
use crate::isa::Isa;
use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::tensor::{Buffer, Channels, View, ViewMut};
use crate::workers::{Scratch, Shared, SharedMut, Workers};

/// Pixels of one piece of work.
const RUN: usize = 256;

/// `e^x / Σ e^x`, the sum over all channels of a pixel. Less than 2⁻¹²⁶ becomes 0.
#[derive(Clone)]
pub struct Softmax {
    table: &'static Table,
    /// 0 for a channel, -∞ for a place without one.
    mask: Buffer,
}

impl std::fmt::Debug for Softmax {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Softmax").finish_non_exhaustive()
    }
}

impl Softmax {
    /// For tensors whose channels lie like this.
    ///
    /// # Errors
    ///
    /// [`KernelError::MissingIsa`].
    pub fn new(channels: &Channels, isa: Isa) -> Result<Self, KernelError> {
        let mut mask = Buffer::zeros(channels.slots().len());
        for (place, slot) in mask.iter_mut().zip(channels.slots()) {
            *place = if slot.is_some() { 0.0 } else { f32::NEG_INFINITY };
        }
        Ok(Softmax { table: isa.table()?, mask })
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
    ) -> Result<(), KernelError> {
        let blocks = self.mask.len() / LANES;
        if input.blocks() != blocks || output.blocks() != blocks || input.extent() != output.extent() {
            return Err(KernelError::Mismatch("the input or output of a softmax"));
        }
        let pixels = input.pixels();
        let (from, to) = (Shared(input.data().as_ptr()), SharedMut(output.data().as_mut_ptr()));
        Scratch::new().spread(workers, 0, pixels.div_ceil(RUN), &|run, _| {
            let first = run * RUN;
            // SAFETY: the run lies within every block of both tensors; the mask has sixteen numbers for each block.
            unsafe {
                let (from, to) = (from.at(first * LANES), to.at(first * LANES));
                let count = RUN.min(pixels - first);
                (self.table.softmax)(from, to, count, (blocks, pixels * LANES), self.mask.as_ptr());
            }
        });
        Ok(())
    }
}
