//! A provider in memory that keeps its promises: one act a key, states that follow one another, answers that get lost.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use billing::provider::{
    Answer, CaptureMethod, Confirm, Customer, Dispute, DisputeState, IdempotencyKey, Intent, IntentState,
    NewCustomer, NewIntent, NewRefund, NextStep, Operation, Page, PayWith, PaymentMethod, PaymentProvider,
    ProviderError, ProviderEvent, ProviderName, ProviderSubscription, Refund, RefundState, Subject,
    WebhookError,
};
use chrono::{DateTime, Utc};
use clinical::money::Money;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::HeaderMap;
use uuid::Uuid;

/// What the provider does with the next requests that would move money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It does what it is asked and says so.
    Well,
    /// It does it, and the answer is lost.
    AnswerLost,
    /// It is not reached.
    Away,
    /// It says no.
    Declines,
    /// It asks to wait, and does nothing.
    Busy,
    /// It does not accept our keys any more.
    Locked,
    /// It gives money back, but not at once.
    Slow,
}

#[derive(Debug)]
struct State {
    mood: Mood,
    intents: BTreeMap<String, Intent>,
    by_key: HashMap<String, String>,
    refunds_by_key: HashMap<String, Refund>,
    disputes: BTreeMap<String, Dispute>,
    subscriptions: BTreeMap<String, ProviderSubscription>,
    methods: Vec<PaymentMethod>,
    /// How often a charge was really made.
    charges: usize,
    calls: usize,
}

