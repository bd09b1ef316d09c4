//! What not every provider can do, and why one did not do what it was asked.

use std::time::Duration;

use super::ProviderName;

/// What may be asked of a provider, where not every one can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// [`PaymentProvider::find`]
    Find,
    /// [`PaymentProvider::confirm`]
    Confirm,
    /// [`PaymentProvider::confirm`] while the payer is away: whoever agrees there has agreed to pay now
    ConfirmAlone,
    /// [`CaptureMethod::Manual`] and [`PaymentProvider::capture`]
    Capture,
    /// [`PaymentProvider::capture`] of less than was reserved
    CapturePart,
    /// [`PaymentProvider::cancel`]
    Cancel,
    /// [`PayWith::Stored`]
    ChargeStored,
    /// [`PaymentProvider::list_since`]
    List,
    /// [`PaymentProvider::create_customer`]
    CreateCustomer,
    /// [`PaymentProvider::methods`] and [`PaymentProvider::detach_method`]
    Methods,
    /// [`PaymentProvider::attach_method`]
    AttachMethod,
    /// [`PaymentProvider::read_subscription`]
    Subscriptions,
    /// [`PaymentProvider::read_dispute`]
    Disputes,
}

/// Why a provider did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The payer's bank or the provider said no; nothing was taken.
    #[error("the payment was declined: {code}")]
    Declined {
        /// The provider's word: `insufficient_funds`.
        code: String,
        /// The payment there, where one was made.
        provider_id: Option<String>,
    },
    /// The request itself; it will be refused again.
    #[error("the provider refuses the request: {code}")]
    Invalid {
        /// The provider's word, or ours where it was not even sent.
        code: String,
    },
    /// It is in a state in which this cannot be done.
    #[error("the payment is in another state: {code}")]
    WrongState {
        /// The provider's word.
        code: String,
    },
    /// Nothing there has this identifier.
    #[error("the provider does not know it")]
    NotFound,
    /// Our keys.
    #[error("the provider does not accept our credentials")]
    Authentication,
    /// Too many requests; nothing was done.
    #[error("the provider asks us to wait")]
    RateLimited {
        /// For how long, where it says so.
        retry_after: Option<Duration>,
    },
    /// No answer, or none that says what was done. Ask again with the same key, or read.
    #[error("the provider could not be reached: {why}")]
    Unreachable {
        /// It may have been done all the same: no other provider may be asked instead.
        may_have_charged: bool,
        /// What went wrong; no address and no secret.
        why: &'static str,
    },
    /// This provider cannot do this; nothing was sent.
    #[error("{provider} cannot do this: {operation:?}")]
    Unsupported {
        /// Who.
        provider: ProviderName,
        /// What.
        operation: Operation,
    },
}

impl ProviderError {
    pub(crate) fn invalid(code: impl Into<String>) -> Self {
        Self::Invalid { code: code.into() }
    }

    /// Money may have been taken: the next provider must not be asked.
    pub fn may_have_charged(&self) -> bool {
        matches!(self, Self::Unreachable { may_have_charged: true, .. })
    }

    /// It tells nothing of what an earlier request did: none was looked at, or our keys no longer open the account.
    pub fn says_nothing(&self) -> bool {
        self.is_passing() || *self == Self::Authentication
    }

    /// The same request with the same key may do better later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::RateLimited { .. })
    }
}
