//! The ground floor: the vocabulary that every room speaks, values only.
//!
//! Nothing here waits, reads a clock of its own, or knows a database.

pub mod ae_title;
pub mod audit;
pub mod clock;
pub mod coding;
pub mod decision;
pub mod event;
pub mod fhir;
pub mod id;
pub mod imaging;
pub mod invalid;
pub mod job;
pub mod money;
pub mod notice;
pub mod person;
pub mod role;
pub mod statement;
pub mod uid;
