//! What PhonePe answers: the same envelope to everything.

use clinical::money::{Currency, Money};
use serde::Deserialize;
use uuid::Uuid;

use crate::provider::wire::{Act, word};
use crate::provider::{Intent, IntentState, NextStep, ProviderError, Refund, RefundState};

#[derive(Debug, Default, Deserialize)]
pub(super) struct Response {
    #[serde(default)]
    pub success: bool,
    #[serde(default)]
    code: String,
    #[serde(default)]
    pub data: Option<Data>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Data {
    #[serde(default)]
    pub merchant_id: Option<String>,
    #[serde(default)]
    pub merchant_transaction_id: Option<String>,
    #[serde(default)]
    amount: Option<i64>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    response_code: Option<String>,
    #[serde(default)]
    instrument_response: Option<Instrument>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Instrument {
    #[serde(default)]
    redirect_info: Option<RedirectInfo>,
}

#[derive(Debug, Deserialize)]
struct RedirectInfo {
    #[serde(default)]
    url: Option<String>,
}

/// How a payment or a refund stands.
#[derive(Clone, Copy)]
enum Standing {
    Pending,
    Done,
    Failed,
}

fn rupees(minor: i64) -> Result<Money, ProviderError> {
    let currency: Currency = "INR".parse().map_err(|_| ProviderError::invalid("currency"))?;
    Ok(Money::new(minor, currency))
}

impl Response {
    /// The provider's word for what this is.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// It is about something that PhonePe knows.
    pub fn known(self) -> Result<Self, ProviderError> {
        match self.code.as_str() {
            "TRANSACTION_NOT_FOUND" | "INVALID_TRANSACTION_ID" => Err(ProviderError::NotFound),
            _ if self.data.as_ref().is_some_and(|data| data.amount.is_some()) => Ok(self),
            _ => Err(self.into_error()),
        }
    }

    pub fn is_accepted(&self) -> bool {
        self.success || self.code == "PAYMENT_PENDING"
    }

    /// PhonePe's documents let the code decide; the state is for information.
    fn standing(&self) -> Standing {
        let state = self.data.as_ref().and_then(|data| data.state.as_deref());
        match (self.code.as_str(), state) {
            ("PAYMENT_SUCCESS", _) => Standing::Done,
            ("PAYMENT_ERROR" | "PAYMENT_DECLINED" | "TIMED_OUT", _) => Standing::Failed,
            ("PAYMENT_PENDING" | "PAYMENT_INITIATED" | "INTERNAL_SERVER_ERROR", _) => Standing::Pending,
            (_, Some("COMPLETED")) if self.success => Standing::Done,
            (_, Some("FAILED")) => Standing::Failed,
            _ => Standing::Pending,
        }
    }

    fn failure(&self) -> String {
        let of_data = self.data.as_ref().and_then(|data| data.response_code.as_deref());
        word(of_data.or(Some(&self.code)))
    }

    /// The answer to a payment that was just made.
    pub fn into_new_intent(self, name: String, amount: Money, reference: Uuid) -> Intent {
        let instrument = self.data.and_then(|data| data.instrument_response);
        let url = instrument.and_then(|instrument| instrument.redirect_info?.url);
        Intent {
            provider_id: name,
            reference: Some(reference),
            state: IntentState::AwaitingPayer,
            amount,
            captured: Money::zero(amount.currency),
            refunded: None,
            refunds: Vec::new(),
            next: url.map(NextStep::Redirect),
            failure: None,
            method_id: None,
            created_at: None,
        }
    }

    /// The status of a payment.
    pub fn into_intent(self, name: &str, reference: Uuid) -> Result<Intent, ProviderError> {
        let minor = self.data.as_ref().and_then(|data| data.amount);
        let amount = rupees(minor.ok_or_else(|| Act::Harmless.unheard("an amount is missing"))?)?;
        let (state, captured, failure) = match self.standing() {
            Standing::Pending => (IntentState::AwaitingPayer, Money::zero(amount.currency), None),
            Standing::Done => (IntentState::Succeeded, amount, None),
            Standing::Failed => (IntentState::Failed, Money::zero(amount.currency), Some(self.failure())),
        };
        Ok(Intent {
            provider_id: name.to_owned(),
            reference: Some(reference),
            state,
            amount,
            captured,
            refunded: None,
            refunds: Vec::new(),
            next: None,
            failure,
            method_id: None,
            created_at: None,
        })
    }

    /// The status of a refund, or the answer to one; `asked` stands in where the answer names no amount.
    pub fn into_refund(
        self,
        name: String,
        reference: Uuid,
        asked: Option<Money>,
    ) -> Result<Refund, ProviderError> {
        let state = match self.standing() {
            Standing::Pending => RefundState::Pending,
            Standing::Done => RefundState::Succeeded,
            Standing::Failed => RefundState::Failed,
        };
        let told = self.data.and_then(|data| data.amount).map(rupees).transpose()?;
        let amount = told.or(asked).ok_or_else(|| Act::Money.unheard("an amount is missing"))?;
        Ok(Refund { provider_id: name, reference: Some(reference), amount, state })
    }

    /// Why it was refused.
    pub fn into_error(self) -> ProviderError {
        let code = self.failure();
        match self.code.as_str() {
            "AUTHORIZATION_FAILED" | "UNAUTHORIZED" | "KEY_NOT_CONFIGURED" => ProviderError::Authentication,
            "TOO_MANY_REQUESTS" => ProviderError::RateLimited { retry_after: None },
            "TRANSACTION_NOT_FOUND" => ProviderError::NotFound,
            "INTERNAL_SERVER_ERROR" => Act::Money.unheard("the provider failed"),
            "PAYMENT_DECLINED" => ProviderError::Declined { code, provider_id: None },
            "" => Act::Money.unheard("the answer does not read"),
            _ => ProviderError::Invalid { code },
        }
    }
}
