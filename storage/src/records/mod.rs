//! The records that two rooms or more touch: each file a type and its SQL together.

pub mod ae_title;
pub mod analysis;
pub mod api_key;
pub mod assessment;
pub mod cds_client;
pub mod clinic;
pub mod commitment;
pub mod credential;
pub mod finding;
pub mod forward;
pub mod idempotency;
pub mod installation;
pub mod instance;
pub mod instance_metadata;
pub mod listing;
pub mod location;
pub mod member;
pub mod network;
pub mod patient;
pub mod peer;
pub mod quarantine;
pub mod rejection;
pub mod report;
pub mod roster;
pub mod search;
pub mod series;
pub mod session;
pub mod signing_key;
pub mod statement;
pub mod study;
#[cfg(test)]
mod tests;
pub mod user;
pub mod webhook;
pub mod workitem;
