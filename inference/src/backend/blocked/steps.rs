//! Runs the steps of a region over its memory.

use std::ops::Range;

use kernels::{
    Buffer, KernelError, Operands, Prologue, Scratch, Source, View, ViewMut, Workers, block, pool_globally,
    unblock,
};

use super::places::Place;
use super::plan::{Convolving, Plan, Prepared, Step, Work};

/// What one run works in; kept for the next one.
#[derive(Debug, Default)]
pub(super) struct Memory {
    values: Buffer,
    scratch: Scratch,
}

impl Memory {
    pub fn of(plan: &Plan) -> Self {
        Memory { values: Buffer::zeros(plan.memory), scratch: Scratch::new() }
    }
}

/// All of the memory but one value that is written.
#[derive(Clone, Copy)]
struct Around<'a> {
    before: &'a [f32],
    after: &'a [f32],
    end: usize,
}

impl<'a> Around<'a> {
    /// The numbers there; none of them is of the value that is written.
    fn at(&self, range: Range<usize>) -> &'a [f32] {
        if range.end <= self.before.len() {
            &self.before[range]
        } else {
            &self.after[range.start - self.end..range.end - self.end]
        }
    }

    fn view(&self, place: &Place) -> Result<View<'a>, KernelError> {
        View::new(self.at(place.range()), place.channels.blocks(), place.extent)
    }
}

/// The value that is written, and all else.
fn apart(memory: &mut [f32], written: Range<usize>) -> (&mut [f32], Around<'_>) {
    let end = written.end;
    let (before, rest) = memory.split_at_mut(written.start);
    let (written, after) = rest.split_at_mut(end - before.len());
    (written, Around { before, after, end })
}

impl Plan {
    /// One image: `inputs` and `outputs` are the numbers of one image each, as `[channels, depth, height, width]`.
    ///
    /// # Errors
    ///
    /// [`KernelError`]: a slice of another length.
    pub fn run(
        &self,
        workers: &dyn Workers,
        memory: &mut Memory,
        inputs: &[&[f32]],
        outputs: &mut [&mut [f32]],
    ) -> Result<(), KernelError> {
        for step in &self.steps {
            self.step(step, workers, memory, inputs)?;
        }
        for (value, to) in self.outputs.iter().zip(outputs) {
            let place = self.place(*value)?;
            let view = View::new(&memory.values[place.range()], place.channels.blocks(), place.extent)?;
            unblock(&view, &place.channels, to)?;
        }
        Ok(())
    }

    fn place(&self, value: usize) -> Result<&Place, KernelError> {
        self.places[value].as_ref().ok_or(KernelError::Mismatch("a value without a place"))
    }

    fn step(
        &self,
        step: &Step,
        workers: &dyn Workers,
        memory: &mut Memory,
        inputs: &[&[f32]],
    ) -> Result<(), KernelError> {
        let to = self.place(step.writes)?;
        let reads = step.reads.iter().map(|value| self.place(*value)).collect::<Result<Vec<_>, _>>()?;
        let Memory { values, scratch } = memory;
        if let (Work::Copy(first), [from]) = (&step.work, &reads[..]) {
            // the part may lie within what it is copied to
            values.copy_within(from.range(), to.start + first * to.block_len());
            return Ok(());
        }
        let (written, around) = apart(values, to.range());
        let mut written = ViewMut::new(written, to.channels.blocks(), to.extent)?;
        let is_in_place = reads.first().is_some_and(|from| from.range() == to.range());
        match &step.work {
            Work::Block(input) => block(inputs[*input], &to.channels, &mut written),
            Work::Convolve(it) => convolve(it, workers, (&reads, around, inputs), &mut written, scratch),
            Work::Scale(affine) if is_in_place => affine.run_in_place(workers, &mut written),
            Work::Scale(affine) => affine.run_on(workers, &around.view(reads[0])?, &mut written),
            Work::Join(combine) if is_in_place => {
                combine.run_in_place(workers, &mut written, &around.view(reads[1])?)
            }
            Work::Join(combine) => {
                let (left, right) = (around.view(reads[0])?, around.view(reads[1])?);
                combine.run_on(workers, &left, &right, &mut written)
            }
            Work::Normalize(it) if is_in_place => it.run_in_place(workers, &mut written),
            Work::Normalize(it) => it.run_on(workers, &around.view(reads[0])?, &mut written),
            Work::Pool(pool) => pool.run_on(workers, &around.view(reads[0])?, &mut written),
            Work::PoolAll(pooling) => {
                pool_globally(self.isa, *pooling, &around.view(reads[0])?, &mut written)
            }
            Work::Resize(resize) => resize.run_on(workers, &around.view(reads[0])?, &mut written, scratch),
            Work::Respond(it) => it.run_on(workers, &around.view(reads[0])?, &mut written, scratch),
            Work::Softmax(it) => it.run_on(workers, &around.view(reads[0])?, &mut written),
            Work::Arrange => {
                let from = reads[0];
                let mut plain = vec![0.0; from.channels.count() * from.block_len() / kernels::LANES];
                unblock(&around.view(from)?, &from.channels, &mut plain)?;
                block(&plain, &to.channels, &mut written)
            }
            // done above, or where the parts were made
            Work::Copy(_) | Work::Concat | Work::Rename => Ok(()),
        }
    }
}

fn convolve(
    it: &Convolving,
    workers: &dyn Workers,
    (reads, around, inputs): (&[&Place], Around<'_>, &[&[f32]]),
    written: &mut ViewMut<'_>,
    scratch: &mut Scratch,
) -> Result<(), KernelError> {
    let source = match it.plain {
        Some(input) => Source::Plain(inputs[input]),
        None => Source::Blocked(around.view(reads[0])?),
    };
    let residual = match (it.has_residual, reads.last()) {
        (true, Some(place)) => Some(around.view(place)?),
        _ => None,
    };
    let statistics;
    let prologue = match (&it.before, &source) {
        (Some(Prepared::Scale { scale, shift, bend }), _) => Some(Prologue { scale, shift, bend: *bend }),
        (Some(Prepared::Normalize { normalization, bend }), Source::Blocked(view)) => {
            statistics = normalization.statistics(workers, view)?;
            Some(Prologue { scale: &statistics.0, shift: &statistics.1, bend: *bend })
        }
        _ => None,
    };
    it.convolution.run_on(workers, &Operands { source, prologue, residual }, written, scratch)
}
