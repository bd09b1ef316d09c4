//! What people are told: at once while they are connected, and found when they come back.
//!
//! A message is written once, in the transaction of the change that it tells of,
//! with a row for each person; it has a position once [`relay::place`] has given
//! it one (SQLite gives it at once), in an order that readers can follow without
//! ever passing one by. What is fleeting (who is there, who is typing) goes the
//! same way to other processes and is found by nobody later.

pub mod inbox;
mod notify;
pub mod presence;
pub mod relay;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, NotificationId, UserId};
use clinical::role::Role;
use serde_json::Value;
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Statement, Tx, built_sql, sql};

pub use notify::{not_told, notify, priority};

/// So many people are written for in one statement.
const AT_A_TIME: usize = 400;
/// No transaction lasts so long: what was told so much before a position can stand behind it no more.
const LONGEST_TRANSACTION: TimeDelta = TimeDelta::hours(1);

/// Whom a message is for; all of them members of the clinic.
#[derive(Debug, Clone, Copy)]
pub enum To<'a> {
    /// These people; who is no member is left out.
    People(&'a [UserId]),
    /// Everybody with this role.
    Role(Role),
    /// Everybody.
    Everybody,
}

/// A message to be told.
#[derive(Debug, Clone, Copy)]
pub struct NewMessage<'a> {
    /// The type of the message, as `notification`.
    pub kind: &'a str,
    /// What it says.
    pub body: &'a Value,
    /// Whether it stands in the list of notifications.
    pub listing: Listing,
    /// What makes a second message to a person the same: who has one with it gets no other.
    pub dedupe_key: Option<&'a str>,
}

/// Whether a message stands in the list of notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// It does, unread.
    Listed,
    /// It does not: another list has it.
    Unlisted,
}

/// A message that was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its identifier.
    pub notification_id: NotificationId,
    /// Who got it.
    pub people: Vec<UserId>,
}

/// Who hears a fleeting message.
#[derive(Debug, Clone, Copy)]
pub enum Hearers<'a> {
    /// These people, where they are connected.
    People(&'a [UserId]),
    /// The clinic's staff, where they are connected.
    Staff,
}

/// Tells people; `None` where nobody is left to be told, because they have it already or are no members.
pub async fn say(
    db: &mut Tx,
    clinic: ClinicId,
    to: To<'_>,
    new: &NewMessage<'_>,
    now: DateTime<Utc>,
) -> Result<Option<Said>> {
    let notification_id = NotificationId::new();
    let insert = "INSERT INTO live_recipients (clinic_id, user_id, message_id, is_listed, dedupe_key)
                  SELECT clinic_id, user_id, $2, $3, $4 FROM memberships WHERE clinic_id = $1";
    let once = "ON CONFLICT DO NOTHING RETURNING user_id";
    let bound = |text: String| {
        let is_listed = new.listing == Listing::Listed;
        built_sql(text).bind(clinic).bind(notification_id).bind(is_listed).bind(new.dedupe_key)
    };
    let mut written: Vec<Uuid> = Vec::new();
    match to {
        To::Everybody => written = bound(format!("{insert} {once}")).fetch_all(db).await?,
        To::Role(role) => {
            let text = format!("{insert} AND role = $5 {once}");
            written = bound(text).bind(role.as_str()).fetch_all(db).await?;
        }
        To::People(people) => {
            for some in people.chunks(AT_A_TIME) {
                let places: Vec<_> = (5..5 + some.len()).map(|number| format!("${number}")).collect();
                let text = format!("{insert} AND user_id IN ({}) {once}", places.join(", "));
                let statement = some.iter().fold(bound(text), |statement, user| statement.bind(*user));
                written.extend(statement.fetch_all::<Uuid>(db).await?);
            }
        }
    }
    if written.is_empty() {
        return Ok(None);
    }
    let people: Vec<UserId> = written.into_iter().map(UserId).collect();
    write(db, clinic, notification_id, new, Hearers::People(&people), Lasting::Kept, now).await?;
    Ok(Some(Said { notification_id, people }))
}

