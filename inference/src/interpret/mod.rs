//! From a network's tensors to what they say.

pub(crate) mod classification;
