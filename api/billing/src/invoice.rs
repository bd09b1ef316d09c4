//! An invoice: a draft until it is issued, then with a number, without gaps in its clinic, until it is paid or closed.

use chrono::{DateTime, Utc};
use clinical::event::Event;
use clinical::id::{ClinicId, CustomerId, InvoiceId, PatientId, SubscriptionId};
use clinical::job::{Job, Priority};
use clinical::money::{Currency, Money};
use storage::db::{Conn, DbError, FromRow, Result, Row, Statement, Tx, built_sql, sql};
use storage::records::listing::Listing;
use storage::records::patient::Shown;
use storage::{outbox, queue};
use uuid::Uuid;

use crate::books::{Issued, Standing, balances};
use crate::ledger::{self, Subject};
use crate::lines::{Line, Totals};
use crate::payment::Payment;
use crate::subscription::Subscription;
use crate::words::words;

words! {
    /// Where an invoice stands.
    InvoiceStatus, "invoices.status" {
        /// It can still be changed, and nobody owes it.
        Draft = "draft",
        /// It is to be paid.
        Open = "open",
        /// It is paid in full.
        Paid = "paid",
        /// It was paid, and a part of it was given back.
        PartlyRefunded = "partly_refunded",
        /// It was paid, and all of it was given back.
        Refunded = "refunded",
        /// It should not have been issued.
        Void = "void",
        /// Nobody will pay the rest.
        Uncollectible = "uncollectible",
    }
}

/// A stored invoice; sums are minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Our identifier.
    pub invoice_id: InvoiceId,
    /// Its number in the clinic; `None` for a draft.
    pub number: Option<i64>,
    /// Whose care it is for.
    pub patient_id: Option<PatientId>,
    /// Who is billed.
    pub customer_id: Option<CustomerId>,
    /// The subscription whose period it bills.
    pub subscription_id: Option<SubscriptionId>,
    /// Where it stands.
    pub status: InvoiceStatus,
    /// Of all its sums.
    pub currency: Currency,
    /// What for, in a line.
    pub description: String,
    /// Without tax.
    pub net_minor: i64,
    /// What was taken off.
    pub discount_minor: i64,
    /// The tax.
    pub tax_minor: i64,
    /// With tax.
    pub total_minor: i64,
    /// What has come in for it.
    pub paid_minor: i64,
    /// What of it was given back.
    pub refunded_minor: i64,
    /// When it got its number.
    pub issued_at: Option<DateTime<Utc>>,
    /// Until when it is to be paid.
    pub due_at: Option<DateTime<Utc>>,
    /// When it was paid in full.
    pub paid_at: Option<DateTime<Utc>>,
    /// How often somebody was reminded.
    pub reminders: i64,
    /// When that is next.
    pub remind_at: Option<DateTime<Utc>>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it was changed last.
    pub changed_at: DateTime<Utc>,
}

const COLUMNS: &str = "invoice_id, number, patient_id, customer_id, subscription_id, status, currency, description,
    net_minor, discount_minor, tax_minor, total_minor, paid_minor, refunded_minor, issued_at, due_at, paid_at, reminders,
    remind_at, created_by, created_at, changed_at";

impl FromRow for Invoice {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            invoice_id: row.id("invoice_id")?,
            number: row.get("number")?,
            patient_id: row.get::<Option<Uuid>>("patient_id")?.map(PatientId),
            customer_id: row.get::<Option<Uuid>>("customer_id")?.map(CustomerId),
            subscription_id: row.get::<Option<Uuid>>("subscription_id")?.map(SubscriptionId),
            status: row.parse("status")?,
            currency: row.parse("currency")?,
            description: row.get("description")?,
            net_minor: row.get("net_minor")?,
            discount_minor: row.get("discount_minor")?,
            tax_minor: row.get("tax_minor")?,
            total_minor: row.get("total_minor")?,
            paid_minor: row.get("paid_minor")?,
            refunded_minor: row.get("refunded_minor")?,
            issued_at: row.get("issued_at")?,
            due_at: row.get("due_at")?,
            paid_at: row.get("paid_at")?,
            reminders: row.get("reminders")?,
            remind_at: row.get("remind_at")?,
            created_by: row.get("created_by")?,
            created_at: row.get("created_at")?,
            changed_at: row.get("changed_at")?,
        })
    }
}

/// An invoice that is about to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewInvoice<'a> {
    pub patient_id: Option<PatientId>,
    pub customer_id: Option<CustomerId>,
    pub subscription_id: Option<SubscriptionId>,
    pub currency: Currency,
    pub description: &'a str,
    pub lines: &'a [Line],
    pub totals: Totals,
    pub due_at: Option<DateTime<Utc>>,
    pub created_by: &'a str,
}

