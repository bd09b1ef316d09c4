//! A payment: asked of a provider, then whatever the provider says of it, which only ever goes forward.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, CustomerId, InvoiceId, PatientId, PaymentId, PaymentMethodId};
use clinical::money::{Currency, Money};
use storage::db::{Conn, FromRow, Result, Row, Tx, built_sql, sql};
use storage::records::listing::Listing;
use storage::records::patient::Shown;
use uuid::Uuid;

use crate::books::Paid;
use crate::provider::{IntentState, NextStep, ProviderName};
use crate::words::words;

words! {
    /// Where a payment stands; a later word never gives way to an earlier one.
    PaymentStatus, "payments.status" {
        /// The provider is asked; nobody knows yet what it did.
        Asked = "asked",
        /// The payer must act.
        RequiresAction = "requires_action",
        /// The payer has agreed; it is to be finished.
        RequiresConfirmation = "requires_confirmation",
        /// The provider is at it.
        Processing = "processing",
        /// It was declined, or never reached the provider.
        Failed = "failed",
        /// The money is reserved.
        Authorized = "authorized",
        /// It was given up.
        Canceled = "canceled",
        /// The money is taken.
        Succeeded = "succeeded",
    }
}

impl From<IntentState> for PaymentStatus {
    fn from(state: IntentState) -> Self {
        match state {
            IntentState::AwaitingPayer => Self::RequiresAction,
            IntentState::AwaitingConfirmation => Self::RequiresConfirmation,
            IntentState::Processing => Self::Processing,
            IntentState::Authorized => Self::Authorized,
            IntentState::Succeeded => Self::Succeeded,
            IntentState::Failed => Self::Failed,
            IntentState::Canceled => Self::Canceled,
        }
    }
}

impl PaymentStatus {
    /// Whether it can still become something else by itself.
    pub fn is_under_way(self) -> bool {
        matches!(
            self,
            Self::Asked
                | Self::RequiresAction
                | Self::RequiresConfirmation
                | Self::Processing
                | Self::Authorized
        )
    }
}

/// A stored payment; sums are minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Our identifier, which the provider keeps as our reference.
    pub payment_id: PaymentId,
    /// What it pays.
    pub invoice_id: Option<InvoiceId>,
    /// Who pays.
    pub customer_id: Option<CustomerId>,
    /// Whose care it is for.
    pub patient_id: Option<PatientId>,
    /// The stored method that is charged; `None` where the payer acts.
    pub method_id: Option<PaymentMethodId>,
    /// Who moves the money.
    pub provider: ProviderName,
    /// The provider's identifier; `None` until it has answered.
    pub provider_ref: Option<String>,
    /// Where it stands.
    pub status: PaymentStatus,
    /// Of all its sums.
    pub currency: Currency,
    /// What was asked.
    pub amount_minor: i64,
    /// What has come in.
    pub captured_minor: i64,
    /// What of it was given back.
    pub refunded_minor: i64,
    /// What the payer's bank holds.
    pub disputed_minor: i64,
    /// What was lost in disputes.
    pub lost_minor: i64,
    /// What the payer reads.
    pub description: String,
    /// Whether the money is only reserved at first.
    pub captures_later: bool,
    /// Where the payer's browser comes back to.
    pub return_url: Option<String>,
    /// The provider's word for why it failed.
    pub failure: Option<String>,
    /// Who asked for it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it changed last.
    pub changed_at: DateTime<Utc>,
    /// When the money had come in.
    pub settled_at: Option<DateTime<Utc>>,
    /// When the payer's side told that it was done, and the provider said so too.
    pub confirmed_at: Option<DateTime<Utc>>,
    /// Where the payer was led to, as the provider said it the last time.
    pub payer_url: Option<String>,
}

const COLUMNS: &str = "payment_id, invoice_id, customer_id, patient_id, method_id, provider, provider_ref, status,
    currency, amount_minor, captured_minor, refunded_minor, disputed_minor, lost_minor, description, captures_later,
    return_url, failure, created_by, created_at, changed_at, settled_at, confirmed_at, payer_url";

