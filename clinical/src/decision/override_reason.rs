//! Why an issue with drugs does not count this time.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why an issue with drugs does not count this time; whoever says so answers for it.
///
/// The reasons are those of HL7's list for managing a detected issue (v3 ActCode, `_ActDetectedIssueManagementCode`), in
/// words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OverrideReason {
    /// The therapy is right for this patient all the same.
    TherapyAppropriate,
    /// The patient was looked at, and bears it.
    AssessedPatient,
    /// The patient has borne it before.
    ToleratedBefore,
    /// What may happen is watched for.
    Monitoring,
    /// Somebody else was asked.
    ConsultedOther,
    /// The other drug is not taken any more.
    NoLongerTaken,
    /// What is written of the patient is wrong.
    RecordWrong,
    /// Anything else; the comment says what.
    Other,
}

impl OverrideReason {
    /// All, with what they mean.
    pub const ALL: [(Self, &'static str); 8] = [
        (Self::TherapyAppropriate, "The therapy is right for this patient"),
        (Self::AssessedPatient, "The patient was looked at, and bears it"),
        (Self::ToleratedBefore, "The patient has borne it before"),
        (Self::Monitoring, "What may happen is watched for"),
        (Self::ConsultedOther, "Somebody else was asked"),
        (Self::NoLongerTaken, "The other drug is not taken any more"),
        (Self::RecordWrong, "What is written of the patient is wrong"),
        (Self::Other, "Another reason, which the comment says"),
    ];

    /// The code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TherapyAppropriate => "therapy-appropriate",
            Self::AssessedPatient => "assessed-patient",
            Self::ToleratedBefore => "tolerated-before",
            Self::Monitoring => "monitoring",
            Self::ConsultedOther => "consulted-other",
            Self::NoLongerTaken => "no-longer-taken",
            Self::RecordWrong => "record-wrong",
            Self::Other => "other",
        }
    }
}

impl FromStr for OverrideReason {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().map(|(reason, _)| reason).find(|reason| reason.as_str() == text).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_written_as_it_is_named() {
        for (reason, _) in OverrideReason::ALL {
            assert_eq!(serde_json::json!(reason), reason.as_str());
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
    }
}
