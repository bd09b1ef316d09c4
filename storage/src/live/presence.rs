//! Who is connected, in whichever process.
//!
//! A process says from time to time that it lives; what one that has died has
//! left behind counts no more after [`ALIVE`].

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::UserId;
use uuid::Uuid;

use crate::db::{Conn, FromRow, Result, Row, Tx, built_sql, sql};

/// A process that has said nothing for so long is gone.
pub const ALIVE: TimeDelta = TimeDelta::seconds(60);
/// So many people are written or looked for in one statement.
const AT_A_TIME: usize = 400;

/// Says that the process lives; whether it was not known to: at its first word, or because another has buried it.
pub async fn lives(db: &mut Tx, process: Uuid, now: DateTime<Utc>) -> Result<bool> {
    let again = "UPDATE live_processes SET seen_at = $2 WHERE process_id = $1";
    if sql(again).bind(process).bind(now).execute(db).await? > 0 {
        return Ok(false);
    }
    let first = "INSERT INTO live_processes (process_id, seen_at) VALUES ($1, $2)";
    sql(first).bind(process).bind(now).execute(db).await?;
    Ok(true)
}

/// Removes the process and who was connected to it.
pub async fn ends(db: &mut Tx, process: Uuid) -> Result<()> {
    sql("DELETE FROM live_presence WHERE process_id = $1").bind(process).execute(db).await?;
    sql("DELETE FROM live_processes WHERE process_id = $1").bind(process).execute(db).await?;
    Ok(())
}

/// Removes processes that are gone, and gives back who was connected to them alone.
pub async fn bury(db: &mut Tx, now: DateTime<Utc>) -> Result<Vec<UserId>> {
    let gone: Vec<Uuid> = sql("SELECT process_id FROM live_processes WHERE seen_at < $1 LIMIT 16")
        .bind(now - ALIVE)
        .fetch_all(db)
        .await?;
    let mut left = Vec::new();
    for process in gone {
        let people: Vec<Uuid> = sql("SELECT user_id FROM live_presence WHERE process_id = $1")
            .bind(process)
            .fetch_all(db)
            .await?;
        ends(db, process).await?;
        left.extend(people.into_iter().map(UserId));
    }
    let still = online(db, &left, now).await?;
    left.retain(|user| !still.contains(user));
    Ok(left)
}

/// Writes that people are connected to the process; those who were connected to none before.
pub async fn came(db: &mut Tx, process: Uuid, people: &[UserId], now: DateTime<Utc>) -> Result<Vec<UserId>> {
    let before = online(db, people, now).await?;
    for some in people.chunks(AT_A_TIME) {
        let rows: Vec<_> = (2..2 + some.len()).map(|number| format!("($1, ${number})")).collect();
        let text = format!(
            "INSERT INTO live_presence (process_id, user_id) VALUES {} ON CONFLICT DO NOTHING",
            rows.join(", ")
        );
        let statement = built_sql(text).bind(process);
        some.iter().fold(statement, |statement, user| statement.bind(*user)).execute(db).await?;
    }
    Ok(people.iter().copied().filter(|user| !before.contains(user)).collect())
}

/// Writes that people are connected to the process no more; those who are connected to none now.
pub async fn went(db: &mut Tx, process: Uuid, people: &[UserId], now: DateTime<Utc>) -> Result<Vec<UserId>> {
    for some in people.chunks(AT_A_TIME) {
        let places: Vec<_> = (2..2 + some.len()).map(|number| format!("${number}")).collect();
        let text =
            format!("DELETE FROM live_presence WHERE process_id = $1 AND user_id IN ({})", places.join(", "));
        let statement = built_sql(text).bind(process);
        some.iter().fold(statement, |statement, user| statement.bind(*user)).execute(db).await?;
    }
    let still = online(db, people, now).await?;
    Ok(people.iter().copied().filter(|user| !still.contains(user)).collect())
}

/// Those of `people` who are connected to some process.
pub async fn online(db: &mut Conn, people: &[UserId], now: DateTime<Utc>) -> Result<Vec<UserId>> {
    let mut found = Vec::new();
    for some in people.chunks(AT_A_TIME) {
        let places: Vec<_> = (2..2 + some.len()).map(|number| format!("${number}")).collect();
        let text = format!(
            "SELECT DISTINCT presence.user_id FROM live_presence presence
               JOIN live_processes process ON process.process_id = presence.process_id
              WHERE process.seen_at >= $1 AND presence.user_id IN ({})",
            places.join(", ")
        );
        let statement = built_sql(text).bind(now - ALIVE);
        let some: Vec<Person> =
            some.iter().fold(statement, |statement, user| statement.bind(*user)).fetch_all(db).await?;
        found.extend(some.into_iter().map(|Person(user)| user));
    }
    Ok(found)
}

struct Person(UserId);

impl FromRow for Person {
    fn from_row(row: &Row) -> Result<Self> {
        row.id("user_id").map(Self)
    }
}
