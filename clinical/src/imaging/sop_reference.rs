//! An instance by its name alone.

use crate::uid::{SopClassUid, SopInstanceUid};

/// An instance that somebody speaks of, whether it is here or not (SOP Instance Reference Macro, PS3.3, section 10.8).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SopReference {
    /// SOP Class UID, as (0008,1150) names it.
    pub sop_class_uid: SopClassUid,
    /// SOP Instance UID, as (0008,1155) names it.
    pub sop_uid: SopInstanceUid,
}
