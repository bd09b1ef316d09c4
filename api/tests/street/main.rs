//! All houses behind one gate.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod documented;
mod permissions;
mod running;
mod status;
mod support;
