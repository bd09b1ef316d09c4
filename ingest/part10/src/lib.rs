//! Reads a DICOM Part 10 file safely.
//!
//! A linear walk over the element headers checks every declared length against the bytes that are there,
//! before anything is allocated; only then the header is parsed. Nothing here trusts a number of the file:
//! memory stays within [`Limits`], recursion within [`Limits::depth`].
//!
//! Source: DICOM PS3.10, chapter 7 (file format) and PS3.5, chapter 7 and annex A (encodings).

mod charset;
mod dataset;
mod deflate;
mod element;
mod error;
mod float_pixels;
mod frames;
mod limits;
mod meta;
mod part10;
mod rewrite;
mod scan;
mod syntax;
mod text;
mod value;
mod walk;
mod window;

pub use element::{
    Content, Element, ITEM, ITEM_DELIMITATION, LONGEST, SEQUENCE_DELIMITATION, UNDEFINED, implied_vr,
};
pub use error::Part10Error;
pub use float_pixels::float_pixel_tag;
pub use limits::Limits;
pub use meta::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, data_set_start, file_with_meta};
pub use part10::Part10;
pub use rewrite::{NewElement, NewValue, VrForm};
pub use scan::Scan;
pub use syntax::Encoding;
pub use text::text;
pub use walk::{FloatPixelDataAt, PixelDataAt};
