//! An invoice for a payer who has no account: `billing` puts it on paper, `notifications` mails it.

use anyhow::Result;
use billing::InvoiceMail;
use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::InvoiceId;
use clinical::job::Priority;
use notifications::channel::Enclosure;
use notifications::{Deliverer, MailedInvoice};
use storage::queue::{self, Claimed};
use tracing::warn;

use crate::wiring::House;

/// For so long it is tried again.
const LONGEST: TimeDelta = TimeDelta::days(1);

/// Mails it, or asks for the next try: each wait is as long as all before it, so that a day has about twelve.
pub async fn run(
    house: &House,
    deliverer: &Deliverer,
    claimed: &Claimed,
    id: InvoiceId,
    since: DateTime<Utc>,
) -> Result<()> {
    let (clinic, now) = (claimed.clinic_id, house.clock.now());
    let again = match InvoiceMail::of(&house.db.of(clinic), clinic, id).await? {
        Some(InvoiceMail { to, number, amount, reminders, file_name, paper }) => {
            let paper = Enclosure { file_name, media_type: "application/pdf", bytes: paper };
            let mailed =
                MailedInvoice { invoice_id: id, to, number, amount, reminders, asked_at: since, paper };
            deliverer.mail_invoice(clinic, mailed).await?
        }
        None => None,
    };
    let mut tx = house.db.begin().await?;
    match again.map(|at| at.max(now + (now - since))) {
        Some(at) if at - since < LONGEST => {
            queue::ask(&mut tx, clinic, &claimed.job, Priority::Routine, at, now).await?;
        }
        Some(_) => warn!(invoice.id = %id, "for a day nobody has taken the mail with the invoice"),
        None => {}
    }
    queue::finish(&mut tx, claimed).await?;
    Ok(tx.commit().await?)
}
