//! Stripe: PaymentIntents, in requests that async-stripe builds.
//!
//! Of async-stripe we take what knows Stripe (`async-stripe-core`: paths, parameters, the version of the API) and send
//! it ourselves: its client would bring a second set of connections beside reqwest's, and its strict answers would
//! refuse a payment over a field that we never read. The answers are read leniently ([`answers`]).
//!
//! Source: <https://docs.stripe.com/api>.

mod amount;
mod answers;
pub mod webhook;

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::money::Money;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, header};
use serde::Serialize;
use stripe_client_core::{RequestBuilder, StripeMethod, StripeRequest};
use stripe_core::PaymentIntentCaptureMethod;
use stripe_core::customer::CreateCustomer;
use stripe_core::payment_intent::{
    CancelPaymentIntent, CapturePaymentIntent, ConfirmPaymentIntent, CreatePaymentIntent,
    CreatePaymentIntentOffSession, ListPaymentIntent, RetrievePaymentIntent,
};
use stripe_core::refund::{CreateRefund, ListRefund};
use uuid::Uuid;

use super::wire::{self, Act, Told, Wire};
use super::{
    Answer, CaptureMethod, Confirm, Customer, Dispute, IdempotencyKey, Intent, NewCustomer, NewIntent,
    NewRefund, Operation, Page, PayWith, PaymentMethod, PaymentProvider, ProviderError, ProviderEvent,
    ProviderName, ProviderSubscription, Refund, Secret, Subject, WebhookError, path_segment,
};
use answers::{
    Charge, DisputeAnswer, IdOnly, List, MethodAnswer, PaymentIntent, RefundAnswer, Refusal,
    SubscriptionAnswer,
};

/// Under which our identifier stands in Stripe's metadata.
const REFERENCE: &str = "reference";
/// The most that a list answers at once.
const PAGE: i64 = 100;
/// Most pages that are looked through for one payment.
const PAGES: usize = 20;
/// Clocks differ by less.
const SLACK: TimeDelta = TimeDelta::minutes(2);

/// An account at Stripe.
#[derive(Debug, Clone)]
pub struct StripeSettings {
    /// `sk_…` or `rk_…`.
    pub secret_key: Secret,
    /// `whsec_…`; two while one is being replaced, none where no webhook is set up.
    pub webhook_secrets: Vec<Secret>,
    /// [`Stripe::BASE_URL`], or a stand-in's.
    pub base_url: String,
}

/// The adapter of an account at Stripe.
pub struct Stripe {
    wire: Wire,
    base: String,
    authorization: http::HeaderValue,
    webhook_secrets: Vec<Secret>,
}

impl fmt::Debug for Stripe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stripe").field("base", &self.base).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct MethodsQuery<'a> {
    customer: &'a str,
    r#type: &'a str,
    limit: i64,
}

#[derive(Serialize)]
struct AttachForm<'a> {
    customer: &'a str,
}

impl Stripe {
    /// Where Stripe is.
    pub const BASE_URL: &str = "https://api.stripe.com";

    /// An account over the shared connections.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Invalid`]: the address; [`ProviderError::Authentication`]: no header can hold the key.
    pub fn new(settings: StripeSettings, wire: &Wire) -> Result<Self, ProviderError> {
        let base = wire::base_url(&settings.base_url)?;
        Ok(Self {
            wire: wire.clone(),
            base: base.trim_end_matches("/v1").to_owned(),
            authorization: wire::secret_header(&settings.secret_key, "Bearer ")?,
            webhook_secrets: settings.webhook_secrets,
        })
    }

    async fn ask(
        &self,
        request: RequestBuilder,
        key: Option<&IdempotencyKey>,
        act: Act,
    ) -> Result<Told, ProviderError> {
        let method = match request.method {
            StripeMethod::Get => Method::GET,
            StripeMethod::Post => Method::POST,
            StripeMethod::Delete => Method::DELETE,
        };
        let query = request.query.filter(|query| !query.is_empty()).map(|query| format!("?{query}"));
        let path = format!("/v1{}{}", request.path, query.unwrap_or_default());
        let mut ask = self
            .wire
            .ask(method, &self.base, &path)
            .header(header::AUTHORIZATION, self.authorization.clone())
            .header("Stripe-Version", stripe_client_core::VERSION.as_str());
        if let Some(key) = key {
            ask = ask.header("Idempotency-Key", key.as_str());
        }
        if let Some(body) = request.body {
            ask = ask.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").body(body);
        }
        let told = wire::send(ask, act).await?;
        if told.is_success() { Ok(told) } else { Err(told.refusal::<Refusal>().into_error(told.status)) }
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: String) -> Result<T, ProviderError> {
        self.ask(RequestBuilder::new(StripeMethod::Get, path), None, Act::Harmless).await?.json()
    }

