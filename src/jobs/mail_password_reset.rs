//! The link for a new password: `identity` keeps the token, `notifications` mails it.

use anyhow::Result;
use clinical::job::Priority;
use identity::ResetMail;
use notifications::Deliverer;
use storage::queue::{self, Claimed};
use uuid::Uuid;

use crate::wiring::House;

/// Mails it, or asks for the next try while the link still counts.
pub async fn run(house: &House, deliverer: &Deliverer, claimed: &Claimed, id: Uuid) -> Result<()> {
    let now = house.clock.now();
    let mut read = house.db.read().await?;
    let waiting = ResetMail::waiting(&mut read, &house.keyring, id, now).await?;
    drop(read);
    let again = match waiting {
        Some(ResetMail { user_id, carried_by, token }) => {
            deliverer.mail_password_reset(carried_by, user_id, id, &token).await?
        }
        None => None,
    };
    let mut tx = house.db.begin().await?;
    match again {
        Some(at) => queue::ask(&mut tx, claimed.clinic_id, &claimed.job, Priority::Urgent, at, now).await?,
        None => ResetMail::is_over(&mut tx, id).await?,
    }
    queue::finish(&mut tx, claimed).await?;
    Ok(tx.commit().await?)
}
