//! The ways by which word reaches a person: what is sent, what came of it, and what every provider must keep.
//!
//! [`Notifier`] is one provider with one set of credentials. Whoever sends asks the
//! [`Switchboard`](switchboard::Switchboard), which knows the providers that serve a clinic, tries them
//! in order, and keeps away from one that fails.

mod address;
pub mod config;
mod fcm;
mod http;
mod jws;
mod line;
mod mail;
mod parts;
mod reach;
mod report;
pub mod routes;
mod ses;
pub mod settings;
mod sigv4;
mod smtp;
mod sns;
pub mod switchboard;
#[cfg(test)]
mod testing;
mod twilio;
mod web_push;
mod webhook;
mod whatsapp;
mod zeptomail;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

pub use address::{Address, NoPhoneNumber, PhoneNumber, Subscription, SubscriptionError};
pub use parts::PartsError;
pub use report::{Fate, Report};
pub use routes::{ChannelState, ReportListener, routes};
pub use settings::ChannelSettings;
pub use switchboard::{Switchboard, SwitchboardError, Undelivered};

/// A way by which word reaches a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// The list in the application and its socket; no provider carries it.
    InApp,
    /// E-mail.
    Email,
    /// A push to a browser, a telephone or a tablet.
    Push,
    /// A short message to a telephone.
    Sms,
    /// A message in WhatsApp.
    Whatsapp,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 5] = [Self::InApp, Self::Email, Self::Push, Self::Sms, Self::Whatsapp];

    /// Its stable name; for all but [`Channel::InApp`] also the purpose that its credentials are kept for.
    pub fn name(self) -> &'static str {
        match self {
            Self::InApp => "in_app",
            Self::Email => "email",
            Self::Push => "push",
            Self::Sms => "sms",
            Self::Whatsapp => "whatsapp",
        }
    }

    /// The channel of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
    }
}

/// Who carries messages for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provider {
    /// E-mail by Zoho's ZeptoMail.
    Zeptomail,
    /// E-mail by Amazon SES, version 2.
    AwsSes,
    /// E-mail by a server that speaks SMTP.
    Smtp,
    /// WhatsApp by Meta's Cloud API.
    MetaBusiness,
    /// Short messages, and pushes to registered devices, by Amazon SNS.
    AwsSns,
    /// Short messages by Twilio.
    Twilio,
    /// Pushes by Firebase Cloud Messaging.
    FirebaseFcm,
    /// Pushes to browsers (RFC 8030), which need no account.
    WebPush,
}

impl Provider {
    /// Every provider.
    pub const ALL: [Self; 8] = [
        Self::Zeptomail,
        Self::AwsSes,
        Self::Smtp,
        Self::MetaBusiness,
        Self::AwsSns,
        Self::Twilio,
        Self::FirebaseFcm,
        Self::WebPush,
    ];

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Zeptomail => "zeptomail",
            Self::AwsSes => "aws_ses",
            Self::Smtp => "smtp",
            Self::MetaBusiness => "meta_business",
            Self::AwsSns => "aws_sns",
            Self::Twilio => "twilio",
            Self::FirebaseFcm => "firebase_fcm",
            Self::WebPush => "web_push",
        }
    }

    /// The provider of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.name() == name)
    }
}

/// How soon a push should wake a device (RFC 8030, section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PushUrgency {
    /// When the device is awake anyway.
    Low,
    /// In its turn.
    #[default]
    Normal,
    /// Now.
    High,
}

/// A template that the provider keeps and has approved, as WhatsApp asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderTemplate {
    /// Its name there.
    pub name: String,
    /// Its language, as `en` or `pt_BR`.
    pub language: String,
    /// What stands for `{{1}}`, `{{2}}` … in its body.
    pub values: Vec<String>,
}

