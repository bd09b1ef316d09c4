//! From a door to a finding, by each door, over each database.

mod abuse;
mod command_line;
mod foreign_peers;
mod kill;
mod to_finding;