impl FromRow for Payment {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            payment_id: row.id("payment_id")?,
            invoice_id: row.get::<Option<Uuid>>("invoice_id")?.map(InvoiceId),
            customer_id: row.get::<Option<Uuid>>("customer_id")?.map(CustomerId),
            patient_id: row.get::<Option<Uuid>>("patient_id")?.map(PatientId),
            method_id: row.get::<Option<Uuid>>("method_id")?.map(PaymentMethodId),
            provider: row.parse("provider")?,
            provider_ref: row.get("provider_ref")?,
            status: row.parse("status")?,
            currency: row.parse("currency")?,
            amount_minor: row.get("amount_minor")?,
            captured_minor: row.get("captured_minor")?,
            refunded_minor: row.get("refunded_minor")?,
            disputed_minor: row.get("disputed_minor")?,
            lost_minor: row.get("lost_minor")?,
            description: row.get("description")?,
            captures_later: row.get("captures_later")?,
            return_url: row.get("return_url")?,
            failure: row.get("failure")?,
            created_by: row.get("created_by")?,
            created_at: row.get("created_at")?,
            changed_at: row.get("changed_at")?,
            settled_at: row.get("settled_at")?,
            confirmed_at: row.get("confirmed_at")?,
            payer_url: row.get("payer_url")?,
        })
    }
}

/// Which payments are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PaymentFilter {
    pub patient: Option<PatientId>,
    pub invoice: Option<InvoiceId>,
    pub status: Option<PaymentStatus>,
}

