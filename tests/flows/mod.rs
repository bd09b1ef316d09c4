//! From a door to a finding, by each door, over each database.

mod abuse;
mod backup;
mod clamd;
mod command_line;
mod deidentify;
mod demo_activity;
mod demo_users;
mod foreign_peers;
mod full_disk;
mod io_errors;
mod kill;
mod malformed;
mod masks;
mod networks;
mod order;
mod reduced;
mod results;
mod runtimes;
mod scheduling;
mod schema;
mod telemetry;
mod to_finding;
mod triage;
mod viewers;
mod volumes;
mod vouching;
