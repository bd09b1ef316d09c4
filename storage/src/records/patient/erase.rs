//! What the law lets be removed of a patient is removed; the rest is counted and kept.

mod elsewhere;

use chrono::{DateTime, Months, NaiveDate, Utc};
use clinical::id::{ClinicId, PatientId, StudyId};
use uuid::Uuid;

use super::{Patient, setting};
use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, sql};
use crate::records::rejection::{Found, kept_until};
use crate::records::workitem;

/// The setting that says for how many years records are kept, and what holds without it.
///
/// Source: ten years after the treatment is what, among others, section 630f (3) of the German Civil Code demands.
const YEARS: (&str, i64) = ("recordRetentionYears", 10);

/// Why nothing was erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// Another record stands for this one.
    #[error("the record is merged into another")]
    Merged,
    /// The database failed, or does not know the patient.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// What an erasure has removed and kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Erased {
    /// So many identifiers were removed.
    pub identifiers: u64,
    /// So many studies were removed.
    pub studies: u64,
    /// So many allergies, conditions, medication and vital signs were removed.
    pub statements: u64,
    /// The blobs that no row names any more.
    pub blob_keys: Vec<String>,
    /// So many studies are younger than the retention time, or locked.
    pub kept_studies: u64,
    /// So many statements and assessments are younger than the retention time.
    pub kept_statements: u64,
    /// So many names stay on bills, of which books are kept.
    pub kept_payers: u64,
    /// On this day the last of what is younger may go; absent where nothing is.
    pub kept_until: Option<NaiveDate>,
    /// The retention time, in years.
    pub retention_years: i64,
}

/// A study, and whether nothing may be removed of it.
struct Lockable {
    study: Found,
    is_locked: bool,
}

impl FromRow for Lockable {
    fn from_row(row: &Row) -> Result<Self> {
        let locked_at: Option<DateTime<Utc>> = row.get("locked_at")?;
        Ok(Self { study: Found::from_row(row)?, is_locked: locked_at.is_some() })
    }
}

/// The record that stands for the patient, as it is once their row is held.
struct MergedInto(Option<Uuid>);

impl FromRow for MergedInto {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("merged_into").map(Self)
    }
}

struct Instant(DateTime<Utc>);

impl FromRow for Instant {
    fn from_row(row: &Row) -> Result<Self> {
        row.get(0).map(Self)
    }
}

/// What hangs on a study, in the order in which it can go.
const OF_STUDY: [&str; 6] = [
    "DELETE FROM findings WHERE clinic_id = $1 AND study_id = $2",
    "DELETE FROM analyses WHERE clinic_id = $1 AND study_id = $2",
    "DELETE FROM instance_versions WHERE clinic_id = $1 AND instance_id IN
            (SELECT instance_id FROM instances WHERE clinic_id = $1 AND study_id = $2)",
    "DELETE FROM instances WHERE clinic_id = $1 AND study_id = $2",
    "DELETE FROM series WHERE clinic_id = $1 AND study_id = $2",
    "DELETE FROM studies WHERE clinic_id = $1 AND study_id = $2",
];

impl Patient {
    /// Removes who a patient is, and what of their record is older than the clinic's setting
    /// `recordRetentionYears` (1 to 100; 10 where nothing is set).
    ///
    /// A study's age counts from when it was stored, or from its Study Date where that is later; a statement's from when
    /// it was recorded. Of a locked study nothing is removed. What is kept becomes restricted. What the patient was told
    /// goes, and how to reach who pays for them; a name stays where something was billed. Done again later, it removes
    /// what has grown old since.
    ///
    /// # Errors
    ///
    /// [`EraseError::Merged`]; [`DbError::NotFound`] in it when the clinic has no such patient.
    pub async fn erase(
        db: &mut Tx,
        clinic: ClinicId,
        id: PatientId,
        now: DateTime<Utc>,
    ) -> Result<Erased, EraseError> {
        let lock = "UPDATE patients SET updated_at = $3 WHERE clinic_id = $1 AND patient_id = $2
                    RETURNING merged_into";
        let MergedInto(survivor) = sql(lock).bind(clinic).bind(id).bind(now).fetch_one(db).await?;
        if survivor.is_some() {
            return Err(EraseError::Merged);
        }
        // Who stores an image holds the identifier that it came by: its study is waited for, and a later one finds
        // nobody.
        let lock = "UPDATE patient_identifiers SET patient_id = patient_id
                     WHERE clinic_id = $1 AND patient_id = $2";
        sql(lock).bind(clinic).bind(id).execute(db).await?;
        workitem::forget_patient(db, clinic, id).await?;
        let retention_years = retention_years(db, clinic).await?;
        // At most 100 years: the product fits.
        let retention = Months::new(retention_years as u32 * 12);
        let mut erased = Erased { retention_years, ..Erased::default() };

        let find = "SELECT study_id, patient_id, study_date, stored_at, locked_at FROM studies
                     WHERE clinic_id = $1 AND patient_id = $2";
        for Lockable { study, is_locked } in sql(find).bind(clinic).bind(id).fetch_all(db).await? {
            let ends_on = kept_until(study.since(), retention_years);
            if ends_on > now.date_naive() {
                erased.kept_studies += 1;
                erased.kept_until = erased.kept_until.max(Some(ends_on));
            } else if is_locked {
                erased.kept_studies += 1;
            } else {
                erased.blob_keys.extend(remove_study(db, clinic, study.study_id).await?);
                erased.studies += 1;
            }
        }
        let kept = erase_statements(db, clinic, id, now, retention, &mut erased).await?;
        let newest_goes_on = kept.map(|newest| kept_until(newest.date_naive(), retention_years));
        erased.kept_until = erased.kept_until.max(newest_goes_on);
        let keeps_record = erased.kept_studies > 0 || erased.kept_statements > 0;
        erased.identifiers = erase_person(db, clinic, id, now, keeps_record).await?;
        elsewhere::erase_word(db, clinic, id).await?;
        erased.kept_payers = elsewhere::erase_payer(db, clinic, id).await?;
        Ok(erased)
    }
}

