//! A payment is looked after until nothing more is to come of it, however long its provider cannot be reached.

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, InvoiceId, PaymentId};
use clinical::job::{Job, Priority};
use storage::db::DbError;
use storage::queue;
use tracing::{error, info};

use crate::cashier::{Cashier, FIRST_LOOK, LAST_LOOK, SettleError};
use crate::payment::{Payment, PaymentStatus};
use crate::progress::Progress;
use crate::provider::{Confirm, IdempotencyKey, Operation, ProviderError};
use crate::returned::Refund;

/// The longest pause between two looks.
const LONGEST_PAUSE: TimeDelta = TimeDelta::hours(6);

impl Cashier {
    /// `SettlePayment`: looks after a payment until nothing more is to come of it; ends the job.
    ///
    /// A provider that cannot be reached is asked again later, as one that has nothing new to say.
    ///
    /// # Errors
    ///
    /// [`SettleError`]: the job is tried again.
    pub async fn look_after(&self, claimed: &queue::Claimed, id: PaymentId) -> Result<(), SettleError> {
        let clinic = claimed.clinic_id;
        let settled = async {
            let payment = self.settle(clinic, id).await?;
            self.finish_alone(clinic, &payment).await
        };
        let look_again = match settled.await {
            Err(SettleError::Database(DbError::NotFound)) => None,
            Err(SettleError::Mismatch(mismatch)) => {
                error!(payment.id = %id, %mismatch, "a provider tells of another payment under our name");
                None
            }
            Err(error) if error.is_passing() => {
                info!(payment.id = %id, %error, "a payment is settled later");
                match self.open_since(clinic, id).await?.1 {
                    // What nobody answers for so long is for people to look at: the job fails.
                    Some(since) if !self.is_young(since) => return Err(error),
                    since => since,
                }
            }
            Err(error) => return Err(error),
            Ok(_) => {
                let (payment, open_since) = self.open_since(clinic, id).await?;
                let look_again = open_since.filter(|since| self.is_young(*since));
                if look_again.is_none() {
                    self.abandon(clinic, &payment).await?;
                }
                look_again
            }
        };
        let now = self.clock.now();
        let mut tx = self.db.of(clinic).begin().await?;
        if let Some(since) = look_again {
            let job = Job::SettlePayment { payment_id: id };
            let at = now + pause(now - since, FIRST_LOOK);
            queue::ask(&mut tx, clinic, &job, Priority::Routine, at, now).await?;
        }
        queue::finish(&mut tx, claimed).await?;
        Ok(tx.commit().await?)
    }

    /// Finishes what the payer has agreed to at the provider, or writes down that it was declined.
    ///
    /// # Errors
    ///
    /// [`SettleError`]; nothing has changed then.
    pub(crate) async fn finish(&self, clinic: ClinicId, payment: &Payment) -> Result<Payment, SettleError> {
        let Some(name) = &payment.provider_ref else { return Ok(payment.clone()) };
        let (id, account) = (payment.payment_id, self.accounts.of(clinic, payment.provider).await?);
        let ask = Confirm {
            provider_id: name.clone(),
            method_id: None,
            return_url: payment.return_url.clone(),
            key: IdempotencyKey::of(id.0, "confirm"),
        };
        let known = match account.confirm(&ask).await {
            Ok(told) => self.take_in(clinic, id, |known, now| known.join(&told, now)).await?,
            Err(ProviderError::Declined { code, .. }) => self.declined(clinic, id, &code).await?,
            Err(error) => return Err(error.into()),
        };
        Ok(known.payment)
    }

    /// Finishes a payment whose payer has agreed to pay now and may never come back; one that cannot be finished stays.
    ///
    /// # Errors
    ///
    /// [`SettleError`] where the provider may do it later, or the database failed.
    pub(crate) async fn finish_alone(&self, clinic: ClinicId, payment: &Payment) -> Result<(), SettleError> {
        if payment.status != PaymentStatus::RequiresConfirmation {
            return Ok(());
        }
        let account = self.accounts.of(clinic, payment.provider).await?;
        if !account.supports(Operation::ConfirmAlone) {
            return Ok(());
        }
        match self.finish(clinic, payment).await {
            Err(SettleError::Provider(error)) if !error.is_passing() => {
                info!(payment.id = %payment.payment_id, %error, "a payment that was agreed to is not finished");
                Ok(())
            }
            finished => finished.map(drop),
        }
    }

    /// A payment, and since when something is still to come of it or of its refunds.
    async fn open_since(
        &self,
        clinic: ClinicId,
        id: PaymentId,
    ) -> Result<(Payment, Option<DateTime<Utc>>), DbError> {
        let db = self.db.of(clinic);
        let mut rows = db.read().await?;
        let payment = Payment::find(&mut rows, clinic, id).await?;
        let refunds = Refund::of(&mut rows, clinic, id).await?;
        let of_refunds = refunds.iter().filter(|it| it.status.is_under_way()).map(|it| it.created_at);
        let own = payment.status.is_under_way().then_some(payment.created_at);
        let since = of_refunds.chain(own).max();
        Ok((payment, since))
    }

    /// Gives up every payment of an invoice that nobody is to pay any more, as far as its provider can be reached: what
    /// is paid all the same counts, and is the payer's to get back.
    pub(crate) async fn abandon_payments_of(
        &self,
        clinic: ClinicId,
        invoice: InvoiceId,
    ) -> Result<(), SettleError> {
        let payments = Payment::of_invoice(&mut self.db.of(clinic).read().await?, clinic, invoice).await?;
        for payment in &payments {
            self.abandon(clinic, payment).await?;
        }
        Ok(())
    }

    fn is_young(&self, since: DateTime<Utc>) -> bool {
        self.clock.now() - since < LAST_LOOK
    }

    /// Gives up a payment on which the payer has never acted, here and where possible at the provider. Should the payer
    /// pay all the same, that counts more.
    async fn abandon(&self, clinic: ClinicId, payment: &Payment) -> Result<(), SettleError> {
        if !matches!(payment.status, PaymentStatus::RequiresAction | PaymentStatus::RequiresConfirmation) {
            return Ok(());
        }
        let (id, account) = (payment.payment_id, self.accounts.of(clinic, payment.provider).await?);
        if let Some(known) = &payment.provider_ref
            && account.supports(Operation::Cancel)
        {
            match account.cancel(known, &IdempotencyKey::of(id.0, "cancel")).await {
                Ok(told) => {
                    self.take_in(clinic, id, |known, now| known.join(&told, now)).await?;
                }
                Err(error) => {
                    info!(payment.id = %id, %error, "a provider keeps a payment that nobody makes");
                }
            }
        }
        let canceled = |known: &mut Progress, _| {
            known.payment.status = known.payment.status.max(PaymentStatus::Canceled);
            Ok(())
        };
        self.take_in(clinic, id, canceled).await.map(|_| ())
    }
}

/// How long after the last look the next one is, of what has been open for `age`: half of it, and `first` at least.
pub(crate) fn pause(age: TimeDelta, first: TimeDelta) -> TimeDelta {
    (age / 2).clamp(first, LONGEST_PAUSE)
}
