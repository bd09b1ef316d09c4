//! Conditions in order of how probable they are, and why.

use serde::Serialize;

use super::detected_issue::{DetectedIssue, NotChecked};
use super::presentation::FindingState;
use super::urgency::Urgency;

/// One thing that spoke for or against a condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Spoke {
    /// The finding's id; `age`, `sex`, `season`, `duration` and `severity` stand for the circumstances.
    pub finding: String,
    /// What it is, for people.
    pub name: String,
    /// Whether it is there.
    pub state: FindingState,
    /// Natural logarithm of how much likelier it is with this condition than with the others.
    pub weight: f32,
    /// `measured` or `estimated`: how the figure came about.
    pub grade: &'static str,
    /// Where a measured figure stands: DOI, PMID or ISBN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// One condition, how probable it is, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DifferentialLine {
    /// The condition's id.
    pub condition: String,
    /// Its name.
    pub name: String,
    /// ICD-10-CM codes, the main one first.
    pub icd10: Vec<String>,
    /// The field of medicine.
    pub category: String,
    /// Posterior probability, 0 to 1.
    pub probability: f32,
    /// How soon a typical case should be seen.
    pub urgency: Urgency,
    /// What it is, in a sentence for the patient.
    pub says_when: String,
    /// What spoke for it, the weightiest first.
    #[serde(rename = "for")]
    pub spoke_for: Vec<Spoke>,
    /// What spoke against it, the weightiest first.
    #[serde(rename = "against")]
    pub spoke_against: Vec<Spoke>,
    /// What to do.
    pub advice: Vec<String>,
}

/// Why the urgency is what it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Reason {
    /// The level that this alone would give.
    pub urgency: Urgency,
    /// The rule's stable code.
    pub rule: String,
    /// In a sentence.
    pub text: String,
    /// Where the rule stands, where it was looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What to ask next.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Question {
    /// The finding that is asked for.
    pub finding: String,
    /// The question in plain words.
    pub text: String,
    /// What the answer is expected to tell, in bits.
    pub expected_bits: f32,
    /// The dangerous condition that it would rule out, where that is why it is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules_out: Option<String>,
}

/// Words and what they were taken for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Recognised {
    /// What was said.
    pub words: String,
    /// The finding or condition that it was taken for.
    pub finding: String,
    /// Whether it is there.
    pub state: FindingState,
}

/// What is told about a presentation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Assessment {
    /// How soon to be seen.
    pub urgency: Urgency,
    /// Why, the worst first.
    pub urgency_reasons: Vec<Reason>,
    /// What it may be, the most probable first.
    pub differential: Vec<DifferentialLine>,
    /// How probable it is that it is nothing of what is known here.
    pub none_of_these: f32,
    /// What to ask next.
    pub questions: Vec<Question>,
    /// What was understood.
    pub recognised: Vec<Recognised>,
    /// What was said and not understood.
    pub unmatched: Vec<String>,
    /// Members of the request that nobody reads.
    pub ignored: Vec<String>,
    /// Drugs, allergies and conditions that do not go together.
    pub detected_issues: Vec<DetectedIssue>,
    /// What could not be checked, and why.
    pub not_checked: Vec<NotChecked>,
    /// SHA-256 of the knowledge that answered.
    pub knowledge_version: String,
}