    async fn create_intent(&self, ask: &NewIntent) -> Result<Intent, ProviderError> {
        let (amount, currency) = amount::to_stripe(ask.amount)?;
        let capture = match ask.capture {
            CaptureMethod::Automatic => PaymentIntentCaptureMethod::Automatic,
            CaptureMethod::Manual => PaymentIntentCaptureMethod::Manual,
        };
        let metadata = HashMap::from([
            (REFERENCE.to_owned(), ask.reference.to_string()),
            ("description".to_owned(), ask.description.chars().take(500).collect()),
        ]);
        let mut create =
            CreatePaymentIntent::new(amount, currency).capture_method(capture).metadata(metadata);
        if let Some(customer) = &ask.customer_id {
            create = create.customer(path_segment(customer)?);
        }
        let mut act = Act::Harmless;
        if let PayWith::Stored { method_id } = &ask.pay_with {
            act = Act::Money;
            create = create.payment_method(path_segment(method_id)?).confirm(true);
            create = create.off_session(CreatePaymentIntentOffSession::Bool(true));
            if let Some(return_url) = &ask.return_url {
                create = create.return_url(return_url.as_str());
            }
        }
        let told = self.ask(create.build(), Some(&ask.key), act).await?;
        told.json::<PaymentIntent>()?.into_intent(Vec::new())
    }

    async fn read_intent(&self, provider_id: &str) -> Result<Intent, ProviderError> {
        let read =
            RetrievePaymentIntent::new(path_segment(provider_id)?).expand(vec!["latest_charge".to_owned()]);
        let intent: PaymentIntent = self.ask(read.build(), None, Act::Harmless).await?.json()?;
        let refunds = match intent.latest_charge {
            Some(_) => self.refunds(provider_id).await?,
            None => Vec::new(),
        };
        intent.into_intent(refunds)
    }

    async fn refunds(&self, payment_id: &str) -> Result<Vec<Refund>, ProviderError> {
        let mut refunds = Vec::new();
        let mut list = ListRefund::new().payment_intent(path_segment(payment_id)?).limit(PAGE);
        for _ in 0..PAGES {
            let page: List<RefundAnswer> = self.ask(list.build(), None, Act::Harmless).await?.json()?;
            let last = page.data.last().map(|refund| refund.id.clone());
            for refund in page.data {
                refunds.push(refund.into_refund()?);
            }
            match last.filter(|_| page.has_more) {
                Some(last) => list = list.starting_after(last),
                None => return Ok(refunds),
            }
        }
        Err(Act::Harmless.unheard("there are too many refunds"))
    }

    async fn page(&self, after: Option<&str>) -> Result<List<PaymentIntent>, ProviderError> {
        let mut list = ListPaymentIntent::new().limit(PAGE).expand(vec!["data.latest_charge".to_owned()]);
        if let Some(after) = after {
            list = list.starting_after(path_segment(after)?);
        }
        self.ask(list.build(), None, Act::Harmless).await?.json()
    }

    /// Through the list, the newest first: Stripe's search would show a payment only minutes after it was made.
    async fn find_intent(
        &self,
        reference: Uuid,
        asked_at: DateTime<Utc>,
    ) -> Result<Option<Intent>, ProviderError> {
        let reference = reference.to_string();
        let mut after: Option<String> = None;
        for _ in 0..PAGES {
            let page = self.page(after.as_deref()).await?;
            if let Some(found) = page.data.iter().find(|it| it.reference() == Some(reference.as_str())) {
                return self.read_intent(&found.id).await.map(Some);
            }
            let is_past = page.data.last().is_none_or(|last| last.created_at() < asked_at - SLACK);
            if is_past || !page.has_more {
                return Ok(None);
            }
            after = page.data.last().map(|last| last.id.clone());
        }
        Err(Act::Money.unheard("there are too many payments to look through"))
    }

