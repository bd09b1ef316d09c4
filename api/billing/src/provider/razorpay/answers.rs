//! What Razorpay answers, as far as it is read here.

use chrono::{DateTime, Utc};
use clinical::money::{Currency, Money};
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::provider::wire::{Act, word};
use crate::provider::{
    Dispute, DisputeState, Intent, IntentState, NextStep, PaymentMethod, ProviderError, ProviderSubscription,
    Refund, RefundState, SubscriptionStatus,
};

#[derive(Deserialize)]
pub(super) struct IdOnly {
    pub id: String,
}

#[derive(Deserialize)]
pub(super) struct List<T> {
    pub items: Vec<T>,
}

fn money(minor: i64, currency: &str) -> Result<Money, ProviderError> {
    let currency: Currency = currency.parse().map_err(|_| Act::Money.unheard("a currency does not read"))?;
    Ok(Money::new(minor, currency))
}

fn instant(seconds: Option<i64>) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(seconds?, 0)
}

/// Notes are an object, or an empty list where there are none.
fn reference(notes: &Value, receipt: Option<&str>) -> Option<Uuid> {
    notes.get("reference").and_then(Value::as_str).or(receipt)?.parse().ok()
}

#[derive(Deserialize)]
pub(super) struct Order {
    pub id: String,
    amount: i64,
    #[serde(default)]
    amount_paid: i64,
    currency: String,
    #[serde(default)]
    pub receipt: Option<String>,
    status: String,
    #[serde(default)]
    notes: Value,
    #[serde(default)]
    created_at: Option<i64>,
}

