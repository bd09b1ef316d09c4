//! What whoever sends instances needs to know of them.

use clinical::id::{ClinicId, PatientId, StudyId};
use clinical::uid::{SopClassUid, SopInstanceUid, TransferSyntaxUid};

use super::{Level, Search};
use crate::db::{Conn, FromRow, Result, Row};

/// An instance that is held, with the place of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldInstance {
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: SopClassUid,
    /// SOP Instance UID (0008,0018).
    pub sop_uid: SopInstanceUid,
    /// Transfer Syntax UID (0002,0010).
    pub transfer_syntax_uid: TransferSyntaxUid,
    /// The blob that holds the bytes.
    pub blob_key: String,
    /// How many bytes there are.
    pub size_bytes: i64,
    /// Our identifier of its study.
    pub study_id: StudyId,
    /// Whose study it is.
    pub patient_id: PatientId,
}

const SELECT: &str = "SELECT instances.sop_class_uid, instances.sop_uid, instances.transfer_syntax_uid,
           instances.blob_key, instances.size_bytes, studies.study_id, studies.patient_id";

impl FromRow for HeldInstance {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            sop_class_uid: row.parse("sop_class_uid")?,
            sop_uid: row.parse("sop_uid")?,
            transfer_syntax_uid: row.parse("transfer_syntax_uid")?,
            blob_key: row.get("blob_key")?,
            size_bytes: row.get("size_bytes")?,
            study_id: row.id("study_id")?,
            patient_id: row.id("patient_id")?,
        })
    }
}

impl HeldInstance {
    /// The instances that match, study by study, within a series by Instance Number.
    pub async fn search(db: &mut Conn, clinic: ClinicId, search: &Search) -> Result<Vec<Self>> {
        search.page(clinic, Level::Instance, SELECT).fetch_all(db).await
    }
}
