//! What a convolution reads and writes while it runs.

use crate::activation::Finish;
use crate::error::{KernelError, same_length};
use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::primitive::map::Affine;
use crate::primitive::multiply::Product;
use crate::tensor::{Channels, View};

/// A convolution's input.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// In blocks.
    Blocked(View<'a>),
    /// As `[channels, depth, height, width]`.
    Plain(&'a [f32]),
}

/// What happens to the input's numbers on their way in: a normalization that stands before the convolution.
#[derive(Debug, Clone, Copy)]
pub struct Prologue<'a> {
    /// One number for each place of the input's blocks, as [`Channels::spread`] gives them.
    pub scale: &'a [f32],
    /// The same.
    pub shift: &'a [f32],
    /// What follows.
    pub bend: Bend,
}

/// What a [`Prologue`] does after scale and shift.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Bend {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`
    Relu,
    /// `x`, times the slope where it is below zero.
    LeakyRelu(f32),
}

impl Prologue<'_> {
    pub(super) fn checked(&self, channels: &Channels) -> Result<Affine, KernelError> {
        let places = channels.slots().len();
        same_length("the scale of a prologue", places, self.scale.len())?;
        same_length("the shift of a prologue", places, self.shift.len())?;
        let (bounds, slope) = match self.bend {
            Bend::None => (None, 1.0),
            Bend::Relu => (Some((0.0, f32::INFINITY)), 1.0),
            Bend::LeakyRelu(slope) => (None, slope),
        };
        Ok(Affine { scale: self.scale.as_ptr(), shift: self.shift.as_ptr(), bounds, slope })
    }
}

/// What one run of a convolution reads.
#[derive(Debug, Clone, Copy)]
pub struct Operands<'a> {
    /// The input.
    pub source: Source<'a>,
    /// What happens to it on its way in; given exactly when the convolution was built for one.
    pub prologue: Option<Prologue<'a>>,
    /// What is added to the sums before the activation; as large as the output.
    pub residual: Option<View<'a>>,
}

impl<'a> From<View<'a>> for Operands<'a> {
    fn from(view: View<'a>) -> Self {
        Operands { source: Source::Blocked(view), prologue: None, residual: None }
    }
}

/// The checked addresses of one run; every task gets them.
pub(super) struct Io<'a> {
    pub table: &'static Table,
    pub finish: &'a Finish,
    pub read: *const f32,
    pub out: *mut f32,
    /// Null, or as large as the output.
    pub residual: *const f32,
    pub prologue: Option<Affine>,
    /// The packed weights, from their beginning.
    pub weights: *const f32,
    pub bias: *const f32,
}

// SAFETY: the addresses are of slices that outlive the run; tasks read the same numbers but write different ones.
unsafe impl Sync for Io<'_> {}

impl Io<'_> {
    /// Pixels of one block of the input, through the prologue where there is one, as the kernels read them.
    ///
    /// # Safety
    ///
    /// `pixels * 16` numbers of this block can be read at `from`, and as many, or half of them for pairs, written at `to`.
    #[inline]
    pub(super) unsafe fn bring_in(
        &self,
        from: *const f32,
        to: *mut f32,
        pixels: usize,
        (block, is_paired): (usize, bool),
    ) {
        // SAFETY: the caller's; pairs are there only where the instructions for them are.
        unsafe {
            match (self.prologue.map(|it| it.of_block(block)), is_paired) {
                (by, true) => (self.table.paired)(from, to, pixels, by.as_ref()),
                (Some(by), false) => (self.table.affine)(from, to, pixels, &by),
                (None, false) => std::ptr::copy_nonoverlapping(from, to, pixels * LANES),
            }
        }
    }

    /// One row of one panel, written `place` floats from the output's beginning; the last sum takes in the residual.
    ///
    /// # Safety
    ///
    /// As [`Table::row`] with the output, and the residual where there is one, at `place`.
    #[inline]
    pub(super) unsafe fn row(
        &self,
        size: (usize, usize),
        read: *const f32,
        weights: *const f32,
        (place, is_last): (usize, bool),
        product: &Product<'_>,
    ) {
        // SAFETY: the caller's.
        unsafe {
            let has_residual = is_last && !self.residual.is_null();
            let residual = if has_residual { self.residual.add(place) } else { std::ptr::null() };
            self.table.row(size, read, weights, (self.out.add(place), residual), product);
        }
    }

    /// The activation of the pixels just written, where it is more than bounds.
    ///
    /// # Safety
    ///
    /// As [`Io::row`].
    #[inline]
    pub(super) unsafe fn bend(
        &self,
        place: usize,
        (pixels, step): (usize, usize),
        (first_block, blocks): (usize, usize),
        block_stride: usize,
    ) {
        if self.finish.curve.is_none() {
            return;
        }
        for block in 0..blocks {
            // SAFETY: the caller's.
            unsafe {
                let at = self.out.add(place + block * block_stride);
                self.finish.bend(self.table, at, pixels, step, first_block + block);
            }
        }
    }
}
