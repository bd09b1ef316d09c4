//! Subscriptions that a provider keeps: its webhooks tell of them, and what it says now is kept here.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, SubscriptionId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::info;

use crate::cashier::{Cashier, SettleError};
use crate::inbox::Received;
use crate::provider::{PaymentProvider, ProviderEvent, ProviderName, Subject};
use crate::subscription::{Subscription, SubscriptionState};

/// What an event itself says of its subscription: taken only where the provider cannot be asked about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// Where it stands.
    pub status: SubscriptionState,
    /// Its period begins …
    pub period_start: Option<DateTime<Utc>>,
    /// … and ends.
    pub period_end: Option<DateTime<Utc>>,
    /// Whether it ends then.
    pub ends_with_period: bool,
}

/// What a signed event says of its subscription; `None` where it is about none or says nothing of its state.
pub(crate) fn hint(provider: ProviderName, event: &ProviderEvent, body: &[u8]) -> Option<Hint> {
    if !matches!(event.subject, Subject::Subscription(_)) {
        return None;
    }
    let event: Value = serde_json::from_slice(body).ok()?;
    let object = match provider {
        ProviderName::Stripe => {
            let object = event.pointer("/data/object")?;
            (object.get("object")? == "subscription").then_some(object)?
        }
        ProviderName::Razorpay => event.pointer("/payload/subscription/entity")?,
        ProviderName::PayPal => event.get("resource")?,
        ProviderName::PhonePe => return None,
    };
    let seconds = |name: &str| DateTime::from_timestamp(object.get(name)?.as_i64()?, 0);
    let of_item = |name: &str| {
        let item = object.pointer("/items/data/0")?;
        DateTime::from_timestamp(item.get(name)?.as_i64()?, 0)
    };
    Some(Hint {
        status: status(object.get("status")?.as_str()?)?,
        period_start: seconds("current_period_start")
            .or_else(|| of_item("current_period_start"))
            .or_else(|| seconds("current_start")),
        period_end: seconds("current_period_end")
            .or_else(|| of_item("current_period_end"))
            .or_else(|| seconds("current_end")),
        ends_with_period: object.get("cancel_at_period_end").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// The providers' words for where a subscription stands.
///
/// Sources: Stripe, «The Subscription object», status; Razorpay, «Subscription states»; PayPal, Subscriptions v1, status.
fn status(word: &str) -> Option<SubscriptionState> {
    Some(match word.to_ascii_lowercase().as_str() {
        "incomplete" | "created" | "approval_pending" | "approved" => SubscriptionState::Incomplete,
        "trialing" | "authenticated" => SubscriptionState::Trialing,
        "active" => SubscriptionState::Active,
        "past_due" | "pending" => SubscriptionState::PastDue,
        "paused" | "suspended" => SubscriptionState::Paused,
        "unpaid" | "halted" => SubscriptionState::Unpaid,
        "canceled" | "cancelled" | "incomplete_expired" | "completed" | "expired" => {
            SubscriptionState::Canceled
        }
        _ => return None,
    })
}

impl Cashier {
    /// Reads a provider's subscription again and keeps what it says; where it cannot be read, what the event said. What
    /// was told later is never undone by what was told earlier, whatever comes first.
    pub(crate) async fn told_of_subscription(
        &self,
        clinic: ClinicId,
        account: &dyn PaymentProvider,
        name: &str,
        received: &Received,
    ) -> Result<(), SettleError> {
        let read = account.read_subscription(name).await;
        let told = match (read, received.hint.clone()) {
            (Ok(told), _) => Hint {
                status: told.status.into(),
                period_start: told.period_start,
                period_end: told.period_end,
                ends_with_period: told.cancels_at_period_end,
            },
            (Err(error), Some(hint)) => {
                info!(provider = %account.name(), %error, "a subscription is kept as its event says it is");
                hint
            }
            (Err(error), None) => return Err(error.into()),
        };
        let now = self.clock.now();
        let told_at = received.happened_at.unwrap_or(received.received_at);
        let provider = received.provider;
        let mut tx = self.db.of(clinic).begin().await?;
        let known = match Subscription::by_ref(&mut tx, clinic, Some(provider), name).await? {
            Some(known) => Some(Subscription::hold(&mut tx, clinic, known.subscription_id).await?),
            None => None,
        };
        if known.as_ref().is_some_and(|known| (known.told_at, known.status) > (Some(told_at), told.status)) {
            return Ok(());
        }
        let mut kept = known.unwrap_or_else(|| Subscription {
            subscription_id: SubscriptionId::new(),
            customer_id: None,
            patient_id: None,
            plan_id: None,
            provider: Some(provider),
            provider_ref: Some(name.to_owned()),
            status: told.status,
            method_id: None,
            trial_ends_at: None,
            anchor_day: 1,
            period_start: told.period_start.unwrap_or(told_at),
            period_end: told.period_end.unwrap_or(told_at),
            ends_with_period: told.ends_with_period,
            paused_at: None,
            carried_minor: 0,
            canceled_at: None,
            ended_at: None,
            reason: None,
            told_at: None,
            created_at: now,
            changed_at: now,
        });
        kept.status = told.status;
        kept.period_start = told.period_start.unwrap_or(kept.period_start);
        kept.period_end = told.period_end.unwrap_or(kept.period_end);
        kept.ends_with_period = told.ends_with_period;
        kept.told_at = Some(told_at);
        kept.changed_at = now;
        let has_ended = told.status == SubscriptionState::Canceled;
        kept.ended_at = has_ended.then(|| kept.ended_at.unwrap_or(told_at));
        kept.put(&mut tx, clinic).await?;
        Ok(tx.commit().await?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> ProviderEvent {
        ProviderEvent {
            event_id: "evt_1".into(),
            kind: "customer.subscription.updated".into(),
            subject: Subject::Subscription("sub_1".into()),
            account: None,
            happened_at: None,
        }
    }

    /// The Subscription object of Stripe's documentation, in which the period stands with the item since 2025.
    #[test]
    fn a_subscriptions_own_event_says_where_it_stands() {
        let body = json!({"data": {"object": {
            "object": "subscription", "id": "sub_1", "status": "past_due", "cancel_at_period_end": true,
            "items": {"data": [{"current_period_start": 1_700_000_000, "current_period_end": 1_702_592_000}]}
        }}});
        let hint = hint(ProviderName::Stripe, &event(), body.to_string().as_bytes()).unwrap();
        assert_eq!((hint.status, hint.ends_with_period), (SubscriptionState::PastDue, true));
        assert_eq!(hint.period_end.unwrap().timestamp(), 1_702_592_000);
    }

    #[test]
    fn an_invoices_event_says_nothing_of_the_subscriptions_state() {
        let body =
            json!({"data": {"object": {"object": "invoice", "status": "paid", "subscription": "sub_1"}}});
        assert_eq!(hint(ProviderName::Stripe, &event(), body.to_string().as_bytes()), None);
    }
}
