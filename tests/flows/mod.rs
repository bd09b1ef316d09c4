//! From a door to a finding, by each door, over each database.

mod abuse;
mod backup;
mod clamd;
mod command_line;
mod deidentify;
mod demo_users;
mod foreign_peers;
mod full_disk;
mod kill;
mod malformed;
mod order;
mod schema;
mod telemetry;
mod to_finding;
mod viewers;
