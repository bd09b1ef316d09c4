//! The cashier: what takes money in and writes down what providers say of it, for requests, webhooks and jobs alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::Clock;
use clinical::event::Event;
use clinical::id::{ClinicId, PaymentId};
use storage::db::{Db, DbError, Tx};
use storage::outbox;
use tracing::info;

use crate::accounts::{AccountError, Accounts};
use crate::books::balances;
use crate::customer::{Customer, PaymentMethod};
use crate::invoice::Invoice;
use crate::ledger::{self, Subject};
use crate::payment::{Payment, PaymentStatus};
use crate::progress::{Mismatch, Progress};
use crate::provider::{
    CaptureMethod, IdempotencyKey, Intent, NewIntent, NewRefund, PayWith, PaymentProvider, ProviderError,
};
use crate::returned::{Dispute, Refund, RefundStatus};

/// Every provider remembers our keys for longer, PayPal for six hours: so long the same request may be sent again.
const KEYS_HOLD: TimeDelta = TimeDelta::hours(5);
/// So soon after it was asked a payment is looked after.
pub(crate) const FIRST_LOOK: TimeDelta = TimeDelta::seconds(60);
/// A payment that nobody has finished after so long is looked after no more.
pub(crate) const LAST_LOOK: TimeDelta = TimeDelta::days(8);

/// Why a payment was not settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The account cannot be asked.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The provider did not answer what was asked.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The provider tells of another payment.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
}

impl SettleError {
    /// Whether the provider may answer later.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Provider(error) if error.is_passing())
    }
}

/// Takes money in through the clinics' accounts; cheap to clone.
#[derive(Clone)]
pub struct Cashier {
    pub(crate) db: Db,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) accounts: Accounts,
    public_url: Arc<str>,
}

impl Cashier {
    /// `public_url` is where providers reach this service, without a slash at the end.
    pub fn new(db: Db, clock: Arc<dyn Clock>, accounts: Accounts, public_url: &str) -> Self {
        Self { db, clock, accounts, public_url: public_url.trim_end_matches('/').into() }
    }

    /// Where a provider tells of a clinic's payments.
    pub(crate) fn webhook_url(&self, clinic: ClinicId, provider: &str) -> String {
        format!("{}/api/payments/webhooks/{provider}/{clinic}", self.public_url)
    }

    /// What the provider is asked for a payment; the same payment always asks for the same.
    pub(crate) async fn ask_of(&self, clinic: ClinicId, payment: &Payment) -> Result<NewIntent, DbError> {
        let db = self.db.of(clinic);
        let mut rows = db.read().await?;
        let customer_id = match payment.customer_id {
            Some(customer) => Customer::name_at(&mut rows, clinic, customer, payment.provider).await?,
            None => None,
        };
        let pay_with = match payment.method_id {
            Some(method) => {
                let method = PaymentMethod::find(&mut rows, clinic, method).await?;
                PayWith::Stored { method_id: method.provider_ref }
            }
            None => PayWith::Payer,
        };
        let capture = if payment.captures_later { CaptureMethod::Manual } else { CaptureMethod::Automatic };
        Ok(NewIntent {
            amount: payment.amount(),
            reference: payment.payment_id.0,
            key: IdempotencyKey::of(payment.payment_id.0, "create"),
            customer_id,
            description: payment.description.clone(),
            capture,
            pay_with,
            return_url: payment.return_url.clone(),
            webhook_url: Some(self.webhook_url(clinic, payment.provider.as_str())),
        })
    }

    /// Writes down what is told of a payment: one transaction for state, invoice, books and events.
    ///
    /// # Errors
    ///
    /// [`SettleError`]; nothing has changed then.
    pub(crate) async fn take_in(
        &self,
        clinic: ClinicId,
        id: PaymentId,
        told: impl FnOnce(&mut Progress, DateTime<Utc>) -> Result<(), Mismatch>,
    ) -> Result<Progress, SettleError> {
        let mut tx = self.db.of(clinic).begin().await?;
        let progress = self.take_in_with(&mut tx, clinic, id, told).await?;
        tx.commit().await?;
        Ok(progress)
    }

    /// As [`Cashier::take_in`], as a part of `tx`.
    pub(crate) async fn take_in_with(
        &self,
        tx: &mut Tx,
        clinic: ClinicId,
        id: PaymentId,
        told: impl FnOnce(&mut Progress, DateTime<Utc>) -> Result<(), Mismatch>,
    ) -> Result<Progress, SettleError> {
        take_in_at(tx, clinic, id, self.clock.now(), told).await
    }

