//! Journeys through the house, over SQLite and PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a test may end where what it stands on is missing")]

mod guessing;
mod keys;
mod oidc;
mod people;
mod refreshing;
mod second_factor;
mod sign_in;
mod support;
