//! What happens to a subscription of ours: it begins, is renewed, changed, put on hold and ended, and billed for it.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use clinical::id::{ClinicId, CustomerId, InvoiceId, PatientId, PaymentMethodId, SubscriptionId};
use clinical::job::{Job, Priority};
use clinical::money::Money;
use gate::Problem;
use http::StatusCode;
use storage::db::{DbError, Tx};
use storage::queue;

use crate::invoice::{Invoice, NewInvoice};
use crate::lines::{Line, totals};
use crate::period::{self, Rest};
use crate::plan::Plan;
use crate::settings::BillingSettings;
use crate::subscription::{Subscription, SubscriptionState};

/// Who bills what nobody asked for.
pub(crate) const BY_ITSELF: &str = "billing";

/// Why a subscription was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubscribeError {
    #[error(transparent)]
    Database(#[from] DbError),
    #[error("the provider keeps this subscription: change it there")]
    KeptElsewhere,
    #[error("a subscription that is {0} cannot be changed so")]
    WrongState(&'static str),
    #[error("an invoice of the subscription is still to be paid")]
    Owing,
    #[error("nobody can subscribe to this plan any more")]
    PlanClosed,
    #[error("the plans have other currencies")]
    OtherCurrency,
    #[error("the sum is too large")]
    TooLarge,
}

impl From<SubscribeError> for Problem {
    fn from(error: SubscribeError) -> Self {
        let detail = error.to_string();
        match error {
            SubscribeError::Database(error) => error.into(),
            SubscribeError::KeptElsewhere => Self::conflict("kept-by-provider", detail),
            SubscribeError::WrongState(_) | SubscribeError::Owing => Self::conflict("wrong-state", detail),
            SubscribeError::PlanClosed => Self::conflict("plan-closed", detail),
            SubscribeError::OtherCurrency => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "other-currency", detail)
            }
            SubscribeError::TooLarge => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "amount-too-large", detail)
            }
        }
    }
}

/// A subscription that somebody wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewSubscription {
    pub customer: Option<CustomerId>,
    pub patient: Option<PatientId>,
    pub method: Option<PaymentMethodId>,
    /// Days without cost, in place of the plan's.
    pub trial_days: Option<i64>,
}

/// A subscription as it is now, and the invoice that came of the change.
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    pub subscription: Subscription,
    pub invoice: Option<InvoiceId>,
}

impl Subscription {
    /// Begins a subscription to `plan`.
    pub(crate) async fn begin(
        tx: &mut Tx,
        clinic: ClinicId,
        plan: &Plan,
        new: &NewSubscription,
        now: DateTime<Utc>,
    ) -> Result<Changed, SubscribeError> {
        if !plan.is_active {
            return Err(SubscribeError::PlanClosed);
        }
        let trial_days = new.trial_days.unwrap_or(plan.trial_days);
        let trial_ends_at = (trial_days > 0).then(|| now + TimeDelta::days(trial_days));
        let anchor = trial_ends_at.unwrap_or(now);
        let period_end = trial_ends_at.unwrap_or_else(|| plan.period().end(now, now.day()));
        let is_free = plan.price.minor == 0;
        let status = match (trial_ends_at, is_free) {
            (Some(_), _) => SubscriptionState::Trialing,
            (None, true) => SubscriptionState::Active,
            (None, false) => SubscriptionState::Incomplete,
        };
        let subscription = Self {
            subscription_id: SubscriptionId::new(),
            customer_id: new.customer,
            patient_id: new.patient,
            plan_id: Some(plan.plan_id),
            provider: None,
            provider_ref: None,
            status,
            method_id: new.method,
            trial_ends_at,
            anchor_day: i64::from(anchor.day()),
            period_start: now,
            period_end,
            ends_with_period: false,
            paused_at: None,
            carried_minor: 0,
            canceled_at: None,
            ended_at: None,
            reason: None,
            told_at: None,
            created_at: now,
            changed_at: now,
        };
        subscription.put(tx, clinic).await?;
        subscription.ask_for_renewal(tx, clinic, now).await?;
        let invoice = match trial_ends_at {
            Some(_) => None,
            None => subscription.bill_period(tx, clinic, plan, now).await?.0,
        };
        let subscription = Self::find(tx, clinic, subscription.subscription_id).await?;
        Ok(Changed { subscription, invoice })
    }

