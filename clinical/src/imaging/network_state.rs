//! Whether a network is asked, and who sees its answers.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Whether a network is asked, and who sees its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum NetworkState {
    /// Runs only when it is asked for by name.
    #[default]
    Draft,
    /// Runs on what it is eligible for; nobody is shown its findings.
    Shadow,
    /// Runs on what it is eligible for, and its findings are shown.
    Active,
    /// Runs no more; kept for the findings it has made.
    Retired,
}

impl NetworkState {
    /// The state as it is written and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Shadow => "shadow",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }

    /// Whether it runs on what it is eligible for.
    pub fn runs(self) -> bool {
        matches!(self, Self::Shadow | Self::Active)
    }
}

/// A text that names no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a state is draft, shadow, active or retired")]
pub struct UnknownNetworkState;

impl FromStr for NetworkState {
    type Err = UnknownNetworkState;

    fn from_str(text: &str) -> Result<Self, UnknownNetworkState> {
        [Self::Draft, Self::Shadow, Self::Active, Self::Retired]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(UnknownNetworkState)
    }
}
