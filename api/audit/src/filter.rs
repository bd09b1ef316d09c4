//! Which lines are asked for.

use chrono::{DateTime, Utc};
use clinical::audit::Outcome;
use clinical::id::PatientId;
use gate::Problem;
use serde::Deserialize;
use storage::audit::Filter;
use utoipa::IntoParams;

/// The filters in the query; all of them must fit.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Asked {
    /// By whom: `user:UUID`, `key:UUID`, `administrator`, `system` or `unknown`.
    #[param(
        pattern = "^((user|key):[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}|administrator|system|unknown)$"
    )]
    actor: Option<String>,
    /// About this patient.
    patient_id: Option<PatientId>,
    /// What was done: `patient:read`, `account:sign-in`.
    action: Option<String>,
    /// What came of it.
    outcome: Option<Outcome>,
    /// Not before this instant.
    from: Option<DateTime<Utc>>,
    /// Before this instant.
    to: Option<DateTime<Utc>>,
}

impl Asked {
    /// As the trail is searched; 400 `invalid-query` for an actor that does not read.
    pub(crate) fn check(self) -> Result<Filter, Problem> {
        let wrong = |_| {
            let kinds = "actor is user:UUID, key:UUID, administrator, system or unknown";
            Problem::bad_request("invalid-query", kinds)
        };
        Ok(Filter {
            actor: self.actor.map(|actor| actor.parse()).transpose().map_err(wrong)?,
            patient_id: self.patient_id,
            action: self.action,
            outcome: self.outcome,
            from: self.from,
            to: self.to,
        })
    }
}
