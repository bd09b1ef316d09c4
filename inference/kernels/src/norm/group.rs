//! InstanceNormalization, GroupNormalization, and the layer's over all channels: mean and spread of an image's own.

use super::affine::apply;
use crate::activation::{Activation, Finish};
use crate::error::{KernelError, same_length};
use crate::isa::Isa;
use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::runs::From;
use crate::tensor::{Buffer, Channels, View, ViewMut};
use crate::workers::{Scratch, Shared, SharedMut, Workers};

/// `activation((x - mean) / sqrt(variance + epsilon) * gamma + beta)`, with mean and variance of a group of channels
/// over all their pixels.
#[derive(Clone)]
pub struct Normalization {
    table: &'static Table,
    channels: Channels,
    groups: usize,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f32,
    finish: Finish,
}

impl std::fmt::Debug for Normalization {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = out.debug_struct("Normalization");
        out.field("groups", &self.groups).field("epsilon", &self.epsilon).finish_non_exhaustive()
    }
}

impl Normalization {
    /// Of so many groups of channels: as many as channels is ONNX's InstanceNormalization, one is a layer's.
    ///
    /// # Errors
    ///
    /// [`KernelError::Length`]: not one gamma and beta a channel; [`KernelError::Impossible`]: the groups do not divide
    /// the channels; [`KernelError::MissingIsa`].
    pub fn new(
        channels: &Channels,
        groups: usize,
        (gamma, beta): (&[f32], &[f32]),
        epsilon: f32,
        activation: &Activation,
        isa: Isa,
    ) -> Result<Self, KernelError> {
        same_length("gamma", channels.count(), gamma.len())?;
        same_length("beta", channels.count(), beta.len())?;
        if groups == 0 || !channels.count().is_multiple_of(groups) {
            return Err(KernelError::Impossible("the groups do not divide the channels"));
        }
        Ok(Normalization {
            table: isa.table()?,
            channels: channels.clone(),
            groups,
            gamma: gamma.to_vec(),
            beta: beta.to_vec(),
            epsilon,
            finish: Finish::new(activation, channels)?,
        })
    }

    /// The scale and shift that normalize this tensor, in the order of its places: a
    /// [`Prologue`](crate::Prologue) of the next convolution spares the pass over the memory.
    ///
    /// # Errors
    ///
    /// [`KernelError::Mismatch`]: the tensor has other channels.
    pub fn statistics(
        &self,
        workers: &dyn Workers,
        input: &View<'_>,
    ) -> Result<(Buffer, Buffer), KernelError> {
        if input.blocks() != self.channels.blocks() {
            return Err(KernelError::Mismatch("a tensor and its channels"));
        }
        let pixels = input.pixels();
        let (mut means, mut spreads) =
            (Buffer::zeros(input.blocks() * LANES), Buffer::zeros(input.blocks() * LANES));
        let (mean, spread) = (SharedMut(means.as_mut_ptr()), SharedMut(spreads.as_mut_ptr()));
        let from = Shared(input.data().as_ptr());
        Scratch::new().spread(workers, 0, input.blocks(), &|block, _| {
            // SAFETY: each task reads one block of the tensor and writes the sixteen numbers of that block.
            unsafe {
                let (mean, spread) = (mean.at(block * LANES), spread.at(block * LANES));
                (self.table.moments)(from.at(block * pixels * LANES), pixels, mean, spread);
            }
        });

        // each group's mean, then the spread around it: the channels' own and that of their means
        let group_len = self.channels.count() / self.groups;
        let places = || self.channels.slots().enumerate().filter_map(|(place, slot)| Some((place, slot?)));
        let mut group_means = vec![0.0_f64; self.groups];
        for (place, channel) in places() {
            group_means[channel / group_len] += f64::from(means[place]) / group_len as f64;
        }
        let mut variances = vec![0.0_f64; self.groups];
        for (place, channel) in places() {
            let group = channel / group_len;
            let between = f64::from(means[place]) - group_means[group];
            let variance = f64::from(spreads[place]) / pixels as f64 + between * between;
            variances[group] += variance / group_len as f64;
        }
        // the same buffers become scale and shift; places without a channel become zero
        let (mut scale, mut shift) = (means, spreads);
        for (place, slot) in self.channels.slots().enumerate() {
            (scale[place], shift[place]) = slot.map_or((0.0, 0.0), |channel| {
                let group = channel / group_len;
                let by = f64::from(self.gamma[channel]) / (variances[group] + f64::from(self.epsilon)).sqrt();
                (by as f32, (f64::from(self.beta[channel]) - group_means[group] * by) as f32)
            });
        }
        Ok((scale, shift))
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
        let (scale, shift) = self.statistics(workers, input)?;
        apply(workers, self.table, (&scale, &shift), &self.finish, From::Another(*input), output)
    }

    /// On the tensor's own numbers.
    ///
    /// # Errors
    ///
    /// As [`Normalization::run_on`].
    pub fn run_in_place(&self, workers: &dyn Workers, tensor: &mut ViewMut<'_>) -> Result<(), KernelError> {
        let (scale, shift) = self.statistics(workers, &tensor.view())?;
        apply(workers, self.table, (&scale, &shift), &self.finish, From::ItsPlace, tensor)
    }
}
