//! A person's list of notifications in one clinic: what was told, what is unread.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, NotificationId, UserId};
use serde_json::Value;
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// So many are marked in one statement.
const AT_A_TIME: usize = 400;

/// A notification as a person has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Its identifier.
    pub notification_id: NotificationId,
    /// The type of the message.
    pub kind: String,
    /// What it says.
    pub body: Value,
    /// When it was told.
    pub told_at: DateTime<Utc>,
    /// When the person read it.
    pub read_at: Option<DateTime<Utc>>,
}

impl FromRow for Listed {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            notification_id: row.id("message_id")?,
            kind: row.get("kind")?,
            body: row.get("body")?,
            told_at: row.get("told_at")?,
            read_at: row.get("read_at")?,
        })
    }
}

const SELECT: &str = "SELECT r.message_id, m.kind, m.body, m.told_at, r.read_at
                        FROM live_recipients r JOIN live_messages m ON m.message_id = r.message_id
                       WHERE r.clinic_id = $1 AND r.user_id = $2 AND r.is_listed AND r.removed_at IS NULL ";

/// Which of them are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that were not read.
    Unread,
}

/// A person's notifications, newest first, from before `before` on.
pub async fn list(
    db: &mut Conn,
    clinic: ClinicId,
    user: UserId,
    which: Which,
    before: Option<NotificationId>,
    limit: i64,
) -> Result<Vec<Listed>> {
    let unread = if which == Which::Unread { "AND r.read_at IS NULL" } else { "" };
    let text = format!("{SELECT} {unread} AND r.message_id < $3 ORDER BY r.message_id DESC LIMIT $4");
    built_sql(text)
        .bind(clinic)
        .bind(user)
        .bind(before.unwrap_or(NotificationId(Uuid::max())))
        .bind(limit)
        .fetch_all(db)
        .await
}

/// One notification of a person.
///
/// # Errors
///
/// [`DbError::NotFound`] where the person has none of that identifier.
pub async fn find(db: &mut Conn, clinic: ClinicId, user: UserId, id: NotificationId) -> Result<Listed> {
    let text = format!("{SELECT} AND r.message_id = $3");
    built_sql(text).bind(clinic).bind(user).bind(id).fetch_one(db).await
}

/// How many were not read; what was taken out of the list counts as read.
pub async fn unread(db: &mut Conn, clinic: ClinicId, user: UserId) -> Result<i64> {
    sql("SELECT count(*) FROM live_recipients
          WHERE clinic_id = $1 AND user_id = $2 AND read_at IS NULL AND is_listed")
    .bind(clinic)
    .bind(user)
    .fetch_one(db)
    .await
}

/// Marks those of `ids` as read that the person has and has not read; how many of `ids` the person has.
pub async fn mark(
    db: &mut Tx,
    clinic: ClinicId,
    user: UserId,
    ids: &[NotificationId],
    now: DateTime<Utc>,
) -> Result<u64> {
    let mut known = 0;
    for some in ids.chunks(AT_A_TIME) {
        let places: Vec<_> = (4..4 + some.len()).map(|number| format!("${number}")).collect();
        let text = format!(
            "UPDATE live_recipients SET read_at = COALESCE(read_at, $3)
              WHERE clinic_id = $1 AND user_id = $2 AND is_listed AND removed_at IS NULL AND message_id IN ({})",
            places.join(", ")
        );
        let statement = built_sql(text).bind(clinic).bind(user).bind(now);
        known += some.iter().fold(statement, |statement, id| statement.bind(*id)).execute(db).await?;
    }
    Ok(known)
}

/// Marks all as read; how many were not.
pub async fn mark_all(db: &mut Tx, clinic: ClinicId, user: UserId, now: DateTime<Utc>) -> Result<u64> {
    sql("UPDATE live_recipients SET read_at = $3
          WHERE clinic_id = $1 AND user_id = $2 AND read_at IS NULL AND is_listed")
    .bind(clinic)
    .bind(user)
    .bind(now)
    .execute(db)
    .await
}

/// Takes one out of the person's list; it is found nowhere any more, and the same is not told again.
///
/// # Errors
///
/// [`DbError::NotFound`] where the person has none of that identifier.
pub async fn remove(
    db: &mut Tx,
    clinic: ClinicId,
    user: UserId,
    id: NotificationId,
    now: DateTime<Utc>,
) -> Result<()> {
    let hide = "UPDATE live_recipients SET removed_at = $4, read_at = COALESCE(read_at, $4)
                 WHERE clinic_id = $1 AND user_id = $2 AND message_id = $3 AND is_listed AND removed_at IS NULL";
    match sql(hide).bind(clinic).bind(user).bind(id).bind(now).execute(db).await? {
        0 => Err(DbError::NotFound),
        _ => Ok(()),
    }
}

/// What a message of the clinic says, and its type.
///
/// # Errors
///
/// [`DbError::NotFound`] where the clinic has none of that identifier.
pub async fn said(db: &mut Conn, clinic: ClinicId, id: NotificationId) -> Result<(String, Value)> {
    struct Text(String, Value);
    impl FromRow for Text {
        fn from_row(row: &Row) -> Result<Self> {
            Ok(Self(row.get("kind")?, row.get("body")?))
        }
    }
    let found = sql("SELECT kind, body FROM live_messages WHERE clinic_id = $1 AND message_id = $2");
    let Text(kind, body) = found.bind(clinic).bind(id).fetch_one(db).await?;
    Ok((kind, body))
}

/// Those of a clinic whom a message was written for, in the order of their identifiers, from behind `after` on.
pub async fn people(
    db: &mut Conn,
    clinic: ClinicId,
    id: NotificationId,
    after: UserId,
    limit: i64,
) -> Result<Vec<UserId>> {
    let text = "SELECT user_id FROM live_recipients
                 WHERE clinic_id = $1 AND message_id = $2 AND user_id > $3 ORDER BY user_id LIMIT $4";
    let found: Vec<Uuid> = sql(text).bind(clinic).bind(id).bind(after).bind(limit).fetch_all(db).await?;
    Ok(found.into_iter().map(UserId).collect())
}
