//! An invoice as it goes by e-mail to a payer who has no account here to read it by.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, InvoiceId};
use clinical::job::{Job, Priority};
use clinical::money::Money;
use storage::db::{Conn, Db, DbError, Tx, sql};
use storage::queue;
use storage::records::user::EmailAddress;

use super::pdf::{Letterhead, pdf};
use super::{Invoice, InvoiceStatus};
use crate::customer::Customer;
use crate::paper::PaperError;

/// An issued invoice, ready to be mailed.
pub struct InvoiceMail {
    /// Where bills go to.
    pub to: EmailAddress,
    /// Its number, as people read it.
    pub number: String,
    /// Its sum with its currency.
    pub amount: String,
    /// How often it was reminded of.
    pub reminders: i64,
    /// The name of the file.
    pub file_name: String,
    /// The invoice as a PDF.
    pub paper: Vec<u8>,
}

/// Why it cannot be mailed now.
#[derive(Debug, thiserror::Error)]
pub enum InvoiceMailError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The paper was not made.
    #[error("the invoice was not written")]
    Paper(#[from] PaperError),
    /// Making it was stopped.
    #[error("the invoice was not written")]
    Stopped(#[from] tokio::task::JoinError),
}

impl InvoiceMail {
    /// The invoice for its payer; `None` where it is to go to nobody any more.
    ///
    /// # Errors
    ///
    /// [`InvoiceMailError`].
    pub async fn of(db: &Db, clinic: ClinicId, id: InvoiceId) -> Result<Option<Self>, InvoiceMailError> {
        let mut rows = db.read().await?;
        let invoice = Invoice::find(&mut rows, clinic, id).await?;
        let is_told = !matches!(invoice.status, InvoiceStatus::Draft | InvoiceStatus::Void);
        let (true, Some(to)) = (is_told, invoice.mailbox(&mut rows, clinic).await?) else { return Ok(None) };
        let Some(head) = Letterhead::of(&mut rows, clinic, &invoice).await? else { return Ok(None) };
        let lines = invoice.lines(&mut rows, clinic).await?;
        drop(rows);
        let (number, reminders, file_name) = (head.number.clone(), invoice.reminders, invoice.file_name());
        let amount = Money::new(invoice.total_minor, invoice.currency).to_string();
        let paper = tokio::task::spawn_blocking(move || pdf(&invoice, &lines, &head)).await??;
        Ok(Some(Self { to, number, amount, reminders, file_name, paper }))
    }
}

impl Invoice {
    /// Where the invoice itself goes by e-mail: to its payer, unless they are a patient with an account, who is told there.
    pub(crate) async fn mailbox(
        &self,
        rows: &mut Conn,
        clinic: ClinicId,
    ) -> Result<Option<EmailAddress>, DbError> {
        let Some(customer) = self.customer_id else { return Ok(None) };
        let Customer { email, patient_id, .. } = Customer::find(rows, clinic, customer).await?;
        if let Some(patient) = patient_id {
            let count = "SELECT count(*) FROM memberships WHERE clinic_id = $1 AND patient_id = $2";
            if sql(count).bind(clinic).bind(patient).fetch_one::<i64>(rows).await? > 0 {
                return Ok(None);
            }
        }
        Ok(email.and_then(|email| email.parse().ok()))
    }

    /// Asks for the mail to its payer, where it goes to one.
    pub(crate) async fn ask_for_mail(
        &self,
        db: &mut Tx,
        clinic: ClinicId,
        now: DateTime<Utc>,
    ) -> Result<(), DbError> {
        if self.mailbox(db, clinic).await?.is_none() {
            return Ok(());
        }
        let job = Job::MailInvoice { invoice_id: self.invoice_id, since: now };
        queue::ask(db, clinic, &job, Priority::Routine, now, now).await
    }

    /// The name of its file.
    pub(crate) fn file_name(&self) -> String {
        format!("invoice-{:06}.pdf", self.number.unwrap_or(0))
    }
}
