//! Gives each event its position, after its commit.
//!
//! A number taken at the INSERT would not do on PostgreSQL: a lower one may be
//! committed later, behind the back of who has read on. So one relay at a time,
//! whoever holds the row of `event_relay`, numbers what it sees committed, in the
//! order in which it was told. SQLite has one writer: there the number of the
//! INSERT is the position.

use crate::bell::{self, Bell};
use crate::db::{Db, FromRow, Result, Row, built_sql, sql};

/// So many events get their positions in one transaction.
const BATCH: i64 = 500;

/// The last position that was given.
struct Last(i64);

impl FromRow for Last {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self(row.get("position")?))
    }
}

/// Whether another process is to be told of work that is due here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// There is some.
    Asked,
    /// There is none.
    None,
}

/// Places a batch of events and wakes who waits for them, here and in other processes; how many were placed.
///
/// Fewer than a batch mean that none are left, or that another process is at it.
pub async fn place(db: &Db, work: Work) -> Result<u64> {
    // Nothing to be placed, and nobody to be told.
    if db.postgres_pool().is_none() {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    let take = format!("SELECT position FROM event_relay WHERE place = 1{}", tx.skip_locked());
    let last: Option<Last> = built_sql(take).fetch_optional(&mut tx).await?;
    let mut placed = 0;
    if let Some(Last(last)) = last {
        // By ctid, the row's place on disk, which nobody moves in between: no index is asked 500 times.
        placed = sql("UPDATE events SET position = $1 + numbered.number
                       FROM (SELECT at, row_number() OVER (ORDER BY told_order) AS number
                               FROM (SELECT ctid AS at, told_order FROM events WHERE position IS NULL
                                      ORDER BY told_order LIMIT $2) AS unplaced) AS numbered
                      WHERE events.ctid = numbered.at AND events.position IS NULL")
        .bind(last)
        .bind(BATCH)
        .execute(&mut tx)
        .await?;
    }
    if placed > 0 {
        sql("UPDATE event_relay SET position = position + $1 WHERE place = 1")
            .bind(i64::try_from(placed).unwrap_or(BATCH))
            .execute(&mut tx)
            .await?;
    }
    let words = match (placed > 0, work) {
        (false, Work::None) => return Ok(0),
        (true, Work::None) => "e",
        (false, Work::Asked) => "j",
        (true, Work::Asked) => "ej",
    };
    sql(bell::NOTIFY).bind(words).execute(&mut tx).await?;
    tx.commit().await?;
    if placed > 0 {
        db.bells().ring(Bell::Events);
    }
    Ok(placed)
}

/// Places every event that is committed now, unless another process is at it.
pub async fn place_all(db: &Db, mut work: Work) -> Result<()> {
    while place(db, work).await? >= BATCH as u64 {
        work = Work::None;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outbox::{after, tell};
    use crate::testing::{now, on_both};
    use clinical::event::Event;
    use clinical::id::{ClinicId, FindingId};

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    async fn told(db: &Db) -> Event {
        let event = Event::FindingReviewed { finding_id: FindingId::new(), review: None };
        let mut tx = db.begin().await.unwrap();
        tell(&mut tx, CLINIC, &event, now()).await.unwrap();
        tx.commit().await.unwrap();
        event
    }

    async fn read_after(db: &Db, position: i64) -> Vec<(i64, Event)> {
        let read = after(&mut db.read().await.unwrap(), position, 1_000).await.unwrap();
        read.into_iter().map(|told| (told.position.unwrap(), told.event)).collect()
    }

    /// The numbers of a sequence are seen out of order: who reads on past a gap never sees what fills it.
    #[tokio::test]
    async fn an_event_that_commits_late_comes_behind_those_that_were_read() {
        let db = Db::open(&crate::testing::fresh_postgres_url().await).await.unwrap();
        db.migrate().await.unwrap();
        let late = Event::FindingReviewed { finding_id: FindingId::new(), review: None };
        let mut slow = db.begin().await.unwrap();
        tell(&mut slow, CLINIC, &late, now()).await.unwrap();
        let early = told(&db).await;
        place_all(&db, Work::None).await.unwrap();
        let read = read_after(&db, 0).await;
        assert_eq!(read, [(1, early)]);
        slow.commit().await.unwrap();
        assert_eq!(read_after(&db, 1).await, [], "it has no position yet");
        place_all(&db, Work::None).await.unwrap();
        assert_eq!(read_after(&db, 1).await, [(2, late)]);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_follows_the_positions_sees_every_event_once_while_many_tell() {
        on_both(async |db| {
            let mut tellers = tokio::task::JoinSet::new();
            for teller in 0..6 {
                let db = db.clone();
                tellers.spawn(async move {
                    for number in 0..20 {
                        let event = Event::FindingReviewed { finding_id: FindingId::new(), review: None };
                        let mut tx = db.begin().await.unwrap();
                        tell(&mut tx, CLINIC, &event, now()).await.unwrap();
                        if number % 7 == teller {
                            drop(tx);
                        } else {
                            tx.commit().await.unwrap();
                        }
                    }
                });
            }
            // Two relays at once must not give a position twice.
            for _ in 0..2 {
                let db = db.clone();
                tellers.spawn(async move {
                    for _ in 0..30 {
                        place_all(&db, Work::None).await.unwrap();
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                });
            }
            let (mut seen, mut position) = (Vec::new(), 0);
            loop {
                let is_over = tellers.is_empty();
                place_all(&db, Work::None).await.unwrap();
                for (next, event) in read_after(&db, position).await {
                    assert!(next > position);
                    position = next;
                    seen.push(event);
                }
                if is_over {
                    break;
                }
                while let Some(done) = tellers.try_join_next() {
                    done.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let committed = crate::testing::count(&db, "events").await;
            assert_eq!(seen.len() as i64, committed);
            let mut ids: Vec<_> = seen.iter().map(|event| format!("{event:?}")).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len() as i64, committed, "none was seen twice");
        })
        .await;
    }

    /// The wake-up between processes: here two pools over one schema.
    #[tokio::test]
    async fn another_process_is_woken_by_the_relay() {
        let url = crate::testing::fresh_postgres_url().await;
        let (ours, theirs) = (Db::open(&url).await.unwrap(), Db::open(&url).await.unwrap());
        ours.migrate().await.unwrap();
        let (mut events, mut jobs) = (theirs.bells().ear(Bell::Events), theirs.bells().ear(Bell::Jobs));
        let listening = tokio::spawn(async move { bell::listen(&theirs).await });
        // It rings once when it begins to listen.
        events.rung().await;
        jobs.rung().await;
        told(&ours).await;
        let patience = Duration::from_secs(10);
        place(&ours, Work::None).await.unwrap();
        tokio::time::timeout(patience, events.rung()).await.expect("woken for the event");
        place(&ours, Work::Asked).await.unwrap();
        tokio::time::timeout(patience, jobs.rung()).await.expect("woken for the job");
        listening.abort();
    }
}
