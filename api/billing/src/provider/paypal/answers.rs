//! What PayPal answers, as far as it is read here.

use chrono::{DateTime, Utc};
use clinical::money::Money;
use http::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use super::amount::Amount;
use crate::provider::wire::{Act, word};
use crate::provider::{
    Dispute, DisputeState, Intent, IntentState, NewRefund, NextStep, PaymentMethod, ProviderError,
    ProviderSubscription, Refund, RefundState, SubscriptionStatus,
};

#[derive(Deserialize)]
pub(super) struct Token {
    pub access_token: String,
    #[serde(default)]
    pub expires_in: u64,
}

#[derive(Deserialize)]
struct Link {
    href: String,
    rel: String,
}

#[derive(Deserialize)]
pub(super) struct Order {
    pub id: String,
    status: String,
    #[serde(default)]
    intent: Option<String>,
    #[serde(default)]
    purchase_units: Vec<Unit>,
    #[serde(default)]
    links: Vec<Link>,
    #[serde(default)]
    create_time: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct Unit {
    #[serde(default)]
    custom_id: Option<String>,
    #[serde(default)]
    amount: Option<Amount>,
    #[serde(default)]
    payments: Payments,
}

#[derive(Default, Deserialize)]
struct Payments {
    #[serde(default)]
    captures: Vec<CaptureAnswer>,
    #[serde(default)]
    authorizations: Vec<Authorization>,
    #[serde(default)]
    refunds: Vec<RefundAnswer>,
}

#[derive(Deserialize)]
pub(super) struct CaptureAnswer {
    id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    amount: Option<Amount>,
    #[serde(default)]
    processor_response: Option<ProcessorResponse>,
    #[serde(default)]
    supplementary_data: Option<Supplementary>,
}

#[derive(Deserialize)]
struct ProcessorResponse {
    response_code: Option<String>,
}

#[derive(Deserialize)]
struct Supplementary {
    related_ids: Option<RelatedIds>,
}

#[derive(Deserialize)]
struct RelatedIds {
    order_id: Option<String>,
}

impl CaptureAnswer {
    pub fn order_id(self) -> Option<String> {
        self.supplementary_data?.related_ids?.order_id
    }

    fn is_taken(&self) -> bool {
        matches!(self.status.as_str(), "COMPLETED" | "PARTIALLY_REFUNDED" | "REFUNDED")
    }

    fn is_refused(&self) -> bool {
        matches!(self.status.as_str(), "DECLINED" | "FAILED")
    }
}

#[derive(Deserialize)]
struct Authorization {
    id: String,
    #[serde(default)]
    status: String,
}

impl Order {
    pub fn is_authorized_first(&self) -> bool {
        self.intent.as_deref() == Some("AUTHORIZE")
    }

    fn captures(&self) -> impl Iterator<Item = &CaptureAnswer> {
        self.purchase_units.iter().flat_map(|unit| &unit.payments.captures)
    }

    fn authorizations(&self) -> impl Iterator<Item = &Authorization> {
        self.purchase_units.iter().flat_map(|unit| &unit.payments.authorizations)
    }

    /// The reservation of which something can be taken.
    pub fn authorization(&self) -> Option<String> {
        let live = self.authorizations().find(|it| matches!(it.status.as_str(), "CREATED" | "PENDING"));
        live.map(|it| it.id.clone())
    }

    /// The capture of which something can be given back.
    pub fn capture(&self) -> Option<String> {
        let live =
            self.captures().find(|it| matches!(it.status.as_str(), "COMPLETED" | "PARTIALLY_REFUNDED"));
        live.or_else(|| self.captures().find(|it| it.is_taken())).map(|it| it.id.clone())
    }

    fn state(&self) -> IntentState {
        let voided = || self.authorizations().any(|it| it.status == "VOIDED");
        match self.status.as_str() {
            _ if self.captures().any(CaptureAnswer::is_taken) => IntentState::Succeeded,
            _ if self.captures().any(|it| it.status == "PENDING") => IntentState::Processing,
            _ if self.authorization().is_some() => IntentState::Authorized,
            "VOIDED" => IntentState::Canceled,
            _ if self.captures().any(CaptureAnswer::is_refused) => IntentState::Failed,
            _ if self.authorizations().any(|it| it.status == "DENIED") => IntentState::Failed,
            _ if voided() => IntentState::Canceled,
            "APPROVED" => IntentState::AwaitingConfirmation,
            "COMPLETED" => IntentState::Processing,
            _ => IntentState::AwaitingPayer,
        }
    }