/// For how many years the clinic keeps records: its setting `recordRetentionYears`.
pub(crate) async fn retention_years(db: &mut Conn, clinic: ClinicId) -> Result<i64> {
    setting(db, clinic, YEARS.0, YEARS.1, (1, 100)).await
}

/// The blobs that its rows named.
async fn remove_study(db: &mut Tx, clinic: ClinicId, study: StudyId) -> Result<Vec<String>> {
    let find = "SELECT blob_key FROM instances WHERE clinic_id = $1 AND study_id = $2
                 UNION SELECT blob_key FROM instance_versions WHERE clinic_id = $1 AND instance_id IN
                       (SELECT instance_id FROM instances WHERE clinic_id = $1 AND study_id = $2)
                 UNION SELECT saliency_key FROM findings
                        WHERE clinic_id = $1 AND study_id = $2 AND saliency_key IS NOT NULL
                 UNION SELECT overlay_key FROM findings
                        WHERE clinic_id = $1 AND study_id = $2 AND overlay_key IS NOT NULL";
    let blob_keys = sql(find).bind(clinic).bind(study).fetch_all(db).await?;
    for delete in OF_STUDY {
        sql(delete).bind(clinic).bind(study).execute(db).await?;
    }
    Ok(blob_keys)
}

/// When the youngest statement or assessment that stays was recorded.
async fn erase_statements(
    db: &mut Tx,
    clinic: ClinicId,
    id: PatientId,
    now: DateTime<Utc>,
    retention: Months,
    erased: &mut Erased,
) -> Result<Option<DateTime<Utc>>> {
    let oldest = now.checked_sub_months(retention).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let assessments = erase_assessments(db, clinic, id, oldest).await?;
    let delete = "DELETE FROM statements WHERE clinic_id = $1 AND patient_id = $2 AND recorded_at <= $3";
    erased.statements = sql(delete).bind(clinic).bind(id).bind(oldest).execute(db).await?;
    let count = "SELECT count(*) FROM statements WHERE clinic_id = $1 AND patient_id = $2";
    let kept: i64 = sql(count).bind(clinic).bind(id).fetch_one(db).await?;
    erased.kept_statements = kept.unsigned_abs() + assessments.0;
    let newest = "SELECT recorded_at FROM statements WHERE clinic_id = $1 AND patient_id = $2
                   ORDER BY recorded_at DESC LIMIT 1";
    let newest = sql(newest).bind(clinic).bind(id).fetch_optional::<Instant>(db).await?;
    Ok(newest.map(|newest| newest.0).max(assessments.1))
}

/// How many assessments stay, and when the youngest of them was made.
async fn erase_assessments(
    db: &mut Tx,
    clinic: ClinicId,
    id: PatientId,
    oldest: DateTime<Utc>,
) -> Result<(u64, Option<DateTime<Utc>>)> {
    for delete in [
        "DELETE FROM issue_overrides WHERE clinic_id = $1 AND patient_id = $2 AND overridden_at <= $3",
        "DELETE FROM assessments WHERE clinic_id = $1 AND patient_id = $2 AND made_at <= $3
            AND NOT EXISTS (SELECT 1 FROM issue_overrides
                             WHERE issue_overrides.assessment_id = assessments.assessment_id)",
    ] {
        sql(delete).bind(clinic).bind(id).bind(oldest).execute(db).await?;
    }
    let count = "SELECT count(*) FROM assessments WHERE clinic_id = $1 AND patient_id = $2";
    let kept: i64 = sql(count).bind(clinic).bind(id).fetch_one(db).await?;
    let newest = "SELECT made_at FROM assessments WHERE clinic_id = $1 AND patient_id = $2
                   ORDER BY made_at DESC LIMIT 1";
    let newest = sql(newest).bind(clinic).bind(id).fetch_optional::<Instant>(db).await?;
    Ok((kept.unsigned_abs(), newest.map(|newest| newest.0)))
}

/// How many identifiers there were.
async fn erase_person(
    db: &mut Tx,
    clinic: ClinicId,
    id: PatientId,
    now: DateTime<Utc>,
    keeps_record: bool,
) -> Result<u64> {
    let delete = "DELETE FROM patient_identifiers
                   WHERE clinic_id = $1 AND patient_id = $2 AND value IS NOT NULL";
    let identifiers = sql(delete).bind(clinic).bind(id).execute(db).await?;
    if !keeps_record {
        let rest = "DELETE FROM patient_identifiers WHERE clinic_id = $1 AND patient_id = $2";
        sql(rest).bind(clinic).bind(id).execute(db).await?;
    }
    let update = "UPDATE patients
                     SET mrn = '', issuer = '', name = '', name_key = '', family_key = '', given_key = '',
                         birth_date = NULL, sex = NULL, phone = NULL, email = NULL, address = NULL,
                         is_restricted = $4, erased_at = COALESCE(erased_at, $3), updated_at = $3
                   WHERE clinic_id = $1 AND (patient_id = $2 OR merged_into = $2)";
    sql(update).bind(clinic).bind(id).bind(now).bind(keeps_record).execute(db).await?;
    Ok(identifiers)
}

#[cfg(test)]
mod tests;
