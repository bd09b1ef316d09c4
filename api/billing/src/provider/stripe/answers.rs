//! What Stripe answers, as far as it is read here: an unknown field or state breaks nothing.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::{REFERENCE, amount};
use crate::provider::wire::word;
use crate::provider::{
    Dispute, DisputeState, Intent, IntentState, NextStep, PaymentMethod, ProviderError, ProviderSubscription,
    Refund, RefundState, SubscriptionStatus,
};

/// An identifier, or the object itself where it was asked for.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Expandable<T> {
    Id(String),
    Object(Box<T>),
}

impl Expandable<IdOnly> {
    pub fn id(&self) -> &str {
        match self {
            Self::Id(id) => id,
            Self::Object(object) => &object.id,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct IdOnly {
    pub id: String,
}

type Metadata = Option<HashMap<String, Value>>;

fn reference(metadata: &Metadata) -> Option<&str> {
    metadata.as_ref()?.get(REFERENCE)?.as_str()
}

fn reference_id(metadata: &Metadata) -> Option<Uuid> {
    reference(metadata)?.parse().ok()
}

fn instant(seconds: Option<i64>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds?, 0)
}

#[derive(Deserialize)]
pub(super) struct List<T> {
    pub data: Vec<T>,
    #[serde(default)]
    pub has_more: bool,
}

#[derive(Deserialize)]
pub(super) struct Charge {
    pub id: String,
    #[serde(default)]
    pub payment_intent: Option<Expandable<IdOnly>>,
    #[serde(default)]
    amount: i64,
    #[serde(default)]
    amount_captured: Option<i64>,
    #[serde(default)]
    amount_refunded: Option<i64>,
    #[serde(default)]
    captured: bool,
}

#[derive(Deserialize)]
struct LastError {
    code: Option<String>,
    decline_code: Option<String>,
}

#[derive(Deserialize)]
struct NextAction {
    redirect_to_url: Option<RedirectTo>,
}

#[derive(Deserialize)]
struct RedirectTo {
    url: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct PaymentIntent {
    pub id: String,
    amount: i64,
    currency: String,
    status: String,
    #[serde(default)]
    amount_received: Option<i64>,
    #[serde(default)]
    client_secret: Option<String>,
    #[serde(default)]
    created: Option<i64>,
    #[serde(default)]
    last_payment_error: Option<LastError>,
    #[serde(default)]
    pub latest_charge: Option<Expandable<Charge>>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    next_action: Option<NextAction>,
    #[serde(default)]
    payment_method: Option<Expandable<IdOnly>>,
}

impl PaymentIntent {
    pub fn reference(&self) -> Option<&str> {
        reference(&self.metadata)
    }

    pub fn created_at(&self) -> DateTime<Utc> {
        instant(self.created).unwrap_or(DateTime::<Utc>::MIN_UTC)
    }

    fn charge(&self) -> Option<&Charge> {
        match &self.latest_charge {
            Some(Expandable::Object(charge)) if !charge.id.is_empty() => Some(charge),
            _ => None,
        }
    }

    fn captured(&self, state: IntentState) -> i64 {
        let of_charge = self
            .charge()
            .map(|charge| charge.amount_captured.unwrap_or(if charge.captured { charge.amount } else { 0 }));
        let whole = if state == IntentState::Succeeded { self.amount } else { 0 };
        self.amount_received.or(of_charge).unwrap_or(whole)
    }

    /// The payment as all providers tell it, with the refunds that were read beside it.
    pub fn into_intent(self, refunds: Vec<Refund>) -> Result<Intent, ProviderError> {
        let state = match self.status.as_str() {
            "requires_payment_method" | "requires_action" => IntentState::AwaitingPayer,
            "requires_confirmation" => IntentState::AwaitingConfirmation,
            "requires_capture" => IntentState::Authorized,
            "succeeded" => IntentState::Succeeded,
            "canceled" => IntentState::Canceled,
            _ => IntentState::Processing,
        };
        let sum = |minor| amount::of_stripe(minor, &self.currency);
        let gone: i64 =
            refunds.iter().filter(|it| it.state != RefundState::Failed).map(|it| it.amount.minor).sum();
        let refunded = match self.charge().and_then(|charge| charge.amount_refunded) {
            Some(refunded) if refunds.is_empty() => sum(refunded)?,
            _ => clinical::money::Money::new(gone, sum(0)?.currency),
        };
        let redirect = self.next_action.as_ref().and_then(|next| next.redirect_to_url.as_ref()?.url.clone());
        let next = match redirect {
            Some(url) => Some(NextStep::Redirect(url)),
            None if state.is_final() => None,
            None => self.client_secret.clone().map(NextStep::ClientSecret),
        };
        let failure = self.last_payment_error.as_ref();
        Ok(Intent {
            reference: reference_id(&self.metadata),
            state,
            amount: sum(self.amount)?,
            captured: sum(self.captured(state))?,
            refunded: Some(refunded),
            refunds,
            next,
            failure: failure.map(|error| word(error.decline_code.as_deref().or(error.code.as_deref()))),
            method_id: self.payment_method.as_ref().map(|method| method.id().to_owned()),
            created_at: instant(self.created),
            provider_id: self.id,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct RefundAnswer {
    pub id: String,
    amount: i64,
    currency: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

impl RefundAnswer {
    pub fn into_refund(self) -> Result<Refund, ProviderError> {
        let state = match self.status.as_deref() {
            Some("succeeded") => RefundState::Succeeded,
            Some("failed" | "canceled") => RefundState::Failed,
            _ => RefundState::Pending,
        };
        let amount = amount::of_stripe(self.amount, &self.currency)?;
        Ok(Refund { reference: reference_id(&self.metadata), amount, state, provider_id: self.id })
    }
}

#[derive(Deserialize)]
pub(super) struct DisputeAnswer {
    id: String,
    amount: i64,
    currency: String,
    status: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    pub payment_intent: Option<Expandable<IdOnly>>,
    #[serde(default)]
    pub charge: Option<Expandable<IdOnly>>,
}

impl DisputeAnswer {
    pub fn into_dispute(self, payment_id: String) -> Result<Dispute, ProviderError> {
        let state = match self.status.as_str() {
            "won" => DisputeState::Won,
            "lost" => DisputeState::Lost,
            "warning_closed" | "prevented" => DisputeState::Closed,
            _ => DisputeState::Open,
        };
        Ok(Dispute {
            payment_id,
            amount: amount::of_stripe(self.amount, &self.currency)?,
            state,
            reason: self.reason.map(|reason| word(Some(&reason))),
            provider_id: self.id,
        })
    }
}

#[derive(Deserialize)]
struct CardAnswer {
    brand: Option<String>,
    last4: Option<String>,
    exp_month: Option<u8>,
    exp_year: Option<u16>,
}

#[derive(Deserialize)]
pub(super) struct MethodAnswer {
    id: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    card: Option<CardAnswer>,
    #[serde(default)]
    pub customer: Option<Expandable<IdOnly>>,
}

impl MethodAnswer {
    pub fn into_method(self) -> PaymentMethod {
        let card = self.card.as_ref();
        PaymentMethod {
            brand: card.and_then(|card| card.brand.clone()),
            last4: card.and_then(|card| card.last4.clone()),
            expires: card.and_then(|card| Some((card.exp_month?, card.exp_year?))),
            kind: self.kind,
            provider_id: self.id,
        }
    }
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    price: Option<IdOnly>,
    #[serde(default)]
    plan: Option<IdOnly>,
    #[serde(default)]
    current_period_start: Option<i64>,
    #[serde(default)]
    current_period_end: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct SubscriptionAnswer {
    id: String,
    status: String,
    #[serde(default)]
    customer: Option<Expandable<IdOnly>>,
    #[serde(default)]
    cancel_at_period_end: bool,
    #[serde(default)]
    current_period_start: Option<i64>,
    #[serde(default)]
    current_period_end: Option<i64>,
    #[serde(default)]
    pause_collection: Option<Value>,
    #[serde(default)]
    items: Option<List<Item>>,
    #[serde(default)]
    metadata: Metadata,
}

impl SubscriptionAnswer {
    /// The period stands at the subscription in old versions of the API, at its items since 2025.
    pub fn into_subscription(self) -> ProviderSubscription {
        let item = self.items.as_ref().and_then(|items| items.data.first());
        let status = match self.status.as_str() {
            "trialing" => SubscriptionStatus::Trialing,
            "active" if self.pause_collection.is_some() => SubscriptionStatus::Paused,
            "active" => SubscriptionStatus::Active,
            "past_due" => SubscriptionStatus::PastDue,
            "paused" => SubscriptionStatus::Paused,
            "unpaid" => SubscriptionStatus::Unpaid,
            "canceled" | "incomplete_expired" => SubscriptionStatus::Canceled,
            _ => SubscriptionStatus::Incomplete,
        };
        let price = item.and_then(|item| item.price.as_ref().or(item.plan.as_ref()));
        ProviderSubscription {
            status,
            customer_id: self.customer.as_ref().map(|customer| customer.id().to_owned()),
            plan_id: price.map(|price| price.id.clone()),
            reference: reference_id(&self.metadata),
            period_start: instant(self.current_period_start.or_else(|| item?.current_period_start)),
            period_end: instant(self.current_period_end.or_else(|| item?.current_period_end)),
            cancels_at_period_end: self.cancel_at_period_end,
            provider_id: self.id,
        }
    }
}

#[derive(Default, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    error: ErrorAnswer,
}

#[derive(Default, Deserialize)]
struct ErrorAnswer {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
    #[serde(default)]
    payment_intent: Option<IdOnly>,
}

/// Codes that speak of the state and not of the request.
///
/// Source: <https://docs.stripe.com/error-codes>.
const OF_STATE: [&str; 7] = [
    "charge_already_captured",
    "charge_already_refunded",
    "charge_disputed",
    "charge_exceeds_source_limit",
    "charge_expired_for_capture",
    "payment_intent_unexpected_state",
    "resource_already_exists",
];

impl Refusal {
    pub fn into_error(self, status: StatusCode) -> ProviderError {
        let error = self.error;
        let code = word(error.code.as_deref().or(error.kind.as_deref()));
        if status == StatusCode::PAYMENT_REQUIRED || error.kind.as_deref() == Some("card_error") {
            let code = error.decline_code.as_deref().map_or(code, |code| word(Some(code)));
            return ProviderError::Declined {
                code,
                provider_id: error.payment_intent.map(|intent| intent.id),
            };
        }
        match status {
            StatusCode::NOT_FOUND => ProviderError::NotFound,
            _ if OF_STATE.contains(&code.as_str()) => ProviderError::WrongState { code },
            _ => ProviderError::Invalid { code },
        }
    }
}
