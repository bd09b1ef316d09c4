//! Razorpay: an order is what we ask for, a payment of it is an attempt of the payer.
//!
//! Razorpay knows no idempotency key for orders: an order is looked for by its receipt (our payment) before one is
//! made. Two that are made at the same moment charge nobody; the payer is shown one of them.
//!
//! Source: <https://razorpay.com/docs/api>.

mod answers;
pub mod webhook;

use std::fmt;

use chrono::{DateTime, Utc};
use clinical::money::Money;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::wire::{self, Act, Told, Wire};
use super::{
    Answer, CaptureMethod, Customer, Dispute, IdempotencyKey, Intent, NewCustomer, NewIntent, NewRefund,
    Operation, Page, PayWith, PaymentMethod, PaymentProvider, ProviderError, ProviderEvent, ProviderName,
    ProviderSubscription, Refund, Secret, Subject, WebhookError, path_segment,
};
use answers::{
    DisputeAnswer, IdOnly, List, Order, Payment, RefundAnswer, Refusal, SubscriptionAnswer, TokenAnswer,
};

/// The most that a list answers at once.
const PAGE: usize = 100;

/// An account at Razorpay.
#[derive(Debug, Clone)]
pub struct RazorpaySettings {
    /// `rzp_live_…`: the payer's browser is told it too.
    pub key_id: String,
    /// What belongs to it.
    pub key_secret: Secret,
    /// What webhooks are signed with; two while one is being replaced, none where no webhook is set up.
    pub webhook_secrets: Vec<Secret>,
    /// [`Razorpay::BASE_URL`], or a stand-in's.
    pub base_url: String,
}

/// The adapter of an account at Razorpay.
pub struct Razorpay {
    wire: Wire,
    base: String,
    key_id: String,
    key_secret: Secret,
    webhook_secrets: Vec<Secret>,
}

impl fmt::Debug for Razorpay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Razorpay").field("base", &self.base).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct OrderAsk<'a> {
    amount: i64,
    currency: &'a str,
    receipt: String,
    payment_capture: bool,
    notes: Value,
}

fn unsupported<T>(operation: Operation) -> Result<T, ProviderError> {
    Err(ProviderError::Unsupported { provider: ProviderName::Razorpay, operation })
}

impl Razorpay {
    /// Where Razorpay is.
    pub const BASE_URL: &str = "https://api.razorpay.com";

    /// An account over the shared connections.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Invalid`]: the address.
    pub fn new(settings: RazorpaySettings, wire: &Wire) -> Result<Self, ProviderError> {
        let base = wire::base_url(&settings.base_url)?;
        Ok(Self {
            wire: wire.clone(),
            base: base.trim_end_matches("/v1").to_owned(),
            key_id: settings.key_id,
            key_secret: settings.key_secret,
            webhook_secrets: settings.webhook_secrets,
        })
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let ask = self.wire.ask(method, &self.base, path);
        ask.basic_auth(&self.key_id, Some(self.key_secret.expose()))
    }

