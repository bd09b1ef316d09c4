//! PayPal: an order is what we ask for; its captures and authorizations are the money.
//!
//! Every call that makes something carries `PayPal-Request-Id`, and PayPal answers the same request with the same
//! object (orders for six hours). `invoice_id` is our payment: an account refuses to take the money of the same
//! invoice twice even after that. The access token is kept while it holds.
//!
//! Source: <https://developer.paypal.com/docs/api/orders/v2/> and the pages beside it.

mod amount;
mod answers;
pub mod webhook;

use std::fmt;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use clinical::money::Money;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::wire::{self, Act, Told, Wire};
use super::{
    Answer, CaptureMethod, Confirm, Dispute, IdempotencyKey, Intent, IntentState, NewIntent, NewRefund,
    Operation, PayWith, PaymentMethod, PaymentProvider, ProviderError, ProviderEvent, ProviderName,
    ProviderSubscription, Refund, Secret, Subject, WebhookError, path_segment,
};
use answers::{
    CaptureAnswer, DisputeAnswer, Order, RefundAnswer, Refusal, SubscriptionAnswer, Token, TokenAnswer,
    Tokens,
};

/// A token is renewed so long before its end.
const MARGIN: Duration = Duration::from_secs(60);

/// An account at PayPal.
#[derive(Debug, Clone)]
pub struct PayPalSettings {
    /// The application's name …
    pub client_id: String,
    /// … and secret.
    pub client_secret: Secret,
    /// The webhook's identifier, which is part of what PayPal signs; none where no webhook is set up.
    pub webhook_id: Option<String>,
    /// [`PayPal::BASE_URL`], its sandbox's, or a stand-in's.
    pub base_url: String,
}

/// The adapter of an account at PayPal.
pub struct PayPal {
    wire: Wire,
    base: String,
    client_id: String,
    client_secret: Secret,
    webhook_id: Option<String>,
    token: Mutex<Option<(Secret, Instant)>>,
}

impl fmt::Debug for PayPal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayPal").field("base", &self.base).finish_non_exhaustive()
    }
}

impl PayPal {
    /// Where PayPal is.
    pub const BASE_URL: &str = "https://api-m.paypal.com";

    /// An account over the shared connections.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Invalid`]: the address.
    pub fn new(settings: PayPalSettings, wire: &Wire) -> Result<Self, ProviderError> {
        Ok(Self {
            wire: wire.clone(),
            base: wire::base_url(&settings.base_url)?,
            client_id: settings.client_id,
            client_secret: settings.client_secret,
            webhook_id: settings.webhook_id,
            token: Mutex::new(None),
        })
    }

    /// A token that holds; whoever finds none asks for it while the others wait.
    async fn token(&self) -> Result<Secret, ProviderError> {
        let mut kept = self.token.lock().await;
        if let Some((token, until)) = kept.as_ref()
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let ask = self
            .wire
            .ask(Method::POST, &self.base, "/v1/oauth2/token")
            .basic_auth(&self.client_id, Some(self.client_secret.expose()))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body("grant_type=client_credentials");
        let told = wire::send(ask, Act::Harmless).await?;
        if !told.is_success() {
            return Err(ProviderError::Authentication);
        }
        let answer: Token = told.json()?;
        let token = Secret::new(answer.access_token);
        let life = Duration::from_secs(answer.expires_in.min(86_400)).saturating_sub(MARGIN);
        *kept = Some((token.clone(), Instant::now() + life));
        Ok(token)
    }