/// The fake; cheap to clone.
#[derive(Debug, Clone)]
pub struct Fake {
    name: ProviderName,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub fn new(name: ProviderName) -> Self {
        let state = State {
            mood: Mood::Well,
            intents: BTreeMap::new(),
            by_key: HashMap::new(),
            refunds_by_key: HashMap::new(),
            disputes: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            methods: Vec::new(),
            charges: 0,
            calls: 0,
        };
        Self { name, state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn be(&self, mood: Mood) {
        self.state().mood = mood;
    }

    pub fn charges(&self) -> usize {
        self.state().charges
    }

    pub fn calls(&self) -> usize {
        self.state().calls
    }

    pub fn intents(&self) -> usize {
        self.state().intents.len()
    }

    /// The payer pays at the provider.
    pub fn pay(&self, id: &str) {
        let mut state = self.state();
        state.charges += 1;
        let intent = state.intents.get_mut(id).unwrap();
        intent.state = IntentState::Succeeded;
        intent.captured = intent.amount;
        intent.next = None;
    }

    /// The payer's bank says no.
    pub fn decline(&self, id: &str) {
        let mut state = self.state();
        let intent = state.intents.get_mut(id).unwrap();
        intent.state = IntentState::Failed;
        intent.failure = Some("insufficient_funds".into());
    }

    /// Somebody gives money back in the provider's dashboard.
    pub fn refund_outside(&self, id: &str, minor: i64) {
        let mut state = self.state();
        let intent = state.intents.get_mut(id).unwrap();
        let amount = Money::new(minor, intent.amount.currency);
        let provider_id = format!("re_outside_{}", intent.refunds.len());
        intent.refunds.push(Refund { provider_id, reference: None, amount, state: RefundState::Succeeded });
    }

    /// The payer's bank disputes a payment, or ends that.
    pub fn dispute(&self, id: &str, minor: i64, state: DisputeState) {
        let mut all = self.state();
        let currency = all.intents[id].amount.currency;
        let dispute = Dispute {
            provider_id: format!("dp_{id}"),
            payment_id: id.to_owned(),
            amount: Money::new(minor, currency),
            state,
            reason: Some("fraudulent".into()),
        };
        all.disputes.insert(dispute.provider_id.clone(), dispute);
    }

    pub fn keep_subscription(&self, subscription: ProviderSubscription) {
        self.state().subscriptions.insert(subscription.provider_id.clone(), subscription);
    }

    pub fn refunds(&self, id: &str) -> Vec<Refund> {
        self.state().intents[id].refunds.clone()
    }

    /// How many refunds it was asked for by us.
    pub fn refunds_asked(&self) -> usize {
        self.state().refunds_by_key.len()
    }

    /// What was on its way has arrived; only who asks for the refund itself hears of it.
    pub fn finish_refunds(&self) {
        self.state().refunds_by_key.values_mut().for_each(|it| it.state = RefundState::Succeeded);
    }

    /// The card of a method ends with this month.
    pub fn expire_methods(&self, month: u8, year: u16) {
        self.state().methods.iter_mut().for_each(|it| it.expires = Some((month, year)));
    }

    /// Somebody forgets every method in the provider's dashboard.
    pub fn forget_methods(&self) {
        self.state().methods.clear();
    }

    fn mood(&self) -> Result<Mood, ProviderError> {
        let mut state = self.state();
        state.calls += 1;
        match state.mood {
            Mood::Away => Err(ProviderError::Unreachable { may_have_charged: false, why: "no connection" }),
            Mood::Busy => Err(ProviderError::RateLimited { retry_after: None }),
            Mood::Locked => Err(ProviderError::Authentication),
            mood => Ok(mood),
        }
    }

    fn made(&self, ask: &NewIntent) -> Result<Intent, ProviderError> {
        let mood = self.mood()?;
        let is_stored = matches!(ask.pay_with, PayWith::Stored { .. });
        let mut state = self.state();
        if let Some(known) = state.by_key.get(ask.key.as_str()) {
            return Ok(state.intents[known].clone());
        }
        if mood == Mood::Declines && is_stored {
            return Err(ProviderError::Declined { code: "card_declined".into(), provider_id: None });
        }
        let provider_id = format!("pi_{}_{}", self.name, state.intents.len() + 1);
        let is_automatic = ask.capture == CaptureMethod::Automatic;
        let (status, captured) = match (is_stored, is_automatic) {
            (true, true) => (IntentState::Succeeded, ask.amount),
            (true, false) => (IntentState::Authorized, Money::zero(ask.amount.currency)),
            (false, _) => (IntentState::AwaitingPayer, Money::zero(ask.amount.currency)),
        };
        if is_stored && is_automatic {
            state.charges += 1;
        }
        let intent = Intent {
            provider_id: provider_id.clone(),
            reference: Some(ask.reference),
            state: status,
            amount: ask.amount,
            captured,
            refunded: None,
            refunds: Vec::new(),
            next: (!is_stored).then(|| NextStep::ClientSecret(format!("{provider_id}_secret"))),
            failure: None,
            method_id: None,
            created_at: None,
        };
        state.by_key.insert(ask.key.as_str().to_owned(), provider_id.clone());
        state.intents.insert(provider_id, intent.clone());
        match mood {
            Mood::AnswerLost => {
                Err(ProviderError::Unreachable { may_have_charged: is_stored, why: "no answer in time" })
            }
            _ => Ok(intent),
        }
    }

    fn known(&self, id: &str) -> Result<Intent, ProviderError> {
        self.mood()?;
        self.state().intents.get(id).cloned().ok_or(ProviderError::NotFound)
    }

    fn given_back(&self, ask: &NewRefund) -> Result<Refund, ProviderError> {
        let mood = self.mood()?;
        let mut state = self.state();
        if let Some(known) = state.refunds_by_key.get(ask.key.as_str()) {
            return Ok(known.clone());
        }
        let number = state.refunds_by_key.len() + 1;
        let refund = Refund {
            provider_id: format!("re_{number}"),
            reference: Some(ask.reference),
            amount: ask.amount,
            state: if mood == Mood::Slow { RefundState::Pending } else { RefundState::Succeeded },
        };
        let intent = state.intents.get_mut(&ask.payment_id).ok_or(ProviderError::NotFound)?;
        let gone: i64 = intent.refunds.iter().map(|it| it.amount.minor).sum();
        if gone + ask.amount.minor > intent.captured.minor {
            return Err(ProviderError::WrongState { code: "charge_already_refunded".into() });
        }
        intent.refunds.push(refund.clone());
        state.refunds_by_key.insert(ask.key.as_str().to_owned(), refund.clone());
        match mood {
            Mood::AnswerLost => {
                Err(ProviderError::Unreachable { may_have_charged: true, why: "no answer in time" })
            }
            _ => Ok(refund),
        }
    }
}

fn now<'a, T: Send + 'a>(answer: Result<T, ProviderError>) -> Answer<'a, T> {
    async move {
        tokio::task::yield_now().await;
        answer
    }
    .boxed()
}

impl PaymentProvider for Fake {
    fn name(&self) -> ProviderName {
        self.name
    }

    fn supports(&self, _: Operation) -> bool {
        true
    }

    fn create<'a>(&'a self, ask: &'a NewIntent) -> Answer<'a, Intent> {
        now(self.made(ask))
    }

    fn read<'a>(&'a self, provider_id: &'a str) -> Answer<'a, Intent> {
        now(self.known(provider_id))
    }

    fn read_about<'a>(&'a self, subject: &'a Subject) -> Answer<'a, Intent> {
        match subject {
            Subject::Payment(id) | Subject::Charge(id) => now(self.known(id)),
            _ => now(Err(ProviderError::NotFound)),
        }
    }

