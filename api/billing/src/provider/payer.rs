//! Who pays, with what, and for what again and again.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::IdempotencyKey;

/// A payer to be known at the provider; [`fmt::Debug`] shows neither name nor address.
#[derive(Clone, PartialEq, Eq)]
pub struct NewCustomer {
    /// Ours.
    pub reference: Uuid,
    /// The name on the bill.
    pub name: Option<String>,
    /// Where the provider writes to.
    pub email: Option<String>,
    /// One customer a key.
    pub key: IdempotencyKey,
}

impl fmt::Debug for NewCustomer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewCustomer").field("reference", &self.reference).finish_non_exhaustive()
    }
}

/// A payer as the provider knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// The provider's identifier.
    pub provider_id: String,
}

/// A way to pay that a payer has stored; never a card's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentMethod {
    /// The provider's identifier.
    pub provider_id: String,
    /// `card`, `upi`, `paypal` …
    pub kind: String,
    /// `visa` and the like.
    pub brand: Option<String>,
    /// The last four digits.
    pub last4: Option<String>,
    /// Month and year of the end.
    pub expires: Option<(u8, u16)>,
}

/// How a subscription at the provider stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionStatus {
    /// The first payment is still out.
    Incomplete,
    /// In its trial.
    Trialing,
    /// Paid.
    Active,
    /// A payment failed and is tried again.
    PastDue,
    /// On hold.
    Paused,
    /// Payments failed for good.
    Unpaid,
    /// At its end.
    Canceled,
}

/// A subscription that the provider keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderSubscription {
    /// The provider's identifier.
    pub provider_id: String,
    /// How it stands.
    pub status: SubscriptionStatus,
    /// The provider's identifier of the customer.
    pub customer_id: Option<String>,
    /// The provider's identifier of the plan or price.
    pub plan_id: Option<String>,
    /// Our own identifier, where we gave one.
    pub reference: Option<Uuid>,
    /// The paid time begins …
    pub period_start: Option<DateTime<Utc>>,
    /// … and ends.
    pub period_end: Option<DateTime<Utc>>,
    /// It ends then and is not renewed.
    pub cancels_at_period_end: bool,
}