/// A file that travels with an e-mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enclosure {
    /// Its name there.
    pub file_name: String,
    /// Its media type, as `application/pdf`.
    pub media_type: &'static str,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// One message to one address.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The same for every try of one delivery: providers and mail readers that can tell copies apart do so by it.
    pub dedupe_id: Uuid,
    /// Where it goes.
    pub to: Address,
    /// Subject of an e-mail, title of a push; a line without breaks.
    pub subject: String,
    /// The text; all that a short message has.
    pub text: String,
    /// The text of an e-mail as HTML.
    pub html: Option<String>,
    /// What an e-mail brings along.
    pub enclosure: Option<Enclosure>,
    /// The provider's template; WhatsApp takes nothing else from whoever has not written first.
    pub template: Option<ProviderTemplate>,
    /// What a push brings to the application beside what it shows; nothing about health.
    pub data: BTreeMap<String, String>,
    /// How soon a push wakes the device.
    pub urgency: PushUrgency,
    /// After so long it is worth nothing any more; whoever keeps it for a device that is off then drops it.
    pub ttl: Duration,
}

/// A provider has taken a message over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Who has it.
    pub provider: Provider,
    /// What they call it: their reports name it so. `None` where they give no name.
    pub provider_message_id: Option<String>,
}

/// Why a provider did not take a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The address takes no messages: unknown, gone, or blocked. It is to be suppressed.
    #[error("the address was refused: {0}")]
    BadAddress(String),
    /// The message itself was refused; it would be refused again, and by the next provider perhaps not.
    #[error("the message was refused: {0}")]
    Refused(String),
    /// Too many messages for now.
    #[error("the provider asks to be spared")]
    Throttled {
        /// How long it wants to be spared, where it says so.
        retry_after: Option<Duration>,
    },
    /// No answer, or one that says that the provider itself has failed.
    #[error("the provider could not be reached: {0}")]
    Unreachable(String),
    /// The provider does not let us in: its credentials are wrong, expired or may not do this.
    #[error("the provider refuses the credentials: {0}")]
    Authentication(String),
}

impl SendError {
    /// Whether the same message may go through a little later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unreachable(_))
    }

    /// Whether it says something about the provider, and not about this message alone.
    pub fn is_providers(&self) -> bool {
        matches!(self, Self::Throttled { .. } | Self::Unreachable(_) | Self::Authentication(_))
    }

    /// A stable word for logs and numbers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadAddress(_) => "bad-address",
            Self::Refused(_) => "refused",
            Self::Throttled { .. } => "throttled",
            Self::Unreachable(_) => "unreachable",
            Self::Authentication(_) => "authentication",
        }
    }
}

/// How a provider is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ProbeResult)]
pub enum Health {
    /// Nobody has asked it yet, or it has nothing that could be asked.
    Unknown,
    /// It answers and lets us in.
    Healthy,
    /// It answers, and does not let us in.
    Refusing,
    /// It does not answer.
    Down,
}

/// One provider with one set of credentials.
///
/// Dropping a future of it ends the attempt. An attempt whose answer was lost may be tried again: each message
/// reaches its provider at least once, under the same [`Outgoing::dedupe_id`].
pub trait Notifier: Send + Sync {
    /// Who it is.
    fn provider(&self) -> Provider;

    /// Whether it carries messages to such an address.
    fn takes(&self, to: &Address) -> bool;

    /// Hands a message over. Ends by itself within [`ANSWER_TIME`].
    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Sent, SendError>>;

    /// Asks the provider whether it is there and lets us in, without a message to anybody.
    fn probe(&self) -> BoxFuture<'_, Health>;
}

/// A provider has so long for each answer.
pub const ANSWER_TIME: Duration = Duration::from_secs(10);

/// The address that calls of a provider are built on: the operator's, or the usual one.
fn base(set: &str, usual: &str, name: &'static str) -> Result<Url, PartsError> {
    let text = if set.is_empty() { usual } else { set };
    let url: Url = text.parse().map_err(|_| PartsError::Malformed(name, "it is an address"))?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    is_web.then_some(url).ok_or(PartsError::Malformed(name, "it begins with https:// or http://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_and_provider_is_found_by_its_name() {
        assert!(Channel::ALL.into_iter().all(|it| Channel::named(it.name()) == Some(it)));
        assert!(Provider::ALL.into_iter().all(|it| Provider::named(it.name()) == Some(it)));
    }
}
