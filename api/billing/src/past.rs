//! Money of the past: invoices that are told after the fact, each step at its own time, by the code that makes the others.
//! No provider is asked, and nobody is reminded of them; an invented clinic has its invoices from here.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, InvoiceId, PatientId, PaymentId, RefundId};
use clinical::money::Money;
use storage::db::{DbError, Result, Tx};

use crate::cashier::{SettleError, take_in_at};
use crate::invoice::{Invoice, InvoiceStatus, NewInvoice, Terms};
use crate::lines::{Line, totals};
use crate::payment::{Payment, PaymentStatus};
use crate::progress::Progress;
use crate::provider::ProviderName;
use crate::returned::{Refund, RefundStatus};
use crate::settings::BillingSettings;

/// An invoice of one line.
#[derive(Debug, Clone, Copy)]
pub struct PastInvoice<'a> {
    /// Whose care it was for.
    pub patient_id: PatientId,
    /// With tax.
    pub amount: Money,
    /// What for.
    pub description: &'a str,
    /// Who made it.
    pub created_by: &'a str,
}

/// What became of an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PastStep {
    /// Its payment was declined.
    Declined,
    /// It was paid in full.
    Paid,
    /// So many minor units of what was paid went back.
    Refunded(i64),
    /// Somebody was reminded.
    Reminded,
    /// It was given up.
    GivenUp,
}

impl PastInvoice<'_> {
    /// Issues it: with the next number, in the books, told.
    ///
    /// # Errors
    ///
    /// [`DbError::Corrupt`] where the sum is too large; [`DbError`] when the database fails.
    pub async fn issue(&self, db: &mut Tx, clinic: ClinicId, at: DateTime<Utc>) -> Result<InvoiceId> {
        let settings = BillingSettings::of(db, clinic).await?;
        let too_large = || DbError::Corrupt("an invoice's sum is too large".to_owned());
        let (minor, currency) = (self.amount.minor, self.amount.currency);
        let line = Line::with_tax_in(self.description, minor, settings.tax_rate, currency);
        let lines = [line.ok_or_else(too_large)?];
        let new = NewInvoice {
            patient_id: Some(self.patient_id),
            customer_id: None,
            subscription_id: None,
            currency,
            description: self.description,
            lines: &lines,
            totals: totals(&lines).ok_or_else(too_large)?,
            due_at: None,
            created_by: self.created_by,
        };
        let mut invoice = Invoice::draft(db, clinic, &new, at).await?;
        let terms = Terms { first_reminder_days: None, give_up_days: None, ..settings.terms() };
        invoice.issue(db, clinic, terms, at).await?;
        Ok(invoice.invoice_id)
    }
}

impl PastStep {
    /// Takes it.
    ///
    /// # Errors
    ///
    /// [`SettleError`]; nothing has changed then.
    pub async fn take(
        self,
        db: &mut Tx,
        clinic: ClinicId,
        invoice: InvoiceId,
        at: DateTime<Utc>,
    ) -> Result<(), SettleError> {
        let mut invoice = Invoice::hold(db, clinic, invoice).await?;
        match self {
            Self::Reminded => invoice.remind(db, clinic, None, at).await?,
            Self::GivenUp => invoice.close(db, clinic, InvoiceStatus::Uncollectible, at).await?,
            Self::Declined | Self::Paid | Self::Refunded(_) => {
                let payment = payment_of(db, clinic, &invoice, at).await?;
                take_in_at(db, clinic, payment, at, |known, _| {
                    self.join(known, &invoice, at);
                    Ok(())
                })
                .await?;
            }
        }
        Ok(())
    }

    /// What it changes of a payment.
    fn join(self, known: &mut Progress, invoice: &Invoice, at: DateTime<Utc>) {
        let payment = &mut known.payment;
        match self {
            Self::Declined => {
                payment.status = payment.status.max(PaymentStatus::Failed);
                payment.failure = Some("declined".to_owned());
            }
            Self::Paid => {
                payment.status = PaymentStatus::Succeeded;
                payment.failure = None;
                payment.captured_minor = payment.amount_minor;
                payment.settled_at = Some(at);
            }
            Self::Refunded(amount_minor) => known.refunds.push(Refund {
                refund_id: RefundId::new(),
                payment_id: payment.payment_id,
                provider_ref: None,
                status: RefundStatus::Succeeded,
                amount_minor,
                currency: payment.currency,
                reason: None,
                created_by: invoice.created_by.clone(),
                created_at: at,
            }),
            Self::Reminded | Self::GivenUp => {}
        }
        known.sum_up();
    }
}

/// The payment of an invoice, which is begun where there is none.
async fn payment_of(
    db: &mut Tx,
    clinic: ClinicId,
    invoice: &Invoice,
    at: DateTime<Utc>,
) -> Result<PaymentId> {
    if let Some(known) = Payment::of_invoice(db, clinic, invoice.invoice_id).await?.first() {
        return Ok(known.payment_id);
    }
    let providers = BillingSettings::of(db, clinic).await?.providers(invoice.currency, None);
    let payment = Payment {
        payment_id: PaymentId::new(),
        invoice_id: Some(invoice.invoice_id),
        customer_id: None,
        patient_id: invoice.patient_id,
        method_id: None,
        provider: providers.first().copied().unwrap_or(ProviderName::Stripe),
        provider_ref: None,
        status: PaymentStatus::Asked,
        currency: invoice.currency,
        amount_minor: invoice.total_minor,
        captured_minor: 0,
        refunded_minor: 0,
        disputed_minor: 0,
        lost_minor: 0,
        description: invoice.description.clone(),
        captures_later: false,
        return_url: None,
        failure: None,
        created_by: invoice.created_by.clone(),
        created_at: at,
        changed_at: at,
        settled_at: None,
        confirmed_at: None,
        payer_url: None,
    };
    payment.insert(db, clinic).await?;
    Ok(payment.payment_id)
}
