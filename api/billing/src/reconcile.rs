//! Whether what is kept here and what providers say agree: every difference by its name, nothing changed.

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, InvoiceId, PaymentId};
use serde::Serialize;
use storage::db::DbError;
use storage::records::patient::Shown;
use uuid::Uuid;

use crate::accounts::AccountError;
use crate::books::balances;
use crate::cashier::Cashier;
use crate::inbox::Received;
use crate::invoice::{Invoice, InvoiceFilter};
use crate::ledger::{self, Subject};
use crate::payment::{Payment, PaymentFilter};
use crate::provider::{Intent, Operation, PaymentProvider, ProviderError, ProviderName};

/// So many rows are looked at at a time.
const PAGE: i64 = 500;
/// So many pages of a provider's list are read.
const PAGES: usize = 200;
/// What is younger may still be under way.
const YOUNG: TimeDelta = TimeDelta::minutes(15);

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "difference", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Difference {
    /// A transaction of the ledger does not sum to zero.
    Unbalanced {
        /// Which one.
        transaction_id: Uuid,
    },
    /// The books of an invoice are not what it and its payments say.
    InvoiceBooks {
        /// Which one.
        invoice_id: InvoiceId,
    },
    /// The books of a payment without an invoice are not what it says.
    PaymentBooks {
        /// Which one.
        payment_id: PaymentId,
    },
    /// A number of an invoice is missing.
    NumberGap {
        /// The largest number that was given.
        last: i64,
        /// How many invoices have one.
        count: i64,
    },
    /// The provider says otherwise what has come in or went back.
    Sums {
        /// Which payment.
        payment_id: PaymentId,
        /// Who says so.
        provider: ProviderName,
        /// What has come in, here and there, in minor units.
        captured: (i64, i64),
        /// What went back, here and there; where the provider tells it.
        refunded: Option<(i64, i64)>,
    },
    /// The provider does not know a payment that it has answered once.
    UnknownToProvider {
        /// Which one.
        payment_id: PaymentId,
        /// Who.
        provider: ProviderName,
    },
    /// The provider has a payment with our reference that is not kept here.
    UnknownHere {
        /// Who.
        provider: ProviderName,
        /// Under which name.
        provider_id: String,
    },
    /// An event was kept and never settled.
    EventWaiting {
        /// Who sent it.
        provider: ProviderName,
        /// The provider's own identifier.
        event_id: String,
    },
}

/// A provider that could not be asked: whether it agrees is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotAsked {
    /// Who.
    pub provider: ProviderName,
    /// Why not.
    pub why: String,
    /// So many payments it was to be asked for; none where only its own list could not be had.
    pub payments: u64,
}

/// What was looked at, and what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reconciled {
    /// So many invoices were looked at.
    pub invoices: u64,
    /// So many payments.
    pub payments: u64,
    /// Of so many their providers have answered.
    pub asked: u64,
    /// Who could not be asked.
    pub not_asked: Vec<NotAsked>,
    /// What differs.
    pub differences: Vec<Difference>,
}

impl Cashier {
    /// Compares the books of a clinic with its invoices and payments, and those since `since` with their providers.
    ///
    /// # Errors
    ///
    /// [`DbError`]; that a provider cannot be asked is told in what is found.
    pub async fn reconcile(&self, clinic: ClinicId, since: DateTime<Utc>) -> Result<Reconciled, DbError> {
        let mut found = Reconciled::default();
        self.own_books(clinic, &mut found).await?;
        self.payments(clinic, since, &mut found).await?;
        for name in ProviderName::ALL {
            match self.accounts.of(clinic, name).await {
                Ok(account) => self.list_of(&*account, since, &mut found).await?,
                Err(AccountError::NotSetUp(_)) => {}
                Err(AccountError::Database(error)) => return Err(error),
                Err(error) => found.could_not_ask(name, &error, 0),
            }
        }
        Ok(found)
    }

    async fn own_books(&self, clinic: ClinicId, found: &mut Reconciled) -> Result<(), DbError> {
        let db = self.db.of(clinic);
        let mut rows = db.read().await?;
        let unbalanced = ledger::unbalanced(&mut rows, clinic).await?;
        found
            .differences
            .extend(unbalanced.into_iter().map(|transaction_id| Difference::Unbalanced { transaction_id }));
        let (last, count) = Invoice::numbers(&mut rows, clinic).await?;
        if last != count {
            found.differences.push(Difference::NumberGap { last, count });
        }
        let waiting = Received::waiting(&mut rows, clinic, self.clock.now() - YOUNG, PAGE).await?;
        found.differences.extend(
            waiting.into_iter().map(|event| Difference::EventWaiting {
                provider: event.provider,
                event_id: event.event_ref,
            }),
        );
        let mut after = None;
        loop {
            let filter = InvoiceFilter::default();
            let page = Invoice::list(&mut rows, clinic, filter, Shown::Everybody, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.invoice_id.0);
            for invoice in page {
                found.invoices += 1;
                if invoice.number.is_none() {
                    continue;
                }
                let payments = Payment::of_invoice(&mut rows, clinic, invoice.invoice_id).await?;
                let paid: Vec<_> = payments.iter().map(Payment::as_booked).collect();
                let wanted = balances(Some(invoice.as_booked()), &paid);
                let wanted = wanted.into_iter().map(|(account, minor)| (account.code(), minor)).collect();
                let subject = Subject::Invoice(invoice.invoice_id);
                if ledger::booked(&mut rows, clinic, subject).await? != wanted {
                    found.differences.push(Difference::InvoiceBooks { invoice_id: invoice.invoice_id });
                }
            }
        }
    }

