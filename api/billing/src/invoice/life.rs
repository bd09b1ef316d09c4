//! What becomes of an invoice: it is issued, settled by its payments, reminded of, closed.

use chrono::{DateTime, TimeDelta, Utc};
use clinical::event::Event;
use clinical::id::ClinicId;
use clinical::job::{Job, Priority};
use storage::db::{Result, Tx, sql};
use storage::{outbox, queue};

use super::{Invoice, InvoiceStatus, Terms};
use crate::books::balances;
use crate::ledger::{self, Subject};
use crate::payment::Payment;
use crate::subscription::Subscription;

impl Invoice {
    /// Gives a draft its number and its day, books it and tells of it; the caller holds the row or has just written it.
    pub(crate) async fn issue(
        &mut self,
        db: &mut Tx,
        clinic: ClinicId,
        terms: Terms,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let next = "INSERT INTO invoice_numbers (clinic_id, last) VALUES ($1, 1)
                    ON CONFLICT (clinic_id) DO UPDATE SET last = invoice_numbers.last + 1 RETURNING last";
        self.number = Some(sql(next).bind(clinic).fetch_one(db).await?);
        self.issued_at = Some(now);
        self.due_at = Some(self.due_at.unwrap_or(now + TimeDelta::days(terms.due_days)));
        self.remind_at = self.late_by(terms.first_reminder_days);
        let gives_up_at = self.late_by(terms.give_up_days);
        self.status = InvoiceStatus::Open;
        let issued = Event::InvoiceIssued {
            invoice_id: self.invoice_id,
            patient_id: self.patient_id,
            amount_minor: self.total_minor,
            currency: self.currency,
        };
        outbox::tell(db, clinic, &issued, now).await?;
        self.ask_for_dunning(db, clinic, gives_up_at, now).await?;
        self.ask_for_mail(db, clinic, now).await?;
        self.settle(db, clinic, now).await
    }

    /// So many days after it is due; of one that was issued later, after that.
    ///
    /// `None` without days, of a draft, and where no calendar reaches.
    pub(crate) fn late_by(&self, days: Option<i64>) -> Option<DateTime<Utc>> {
        self.due_at.max(self.issued_at)?.checked_add_signed(TimeDelta::days(days?))
    }

    /// Asks for whatever is to be done first of an invoice that nobody pays: a reminder, or to give it up.
    pub(crate) async fn ask_for_dunning(
        &self,
        db: &mut Tx,
        clinic: ClinicId,
        gives_up_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let Some(at) = self.remind_at.into_iter().chain(gives_up_at).min() else { return Ok(()) };
        let job = Job::DunInvoice { invoice_id: self.invoice_id };
        queue::ask(db, clinic, &job, Priority::Routine, at, now).await
    }

    /// Brings it and its books to what its payments say; the caller holds the row.
    pub(crate) async fn settle(&mut self, db: &mut Tx, clinic: ClinicId, now: DateTime<Utc>) -> Result<()> {
        let payments = Payment::of_invoice(db, clinic, self.invoice_id).await?;
        let was = self.status;
        self.paid_minor = payments.iter().map(|it| it.captured_minor).sum();
        self.refunded_minor = payments.iter().map(|it| it.refunded_minor).sum();
        self.status = self.standing_after(was);
        self.changed_at = now;
        let is_settled = matches!(
            self.status,
            InvoiceStatus::Paid | InvoiceStatus::PartlyRefunded | InvoiceStatus::Refunded
        );
        if is_settled && self.paid_at.is_none() {
            self.paid_at = Some(now);
            self.remind_at = None;
            let paid = Event::InvoicePaid {
                invoice_id: self.invoice_id,
                patient_id: self.patient_id,
                amount_minor: self.total_minor,
                currency: self.currency,
            };
            outbox::tell(db, clinic, &paid, now).await?;
            if let Some(subscription) = self.subscription_id {
                Subscription::was_paid(db, clinic, subscription, now).await?;
            }
        }
        self.save(db, clinic).await?;
        if self.number.is_none() {
            return Ok(());
        }
        let paid: Vec<_> = payments.iter().map(Payment::as_booked).collect();
        let wanted = balances(Some(self.as_booked()), &paid);
        let wanted = wanted.into_iter().map(|(account, minor)| (account.code(), minor)).collect();
        let subject = Subject::Invoice(self.invoice_id);
        ledger::book(db, clinic, subject, self.currency, &wanted, now).await.map(|_| ())
    }

    /// Where it stands once its payments are counted.
    fn standing_after(&self, was: InvoiceStatus) -> InvoiceStatus {
        let has_all = self.paid_minor >= self.total_minor;
        match was {
            InvoiceStatus::Draft | InvoiceStatus::Void => was,
            InvoiceStatus::Uncollectible if !has_all => was,
            _ if !has_all => InvoiceStatus::Open,
            _ if self.refunded_minor == 0 => InvoiceStatus::Paid,
            _ if self.refunded_minor < self.paid_minor => InvoiceStatus::PartlyRefunded,
            _ => InvoiceStatus::Refunded,
        }
    }

    /// Closes an open invoice: void, or given up; books and tells it. The caller holds the row.
    pub(crate) async fn close(
        &mut self,
        db: &mut Tx,
        clinic: ClinicId,
        status: InvoiceStatus,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let is_issued = self.number.is_some();
        let due_no_more = self.total_minor - self.paid_minor.min(self.total_minor);
        self.status = status;
        self.remind_at = None;
        if is_issued {
            let closed = Event::InvoiceClosed {
                invoice_id: self.invoice_id,
                patient_id: self.patient_id,
                amount_minor: due_no_more,
                currency: self.currency,
            };
            outbox::tell(db, clinic, &closed, now).await?;
        }
        self.settle(db, clinic, now).await
    }

    /// Tells its people of it once more.
    pub(crate) async fn send(&self, db: &mut Tx, clinic: ClinicId, now: DateTime<Utc>) -> Result<()> {
        let sent = Event::InvoiceSent {
            invoice_id: self.invoice_id,
            patient_id: self.patient_id,
            amount_minor: self.total_minor,
            currency: self.currency,
        };
        outbox::tell(db, clinic, &sent, now).await?;
        self.ask_for_mail(db, clinic, now).await
    }

    /// Writes that somebody is reminded, and when that is next. The caller holds the row.
    pub(crate) async fn remind(
        &mut self,
        db: &mut Tx,
        clinic: ClinicId,
        next_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        self.reminders += 1;
        self.remind_at = next_at;
        self.changed_at = now;
        self.save(db, clinic).await?;
        let reminded = Event::InvoiceReminded {
            invoice_id: self.invoice_id,
            patient_id: self.patient_id,
            reminder: self.reminders,
        };
        outbox::tell(db, clinic, &reminded, now).await?;
        self.ask_for_mail(db, clinic, now).await
    }
}
