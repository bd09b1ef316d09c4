//! The house over HTTP, on both databases.

#![expect(clippy::unwrap_used, reason = "tests")]

mod conditional;
mod deidentified;
mod floats;
mod own_record;
mod pictures;
mod pixels;
mod preamble;
mod removal;
mod retrieve;
mod search;
mod store_json;
mod store_search_retrieve;
mod support;
mod wado_uri;
mod worklist;
