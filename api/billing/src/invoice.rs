//! An invoice: a draft until it is issued, then with a number, without gaps in its clinic, until it is paid or closed.

mod life;
pub mod mail;
pub(crate) mod pdf;

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, CustomerId, InvoiceId, PatientId, SubscriptionId};
use clinical::money::{Currency, Money};
use storage::db::{Conn, DbError, FromRow, Result, Row, Statement, Tx, built_sql, sql};
use storage::records::listing::Listing;
use storage::records::patient::Shown;
use uuid::Uuid;

use crate::books::{Issued, Standing};
use crate::lines::{Line, Totals};
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

/// When an issued invoice is due where it names no day, when somebody is reminded first, and when it is given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub due_days: i64,
    pub first_reminder_days: Option<i64>,
    pub give_up_days: Option<i64>,
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

    /// As the books see it.
    pub(crate) fn as_booked(&self) -> Issued {
        let standing = match self.status {
            InvoiceStatus::Void => Standing::Void,
            InvoiceStatus::Uncollectible => Standing::GivenUp,
            _ => Standing::Live,
        };
        Issued { net: self.net_minor, tax: self.tax_minor, standing }
    }

    /// Whether a subscription owes for an invoice: an open one, or one of the time since `since` that was given up.
    pub(crate) async fn is_owed(
        db: &mut Conn,
        clinic: ClinicId,
        subscription: SubscriptionId,
        since: DateTime<Utc>,
    ) -> Result<bool> {
        let owed = "status = 'open' OR status = 'uncollectible' AND issued_at >= $3";
        Self::is_any(db, clinic, subscription, since, owed).await
    }

    /// Whether an invoice of a subscription of the time since `since` is paid.
    pub(crate) async fn is_covered(
        db: &mut Conn,
        clinic: ClinicId,
        subscription: SubscriptionId,
        since: DateTime<Utc>,
    ) -> Result<bool> {
        let paid = "status IN ('paid', 'partly_refunded') AND issued_at >= $3";
        Self::is_any(db, clinic, subscription, since, paid).await
    }

    /// Whether a subscription has an invoice of which `condition`, words of ours, holds; `$3` is `since`.
    async fn is_any(
        db: &mut Conn,
        clinic: ClinicId,
        subscription: SubscriptionId,
        since: DateTime<Utc>,
        condition: &str,
    ) -> Result<bool> {
        let count = format!(
            "SELECT count(*) FROM invoices WHERE clinic_id = $1 AND subscription_id = $2 AND ({condition})"
        );
        let found: i64 = built_sql(count).bind(clinic).bind(subscription).bind(since).fetch_one(db).await?;
        Ok(found > 0)
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