    async fn ask_for_renewal(
        &self,
        tx: &mut Tx,
        clinic: ClinicId,
        now: DateTime<Utc>,
    ) -> Result<(), DbError> {
        let job = Job::RenewSubscription { subscription_id: self.subscription_id };
        queue::ask(tx, clinic, &job, Priority::Routine, self.period_end, now).await
    }

    /// Bills the period that begins; the invoice, and what is carried on of what is owed to the customer.
    async fn bill_period(
        &self,
        tx: &mut Tx,
        clinic: ClinicId,
        plan: &Plan,
        now: DateTime<Utc>,
    ) -> Result<(Option<InvoiceId>, i64), SubscribeError> {
        let price = plan.price;
        let taken_off = self.carried_minor.clamp(0, price.minor);
        let what = format!("{}, {} to {}", plan.name, day(self.period_start), day(self.period_end));
        let invoice = self.bill(tx, clinic, plan, &what, price, taken_off, now).await?;
        Ok((invoice, self.carried_minor - taken_off))
    }

    /// Bills the period that begins and writes it all down. An invoice of nothing is paid at once: where the
    /// subscription stands is read again.
    async fn begin_period(
        &mut self,
        tx: &mut Tx,
        clinic: ClinicId,
        plan: &Plan,
        now: DateTime<Utc>,
    ) -> Result<Option<InvoiceId>, SubscribeError> {
        self.put(tx, clinic).await?;
        let (invoice, carried) = self.bill_period(tx, clinic, plan, now).await?;
        *self = Self::find(tx, clinic, self.subscription_id).await?;
        self.carried_minor = carried;
        self.put(tx, clinic).await?;
        Ok(invoice)
    }

    /// Issues an invoice of one line; `None` where it would ask for nothing.
    #[expect(clippy::too_many_arguments, reason = "each is a different thing, and two callers")]
    async fn bill(
        &self,
        tx: &mut Tx,
        clinic: ClinicId,
        plan: &Plan,
        what: &str,
        price: Money,
        taken_off: i64,
        now: DateTime<Utc>,
    ) -> Result<Option<InvoiceId>, SubscribeError> {
        if price.minor == 0 {
            return Ok(None);
        }
        let line = Line::of(what, 1, price.minor, taken_off, plan.tax_rate, price.currency);
        let lines = [line.ok_or(SubscribeError::TooLarge)?];
        let new = NewInvoice {
            patient_id: self.patient_id,
            customer_id: self.customer_id,
            subscription_id: Some(self.subscription_id),
            currency: price.currency,
            description: what,
            lines: &lines,
            totals: totals(&lines).ok_or(SubscribeError::TooLarge)?,
            due_at: None,
            created_by: BY_ITSELF,
        };
        let settings = BillingSettings::of(tx, clinic).await?;
        let mut invoice = Invoice::draft(tx, clinic, &new, now).await?;
        invoice.issue(tx, clinic, settings.terms(), now).await?;
        Ok(Some(invoice.invoice_id))
    }

    /// Begins the next period where this one is over, or ends the subscription; `None` where it is not over.
    pub(crate) async fn renew(
        &mut self,
        tx: &mut Tx,
        clinic: ClinicId,
        now: DateTime<Utc>,
    ) -> Result<Option<Changed>, SubscribeError> {
        let runs = matches!(
            self.status,
            SubscriptionState::Trialing
                | SubscriptionState::Active
                | SubscriptionState::PastDue
                | SubscriptionState::Incomplete
        );
        let Some(plan_id) = self.plan_id.filter(|_| runs && self.provider.is_none()) else { return Ok(None) };
        if now < self.period_end {
            self.ask_for_renewal(tx, clinic, now).await?;
            return Ok(None);
        }
        self.changed_at = now;
        if self.ends_with_period || self.status == SubscriptionState::Incomplete {
            self.status = SubscriptionState::Canceled;
            self.ended_at = Some(self.period_end);
            self.put(tx, clinic).await?;
            return Ok(Some(Changed { subscription: self.clone(), invoice: None }));
        }
        let plan = Plan::find(tx, clinic, plan_id).await?;
        self.period_start = self.period_end;
        self.period_end = plan.period().end(self.period_start, u32::try_from(self.anchor_day).unwrap_or(1));
        if self.status == SubscriptionState::Trialing {
            self.status = SubscriptionState::Active;
        }
        let invoice = self.begin_period(tx, clinic, &plan, now).await?;
        self.ask_for_renewal(tx, clinic, now).await?;
        Ok(Some(Changed { subscription: self.clone(), invoice }))
    }

