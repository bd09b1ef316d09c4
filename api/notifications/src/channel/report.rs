//! What providers say later of messages that they have taken.

use std::fmt;

use chrono::{DateTime, Utc};
use clinical::id::ClinicId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Channel, Provider};

/// What a provider reports of a message that it has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It has reached the mailbox or the device.
    Delivered,
    /// A person has seen it.
    Read,
    /// It has not arrived, this time.
    Failed,
    /// The address takes no messages: it is suppressed.
    Bounced,
    /// The person has said that they do not want it: the address is suppressed.
    Complained,
}

impl Fate {
    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Failed => "failed",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
        }
    }

    /// Whether the address gets nothing more.
    pub fn suppresses(self) -> bool {
        matches!(self, Self::Bounced | Self::Complained)
    }
}

/// A provider's report about one message to one address; its signature has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    /// Who reports.
    pub provider: Provider,
    /// The clinic whose webhook it came to; `None` for the one that serves all clinics.
    pub clinic_id: Option<ClinicId>,
    /// By which channel the message went.
    pub channel: Channel,
    /// What [`super::Sent::provider_message_id`] was.
    pub provider_message_id: Option<String>,
    /// The address as [`super::Address::key`] writes it, where the report names it.
    pub address: Option<String>,
    /// What became of it.
    pub fate: Fate,
    /// The provider's word for why, without the address; at most 200 characters.
    pub reason: Option<String>,
    /// When it happened, as the provider says.
    pub at: DateTime<Utc>,
}

/// The address is somebody's: a log that prints a report prints no address.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report")
            .field("provider", &self.provider)
            .field("provider_message_id", &self.provider_message_id)
            .field("fate", &self.fate)
            .finish_non_exhaustive()
    }
}