    async fn list_intents(
        &self,
        since: DateTime<Utc>,
        page: Option<&str>,
    ) -> Result<Page<Intent>, ProviderError> {
        let list = self.page(page).await?;
        let is_past = list.data.last().is_none_or(|last| last.created_at() < since);
        let next = list.data.last().filter(|_| list.has_more && !is_past).map(|last| last.id.clone());
        let young = list.data.into_iter().filter(|intent| intent.created_at() >= since);
        let items = young.map(|intent| intent.into_intent(Vec::new())).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    async fn confirm_intent(&self, ask: &Confirm) -> Result<Intent, ProviderError> {
        let mut confirm = ConfirmPaymentIntent::new(path_segment(&ask.provider_id)?);
        if let Some(method) = &ask.method_id {
            confirm = confirm.payment_method(path_segment(method)?);
        }
        if let Some(return_url) = &ask.return_url {
            confirm = confirm.return_url(return_url.as_str());
        }
        let told = self.ask(confirm.build(), Some(&ask.key), Act::Money).await?;
        told.json::<PaymentIntent>()?.into_intent(Vec::new())
    }

    async fn capture_intent(
        &self,
        provider_id: &str,
        amount: Option<Money>,
        key: &IdempotencyKey,
    ) -> Result<Intent, ProviderError> {
        let mut capture = CapturePaymentIntent::new(path_segment(provider_id)?);
        if let Some(amount) = amount {
            capture = capture.amount_to_capture(amount::to_stripe(amount)?.0);
        }
        let told = self.ask(capture.build(), Some(key), Act::Money).await?;
        told.json::<PaymentIntent>()?.into_intent(Vec::new())
    }

    async fn cancel_intent(&self, provider_id: &str, key: &IdempotencyKey) -> Result<Intent, ProviderError> {
        let cancel = CancelPaymentIntent::new(path_segment(provider_id)?);
        let told = self.ask(cancel.build(), Some(key), Act::Harmless).await?;
        told.json::<PaymentIntent>()?.into_intent(Vec::new())
    }

    async fn make_refund(&self, ask: &NewRefund) -> Result<Refund, ProviderError> {
        let metadata = HashMap::from([(REFERENCE.to_owned(), ask.reference.to_string())]);
        let refund = CreateRefund::new()
            .payment_intent(path_segment(&ask.payment_id)?)
            .amount(amount::to_stripe(ask.amount)?.0)
            .metadata(metadata);
        let told = self.ask(refund.build(), Some(&ask.key), Act::Money).await?;
        told.json::<RefundAnswer>()?.into_refund()
    }

    async fn dispute(&self, provider_id: &str) -> Result<Dispute, ProviderError> {
        let dispute: DisputeAnswer = self.get(format!("/disputes/{}", path_segment(provider_id)?)).await?;
        let payment = match (&dispute.payment_intent, &dispute.charge) {
            (Some(intent), _) => intent.id().to_owned(),
            (None, Some(charge)) => self.intent_of(charge.id()).await?,
            (None, None) => return Err(ProviderError::NotFound),
        };
        dispute.into_dispute(payment)
    }

    /// The payment that a charge is of.
    async fn intent_of(&self, charge_id: &str) -> Result<String, ProviderError> {
        let charge: Charge = self.get(format!("/charges/{}", path_segment(charge_id)?)).await?;
        charge.payment_intent.map(|intent| intent.id().to_owned()).ok_or(ProviderError::NotFound)
    }

    async fn make_customer(&self, ask: &NewCustomer) -> Result<Customer, ProviderError> {
        let metadata = HashMap::from([(REFERENCE.to_owned(), ask.reference.to_string())]);
        let mut create = CreateCustomer::new().metadata(metadata);
        if let Some(name) = &ask.name {
            create = create.name(name.as_str());
        }
        if let Some(email) = &ask.email {
            create = create.email(email.as_str());
        }
        let told = self.ask(create.build(), Some(&ask.key), Act::Harmless).await?;
        Ok(Customer { provider_id: told.json::<IdOnly>()?.id })
    }

    async fn list_methods(&self, customer_id: &str) -> Result<Vec<PaymentMethod>, ProviderError> {
        let query = MethodsQuery { customer: path_segment(customer_id)?, r#type: "card", limit: PAGE };
        let list = RequestBuilder::new(StripeMethod::Get, "/payment_methods").query(&query);
        let list: List<MethodAnswer> = self.ask(list, None, Act::Harmless).await?.json()?;
        Ok(list.data.into_iter().map(MethodAnswer::into_method).collect())
    }

    async fn attach(&self, customer_id: &str, method_id: &str) -> Result<PaymentMethod, ProviderError> {
        let path = format!("/payment_methods/{}/attach", path_segment(method_id)?);
        let form = AttachForm { customer: path_segment(customer_id)? };
        let attach = RequestBuilder::new(StripeMethod::Post, path).form(&form);
        Ok(self.ask(attach, None, Act::Harmless).await?.json::<MethodAnswer>()?.into_method())
    }

    async fn detach(&self, customer_id: &str, method_id: &str) -> Result<(), ProviderError> {
        let path = format!("/payment_methods/{}", path_segment(method_id)?);
        let method: MethodAnswer = self.get(path.clone()).await?;
        if method.customer.as_ref().map(|customer| customer.id()) != Some(customer_id) {
            return Err(ProviderError::NotFound);
        }
        let detach = RequestBuilder::new(StripeMethod::Post, format!("{path}/detach"));
        self.ask(detach, None, Act::Harmless).await.map(drop)
    }
}

impl PaymentProvider for Stripe {
    fn name(&self) -> ProviderName {
        ProviderName::Stripe
    }

    fn supports(&self, operation: Operation) -> bool {
        operation != Operation::ConfirmAlone
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
                Subject::Charge(id) => self.read_intent(&self.intent_of(id).await?).await,
                _ => Err(ProviderError::NotFound),
            }
        }
        .boxed()
    }

