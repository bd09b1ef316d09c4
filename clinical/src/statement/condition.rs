//! A condition: a problem or diagnosis.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::{in_order, past_day};
use crate::coding::Coding;
use crate::invalid::{Invalid, invalid, note};

/// What somebody has or had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// The condition.
    pub coding: Coding,
    /// Whether it still holds.
    #[serde(default)]
    pub clinical_status: ConditionStatus,
    /// How sure it is.
    #[serde(default)]
    pub verification: ConditionVerification,
    /// How bad it is.
    #[serde(default)]
    pub severity: Option<ConditionSeverity>,
    /// Since when.
    #[serde(default)]
    pub onset_on: Option<NaiveDate>,
    /// Until when.
    #[serde(default)]
    pub abated_on: Option<NaiveDate>,
    /// What else is to be said.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(max_length = 4000))]
    pub note: Option<String>,
}

impl Condition {
    pub(super) fn check_at(&self, now: DateTime<Utc>) -> Result<(), Invalid> {
        self.coding.check()?;
        past_day("onsetOn", self.onset_on, now)?;
        past_day("abatedOn", self.abated_on, now)?;
        in_order("abatedOn", self.onset_on, self.abated_on)?;
        // FHIR R4, Condition, con-4.
        let is_over = matches!(
            self.clinical_status,
            ConditionStatus::Inactive | ConditionStatus::Remission | ConditionStatus::Resolved
        );
        if self.abated_on.is_some() && !is_over {
            return Err(invalid("clinicalStatus", "is inactive, remission or resolved once it has abated"));
        }
        note("note", self.note.as_ref())
    }
}

/// FHIR's `Condition.clinicalStatus`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are FHIR's codes")]
pub enum ConditionStatus {
    #[default]
    Active,
    Recurrence,
    Relapse,
    Inactive,
    Remission,
    Resolved,
}

/// FHIR's `Condition.verificationStatus`, but for what was entered in error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are FHIR's codes")]
pub enum ConditionVerification {
    Unconfirmed,
    Provisional,
    Differential,
    #[default]
    Confirmed,
    Refuted,
}

/// The codes of FHIR's `Condition.severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are FHIR's codes")]
pub enum ConditionSeverity {
    Mild,
    Moderate,
    Severe,
}

#[cfg(test)]
mod tests {
    use super::super::tests::{day, now};
    use super::*;
    use crate::coding::SNOMED;

    /// FHIR R4, `Condition`: «con-4: If condition is abated, then clinicalStatus must be either inactive, resolved,
    /// or remission».
    #[test]
    fn what_has_abated_is_not_active() {
        let condition = Condition {
            coding: Coding::of(SNOMED, "233604007", "Pneumonia"),
            clinical_status: ConditionStatus::Active,
            verification: ConditionVerification::Confirmed,
            severity: None,
            onset_on: day("2026-01-01"),
            abated_on: day("2026-02-01"),
            note: None,
        };
        assert_eq!(condition.check_at(now()).unwrap_err().member, "clinicalStatus");
        let resolved = Condition { clinical_status: ConditionStatus::Resolved, ..condition };
        assert_eq!(resolved.check_at(now()), Ok(()));
        let turned = Condition { abated_on: day("2025-02-01"), ..resolved };
        assert_eq!(turned.check_at(now()).unwrap_err().member, "abatedOn");
    }
}