    async fn told(&self, ask: reqwest::RequestBuilder, act: Act) -> Result<Told, ProviderError> {
        let told = wire::send(ask, act).await?;
        if told.is_success() { Ok(told) } else { Err(told.refusal::<Refusal>().into_error(told.status)) }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ProviderError> {
        self.told(self.request(Method::GET, path), Act::Harmless).await?.json()
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        act: Act,
    ) -> Result<T, ProviderError> {
        self.told(self.request(Method::POST, path).json(body), act).await?.json()
    }

    async fn order_of(&self, reference: Uuid) -> Result<Option<Order>, ProviderError> {
        let list: List<Order> = self.get(&format!("/v1/orders?receipt={reference}&count=10")).await?;
        let receipt = reference.to_string();
        Ok(list.items.into_iter().find(|order| order.receipt.as_deref() == Some(receipt.as_str())))
    }

    async fn create_intent(&self, ask: &NewIntent) -> Result<Intent, ProviderError> {
        if ask.pay_with != PayWith::Payer {
            return unsupported(Operation::ChargeStored);
        }
        if ask.amount.minor <= 0 {
            return Err(ProviderError::invalid("amount"));
        }
        if let Some(order) = self.order_of(ask.reference).await? {
            let intent = order.into_intent(Vec::new(), None)?;
            return if intent.amount == ask.amount {
                Ok(intent)
            } else {
                Err(ProviderError::invalid("idempotency_error"))
            };
        }
        let description: String = ask.description.chars().take(250).collect();
        let order = OrderAsk {
            amount: ask.amount.minor,
            currency: ask.amount.currency.code(),
            receipt: ask.reference.to_string(),
            payment_capture: ask.capture == CaptureMethod::Automatic,
            notes: json!({ "reference": ask.reference, "description": description }),
        };
        self.post::<Order>("/v1/orders", &order, Act::Harmless).await?.into_intent(Vec::new(), None)
    }

    async fn payments(&self, order_id: &str) -> Result<Vec<Payment>, ProviderError> {
        let path = format!("/v1/orders/{}/payments", path_segment(order_id)?);
        Ok(self.get::<List<Payment>>(&path).await?.items)
    }

    async fn read_intent(&self, order_id: &str) -> Result<Intent, ProviderError> {
        let order: Order = self.get(&format!("/v1/orders/{}", path_segment(order_id)?)).await?;
        let payments = self.payments(order_id).await?;
        let refunds = self.refunds(&payments).await?;
        order.into_intent(refunds, Some(&payments))
    }

    async fn refunds(&self, payments: &[Payment]) -> Result<Vec<Refund>, ProviderError> {
        let mut refunds = Vec::new();
        for payment in payments.iter().filter(|payment| payment.is_captured()) {
            let path = format!("/v1/payments/{}/refunds?count={PAGE}", path_segment(&payment.id)?);
            let list: List<RefundAnswer> = self.get(&path).await?;
            for refund in list.items {
                refunds.push(refund.into_refund()?);
            }
        }
        Ok(refunds)
    }

    /// The order that an attempt is of.
    async fn order_id_of(&self, payment_id: &str) -> Result<String, ProviderError> {
        let payment: Payment = self.get(&format!("/v1/payments/{}", path_segment(payment_id)?)).await?;
        payment.order_id.ok_or(ProviderError::NotFound)
    }

    async fn capture_intent(&self, order_id: &str, amount: Option<Money>) -> Result<Intent, ProviderError> {
        let payments = self.payments(order_id).await?;
        let Some(payment) = payments.iter().find(|payment| payment.is_authorized()) else {
            let intent = self.read_intent(order_id).await?;
            let code = "not-authorized".to_owned();
            return if intent.captured.minor > 0 {
                Ok(intent)
            } else {
                Err(ProviderError::WrongState { code })
            };
        };
        let whole = payment.amount()?;
        if amount.is_some_and(|amount| amount != whole) {
            return unsupported(Operation::CapturePart);
        }
        let path = format!("/v1/payments/{}/capture", path_segment(&payment.id)?);
        let body = json!({ "amount": whole.minor, "currency": whole.currency.code() });
        self.post::<Payment>(&path, &body, Act::Money).await?;
        self.read_intent(order_id).await
    }

    async fn make_refund(&self, ask: &NewRefund) -> Result<Refund, ProviderError> {
        let payments = self.payments(&ask.payment_id).await?;
        let captured = payments.iter().find(|payment| payment.is_captured());
        let code = || "not-captured".to_owned();
        let payment = captured.ok_or_else(|| ProviderError::WrongState { code: code() })?;
        if ask.amount.minor <= 0 || ask.amount.currency != payment.amount()?.currency {
            return Err(ProviderError::invalid("amount"));
        }
        let path = format!("/v1/payments/{}/refund", path_segment(&payment.id)?);
        let body = json!({
            "amount": ask.amount.minor,
            "speed": "normal",
            "receipt": ask.reference,
            "notes": { "reference": ask.reference },
        });
        let request = self.request(Method::POST, &path).header("X-Refund-Idempotency", ask.key.as_str());
        let told = self.told(request.json(&body), Act::Money).await?;
        told.json::<RefundAnswer>()?.into_refund()
    }

    async fn list_orders(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<Intent>, ProviderError> {
        let skip: usize = page.unwrap_or("0").parse().map_err(|_| ProviderError::invalid("page"))?;
        let path = format!("/v1/orders?from={}&count={PAGE}&skip={skip}", since.timestamp());
        let list: List<Order> = self.get(&path).await?;
        let is_full = list.items.len() == PAGE;
        let items = list.items.into_iter().map(|order| order.into_intent(Vec::new(), None));
        let next = is_full.then(|| skip.saturating_add(PAGE).to_string());
        Ok(Page { items: items.collect::<Result<_, _>>()?, next })
    }

    async fn make_customer(&self, ask: &NewCustomer) -> Result<Customer, ProviderError> {
        let mut body = json!({ "fail_existing": "0", "notes": { "reference": ask.reference } });
        if let Some(name) = &ask.name {
            body["name"] = json!(name);
        }
        if let Some(email) = &ask.email {
            body["email"] = json!(email);
        }
        let customer: IdOnly = self.post("/v1/customers", &body, Act::Harmless).await?;
        Ok(Customer { provider_id: customer.id })
    }

    async fn tokens(&self, customer_id: &str) -> Result<Vec<PaymentMethod>, ProviderError> {
        let path = format!("/v1/customers/{}/tokens", path_segment(customer_id)?);
        let list: List<TokenAnswer> = self.get(&path).await?;
        Ok(list.items.into_iter().take(PAGE).map(TokenAnswer::into_method).collect())
    }

    async fn dispute(&self, provider_id: &str) -> Result<Dispute, ProviderError> {
        let dispute: DisputeAnswer =
            self.get(&format!("/v1/disputes/{}", path_segment(provider_id)?)).await?;
        let order_id = self.order_id_of(&dispute.payment_id).await?;
        dispute.into_dispute(order_id)
    }
}

impl PaymentProvider for Razorpay {
    fn name(&self) -> ProviderName {
        ProviderName::Razorpay
    }

    fn supports(&self, operation: Operation) -> bool {
        !matches!(
            operation,
            Operation::Confirm
                | Operation::ConfirmAlone
                | Operation::CapturePart
                | Operation::Cancel
                | Operation::ChargeStored
                | Operation::AttachMethod
        )
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
                Subject::Payment(id) => self.read_intent(id).await,
                Subject::Charge(id) => self.read_intent(&self.order_id_of(id).await?).await,
                _ => Err(ProviderError::NotFound),
            }
        }
        .boxed()
    }

