//! Walks over the pixels of a tensor block by block, a few at a time, so that what follows finds them in the cache.

use crate::activation::Finish;
use crate::error::KernelError;
use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::tensor::{View, ViewMut};
use crate::workers::{Scratch, SharedMut, Workers};

/// Pixels between a computation and the activation that follows it: 4 KiB.
const RUN: usize = 64;

/// Where the numbers of an operator come from that may also stand where they are.
pub(crate) enum From<'a> {
    Another(View<'a>),
    ItsPlace,
}

/// Calls `compute(block, place, from, to, pixels)` for every run of pixels, then the activation; `place` counts floats
/// from the beginning of the tensor.
pub(crate) fn each_run(
    workers: &dyn Workers,
    table: &'static Table,
    finish: &Finish,
    from: From<'_>,
    output: &mut ViewMut<'_>,
    compute: &(dyn Fn(usize, usize, *const f32, *mut f32, usize) + Sync),
) -> Result<(), KernelError> {
    if let From::Another(view) = &from
        && (view.blocks() != output.blocks() || view.extent() != output.extent())
    {
        return Err(KernelError::Mismatch("the input and output of a pointwise operator"));
    }
    let (blocks, pixels) = (output.blocks(), output.view().pixels());
    let to = SharedMut(output.data().as_mut_ptr());
    let from = match &from {
        From::Another(view) => crate::workers::Shared(view.data().as_ptr()),
        From::ItsPlace => crate::workers::Shared(to.0),
    };
    Scratch::new().spread(workers, 0, blocks, &|block, _| {
        let mut first = 0;
        while first < pixels {
            let count = RUN.min(pixels - first);
            let place = (block * pixels + first) * LANES;
            // SAFETY: the run lies within the block of both tensors, and each task has a block of its own.
            unsafe {
                let at = to.at(place);
                compute(block, place, from.at(place), at, count);
                finish.bend(table, at, count, LANES, block);
            }
            first += count;
        }
    });
    Ok(())
}
