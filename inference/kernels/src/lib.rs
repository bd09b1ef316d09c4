#![doc = include_str!("../README.md")]

mod activation;
mod combine;
mod conv;
mod error;
mod finite;
mod isa;
#[cfg(feature = "map")]
mod mapped;
mod norm;
mod pool;
mod primitive;
pub mod reference;
mod resize;
mod runs;
mod sweep;
mod tensor;
mod workers;

pub use activation::Activation;
pub use combine::{Combine, Pair};
pub use conv::{
    Bend, Convolution, ConvolutionSpec, Direction, Input, Method, Operands, Options, PackedWeights,
    Precision, Prologue, Source, Winograd,
};
pub use error::KernelError;
pub use finite::is_finite;
pub use isa::Isa;
pub use isa::lanes::LANES;
#[cfg(feature = "map")]
pub use mapped::{Mapped, bytes_of};
pub use norm::{Affine, LocalResponse, Normalization, Softmax};
pub use pool::{Pool, PoolSpec, Pooling, pool_globally};
pub use resize::{Coordinates, Interpolation, Resize};
pub use tensor::{Buffer, Channels, Extent, Tensor, View, ViewMut, block, unblock};
pub use workers::{OneThread, ScopedThreads, Scratch, Workers};
