//! From bytes to a stored instance: the doors' common hall, the DIMSE door, and the parsing of what comes in.

#[cfg(test)]
mod conformance_tests;
pub mod dicom_json;
pub mod dimse_door;
pub mod forward;
pub mod hygiene;
pub mod identity;
pub mod limits;
pub mod peers;
mod receipt;
pub mod receive;
pub mod scp;
pub mod scu;
pub mod spool;
pub mod stow;
pub mod stow_response;
pub mod tls;

pub use deidentify;
pub use part10;
pub use pixels;
