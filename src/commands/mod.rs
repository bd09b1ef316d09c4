//! The commands: each file parses what it is told, and the rooms do the work.

pub mod analytics;
pub mod analyze;
pub mod audit;
pub mod backup;
pub mod billing;
pub mod deidentify;
pub mod demo;
pub mod demo_activity;
pub mod demo_users;
pub mod doctor;
pub mod echo;
pub mod ingest;
pub mod memory;
pub mod migrate;
pub mod models;
pub mod progress;
pub mod restore;
pub mod secrets;
pub mod serve;
pub mod triage;
pub mod worker;
