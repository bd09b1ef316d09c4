//! Money that goes back: refunds that somebody gives, disputes that the payers' banks open.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, DisputeId, PaymentId, RefundId};
use clinical::money::Currency;
use storage::db::{Conn, FromRow, Result, Row, Tx, sql};
use uuid::Uuid;

use crate::payment::Place;
use crate::provider::{DisputeState, RefundState};
use crate::words::words;

words! {
    /// Where a refund stands; a later word never gives way to an earlier one.
    RefundStatus, "refunds.status" {
        /// The provider is asked; nobody knows yet what it did.
        Asked = "asked",
        /// On its way.
        Pending = "pending",
        /// Done.
        Succeeded = "succeeded",
        /// The money stayed.
        Failed = "failed",
    }
}

words! {
    /// Where a dispute stands; a later word never gives way to an earlier one.
    DisputeStatus, "disputes.status" {
        /// The payer's bank holds the money.
        Open = "open",
        /// It ended without a change.
        Closed = "closed",
        /// The money came back.
        Won = "won",
        /// The money is gone.
        Lost = "lost",
    }
}

impl RefundStatus {
    /// Whether it can still become something else by itself.
    pub(crate) fn is_under_way(self) -> bool {
        matches!(self, Self::Asked | Self::Pending)
    }
}

impl From<RefundState> for RefundStatus {
    fn from(state: RefundState) -> Self {
        match state {
            RefundState::Pending => Self::Pending,
            RefundState::Succeeded => Self::Succeeded,
            RefundState::Failed => Self::Failed,
        }
    }
}

impl From<DisputeState> for DisputeStatus {
    fn from(state: DisputeState) -> Self {
        match state {
            DisputeState::Open => Self::Open,
            DisputeState::Closed => Self::Closed,
            DisputeState::Won => Self::Won,
            DisputeState::Lost => Self::Lost,
        }
    }
}

/// Money that is given back, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Our identifier.
    pub refund_id: RefundId,
    /// Of which payment.
    pub payment_id: PaymentId,
    /// The provider's identifier; `None` until it has answered.
    pub provider_ref: Option<String>,
    /// Where it stands.
    pub status: RefundStatus,
    /// How much.
    pub amount_minor: i64,
    /// Of which currency.
    pub currency: Currency,
    /// Why.
    pub reason: Option<String>,
    /// Who gave it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl FromRow for Refund {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            refund_id: row.id("refund_id")?,
            payment_id: row.id("payment_id")?,
            provider_ref: row.get("provider_ref")?,
            status: row.parse("status")?,
            amount_minor: row.get("amount_minor")?,
            currency: row.parse("currency")?,
            reason: row.get("reason")?,
            created_by: row.get("created_by")?,
            created_at: row.get("created_at")?,
        })
    }
}

impl Refund {
    /// Writes it, or where it stands now.
    pub(crate) async fn put(&self, db: &mut Tx, clinic: ClinicId, now: DateTime<Utc>) -> Result<()> {
        let upsert =
            "INSERT INTO refunds (refund_id, clinic_id, payment_id, provider_ref, status, amount_minor,
                                           currency, reason, created_by, created_at, changed_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                      ON CONFLICT (refund_id) DO UPDATE SET provider_ref = excluded.provider_ref,
                             status = excluded.status, amount_minor = excluded.amount_minor,
                             changed_at = excluded.changed_at";
        sql(upsert)
            .bind(self.refund_id)
            .bind(clinic)
            .bind(self.payment_id)
            .bind(self.provider_ref.clone())
            .bind(self.status.as_str())
            .bind(self.amount_minor)
            .bind(self.currency.code())
            .bind(self.reason.clone())
            .bind(&self.created_by)
            .bind(self.created_at)
            .bind(now)
            .execute(db)
            .await
            .map(|_| ())
    }

    /// The refunds of a payment, the oldest first.
    pub(crate) async fn of(db: &mut Conn, clinic: ClinicId, payment: PaymentId) -> Result<Vec<Self>> {
        let select = "SELECT refund_id, payment_id, provider_ref, status, amount_minor, currency, reason, created_by,
                             created_at FROM refunds WHERE payment_id = $2 AND clinic_id = $1 ORDER BY refund_id";
        sql(select).bind(clinic).bind(payment).fetch_all(db).await
    }

    /// Which payment a refund of ours is of, and where; `db` is the system's.
    pub(crate) async fn clinic_of(db: &mut Conn, refund: Uuid) -> Result<Option<(ClinicId, PaymentId)>> {
        let select = "SELECT clinic_id, payment_id FROM refunds WHERE refund_id = $1";
        let found: Option<Place> = sql(select).bind(refund).fetch_optional(db).await?;
        Ok(found.map(|Place(clinic, id)| (clinic, id)))
    }
}

/// A payment that the payer's bank disputes, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dispute {
    /// Our identifier.
    pub dispute_id: DisputeId,
    /// Of which payment.
    pub payment_id: PaymentId,
    /// The provider's identifier.
    pub provider_ref: String,
    /// Where it stands.
    pub status: DisputeStatus,
    /// How much.
    pub amount_minor: i64,
    /// Of which currency.
    pub currency: Currency,
    /// The provider's word for why.
    pub reason: Option<String>,
    /// When we heard of it.
    pub opened_at: DateTime<Utc>,
    /// When it ended.
    pub closed_at: Option<DateTime<Utc>>,
}

impl FromRow for Dispute {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            dispute_id: row.id("dispute_id")?,
            payment_id: row.id("payment_id")?,
            provider_ref: row.get("provider_ref")?,
            status: row.parse("status")?,
            amount_minor: row.get("amount_minor")?,
            currency: row.parse("currency")?,
            reason: row.get("reason")?,
            opened_at: row.get("opened_at")?,
            closed_at: row.get("closed_at")?,
        })
    }
}

impl Dispute {
    /// Writes it, or where it stands now.
    pub(crate) async fn put(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        let upsert =
            "INSERT INTO disputes (dispute_id, clinic_id, payment_id, provider_ref, status, amount_minor,
                                            currency, reason, opened_at, closed_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                      ON CONFLICT (payment_id, provider_ref) DO UPDATE SET status = excluded.status,
                             amount_minor = excluded.amount_minor, closed_at = excluded.closed_at";
        sql(upsert)
            .bind(self.dispute_id)
            .bind(clinic)
            .bind(self.payment_id)
            .bind(&self.provider_ref)
            .bind(self.status.as_str())
            .bind(self.amount_minor)
            .bind(self.currency.code())
            .bind(self.reason.clone())
            .bind(self.opened_at)
            .bind(self.closed_at)
            .execute(db)
            .await
            .map(|_| ())
    }

    /// The disputes of a payment, the oldest first.
    pub(crate) async fn of(db: &mut Conn, clinic: ClinicId, payment: PaymentId) -> Result<Vec<Self>> {
        let select = "SELECT dispute_id, payment_id, provider_ref, status, amount_minor, currency, reason, opened_at,
                             closed_at FROM disputes WHERE payment_id = $2 AND clinic_id = $1 ORDER BY dispute_id";
        sql(select).bind(clinic).bind(payment).fetch_all(db).await
    }
}
