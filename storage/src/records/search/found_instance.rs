//! What a search returns of an instance.

use clinical::id::{ClinicId, InstanceId, SeriesId, StudyId};
use clinical::uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid};
use uuid::Uuid;

use super::{Level, Search, these};
use crate::db::{Conn, FromRow, Result, Row};

/// An instance with what a search returns of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundInstance {
    /// Our identifier.
    pub instance_id: InstanceId,
    /// Its series.
    pub series_id: SeriesId,
    /// Its study.
    pub study_id: StudyId,
    /// Study Instance UID (0020,000D).
    pub study_uid: StudyInstanceUid,
    /// Series Instance UID (0020,000E).
    pub series_uid: SeriesInstanceUid,
    /// Timezone Offset From UTC (0008,0201), as the study has it.
    pub timezone_offset: Option<String>,
    /// SOP Instance UID (0008,0018).
    pub sop_uid: SopInstanceUid,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: SopClassUid,
    /// Transfer Syntax UID (0002,0010), as Available Transfer Syntax UID (0008,3002).
    pub transfer_syntax_uid: TransferSyntaxUid,
    /// Instance Number (0020,0013).
    pub instance_number: Option<i64>,
    /// Rows (0028,0010).
    pub rows: Option<i64>,
    /// Columns (0028,0011).
    pub columns: Option<i64>,
    /// Bits Allocated (0028,0100).
    pub bits_allocated: Option<i64>,
    /// Number of Frames (0028,0008); `None` where there are no pixels.
    pub frame_count: Option<i64>,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
}

const SELECT: &str = "SELECT instances.instance_id, instances.series_id, series.study_id,
           studies.study_uid, series.series_uid, studies.timezone_offset, instances.sop_uid,
           instances.sop_class_uid, instances.transfer_syntax_uid, instances.instance_number,
           instances.image_rows, instances.image_columns, instances.bits_allocated, instances.frame_count,
           instances.sha256";

impl FromRow for FoundInstance {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            instance_id: row.id("instance_id")?,
            series_id: row.id("series_id")?,
            study_id: row.id("study_id")?,
            study_uid: row.parse("study_uid")?,
            series_uid: row.parse("series_uid")?,
            timezone_offset: row.get("timezone_offset")?,
            sop_uid: row.parse("sop_uid")?,
            sop_class_uid: row.parse("sop_class_uid")?,
            transfer_syntax_uid: row.parse("transfer_syntax_uid")?,
            instance_number: row.get("instance_number")?,
            rows: row.get("image_rows")?,
            columns: row.get("image_columns")?,
            bits_allocated: row.get("bits_allocated")?,
            frame_count: row.get("frame_count")?,
            sha256: row.get("sha256")?,
        })
    }
}

impl FoundInstance {
    /// The instances that match: within a study by Series and Instance Number, of many the last stored first.
    pub async fn search(db: &mut Conn, clinic: ClinicId, search: &Search) -> Result<Vec<Self>> {
        search.page(clinic, Level::Instance, SELECT).fetch_all(db).await
    }

    /// These instances, as far as the clinic shows them, in no order.
    pub(super) async fn of(db: &mut Conn, clinic: ClinicId, ids: &[Uuid]) -> Result<Vec<Self>> {
        let select = format!(
            "{SELECT} FROM instances JOIN series ON series.series_id = instances.series_id
               JOIN studies ON studies.study_id = series.study_id
              WHERE instances.clinic_id = $1 AND instances.hidden_at IS NULL AND instances.instance_id IN ("
        );
        these(&select, clinic, ids).fetch_all(db).await
    }
}
