//! What is written down about every act: who, what, when, from where, and what came of it.
//!
//! Source: the events and their parts that DICOM PS3.15, section A.5 and HL7
//! FHIR R4, `AuditEvent` ask for; identifiers only, never a name or a value.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::id::{ApiKeyId, ClinicId, PatientId, SessionId, UserId};
use crate::role::{Role, UnknownWord};

/// Who acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// Whoever holds the administrator's token.
    Administrator,
    /// A person.
    User(UserId),
    /// A machine, by its key.
    Key(ApiKeyId),
    /// Medilink itself.
    System,
    /// Nobody that is known: a failed sign-in, a request without a token.
    Unknown,
}

impl Actor {
    /// `administrator`, `user`, `key`, `system` or `unknown`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::User(_) => "user",
            Self::Key(_) => "key",
            Self::System => "system",
            Self::Unknown => "unknown",
        }
    }

    /// The identifier of a person or a key.
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::User(UserId(id)) | Self::Key(ApiKeyId(id)) => Some(*id),
            Self::Administrator | Self::System | Self::Unknown => None,
        }
    }
}

/// The kind, and after a colon the identifier where there is one.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id() {
            Some(id) => write!(f, "{}:{id}", self.kind()),
            None => f.write_str(self.kind()),
        }
    }
}

impl FromStr for Actor {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        const UNKNOWN: UnknownWord = UnknownWord("actor");
        match text.split_once(':') {
            Some(("user", id)) => id.parse().map(Self::User).map_err(|_| UNKNOWN),
            Some(("key", id)) => id.parse().map(Self::Key).map_err(|_| UNKNOWN),
            Some(_) => Err(UNKNOWN),
            None => match text {
                "administrator" => Ok(Self::Administrator),
                "system" => Ok(Self::System),
                "unknown" => Ok(Self::Unknown),
                _ => Err(UNKNOWN),
            },
        }
    }
}

/// What came of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Success,
    /// The caller is unknown or may not.
    Denied,
    /// What was asked is wrong: the other answers from 400 to 499.
    Refused,
    /// Our own fault: answers from 500 on.
    Failed,
}

impl Outcome {
    /// Every one.
    pub const ALL: &[Self] = &[Self::Success, Self::Denied, Self::Refused, Self::Failed];

    /// Its name, as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Denied => "denied",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for Outcome {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL.iter().copied().find(|it| it.as_str() == text).ok_or(UnknownWord("outcome"))
    }
}

/// One line of the audit trail, as it is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The clinic that it concerns.
    pub clinic_id: ClinicId,
    /// When it happened, in whole microseconds.
    pub at: DateTime<Utc>,
    /// Who acted.
    pub actor: Actor,
    /// What the actor is in the clinic.
    pub role: Option<Role>,
    /// The sign-in under which a person acted.
    pub session: Option<SessionId>,
    /// What was done: `patient:read`, `account:sign-in`.
    pub action: String,
    /// The record that it was about.
    pub record_id: Option<String>,
    /// The patient whom it was about.
    pub patient_id: Option<PatientId>,
    /// Where: `GET /api/v1/patients/{patientId}`, a command, a job.
    pub route: String,
    /// The caller's network address.
    pub address: Option<String>,
    /// The request, as its answer and the log name it.
    pub request_id: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// What else is worth knowing, without clinical content.
    pub detail: Option<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_and_an_outcome_read_back() {
        let (user, key) = (Actor::User(UserId::new()), Actor::Key(ApiKeyId::new()));
        for actor in [Actor::Administrator, user, key, Actor::System, Actor::Unknown] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(*outcome));
        }
        for odd in ["", "user", "user:", "user:1", "robot:0", "system:1"] {
            assert!(odd.parse::<Actor>().is_err(), "{odd}");
        }
    }
}
