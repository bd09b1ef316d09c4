//! Pooling: the largest or the mean of a window, or of a whole channel.

use crate::error::{KernelError, LARGEST, LARGEST_PAD, product};
use crate::isa::Isa;
use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::primitive::reduce::Reduction;
use crate::primitive::window::Windowed;
use crate::sweep::Sweep;
use crate::tensor::{Extent, View, ViewMut};
use crate::workers::{OneThread, Scratch, Shared, SharedMut, Workers};

/// What pooling makes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The largest; not a number where one of them is none.
    Max,
    /// The mean of the places inside of the input.
    Average,
    /// The mean of the places inside of the input with its padding, which counts as zeros.
    AveragePadded,
}

/// The shape of a pooling, as ONNX's MaxPool and AveragePool have it; an image has a depth of 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSpec {
    /// Depth, height and width of the input.
    pub extent: Extent,
    /// The window.
    pub kernel: Extent,
    /// Steps of the window.
    pub stride: Extent,
    /// Steps within the window.
    pub dilation: Extent,
    /// Places before the first row, column and plane.
    pub pad_before: Extent,
    /// Places after the last.
    pub pad_after: Extent,
    /// Whether a last window that reaches beyond the padding is kept (ONNX's `ceil_mode`).
    pub keeps_last: bool,
}

impl PoolSpec {
    /// Windows side by side; the other fields are there to be changed.
    pub fn new(extent: Extent, kernel: Extent) -> Self {
        let none = [0; 3];
        let (pad_before, pad_after) = (none, none);
        PoolSpec {
            extent,
            kernel,
            stride: kernel,
            dilation: [1; 3],
            pad_before,
            pad_after,
            keeps_last: false,
        }
    }

    /// Depth, height and width of the output.
    ///
    /// # Errors
    ///
    /// [`KernelError::Zero`], [`KernelError::TooLarge`], [`KernelError::Impossible`] where no output remains or a window
    /// would lie in the padding alone.
    pub fn output_extent(&self) -> Result<Extent, KernelError> {
        let mut out = [0; 3];
        for (axis, out) in out.iter_mut().enumerate() {
            let (size, kernel, stride) = (self.extent[axis], self.kernel[axis], self.stride[axis]);
            let (dilation, before, after) =
                (self.dilation[axis], self.pad_before[axis], self.pad_after[axis]);
            if [size, kernel, stride, dilation].contains(&0) {
                return Err(KernelError::Zero("an extent, kernel, stride or dilation"));
            }
            let is_small = [size, kernel, stride, dilation].into_iter().all(|it| it <= LARGEST);
            if !is_small || before.max(after) > LARGEST_PAD {
                return Err(KernelError::TooLarge);
            }
            let window = product(&[kernel - 1, dilation])? + 1;
            let may_step_over = before > 0 && kernel > 1 && dilation > size;
            if before >= window || after >= window || may_step_over {
                return Err(KernelError::Impossible("a window in the padding alone"));
            }
            let room = (size + before + after).checked_sub(window);
            let room = room.ok_or(KernelError::Impossible("the window is larger than the padded input"))?;
            *out = room / stride + 1;
            // a window that begins behind the input is never kept
            if self.keeps_last && !room.is_multiple_of(stride) && *out * stride < size + before {
                *out += 1;
            }
        }
        product(&[out[0], out[1], out[2], LANES])?;
        Ok(out)
    }
}

/// A pooling of one shape.
#[derive(Clone)]
pub struct Pool {
    table: &'static Table,
    pooling: Pooling,
    spec: PoolSpec,
    out: Extent,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pool").field("pooling", &self.pooling).field("spec", &self.spec).finish()
    }
}

impl Pool {
    /// A pooling of this shape.
    ///
    /// # Errors
    ///
    /// As [`PoolSpec::output_extent`]; [`KernelError::MissingIsa`].
    pub fn new(pooling: Pooling, spec: PoolSpec, isa: Isa) -> Result<Self, KernelError> {
        let out = spec.output_extent()?;
        product(&[spec.kernel[0], spec.kernel[1], spec.kernel[2], LANES])?;
        Ok(Pool { table: isa.table()?, pooling, spec, out })
    }

    /// Depth, height and width of the output.
    pub fn output_extent(&self) -> Extent {
        self.out
    }

    /// Runs on the calling thread.
    ///
    /// # Errors
    ///
    /// [`KernelError::Mismatch`]: input or output has another shape.
    pub fn run(&self, input: &View<'_>, output: &mut ViewMut<'_>) -> Result<(), KernelError> {
        self.run_on(&OneThread, input, output)
    }

    /// Runs on several threads; the bits are the same.
    ///
    /// # Errors
    ///
    /// As [`Pool::run`].
    pub fn run_on(
        &self,
        workers: &dyn Workers,
        input: &View<'_>,
        output: &mut ViewMut<'_>,
    ) -> Result<(), KernelError> {
        if input.extent() != self.spec.extent
            || output.extent() != self.out
            || input.blocks() != output.blocks()
        {
            return Err(KernelError::Mismatch("the input or output of a pooling"));
        }
        let spec = &self.spec;
        let (kernel, stride, dilation) = (spec.kernel, spec.stride, spec.dilation);
        let sweep =
            Sweep { input: spec.extent, out: self.out, kernel, stride, dilation, pad: spec.pad_before };
        let (in_len, out_len) = (input.pixels() * LANES, output.view().pixels() * LANES);
        let (read, out) = (Shared(input.data().as_ptr()), SharedMut(output.data().as_mut_ptr()));
        let of = |inside: usize, padded: usize| match self.pooling {
            Pooling::Max => Windowed::Largest,
            Pooling::Average => Windowed::Mean(1.0 / inside as f32),
            Pooling::AveragePadded => Windowed::Mean(1.0 / padded as f32),
        };
        Scratch::new().spread(workers, 0, input.blocks(), &|block, _| {
            // SAFETY: the shapes are those that the sweep was made for, and each task has a block of its own.
            unsafe {
                let (read, out) = (read.at(block * in_len), out.at(block * out_len));
                sweep.run(self.table, spec.pad_after, of, read, out);
            }
        });
        Ok(())
    }
}

/// Pools each channel to one pixel: the mean of all ([`Pooling::Average`]) or the largest.
///
/// # Errors
///
/// [`KernelError::Mismatch`]: the output is not one pixel of as many blocks; [`KernelError::MissingIsa`].
pub fn pool_globally(
    isa: Isa,
    pooling: Pooling,
    input: &View<'_>,
    output: &mut ViewMut<'_>,
) -> Result<(), KernelError> {
    let table = isa.table()?;
    if output.extent() != [1; 3] || output.blocks() != input.blocks() {
        return Err(KernelError::Mismatch("the output of a global pooling"));
    }
    let pixels = input.pixels();
    for (from, to) in input.data().chunks_exact(pixels * LANES).zip(output.data().chunks_exact_mut(LANES)) {
        let reduction = if pooling == Pooling::Max { Reduction::Largest } else { Reduction::Sum };
        // SAFETY: `from` is one block of so many pixels, `to` one pixel.
        unsafe { (table.reduce)(reduction, from.as_ptr(), pixels, to.as_mut_ptr()) };
        if reduction == Reduction::Sum {
            to.iter_mut().for_each(|it| *it /= pixels as f32);
        }
    }
    Ok(())
}
