//! PhonePe: a page on which the payer pays, and a status that is asked by our own identifier.
//!
//! What is asked is signed with the salt (`X-VERIFY`); only Indian rupees are taken. A payment goes by
//! `p` and our identifier, a refund by `r` and ours, each 33 characters: PhonePe takes fewer than 35, and the letter
//! tells the two apart in its webhooks. PhonePe refuses a second payment of the same identifier, and so one is one;
//! it answers then with the status, and the address of the page is not told again.
//!
//! Source: <https://developer.phonepe.com/v1/reference/pay-api-1> and the pages beside it.

mod answers;
pub mod webhook;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use clinical::money::Money;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use super::wire::{self, Act, Wire, signature};
use super::{
    Answer, CaptureMethod, Intent, NewIntent, NewRefund, Operation, PayWith, PaymentProvider, ProviderError,
    ProviderEvent, ProviderName, Refund, Secret, Subject, WebhookError, path_segment,
};
use answers::Response;

const PAY: &str = "/pg/v1/pay";
const REFUND: &str = "/pg/v1/refund";

/// An account at PhonePe.
#[derive(Debug, Clone)]
pub struct PhonePeSettings {
    /// The merchant.
    pub merchant_id: String,
    /// What signs.
    pub salt_key: Secret,
    /// Which of the merchant's salts it is.
    pub salt_index: String,
    /// [`PhonePe::BASE_URL`], its sandbox's, or a stand-in's.
    pub base_url: String,
}

/// The adapter of an account at PhonePe.
pub struct PhonePe {
    wire: Wire,
    base: String,
    merchant_id: String,
    salt_key: Secret,
    salt_index: String,
}

impl fmt::Debug for PhonePe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PhonePe").field("base", &self.base).finish_non_exhaustive()
    }
}

/// How a payment of ours is called there.
fn payment_name(reference: Uuid) -> String {
    format!("p{}", reference.simple())
}

/// How a refund of ours is called there.
fn refund_name(reference: Uuid) -> String {
    format!("r{}", reference.simple())
}

/// Ours again, of a name that begins with `letter`.
fn reference_of(name: &str, letter: char) -> Option<Uuid> {
    let digits = name.strip_prefix(letter)?;
    (digits.len() == 32).then(|| Uuid::try_parse(digits).ok())?
}

impl PhonePe {
    /// Where PhonePe is.
    pub const BASE_URL: &str = "https://api.phonepe.com/apis/hermes";

    /// An account over the shared connections.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Invalid`]: the address or the merchant's name.
    pub fn new(settings: PhonePeSettings, wire: &Wire) -> Result<Self, ProviderError> {
        path_segment(&settings.merchant_id)?;
        path_segment(&settings.salt_index)?;
        Ok(Self {
            wire: wire.clone(),
            base: wire::base_url(&settings.base_url)?,
            merchant_id: settings.merchant_id,
            salt_key: settings.salt_key,
            salt_index: settings.salt_index,
        })
    }

    /// `sha256(content + path + salt)###index`
    fn x_verify(&self, content: &str, path: &str) -> String {
        let pieces = [content.as_bytes(), path.as_bytes(), self.salt_key.expose().as_bytes()];
        format!("{}###{}", signature::sha256(&pieces), self.salt_index)
    }

    async fn post(&self, path: &str, body: &Value, act: Act) -> Result<Response, ProviderError> {
        let content = STANDARD.encode(body.to_string());
        let verify = self.x_verify(&content, path);
        let ask = self.wire.ask(Method::POST, &self.base, path).header("X-VERIFY", verify);
        let told = wire::send(ask.json(&json!({ "request": content })), act).await?;
        if told.is_success() { told.json() } else { Ok(told.refusal()) }
    }

    /// What PhonePe says of a payment or refund of ours.
    async fn status(&self, name: &str) -> Result<Response, ProviderError> {
        let path = format!("/pg/v1/status/{}/{}", self.merchant_id, path_segment(name)?);
        let ask = self.wire.ask(Method::GET, &self.base, &path);
        let ask = ask.header("X-VERIFY", self.x_verify("", &path)).header("X-MERCHANT-ID", &self.merchant_id);
        let told = wire::send(ask, Act::Harmless).await?;
        let response: Response = if told.is_success() { told.json()? } else { told.refusal() };
        response.known()
    }

    async fn create_intent(&self, ask: &NewIntent) -> Result<Intent, ProviderError> {
        let unsupported =
            |operation| ProviderError::Unsupported { provider: ProviderName::PhonePe, operation };
        if ask.pay_with != PayWith::Payer {
            return Err(unsupported(Operation::ChargeStored));
        }
        if ask.capture != CaptureMethod::Automatic {
            return Err(unsupported(Operation::Capture));
        }
        let minor = rupees(ask.amount)?;
        let name = payment_name(ask.reference);
        let mut body = json!({
            "merchantId": self.merchant_id,
            "merchantTransactionId": name,
            "merchantUserId": format!("u{}", ask.reference.simple()),
            "amount": minor,
            "paymentInstrument": { "type": "PAY_PAGE" },
        });
        if let Some(return_url) = &ask.return_url {
            body["redirectUrl"] = json!(return_url);
            body["redirectMode"] = json!("REDIRECT");
        }
        if let Some(webhook_url) = &ask.webhook_url {
            body["callbackUrl"] = json!(webhook_url);
        }
        let response = self.post(PAY, &body, Act::Harmless).await?;
        if response.success {
            return Ok(response.into_new_intent(name, ask.amount, ask.reference));
        }
        // Refused: because it was made before, or for a reason of its own.
        match self.read_intent(&name).await {
            Ok(intent) if intent.amount == ask.amount => Ok(intent),
            Ok(_) => Err(ProviderError::invalid("idempotency_error")),
            Err(ProviderError::NotFound) => Err(response.into_error()),
            Err(error) => Err(error),
        }
    }

