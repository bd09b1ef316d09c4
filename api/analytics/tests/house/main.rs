//! Numbers over HTTP, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod answers;
mod asking;
mod keeping;
mod sight;
mod support;
