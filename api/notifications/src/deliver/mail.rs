//! E-mail that is no notice: about a person's own account, and to payers who have none to read a notice by.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, InvoiceId, UserId};
use storage::records::clinic::Clinic;
use storage::records::user::{EmailAddress, User};
use tracing::warn;
use uuid::Uuid;

use super::{DeliverError, Deliverer, count};
use crate::channel::{Address, Channel, Enclosure, Outgoing, PushUrgency};
use crate::delivery::DeliveryState;
use crate::letter::{TTL, corrupt};
use crate::suppression::is_suppressed;
use crate::words::{self, PASSWORD_RESET, Rendered};
use crate::{preferences, settings, templates};

/// What nobody has taken is tried again so soon.
const AGAIN: TimeDelta = TimeDelta::seconds(30);

/// An invoice for a payer who has no account.
pub struct MailedInvoice {
    /// The invoice.
    pub invoice_id: InvoiceId,
    /// Where bills go to.
    pub to: EmailAddress,
    /// Its number, as people read it.
    pub number: String,
    /// Its sum with its currency.
    pub amount: String,
    /// How often it was reminded of.
    pub reminders: i64,
    /// When the mail was asked for: asked for again, it is another message.
    pub asked_at: DateTime<Utc>,
    /// The invoice on paper.
    pub paper: Enclosure,
}

impl Deliverer {
    /// Mails a person the link with which they set a new password, whatever they have said of other mail. When to try
    /// again comes back, where that may help.
    ///
    /// `by` is whose providers carry it; every try of one `token_id` is the same message. The words are the program's:
    /// in a clinic's own the link could travel elsewhere.
    ///
    /// # Errors
    ///
    /// [`DeliverError`]: nothing was sent.
    pub async fn mail_password_reset(
        &self,
        by: ClinicId,
        user: UserId,
        token_id: Uuid,
        token: &str,
    ) -> Result<Option<DateTime<Utc>>, DeliverError> {
        let mut read = self.db.read().await?;
        let email = User::find(&mut read, user).await?.email;
        let to: EmailAddress = email.parse().map_err(|_| corrupt("users.email"))?;
        let locale = match preferences::of(&mut read, user).await?.locale {
            Some(own) => own,
            None => settings::of(&mut read, by).await?.locale,
        };
        drop(read);
        let link = format!("{}/reset-password#{token}", self.public_url);
        let words = words::built_in(PASSWORD_RESET, &locale).ok_or_else(|| corrupt("the program's words"))?;
        let said = words.render(&BTreeMap::from([("link".to_owned(), link)]));
        self.mail(by, token_id, to, said, None).await
    }

    /// Mails an invoice, or a reminder of it, with its paper. When to try again comes back, where that may help.
    ///
    /// # Errors
    ///
    /// [`DeliverError`]: nothing was sent.
    pub async fn mail_invoice(
        &self,
        clinic: ClinicId,
        invoice: MailedInvoice,
    ) -> Result<Option<DateTime<Utc>>, DeliverError> {
        let MailedInvoice { invoice_id, to, number, amount, reminders, asked_at, paper } = invoice;
        let mut read = self.db.read().await?;
        let locale = settings::of(&mut read, clinic).await?.locale;
        let name = if reminders > 0 { "invoice_reminded" } else { "invoice_mailed" };
        let values = [
            ("clinic", Clinic::find(&mut read, clinic).await?.name),
            ("link", self.public_url.to_string()),
            ("number", number),
            ("amount", amount),
            ("reminder", reminders.to_string()),
        ];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let said = templates::words(&mut read, clinic, name, &locale).await?.render(&values);
        drop(read);
        let id = Uuid::new_v5(&invoice_id.0, &asked_at.timestamp_micros().to_be_bytes());
        self.mail(clinic, id, to, said, Some(paper)).await
    }

    async fn mail(
        &self,
        by: ClinicId,
        dedupe_id: Uuid,
        to: EmailAddress,
        said: Rendered,
        enclosure: Option<Enclosure>,
    ) -> Result<Option<DateTime<Utc>>, DeliverError> {
        let to = Address::Email(to);
        if is_suppressed(&mut self.db.read().await?, by, Channel::Email, &to.key()).await? {
            count(Channel::Email, DeliveryState::Suppressed.as_str());
            return Ok(None);
        }
        let mail = Outgoing {
            dedupe_id,
            to,
            subject: said.subject,
            text: said.text,
            html: Some(said.html),
            enclosure,
            template: None,
            data: BTreeMap::new(),
            urgency: PushUrgency::Normal,
            ttl: TTL,
        };
        let error = match self.switchboard.send(by, &mail).await {
            Ok(_) => {
                count(Channel::Email, DeliveryState::Sent.as_str());
                return Ok(None);
            }
            Err(error) => error,
        };
        count(Channel::Email, super::code(&error));
        if !error.is_worth_another_try() {
            warn!(mail.id = %dedupe_id, code = super::code(&error), "a mail reaches nobody");
            return Ok(None);
        }
        let asked = error.retry_after().and_then(|asked| TimeDelta::from_std(asked).ok()).unwrap_or_default();
        Ok(Some(self.clock.now() + asked.max(AGAIN)))
    }
}
