//! What does not go together: drugs, allergies, conditions (HL7 FHIR R4, `DetectedIssue`).

use serde::{Deserialize, Serialize};

/// What sort of issue it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum IssueKind {
    /// An allergy, of the drug itself or of one alike.
    Allergy,
    /// Two drugs.
    Interaction,
    /// A drug and a condition.
    Contraindication,
    /// A drug in a pregnancy.
    Pregnancy,
    /// A drug while a child is breastfed.
    Lactation,
    /// A drug and an age.
    Age,
    /// A dose or an interval.
    Dose,
    /// The same ingredient or class twice.
    Duplicate,
    /// The QT interval.
    QtProlongation,
}

/// How grave it is (HL7 FHIR R4, `detectedissue-severity`); the later variant is the graver one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum IssueSeverity {
    /// Worth knowing.
    Low,
    /// Needs watching or another dose.
    Moderate,
    /// May harm gravely: not without a reason.
    High,
}

/// What does not go together.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct DetectedIssue {
    /// What sort of issue it is.
    pub kind: IssueKind,
    /// How grave it is.
    pub severity: IssueSeverity,
    /// The drugs concerned, by the ids of their ingredients.
    pub drugs: Vec<String>,
    /// The allergy, condition or circumstance concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// How it comes about.
    pub mechanism: String,
    /// What to do.
    pub management: String,
    /// Where the rule stands: `estimated` where it is our own judgement, else DOI, PMID, ISBN or an agency's page.
    pub source: String,
}

/// What a drug's words were taken for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TakenFor {
    /// What was said.
    pub words: String,
    /// The ids of the ingredients.
    pub drugs: Vec<String>,
    /// Their RxNorm concepts, where they are known.
    pub rxcui: Vec<String>,
}

/// What does not go together in one patient, and what could not be checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Screened {
    /// What does not go together, the gravest first.
    pub detected_issues: Vec<DetectedIssue>,
    /// What could not be checked, and why.
    pub not_checked: Vec<NotChecked>,
    /// What the drugs were taken for.
    pub drugs: Vec<TakenFor>,
}

/// What could not be checked, and why: it is never said to be safe.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct NotChecked {
    /// What was to be checked: a drug's name, `age`, `renal-function` …
    pub what: String,
    /// Why it could not be.
    pub why: String,
}
