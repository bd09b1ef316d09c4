//! How good the engine is over patients and vignettes whose diagnosis is known.
//!
//! Definitions: GTPA@k is the share of cases whose diagnosis is among the first k conditions, over all cases, known to
//! the knowledge or not. DDF1 is the mean F1 of the conditions above 0.01 against the given differential. The
//! interaction length is the number of questions asked, plus one for how it began, at most 30. ECE is the expected
//! calibration error of the first condition's probability in 15 bins of equal width. An urgency is right when it is of the
//! given class, safe when it is of the given class or a more urgent one; an emergency is caught when it is told as one.

pub mod ddxplus;
pub mod interval;
pub mod matching;
pub mod summary;
pub mod vignettes;

use serde::Serialize;

pub use interval::Estimate;
pub use summary::Summary;

/// Conditions at or below this probability are not part of a predicted differential (the published code of DDXPlus).
pub const CUT: f32 = 0.01;
/// The longest interaction, with its beginning.
pub const LONGEST: usize = 30;
/// Questions end when a condition is so probable.
pub const SURE: f32 = 0.99;

/// The classes of urgency that published vignettes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UrgencyClass {
    /// At home.
    SelfCare,
    /// By a physician, and not at once.
    NonEmergency,
    /// At once.
    Emergency,
}

impl From<clinical::decision::Urgency> for UrgencyClass {
    fn from(urgency: clinical::decision::Urgency) -> Self {
        use clinical::decision::Urgency;
        match urgency {
            Urgency::SelfCare => Self::SelfCare,
            Urgency::Consultation | Urgency::Within24Hours => Self::NonEmergency,
            Urgency::Emergency | Urgency::EmergencyAmbulance => Self::Emergency,
        }
    }
}

/// A condition with its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranked {
    /// The condition's id.
    pub condition: String,
    /// Posterior probability.
    pub probability: f32,
}

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Which case, counted from 1.
    pub case: usize,
    /// What the row calls right.
    pub diagnosis: String,
    /// Whether the knowledge has a condition of that name or code.
    pub is_covered: bool,
    /// At which place the right condition stands, counted from 1.
    pub rank: Option<usize>,
    /// At which place one of the same category of ICD-10-CM stands.
    pub rank_by_category: Option<usize>,
    /// The first conditions.
    pub differential: Vec<Ranked>,
    /// How probable it was said to be that it is none of these.
    pub none_of_these: f32,
    /// F1 against the given differential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ddf1: Option<f64>,
    /// Questions asked, plus one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interaction_length: Option<usize>,
    /// The class that the row gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub urgency_wanted: Option<UrgencyClass>,
    /// The urgency that was told.
    pub urgency: clinical::decision::Urgency,
    /// Words that were not understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmatched: Vec<String>,
}

/// Why something cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// A row is not written as it must be.
    #[error("row {row}: {why}")]
    Row {
        /// Which, counted from 1.
        row: usize,
        /// What is wrong.
        why: String,
    },
    /// A file of the benchmark is not what it should be.
    #[error("{file}: {why}")]
    File {
        /// Which.
        file: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The knowledge made from it is refused.
    #[error(transparent)]
    Knowledge(#[from] models::KnowledgeError),
}
