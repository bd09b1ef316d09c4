//! Patients over HTTP, on both databases.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod exporting;
mod records;
mod restricted;
mod statements;
mod support;
