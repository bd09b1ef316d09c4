//! From a stored object to frames, and from frames to pictures.
//!
//! [`decode`] gives raw stored values with their look-up tables as data, [`decode_floats`]
//! those of images of real numbers; [`render`] applies the tables for a screen. What cannot be decoded is an error, never a
//! wrong pixel. Codecs in foreign code run in child processes ([`DecodePool`]).

mod codec;
mod containers;
mod context;
mod decode;
mod decode_pool;
mod decoded;
mod encode;
mod error;
mod floats;
mod image_pixel;
mod jpeg;
mod jpeg2000;
mod jpeg_header;
mod jpeg_huffman;
mod jpeg_lossless;
mod jpeg_sequential;
mod jpegls;
mod jpegxl;
mod limits;
mod luts;
mod native;
mod palette;
mod photometric;
mod position;
mod render;
mod rle;
mod stored;
mod table;
mod transcode;

pub use context::image_context;
pub use decode::decode;
pub use decode_pool::{DecodePool, PoolSettings, run_child};
pub use error::PixelError;
pub use floats::{FloatFrame, decode_floats};
pub use jpeg_header::jpeg_transfer_syntax;
pub use limits::PixelLimits;
pub use position::slice_position;
pub use render::{Animation, Picture, Region, RenderFormat, RenderOptions, Viewport, render};
pub use transcode::{ENCODERS, TranscodeError, can_encode, encode_frame, transcode};