/// Tells those who are connected, and nobody later.
pub async fn whisper(
    db: &mut Tx,
    clinic: ClinicId,
    to: Hearers<'_>,
    kind: &str,
    body: &Value,
    now: DateTime<Utc>,
) -> Result<()> {
    let new = NewMessage { kind, body, listing: Listing::Unlisted, dedupe_key: None };
    write(db, clinic, NotificationId::new(), &new, to, Lasting::Fleeting, now).await
}

#[derive(PartialEq, Eq)]
enum Lasting {
    Kept,
    Fleeting,
}

async fn write(
    db: &mut Tx,
    clinic: ClinicId,
    id: NotificationId,
    new: &NewMessage<'_>,
    to: Hearers<'_>,
    lasting: Lasting,
    now: DateTime<Utc>,
) -> Result<()> {
    db.has_said();
    let people: &[UserId] = match to {
        Hearers::People(people) => people,
        Hearers::Staff => &[],
    };
    let people: Vec<u8> = people.iter().flat_map(|user| user.0.into_bytes()).collect();
    let insert =
        "INSERT INTO live_messages (message_id, clinic_id, kind, body, people, is_to_staff, is_fleeting,
                                             told_at)
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    sql(insert)
        .bind(id)
        .bind(clinic)
        .bind(new.kind)
        .bind(new.body.clone())
        .bind(people)
        .bind(matches!(to, Hearers::Staff))
        .bind(lasting == Lasting::Fleeting)
        .bind(now)
        .defer(db)
        .await
}

/// A message as it goes to those who are connected.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// Its place among all messages of the database.
    pub position: i64,
    /// Its identifier.
    pub notification_id: NotificationId,
    /// The clinic.
    pub clinic_id: ClinicId,
    /// The type of the message.
    pub kind: String,
    /// What it says.
    pub body: Value,
    /// For whom it is.
    pub people: Vec<UserId>,
    /// Whether the clinic's staff hear it.
    pub is_to_staff: bool,
    /// Whether it is for now alone.
    pub is_fleeting: bool,
    /// When it was told.
    pub told_at: DateTime<Utc>,
}

const COLUMNS: &str = "m.position, m.message_id, m.clinic_id, m.kind, m.body, m.people, m.is_to_staff,
                       m.is_fleeting, m.told_at";

impl FromRow for Live {
    fn from_row(row: &Row) -> Result<Self> {
        let people: Vec<u8> = row.get("people")?;
        let read = people.chunks(16).map(|bytes| Uuid::from_slice(bytes).map(UserId));
        Ok(Self {
            position: row.get("position")?,
            notification_id: row.id("message_id")?,
            clinic_id: row.id("clinic_id")?,
            kind: row.get("kind")?,
            body: row.get("body")?,
            people: read
                .collect::<Result<_, _>>()
                .map_err(|_| DbError::Corrupt("live_messages.people".to_owned()))?,
            is_to_staff: row.get("is_to_staff")?,
            is_fleeting: row.get("is_fleeting")?,
            told_at: row.get("told_at")?,
        })
    }
}

/// The messages of every clinic behind a position, in order.
pub async fn after(db: &mut Conn, position: i64, limit: i64) -> Result<Vec<Live>> {
    let text =
        format!("SELECT {COLUMNS} FROM live_messages m WHERE m.position > $1 ORDER BY m.position LIMIT $2");
    built_sql(text).bind(position).bind(limit).fetch_all(db).await
}

/// The last position that a message has; 0 before the first.
pub async fn last(db: &mut Conn) -> Result<i64> {
    let found =
        sql("SELECT position FROM live_messages WHERE position IS NOT NULL ORDER BY position DESC LIMIT 1");
    Ok(found.fetch_optional(db).await?.unwrap_or(0))
}