    fn find<'a>(&'a self, reference: Uuid, _: DateTime<Utc>) -> Answer<'a, Option<Intent>> {
        async move {
            match self.order_of(reference).await? {
                Some(order) => self.read_intent(&order.id).await.map(Some),
                None => Ok(None),
            }
        }
        .boxed()
    }

    fn capture<'a>(
        &'a self,
        provider_id: &'a str,
        amount: Option<Money>,
        _: &'a IdempotencyKey,
    ) -> Answer<'a, Intent> {
        self.capture_intent(provider_id, amount).boxed()
    }

    fn refund<'a>(&'a self, ask: &'a NewRefund) -> Answer<'a, Refund> {
        self.make_refund(ask).boxed()
    }

    fn find_refund<'a>(&'a self, ask: &'a NewRefund) -> Answer<'a, Option<Refund>> {
        async move {
            let refunds = self.refunds(&self.payments(&ask.payment_id).await?).await?;
            Ok(refunds.into_iter().find(|refund| refund.reference == Some(ask.reference)))
        }
        .boxed()
    }

    fn read_dispute<'a>(&'a self, provider_id: &'a str) -> Answer<'a, Dispute> {
        self.dispute(provider_id).boxed()
    }

    fn list_since<'a>(&'a self, since: DateTime<Utc>, page: Option<&'a str>) -> Answer<'a, Page<Intent>> {
        self.list_orders(since, page).boxed()
    }

    fn create_customer<'a>(&'a self, ask: &'a NewCustomer) -> Answer<'a, Customer> {
        self.make_customer(ask).boxed()
    }

    fn methods<'a>(&'a self, customer_id: &'a str) -> Answer<'a, Vec<PaymentMethod>> {
        self.tokens(customer_id).boxed()
    }

    fn detach_method<'a>(&'a self, customer_id: &'a str, method_id: &'a str) -> Answer<'a, ()> {
        async move {
            let (customer, method) = (path_segment(customer_id)?, path_segment(method_id)?);
            let path = format!("/v1/customers/{customer}/tokens/{method}");
            self.told(self.request(Method::DELETE, &path), Act::Harmless).await.map(drop)
        }
        .boxed()
    }

    fn read_subscription<'a>(&'a self, provider_id: &'a str) -> Answer<'a, ProviderSubscription> {
        async move {
            let path = format!("/v1/subscriptions/{}", path_segment(provider_id)?);
            Ok(self.get::<SubscriptionAnswer>(&path).await?.into_subscription())
        }
        .boxed()
    }

    fn verify_webhook<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        _: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<ProviderEvent, WebhookError>> {
        std::future::ready(webhook::verify(&self.webhook_secrets, headers, body)).boxed()
    }
}
