//! A subscription as it is kept: ours, billed here, or a provider's own, of which its webhooks tell.

use chrono::{DateTime, Utc};
use clinical::event::Event;
use clinical::id::{ClinicId, CustomerId, PatientId, PaymentMethodId, PlanId, SubscriptionId};
use storage::db::{Conn, FromRow, Result, Row, Tx, built_sql, sql};
use storage::outbox;
use storage::records::listing::Listing;
use storage::records::patient::Shown;
use uuid::Uuid;

use crate::provider::{ProviderName, SubscriptionStatus};
use crate::words::words;

words! {
    /// Where a subscription stands.
    SubscriptionState, "subscriptions.status" {
        /// The first payment is still out.
        Incomplete = "incomplete",
        /// It costs nothing yet.
        Trialing = "trialing",
        /// It runs.
        Active = "active",
        /// It runs, and an invoice of it is past its day.
        PastDue = "past_due",
        /// It is on hold.
        Paused = "paused",
        /// Its invoices were given up.
        Unpaid = "unpaid",
        /// It has ended.
        Canceled = "canceled",
    }
}

impl From<SubscriptionStatus> for SubscriptionState {
    fn from(status: SubscriptionStatus) -> Self {
        match status {
            SubscriptionStatus::Incomplete => Self::Incomplete,
            SubscriptionStatus::Trialing => Self::Trialing,
            SubscriptionStatus::Active => Self::Active,
            SubscriptionStatus::PastDue => Self::PastDue,
            SubscriptionStatus::Paused => Self::Paused,
            SubscriptionStatus::Unpaid => Self::Unpaid,
            SubscriptionStatus::Canceled => Self::Canceled,
        }
    }
}

impl SubscriptionState {
    /// Whether what it covers may be used.
    pub fn covers(self) -> bool {
        matches!(self, Self::Trialing | Self::Active | Self::PastDue)
    }
}

/// A stored subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Our identifier.
    pub subscription_id: SubscriptionId,
    /// Who pays.
    pub customer_id: Option<CustomerId>,
    /// Whose it is.
    pub patient_id: Option<PatientId>,
    /// The plan; `None` for a provider's own.
    pub plan_id: Option<PlanId>,
    /// Who keeps it; `None` for ours.
    pub provider: Option<ProviderName>,
    /// Under which name.
    pub provider_ref: Option<String>,
    /// Where it stands.
    pub status: SubscriptionState,
    /// What is charged for it.
    pub method_id: Option<PaymentMethodId>,
    /// Until when it costs nothing.
    pub trial_ends_at: Option<DateTime<Utc>>,
    /// The day of the month that its periods keep to.
    pub anchor_day: i64,
    /// The period that is paid or to be paid begins …
    pub period_start: DateTime<Utc>,
    /// … and ends.
    pub period_end: DateTime<Utc>,
    /// Whether it ends then.
    pub ends_with_period: bool,
    /// Since when it is on hold.
    pub paused_at: Option<DateTime<Utc>>,
    /// What the next invoice is less by, in minor units.
    pub carried_minor: i64,
    /// When somebody ended it.
    pub canceled_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<String>,
    /// When the provider told of it last.
    pub told_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it changed last.
    pub changed_at: DateTime<Utc>,
}

const COLUMNS: &str = "subscription_id, customer_id, patient_id, plan_id, provider, provider_ref, status, method_id,
    trial_ends_at, anchor_day, period_start, period_end, ends_with_period, paused_at, carried_minor, canceled_at, ended_at,
    reason, told_at, created_at, changed_at";

impl FromRow for Subscription {
    fn from_row(row: &Row) -> Result<Self> {
        let provider: Option<String> = row.get("provider")?;
        Ok(Self {
            subscription_id: row.id("subscription_id")?,
            customer_id: row.get::<Option<Uuid>>("customer_id")?.map(CustomerId),
            patient_id: row.get::<Option<Uuid>>("patient_id")?.map(PatientId),
            plan_id: row.get::<Option<Uuid>>("plan_id")?.map(PlanId),
            provider: provider.map(|_| row.parse("provider")).transpose()?,
            provider_ref: row.get("provider_ref")?,
            status: row.parse("status")?,
            method_id: row.get::<Option<Uuid>>("method_id")?.map(PaymentMethodId),
            trial_ends_at: row.get("trial_ends_at")?,
            anchor_day: row.get("anchor_day")?,
            period_start: row.get("period_start")?,
            period_end: row.get("period_end")?,
            ends_with_period: row.get("ends_with_period")?,
            paused_at: row.get("paused_at")?,
            carried_minor: row.get("carried_minor")?,
            canceled_at: row.get("canceled_at")?,
            ended_at: row.get("ended_at")?,
            reason: row.get("reason")?,
            told_at: row.get("told_at")?,
            created_at: row.get("created_at")?,
            changed_at: row.get("changed_at")?,
        })
    }
}