impl Order {
    /// The order as all providers tell a payment: with its attempts where they were read, else as far as it says.
    pub fn into_intent(
        self,
        refunds: Vec<Refund>,
        attempts: Option<&[Payment]>,
    ) -> Result<Intent, ProviderError> {
        let attempts_read = attempts.unwrap_or_default();
        let taken: Vec<_> = attempts_read.iter().filter(|payment| payment.is_captured()).collect();
        let captured = match attempts {
            Some(_) => taken.iter().map(|payment| payment.amount).sum(),
            None => self.amount_paid,
        };
        let reserved = attempts_read.iter().find(|payment| payment.is_authorized());
        let last = taken.first().copied().or(reserved).or(attempts_read.first());
        let state = match () {
            () if captured > 0 => IntentState::Succeeded,
            () if reserved.is_some() => IntentState::Authorized,
            () if self.status == "paid" => IntentState::Processing,
            () => IntentState::AwaitingPayer,
        };
        let gone: i64 =
            refunds.iter().filter(|it| it.state != RefundState::Failed).map(|it| it.amount.minor).sum();
        let refunded = attempts.map(|_| money(gone, &self.currency)).transpose()?;
        let next = (state == IntentState::AwaitingPayer).then(|| NextStep::ClientSecret(self.id.clone()));
        let failed = last.filter(|payment| payment.status == "failed");
        Ok(Intent {
            reference: reference(&self.notes, self.receipt.as_deref()),
            state,
            amount: money(self.amount, &self.currency)?,
            captured: money(captured, &self.currency)?,
            refunded,
            refunds,
            next,
            failure: failed.map(|it| word(it.error_reason.as_deref().or(it.error_code.as_deref()))),
            method_id: last.and_then(|payment| payment.token_id.clone()),
            created_at: instant(self.created_at),
            provider_id: self.id,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Payment {
    pub id: String,
    amount: i64,
    currency: String,
    status: String,
    #[serde(default)]
    captured: Option<bool>,
    #[serde(default)]
    pub order_id: Option<String>,
    #[serde(default)]
    token_id: Option<String>,
    #[serde(default)]
    error_code: Option<String>,
    #[serde(default)]
    error_reason: Option<String>,
}

impl Payment {
    pub fn is_captured(&self) -> bool {
        self.status == "captured" || self.status == "refunded" && self.captured != Some(false)
    }

    pub fn is_authorized(&self) -> bool {
        self.status == "authorized"
    }

    pub fn amount(&self) -> Result<Money, ProviderError> {
        money(self.amount, &self.currency)
    }
}

#[derive(Deserialize)]
pub(super) struct RefundAnswer {
    id: String,
    amount: i64,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    receipt: Option<String>,
    #[serde(default)]
    notes: Value,
}

impl RefundAnswer {
    pub fn into_refund(self) -> Result<Refund, ProviderError> {
        let state = match self.status.as_deref() {
            Some("processed") => RefundState::Succeeded,
            Some("failed") => RefundState::Failed,
            _ => RefundState::Pending,
        };
        Ok(Refund {
            reference: reference(&self.notes, self.receipt.as_deref()),
            amount: money(self.amount, self.currency.as_deref().unwrap_or("INR"))?,
            state,
            provider_id: self.id,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct DisputeAnswer {
    id: String,
    pub payment_id: String,
    amount: i64,
    currency: String,
    status: String,
    #[serde(default)]
    reason_code: Option<String>,
}

impl DisputeAnswer {
    pub fn into_dispute(self, payment_id: String) -> Result<Dispute, ProviderError> {
        let state = match self.status.as_str() {
            "won" => DisputeState::Won,
            "lost" => DisputeState::Lost,
            "closed" => DisputeState::Closed,
            _ => DisputeState::Open,
        };
        Ok(Dispute {
            payment_id,
            amount: money(self.amount, &self.currency)?,
            state,
            reason: self.reason_code.map(|reason| word(Some(&reason))),
            provider_id: self.id,
        })
    }
}

#[derive(Deserialize)]
struct CardAnswer {
    network: Option<String>,
    last4: Option<String>,
    expiry_month: Option<Value>,
    expiry_year: Option<Value>,
}

/// Razorpay writes months as `12` and as `"12"`.
fn number<T: TryFrom<u64>>(value: Option<&Value>) -> Option<T> {
    let value = value?;
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    T::try_from(number).ok()
}

#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    id: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    card: Option<CardAnswer>,
}

impl TokenAnswer {
    pub fn into_method(self) -> PaymentMethod {
        let card = self.card.as_ref();
        let expires = card
            .and_then(|card| Some((number(card.expiry_month.as_ref())?, number(card.expiry_year.as_ref())?)));
        PaymentMethod {
            brand: card.and_then(|card| card.network.as_ref().map(|network| network.to_lowercase())),
            last4: card.and_then(|card| card.last4.clone()),
            expires,
            kind: self.method,
            provider_id: self.id,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct SubscriptionAnswer {
    id: String,
    status: String,
    #[serde(default)]
    customer_id: Option<String>,
    #[serde(default)]
    plan_id: Option<String>,
    #[serde(default)]
    current_start: Option<i64>,
    #[serde(default)]
    current_end: Option<i64>,
    #[serde(default)]
    notes: Value,
}

impl SubscriptionAnswer {
    /// Source: <https://razorpay.com/docs/payments/subscriptions/states>; that one ends with its period is not told.
    pub fn into_subscription(self) -> ProviderSubscription {
        let status = match self.status.as_str() {
            "authenticated" => SubscriptionStatus::Trialing,
            "active" => SubscriptionStatus::Active,
            "pending" => SubscriptionStatus::PastDue,
            "halted" => SubscriptionStatus::Unpaid,
            "paused" => SubscriptionStatus::Paused,
            "cancelled" | "completed" | "expired" => SubscriptionStatus::Canceled,
            _ => SubscriptionStatus::Incomplete,
        };
        ProviderSubscription {
            status,
            customer_id: self.customer_id,
            plan_id: self.plan_id,
            reference: reference(&self.notes, None),
            period_start: instant(self.current_start),
            period_end: instant(self.current_end),
            cancels_at_period_end: false,
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
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

impl Refusal {
    /// Razorpay answers 400 to an identifier that it does not know, and says so in a sentence alone.
    pub fn into_error(self, status: StatusCode) -> ProviderError {
        let error = self.error;
        let sentence = error.description.unwrap_or_default().to_ascii_lowercase();
        let reason = error.reason.filter(|reason| reason != "NA");
        let code = word(reason.as_deref().or(error.code.as_deref()));
        if status == StatusCode::NOT_FOUND || sentence.contains("does not exist") {
            ProviderError::NotFound
        } else if sentence.contains("fully refunded") || sentence.contains("already been captured") {
            ProviderError::WrongState { code }
        } else if code == "payment_declined" || code == "payment_failed" || code == "insufficient_funds" {
            ProviderError::Declined { code, provider_id: None }
        } else {
            ProviderError::Invalid { code }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payment(status: &str) -> Payment {
        serde_json::from_value(serde_json::json!({
            "id": "pay_1", "amount": 5000, "currency": "INR", "status": status,
            "captured": status != "failed" && status != "authorized", "order_id": "order_1",
            "error_code": "BAD_REQUEST_ERROR",
        }))
        .unwrap()
    }

    fn state(order: &str, payments: &[Payment]) -> (IntentState, i64) {
        let order: Order = serde_json::from_value(serde_json::json!({
            "id": "order_1", "amount": 5000, "amount_paid": 0, "currency": "INR", "status": order, "notes": [],
        }))
        .unwrap();
        let intent = order.into_intent(Vec::new(), Some(payments)).unwrap();
        (intent.state, intent.captured.minor)
    }

    /// <https://razorpay.com/docs/payments/orders/apis>: attempted until paid; a failed attempt leaves the order open.
    #[test]
    fn an_order_is_as_far_as_its_best_attempt() {
        assert_eq!(state("created", &[]), (IntentState::AwaitingPayer, 0));
        assert_eq!(state("attempted", &[payment("failed")]), (IntentState::AwaitingPayer, 0));
        assert_eq!(
            state("attempted", &[payment("failed"), payment("authorized")]),
            (IntentState::Authorized, 0)
        );
        assert_eq!(state("paid", &[payment("captured"), payment("failed")]), (IntentState::Succeeded, 5000));
        assert_eq!(state("paid", &[payment("refunded")]), (IntentState::Succeeded, 5000));
    }
}
