//! What a network saw, how surely, or why it would not say.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Region;

/// One label's calibrated probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelScore {
    /// The label's stable code on the network's card.
    pub label: String,
    /// What it means, for people.
    pub meaning: String,
    /// Calibrated probability, 0.0 to 1.0.
    pub probability: f32,
    /// At or above it the label counts as present; absent for a label that is only shown.
    pub threshold: Option<f32>,
    /// The frame that gave the highest probability, counted from 0.
    pub frame: u32,
    /// Where it was seen, for networks that tell.
    pub region: Option<Region>,
}

impl LabelScore {
    /// Whether the network's own threshold calls the label present.
    pub fn is_positive(&self) -> bool {
        self.threshold.is_some_and(|threshold| self.probability >= threshold)
    }
}

/// Why a network gave no probability, as a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AbstentionCode {
    /// No network in the box is meant for the image's modality.
    NoNetwork,
    /// Modality, body part, view, age, sex or another attribute is outside the card, or missing.
    NotEligible,
    /// The object holds no pixels.
    NoPixels,
    /// The pixels cannot be decoded.
    NotDecodable,
    /// The image is not fit to be read.
    PoorQuality,
    /// The image is unlike those the network learned from.
    OutOfDistribution,
    /// The network has not proved itself, or has answered what is no probability.
    NetworkUnhealthy,
}

impl AbstentionCode {
    /// The code as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoNetwork => "no-network",
            Self::NotEligible => "not-eligible",
            Self::NoPixels => "no-pixels",
            Self::NotDecodable => "not-decodable",
            Self::PoorQuality => "poor-quality",
            Self::OutOfDistribution => "out-of-distribution",
            Self::NetworkUnhealthy => "network-unhealthy",
        }
    }
}

impl fmt::Display for AbstentionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A network's refusal, with its reason in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Abstention {
    /// The stable code.
    pub code: AbstentionCode,
    /// The reason, for people; it names attributes of the image, never the patient.
    pub reason: String,
}

/// What came of one network over one instance.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The network looked, and says how surely it saw each label.
    Scored(Vec<LabelScore>),
    /// The network would not look, and says why.
    Abstained(Abstention),
}

/// Where a finding stands with the physicians.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReviewState {
    /// Nobody has judged it yet.
    Open,
    /// A physician agrees.
    Accepted,
    /// A physician disagrees.
    Rejected,
}

impl ReviewState {
    /// The state as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
        }
    }
}

/// A text that names no review state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a review state is open, accepted or rejected")]
pub struct UnknownReviewState;

impl FromStr for ReviewState {
    type Err = UnknownReviewState;

    fn from_str(text: &str) -> Result<Self, UnknownReviewState> {
        match text {
            "open" => Ok(Self::Open),
            "accepted" => Ok(Self::Accepted),
            "rejected" => Ok(Self::Rejected),
            _ => Err(UnknownReviewState),
        }
    }
}