    /// Asks the provider what became of a payment, and writes it down.
    ///
    /// One whose first question was never answered is asked for again under its key, which makes it once however
    /// often it is asked for.
    ///
    /// # Errors
    ///
    /// [`SettleError`]; nothing has changed then.
    pub async fn settle(&self, clinic: ClinicId, id: PaymentId) -> Result<Payment, SettleError> {
        let payment = Payment::find(&mut self.db.of(clinic).read().await?, clinic, id).await?;
        let account = self.accounts.of(clinic, payment.provider).await?;
        let progress = match self.told_of(clinic, &payment, &*account).await? {
            Some(intent) => self.take_in(clinic, id, |known, now| known.join(&intent, now)).await?,
            None => {
                let lost = |known: &mut Progress, _| {
                    if known.payment.status == PaymentStatus::Asked {
                        known.payment.status = PaymentStatus::Failed;
                        known.payment.failure = Some("never-asked".to_owned());
                    }
                    Ok(())
                };
                self.take_in(clinic, id, lost).await?
            }
        };
        for refund in progress.refunds.iter().filter(|it| it.status.is_under_way()) {
            self.settle_refund(clinic, &progress.payment, refund, &*account).await?;
        }
        Ok(progress.payment)
    }

    async fn told_of(
        &self,
        clinic: ClinicId,
        payment: &Payment,
        account: &dyn PaymentProvider,
    ) -> Result<Option<Intent>, SettleError> {
        if let Some(name) = &payment.provider_ref {
            return Ok(Some(account.read(name).await?));
        }
        if payment.status != PaymentStatus::Asked {
            return Ok(None);
        }
        if self.clock.now() - payment.created_at < KEYS_HOLD {
            let ask = self.ask_of(clinic, payment).await?;
            return match account.create(&ask).await {
                Ok(intent) => Ok(Some(intent)),
                Err(ProviderError::Declined { code, .. }) => {
                    self.declined(clinic, payment.payment_id, &code).await?;
                    Ok(None)
                }
                // Keys that no longer open the account say nothing of what they did before.
                Err(error @ ProviderError::Authentication) => Err(error.into()),
                Err(error) if error.is_passing() => Err(error.into()),
                // The provider refuses to make it, and it was not made before.
                Err(error) => {
                    self.declined(clinic, payment.payment_id, code_of(&error)).await?;
                    Ok(None)
                }
            };
        }
        Ok(account.find(payment.payment_id.0, payment.created_at).await?)
    }

    /// Writes down that a payment failed.
    pub(crate) async fn declined(
        &self,
        clinic: ClinicId,
        id: PaymentId,
        code: &str,
    ) -> Result<Progress, SettleError> {
        let failed = |known: &mut Progress, _| {
            known.payment.status = known.payment.status.max(PaymentStatus::Failed);
            known.payment.failure = Some(code.chars().take(200).collect());
            Ok(())
        };
        self.take_in(clinic, id, failed).await
    }

    /// Asks what became of a refund that is on its way, or whose question was never answered, and writes it down.
    async fn settle_refund(
        &self,
        clinic: ClinicId,
        payment: &Payment,
        refund: &Refund,
        account: &dyn PaymentProvider,
    ) -> Result<(), SettleError> {
        let Some(ask) = refund_ask(payment, refund) else { return Ok(()) };
        let told = match account.find_refund(&ask).await? {
            Some(told) => Ok(told),
            None if refund.status == RefundStatus::Pending => return Ok(()),
            // Under its key it is made once, whether or not it was made before.
            None => account.refund(&ask).await,
        };
        match told {
            Ok(told) => {
                self.take_in(clinic, payment.payment_id, |known, now| {
                    known.join_refund(&told, now);
                    Ok(())
                })
                .await?;
            }
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => self.refund_failed(clinic, payment.payment_id, refund, &error).await?,
        }
        Ok(())
    }

    /// Writes down that a refund was refused.
    pub(crate) async fn refund_failed(
        &self,
        clinic: ClinicId,
        payment: PaymentId,
        refund: &Refund,
        error: &ProviderError,
    ) -> Result<(), SettleError> {
        info!(refund.id = %refund.refund_id, %error, "a refund was refused");
        self.take_in(clinic, payment, |known, _| {
            for it in known.refunds.iter_mut().filter(|it| it.refund_id == refund.refund_id) {
                it.status = it.status.max(RefundStatus::Failed);
            }
            Ok(())
        })
        .await?;
        Ok(())
    }
}

