//! The ways by which word reaches a person: what is sent, what came of it, and what every provider must keep.
//!
//! [`Notifier`] is one provider with one set of credentials. Whoever sends asks the
//! [`Switchboard`](switchboard::Switchboard), which knows the providers that serve a clinic, tries them
//! in order, and keeps away from one that fails.

pub mod config;
mod fcm;
mod http;
mod jws;
mod line;
mod mail;
mod parts;
mod reach;
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
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clinical::id::ClinicId;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use storage::records::user::EmailAddress;
use storage::records::webhook::target::{Targets, UrlError, WebhookUrl};
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

pub use parts::PartsError;
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

/// A telephone number as the world writes it: `+` and 7 to 15 digits (ITU-T E.164).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(String);

/// A text that is no telephone number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a telephone number is written as +4915112345678: a plus and 7 to 15 digits, the country's first")]
pub struct NoPhoneNumber;

impl std::str::FromStr for PhoneNumber {
    type Err = NoPhoneNumber;

    /// Spaces, hyphens, dots and brackets between the digits are left out.
    fn from_str(text: &str) -> Result<Self, NoPhoneNumber> {
        if text.len() > 64 {
            return Err(NoPhoneNumber);
        }
        let number: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')')).collect();
        let digits = number.strip_prefix('+').ok_or(NoPhoneNumber)?;
        let is_number = (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || digits.starts_with('0') { Err(NoPhoneNumber) } else { Ok(Self(number)) }
    }
}

impl PhoneNumber {
    /// `+` and digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The digits alone.
    pub fn digits(&self) -> &str {
        self.0.trim_start_matches('+')
    }
}

/// Numbers are people's: a log that prints one prints this.
impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(…)")
    }
}

/// A browser that wants pushes, as its `PushSubscription` says it (W3C Push API, section 8).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    endpoint: String,
    p256dh: String,
    auth: String,
}

/// Why a browser's subscription is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// Its address may not be spoken to.
    #[error("the endpoint is refused: {0}")]
    Endpoint(#[from] UrlError),
    /// Its address is not one of a push service, which all speak TLS.
    #[error("the endpoint begins with https://")]
    Plain,
    /// Its public key is no point of the curve P-256.
    #[error("p256dh is the base64url of an uncompressed point of P-256, 65 bytes")]
    Key,
    /// Its secret has another length.
    #[error("auth is the base64url of 16 bytes")]
    Secret,
}

impl Subscription {
    /// Checks what a browser says: the endpoint is no inside address (a name is asked for its addresses when a
    /// push is sent), the key is a point of the curve, and the secret has its length.
    ///
    /// Source: RFC 8291, sections 2 and 3.2.
    ///
    /// # Errors
    ///
    /// [`SubscriptionError`] says what is wrong.
    pub fn check(
        endpoint: &str,
        p256dh: &str,
        auth: &str,
        targets: Targets,
    ) -> Result<Self, SubscriptionError> {
        let url = WebhookUrl::check(endpoint, targets)?;
        if targets == Targets::PublicOnly && !url.as_str().starts_with("https:") {
            return Err(SubscriptionError::Plain);
        }
        web_push::receiver_key(p256dh).ok_or(SubscriptionError::Key)?;
        web_push::receiver_secret(auth).ok_or(SubscriptionError::Secret)?;
        let [p256dh, auth] = [p256dh, auth].map(|text| text.trim_end_matches('=').to_owned());
        Ok(Self { endpoint: url.as_str().to_owned(), p256dh, auth })
    }

    /// Where its pushes are sent.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The browser's public key, as base64url.
    pub fn p256dh(&self) -> &str {
        &self.p256dh
    }

    /// The secret between the browser and us, as base64url.
    pub fn auth(&self) -> &str {
        &self.auth
    }
}

/// Who knows it may push to somebody's browser: a log that prints one prints this.
impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription(…)")
    }
}

/// Where a message goes.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A mailbox.
    Email(EmailAddress),
    /// A telephone that takes short messages.
    Sms(PhoneNumber),
    /// A telephone with WhatsApp.
    Whatsapp(PhoneNumber),
    /// A device that Firebase knows by this registration token.
    FcmToken(String),
    /// A device that Amazon SNS knows by this ARN of a platform endpoint.
    SnsEndpoint(String),
    /// A browser.
    Browser(Subscription),
}

impl Address {
    /// The channel that it belongs to.
    pub fn channel(&self) -> Channel {
        match self {
            Self::Email(_) => Channel::Email,
            Self::Sms(_) => Channel::Sms,
            Self::Whatsapp(_) => Channel::Whatsapp,
            Self::FcmToken(_) | Self::SnsEndpoint(_) | Self::Browser(_) => Channel::Push,
        }
    }

    /// As it is compared and suppressed: an e-mail address in lower case, `+` and digits, a token, an ARN, a
    /// browser's endpoint.
    pub fn key(&self) -> String {
        match self {
            Self::Email(address) => address.key(),
            Self::Sms(number) | Self::Whatsapp(number) => number.as_str().to_owned(),
            Self::FcmToken(text) | Self::SnsEndpoint(text) => text.clone(),
            Self::Browser(subscription) => subscription.endpoint.clone(),
        }
    }
}

/// Addresses are people's: a log that prints one prints its channel.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.channel().name())
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
    /// What [`Sent::provider_message_id`] was.
    pub provider_message_id: Option<String>,
    /// The address as [`Address::key`] writes it, where the report names it.
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

    /// ITU-T E.164, section 6: at most 15 digits, the country's code first, which never begins with 0.
    #[test]
    fn a_telephone_number_has_its_country_first() {
        let number: PhoneNumber = "+49 (151) 1234-5678".parse().unwrap();
        assert_eq!((number.as_str(), number.digits()), ("+4915112345678", "4915112345678"));
        for bad in
            ["4915112345678", "+49", "+0151123456", "+1234567890123456", "+49 151 CALL", "", "++4915112345"]
        {
            assert!(bad.parse::<PhoneNumber>().is_err(), "{bad}");
        }
        assert_eq!(format!("{number:?} {:?}", Address::Sms(number.clone())), "PhoneNumber(…) Address(sms)");
    }

    /// The subscription of RFC 8291, section 5, at other endpoints.
    #[test]
    fn a_browser_names_no_inside_address() {
        let check = |endpoint: &str| {
            let key =
                "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
            Subscription::check(endpoint, key, "BTBZMqHH6r4Tts7J_aSIgg", Targets::PublicOnly)
        };
        assert!(check("https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV").is_ok());
        for inside in [
            "https://127.0.0.1/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]:8080/",
            "https://localhost/x",
            "https://2130706433/",
        ] {
            assert_eq!(check(inside), Err(SubscriptionError::Endpoint(UrlError::Private)), "{inside}");
        }
        assert_eq!(check("http://push.example.net/x"), Err(SubscriptionError::Plain));
        assert_eq!(check("file:///etc/passwd"), Err(SubscriptionError::Endpoint(UrlError::Scheme)));
    }

    #[test]
    fn every_channel_and_provider_is_found_by_its_name() {
        assert!(Channel::ALL.into_iter().all(|it| Channel::named(it.name()) == Some(it)));
        assert!(Provider::ALL.into_iter().all(|it| Provider::named(it.name()) == Some(it)));
    }
}
