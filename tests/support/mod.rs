//! Builders of synthetic objects, and the real program on free ports.

pub mod images;
pub mod malformed;
pub mod server;