/// Writes down what is told of a payment, at that time, as a part of `tx`.
pub(crate) async fn take_in_at(
    tx: &mut Tx,
    clinic: ClinicId,
    id: PaymentId,
    now: DateTime<Utc>,
    told: impl FnOnce(&mut Progress, DateTime<Utc>) -> Result<(), Mismatch>,
) -> Result<Progress, SettleError> {
    // The invoice first, always, so that two payments of one never wait for one another.
    let invoice = match Payment::find(tx, clinic, id).await?.invoice_id {
        Some(invoice) => Some(Invoice::hold(tx, clinic, invoice).await?),
        None => None,
    };
    let mut progress = Progress {
        payment: Payment::hold(tx, clinic, id).await?,
        refunds: Refund::of(tx, clinic, id).await?,
        disputes: Dispute::of(tx, clinic, id).await?,
    };
    let before = progress.clone();
    told(&mut progress, now)?;
    if progress == before {
        return Ok(progress);
    }
    progress.payment.changed_at = now;
    progress.payment.save(tx, clinic).await?;
    for refund in progress.refunds.iter().filter(|it| !before.refunds.contains(it)) {
        refund.put(tx, clinic, now).await?;
    }
    for dispute in progress.disputes.iter().filter(|it| !before.disputes.contains(it)) {
        dispute.put(tx, clinic).await?;
    }
    for event in events(&before.payment, &progress.payment) {
        outbox::tell(tx, clinic, &event, now).await?;
    }
    match invoice {
        Some(mut invoice) => invoice.settle(tx, clinic, now).await?,
        None => book_alone(tx, clinic, &progress.payment, now).await?,
    }
    Ok(progress)
}

/// What the provider is asked for a refund; `None` where it never heard of the payment.
pub(crate) fn refund_ask(payment: &Payment, refund: &Refund) -> Option<NewRefund> {
    Some(NewRefund {
        payment_id: payment.provider_ref.clone()?,
        amount: clinical::money::Money::new(refund.amount_minor, refund.currency),
        reference: refund.refund_id.0,
        payment_reference: payment.payment_id.0,
        key: IdempotencyKey::of(refund.refund_id.0, "refund"),
    })
}

/// A refusal in a word.
pub(crate) fn code_of(error: &ProviderError) -> &str {
    match error {
        ProviderError::Declined { code, .. }
        | ProviderError::Invalid { code }
        | ProviderError::WrongState { code } => code,
        ProviderError::NotFound => "not-found",
        ProviderError::Authentication => "authentication",
        ProviderError::RateLimited { .. } => "rate-limited",
        ProviderError::Unreachable { .. } => "unreachable",
        ProviderError::Unsupported { .. } => "unsupported",
    }
}

/// Books a payment that belongs to no invoice.
async fn book_alone(
    tx: &mut Tx,
    clinic: ClinicId,
    payment: &Payment,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let wanted: BTreeMap<_, _> = balances(None, &[payment.as_booked()])
        .into_iter()
        .map(|(account, minor)| (account.code(), minor))
        .collect();
    let subject = Subject::Payment(payment.payment_id);
    ledger::book(tx, clinic, subject, payment.currency, &wanted, now).await.map(|_| ())
}

/// What has happened between two states of a payment.
fn events(before: &Payment, after: &Payment) -> Vec<Event> {
    let Payment { payment_id, invoice_id, patient_id, currency, .. } = *after;
    let mut events = Vec::new();
    let came_in = after.captured_minor - before.captured_minor;
    if came_in > 0 {
        let amount_minor = came_in;
        events.push(Event::PaymentSucceeded { payment_id, invoice_id, patient_id, amount_minor, currency });
    }
    if after.status == PaymentStatus::Failed && before.status != PaymentStatus::Failed {
        let amount_minor = after.amount_minor;
        events.push(Event::PaymentFailed { payment_id, invoice_id, patient_id, amount_minor, currency });
    }
    let went_back = after.refunded_minor - before.refunded_minor;
    if went_back > 0 {
        let amount_minor = went_back;
        events.push(Event::PaymentRefunded { payment_id, invoice_id, patient_id, amount_minor, currency });
    }
    let taken = |it: &Payment| it.disputed_minor + it.lost_minor;
    let amount_minor = taken(after) - taken(before);
    if amount_minor != 0 {
        events.push(Event::PaymentDisputed { payment_id, patient_id, amount_minor, currency });
    }
    events
}
