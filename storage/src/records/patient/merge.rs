//! Two records of one person become one.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, PatientId};

use super::Patient;
use crate::db::{DbError, Tx, sql};

/// Why two records were not joined.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// They are the same.
    #[error("a record is not merged into itself")]
    Same,
    /// One of them points to another already.
    #[error("one of the records is merged already")]
    Merged,
    /// Of one of them nothing is left to compare.
    #[error("one of the records is erased")]
    Erased,
    /// The database failed, or does not know one of them.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// What has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// So many studies.
    pub studies: u64,
    /// So many allergies, conditions, medication and vital signs.
    pub statements: u64,
}

/// What belongs to a patient and goes along; the identifiers first, for by them images find their patient.
const BELONGINGS: [&str; 10] = [
    "UPDATE patient_identifiers SET patient_id = $2 WHERE clinic_id = $1 AND patient_id = $3",
    "UPDATE studies SET patient_id = $2 WHERE clinic_id = $1 AND patient_id = $3",
    "UPDATE statements SET patient_id = $2 WHERE clinic_id = $1 AND patient_id = $3",
    "UPDATE memberships SET patient_id = $2 WHERE clinic_id = $1 AND patient_id = $3",
    "UPDATE assessments SET patient_id = $2 WHERE clinic_id = $1 AND patient_id = $3",
    "UPDATE issue_overrides SET patient_id = $2 WHERE clinic_id = $1 AND patient_id = $3",
    "UPDATE billing_customers SET patient_id = $2 WHERE clinic_id = $1 AND patient_id = $3",
    "UPDATE subscriptions SET patient_id = $2 WHERE clinic_id = $1 AND patient_id = $3",
    "UPDATE invoices SET patient_id = $2 WHERE clinic_id = $1 AND patient_id = $3",
    "UPDATE payments SET patient_id = $2 WHERE clinic_id = $1 AND patient_id = $3",
];

impl Patient {
    /// Moves all that belongs to `from` over to `into`, and leaves of it a pointer.
    ///
    /// The demographics of `into` stay; it is restricted if either was.
    ///
    /// # Errors
    ///
    /// [`MergeError`]; nothing has moved then, once the transaction is dropped.
    pub async fn merge(
        db: &mut Tx,
        clinic: ClinicId,
        into: PatientId,
        from: PatientId,
        now: DateTime<Utc>,
    ) -> Result<Moved, MergeError> {
        if into == from {
            return Err(MergeError::Same);
        }
        // In one order, so that two merges of the same records wait for one another.
        for id in [into.min(from), into.max(from)] {
            let lock = "UPDATE patients SET updated_at = $3 WHERE clinic_id = $1 AND patient_id = $2";
            if sql(lock).bind(clinic).bind(id).bind(now).execute(db).await? == 0 {
                return Err(DbError::NotFound.into());
            }
        }
        let (survivor, merged) = (Self::find(db, clinic, into).await?, Self::find(db, clinic, from).await?);
        if survivor.merged_into.or(merged.merged_into).is_some() {
            return Err(MergeError::Merged);
        }
        if survivor.erased_at.or(merged.erased_at).is_some() {
            return Err(MergeError::Erased);
        }
        let mut moved = [0; BELONGINGS.len()];
        for (count, belonging) in moved.iter_mut().zip(BELONGINGS) {
            *count = sql(belonging).bind(clinic).bind(into).bind(from).execute(db).await?;
        }
        let point = "UPDATE patients SET merged_into = $2
                      WHERE clinic_id = $1 AND (patient_id = $3 OR merged_into = $3)";
        sql(point).bind(clinic).bind(into).bind(from).execute(db).await?;
        if merged.is_restricted {
            let restrict = "UPDATE patients SET is_restricted = $3 WHERE clinic_id = $1 AND patient_id = $2";
            sql(restrict).bind(clinic).bind(into).bind(true).execute(db).await?;
        }
        let [_, studies, statements, ..] = moved;
        Ok(Moved { studies, statements })
    }
}
