//! The ground floor: the vocabulary that every room speaks, values only.
//!
//! Nothing here waits, reads a clock of its own, or knows a database.

pub mod clock;
pub mod event;
pub mod id;
pub mod imaging;
pub mod job;
pub mod uid;
