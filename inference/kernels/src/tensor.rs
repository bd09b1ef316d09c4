//! Tensors whose channels stand in blocks of sixteen: `[channels / 16][depth][height][width][16]`.
//!
//! One pixel of one block is one register of AVX-512, two of AVX2, four of NEON. An image has a depth of 1.

mod buffer;
mod channels;
mod view;

pub use buffer::Buffer;
pub use channels::Channels;
pub use view::{Tensor, View, ViewMut, block, unblock};

use crate::error::{KernelError, LARGEST, product};

/// Depth, height and width; an image has a depth of 1.
pub type Extent = [usize; 3];

/// The pixels of an extent.
pub(crate) fn volume(extent: Extent) -> Result<usize, KernelError> {
    if extent.contains(&0) {
        return Err(KernelError::Zero("a dimension"));
    }
    if extent.into_iter().any(|size| size > LARGEST) {
        return Err(KernelError::TooLarge);
    }
    product(&extent)
}
