//! Payments, refunds and disputes, as they are asked for and as every provider tells them.

use std::fmt;

use chrono::{DateTime, Utc};
use clinical::money::Money;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::IdempotencyKey;

/// When the money is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureMethod {
    /// As soon as the payer has agreed.
    Automatic,
    /// When [`PaymentProvider::capture`] is called; until then it is only reserved.
    Manual,
}

/// Who says yes to a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PayWith {
    /// The payer, at the provider.
    Payer,
    /// Nobody now: a method that the payer stored for that (`off_session`).
    Stored {
        /// The provider's identifier of the method.
        method_id: String,
    },
}

/// A payment to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIntent {
    /// How much: above zero.
    pub amount: Money,
    /// Our payment; the provider keeps it, so that it is found again after a crash.
    pub reference: Uuid,
    /// One payment a key.
    pub key: IdempotencyKey,
    /// The provider's identifier of the customer.
    pub customer_id: Option<String>,
    /// What the payer reads; no health detail.
    pub description: String,
    /// When the money is taken.
    pub capture: CaptureMethod,
    /// Who says yes.
    pub pay_with: PayWith,
    /// Where the payer's browser comes back to.
    pub return_url: Option<String>,
    /// Where the provider tells what came of it, for those who are told with each payment (PhonePe).
    pub webhook_url: Option<String>,
}

/// A payment to be finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    /// The payment at the provider.
    pub provider_id: String,
    /// The provider's identifier of a method; `None` where the payer has chosen one there.
    pub method_id: Option<String>,
    /// Where the payer's browser comes back to, should the method lead it away.
    pub return_url: Option<String>,
    /// One confirmation a key.
    pub key: IdempotencyKey,
}

/// What the payer's side needs to go on.
#[derive(Clone, PartialEq, Eq)]
pub enum NextStep {
    /// For the provider's script in the browser: Stripe's `client_secret`, Razorpay's order.
    ClientSecret(String),
    /// A page of the provider.
    Redirect(String),
}

impl fmt::Debug for NextStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientSecret(_) => "ClientSecret(…)",
            Self::Redirect(_) => "Redirect(…)",
        })
    }
}

/// How far a payment is at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IntentState {
    /// The payer must act.
    AwaitingPayer,
    /// The payer has agreed: [`PaymentProvider::confirm`] finishes it.
    AwaitingConfirmation,
    /// The provider is at it; nothing is certain.
    Processing,
    /// The money is reserved: [`PaymentProvider::capture`] takes it.
    Authorized,
    /// The money is taken.
    Succeeded,
    /// The last attempt failed for good at this provider.
    Failed,
    /// It was given up.
    Canceled,
}

impl IntentState {
    /// No more is taken by it, whatever comes.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

/// A payment as the provider tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// The provider's identifier.
    pub provider_id: String,
    /// Our payment; `None` where it was not made by us.
    pub reference: Option<Uuid>,
    /// How far it is.
    pub state: IntentState,
    /// How much was asked.
    pub amount: Money,
    /// How much was taken, refunds not taken off.
    pub captured: Money,
    /// How much went back or is on its way; `None` where the provider does not tell it with the payment (PhonePe).
    pub refunded: Option<Money>,
    /// The refunds; empty in the answer to anything but a read.
    pub refunds: Vec<Refund>,
    /// What the payer's side needs; `None` when there is nothing to do, or the provider tells it only once.
    pub next: Option<NextStep>,
    /// The provider's word for why the last attempt failed; while the state waits for the payer, they may try again.
    pub failure: Option<String>,
    /// The method that was used, as the provider names it.
    pub method_id: Option<String>,
    /// When the provider made it.
    pub created_at: Option<DateTime<Utc>>,
}

/// A refund to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRefund {
    /// The payment at the provider.
    pub payment_id: String,
    /// How much: above zero, at most what is left.
    pub amount: Money,
    /// Our refund.
    pub reference: Uuid,
    /// Our payment.
    pub payment_reference: Uuid,
    /// One refund a key.
    pub key: IdempotencyKey,
}

/// How far a refund is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefundState {
    /// On its way.
    Pending,
    /// Done.
    Succeeded,
    /// The money stayed.
    Failed,
}

/// A refund as the provider tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// The provider's identifier.
    pub provider_id: String,
    /// Our refund; `None` where it was made in the provider's dashboard.
    pub reference: Option<Uuid>,
    /// How much.
    pub amount: Money,
    /// How far it is.
    pub state: RefundState,
}

/// How a dispute stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DisputeState {
    /// The money is held back, or may be.
    Open,
    /// It stays with the clinic.
    Won,
    /// It went to the payer.
    Lost,
    /// It was closed without a change.
    Closed,
}

/// A payer's objection as the provider tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// The provider's identifier.
    pub provider_id: String,
    /// The payment at the provider.
    pub payment_id: String,
    /// How much is at stake.
    pub amount: Money,
    /// How it stands.
    pub state: DisputeState,
    /// The provider's word for why.
    pub reason: Option<String>,
}

/// A stretch of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What stands there, in the provider's order.
    pub items: Vec<T>,
    /// Where the next stretch begins; `None` at the end.
    pub next: Option<String>,
}
