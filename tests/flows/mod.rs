//! From a door to a finding, by each door, over each database.

mod abuse;
mod backup;
mod command_line;
mod foreign_peers;
mod kill;
mod schema;
mod telemetry;
mod to_finding;
