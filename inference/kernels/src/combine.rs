//! Two tensors to one: sum and product, number by number or with one number a channel.

use crate::activation::{Activation, Finish};
use crate::error::KernelError;
use crate::isa::Isa;
use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::primitive::map::Pairing;
use crate::runs::{From, each_run};
use crate::tensor::{Channels, View, ViewMut};
use crate::workers::{OneThread, Shared, Workers};

/// What is done with two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// Their sum.
    Add,
    /// Their product.
    Multiply,
}

/// A sum or product of two tensors with the activation that follows.
#[derive(Clone)]
pub struct Combine {
    table: &'static Table,
    pairing: Pairing,
    finish: Finish,
    blocks: usize,
}

impl std::fmt::Debug for Combine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Combine").field("pairing", &self.pairing).field("finish", &self.finish).finish()
    }
}

impl Combine {
    /// For tensors whose channels lie like this.
    ///
    /// # Errors
    ///
    /// [`KernelError`]: slopes of another number of channels; instructions that the processor lacks.
    pub fn new(
        pair: Pair,
        channels: &Channels,
        activation: &Activation,
        isa: Isa,
    ) -> Result<Self, KernelError> {
        let pairing = match pair {
            Pair::Add => Pairing::Add,
            Pair::Multiply => Pairing::Multiply,
        };
        let (table, finish) = (isa.table()?, Finish::new(activation, channels)?);
        Ok(Combine { table, pairing, finish, blocks: channels.blocks() })
    }

    /// `output = activation(left ⊕ right)`; `right` is as large, or one pixel that stands for all.
    ///
    /// # Errors
    ///
    /// [`KernelError::Mismatch`]: the shapes differ.
    pub fn run(
        &self,
        left: &View<'_>,
        right: &View<'_>,
        output: &mut ViewMut<'_>,
    ) -> Result<(), KernelError> {
        self.walk(&OneThread, From::Another(*left), right, output)
    }

    /// `left = activation(left ⊕ right)`; `right` is as large, or one pixel that stands for all.
    ///
    /// # Errors
    ///
    /// [`KernelError::Mismatch`]: the shapes differ.
    pub fn run_in_place(
        &self,
        workers: &dyn Workers,
        left: &mut ViewMut<'_>,
        right: &View<'_>,
    ) -> Result<(), KernelError> {
        self.walk(workers, From::ItsPlace, right, left)
    }

    /// As [`Combine::run`], on several threads; the bits are the same.
    ///
    /// # Errors
    ///
    /// As [`Combine::run`].
    pub fn run_on(
        &self,
        workers: &dyn Workers,
        left: &View<'_>,
        right: &View<'_>,
        output: &mut ViewMut<'_>,
    ) -> Result<(), KernelError> {
        self.walk(workers, From::Another(*left), right, output)
    }

    fn walk(
        &self,
        workers: &dyn Workers,
        left: From<'_>,
        right: &View<'_>,
        output: &mut ViewMut<'_>,
    ) -> Result<(), KernelError> {
        let is_one_pixel = right.extent() == [1; 3];
        let fits = right.blocks() == self.blocks && (is_one_pixel || right.extent() == output.extent());
        if output.blocks() != self.blocks || !fits {
            return Err(KernelError::Mismatch("two tensors that are combined"));
        }
        let numbers = Shared(right.data().as_ptr());
        each_run(workers, self.table, &self.finish, left, output, &|block, place, from, to, pixels| {
            // SAFETY: the run lies within all three tensors; of one pixel only the block's sixteen numbers are read.
            unsafe {
                let (right, step) =
                    if is_one_pixel { (numbers.at(block * LANES), 0) } else { (numbers.at(place), LANES) };
                (self.table.combine)(self.pairing, (from, right, step), to, pixels, self.finish.bounds);
            }
        })
    }
}