    fn find<'a>(&'a self, reference: Uuid, _: DateTime<Utc>) -> Answer<'a, Option<Intent>> {
        let found = self.state().intents.values().find(|it| it.reference == Some(reference)).cloned();
        now(self.mood().map(|_| found))
    }

    fn confirm<'a>(&'a self, ask: &'a Confirm) -> Answer<'a, Intent> {
        now(self.known(&ask.provider_id))
    }

    fn capture<'a>(
        &'a self,
        id: &'a str,
        amount: Option<Money>,
        _: &'a IdempotencyKey,
    ) -> Answer<'a, Intent> {
        let mut captured = self.known(id);
        if let Ok(intent) = &mut captured {
            intent.state = IntentState::Succeeded;
            intent.captured = amount.unwrap_or(intent.amount);
            self.state().intents.insert(id.to_owned(), intent.clone());
        }
        now(captured)
    }

    fn cancel<'a>(&'a self, id: &'a str, _: &'a IdempotencyKey) -> Answer<'a, Intent> {
        let mut canceled = self.known(id);
        if let Ok(intent) = &mut canceled {
            if intent.state == IntentState::Succeeded {
                return now(Err(ProviderError::WrongState { code: "succeeded".into() }));
            }
            intent.state = IntentState::Canceled;
            self.state().intents.insert(id.to_owned(), intent.clone());
        }
        now(canceled)
    }

    fn refund<'a>(&'a self, ask: &'a NewRefund) -> Answer<'a, Refund> {
        now(self.given_back(ask))
    }

    fn find_refund<'a>(&'a self, ask: &'a NewRefund) -> Answer<'a, Option<Refund>> {
        let found = self.state().refunds_by_key.get(ask.key.as_str()).cloned();
        now(self.mood().map(|_| found))
    }

    fn read_dispute<'a>(&'a self, id: &'a str) -> Answer<'a, Dispute> {
        let found = self.state().disputes.get(id).cloned().ok_or(ProviderError::NotFound);
        now(self.mood().and(found))
    }

    fn list_since<'a>(&'a self, _: DateTime<Utc>, _: Option<&'a str>) -> Answer<'a, Page<Intent>> {
        let items = self.state().intents.values().cloned().collect();
        now(self.mood().map(|_| Page { items, next: None }))
    }

    fn create_customer<'a>(&'a self, ask: &'a NewCustomer) -> Answer<'a, Customer> {
        let provider_id = format!("cus_{}", ask.reference.simple());
        now(self.mood().map(|_| Customer { provider_id }))
    }

    fn methods<'a>(&'a self, _: &'a str) -> Answer<'a, Vec<PaymentMethod>> {
        now(self.mood().map(|_| self.state().methods.clone()))
    }

    fn attach_method<'a>(&'a self, _: &'a str, method: &'a str) -> Answer<'a, PaymentMethod> {
        let kept = PaymentMethod {
            provider_id: method.to_owned(),
            kind: "card".into(),
            brand: Some("visa".into()),
            last4: Some("4242".into()),
            expires: Some((12, 2030)),
        };
        let attached = self.mood().map(|_| self.state().methods.push(kept.clone()));
        now(attached.map(|()| kept))
    }

    fn detach_method<'a>(&'a self, _: &'a str, method: &'a str) -> Answer<'a, ()> {
        now(self.mood().map(|_| self.state().methods.retain(|it| it.provider_id != method)))
    }

    fn read_subscription<'a>(&'a self, id: &'a str) -> Answer<'a, ProviderSubscription> {
        let found = self.state().subscriptions.get(id).cloned().ok_or(ProviderError::NotFound);
        now(self.mood().and(found))
    }

    /// Signed by the name of the provider; the body is the event.
    fn verify_webhook<'a>(
        &'a self,
        headers: &'a HeaderMap,
        body: &'a [u8],
        _: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<ProviderEvent, WebhookError>> {
        let signature = headers.get("x-fake-signature").and_then(|value| value.to_str().ok());
        let event = match signature {
            None => Err(WebhookError::NotSigned),
            Some(name) if name != self.name.as_str() => Err(WebhookError::WrongSignature),
            Some(_) => read(body).ok_or(WebhookError::Malformed),
        };
        async move { event }.boxed()
    }
}

fn read(body: &[u8]) -> Option<ProviderEvent> {
    let event: serde_json::Value = serde_json::from_slice(body).ok()?;
    Some(ProviderEvent {
        event_id: event.get("id")?.as_str()?.to_owned(),
        kind: event.get("type")?.as_str()?.to_owned(),
        subject: serde_json::from_value(event.get("subject")?.clone()).ok()?,
        account: None,
        happened_at: event.get("created").and_then(|at| DateTime::from_timestamp(at.as_i64()?, 0)),
    })
}
