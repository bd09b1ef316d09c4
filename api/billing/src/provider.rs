//! The seam to those who move the money: what billing asks a provider, and what one may answer.
//!
//! Every adapter passes the suite in `tests/providers`. What a provider cannot do is told as
//! [`ProviderError::Unsupported`] before anything is sent, and [`PaymentProvider::supports`] says it beforehand:
//!
//! | [`Operation`] | Stripe | Razorpay | PayPal | PhonePe |
//! |---|---|---|---|---|
//! | find by our reference | yes | yes | no: ask for the same again with the same key | yes |
//! | confirm for the payer | yes | no: the payer does it in Razorpay's checkout | yes, once the payer has approved | no: the payer does it on PhonePe's page |
//! | capture later, cancel | yes | capture, of the whole; an order lapses by itself | yes; without an authorization an order lapses by itself | no |
//! | capture a part | yes | no | yes | no |
//! | charge a stored method | yes | no: needs a mandate | yes | no |
//! | list since | yes | yes | no: its report lags hours and names no orders | no |
//! | customers | yes | yes | no: they come to be with a stored method | no |
//! | methods: list, detach | yes | yes | yes | no |
//! | methods: attach | yes | no: Razorpay's checkout stores them | yes, from a setup token | no |
//! | subscriptions | yes | yes | yes | no |
//! | disputes | yes | yes | yes | no: in its dashboard alone |
//! | an age in the signature of a webhook | 300 s | no | 72 h | no |

mod account;
mod error;
mod event;
mod payer;
mod payment;
pub mod paypal;
pub mod phonepe;
pub mod razorpay;
pub mod stripe;
mod wire;

use std::{fmt, future};

use chrono::{DateTime, Utc};
use clinical::money::Money;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::HeaderMap;
use uuid::Uuid;

pub use account::{IdempotencyKey, ProviderName, Secret, UnknownProvider};
pub use error::{Operation, ProviderError};
pub use event::{ProviderEvent, Subject, WebhookError};
pub use payer::{Customer, NewCustomer, PaymentMethod, ProviderSubscription, SubscriptionStatus};
pub use payment::{
    CaptureMethod, Confirm, Dispute, DisputeState, Intent, IntentState, NewIntent, NewRefund, NextStep, Page,
    PayWith, Refund, RefundState,
};
pub use wire::Wire;

/// What a provider answers, in its time.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ProviderError>>;

/// One account at one provider.
///
/// All calls end within the time that [`Wire`] gives them, follow no redirect and read a bounded answer. The same
/// call with the same [`IdempotencyKey`] is one act. A state or an amount comes from the provider and nobody else.
/// An adapter keeps what it may use again (PayPal's access token): keep it as long as the credentials stay. What it
/// leaves out, its provider cannot do.
pub trait PaymentProvider: Send + Sync + fmt::Debug {
    /// Who.
    fn name(&self) -> ProviderName;

    /// Whether it can be asked.
    fn supports(&self, operation: Operation) -> bool;

    /// Makes a payment; the same key answers the same payment.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Declined`] where a stored method is charged and refused; [`ProviderError::Unreachable`] with
    /// `may_have_charged` only where a stored method was to be charged: before the payer acts nothing is taken.
    fn create<'a>(&'a self, ask: &'a NewIntent) -> Answer<'a, Intent>;

    /// The payment as it is now, with its refunds.
    fn read<'a>(&'a self, provider_id: &'a str) -> Answer<'a, Intent>;

    /// The payment that a webhook is about: of a [`Subject::Payment`] or a [`Subject::Charge`]; anything else is
    /// [`ProviderError::NotFound`].
    fn read_about<'a>(&'a self, subject: &'a Subject) -> Answer<'a, Intent>;

