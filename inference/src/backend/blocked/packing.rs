//! Packs a network's weights, or finds them packed.

use std::fs::File;
use std::sync::Arc;

use kernels::{Activation, Convolution, ConvolutionSpec, KernelError, Mapped, Options};

use super::shelf::{Entry, Shelf, Writing, checksum};

/// Where the packed weights of one network come from and go to.
pub(super) enum Packing<'s> {
    /// They are packed and held in memory.
    Here,
    /// They are packed and written to a file.
    Making(Box<Writing<'s>>),
    /// They are read from a file.
    Kept { shelf: &'s Shelf, file: File, entries: Vec<Entry>, key: String, is_stale: bool },
}

impl<'s> Packing<'s> {
    /// By what the shelf has under this key.
    pub fn on(shelf: &'s Shelf, key: &str) -> Packing<'s> {
        match shelf.read(key) {
            Some((file, entries)) => {
                Packing::Kept { shelf, file, entries, key: key.to_owned(), is_stale: false }
            }
            None => Packing::making(shelf, key),
        }
    }

    fn making(shelf: &'s Shelf, key: &str) -> Packing<'s> {
        shelf.write(key).map_or(Packing::Here, |writing| Packing::Making(Box::new(writing)))
    }

    /// A convolution; `weights` gives its weights and its bias where they are not packed already.
    ///
    /// # Errors
    ///
    /// [`KernelError`]: the kernels refuse it, or what is kept is not this network's; [`Packing::is_stale`] tells which.
    pub fn convolution(
        &mut self,
        name: &str,
        spec: ConvolutionSpec,
        weights: impl FnOnce() -> Result<(Vec<f32>, Vec<f32>), KernelError>,
        (activation, options): (&Activation, Options),
    ) -> Result<Convolution, KernelError> {
        let name = checksum(name.as_bytes());
        let make = |spec| {
            let (weights, bias) = weights()?;
            Convolution::new(spec, &weights, Some(&bias), activation, options)
        };
        match self {
            Packing::Here => make(spec),
            Packing::Making(writing) => {
                let convolution = make(spec)?;
                match writing.keep(name, &convolution) {
                    Some(kept) => convolution.with_packed(Arc::new(kept)),
                    None => {
                        // what cannot be kept, as on a full disk, is held in memory like the rest
                        *self = Packing::Here;
                        Ok(convolution)
                    }
                }
            }
            Packing::Kept { file, entries, is_stale, .. } => {
                let entry = entries.iter_mut().find(|entry| entry.name == name && !entry.is_used);
                let found = entry.and_then(|entry| {
                    entry.is_used = true;
                    let packed = Mapped::of(file, entry.first_byte, entry.count).ok()?;
                    (entry.checksum == checksum(kernels::bytes_of(packed.as_ref()))).then_some(packed)
                });
                let found = found.map(|packed| {
                    Convolution::from_packed(spec.clone(), Arc::new(packed), activation, options)
                });
                match found {
                    Some(Ok(convolution)) => Ok(convolution),
                    // a refusal would have been one when they were packed, too
                    _ => make(spec)
                        .inspect(|_| *is_stale = true)
                        .and(Err(KernelError::Mismatch("kept weights"))),
                }
            }
        }
    }

    /// Begins anew, with the same network; what was kept and is not its own is made again.
    pub fn restart(&mut self) {
        match self {
            Packing::Here => {}
            Packing::Making(writing) => *self = Packing::making(writing.shelf, &writing.key.clone()),
            Packing::Kept { shelf, key, is_stale: true, .. } => *self = Packing::making(shelf, &key.clone()),
            Packing::Kept { entries, .. } => entries.iter_mut().for_each(|entry| entry.is_used = false),
        }
    }

    /// Whether what was kept turned out to be another network's.
    pub fn is_stale(&self) -> bool {
        matches!(self, Packing::Kept { is_stale: true, .. })
    }

    /// The network is ready: what was packed is there for the next time.
    pub fn finish(self) {
        if let Packing::Making(writing) = self {
            writing.finish();
        }
    }
}

#[cfg(test)]
mod tests;
