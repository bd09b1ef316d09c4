//! The house over HTTP, on both databases.

#![expect(clippy::unwrap_used, reason = "tests")]

mod pixels;
mod store_search_retrieve;
mod support;
