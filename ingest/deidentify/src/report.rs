//! What was done to a file.

use clinical::uid::SopInstanceUid;

use crate::Flag;

/// How many elements were changed, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// Removed, private ones included.
    pub removed: u32,
    /// Private ones among the removed.
    pub private_removed: u32,
    /// Left without a value.
    pub emptied: u32,
    /// Given another value.
    pub replaced: u32,
    /// Given another UID.
    pub uids: u32,
    /// Dates moved.
    pub dates: u32,
}

/// What was done to a file, and what a person should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The SOP Instance UID that the object had.
    pub former_sop_uid: SopInstanceUid,
    /// The one that it has now.
    pub sop_uid: SopInstanceUid,
    /// What stands for the patient, as ID and as name.
    pub pseudonym: String,
    /// How much was changed.
    pub changes: Changes,
    /// What may still tell who the patient is.
    pub flags: Vec<Flag>,
}