    /// Refuses what can only be done to one of ours that has not ended.
    fn is_ours_and_runs(&self) -> Result<(), SubscribeError> {
        if self.provider.is_some() {
            return Err(SubscribeError::KeptElsewhere);
        }
        if self.status == SubscriptionState::Canceled {
            return Err(SubscribeError::WrongState(self.status.as_str()));
        }
        Ok(())
    }

    /// Changes the plan from today on: what it costs more for the days that are left is billed, what it costs less is
    /// taken off the next invoice. Of another length, its first period begins now, and all that is left of the old one
    /// is taken off.
    pub(crate) async fn change_plan(
        &mut self,
        tx: &mut Tx,
        clinic: ClinicId,
        to: &Plan,
        now: DateTime<Utc>,
    ) -> Result<Changed, SubscribeError> {
        self.is_ours_and_runs()?;
        if !to.is_active {
            return Err(SubscribeError::PlanClosed);
        }
        if matches!(self.status, SubscriptionState::Paused | SubscriptionState::Unpaid) {
            return Err(SubscribeError::WrongState(self.status.as_str()));
        }
        let from_id = self.plan_id.ok_or(SubscribeError::KeptElsewhere)?;
        let from = Plan::find(tx, clinic, from_id).await?;
        if from.price.currency != to.price.currency {
            return Err(SubscribeError::OtherCurrency);
        }
        let mut invoice = None;
        let in_trial = self.status == SubscriptionState::Trialing;
        if from.plan_id != to.plan_id && !in_trial {
            // What is left of a period counts only where that was paid.
            if Invoice::is_owed(tx, clinic, self.subscription_id, self.period_start).await? {
                return Err(SubscribeError::Owing);
            }
            let rest = period::rest(self.period_start, self.period_end, now);
            if from.period() == to.period() {
                invoice = self.change_within_period(tx, clinic, &from, to, rest, now).await?;
            } else {
                let unused = from.price.share(rest.left, rest.whole).map_err(|_| SubscribeError::TooLarge)?;
                self.carried_minor += unused.minor;
                self.anchor_day = i64::from(now.day());
                self.period_start = now;
                self.period_end = to.period().end(now, now.day());
                self.plan_id = Some(to.plan_id);
                self.changed_at = now;
                invoice = self.begin_period(tx, clinic, to, now).await?;
                // The job that waits for the end of the old period asks anew for that of this one.
                let job = Job::RenewSubscription { subscription_id: self.subscription_id };
                queue::hurry(tx, clinic, &job, Priority::Routine, now).await?;
            }
            // Who had it for nothing pays before they have more, as one who begins.
            let was_free = from.price.minor == 0;
            if was_free && Invoice::is_owed(tx, clinic, self.subscription_id, self.period_start).await? {
                self.status = SubscriptionState::Incomplete;
            }
        }
        self.plan_id = Some(to.plan_id);
        self.changed_at = now;
        self.put(tx, clinic).await?;
        Ok(Changed { subscription: self.clone(), invoice })
    }

    async fn change_within_period(
        &mut self,
        tx: &mut Tx,
        clinic: ClinicId,
        from: &Plan,
        to: &Plan,
        rest: Rest,
        now: DateTime<Utc>,
    ) -> Result<Option<InvoiceId>, SubscribeError> {
        let due = period::proration(from.price, to.price, rest).map_err(|_| SubscribeError::TooLarge)?;
        if due.minor <= 0 {
            self.carried_minor -= due.minor;
            return Ok(None);
        }
        let taken_off = self.carried_minor.clamp(0, due.minor);
        self.carried_minor -= taken_off;
        let what = format!("{} in place of {}, {} of {} days", to.name, from.name, rest.left, rest.whole);
        self.bill(tx, clinic, to, &what, due, taken_off, now).await
    }

    /// Puts it on hold: nothing is billed and nothing is covered until it goes on.
    pub(crate) async fn pause(
        &mut self,
        tx: &mut Tx,
        clinic: ClinicId,
        now: DateTime<Utc>,
    ) -> Result<(), SubscribeError> {
        self.is_ours_and_runs()?;
        if !matches!(self.status, SubscriptionState::Active | SubscriptionState::Trialing) {
            return Err(SubscribeError::WrongState(self.status.as_str()));
        }
        self.status = SubscriptionState::Paused;
        self.paused_at = Some(now);
        self.changed_at = now;
        Ok(self.put(tx, clinic).await?)
    }

