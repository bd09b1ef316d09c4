//! A payment is begun: written down, asked of a provider, written down again. No transaction is open while it is asked.

use clinical::id::{ClinicId, CustomerId, InvoiceId, PatientId, PaymentId, PaymentMethodId};
use clinical::job::{Job, Priority};
use clinical::money::Money;
use gate::{Caller, Problem};
use http::StatusCode;
use storage::db::{DbError, Tx};
use storage::queue;
use tracing::warn;

use crate::accounts::AccountError;
use crate::cashier::{Cashier, FIRST_LOOK, SettleError, code_of};
use crate::customer::PaymentMethod;
use crate::invoice::Invoice;
use crate::payment::{Payment, PaymentStatus};
use crate::provider::{IdempotencyKey, NextStep, Operation, ProviderError, ProviderName};
use crate::settings::BillingSettings;

/// A payment that somebody wants to make.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// What it pays; the sum and the rest are the invoice's then.
    pub invoice: Option<InvoiceId>,
    /// How much; `None`: all that the invoice still asks for.
    pub amount: Option<Money>,
    pub customer: Option<CustomerId>,
    pub patient: Option<PatientId>,
    /// A stored method that is charged at once.
    pub method: Option<PaymentMethodId>,
    pub provider: Option<ProviderName>,
    pub country: Option<String>,
    pub description: String,
    pub captures_later: bool,
    pub return_url: Option<String>,
    pub by: String,
}

/// A payment that has begun.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    pub payment: Payment,
    /// What the payer's side needs.
    pub next: Option<NextStep>,
}

/// Why no payment has begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error("the invoice asks for nothing")]
    NotOwed,
    #[error("the sum is not one that the invoice asks for")]
    WrongSum,
    #[error("another payment of the invoice is under way")]
    UnderWay,
    #[error("no provider is set up for this money")]
    NoProvider,
    #[error("the payment was declined")]
    Declined { code: String },
    #[error("no provider could be reached")]
    Unreachable { code: String },
}

impl From<DbError> for CollectError {
    fn from(error: DbError) -> Self {
        Self::Settle(error.into())
    }
}

impl From<AccountError> for CollectError {
    fn from(error: AccountError) -> Self {
        Self::Settle(error.into())
    }
}

impl From<CollectError> for Problem {
    fn from(error: CollectError) -> Self {
        let detail = error.to_string();
        match error {
            CollectError::Settle(error) => error.into(),
            CollectError::NotOwed => Self::conflict("nothing-owed", detail),
            CollectError::WrongSum => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "amount-not-owed", detail),
            CollectError::UnderWay => Self::conflict("payment-under-way", detail),
            CollectError::NoProvider => Self::conflict("no-provider", detail),
            CollectError::Declined { code } => {
                Self::new(StatusCode::PAYMENT_REQUIRED, "payment-declined", format!("{detail}: {code}"))
            }
            CollectError::Unreachable { code } => {
                Self::new(StatusCode::BAD_GATEWAY, "provider-unreachable", format!("{detail}: {code}"))
            }
        }
    }
}

impl From<SettleError> for Problem {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Database(error) => error.into(),
            SettleError::Account(AccountError::Database(error)) => error.into(),
            SettleError::Account(error @ AccountError::NotSetUp(_)) => {
                Self::conflict("no-provider", error.to_string())
            }
            SettleError::Account(error) => Self::internal("account-failed", &error),
            SettleError::Provider(error) => {
                let detail = error.to_string();
                match error {
                    ProviderError::Declined { .. } => {
                        Self::new(StatusCode::PAYMENT_REQUIRED, "payment-declined", detail)
                    }
                    ProviderError::Invalid { .. } => {
                        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "provider-refused", detail)
                    }
                    ProviderError::WrongState { .. } => Self::conflict("wrong-state", detail),
                    ProviderError::Unsupported { .. } => Self::conflict("not-supported", detail),
                    ProviderError::NotFound => Self::conflict("unknown-to-provider", detail),
                    ProviderError::Authentication
                    | ProviderError::RateLimited { .. }
                    | ProviderError::Unreachable { .. } => {
                        Self::new(StatusCode::BAD_GATEWAY, "provider-unreachable", detail)
                    }
                }
            }
            SettleError::Mismatch(mismatch) => {
                Self::new(StatusCode::BAD_GATEWAY, "provider-mismatch", mismatch.to_string())
            }
        }
    }
}

impl Begun {
    /// Whether the provider has not said yet what is to be done: it is asked again.
    pub(crate) fn is_open(&self) -> bool {
        let waits = matches!(self.payment.status, PaymentStatus::RequiresAction);
        self.payment.status == PaymentStatus::Asked || waits && self.next.is_none()
    }
}

/// What there is to be asked of the provider.
enum Written {
    /// A payment that nobody was asked for before.
    New(Payment),
    /// The same one, which was begun already and on which the payer has not acted: it may have been made.
    Known(Payment),
    /// One that was begun for another sum or in another way, and on which the payer has not acted, stands in the way.
    InTheWay(Payment),
}