impl Payment {
    /// Writes it for the first time.
    pub(crate) async fn insert(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        let insert = "INSERT INTO payments (clinic_id, payment_id, invoice_id, customer_id, patient_id, method_id,
            provider, provider_ref, status, currency, amount_minor, captured_minor, refunded_minor, disputed_minor,
            lost_minor, description, captures_later, return_url, failure, created_by, created_at, changed_at, settled_at,
            confirmed_at, payer_url)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22,
                    $23, $24, $25)";
        sql(insert)
            .bind(clinic)
            .bind(self.payment_id)
            .bind(self.invoice_id)
            .bind(self.customer_id)
            .bind(self.patient_id)
            .bind(self.method_id)
            .bind(self.provider.as_str())
            .bind(self.provider_ref.clone())
            .bind(self.status.as_str())
            .bind(self.currency.code())
            .bind(self.amount_minor)
            .bind(self.captured_minor)
            .bind(self.refunded_minor)
            .bind(self.disputed_minor)
            .bind(self.lost_minor)
            .bind(&self.description)
            .bind(self.captures_later)
            .bind(self.return_url.clone())
            .bind(self.failure.clone())
            .bind(&self.created_by)
            .bind(self.created_at)
            .bind(self.changed_at)
            .bind(self.settled_at)
            .bind(self.confirmed_at)
            .bind(self.payer_url.clone())
            .execute(db)
            .await
            .map(|_| ())
    }

    /// Writes what may change of it.
    pub(crate) async fn save(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        let update = "UPDATE payments SET provider_ref = $3, status = $4, captured_minor = $5, refunded_minor = $6,
                             disputed_minor = $7, lost_minor = $8, failure = $9, changed_at = $10, settled_at = $11,
                             confirmed_at = $12, payer_url = $13
                       WHERE clinic_id = $1 AND payment_id = $2";
        sql(update)
            .bind(clinic)
            .bind(self.payment_id)
            .bind(self.provider_ref.clone())
            .bind(self.status.as_str())
            .bind(self.captured_minor)
            .bind(self.refunded_minor)
            .bind(self.disputed_minor)
            .bind(self.lost_minor)
            .bind(self.failure.clone())
            .bind(self.changed_at)
            .bind(self.settled_at)
            .bind(self.confirmed_at)
            .bind(self.payer_url.clone())
            .execute(db)
            .await
            .map(|_| ())
    }

    /// One payment of one clinic.
    ///
    /// # Errors
    ///
    /// `DbError::NotFound` when the clinic has none of that identifier.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: PaymentId) -> Result<Self> {
        let text = format!("SELECT {COLUMNS} FROM payments WHERE clinic_id = $1 AND payment_id = $2");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// One payment, which no other transaction changes until this one ends.
    ///
    /// # Errors
    ///
    /// As [`Payment::find`].
    pub(crate) async fn hold(db: &mut Tx, clinic: ClinicId, id: PaymentId) -> Result<Self> {
        let lock = db.change_lock();
        let text = format!("SELECT {COLUMNS} FROM payments WHERE clinic_id = $1 AND payment_id = $2{lock}");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// The clinic's payment that a provider knows by this name.
    ///
    /// # Errors
    ///
    /// As [`Payment::find`].
    pub(crate) async fn by_ref(
        db: &mut Conn,
        clinic: ClinicId,
        provider: Option<ProviderName>,
        provider_ref: &str,
    ) -> Result<Self> {
        let names = provider.map_or_else(|| ProviderName::ALL.to_vec(), |name| vec![name]);
        let names: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
        let text = format!(
            "SELECT {COLUMNS} FROM payments WHERE provider IN ({}) AND provider_ref = $2 AND clinic_id = $1",
            names.join(", ")
        );
        built_sql(text).bind(clinic).bind(provider_ref).fetch_one(db).await
    }

    /// In which clinic a provider's payment is, by its name there or by our reference; `db` is the system's.
    pub(crate) async fn clinic_of(
        db: &mut Conn,
        provider: ProviderName,
        provider_ref: Option<&str>,
        reference: Option<Uuid>,
    ) -> Result<Option<(ClinicId, PaymentId)>> {
        let by_reference =
            "SELECT clinic_id, payment_id FROM payments WHERE payment_id = $1 AND provider = $2";
        let by_name = "SELECT clinic_id, payment_id FROM payments WHERE provider = $2 AND provider_ref = $1";
        if let Some(reference) = reference {
            let statement = sql(by_reference).bind(reference).bind(provider.as_str());
            if let Some(Place(clinic, id)) = statement.fetch_optional(db).await? {
                return Ok(Some((clinic, id)));
            }
        }
        let Some(provider_ref) = provider_ref else { return Ok(None) };
        let found: Option<Place> =
            sql(by_name).bind(provider_ref).bind(provider.as_str()).fetch_optional(db).await?;
        Ok(found.map(|Place(clinic, id)| (clinic, id)))
    }

    /// The payments of an invoice, the oldest first.
    pub(crate) async fn of_invoice(db: &mut Conn, clinic: ClinicId, invoice: InvoiceId) -> Result<Vec<Self>> {
        let text = format!(
            "SELECT {COLUMNS} FROM payments WHERE invoice_id = $2 AND clinic_id = $1 ORDER BY payment_id"
        );
        built_sql(text).bind(clinic).bind(invoice).fetch_all(db).await
    }

    /// Those that `filter` asks for, of patients whom `shown` names or of nobody in particular, newest first, from
    /// before `after` on.
    pub(crate) async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        filter: PaymentFilter,
        shown: Shown,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        Listing::of(format!("SELECT {COLUMNS} FROM payments WHERE clinic_id = $1"))
            .by("patient_id =", filter.patient)
            .by("invoice_id =", filter.invoice)
            .by("status =", filter.status.map(PaymentStatus::as_str))
            .shown("payments.patient_id", shown)
            .newest("payment_id", after, clinic, limit)
            .fetch_all(db)
            .await
    }

    /// As the books see it.
    pub(crate) fn as_booked(&self) -> Paid {
        Paid {
            provider: self.provider,
            captured: self.captured_minor,
            refunded: self.refunded_minor,
            disputed: self.disputed_minor,
            lost: self.lost_minor,
        }
    }

    /// What the payer's side needs while the payer has not acted, where the provider has said it once and may not again.
    pub(crate) fn next(&self) -> Option<NextStep> {
        let waits = self.status == PaymentStatus::RequiresAction;
        self.payer_url.clone().filter(|_| waits).map(NextStep::Redirect)
    }

    /// What was asked.
    pub fn amount(&self) -> Money {
        Money::new(self.amount_minor, self.currency)
    }
}

/// Which payment, and in which clinic.
pub(crate) struct Place(pub ClinicId, pub PaymentId);

impl FromRow for Place {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self(row.id("clinic_id")?, row.id("payment_id")?))
    }
}
