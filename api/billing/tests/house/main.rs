//! Journeys of money through the house, over two providers in memory.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod fake;
mod invoicing;
mod paying;
mod returning;
mod subscribing;
mod support;
mod told;
