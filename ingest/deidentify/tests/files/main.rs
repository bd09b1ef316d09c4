//! Whole files, de-identified: built here byte by byte, so that what goes in is known.

#![expect(clippy::unwrap_used, reason = "a test may end where it stands")]

mod builder;
mod claims;
mod journeys;
mod package;
mod pixel_data;
mod table;
