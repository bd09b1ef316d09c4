//! Normalizations: each becomes a scale and a shift for every channel, or looks across channels.

mod affine;
mod group;
mod response;
mod softmax;

pub use affine::Affine;
pub use group::Normalization;
pub use response::LocalResponse;
pub use softmax::Softmax;