impl Subscription {
    /// Writes it, or what may change of it, and tells of it.
    pub(crate) async fn put(&self, db: &mut Tx, clinic: ClinicId) -> Result<()> {
        let upsert = "INSERT INTO subscriptions (clinic_id, subscription_id, customer_id, patient_id, plan_id, provider,
                provider_ref, status, method_id, trial_ends_at, anchor_day, period_start, period_end, ends_with_period,
                paused_at, carried_minor, canceled_at, ended_at, reason, told_at, created_at, changed_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
            ON CONFLICT (subscription_id) DO UPDATE SET customer_id = excluded.customer_id, plan_id = excluded.plan_id,
                status = excluded.status, method_id = excluded.method_id, trial_ends_at = excluded.trial_ends_at,
                anchor_day = excluded.anchor_day, period_start = excluded.period_start, period_end = excluded.period_end,
                ends_with_period = excluded.ends_with_period, paused_at = excluded.paused_at,
                carried_minor = excluded.carried_minor, canceled_at = excluded.canceled_at, ended_at = excluded.ended_at,
                reason = excluded.reason, told_at = excluded.told_at, changed_at = excluded.changed_at";
        sql(upsert)
            .bind(clinic)
            .bind(self.subscription_id)
            .bind(self.customer_id)
            .bind(self.patient_id)
            .bind(self.plan_id)
            .bind(self.provider.map(ProviderName::as_str))
            .bind(self.provider_ref.clone())
            .bind(self.status.as_str())
            .bind(self.method_id)
            .bind(self.trial_ends_at)
            .bind(self.anchor_day)
            .bind(self.period_start)
            .bind(self.period_end)
            .bind(self.ends_with_period)
            .bind(self.paused_at)
            .bind(self.carried_minor)
            .bind(self.canceled_at)
            .bind(self.ended_at)
            .bind(self.reason.clone())
            .bind(self.told_at)
            .bind(self.created_at)
            .bind(self.changed_at)
            .execute(db)
            .await?;
        let changed = Event::SubscriptionChanged {
            subscription_id: self.subscription_id,
            patient_id: self.patient_id,
            status: self.status.as_str().to_owned(),
        };
        outbox::tell(db, clinic, &changed, self.changed_at).await
    }

    /// One subscription of one clinic.
    ///
    /// # Errors
    ///
    /// `DbError::NotFound` when the clinic has none of that identifier.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: SubscriptionId) -> Result<Self> {
        let text =
            format!("SELECT {COLUMNS} FROM subscriptions WHERE clinic_id = $1 AND subscription_id = $2");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// One subscription, which no other transaction changes until this one ends.
    ///
    /// # Errors
    ///
    /// As [`Subscription::find`].
    pub(crate) async fn hold(db: &mut Tx, clinic: ClinicId, id: SubscriptionId) -> Result<Self> {
        let lock = db.change_lock();
        let text = format!(
            "SELECT {COLUMNS} FROM subscriptions WHERE clinic_id = $1 AND subscription_id = $2{lock}"
        );
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// The clinic's subscription that a provider knows by this name.
    pub(crate) async fn by_ref(
        db: &mut Conn,
        clinic: ClinicId,
        provider: Option<ProviderName>,
        name: &str,
    ) -> Result<Option<Self>> {
        let names = provider.map_or_else(|| ProviderName::ALL.to_vec(), |name| vec![name]);
        let names: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
        let text = format!(
            "SELECT {COLUMNS} FROM subscriptions
              WHERE clinic_id = $1 AND provider IN ({}) AND provider_ref = $2 LIMIT 1",
            names.join(", ")
        );
        built_sql(text).bind(clinic).bind(name).fetch_optional(db).await
    }

    /// In which clinic a provider's own subscription is; `db` is the system's.
    pub(crate) async fn clinic_of(
        db: &mut Conn,
        provider: ProviderName,
        name: &str,
    ) -> Result<Option<ClinicId>> {
        let select = "SELECT clinic_id FROM subscriptions WHERE provider = $1 AND provider_ref = $2 LIMIT 1";
        let found: Option<Uuid> = sql(select).bind(provider.as_str()).bind(name).fetch_optional(db).await?;
        Ok(found.map(ClinicId))
    }

    /// Those of one patient or of the clinic, of patients whom `shown` names or of nobody in particular, newest first,
    /// from before `after` on.
    pub(crate) async fn list(
        db: &mut Conn,
        clinic: ClinicId,
        patient: Option<PatientId>,
        shown: Shown,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Vec<Self>> {
        Listing::of(format!("SELECT {COLUMNS} FROM subscriptions WHERE clinic_id = $1"))
            .by("patient_id =", patient)
            .shown("subscriptions.patient_id", shown)
            .newest("subscription_id", after, clinic, limit)
            .fetch_all(db)
            .await
    }

    /// An invoice of it was paid: what waited for that runs again.
    pub(crate) async fn was_paid(
        db: &mut Tx,
        clinic: ClinicId,
        id: SubscriptionId,
        now: DateTime<Utc>,
    ) -> Result<()> {
        Self::move_on(db, clinic, id, SubscriptionState::Active, now, |was| {
            matches!(
                was,
                SubscriptionState::Incomplete | SubscriptionState::PastDue | SubscriptionState::Unpaid
            )
        })
        .await
    }

    /// Moves it to `status` where `from` says so of where it stands.
    pub(crate) async fn move_on(
        db: &mut Tx,
        clinic: ClinicId,
        id: SubscriptionId,
        status: SubscriptionState,
        now: DateTime<Utc>,
        from: impl Fn(SubscriptionState) -> bool,
    ) -> Result<()> {
        let mut held = Self::hold(db, clinic, id).await?;
        if from(held.status) {
            held.status = status;
            held.changed_at = now;
            held.put(db, clinic).await?;
        }
        Ok(())
    }
}