    async fn told(&self, ask: reqwest::RequestBuilder, act: Act) -> Result<Told, ProviderError> {
        let token = self.token().await?;
        let ask = ask.header(header::AUTHORIZATION, wire::secret_header(&token, "Bearer ")?);
        let told = wire::send(ask, act).await;
        if told.as_ref().err() == Some(&ProviderError::Authentication) {
            // It may have been revoked: the next call asks for another.
            *self.token.lock().await = None;
        }
        let told = told?;
        if told.is_success() { Ok(told) } else { Err(told.refusal::<Refusal>().into_error(told.status)) }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ProviderError> {
        self.told(self.wire.ask(Method::GET, &self.base, path), Act::Harmless).await?.json()
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
        body: &impl Serialize,
        act: Act,
    ) -> Result<T, ProviderError> {
        let ask = self
            .wire
            .ask(Method::POST, &self.base, path)
            .header("PayPal-Request-Id", key)
            .header("Prefer", "return=representation")
            .json(body);
        self.told(ask, act).await?.json()
    }

    async fn create_intent(&self, ask: &NewIntent) -> Result<Intent, ProviderError> {
        let description: String = ask.description.chars().take(127).collect();
        let mut body = json!({
            "intent": match ask.capture {
                CaptureMethod::Automatic => "CAPTURE",
                CaptureMethod::Manual => "AUTHORIZE",
            },
            "purchase_units": [{
                "reference_id": ask.reference,
                "custom_id": ask.reference,
                "invoice_id": ask.reference,
                "description": description,
                "amount": amount::to_paypal(ask.amount)?,
            }],
        });
        let act = match &ask.pay_with {
            PayWith::Stored { method_id } => {
                body["payment_source"] = stored(method_id)?;
                Act::Money
            }
            PayWith::Payer => {
                let mut context = json!({ "user_action": "PAY_NOW", "shipping_preference": "NO_SHIPPING" });
                if let Some(return_url) = &ask.return_url {
                    context["return_url"] = json!(return_url);
                    context["cancel_url"] = json!(return_url);
                }
                body["payment_source"] = json!({ "paypal": { "experience_context": context } });
                Act::Harmless
            }
        };
        let order: Order = self.post("/v2/checkout/orders", ask.key.as_str(), &body, act).await?;
        let id = order.id.clone();
        let intent = order.into_intent()?;
        refused(&intent, id).map_or(Ok(intent), Err)
    }

    async fn order(&self, order_id: &str) -> Result<Order, ProviderError> {
        self.get(&format!("/v2/checkout/orders/{}", path_segment(order_id)?)).await
    }

    async fn read_intent(&self, order_id: &str) -> Result<Intent, ProviderError> {
        self.order(order_id).await?.into_intent()
    }

    /// Captures or authorizes what the payer has approved; what is done already is read.
    async fn confirm_intent(&self, ask: &Confirm) -> Result<Intent, ProviderError> {
        let order = self.order(&ask.provider_id).await?;
        let act = if order.is_authorized_first() { "authorize" } else { "capture" };
        let known = order.into_intent()?;
        if !matches!(known.state, IntentState::AwaitingPayer | IntentState::AwaitingConfirmation) {
            return Ok(known);
        }
        let body = match &ask.method_id {
            Some(method_id) => json!({ "payment_source": stored(method_id)? }),
            None => json!({}),
        };
        let path = format!("/v2/checkout/orders/{}/{act}", path_segment(&ask.provider_id)?);
        match self.post::<Order>(&path, ask.key.as_str(), &body, Act::Money).await {
            Ok(_) => {}
            Err(ProviderError::WrongState { code }) if code.ends_with("_ALREADY_CAPTURED") => {}
            Err(ProviderError::WrongState { code }) if code.ends_with("_ALREADY_AUTHORIZED") => {}
            Err(error) => return Err(error),
        }
        let after = self.read_intent(&ask.provider_id).await.map_err(|_| done_unread())?;
        refused(&after, ask.provider_id.clone()).map_or(Ok(after), Err)
    }

    async fn capture_intent(
        &self,
        order_id: &str,
        amount: Option<Money>,
        key: &IdempotencyKey,
    ) -> Result<Intent, ProviderError> {
        let order = self.order(order_id).await?;
        let Some(authorization) = order.authorization() else {
            let code = "NO_AUTHORIZATION".to_owned();
            return Err(ProviderError::WrongState { code });
        };
        let path = format!("/v2/payments/authorizations/{}/capture", path_segment(&authorization)?);
        let mut body = json!({ "final_capture": true });
        if let Some(amount) = amount {
            body["amount"] = amount::to_paypal(amount)?;
        }
        self.post::<CaptureAnswer>(&path, key.as_str(), &body, Act::Money).await?;
        self.read_intent(order_id).await.map_err(|_| done_unread())
    }

    async fn cancel_intent(&self, order_id: &str, key: &IdempotencyKey) -> Result<Intent, ProviderError> {
        let order = self.order(order_id).await?;
        let Some(authorization) = order.authorization() else {
            let operation = Operation::Cancel;
            return Err(ProviderError::Unsupported { provider: ProviderName::PayPal, operation });
        };
        let path = format!("/v2/payments/authorizations/{}/void", path_segment(&authorization)?);
        let ask = self.wire.ask(Method::POST, &self.base, &path).header("PayPal-Request-Id", key.as_str());
        self.told(ask.json(&json!({})), Act::Harmless).await?;
        self.read_intent(order_id).await
    }

    async fn make_refund(&self, ask: &NewRefund) -> Result<Refund, ProviderError> {
        let order = self.order(&ask.payment_id).await?;
        let Some(capture) = order.capture() else {
            return Err(ProviderError::WrongState { code: "NO_CAPTURE".to_owned() });
        };
        let path = format!("/v2/payments/captures/{}/refund", path_segment(&capture)?);
        let body = json!({ "amount": amount::to_paypal(ask.amount)?, "custom_id": ask.reference });
        let refund: RefundAnswer = self.post(&path, ask.key.as_str(), &body, Act::Money).await?;
        refund.into_refund(Some(ask))
    }

    /// The order that a capture is of.
    async fn order_id_of(&self, capture_id: &str) -> Result<String, ProviderError> {
        let path = format!("/v2/payments/captures/{}", path_segment(capture_id)?);
        self.get::<CaptureAnswer>(&path).await?.order_id().ok_or(ProviderError::NotFound)
    }

    async fn dispute(&self, provider_id: &str) -> Result<Dispute, ProviderError> {
        let path = format!("/v1/customer/disputes/{}", path_segment(provider_id)?);
        let dispute: DisputeAnswer = self.get(&path).await?;
        let capture = dispute.capture().ok_or(ProviderError::NotFound)?;
        let order_id = self.order_id_of(&capture).await?;
        dispute.into_dispute(order_id)
    }

    async fn tokens(&self, customer_id: &str) -> Result<Vec<PaymentMethod>, ProviderError> {
        let path =
            format!("/v3/vault/payment-tokens?customer_id={}&page_size=20", path_segment(customer_id)?);
        match self.get::<Tokens>(&path).await {
            Ok(tokens) => Ok(tokens.payment_tokens.into_iter().map(TokenAnswer::into_method).collect()),
            Err(ProviderError::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    async fn attach(&self, customer_id: &str, setup_token: &str) -> Result<PaymentMethod, ProviderError> {
        let body = json!({
            "payment_source": { "token": { "id": path_segment(setup_token)?, "type": "SETUP_TOKEN" } },
            "customer": { "id": path_segment(customer_id)? },
        });
        let token: TokenAnswer =
            self.post("/v3/vault/payment-tokens", setup_token, &body, Act::Harmless).await?;
        Ok(token.into_method())
    }

    async fn detach(&self, customer_id: &str, method_id: &str) -> Result<(), ProviderError> {
        let path = format!("/v3/vault/payment-tokens/{}", path_segment(method_id)?);
        if self.get::<TokenAnswer>(&path).await?.customer_id() != Some(customer_id) {
            return Err(ProviderError::NotFound);
        }
        self.told(self.wire.ask(Method::DELETE, &self.base, &path), Act::Harmless).await.map(drop)
    }

    /// Whether PayPal says that it signed this body for our webhook.
    async fn is_signed(&self, question: String) -> Result<bool, WebhookError> {
        let path = "/v1/notifications/verify-webhook-signature";
        let ask = self.wire.ask(Method::POST, &self.base, path);
        let ask = ask.header(header::CONTENT_TYPE, "application/json").body(question);
        match self.told(ask, Act::Harmless).await {
            Ok(told) => {
                let answer: Value = told.json().map_err(|_| WebhookError::Unchecked)?;
                Ok(answer["verification_status"] == "SUCCESS")
            }
            Err(
                ProviderError::Invalid { .. } | ProviderError::NotFound | ProviderError::WrongState { .. },
            ) => Ok(false),
            Err(_) => Err(WebhookError::Unchecked),
        }
    }
}

/// A stored method as the source of a payment.
fn stored(method_id: &str) -> Result<Value, ProviderError> {
    Ok(json!({ "token": { "id": path_segment(method_id)?, "type": "PAYMENT_METHOD_TOKEN" } }))
}

/// PayPal answers a declined capture with a success in which the capture is declined.
fn refused(intent: &Intent, provider_id: String) -> Option<ProviderError> {
    let code = intent.failure.clone().unwrap_or_else(|| "unknown".to_owned());
    (intent.state == IntentState::Failed)
        .then_some(ProviderError::Declined { code, provider_id: Some(provider_id) })
}

fn done_unread() -> ProviderError {
    Act::Money.unheard("it was done and could not be read")
}

impl PaymentProvider for PayPal {
    fn name(&self) -> ProviderName {
        ProviderName::PayPal
    }

    fn supports(&self, operation: Operation) -> bool {
        !matches!(operation, Operation::Find | Operation::List | Operation::CreateCustomer)
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
            let intent = self.read_intent(&ask.payment_id).await?;
            Ok(intent.refunds.into_iter().find(|refund| refund.reference == Some(ask.reference)))
        }
        .boxed()
    }

    fn read_dispute<'a>(&'a self, provider_id: &'a str) -> Answer<'a, Dispute> {
        self.dispute(provider_id).boxed()
    }

    fn methods<'a>(&'a self, customer_id: &'a str) -> Answer<'a, Vec<PaymentMethod>> {
        self.tokens(customer_id).boxed()
    }

    fn attach_method<'a>(&'a self, customer_id: &'a str, method_id: &'a str) -> Answer<'a, PaymentMethod> {
        self.attach(customer_id, method_id).boxed()
    }

    fn detach_method<'a>(&'a self, customer_id: &'a str, method_id: &'a str) -> Answer<'a, ()> {
        self.detach(customer_id, method_id).boxed()
    }

    fn read_subscription<'a>(&'a self, provider_id: &'a str) -> Answer<'a, ProviderSubscription> {
        async move {
            let path = format!("/v1/billing/subscriptions/{}", path_segment(provider_id)?);
            Ok(self.get::<SubscriptionAnswer>(&path).await?.into_subscription())
        }
        .boxed()
    }

    fn verify_webhook<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<ProviderEvent, WebhookError>> {
        async move {
            let webhook_id = self.webhook_id.as_deref().ok_or(WebhookError::NotSetUp)?;
            let question = webhook::question(webhook_id, headers, body, now)?;
            if self.is_signed(question).await? {
                webhook::event(body)
            } else {
                Err(WebhookError::WrongSignature)
            }
        }
        .boxed()
    }
}
