//! The records that two rooms or more touch: each file a type and its SQL together.

pub mod analysis;
pub mod finding;
pub mod installation;
pub mod instance;
pub mod patient;
pub mod search;
pub mod series;
pub mod study;
