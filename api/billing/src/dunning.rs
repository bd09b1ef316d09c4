//! What is billed and collected without anybody asking: periods that begin, reminders, stored methods tried again.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, InvoiceId, SubscriptionId};
use storage::db::{DbError, Tx};
use storage::queue;
use tracing::info;

use crate::cashier::Cashier;
use crate::collect::{CollectError, Wanted};
use crate::invoice::{Invoice, InvoiceStatus};
use crate::settings::BillingSettings;
use crate::subscribe::{BY_ITSELF, Changed};
use crate::subscription::{Subscription, SubscriptionState};

impl Cashier {
    /// Charges the stored method of a subscription for an invoice of it; without one, the invoice waits for the payer.
    pub(crate) async fn charge_for(
        &self,
        clinic: ClinicId,
        subscription: &Subscription,
        invoice: InvoiceId,
    ) -> Result<(), CollectError> {
        let Some(method) = subscription.method_id else { return Ok(()) };
        let wanted = Wanted {
            invoice: Some(invoice),
            amount: None,
            customer: subscription.customer_id,
            patient: subscription.patient_id,
            method: Some(method),
            provider: None,
            country: None,
            description: String::new(),
            captures_later: false,
            return_url: None,
            by: BY_ITSELF.to_owned(),
        };
        match self.collect(clinic, &wanted, None).await {
            Ok(_) | Err(CollectError::NotOwed | CollectError::UnderWay) => Ok(()),
            // What was declined or not reached is tried again with the reminders.
            Err(
                error @ (CollectError::Declined { .. }
                | CollectError::Unreachable { .. }
                | CollectError::NoProvider),
            ) => {
                info!(invoice.id = %invoice, %error, "a stored method was not charged");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// `RenewSubscription`: begins the next period, bills and charges it; ends the job.
    ///
    /// # Errors
    ///
    /// A failure of the database, or of the provider: the job is tried again.
    pub async fn renew(
        &self,
        claimed: &queue::Claimed,
        id: SubscriptionId,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (clinic, now) = (claimed.clinic_id, self.clock.now());
        let mut tx = self.db.of(clinic).begin().await?;
        let changed = match Subscription::hold(&mut tx, clinic, id).await {
            Ok(mut held) => held.renew(&mut tx, clinic, now).await?,
            Err(DbError::NotFound) => None,
            Err(error) => return Err(error.into()),
        };
        queue::finish(&mut tx, claimed).await?;
        tx.commit().await?;
        if let Some(Changed { subscription, invoice: Some(invoice) }) = changed {
            self.charge_for(clinic, &subscription, invoice).await?;
        }
        Ok(())
    }

    /// `DunInvoice`: reminds of an invoice past its day, charges a stored method again, and gives up in the end; ends the
    /// job.
    ///
    /// # Errors
    ///
    /// As [`Cashier::renew`].
    pub async fn dun(
        &self,
        claimed: &queue::Claimed,
        id: InvoiceId,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (clinic, now) = (claimed.clinic_id, self.clock.now());
        let mut tx = self.db.of(clinic).begin().await?;
        let mut to_charge = None;
        match Invoice::hold(&mut tx, clinic, id).await {
            Ok(mut invoice) if invoice.status == InvoiceStatus::Open => {
                to_charge = self.remind(&mut tx, clinic, &mut invoice, now).await?;
            }
            Ok(_) | Err(DbError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
        queue::finish(&mut tx, claimed).await?;
        tx.commit().await?;
        if let Some(subscription) = to_charge {
            self.charge_for(clinic, &subscription, id).await?;
        }
        Ok(())
    }

    /// The next step towards an open invoice; the subscription whose method is to be charged again, if there is one.
    async fn remind(
        &self,
        tx: &mut Tx,
        clinic: ClinicId,
        invoice: &mut Invoice,
        now: DateTime<Utc>,
    ) -> Result<Option<Subscription>, DbError> {
        let settings = BillingSettings::of(tx, clinic).await?;
        let gives_up_at = invoice.late_by(settings.give_up_days);
        if gives_up_at.is_some_and(|at| at <= now) {
            invoice.close(tx, clinic, InvoiceStatus::Uncollectible, now).await?;
            if let Some(subscription) = invoice.subscription_id {
                let runs = |was: SubscriptionState| was.covers() || was == SubscriptionState::Incomplete;
                Subscription::move_on(tx, clinic, subscription, SubscriptionState::Unpaid, now, runs).await?;
            }
            return Ok(None);
        }
        if invoice.remind_at.is_none_or(|at| now < at) {
            invoice.ask_for_dunning(tx, clinic, gives_up_at, now).await?;
            return Ok(None);
        }
        let next_at = settings.next_reminder(invoice.reminders + 1).map(|pause| now + pause);
        invoice.remind(tx, clinic, next_at, now).await?;
        invoice.ask_for_dunning(tx, clinic, gives_up_at, now).await?;
        let Some(subscription) = invoice.subscription_id else { return Ok(None) };
        let runs = |was| was == SubscriptionState::Active;
        Subscription::move_on(tx, clinic, subscription, SubscriptionState::PastDue, now, runs).await?;
        Subscription::find(tx, clinic, subscription).await.map(Some)
    }
}
