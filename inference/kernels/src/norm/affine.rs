//! A scale and a shift for every channel: what BatchNormalization is once it is trained.

use crate::activation::{Activation, Finish};
use crate::error::{KernelError, same_length};
use crate::isa::Isa;
use crate::isa::table::Table;
use crate::primitive::map;
use crate::runs::{From, each_run};
use crate::tensor::{Buffer, Channels, View, ViewMut};
use crate::workers::{OneThread, Workers};

/// `activation(scale * x + shift)` with numbers of each channel's own.
#[derive(Clone)]
pub struct Affine {
    table: &'static Table,
    scale: Buffer,
    shift: Buffer,
    finish: Finish,
}

impl std::fmt::Debug for Affine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Affine").field("finish", &self.finish).finish_non_exhaustive()
    }
}

impl Affine {
    /// One scale and one shift a channel.
    ///
    /// # Errors
    ///
    /// [`KernelError::Length`]: not one a channel; [`KernelError::MissingIsa`].
    pub fn new(
        channels: &Channels,
        scale: &[f32],
        shift: &[f32],
        activation: &Activation,
        isa: Isa,
    ) -> Result<Self, KernelError> {
        let (scale, shift) = (channels.spread(scale)?, channels.spread(shift)?);
        Ok(Affine { table: isa.table()?, scale, shift, finish: Finish::new(activation, channels)? })
    }

    /// An activation alone.
    ///
    /// # Errors
    ///
    /// As [`Affine::new`].
    pub fn identity(channels: &Channels, activation: &Activation, isa: Isa) -> Result<Self, KernelError> {
        let count = channels.count();
        Affine::new(channels, &vec![1.0; count], &vec![0.0; count], activation, isa)
    }

    /// Scale and shift of ONNX's BatchNormalization: `(x - mean) / sqrt(variance + epsilon) * gamma + beta`.
    ///
    /// # Errors
    ///
    /// [`KernelError::Length`]: the four differ in length.
    pub fn of_batch_normalization(
        [gamma, beta, mean, variance]: [&[f32]; 4],
        epsilon: f32,
    ) -> Result<(Vec<f32>, Vec<f32>), KernelError> {
        for of in [beta, mean, variance] {
            same_length("the numbers of a batch normalization", gamma.len(), of.len())?;
        }
        let scale: Vec<f64> = gamma
            .iter()
            .zip(variance)
            .map(|(gamma, variance)| f64::from(*gamma) / (f64::from(*variance) + f64::from(epsilon)).sqrt())
            .collect();
        let shifts = scale.iter().zip(beta.iter().zip(mean));
        let shift = shifts
            .map(|(scale, (beta, mean))| (f64::from(*beta) - f64::from(*mean) * scale) as f32)
            .collect();
        Ok((scale.into_iter().map(|it| it as f32).collect(), shift))
    }

    /// From one tensor to another.
    ///
    /// # Errors
    ///
    /// [`KernelError::Mismatch`]: the shapes differ.
    pub fn run(&self, input: &View<'_>, output: &mut ViewMut<'_>) -> Result<(), KernelError> {
        self.run_on(&OneThread, input, output)
    }

    /// The same on several threads; the bits are the same.
    ///
    /// # Errors
    ///
    /// As [`Affine::run`].
    pub fn run_on(
        &self,
        workers: &dyn Workers,
        input: &View<'_>,
        output: &mut ViewMut<'_>,
    ) -> Result<(), KernelError> {
        apply(workers, self.table, (&self.scale, &self.shift), &self.finish, From::Another(*input), output)
    }

    /// On the tensor's own numbers.
    ///
    /// # Errors
    ///
    /// As [`Affine::run`].
    pub fn run_in_place(&self, workers: &dyn Workers, tensor: &mut ViewMut<'_>) -> Result<(), KernelError> {
        apply(workers, self.table, (&self.scale, &self.shift), &self.finish, From::ItsPlace, tensor)
    }
}

/// Scales and shifts every channel.
pub(super) fn apply(
    workers: &dyn Workers,
    table: &'static Table,
    (scale, shift): (&Buffer, &Buffer),
    finish: &Finish,
    from: From<'_>,
    output: &mut ViewMut<'_>,
) -> Result<(), KernelError> {
    if scale.len() != output.blocks() * 16 || shift.len() != scale.len() {
        return Err(KernelError::Mismatch("a tensor and its channels"));
    }
    each_run(workers, table, finish, from, output, &|block, _, from, to, pixels| {
        let (scale, shift) = (scale[block * 16..].as_ptr(), shift[block * 16..].as_ptr());
        let by = map::Affine { scale, shift, bounds: finish.bounds, slope: 1.0 };
        // SAFETY: the run lies within both tensors; scale and shift have sixteen numbers for each block.
        unsafe { (table.affine)(from, to, pixels, &by) };
    })
}
