//! Who asks, once the gate has let them in.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, PatientId};
use clinical::role::{Permission, Reach, Role};
use http::StatusCode;
use http::request::Parts;
use storage::audit::{self, Actor, Entry, Outcome, Trail};
use storage::db::{Conn, DbError, Tx};
use storage::records::patient::{Access, Reader, Shown};

use crate::{Problem, Who};

/// Whoever showed a token and may do what the route is for; as an argument of a handler it is the door itself.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The clinic whose records the caller sees.
    pub clinic: ClinicId,
    /// Who it is.
    pub who: Who,
    /// Under which name a change is written down: an identifier, never an address.
    pub name: String,
    /// What they are in the clinic; a machine is nothing.
    pub role: Option<Role>,
    /// How far the right reaches that let them in.
    pub reach: Reach,
    /// Whose records are the caller's own.
    pub patient: Option<PatientId>,
    /// What a machine may do; `None` for people.
    pub(crate) scopes: Option<Vec<Permission>>,
    pub(crate) request: Arc<Asked>,
    pub(crate) note: Arc<Mutex<Note>>,
}

/// What the audit trail tells of the request itself.
#[derive(Debug)]
pub(crate) struct Asked {
    pub at: DateTime<Utc>,
    pub permission: Permission,
    pub route: String,
    pub address: Option<String>,
    pub request_id: Option<String>,
}

/// What the handler has added.
#[derive(Debug, Clone, Default)]
pub(crate) struct Note {
    pub patient: Option<PatientId>,
    pub record: Option<String>,
    pub reason: Option<String>,
    pub is_written: bool,
}

impl Caller {
    /// Whether the caller may do this, too, with the records of the whole clinic.
    pub fn may(&self, permission: Permission) -> bool {
        match &self.scopes {
            Some(scopes) => scopes.contains(&permission) && permission.suits_machines(),
            None => self.role.and_then(|role| role.reach(permission)) > Some(Reach::Own),
        }
    }

    /// Passes where the right reaches all of the clinic, or the record is of the caller's own patient.
    ///
    /// # Errors
    ///
    /// 404 `not-found`, as for a record that is not there.
    pub fn owns(&self, patient: PatientId) -> Result<(), Problem> {
        if self.reach > Reach::Own || self.patient == Some(patient) {
            return Ok(());
        }
        Err(Problem::not_found())
    }

    /// The caller as one who looks at records.
    pub fn reader(&self) -> Reader {
        let user_id = match self.who {
            Who::User { user_id, .. } => Some(user_id),
            Who::Administrator | Who::Key { .. } => None,
        };
        Reader { role: self.role, user_id, own: self.patient }
    }

    /// Whose records a list holds for the caller.
    pub fn shown(&self) -> Shown {
        self.reader().shown(self.request.at)
    }

    /// Passes where the patient's records are the caller's to see, and tells the audit trail whose they are.
    ///
    /// # Errors
    ///
    /// 403 `record-restricted`; 404 `not-found` where the caller may not even know of them.
    pub async fn sees(&self, rows: &mut Conn, patient: PatientId) -> Result<(), Problem> {
        self.owns(patient)?;
        self.about(patient);
        let access = Access::to_patient(rows, self.clinic, &self.reader(), patient, self.request.at).await?;
        self.enters(access)
    }

    /// The refusal where a record is not open.
    ///
    /// # Errors
    ///
    /// As [`Caller::sees`].
    pub fn enters(&self, access: Access) -> Result<(), Problem> {
        match access {
            Access::Open => Ok(()),
            Access::Hidden => Err(Problem::not_found()),
            Access::Restricted => {
                let detail = "this record is restricted: /api/v1/patients/{patientId}/break-glass opens it, for a reason";
                Err(Problem::new(StatusCode::FORBIDDEN, "record-restricted", detail))
            }
        }
    }

    /// Tells the audit trail whose record the request is about.
    pub fn about(&self, patient: PatientId) {
        self.noted(|note| note.patient = Some(patient));
    }

    /// Tells the audit trail which record the request is about, where the path does not name it.
    pub fn about_record(&self, record: impl ToString) {
        self.noted(|note| note.record = Some(record.to_string()));
    }

    /// Tells the audit trail why it was done.
    pub fn because(&self, reason: &str) {
        self.noted(|note| note.reason = Some(reason.to_owned()));
    }

    /// Writes the request's audit row in the transaction of its change: the last step before the commit.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn write_down(&self, tx: &mut Tx) -> Result<(), DbError> {
        audit::write(tx, &self.entry(Outcome::Success)).await?;
        self.noted(|note| note.is_written = true);
        Ok(())
    }

    fn noted(&self, change: impl FnOnce(&mut Note)) {
        change(&mut self.note.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What the handler has added so far.
    pub(crate) fn note(&self) -> Note {
        self.note.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes a row of what was stored for `patient` under `record`, once a minute: for bodies that bring records one
    /// after the other, each written down before it is acknowledged, however the request ends.
    ///
    /// # Errors
    ///
    /// Those of the database.
    pub async fn write_down_once(
        &self,
        trail: &Trail,
        record: impl ToString,
        patient: PatientId,
    ) -> Result<(), DbError> {
        let (record, entry) = (record.to_string(), self.entry(Outcome::Success));
        let entry = Entry { record_id: Some(record.clone()), patient_id: Some(patient), ..entry };
        trail.record_once(entry, record).await?;
        self.noted(|note| note.is_written = true);
        Ok(())
    }

    /// The request's row for the trail.
    pub(crate) fn entry(&self, outcome: Outcome) -> Entry {
        let note = self.note();
        Entry {
            clinic_id: self.clinic,
            at: self.request.at,
            actor: actor(self.who),
            role: self.role,
            session: match self.who {
                Who::User { session_id, .. } => Some(session_id),
                Who::Administrator | Who::Key { .. } => None,
            },
            action: self.request.permission.to_string(),
            record_id: note.record,
            patient_id: note.patient,
            route: self.request.route.clone(),
            address: self.request.address.clone(),
            request_id: self.request.request_id.clone(),
            outcome,
            detail: note.reason.map(|reason| serde_json::json!({ "reason": reason })),
        }
    }
}

fn actor(who: Who) -> Actor {
    match who {
        Who::Administrator => Actor::Administrator,
        Who::User { user_id, .. } => Actor::User(user_id),
        Who::Key { api_key_id } => Actor::Key(api_key_id),
    }
}

/// A route that is open to everybody has no caller: to ask for one there is our own mistake.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::failed("internal"))
    }
}
