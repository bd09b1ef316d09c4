//! What lasts: rows, blobs, the queue of work and the outbox of events.
//!
//! [`db`] is the only place that knows two database engines, [`archive`] the
//! only one that knows object stores. Each file in [`records`] holds a type and
//! its SQL together.

pub mod archive;
pub mod audit;
pub mod backup;
pub mod bell;
mod data_key;
pub mod db;
pub mod live;
mod migrations;
pub mod outbox;
#[cfg(any(test, feature = "testing"))]
pub mod plan;
pub mod queue;
pub mod records;
mod row_security;
mod sealed_blob;
pub mod secret;
mod sqlite;
mod statement;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod value;