impl Cashier {
    /// Begins a payment. Asked for again while the payer has not acted, the same payment is answered.
    ///
    /// # Errors
    ///
    /// [`CollectError`]. The next provider is asked only where the one before cannot have charged.
    pub(crate) async fn collect(
        &self,
        clinic: ClinicId,
        wanted: &Wanted,
        caller: Option<&Caller>,
    ) -> Result<Begun, CollectError> {
        let mut refusal = None;
        for name in self.order(clinic, wanted).await? {
            let account = match self.accounts.of(clinic, name).await {
                Ok(account) => account,
                Err(AccountError::NotSetUp(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            if wanted.captures_later && !account.supports(Operation::Capture)
                || wanted.method.is_some() && !account.supports(Operation::ChargeStored)
            {
                continue;
            }
            let by = caller.filter(|_| refusal.is_none());
            let written = match self.write_down(clinic, wanted, name, by).await? {
                Written::InTheWay(other) => {
                    self.give_up(clinic, &other).await?;
                    self.write_down(clinic, wanted, name, by).await?
                }
                written => written,
            };
            let (payment, is_new) = match written {
                Written::New(payment) => (payment, true),
                Written::Known(payment) => (payment, false),
                Written::InTheWay(_) => return Err(CollectError::UnderWay),
            };
            let asked = match &payment.provider_ref {
                Some(known) => match account.read(known).await {
                    Ok(intent) if intent.next.is_none() && !intent.state.is_final() => {
                        account.create(&self.ask_of(clinic, &payment).await?).await
                    }
                    told => told,
                },
                None => account.create(&self.ask_of(clinic, &payment).await?).await,
            };
            match asked {
                Ok(intent) => {
                    let id = payment.payment_id;
                    let known = self.take_in(clinic, id, |known, now| known.join(&intent, now)).await?;
                    let next = intent.next.or_else(|| known.payment.next());
                    return Ok(Begun { payment: known.payment, next });
                }
                Err(ProviderError::Declined { code, .. }) => {
                    self.declined(clinic, payment.payment_id, &code).await?;
                    return Err(CollectError::Declined { code });
                }
                Err(error) if error.may_have_charged() || !is_new && error.says_nothing() => {
                    // The job that looks after it asks again, under the same key.
                    warn!(payment.id = %payment.payment_id, %error, "a payment is left to be settled later");
                    return Ok(Begun { payment, next: None });
                }
                Err(error) => {
                    warn!(provider = %name, %error, "a provider is passed over");
                    let code = code_of(&error).to_owned();
                    self.declined(clinic, payment.payment_id, &code).await?;
                    // That one could not be reached says more than that the next does not take such money.
                    if error.is_passing() || refusal.is_none() {
                        refusal = Some(code);
                    }
                }
            }
        }
        Err(refusal.map_or(CollectError::NoProvider, |code| CollectError::Unreachable { code }))
    }

    /// Whom to ask, the first first.
    async fn order(&self, clinic: ClinicId, wanted: &Wanted) -> Result<Vec<ProviderName>, CollectError> {
        let db = self.db.of(clinic);
        let mut rows = db.read().await?;
        if let Some(method) = wanted.method {
            return Ok(vec![PaymentMethod::find(&mut rows, clinic, method).await?.provider]);
        }
        if let Some(name) = wanted.provider {
            return Ok(vec![name]);
        }
        let currency = match (wanted.amount, wanted.invoice) {
            (Some(amount), _) => amount.currency,
            (None, Some(invoice)) => Invoice::find(&mut rows, clinic, invoice).await?.currency,
            (None, None) => return Err(CollectError::WrongSum),
        };
        let settings = BillingSettings::of(&mut rows, clinic).await?;
        let mut order = settings.providers(currency, wanted.country.as_deref());
        if let Some(invoice) = wanted.invoice {
            // Whom the payer was led to already stays the first, though another was passed over for it.
            let payments = Payment::of_invoice(&mut rows, clinic, invoice).await?;
            let present = payments.into_iter().find(|it| it.status.is_under_way());
            order.sort_by_key(|name| present.as_ref().is_none_or(|it| it.provider != *name));
        }
        Ok(order)
    }

    /// Step one: the row of the payment, and the job that looks after it whatever becomes of this process.
    async fn write_down(
        &self,
        clinic: ClinicId,
        wanted: &Wanted,
        provider: ProviderName,
        caller: Option<&Caller>,
    ) -> Result<Written, CollectError> {
        let mut tx = self.db.of(clinic).begin().await?;
        let payment = match wanted.invoice {
            Some(id) => {
                let invoice = Invoice::hold(&mut tx, clinic, id).await?;
                let amount = owed(&invoice, wanted)?;
                match under_way(&mut tx, clinic, &invoice, wanted, provider, amount).await? {
                    Some(Written::Known(same)) => {
                        write_down_by(&mut tx, caller, &same).await?;
                        tx.commit().await?;
                        return Ok(Written::Known(same));
                    }
                    Some(in_the_way) => return Ok(in_the_way),
                    None => Payment {
                        patient_id: invoice.patient_id,
                        customer_id: wanted.customer.or(invoice.customer_id),
                        description: invoice.number.map_or(String::new(), |it| format!("Invoice {it}")),
                        ..self.blank(wanted, provider, amount)
                    },
                }
            }
            None => self.blank(wanted, provider, wanted.amount.ok_or(CollectError::WrongSum)?),
        };
        let customer_id = match wanted.method {
            Some(method) => Some(PaymentMethod::find(&mut tx, clinic, method).await?.customer_id),
            None => payment.customer_id,
        };
        let payment = Payment { customer_id, ..payment };
        payment.insert(&mut tx, clinic).await?;
        let now = payment.created_at;
        let job = Job::SettlePayment { payment_id: payment.payment_id };
        queue::ask(&mut tx, clinic, &job, Priority::Routine, now + FIRST_LOOK, now).await?;
        write_down_by(&mut tx, caller, &payment).await?;
        tx.commit().await?;
        Ok(Written::New(payment))
    }

    fn blank(&self, wanted: &Wanted, provider: ProviderName, amount: Money) -> Payment {
        let now = self.clock.now();
        Payment {
            payment_id: PaymentId::new(),
            invoice_id: wanted.invoice,
            customer_id: wanted.customer,
            patient_id: wanted.patient,
            method_id: wanted.method,
            provider,
            provider_ref: None,
            status: PaymentStatus::Asked,
            currency: amount.currency,
            amount_minor: amount.minor,
            captured_minor: 0,
            refunded_minor: 0,
            disputed_minor: 0,
            lost_minor: 0,
            description: wanted.description.clone(),
            captures_later: wanted.captures_later,
            return_url: wanted.return_url.clone(),
            failure: None,
            created_by: wanted.by.clone(),
            created_at: now,
            changed_at: now,
            settled_at: None,
            confirmed_at: None,
            payer_url: None,
        }
    }

    /// Gives a payment up that nobody has acted on; where the provider has gone on with it meanwhile, it stays.
    pub(crate) async fn give_up(&self, clinic: ClinicId, payment: &Payment) -> Result<(), CollectError> {
        let account = self.accounts.of(clinic, payment.provider).await?;
        let Some(known) = &payment.provider_ref else { return Err(CollectError::UnderWay) };
        if !account.supports(Operation::Cancel) {
            return Err(CollectError::UnderWay);
        }
        let key = IdempotencyKey::of(payment.payment_id.0, "cancel");
        let intent = match account.cancel(known, &key).await {
            Ok(intent) => intent,
            Err(ProviderError::WrongState { .. }) => return Err(CollectError::UnderWay),
            Err(error) => return Err(SettleError::Provider(error).into()),
        };
        self.take_in(clinic, payment.payment_id, |known, now| known.join(&intent, now)).await?;
        Ok(())
    }
}

/// The request's audit row, with the payment that it is about.
async fn write_down_by(tx: &mut Tx, caller: Option<&Caller>, payment: &Payment) -> Result<(), DbError> {
    let Some(caller) = caller else { return Ok(()) };
    caller.about_record(payment.payment_id);
    caller.write_down(tx).await
}

/// What is to be paid of `invoice`.
fn owed(invoice: &Invoice, wanted: &Wanted) -> Result<Money, CollectError> {
    let rest = invoice.outstanding();
    if rest.minor == 0 {
        return Err(CollectError::NotOwed);
    }
    match wanted.amount {
        None => Ok(rest),
        Some(sum) if sum.currency == rest.currency && (1..=rest.minor).contains(&sum.minor) => Ok(sum),
        Some(_) => Err(CollectError::WrongSum),
    }
}

/// The payment of `invoice` that is under way, if there is one; the caller holds the invoice's row.
async fn under_way(
    tx: &mut Tx,
    clinic: ClinicId,
    invoice: &Invoice,
    wanted: &Wanted,
    provider: ProviderName,
    amount: Money,
) -> Result<Option<Written>, CollectError> {
    let payments = Payment::of_invoice(tx, clinic, invoice.invoice_id).await?;
    let Some(present) = payments.into_iter().find(|it| it.status.is_under_way()) else { return Ok(None) };
    let is_waiting = matches!(
        present.status,
        PaymentStatus::Asked | PaymentStatus::RequiresAction | PaymentStatus::RequiresConfirmation
    );
    if !is_waiting {
        return Err(CollectError::UnderWay);
    }
    let is_same = present.amount() == amount
        && present.provider == provider
        && present.method_id == wanted.method
        && present.captures_later == wanted.captures_later;
    Ok(Some(if is_same { Written::Known(present) } else { Written::InTheWay(present) }))
}