/// When an issued invoice is due where it names no day, and when somebody is reminded first.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub due_days: i64,
    pub first_reminder_days: Option<i64>,
}

/// Which invoices are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct InvoiceFilter {
    pub status: Option<InvoiceStatus>,
    pub patient: Option<PatientId>,
    pub subscription: Option<SubscriptionId>,
}

impl Invoice {
    /// Writes a draft with its lines.
    pub(crate) async fn draft(
        db: &mut Tx,
        clinic: ClinicId,
        new: &NewInvoice<'_>,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let invoice = Self {
            invoice_id: InvoiceId::new(),
            number: None,
            patient_id: new.patient_id,
            customer_id: new.customer_id,
            subscription_id: new.subscription_id,
            status: InvoiceStatus::Draft,
            currency: new.currency,
            description: new.description.to_owned(),
            net_minor: new.totals.net,
            discount_minor: new.totals.discount,
            tax_minor: new.totals.tax,
            total_minor: new.totals.total,
            paid_minor: 0,
            refunded_minor: 0,
            issued_at: None,
            due_at: new.due_at,
            paid_at: None,
            reminders: 0,
            remind_at: None,
            created_by: new.created_by.to_owned(),
            created_at: now,
            changed_at: now,
        };
        invoice.insert(db, clinic).await?;
        invoice.write_lines(db, clinic, new.lines).await?;
        Ok(invoice)
    }

    async fn insert(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        let insert = "INSERT INTO invoices (clinic_id, invoice_id, number, patient_id, customer_id, subscription_id,
            status, currency, description, net_minor, discount_minor, tax_minor, total_minor, paid_minor, refunded_minor,
            issued_at, due_at, paid_at, reminders, remind_at, created_by, created_at, changed_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)";
        self.bind_to(sql(insert).bind(clinic)).execute(db).await.map(|_| ())
    }

    /// Every column but the clinic, in the order of [`COLUMNS`].
    fn bind_to(&self, statement: Statement) -> Statement {
        statement
            .bind(self.invoice_id)
            .bind(self.number)
            .bind(self.patient_id)
            .bind(self.customer_id)
            .bind(self.subscription_id)
            .bind(self.status.as_str())
            .bind(self.currency.code())
            .bind(&self.description)
            .bind(self.net_minor)
            .bind(self.discount_minor)
            .bind(self.tax_minor)
            .bind(self.total_minor)
            .bind(self.paid_minor)
            .bind(self.refunded_minor)
            .bind(self.issued_at)
            .bind(self.due_at)
            .bind(self.paid_at)
            .bind(self.reminders)
            .bind(self.remind_at)
            .bind(&self.created_by)
            .bind(self.created_at)
            .bind(self.changed_at)
    }

    async fn write_lines(&self, db: &mut Tx, clinic: ClinicId, lines: &[Line]) -> Result<()> {
        let insert =
            "INSERT INTO invoice_lines (clinic_id, invoice_id, place, description, quantity, unit_minor,
                             discount_minor, tax_rate, tax_minor, total_minor)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        for (place, line) in (0_i64..).zip(lines) {
            sql(insert)
                .bind(clinic)
                .bind(self.invoice_id)
                .bind(place)
                .bind(&line.description)
                .bind(line.quantity)
                .bind(line.unit_minor)
                .bind(line.discount_minor)
                .bind(line.tax_rate)
                .bind(line.tax_minor)
                .bind(line.total_minor)
                .execute(db)
                .await?;
        }
        Ok(())
    }

    /// Writes what may change of it.
    async fn save(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        let update = "UPDATE invoices SET number = $3, status = $4, paid_minor = $5, refunded_minor = $6, issued_at = $7,
                             due_at = $8, paid_at = $9, reminders = $10, remind_at = $11, changed_at = $12
                       WHERE clinic_id = $1 AND invoice_id = $2";
        sql(update)
            .bind(clinic)
            .bind(self.invoice_id)
            .bind(self.number)
            .bind(self.status.as_str())
            .bind(self.paid_minor)
            .bind(self.refunded_minor)
            .bind(self.issued_at)
            .bind(self.due_at)
            .bind(self.paid_at)
            .bind(self.reminders)
            .bind(self.remind_at)
            .bind(self.changed_at)
            .execute(db)
            .await
            .map(|_| ())
    }

    /// One invoice of one clinic.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has none of that identifier.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: InvoiceId) -> Result<Self> {
        let text = format!("SELECT {COLUMNS} FROM invoices WHERE clinic_id = $1 AND invoice_id = $2");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// The invoice that has this number in its clinic.
    ///
    /// # Errors
    ///
    /// As [`Invoice::find`].
    pub async fn numbered(db: &mut Conn, clinic: ClinicId, number: i64) -> Result<Self> {
        let text = format!("SELECT {COLUMNS} FROM invoices WHERE clinic_id = $1 AND number = $2");
        built_sql(text).bind(clinic).bind(number).fetch_one(db).await
    }

    /// One invoice, which no other transaction changes until this one ends.
    ///
    /// # Errors
    ///
    /// As [`Invoice::find`].
    pub async fn hold(db: &mut Tx, clinic: ClinicId, id: InvoiceId) -> Result<Self> {
        let lock = db.change_lock();
        let text = format!("SELECT {COLUMNS} FROM invoices WHERE clinic_id = $1 AND invoice_id = $2{lock}");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// Its lines, in order.
    ///
    /// # Errors
    ///
    /// [`DbError`] when the database fails.
    pub async fn lines(&self, db: &mut Conn, clinic: ClinicId) -> Result<Vec<Line>> {
        let select =
            "SELECT description, quantity, unit_minor, discount_minor, tax_rate, tax_minor, total_minor
                        FROM invoice_lines WHERE invoice_id = $2 AND clinic_id = $1 ORDER BY place";
        sql(select).bind(clinic).bind(self.invoice_id).fetch_all(db).await
    }

    /// Those that `filter` asks for, of patients whom `shown` names or of nobody in particular, newest first, from
    /// before `after` on.
    pub(crate) async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        filter: InvoiceFilter,
        shown: Shown,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        Listing::of(format!("SELECT {COLUMNS} FROM invoices WHERE clinic_id = $1"))
            .by("patient_id =", filter.patient)
            .by("subscription_id =", filter.subscription)
            .by("status =", filter.status.map(InvoiceStatus::as_str))
            .shown("invoices.patient_id", shown)
            .newest("invoice_id", after, clinic, limit)
            .fetch_all(db)
            .await
    }

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
        let due_at = self.due_at.unwrap_or(now + chrono::TimeDelta::days(terms.due_days));
        self.due_at = Some(due_at);
        self.remind_at =
            terms.first_reminder_days.map(|days| due_at.max(now) + chrono::TimeDelta::days(days));
        self.status = InvoiceStatus::Open;
        let issued = Event::InvoiceIssued {
            invoice_id: self.invoice_id,
            patient_id: self.patient_id,
            amount_minor: self.total_minor,
            currency: self.currency,
        };
        outbox::tell(db, clinic, &issued, now).await?;
        if let Some(at) = self.remind_at {
            let job = Job::DunInvoice { invoice_id: self.invoice_id };
            queue::ask(db, clinic, &job, Priority::Routine, at, now).await?;
        }
        self.settle(db, clinic, now).await
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
        outbox::tell(db, clinic, &reminded, now).await
    }

    /// As the books see it.
    pub(crate) fn as_booked(&self) -> Issued {
        let standing = match self.status {
            InvoiceStatus::Void => Standing::Void,
            InvoiceStatus::Uncollectible => Standing::GivenUp,
            _ => Standing::Live,
        };
        Issued { net: self.net_minor, tax: self.tax_minor, standing }
    }

    /// What is still to be paid.
    pub fn outstanding(&self) -> Money {
        let is_owed = matches!(self.status, InvoiceStatus::Open | InvoiceStatus::Uncollectible);
        let rest = if is_owed { (self.total_minor - self.paid_minor).max(0) } else { 0 };
        Money::new(rest, self.currency)
    }

    /// Its number as people read it, as `INV-000042`; `None` for a draft.
    pub fn number_text(&self, prefix: &str) -> Option<String> {
        self.number.map(|number| format!("{prefix}{number:06}"))
    }

    /// The largest number that the clinic has given, and how many invoices have one: the same, or there is a gap.
    ///
    /// # Errors
    ///
    /// [`DbError`] when the database fails.
    pub async fn numbers(db: &mut Conn, clinic: ClinicId) -> Result<(i64, i64), DbError> {
        let most = "SELECT COALESCE(MAX(number), 0) FROM invoices WHERE clinic_id = $1";
        let count = "SELECT count(number) FROM invoices WHERE clinic_id = $1";
        Ok((sql(most).bind(clinic).fetch_one(db).await?, sql(count).bind(clinic).fetch_one(db).await?))
    }
}
