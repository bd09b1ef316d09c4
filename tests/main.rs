//! Journeys through the whole program, and the rules that hold it together.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod contract;
mod flows;
mod support;
