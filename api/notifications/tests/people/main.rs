//! Word to people over HTTP, from the request to the provider and back, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod delivery;
mod lists;
mod support;
mod triggers;