/// Where in a person's messages somebody reads on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Behind this position.
    pub after: i64,
    /// Up to this one, and with it.
    pub up_to: i64,
    /// No message with a smaller identifier stands behind `after`.
    since: NotificationId,
}

impl Gap {
    /// From behind `after` up to `up_to`.
    pub async fn of(db: &mut Conn, after: i64, up_to: i64) -> Result<Self> {
        let told = "SELECT told_at FROM live_messages WHERE position <= $1 ORDER BY position DESC LIMIT 1";
        let told_at: Option<Told> = sql(told).bind(after).fetch_optional(db).await?;
        Ok(Self { after, up_to, since: told_at.map_or(NotificationId(Uuid::nil()), |Told(at)| least_id(at)) })
    }
}

impl Gap {
    /// What is left of the gap behind the last message of a page.
    #[must_use]
    pub fn behind(self, last: &Live) -> Self {
        Self { after: last.position, since: self.since.max(least_id(last.told_at)), ..self }
    }
}

struct Told(DateTime<Utc>);

impl FromRow for Told {
    fn from_row(row: &Row) -> Result<Self> {
        row.get(0).map(Self)
    }
}

/// No identifier (RFC 9562, version 7) of a message that may stand behind one told at `at` is smaller.
fn least_id(at: DateTime<Utc>) -> NotificationId {
    id_at(at - LONGEST_TRANSACTION)
}

/// What is told at `at` or later has a greater identifier.
fn id_at(at: DateTime<Utc>) -> NotificationId {
    let ms = u128::try_from(at.timestamp_millis()).unwrap_or(0);
    NotificationId(Uuid::from_u128(ms << 80))
}

/// What a person was told in these clinics within the gap, and has not taken out of their list, in order.
pub async fn of_person(
    db: &mut Conn,
    clinics: &[ClinicId],
    user: UserId,
    gap: Gap,
    limit: i64,
) -> Result<Vec<Live>> {
    if clinics.is_empty() || gap.after >= gap.up_to {
        return Ok(Vec::new());
    }
    let places: Vec<_> = (6..6 + clinics.len()).map(|number| format!("${number}")).collect();
    let text = format!(
        "SELECT {COLUMNS} FROM live_recipients r JOIN live_messages m ON m.message_id = r.message_id
          WHERE r.user_id = $1 AND r.message_id >= $2 AND m.position > $3 AND m.position <= $4
            AND r.removed_at IS NULL AND r.clinic_id IN ({}) ORDER BY m.position LIMIT $5",
        places.join(", ")
    );
    let statement = built_sql(text).bind(user).bind(gap.since).bind(gap.after).bind(gap.up_to).bind(limit);
    clinics.iter().fold(statement, |statement: Statement, clinic| statement.bind(*clinic)).fetch_all(db).await
}

/// Removes what was told before `before`, and of what is fleeting all before `fleeting_before`: up to `limit` of
/// each; how many went.
pub async fn forget(
    db: &mut Tx,
    before: DateTime<Utc>,
    fleeting_before: DateTime<Utc>,
    limit: i64,
) -> Result<u64> {
    let fleeting = "DELETE FROM live_messages WHERE message_id IN
                       (SELECT message_id FROM live_messages WHERE is_fleeting AND told_at < $1
                         ORDER BY told_at LIMIT $2)";
    let mut gone = sql(fleeting).bind(fleeting_before).bind(limit).execute(db).await?;
    let before = id_at(before);
    for table in ["live_recipients", "live_messages"] {
        let text = format!(
            "DELETE FROM {table} WHERE message_id IN
               (SELECT message_id FROM live_messages WHERE message_id < $1 ORDER BY message_id LIMIT $2)"
        );
        let removed = built_sql(text).bind(before).bind(limit).execute(db).await?;
        if table == "live_messages" {
            gone += removed;
        }
    }
    Ok(gone)
}