    fn find<'a>(&'a self, reference: Uuid, asked_at: DateTime<Utc>) -> Answer<'a, Option<Intent>> {
        self.find_intent(reference, asked_at).boxed()
    }

    fn confirm<'a>(&'a self, ask: &'a Confirm) -> Answer<'a, Intent> {
        self.confirm_intent(ask).boxed()
    }

    fn capture<'a>(
        &'a self,
        provider_id: &'a str,
        amount: Option<Money>,
        key: &'a IdempotencyKey,
    ) -> Answer<'a, Intent> {
        self.capture_intent(provider_id, amount, key).boxed()
    }

    fn cancel<'a>(&'a self, provider_id: &'a str, key: &'a IdempotencyKey) -> Answer<'a, Intent> {
        self.cancel_intent(provider_id, key).boxed()
    }

    fn refund<'a>(&'a self, ask: &'a NewRefund) -> Answer<'a, Refund> {
        self.make_refund(ask).boxed()
    }

    fn find_refund<'a>(&'a self, ask: &'a NewRefund) -> Answer<'a, Option<Refund>> {
        async move {
            let refunds = self.refunds(&ask.payment_id).await?;
            Ok(refunds.into_iter().find(|refund| refund.reference == Some(ask.reference)))
        }
        .boxed()
    }

    fn read_dispute<'a>(&'a self, provider_id: &'a str) -> Answer<'a, Dispute> {
        self.dispute(provider_id).boxed()
    }

    fn list_since<'a>(&'a self, since: DateTime<Utc>, page: Option<&'a str>) -> Answer<'a, Page<Intent>> {
        self.list_intents(since, page).boxed()
    }

    fn create_customer<'a>(&'a self, ask: &'a NewCustomer) -> Answer<'a, Customer> {
        self.make_customer(ask).boxed()
    }

    fn methods<'a>(&'a self, customer_id: &'a str) -> Answer<'a, Vec<PaymentMethod>> {
        self.list_methods(customer_id).boxed()
    }

    fn attach_method<'a>(&'a self, customer_id: &'a str, method_id: &'a str) -> Answer<'a, PaymentMethod> {
        self.attach(customer_id, method_id).boxed()
    }

    fn detach_method<'a>(&'a self, customer_id: &'a str, method_id: &'a str) -> Answer<'a, ()> {
        self.detach(customer_id, method_id).boxed()
    }

    fn read_subscription<'a>(&'a self, provider_id: &'a str) -> Answer<'a, ProviderSubscription> {
        async move {
            let path = format!("/subscriptions/{}", path_segment(provider_id)?);
            Ok(self.get::<SubscriptionAnswer>(path).await?.into_subscription())
        }
        .boxed()
    }

    fn verify_webhook<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<ProviderEvent, WebhookError>> {
        std::future::ready(webhook::verify(&self.webhook_secrets, headers, body, now)).boxed()
    }
}