    /// Goes on after a hold: its period ends as much later as the hold was long.
    pub(crate) async fn resume(
        &mut self,
        tx: &mut Tx,
        clinic: ClinicId,
        now: DateTime<Utc>,
    ) -> Result<(), SubscribeError> {
        self.is_ours_and_runs()?;
        let Some(paused_at) = self.paused_at.filter(|_| self.status == SubscriptionState::Paused) else {
            return Err(SubscribeError::WrongState(self.status.as_str()));
        };
        self.period_end = period::extended(self.period_end, paused_at, now);
        self.anchor_day = i64::from(self.period_end.day());
        let was_trial = self.trial_ends_at.is_some_and(|end| paused_at < end);
        self.trial_ends_at = self.trial_ends_at.map(|end| if was_trial { self.period_end } else { end });
        self.status = if was_trial { SubscriptionState::Trialing } else { SubscriptionState::Active };
        self.paused_at = None;
        self.changed_at = now;
        self.put(tx, clinic).await?;
        Ok(self.ask_for_renewal(tx, clinic, now).await?)
    }

    /// Ends it now, or with its period.
    pub(crate) async fn cancel(
        &mut self,
        tx: &mut Tx,
        clinic: ClinicId,
        is_at_period_end: bool,
        reason: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<(), SubscribeError> {
        self.is_ours_and_runs()?;
        self.canceled_at = Some(now);
        self.reason = reason;
        self.changed_at = now;
        if is_at_period_end && now < self.period_end {
            self.ends_with_period = true;
        } else {
            self.status = SubscriptionState::Canceled;
            self.ended_at = Some(now);
        }
        Ok(self.put(tx, clinic).await?)
    }

    /// Takes its end back: the period that was paid runs on; where it is over, a new one begins and is billed.
    pub(crate) async fn reactivate(
        &mut self,
        tx: &mut Tx,
        clinic: ClinicId,
        now: DateTime<Utc>,
    ) -> Result<Changed, SubscribeError> {
        if self.provider.is_some() {
            return Err(SubscribeError::KeptElsewhere);
        }
        let has_ended = matches!(self.status, SubscriptionState::Canceled | SubscriptionState::Unpaid);
        if !self.ends_with_period && !has_ended {
            return Err(SubscribeError::WrongState(self.status.as_str()));
        }
        let plan = Plan::find(tx, clinic, self.plan_id.ok_or(SubscribeError::KeptElsewhere)?).await?;
        if has_ended && !plan.is_active {
            return Err(SubscribeError::PlanClosed);
        }
        self.ends_with_period = false;
        (self.canceled_at, self.ended_at, self.reason, self.paused_at) = (None, None, None, None);
        self.changed_at = now;
        let mut invoice = None;
        if has_ended && now >= self.period_end {
            self.anchor_day = i64::from(now.day());
            self.period_start = now;
            self.period_end = plan.period().end(now, now.day());
            self.status =
                if plan.price.minor == 0 { SubscriptionState::Active } else { SubscriptionState::Incomplete };
            invoice = self.begin_period(tx, clinic, &plan, now).await?;
        } else {
            if has_ended {
                let in_trial = self.trial_ends_at.is_some_and(|end| now < end);
                let is_paid = plan.price.minor == 0 || self.is_paid(tx, clinic).await?;
                self.status = match (in_trial, is_paid) {
                    (true, _) => SubscriptionState::Trialing,
                    (false, true) => SubscriptionState::Active,
                    (false, false) => SubscriptionState::Incomplete,
                };
            }
            self.put(tx, clinic).await?;
        }
        self.ask_for_renewal(tx, clinic, now).await?;
        Ok(Changed { subscription: self.clone(), invoice })
    }
}

impl Subscription {
    /// Whether the period that runs is paid.
    async fn is_paid(&self, tx: &mut Tx, clinic: ClinicId) -> Result<bool, DbError> {
        let (id, since) = (self.subscription_id, self.period_start);
        Ok(!Invoice::is_owed(tx, clinic, id, since).await?
            && Invoice::is_covered(tx, clinic, id, since).await?)
    }
}

fn day(at: DateTime<Utc>) -> chrono::NaiveDate {
    at.date_naive()
}
