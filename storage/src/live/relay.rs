//! Gives each message its position, after its commit: as [`crate::outbox::relay`] does for events.

use crate::bell::{self, Bell};
use crate::db::{Db, Result, built_sql, sql};

/// So many messages get their positions in one transaction.
const BATCH: i64 = 500;

/// Places a batch of messages and wakes who brings them to people, here and in other processes; how many were placed.
///
/// Fewer than a batch mean that none are left, or that another process is at it.
pub async fn place(db: &Db) -> Result<u64> {
    if db.postgres_pool().is_none() {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    let take = format!("SELECT position FROM live_relay WHERE place = 1{}", tx.skip_locked());
    let Some(last) = built_sql(take).fetch_optional::<i64>(&mut tx).await? else { return Ok(0) };
    let placed = sql("UPDATE live_messages SET position = $1 + numbered.number
                       FROM (SELECT at, row_number() OVER (ORDER BY told_order) AS number
                               FROM (SELECT ctid AS at, told_order FROM live_messages WHERE position IS NULL
                                      ORDER BY told_order LIMIT $2) AS unplaced) AS numbered
                      WHERE live_messages.ctid = numbered.at AND live_messages.position IS NULL")
    .bind(last)
    .bind(BATCH)
    .execute(&mut tx)
    .await?;
    if placed == 0 {
        return Ok(0);
    }
    sql("UPDATE live_relay SET position = position + $1 WHERE place = 1")
        .bind(i64::try_from(placed).unwrap_or(BATCH))
        .execute(&mut tx)
        .await?;
    sql(bell::NOTIFY).bind("l").execute(&mut tx).await?;
    tx.commit().await?;
    db.bells().ring(Bell::Live);
    Ok(placed)
}

/// Places every message that is committed now, unless another process is at it.
pub async fn place_all(db: &Db) -> Result<()> {
    while place(db).await? >= BATCH as u64 {}
    Ok(())
}
