//! An allergy or intolerance.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use super::past_day;
use crate::coding::Coding;
use crate::invalid::{Invalid, invalid, note};

/// Most reactions that are told of one substance.
const REACTIONS: usize = 20;

/// That somebody does not bear a substance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allergy {
    /// The substance.
    pub coding: Coding,
    /// Whether it still holds.
    #[serde(default)]
    pub clinical_status: AllergyStatus,
    /// How sure it is.
    #[serde(default)]
    pub verification: AllergyVerification,
    /// Of the immune system, or not.
    #[serde(default, rename = "type")]
    pub allergy_type: Option<AllergyType>,
    /// What sort of substance.
    #[serde(default)]
    pub category: Option<AllergyCategory>,
    /// What harm a further contact may do.
    #[serde(default)]
    pub criticality: Option<Criticality>,
    /// What happened so far.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(max_items = 20))]
    pub reactions: Vec<Reaction>,
    /// Since when.
    #[serde(default)]
    pub onset_on: Option<NaiveDate>,
    /// What else is to be said.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(max_length = 4000))]
    pub note: Option<String>,
}

impl Allergy {
    pub(super) fn check_at(&self, now: DateTime<Utc>) -> Result<(), Invalid> {
        self.coding.check()?;
        if self.reactions.len() > REACTIONS {
            return Err(invalid("reactions", "are at most 20"));
        }
        for reaction in &self.reactions {
            reaction.manifestation.check()?;
        }
        past_day("onsetOn", self.onset_on, now)?;
        note("note", self.note.as_ref())
    }
}

/// What a contact with the substance did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Reaction {
    /// The symptom.
    pub manifestation: Coding,
    /// How bad it was.
    #[serde(default)]
    pub severity: Option<ReactionSeverity>,
}

/// FHIR's `AllergyIntolerance.clinicalStatus`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are FHIR's codes")]
pub enum AllergyStatus {
    #[default]
    Active,
    Inactive,
    Resolved,
}

/// FHIR's `AllergyIntolerance.verificationStatus`, but for what was entered in error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are FHIR's codes")]
pub enum AllergyVerification {
    #[default]
    Unconfirmed,
    Confirmed,
    Refuted,
}

/// FHIR's `AllergyIntolerance.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are FHIR's codes")]
pub enum AllergyType {
    Allergy,
    Intolerance,
}

/// FHIR's `AllergyIntolerance.category`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are FHIR's codes")]
pub enum AllergyCategory {
    Food,
    Medication,
    Environment,
    Biologic,
}

/// FHIR's `AllergyIntolerance.criticality`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are FHIR's codes")]
pub enum Criticality {
    Low,
    High,
    UnableToAssess,
}

/// FHIR's `AllergyIntolerance.reaction.severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are FHIR's codes")]
pub enum ReactionSeverity {
    Mild,
    Moderate,
    Severe,
}

#[cfg(test)]
mod tests {
    use super::super::tests::{day, now};
    use super::*;

    #[test]
    fn a_substance_alone_is_an_active_unconfirmed_allergy() {
        let text = r#"{"coding": {"system": "http://snomed.info/sct", "code": "91936005",
                       "display": "Allergy to penicillin"}}"#;
        let allergy: Allergy = serde_json::from_str(text).unwrap();
        assert_eq!(allergy.check_at(now()), Ok(()));
        assert_eq!(allergy.clinical_status, AllergyStatus::Active);
        assert_eq!(allergy.verification, AllergyVerification::Unconfirmed);
        let later = Allergy { onset_on: day("2027-01-01"), ..allergy.clone() };
        assert_eq!(later.check_at(now()).unwrap_err().member, "onsetOn");
        let reaction = Reaction { manifestation: allergy.coding.clone(), severity: None };
        let many = Allergy { reactions: vec![reaction; 21], ..allergy };
        assert_eq!(many.check_at(now()).unwrap_err().member, "reactions");
    }

    #[test]
    fn a_member_that_is_unknown_is_refused() {
        let text = r#"{"coding": {"system": "urn:x", "code": "1", "display": "x"}, "patientId": "1"}"#;
        assert!(serde_json::from_str::<Allergy>(text).is_err());
    }
}
