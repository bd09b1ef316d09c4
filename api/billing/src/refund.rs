//! Money is given back: in part or in full, never more than has come in.

use clinical::id::{ClinicId, PaymentId, RefundId};
use clinical::job::{Job, Priority};
use gate::{Caller, Problem};
use http::StatusCode;
use storage::queue;
use tracing::warn;

use crate::cashier::{Cashier, FIRST_LOOK, SettleError, refund_ask};
use crate::invoice::Invoice;
use crate::payment::Payment;
use crate::progress::Progress;
use crate::returned::{Dispute, Refund, RefundStatus};

/// Why nothing is given back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefundError {
    #[error(transparent)]
    Settle(#[from] SettleError),
    #[error("nothing has come in that could be given back")]
    NothingPaid,
    #[error("no more than {0} minor units can be given back")]
    TooMuch(i64),
}

impl From<storage::db::DbError> for RefundError {
    fn from(error: storage::db::DbError) -> Self {
        Self::Settle(error.into())
    }
}

impl From<RefundError> for Problem {
    fn from(error: RefundError) -> Self {
        let detail = error.to_string();
        match error {
            RefundError::Settle(error) => error.into(),
            RefundError::NothingPaid => Self::conflict("nothing-paid", detail),
            RefundError::TooMuch(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refund-above-paid", detail)
            }
        }
    }
}

impl Cashier {
    /// Gives back `amount_minor` of a payment, or all that is left of it.
    ///
    /// What the provider's answer leaves open is settled later under the same key.
    ///
    /// # Errors
    ///
    /// [`RefundError`]; nothing has changed then, or the refund stands as failed.
    pub(crate) async fn give_back(
        &self,
        clinic: ClinicId,
        id: PaymentId,
        amount_minor: Option<i64>,
        reason: Option<String>,
        caller: &Caller,
    ) -> Result<Refund, RefundError> {
        let (payment, refund) = self.write_refund(clinic, id, amount_minor, reason, caller).await?;
        let account = self.accounts.of(clinic, payment.provider).await.map_err(SettleError::from)?;
        let ask = refund_ask(&payment, &refund).ok_or(RefundError::NothingPaid)?;
        let known = match account.refund(&ask).await {
            Ok(told) => {
                self.take_in(clinic, id, |known, now| {
                    known.join_refund(&told, now);
                    Ok(())
                })
                .await?
            }
            Err(error) if error.is_passing() => {
                warn!(refund.id = %refund.refund_id, %error, "a refund is left to be settled later");
                return Ok(refund);
            }
            Err(error) => {
                self.refund_failed(clinic, id, &refund, &error).await?;
                return Err(SettleError::Provider(error).into());
            }
        };
        let found = known.refunds.into_iter().find(|it| it.refund_id == refund.refund_id);
        Ok(found.unwrap_or(refund))
    }

    /// The row of the refund, which counts from now on, and the job that looks after it.
    async fn write_refund(
        &self,
        clinic: ClinicId,
        id: PaymentId,
        amount_minor: Option<i64>,
        reason: Option<String>,
        caller: &Caller,
    ) -> Result<(Payment, Refund), RefundError> {
        let now = self.clock.now();
        let mut tx = self.db.of(clinic).begin().await?;
        if let Some(invoice) = Payment::find(&mut tx, clinic, id).await?.invoice_id {
            Invoice::hold(&mut tx, clinic, invoice).await?;
        }
        let known = Progress {
            payment: Payment::hold(&mut tx, clinic, id).await?,
            refunds: Refund::of(&mut tx, clinic, id).await?,
            disputes: Dispute::of(&mut tx, clinic, id).await?,
        };
        if known.payment.captured_minor == 0 {
            return Err(RefundError::NothingPaid);
        }
        let most = known.refundable_minor();
        let amount_minor = amount_minor.unwrap_or(most);
        if !(1..=most).contains(&amount_minor) {
            return Err(RefundError::TooMuch(most));
        }
        let refund = Refund {
            refund_id: RefundId::new(),
            payment_id: id,
            provider_ref: None,
            status: RefundStatus::Asked,
            amount_minor,
            currency: known.payment.currency,
            reason,
            created_by: caller.name.clone(),
            created_at: now,
        };
        refund.put(&mut tx, clinic, now).await?;
        let job = Job::SettlePayment { payment_id: id };
        queue::ask(&mut tx, clinic, &job, Priority::Routine, now + FIRST_LOOK, now).await?;
        caller.about_record(refund.refund_id);
        caller.write_down(&mut tx).await?;
        tx.commit().await?;
        Ok((known.payment, refund))
    }
}