    /// The payment that was made for `reference` not long after `asked_at`; `None` when none was.
    fn find<'a>(&'a self, _reference: Uuid, _asked_at: DateTime<Utc>) -> Answer<'a, Option<Intent>> {
        unsupported(self.name(), Operation::Find)
    }

    /// Finishes what the payer has agreed to, or pays with the named method.
    fn confirm<'a>(&'a self, _ask: &'a Confirm) -> Answer<'a, Intent> {
        unsupported(self.name(), Operation::Confirm)
    }

    /// Takes what is reserved, or `amount` of it and lets the rest go.
    fn capture<'a>(
        &'a self,
        _provider_id: &'a str,
        _amount: Option<Money>,
        _key: &'a IdempotencyKey,
    ) -> Answer<'a, Intent> {
        unsupported(self.name(), Operation::Capture)
    }

    /// Gives a payment up of which nothing was taken.
    fn cancel<'a>(&'a self, _provider_id: &'a str, _key: &'a IdempotencyKey) -> Answer<'a, Intent> {
        unsupported(self.name(), Operation::Cancel)
    }

    /// Gives back; the same key answers the same refund.
    fn refund<'a>(&'a self, ask: &'a NewRefund) -> Answer<'a, Refund>;

    /// The refund that was made for `ask`, with or without an answer; `None` when none was.
    fn find_refund<'a>(&'a self, ask: &'a NewRefund) -> Answer<'a, Option<Refund>>;

    /// A dispute as it is now.
    fn read_dispute<'a>(&'a self, _provider_id: &'a str) -> Answer<'a, Dispute> {
        unsupported(self.name(), Operation::Disputes)
    }

    /// The payments that were made at or after `since`, without their refunds one by one.
    fn list_since<'a>(&'a self, _since: DateTime<Utc>, _page: Option<&'a str>) -> Answer<'a, Page<Intent>> {
        unsupported(self.name(), Operation::List)
    }

    /// Makes a payer known.
    fn create_customer<'a>(&'a self, _ask: &'a NewCustomer) -> Answer<'a, Customer> {
        unsupported(self.name(), Operation::CreateCustomer)
    }

    /// What a payer has stored, at most 100.
    fn methods<'a>(&'a self, _customer_id: &'a str) -> Answer<'a, Vec<PaymentMethod>> {
        unsupported(self.name(), Operation::Methods)
    }

    /// Stores a method for a payer.
    fn attach_method<'a>(&'a self, _customer_id: &'a str, _method_id: &'a str) -> Answer<'a, PaymentMethod> {
        unsupported(self.name(), Operation::AttachMethod)
    }

    /// Forgets a method.
    fn detach_method<'a>(&'a self, _customer_id: &'a str, _method_id: &'a str) -> Answer<'a, ()> {
        unsupported(self.name(), Operation::Methods)
    }

    /// A subscription as it is now.
    fn read_subscription<'a>(&'a self, _provider_id: &'a str) -> Answer<'a, ProviderSubscription> {
        unsupported(self.name(), Operation::Subscriptions)
    }

    /// What the webhook told, if its signature is this account's and of now; only then it is parsed, leniently.
    fn verify_webhook<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<ProviderEvent, WebhookError>>;
}

/// What is answered, before anything is sent, where a provider cannot do what is asked.
fn unsupported<'a, T: Send + 'a>(provider: ProviderName, operation: Operation) -> Answer<'a, T> {
    future::ready(Err(ProviderError::Unsupported { provider, operation })).boxed()
}

/// An identifier that may stand in a path: 1 to 255 letters, digits, `-`, `_` and `.`, and no dots alone.
pub(crate) fn path_segment(id: &str) -> Result<&str, ProviderError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_dots = id.bytes().all(|byte| byte == b'.');
    if (1..=255).contains(&id.len()) && id.bytes().all(is_plain) && !is_dots {
        Ok(id)
    } else {
        Err(ProviderError::invalid("identifier"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_and_a_next_step_are_not_shown() {
        let secret = format!("{:?}", Secret::new("sk_test_hidden"));
        assert!(!secret.contains("hidden"), "{secret}");
        let step = format!("{:?}", NextStep::ClientSecret("pi_1_secret_hidden".to_owned()));
        assert!(!step.contains("hidden"), "{step}");
        let key = IdempotencyKey::of(Uuid::nil(), "create");
        let (name, email) = (Some("Hidden".to_owned()), Some("hidden@example.org".to_owned()));
        let shown = format!("{:?}", NewCustomer { reference: Uuid::nil(), name, email, key });
        assert!(!shown.to_lowercase().contains("hidden"), "{shown}");
    }

    #[test]
    fn an_identifier_cannot_leave_its_place_in_a_path() {
        for odd in ["", "..", ".", "a/b", "a?b", "a#b", "a%2f", "ä", "a b", "a\r\nb", &"a".repeat(256)] {
            assert!(path_segment(odd).is_err(), "{odd:?}");
        }
        assert_eq!(path_segment("pi_3MtwBwLkdIwHu7ix28a3tqPa").ok(), Some("pi_3MtwBwLkdIwHu7ix28a3tqPa"));
    }
}
