//! What stays known of a removal.

use chrono::{DateTime, NaiveDate, Utc};
use clinical::id::{ClinicId, StudyId, TombstoneId};
use clinical::uid::StudyInstanceUid;

use super::Code;
use crate::db::{Conn, DbError, FromRow, Result, Row};
use crate::records::listing::Listing;

/// Who removed or rejected what, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// Our identifier.
    pub tombstone_id: TombstoneId,
    /// Our identifier of the study, whether it is there or not.
    pub study_id: StudyId,
    /// Study Instance UID (0020,000D).
    pub study_uid: String,
    /// Series Instance UID, where no more was meant.
    pub series_uid: Option<String>,
    /// SOP Instance UID, where no more was meant.
    pub sop_uid: Option<String>,
    /// What the removal is called.
    pub code: Code,
    /// Why, in words; the code of a note.
    pub reason: String,
    /// Who: a name, or `note:` and the SOP Instance UID of the rejection note.
    pub removed_by: String,
    /// When.
    pub removed_at: DateTime<Utc>,
    /// So many instances it has hidden.
    pub instance_count: i64,
    /// Until then rows and bytes are kept.
    pub kept_until: NaiveDate,
    /// When they went.
    pub purged_at: Option<DateTime<Utc>>,
}

impl FromRow for Tombstone {
    fn from_row(row: &Row) -> Result<Self> {
        let code: String = row.get("code")?;
        let kept_until: DateTime<Utc> = row.get("kept_until")?;
        Ok(Self {
            tombstone_id: row.id("tombstone_id")?,
            study_id: row.id("study_id")?,
            study_uid: row.get("study_uid")?,
            series_uid: row.get("series_uid")?,
            sop_uid: row.get("sop_uid")?,
            code: code.parse().map_err(|()| DbError::Corrupt("tombstones.code".to_owned()))?,
            reason: row.get("reason")?,
            removed_by: row.get("removed_by")?,
            removed_at: row.get("removed_at")?,
            instance_count: row.get("instance_count")?,
            kept_until: kept_until.date_naive(),
            purged_at: row.get("purged_at")?,
        })
    }
}

impl Tombstone {
    /// The clinic's, or those of one study, newest first, from before `after` on.
    pub async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        study: Option<&StudyInstanceUid>,
        after: Option<TombstoneId>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        let select =
            "SELECT tombstone_id, study_id, study_uid, series_uid, sop_uid, code, reason, removed_by,
                             removed_at, instance_count, kept_until, purged_at
                        FROM tombstones WHERE clinic_id = $1";
        let listing = Listing::of(select).by("study_uid =", study.map(StudyInstanceUid::as_str));
        listing.newest("tombstone_id", after, clinic, limit).fetch_all(db).await
    }
}
