//! The house over HTTP, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod analyzing;
mod quarantine;
mod support;
mod uploading;
