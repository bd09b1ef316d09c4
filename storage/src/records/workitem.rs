//! Unified procedure steps (PS3.4, annex CC): the work that a worklist holds, each with its state.
//!
//! A step of ours names a study and is followed by the analysis that it asks for.

mod about;
mod follow;
mod search;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, StudyId, WorkitemId};
use clinical::uid::{SopInstanceUid, StudyInstanceUid};
use serde_json::Value;
use uuid::Uuid;

use self::about::patient_of;
pub(crate) use self::about::{FORGET_EMPTY_STUDY, forget_patient};
pub use self::follow::{completed, failed, started};
pub use self::search::{Asked, Column, WorkitemSearch};
use super::patient::name_key;
use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// Procedure Step State (0074,1000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// To be done.
    Scheduled,
    /// Somebody does it, and has shown the Transaction UID that changes it from now on.
    InProgress,
    /// Done.
    Completed,
    /// Given up.
    Canceled,
}

impl State {
    const ALL: [Self; 4] = [Self::Scheduled, Self::InProgress, Self::Completed, Self::Canceled];

    /// The defined term.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::InProgress => "IN PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Canceled => "CANCELED",
        }
    }

    /// Nothing changes any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Canceled)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// What of a step's data set it is searched by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkitemFacts {
    /// Scheduled Procedure Step Priority (0074,1200).
    pub priority: String,
    /// Procedure Step Label (0074,1204).
    pub label: String,
    /// Worklist Label (0074,1202).
    pub worklist: Option<String>,
    /// Scheduled Procedure Step Start DateTime (0040,4005).
    pub scheduled_at: Option<String>,
    /// Expected Completion DateTime (0040,4011).
    pub expected_at: Option<String>,
    /// Patient's Name (0010,0010).
    pub patient_name: Option<String>,
    /// Patient ID (0010,0020).
    pub mrn: Option<String>,
    /// Issuer of Patient ID (0010,0021).
    pub issuer: Option<String>,
    /// Every Study Instance UID (0020,000D) that it names, its input's first.
    pub study_uids: Vec<StudyInstanceUid>,
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub struct Workitem {
    /// Our identifier.
    pub workitem_id: WorkitemId,
    /// SOP Instance UID (0008,0018).
    pub uid: SopInstanceUid,
    /// Where it stands.
    pub state: State,
    /// Transaction UID (0008,1195) of whoever performs it; told to nobody.
    pub transaction_uid: Option<String>,
    /// The study that it is about, where the archive has it.
    pub study_id: Option<StudyId>,
    /// An analysis was asked for with it.
    pub is_ours: bool,
    /// The data set as DICOM JSON.
    pub body: Value,
    /// When it changed last.
    pub updated_at: DateTime<Utc>,
}

/// The columns of a [`Workitem`].
const COLUMNS: &str =
    "workitem_id, workitem_uid, state, transaction_uid, study_id, is_ours, body, updated_at";

impl FromRow for Workitem {
    fn from_row(row: &Row) -> Result<Self> {
        let state: String = row.get("state")?;
        Ok(Self {
            workitem_id: row.id("workitem_id")?,
            uid: row.parse("workitem_uid")?,
            state: state.parse().map_err(|()| DbError::Corrupt("workitems.state".to_owned()))?,
            transaction_uid: row.get("transaction_uid")?,
            study_id: row.get::<Option<Uuid>>("study_id")?.map(StudyId),
            is_ours: row.get("is_ours")?,
            body: row.get("body")?,
            updated_at: row.get("updated_at")?,
        })
    }
}

impl Workitem {
    /// Writes a new step; `false` when its UID is taken.
    pub async fn create(db: &mut Tx, clinic: ClinicId, step: &Self, facts: &WorkitemFacts) -> Result<bool> {
        let insert = "INSERT INTO workitems (workitem_id, clinic_id, workitem_uid, state, transaction_uid, priority,
                             label, worklist, scheduled_at, expected_at, patient_name, patient_key, mrn, study_uid,
                             study_id, body, is_ours, created_at, updated_at, issuer, patient_id)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $18,
                              $19, $20)
                      ON CONFLICT (clinic_id, workitem_uid) DO NOTHING";
        let patient_id = patient_of(db, clinic, facts).await?;
        let written = sql(insert)
            .bind(step.workitem_id)
            .bind(clinic)
            .bind(&step.uid)
            .bind(step.state.as_str())
            .bind(step.transaction_uid.clone())
            .bind(&facts.priority)
            .bind(&facts.label)
            .bind(facts.worklist.clone())
            .bind(facts.scheduled_at.clone())
            .bind(facts.expected_at.clone())
            .bind(facts.patient_name.clone())
            .bind(facts.patient_name.as_deref().map(name_key))
            .bind(facts.mrn.clone())
            .bind(facts.study_uids.first().map(ToString::to_string))
            .bind(step.study_id)
            .bind(step.body.clone())
            .bind(step.is_ours)
            .bind(step.updated_at)
            .bind(facts.issuer.clone())
            .bind(patient_id)
            .execute(db)
            .await?;
        if written == 1 {
            step.write_inputs(db, clinic, &facts.study_uids).await?;
        }
        Ok(written == 1)
    }

    /// One step of one clinic.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] where the clinic has none of that UID.
    pub async fn find(db: &mut Conn, clinic: ClinicId, uid: &SopInstanceUid) -> Result<Self> {
        built_sql(format!("SELECT {COLUMNS} FROM workitems WHERE clinic_id = $1 AND workitem_uid = $2"))
            .bind(clinic)
            .bind(uid)
            .fetch_one(db)
            .await
    }

    /// One step, which no other transaction changes until this one ends.
    ///
    /// # Errors
    ///
    /// As [`Workitem::find`].
    pub async fn hold(db: &mut Tx, clinic: ClinicId, uid: &SopInstanceUid) -> Result<Self> {
        let lock = db.change_lock();
        built_sql(format!("SELECT {COLUMNS} FROM workitems WHERE clinic_id = $1 AND workitem_uid = $2{lock}"))
            .bind(clinic)
            .bind(uid)
            .fetch_one(db)
            .await
    }

    /// Writes state, transaction and data set of a step that is held.
    pub async fn write(&self, db: &mut Tx, clinic: ClinicId, facts: &WorkitemFacts) -> Result<()> {
        let update = "UPDATE workitems SET state = $3, transaction_uid = $4, body = $5, updated_at = $6,
                             priority = $7, label = $8, worklist = $9, scheduled_at = $10, expected_at = $11,
                             study_uid = $12, patient_id = COALESCE($13, patient_id)
                       WHERE clinic_id = $1 AND workitem_id = $2";
        let patient_id = patient_of(db, clinic, facts).await?;
        sql(update)
            .bind(clinic)
            .bind(self.workitem_id)
            .bind(self.state.as_str())
            .bind(self.transaction_uid.clone())
            .bind(self.body.clone())
            .bind(self.updated_at)
            .bind(&facts.priority)
            .bind(&facts.label)
            .bind(facts.worklist.clone())
            .bind(facts.scheduled_at.clone())
            .bind(facts.expected_at.clone())
            .bind(facts.study_uids.first().map(ToString::to_string))
            .bind(patient_id)
            .execute(db)
            .await?;
        self.write_inputs(db, clinic, &facts.study_uids).await
    }
}