    /// The order as all providers tell a payment.
    pub fn into_intent(self) -> Result<Intent, ProviderError> {
        let unreadable = || Act::Money.unheard("an amount is missing");
        let state = self.state();
        let unit = self.purchase_units.first().ok_or_else(unreadable)?;
        let amount = unit.amount.as_ref().ok_or_else(unreadable)?.money()?;
        let mut captured = Money::zero(amount.currency);
        for capture in self.captures().filter(|it| it.is_taken()) {
            let taken = capture.amount.as_ref().ok_or_else(unreadable)?.money()?;
            captured = captured.plus(taken).map_err(|_| unreadable())?;
        }
        let refused = self.captures().find(|it| it.is_refused());
        let failure = refused.filter(|_| state == IntentState::Failed).map(|capture| {
            let response = capture.processor_response.as_ref();
            word(response.and_then(|it| it.response_code.as_deref()).or(Some(&capture.status)))
        });
        let approve = self.links.iter().find(|link| link.rel == "payer-action" || link.rel == "approve");
        let next = approve.filter(|_| state == IntentState::AwaitingPayer);
        let next = next.map(|link| NextStep::Redirect(link.href.clone()));
        let reference = unit.custom_id.as_deref().and_then(|id| id.parse().ok());
        let mut refunds = Vec::new();
        for unit in self.purchase_units {
            for refund in unit.payments.refunds {
                refunds.push(refund.into_refund(None)?);
            }
        }
        let live = refunds.iter().filter(|refund| refund.state != RefundState::Failed);
        let gone = live.map(|refund| refund.amount.minor).sum();
        Ok(Intent {
            provider_id: self.id,
            reference,
            state,
            amount,
            captured,
            refunded: Some(Money::new(gone, amount.currency)),
            refunds,
            next,
            failure,
            method_id: None,
            created_at: self.create_time,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct RefundAnswer {
    id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    amount: Option<Amount>,
    #[serde(default)]
    custom_id: Option<String>,
}

impl RefundAnswer {
    /// What is missing in the answer to a refund is what was asked.
    pub fn into_refund(self, asked: Option<&NewRefund>) -> Result<Refund, ProviderError> {
        let state = match self.status.as_str() {
            "COMPLETED" => RefundState::Succeeded,
            "FAILED" | "CANCELLED" => RefundState::Failed,
            _ => RefundState::Pending,
        };
        let told = self.amount.map(|amount| amount.money()).transpose()?;
        let amount = told.or(asked.map(|ask| ask.amount));
        let amount = amount.ok_or_else(|| Act::Money.unheard("an amount is missing"))?;
        let reference: Option<Uuid> = self.custom_id.and_then(|id| id.parse().ok());
        Ok(Refund {
            provider_id: self.id,
            reference: reference.or(asked.map(|ask| ask.reference)),
            amount,
            state,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct DisputeAnswer {
    dispute_id: String,
    status: String,
    #[serde(default)]
    reason: Option<String>,
    dispute_amount: Amount,
    #[serde(default)]
    dispute_outcome: Option<Outcome>,
    #[serde(default)]
    disputed_transactions: Vec<Disputed>,
}

#[derive(Deserialize)]
struct Outcome {
    outcome_code: Option<String>,
}

#[derive(Deserialize)]
struct Disputed {
    seller_transaction_id: Option<String>,
}

impl DisputeAnswer {
    pub fn capture(&self) -> Option<String> {
        self.disputed_transactions.first()?.seller_transaction_id.clone()
    }

    pub fn into_dispute(self, payment_id: String) -> Result<Dispute, ProviderError> {
        let outcome = self.dispute_outcome.as_ref().and_then(|outcome| outcome.outcome_code.as_deref());
        let state = match (self.status.as_str(), outcome) {
            ("RESOLVED", Some("RESOLVED_SELLER_FAVOUR" | "CANCELED_BY_BUYER" | "DENIED")) => {
                DisputeState::Won
            }
            ("RESOLVED", Some("RESOLVED_BUYER_FAVOUR" | "ACCEPTED")) => DisputeState::Lost,
            ("RESOLVED", _) => DisputeState::Closed,
            _ => DisputeState::Open,
        };
        Ok(Dispute {
            provider_id: self.dispute_id,
            payment_id,
            amount: self.dispute_amount.money()?,
            state,
            reason: self.reason.map(|reason| word(Some(&reason))),
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Tokens {
    #[serde(default)]
    pub payment_tokens: Vec<TokenAnswer>,
}

#[derive(Deserialize)]
struct IdOnly {
    id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct TokenAnswer {
    id: String,
    #[serde(default)]
    customer: Option<IdOnly>,
    #[serde(default)]
    payment_source: Option<Source>,
}

#[derive(Deserialize)]
struct Source {
    card: Option<CardAnswer>,
    paypal: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct CardAnswer {
    brand: Option<String>,
    last_digits: Option<String>,
    /// `2027-02`
    expiry: Option<String>,
}

impl TokenAnswer {
    pub fn customer_id(&self) -> Option<&str> {
        self.customer.as_ref()?.id.as_deref()
    }

    pub fn into_method(self) -> PaymentMethod {
        let source = self.payment_source;
        let is_paypal = source.as_ref().is_some_and(|source| source.paypal.is_some());
        let card = source.and_then(|source| source.card);
        let kind = match card {
            Some(_) => "card",
            None if is_paypal => "paypal",
            None => "other",
        };
        let expires = card.as_ref().and_then(|card| {
            let (year, month) = card.expiry.as_deref()?.split_once('-')?;
            Some((month.parse().ok()?, year.parse().ok()?))
        });
        PaymentMethod {
            provider_id: self.id,
            kind: kind.to_owned(),
            brand: card.as_ref().and_then(|card| Some(card.brand.as_ref()?.to_lowercase())),
            last4: card.and_then(|card| card.last_digits),
            expires,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct SubscriptionAnswer {
    id: String,
    status: String,
    #[serde(default)]
    plan_id: Option<String>,
    #[serde(default)]
    custom_id: Option<String>,
    #[serde(default)]
    subscriber: Option<Subscriber>,
    #[serde(default)]
    billing_info: Option<BillingInfo>,
}

#[derive(Deserialize)]
struct Subscriber {
    payer_id: Option<String>,
}

#[derive(Deserialize)]
struct BillingInfo {
    next_billing_time: Option<DateTime<Utc>>,
    last_payment: Option<LastPayment>,
    #[serde(default)]
    failed_payments_count: u32,
}

#[derive(Deserialize)]
struct LastPayment {
    time: Option<DateTime<Utc>>,
}

impl SubscriptionAnswer {
    pub fn into_subscription(self) -> ProviderSubscription {
        let info = self.billing_info;
        let is_behind = info.as_ref().is_some_and(|info| info.failed_payments_count > 0);
        let status = match self.status.as_str() {
            "ACTIVE" if is_behind => SubscriptionStatus::PastDue,
            "ACTIVE" => SubscriptionStatus::Active,
            "SUSPENDED" => SubscriptionStatus::Paused,
            "CANCELLED" | "EXPIRED" => SubscriptionStatus::Canceled,
            _ => SubscriptionStatus::Incomplete,
        };
        ProviderSubscription {
            provider_id: self.id,
            status,
            customer_id: self.subscriber.and_then(|subscriber| subscriber.payer_id),
            plan_id: self.plan_id,
            reference: self.custom_id.and_then(|id| id.parse().ok()),
            period_start: info.as_ref().and_then(|info| info.last_payment.as_ref()?.time),
            period_end: info.and_then(|info| info.next_billing_time),
            cancels_at_period_end: false,
        }
    }
}

#[derive(Default, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    details: Vec<Detail>,
}

#[derive(Deserialize)]
struct Detail {
    issue: Option<String>,
}

/// Issues with which the payer's bank or PayPal says no.
const DECLINED: [&str; 8] = [
    "CARD_EXPIRED",
    "COMPLIANCE_VIOLATION",
    "INSTRUMENT_DECLINED",
    "PAYEE_BLOCKED_TRANSACTION",
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED",
    "PAYER_CANNOT_PAY",
    "TRANSACTION_REFUSED",
    "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING",
];

/// Issues that speak of the state and not of the request.
const OF_STATE: [&str; 10] = [
    "AUTHORIZATION_ALREADY_CAPTURED",
    "AUTHORIZATION_VOIDED",
    "CAPTURE_FULLY_REFUNDED",
    "DUPLICATE_INVOICE_ID",
    "ORDER_ALREADY_AUTHORIZED",
    "ORDER_ALREADY_CAPTURED",
    "ORDER_ALREADY_COMPLETED",
    "ORDER_NOT_APPROVED",
    "PREVIOUSLY_CAPTURED",
    "PREVIOUSLY_VOIDED",
];

impl Refusal {
    pub fn into_error(self, status: StatusCode) -> ProviderError {
        let issue = self.details.first().and_then(|detail| detail.issue.as_deref());
        let code = word(issue.or(self.name.as_deref()));
        match code.as_str() {
            _ if status == StatusCode::NOT_FOUND => ProviderError::NotFound,
            "INVALID_RESOURCE_ID" => ProviderError::NotFound,
            known if DECLINED.contains(&known) => ProviderError::Declined { code, provider_id: None },
            known if OF_STATE.contains(&known) => ProviderError::WrongState { code },
            _ => ProviderError::Invalid { code },
        }
    }
}