    async fn payments(
        &self,
        clinic: ClinicId,
        since: DateTime<Utc>,
        found: &mut Reconciled,
    ) -> Result<(), DbError> {
        let db = self.db.of(clinic);
        let mut after = None;
        loop {
            let filter = PaymentFilter::default();
            let page = {
                let mut rows = db.read().await?;
                Payment::list(&mut rows, clinic, filter, Shown::Everybody, after, PAGE).await?
            };
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.payment_id.0);
            for payment in page {
                found.payments += 1;
                if payment.invoice_id.is_none() {
                    let wanted = balances(None, &[payment.as_booked()]);
                    let wanted = wanted.into_iter().map(|(account, minor)| (account.code(), minor)).collect();
                    let subject = Subject::Payment(payment.payment_id);
                    if ledger::booked(&mut db.read().await?, clinic, subject).await? != wanted {
                        found.differences.push(Difference::PaymentBooks { payment_id: payment.payment_id });
                    }
                }
                if payment.created_at >= since {
                    self.ask_about(clinic, &payment, found).await?;
                }
            }
        }
    }

    async fn ask_about(
        &self,
        clinic: ClinicId,
        payment: &Payment,
        found: &mut Reconciled,
    ) -> Result<(), DbError> {
        let Some(name) = &payment.provider_ref else { return Ok(()) };
        let (payment_id, provider) = (payment.payment_id, payment.provider);
        let account = match self.accounts.of(clinic, provider).await {
            Ok(account) => account,
            Err(AccountError::Database(error)) => return Err(error),
            Err(error) => {
                found.could_not_ask(provider, &error, 1);
                return Ok(());
            }
        };
        let difference = match account.read(name).await {
            Ok(told) => sums(payment, &told),
            Err(ProviderError::NotFound) => Some(Difference::UnknownToProvider { payment_id, provider }),
            Err(error) => {
                found.could_not_ask(provider, &error, 1);
                return Ok(());
            }
        };
        found.asked += 1;
        found.differences.extend(difference);
        Ok(())
    }

    /// The provider's own list, for payments with our reference that are not kept here.
    async fn list_of(
        &self,
        account: &dyn PaymentProvider,
        since: DateTime<Utc>,
        found: &mut Reconciled,
    ) -> Result<(), DbError> {
        if !account.supports(Operation::List) {
            return Ok(());
        }
        let provider = account.name();
        let mut next = None;
        for _ in 0..PAGES {
            let page = match account.list_since(since, next.as_deref()).await {
                Ok(page) => page,
                Err(error) => {
                    found.could_not_ask(provider, &error, 0);
                    return Ok(());
                }
            };
            for intent in page.items.iter().filter(|intent| intent.reference.is_some()) {
                let mut rows = self.db.read().await?;
                let name = Some(intent.provider_id.as_str());
                let known = Payment::clinic_of(&mut rows, provider, name, intent.reference).await?;
                if known.is_none() {
                    let provider_id = intent.provider_id.clone();
                    found.differences.push(Difference::UnknownHere { provider, provider_id });
                }
            }
            next = page.next;
            if next.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Reconciled {
    fn could_not_ask(&mut self, provider: ProviderName, why: &dyn std::error::Error, payments: u64) {
        let why = why.to_string();
        match self.not_asked.iter_mut().find(|it| it.provider == provider && it.why == why) {
            Some(known) => known.payments += payments,
            None => self.not_asked.push(NotAsked { provider, why, payments }),
        }
    }
}

/// Where the provider says otherwise what has come in or went back.
fn sums(payment: &Payment, told: &Intent) -> Option<Difference> {
    let captured = (payment.captured_minor, told.captured.minor);
    let refunded = told.refunded.map(|there| (payment.refunded_minor, there.minor));
    let agrees = captured.0 == captured.1
        && refunded.is_none_or(|(here, there)| here == there)
        && told.captured.currency == payment.currency;
    (!agrees).then_some(Difference::Sums {
        payment_id: payment.payment_id,
        provider: payment.provider,
        captured,
        refunded,
    })
}
