//! What becomes of an instance that comes although it, its series or its study was removed or locked.

use chrono::{DateTime, NaiveTime, Utc};
use clinical::id::{ClinicId, InstanceId, TombstoneId};
use clinical::uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};

use super::{Code, Found};
use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, sql};
use crate::records::instance::Inserted;

/// How an instance that comes stands to what was removed before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Nothing may be stored into its study.
    pub is_locked: bool,
    /// Its study or series has nothing visible: it is shown again with the instance.
    pub is_place_hidden: bool,
    /// It was rejected itself, and by which tombstone.
    pub rejected: Option<(Code, TombstoneId)>,
}

struct Word(Code, TombstoneId);

impl FromRow for Word {
    fn from_row(row: &Row) -> Result<Self> {
        let code: String = row.get("code")?;
        let code = code.parse().map_err(|()| DbError::Corrupt("rejections.code".to_owned()))?;
        Ok(Self(code, row.id("tombstone_id")?))
    }
}

/// How an instance that comes stands to what was removed before; asked only where it was not simply stored.
pub async fn standing(
    db: &mut Conn,
    clinic: ClinicId,
    study: &StudyInstanceUid,
    series: &SeriesInstanceUid,
    instance: &SopInstanceUid,
) -> Result<Standing> {
    let rejected = "SELECT code, tombstone_id FROM rejections
                     WHERE clinic_id = $1 AND study_uid = $2 AND sop_uid = $3";
    let rejected = sql(rejected).bind(clinic).bind(study).bind(instance).fetch_optional::<Word>(db).await?;
    let locked = "SELECT count(*) FROM studies
                   WHERE clinic_id = $1 AND study_uid = $2 AND locked_at IS NOT NULL";
    let locked: i64 = sql(locked).bind(clinic).bind(study).fetch_one(db).await?;
    let hidden = "SELECT count(*) FROM studies
                    LEFT JOIN series ON series.study_id = studies.study_id AND series.series_uid = $3
                   WHERE studies.clinic_id = $1 AND studies.study_uid = $2
                     AND (studies.hidden_at IS NOT NULL OR series.hidden_at IS NOT NULL)";
    let hidden: i64 = sql(hidden).bind(clinic).bind(study).bind(series).fetch_one(db).await?;
    Ok(Standing {
        is_locked: locked > 0,
        is_place_hidden: hidden > 0,
        rejected: rejected.map(|Word(code, tombstone)| (code, tombstone)),
    })
}

/// An instance that the clinic keeps hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// Where it was written.
    pub at: Inserted,
    /// Study Instance UID (0020,000D).
    pub study_uid: StudyInstanceUid,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
}

impl FromRow for Hidden {
    fn from_row(row: &Row) -> Result<Self> {
        let at = Inserted::from_row(row)?;
        Ok(Self { at, study_uid: row.parse("study_uid")?, sha256: row.get("sha256")? })
    }
}

/// The hidden instance under this UID, if the clinic keeps one.
pub async fn hidden(db: &mut Conn, clinic: ClinicId, instance: &SopInstanceUid) -> Result<Option<Hidden>> {
    sql("SELECT instances.instance_id, instances.study_id, studies.patient_id, studies.study_uid,
                instances.sha256 FROM instances
           JOIN studies ON studies.study_id = instances.study_id
          WHERE instances.clinic_id = $1 AND instances.sop_uid = $2 AND instances.hidden_at IS NOT NULL")
    .bind(clinic)
    .bind(instance)
    .fetch_optional(db)
    .await
}

/// Shows a study, one of its series and one of its instances again, as far as they are there.
pub async fn restore(
    tx: &mut Tx,
    clinic: ClinicId,
    study: &StudyInstanceUid,
    series: &SeriesInstanceUid,
    instance: &SopInstanceUid,
) -> Result<()> {
    sql("UPDATE studies SET hidden_at = NULL WHERE clinic_id = $1 AND study_uid = $2")
        .bind(clinic)
        .bind(study)
        .execute(tx)
        .await?;
    sql("UPDATE series SET hidden_at = NULL WHERE clinic_id = $1 AND series_uid = $3 AND study_id IN
                (SELECT study_id FROM studies WHERE clinic_id = $1 AND study_uid = $2)")
    .bind(clinic)
    .bind(study)
    .bind(series)
    .execute(tx)
    .await?;
    sql("UPDATE instances SET hidden_at = NULL WHERE clinic_id = $1 AND sop_uid = $3 AND study_id IN
                (SELECT study_id FROM studies WHERE clinic_id = $1 AND study_uid = $2)")
    .bind(clinic)
    .bind(study)
    .bind(instance)
    .execute(tx)
    .await?;
    sql("DELETE FROM rejections WHERE clinic_id = $1 AND study_uid = $2 AND sop_uid = $3")
        .bind(clinic)
        .bind(study)
        .bind(instance)
        .execute(tx)
        .await
        .map(|_| ())
}

/// Hides an instance that has just been stored, as `tombstone` had said before it came.
pub async fn hide_again(
    tx: &mut Tx,
    clinic: ClinicId,
    study: &StudyInstanceUid,
    instance: (InstanceId, &SopInstanceUid),
    (code, tombstone): (Code, TombstoneId),
    now: DateTime<Utc>,
) -> Result<()> {
    super::reject(tx, clinic, study, vec![instance.1.to_string()], code, tombstone).await?;
    let find = "SELECT studies.study_id, patient_id, study_date, studies.stored_at FROM studies
                  JOIN instances ON instances.study_id = studies.study_id
                 WHERE instances.clinic_id = $1 AND instance_id = $2";
    let found: Found = sql(find).bind(clinic).bind(instance.0).fetch_one(tx).await?;
    let standed = found.kept(tx, clinic).await?;
    // It alone, for of a long note each that comes would go through all that came before.
    let hidden = super::hide(tx, clinic, standed.study_id, tombstone, Some(instance.1), now).await?;
    super::add_to_count(tx, clinic, tombstone, hidden).await?;
    // The note may have come before its study.
    sql("UPDATE tombstones SET study_id = $3, kept_until = CASE WHEN kept_until < $4 THEN $4 ELSE kept_until END
          WHERE clinic_id = $1 AND tombstone_id = $2")
    .bind(clinic)
    .bind(tombstone)
    .bind(standed.study_id)
    .bind(standed.kept_until.and_time(NaiveTime::MIN).and_utc())
    .execute(tx)
    .await
    .map(|_| ())
}
