//! What a provider tells by itself.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a webhook is about, to be read again from the provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", content = "id", rename_all = "kebab-case")]
pub enum Subject {
    /// A payment, by the identifier that [`PaymentProvider::create`] answered.
    Payment(String),
    /// A charge, capture or attempt of a payment: [`PaymentProvider::read_about`] finds the payment.
    Charge(String),
    /// A refund by its identifier where no payment is named with it (PhonePe: [`Refund::reference`] is ours).
    Refund(Uuid),
    /// A dispute: [`PaymentProvider::read_dispute`].
    Dispute(String),
    /// A subscription: [`PaymentProvider::read_subscription`].
    Subscription(String),
    /// Nothing that is kept here.
    Nothing,
}

/// What a webhook told, once its signature held. Nothing in it is believed but that something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderEvent {
    /// One event an identifier, also when it is sent again.
    ///
    /// Razorpay and PhonePe sign no identifier: there it is the SHA-256 of what they signed.
    pub event_id: String,
    /// The provider's own word: `payment_intent.succeeded`.
    pub kind: String,
    /// What to read again.
    pub subject: Subject,
    /// Whose account at the provider, where it says so.
    pub account: Option<String>,
    /// When it happened there.
    pub happened_at: Option<DateTime<Utc>>,
}

/// Why a webhook was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// A header of the signature is missing or does not read.
    #[error("the webhook is not signed")]
    NotSigned,
    /// Somebody else signed it, or it was changed.
    #[error("the signature of the webhook is wrong")]
    WrongSignature,
    /// It was signed too long ago, or too far ahead.
    #[error("the webhook was signed at another time")]
    OutOfTime,
    /// It was signed rightly and does not read.
    #[error("the webhook does not read")]
    Malformed,
    /// It is for another account.
    #[error("the webhook is for another account")]
    OtherAccount,
    /// The provider, who alone can check it, could not be asked; the sender should try again.
    #[error("the signature of the webhook could not be checked")]
    Unchecked,
    /// No secret is set here.
    #[error("webhooks of this provider are not set up")]
    NotSetUp,
}
