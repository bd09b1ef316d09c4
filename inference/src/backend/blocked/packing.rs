//! Packs a network's weights, or finds them packed.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use kernels::{Activation, Convolution, ConvolutionSpec, KernelError, Mapped, Options, PackedWeights};

use super::shelf::{Entry, Shelf, checksum};

/// Where the packed weights of one network come from and go to.
pub(super) enum Packing {
    /// They are packed and held in memory.
    Here,
    /// They are packed and held in memory, and once all of them are, written to a file for those who come later.
    Making { shelf: Shelf, key: String, made: Vec<(u64, PackedWeights)> },
    /// They are read from a file.
    Kept { shelf: Shelf, file: File, entries: Vec<Entry>, key: String, is_stale: bool },
}

/// Packed weights that are being written. Whoever drops it waits for the end of that, so that a process that runs one image
/// leaves them to the next; one that ends at once loses no more than them.
pub(super) struct Keeping(Mutex<Option<JoinHandle<()>>>);

impl Keeping {
    /// Returns once they are written.
    pub fn wait(&self) {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // what is not kept is packed anew at the next start
        let _ = writer.take().map(JoinHandle::join);
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.wait();
    }
}

impl Packing {
    /// By what the shelf has under this key.
    pub fn on(shelf: &Shelf, key: String) -> Packing {
        let shelf = shelf.clone();
        match shelf.read(&key) {
            Some((file, entries)) => Packing::Kept { shelf, file, entries, key, is_stale: false },
            None => Packing::Making { shelf, key, made: Vec::new() },
        }
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
            Packing::Making { made, .. } => {
                let convolution = make(spec)?;
                made.push((name, convolution.packed_weights()));
                Ok(convolution)
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
            Packing::Making { made, .. } => made.clear(),
            Packing::Kept { shelf, key, is_stale: true, .. } => {
                let (shelf, key) = (shelf.clone(), std::mem::take(key));
                *self = Packing::Making { shelf, key, made: Vec::new() };
            }
            Packing::Kept { entries, .. } => entries.iter_mut().for_each(|entry| entry.is_used = false),
        }
    }

    /// Whether what was kept turned out to be another network's.
    pub fn is_stale(&self) -> bool {
        matches!(self, Packing::Kept { is_stale: true, .. })
    }

    /// The network is ready: what was packed is written for the next time, beside its work.
    pub fn finish(self) -> Keeping {
        let Packing::Making { shelf, key, made } = self else { return Keeping(Mutex::new(None)) };
        let write = move || {
            // where nothing can be kept, as on a full disk, the next start packs them again
            let _ = shelf.write(&key, &made);
        };
        Keeping(Mutex::new(thread::Builder::new().name("packed-weights".to_owned()).spawn(write).ok()))
    }
}

#[cfg(test)]
mod tests;
