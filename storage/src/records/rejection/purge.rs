//! Removing for good what was hidden, once the law no longer keeps it.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, StudyId, TombstoneId};

use super::{Again, Code};
use crate::archive::{Archive, ArchiveError};
use crate::db::{Db, FromRow, Result, Row, Tx, built_sql, sql};
use crate::records::workitem;

/// So many tombstones are looked at in one round.
const ROUND: i64 = 100;

/// The hidden instances of its study that a tombstone lists; `$1` is the clinic, `$2` the tombstone.
const LISTED: &str = "SELECT instances.instance_id FROM rejections
                        JOIN instances ON instances.clinic_id = rejections.clinic_id
                                      AND instances.sop_uid = rejections.sop_uid
                        JOIN studies ON studies.study_id = instances.study_id
                                    AND studies.study_uid = rejections.study_uid
                       WHERE rejections.clinic_id = $1 AND rejections.tombstone_id = $2
                         AND instances.hidden_at IS NOT NULL";

struct Due {
    tombstone_id: TombstoneId,
    clinic_id: ClinicId,
    study_id: StudyId,
}

impl FromRow for Due {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            tombstone_id: row.id("tombstone_id")?,
            clinic_id: row.id("clinic_id")?,
            study_id: row.id("study_id")?,
        })
    }
}

/// What was removed for good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Purged {
    /// So many removals are done.
    pub removals: u64,
    /// So many blobs are gone.
    pub blobs: u64,
    /// So many more no row names, but the archive failed: they are left to its sweep.
    pub left: u64,
}

/// Removes what was hidden and need not be kept any longer, rows first; of a locked study nothing.
pub async fn purge_due(db: &Db, archive: &Archive, now: DateTime<Utc>) -> Result<Purged> {
    let mut purged = Purged::default();
    loop {
        let find = "SELECT tombstone_id, clinic_id, study_id FROM tombstones
                     WHERE purged_at IS NULL AND kept_until <= $1
                       AND NOT EXISTS (SELECT 1 FROM studies WHERE studies.clinic_id = tombstones.clinic_id
                                                               AND studies.study_uid = tombstones.study_uid
                                                               AND studies.locked_at IS NOT NULL)
                     ORDER BY kept_until LIMIT $2";
        let due: Vec<Due> = sql(find).bind(now).bind(ROUND).fetch_all(&mut db.read().await?).await?;
        for Due { tombstone_id, clinic_id, study_id } in &due {
            let mut tx = db.begin().await?;
            let blob_keys = purge(&mut tx, *clinic_id, *tombstone_id, *study_id, now).await?;
            tx.commit().await?;
            purged.removals += 1;
            for key in blob_keys {
                match archive.delete(&key).await {
                    Ok(()) | Err(ArchiveError::NotFound) => purged.blobs += 1,
                    Err(_) => purged.left += 1,
                }
            }
        }
        if due.len() < ROUND as usize {
            return Ok(purged);
        }
    }
}

/// Removes the rows of what `tombstone` has hidden; the blobs that they named.
pub(super) async fn purge(
    tx: &mut Tx,
    clinic: ClinicId,
    tombstone: TombstoneId,
    study: StudyId,
    now: DateTime<Utc>,
) -> Result<Vec<String>> {
    let blobs = format!(
        "SELECT blob_key FROM instances WHERE instance_id IN ({LISTED})
          UNION SELECT blob_key FROM instance_versions WHERE instance_id IN ({LISTED})
          UNION SELECT saliency_key FROM findings WHERE saliency_key IS NOT NULL AND analysis_id IN
                (SELECT analysis_id FROM analyses WHERE instance_id IN ({LISTED}))
          UNION SELECT overlay_key FROM findings WHERE overlay_key IS NOT NULL AND analysis_id IN
                (SELECT analysis_id FROM analyses WHERE instance_id IN ({LISTED}))"
    );
    let blob_keys = built_sql(blobs).bind(clinic).bind(tombstone).fetch_all(tx).await?;
    let of_instances = [
        format!(
            "DELETE FROM findings WHERE analysis_id IN
                    (SELECT analysis_id FROM analyses WHERE instance_id IN ({LISTED}))"
        ),
        format!("DELETE FROM analyses WHERE instance_id IN ({LISTED})"),
        format!("DELETE FROM instance_versions WHERE instance_id IN ({LISTED})"),
        format!("DELETE FROM instances WHERE instance_id IN ({LISTED})"),
    ];
    for delete in of_instances {
        built_sql(delete).bind(clinic).bind(tombstone).execute(tx).await?;
    }
    let of_study = [
        "DELETE FROM series WHERE clinic_id = $1 AND study_id = $2 AND NOT EXISTS
                (SELECT 1 FROM instances WHERE instances.series_id = series.series_id)",
        workitem::FORGET_EMPTY_STUDY,
        "DELETE FROM studies WHERE clinic_id = $1 AND study_id = $2 AND NOT EXISTS
                (SELECT 1 FROM series WHERE series.study_id = studies.study_id)",
    ];
    for delete in of_study {
        sql(delete).bind(clinic).bind(study).execute(tx).await?;
    }
    // What is to be refused when it comes again stays known.
    let refused: Vec<&str> =
        Code::ALL.into_iter().filter(|code| code.again() == Again::Refused).map(Code::as_str).collect();
    built_sql(format!(
        "DELETE FROM rejections WHERE clinic_id = $1 AND tombstone_id = $2 AND code NOT IN ('{}')",
        refused.join("', '")
    ))
    .bind(clinic)
    .bind(tombstone)
    .execute(tx)
    .await?;
    sql("UPDATE tombstones SET purged_at = $3 WHERE clinic_id = $1 AND tombstone_id = $2")
        .bind(clinic)
        .bind(tombstone)
        .bind(now)
        .execute(tx)
        .await?;
    Ok(blob_keys)
}
