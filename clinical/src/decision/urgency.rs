//! How soon somebody should be seen.

use serde::{Deserialize, Serialize};

/// How soon somebody should be seen; the later variant is the more urgent one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Urgency {
    /// At home, with advice.
    #[serde(rename = "self-care")]
    SelfCare,
    /// By a physician, within days or weeks.
    #[serde(rename = "consultation")]
    Consultation,
    /// By a physician, within a day.
    #[serde(rename = "within-24h")]
    Within24Hours,
    /// In an emergency department, now.
    #[serde(rename = "emergency")]
    Emergency,
    /// By an ambulance, now.
    #[serde(rename = "emergency-ambulance")]
    EmergencyAmbulance,
}

impl Urgency {
    /// All, the least urgent first.
    pub const ALL: [Self; 5] =
        [Self::SelfCare, Self::Consultation, Self::Within24Hours, Self::Emergency, Self::EmergencyAmbulance];

    /// The name, as JSON has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SelfCare => "self-care",
            Self::Consultation => "consultation",
            Self::Within24Hours => "within-24h",
            Self::Emergency => "emergency",
            Self::EmergencyAmbulance => "emergency-ambulance",
        }
    }

    /// Whether it cannot wait for a physician's hours.
    pub fn is_emergency(self) -> bool {
        self >= Self::Emergency
    }
}

#[cfg(test)]
mod tests {
    use super::Urgency;

    #[test]
    fn every_level_is_worse_than_the_one_before_and_is_written_as_it_is_named() {
        assert!(Urgency::ALL.is_sorted());
        for level in Urgency::ALL {
            assert_eq!(serde_json::to_string(&level).unwrap(), format!("\"{}\"", level.as_str()));
        }
    }
}
