//! Removes what was told, and how it fared, once it is old.

use chrono::{DateTime, TimeDelta, Utc};
use storage::db::{Db, Result};
use storage::live;

use crate::delivery::Delivery;

/// For so long a notification is listed.
const KEPT: TimeDelta = TimeDelta::days(365);
/// For so long what was for its moment alone is there, so that every process has read it.
const FLEETING_KEPT: TimeDelta = TimeDelta::hours(1);
/// For so long it is known what became of a delivery.
const DELIVERIES_KEPT: TimeDelta = TimeDelta::days(180);
/// So many rows go in one transaction.
const AT_A_TIME: i64 = 500;

/// Removes what is older than it is kept.
///
/// # Errors
///
/// [`storage::db::DbError`]: the rest goes with the next sweep.
pub async fn sweep(db: &Db, now: DateTime<Utc>) -> Result<()> {
    loop {
        let mut tx = db.begin().await?;
        let told = live::forget(&mut tx, now - KEPT, now - FLEETING_KEPT, AT_A_TIME).await?;
        let delivered = Delivery::forget(&mut tx, now - DELIVERIES_KEPT, AT_A_TIME).await?;
        tx.commit().await?;
        if told < AT_A_TIME as u64 && delivered < AT_A_TIME as u64 {
            return Ok(());
        }
    }
}
