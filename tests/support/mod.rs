//! Builders of synthetic objects, and the real program on free ports.

pub mod images;
pub mod malformed;
pub mod network;
#[expect(dead_code, reason = "what only the tests of the backends need")]
pub mod onnx;
pub mod server;
