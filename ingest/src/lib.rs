//! From bytes to a stored instance: the doors' common hall, the DIMSE door, and the parsing of what comes in.

pub mod dimse_door;
pub mod identity;
pub mod limits;
mod receipt;
pub mod receive;
pub mod scp;
pub mod spool;
pub mod stow;
pub mod stow_response;

pub use part10;
pub use pixels;