    async fn read_intent(&self, name: &str) -> Result<Intent, ProviderError> {
        let reference = reference_of(name, 'p').ok_or(ProviderError::NotFound)?;
        self.status(name).await?.into_intent(name, reference)
    }

    async fn make_refund(&self, ask: &NewRefund) -> Result<Refund, ProviderError> {
        let name = refund_name(ask.reference);
        let body = json!({
            "merchantId": self.merchant_id,
            "merchantUserId": format!("u{}", ask.payment_reference.simple()),
            "originalTransactionId": ask.payment_id,
            "merchantTransactionId": name,
            "amount": rupees(ask.amount)?,
        });
        let response = self.post(REFUND, &body, Act::Money).await?;
        if response.is_accepted() {
            return response.into_refund(name, ask.reference, Some(ask.amount));
        }
        match self.find_named_refund(&name, ask.reference).await? {
            Some(refund) if refund.amount == ask.amount => Ok(refund),
            Some(_) => Err(ProviderError::invalid("idempotency_error")),
            None => Err(response.into_error()),
        }
    }

    async fn find_named_refund(&self, name: &str, reference: Uuid) -> Result<Option<Refund>, ProviderError> {
        match self.status(name).await {
            Ok(response) => response.into_refund(name.to_owned(), reference, None).map(Some),
            Err(ProviderError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The paise of a sum of rupees above zero.
fn rupees(sum: Money) -> Result<i64, ProviderError> {
    match sum.currency.code() {
        "INR" if sum.minor > 0 => Ok(sum.minor),
        "INR" => Err(ProviderError::invalid("amount")),
        _ => Err(ProviderError::invalid("currency")),
    }
}

impl PaymentProvider for PhonePe {
    fn name(&self) -> ProviderName {
        ProviderName::PhonePe
    }

    fn supports(&self, operation: Operation) -> bool {
        operation == Operation::Find
    }

    fn create<'a>(&'a self, ask: &'a NewIntent) -> Answer<'a, Intent> {
        self.create_intent(ask).boxed()
    }

    fn read<'a>(&'a self, provider_id: &'a str) -> Answer<'a, Intent> {
        self.read_intent(provider_id).boxed()
    }

    fn read_about<'a>(&'a self, subject: &'a Subject) -> Answer<'a, Intent> {
        async move {
            match subject {
                Subject::Payment(name) => self.read_intent(name).await,
                _ => Err(ProviderError::NotFound),
            }
        }
        .boxed()
    }

    fn find<'a>(&'a self, reference: Uuid, _: DateTime<Utc>) -> Answer<'a, Option<Intent>> {
        async move {
            match self.read_intent(&payment_name(reference)).await {
                Ok(intent) => Ok(Some(intent)),
                Err(ProviderError::NotFound) => Ok(None),
                Err(error) => Err(error),
            }
        }
        .boxed()
    }

    fn refund<'a>(&'a self, ask: &'a NewRefund) -> Answer<'a, Refund> {
        self.make_refund(ask).boxed()
    }

    fn find_refund<'a>(&'a self, ask: &'a NewRefund) -> Answer<'a, Option<Refund>> {
        async move { self.find_named_refund(&refund_name(ask.reference), ask.reference).await }.boxed()
    }

    fn verify_webhook<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        _: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<ProviderEvent, WebhookError>> {
        std::future::ready(webhook::verify(self, headers, body)).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> PhonePe {
        let settings = PhonePeSettings {
            merchant_id: "PGTESTPAYUAT".to_owned(),
            salt_key: Secret::new("099eb0cd-02cf-4e2a-8aca-3e6c6aff0399"),
            salt_index: "1".to_owned(),
            base_url: PhonePe::BASE_URL.to_owned(),
        };
        PhonePe::new(settings, &Wire::new().unwrap()).unwrap()
    }

    /// `printf '%s' 'e30=/pg/v1/pay099eb0cd-02cf-4e2a-8aca-3e6c6aff0399' | sha256sum`
    #[test]
    fn what_is_asked_is_signed_with_the_salt() {
        let verify = account().x_verify("e30=", PAY);
        assert_eq!(verify, "91d80968edd62afa099c5d9741902741240627a41f0014f5d429d87a02e940d6###1");
    }

    #[test]
    fn a_name_is_short_enough_and_leads_back_to_ours() {
        let reference = Uuid::now_v7();
        let name = payment_name(reference);
        assert!(name.len() < 35);
        assert_eq!(reference_of(&name, 'p'), Some(reference));
        assert_eq!(reference_of(&name, 'r'), None);
        assert_eq!(reference_of("p", 'p'), None);
        assert_eq!(reference_of(&format!("p{reference}"), 'p'), None);
    }

    #[test]
    fn only_rupees_are_taken() {
        let sum = |minor, code: &str| rupees(Money::new(minor, code.parse().unwrap())).ok();
        assert_eq!(sum(10_000, "INR"), Some(10_000));
        assert_eq!(sum(10_000, "USD"), None);
        assert_eq!(sum(0, "INR"), None);
    }
}
