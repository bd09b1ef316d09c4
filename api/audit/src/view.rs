//! A line of the trail as a client reads it.

use chrono::{DateTime, Utc};
use clinical::audit::Outcome;
use clinical::id::{AuditId, ClinicId, PatientId, SessionId};
use clinical::role::Role;
use serde::Serialize;
use storage::audit::Recorded;
use utoipa::ToSchema;

/// One line, in JSON's own spelling.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditView {
    /// Its identifier; later lines have greater ones.
    pub id: AuditId,
    /// The clinic.
    pub clinic_id: ClinicId,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// Who acted: `user:UUID`, `key:UUID`, `administrator`, `system` or `unknown`.
    pub actor: String,
    /// What they are in the clinic.
    pub role: Option<Role>,
    /// The sign-in under which they acted.
    pub session_id: Option<SessionId>,
    /// What was done.
    pub action: String,
    /// The record that it was about.
    pub record_id: Option<String>,
    /// The patient whom it was about.
    pub patient_id: Option<PatientId>,
    /// By which route, command or job.
    pub route: String,
    /// From which network address.
    pub address: Option<String>,
    /// The request, as its answer named it.
    pub request_id: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// What else is known.
    pub detail: Option<serde_json::Value>,
    /// Its place in the clinic's chain; `null` until it is sealed.
    pub seq: Option<i64>,
    /// The chain's hash up to it.
    pub hash: Option<String>,
}

impl From<Recorded> for AuditView {
    fn from(line: Recorded) -> Self {
        let entry = line.entry;
        Self {
            id: line.audit_id,
            clinic_id: entry.clinic_id,
            at: entry.at,
            actor: entry.actor.to_string(),
            role: entry.role,
            session_id: entry.session,
            action: entry.action,
            record_id: entry.record_id,
            patient_id: entry.patient_id,
            route: entry.route,
            address: entry.address,
            request_id: entry.request_id,
            outcome: entry.outcome,
            detail: entry.detail,
            seq: line.seq,
            hash: line.hash,
        }
    }
}
