//! The audit trail: rows that are only ever added, chained by a sealer, checked against signed heads.
//!
//! A change writes its row in its own transaction ([`write`]); reads share a
//! commit through the [`Trail`]. Neither waits for the chain: the sealer
//! ([`seal_pending`]) gives each row its place within a second, and [`verify`] walks the
//! chain again. What it can and cannot find is told in [`heads`].

mod chain;
pub mod heads;
mod keeper;
mod seal;
mod search;
mod trail;
mod untangle;
pub mod verify;

use std::sync::LazyLock;

use chrono::{DateTime, SubsecRound, Utc};
pub use clinical::audit::{Actor, Entry, Outcome};
use clinical::id::AuditId;
use uuid::{Builder, Uuid};

pub use chain::{Hash, Head};
pub use heads::{HEADS_FILE, KEY_FILE};
pub use keeper::Keeper;
pub use seal::seal_pending;
pub use search::{Filter, Recorded, find, search};
pub use trail::Trail;

use crate::db::{Result, Statement, Tx, sql};

/// The longest text that a row keeps of what came from outside, in characters.
const MOST_CHARACTERS: usize = 300;
/// What an unsealed row consists of.
const COLUMNS: &str = "audit_id, clinic_id, happened_at, actor_kind, actor_id, role, session_id, action,
    record_id, patient_id, route, address, request_id, outcome, detail";
const COLUMN_COUNT: usize = 15;
/// The last millisecond that an identifier can tell, in the year 10889.
const MOST_MILLIS: u64 = (1 << 48) - 1;
/// Rows of one statement. Fixed numbers keep the prepared statements few.
const PER_STATEMENT: [usize; 4] = [64, 16, 4, 1];

/// Adds `entry` in the transaction of the change that it tells of: it lasts if the change does.
///
/// # Errors
///
/// [`DbError`](crate::db::DbError) when the engine fails; on SQLite as late as at the next statement or the commit.
pub async fn write(db: &mut Tx, entry: &Entry) -> Result<AuditId> {
    let audit_id = id_at(entry);
    insert(&[(audit_id, entry)]).defer(db).await?;
    Ok(audit_id)
}

/// One statement that adds all of `entries`, which are as many as one piece has.
fn insert(entries: &[(AuditId, &Entry)]) -> Statement {
    static WORDS: LazyLock<Words> = LazyLock::new(|| {
        let head = format!("INSERT INTO audit_trail ({COLUMNS}) VALUES ");
        words(|count| head.clone() + &tuples(count, COLUMN_COUNT))
    });
    entries.iter().fold(sql(of_length(&WORDS, entries.len())), |statement, (audit_id, entry)| {
        bind(statement, *audit_id, entry)
    })
}

/// The texts of a statement over as many rows as a piece has.
type Words = [(usize, String); PER_STATEMENT.len()];

fn words(text: impl Fn(usize) -> String) -> Words {
    PER_STATEMENT.map(|count| (count, text(count)))
}

fn of_length(words: &'static Words, count: usize) -> &'static str {
    let found = words.iter().find(|(length, _)| *length == count);
    &found.expect("pieces are cut to the lengths that there are words for").1
}

/// `($1, $2), ($3, $4)` for two rows of two columns.
fn tuples(rows: usize, columns: usize) -> String {
    let tuple = |row: usize| {
        let arguments: Vec<_> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", arguments.join(", "))
    };
    (0..rows).map(tuple).collect::<Vec<_>>().join(", ")
}

fn bind(statement: Statement, audit_id: AuditId, entry: &Entry) -> Statement {
    statement
        .bind(audit_id)
        .bind(entry.clinic_id)
        .bind(entry.at.trunc_subsecs(6))
        .bind(entry.actor.kind())
        .bind(entry.actor.id().map(|id| id.to_string()).unwrap_or_default())
        .bind(entry.role.map(|role| role.as_str()))
        .bind(entry.session)
        .bind(short(&entry.action))
        .bind(entry.record_id.as_deref().map(short))
        .bind(entry.patient_id)
        .bind(short(&entry.route))
        .bind(entry.address.as_deref().map(short))
        .bind(entry.request_id.as_deref().map(short))
        .bind(entry.outcome.as_str())
        .bind(entry.detail.as_ref().map(ToString::to_string))
}

/// `rows` in as few pieces of fixed lengths as they go into.
fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = PER_STATEMENT.into_iter().find(|size| *size <= rows.len())?;
        let (piece, rest) = rows.split_at(size);
        rows = rest;
        Some(piece)
    })
}

fn short(text: &str) -> &str {
    text.char_indices().nth(MOST_CHARACTERS).map_or(text, |(end, _)| &text[..end])
}

/// An identifier that sorts as the microsecond in which it happened.
///
/// Source: RFC 9562, section 5.7 with method 3 of section 6.2: the fraction of the millisecond fills `rand_a`.
fn id_at(entry: &Entry) -> AuditId {
    let mut chance = [0; 8];
    chance.copy_from_slice(&Uuid::new_v4().as_bytes()[8..]);
    id_of(entry.at, chance)
}

/// The identifier of an instant, whose fraction of a millisecond is told in 4096ths: finer than a microsecond.
fn id_of(at: DateTime<Utc>, chance: [u8; 8]) -> AuditId {
    let micros = at.timestamp_micros().max(0).unsigned_abs();
    let fraction = (micros % 1_000) * 4_096 / 1_000;
    let mut rest = [0; 10];
    rest[..2].copy_from_slice(&(fraction as u16).to_be_bytes());
    rest[2..].copy_from_slice(&chance);
    let millis = (micros / 1_000).min(MOST_MILLIS);
    AuditId(Builder::from_unix_timestamp_millis(millis, &rest).into_uuid())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::db::built_sql;
    use crate::testing::{count, now, on_both};
    use chrono::TimeDelta;
    use clinical::id::{ClinicId, PatientId, SessionId, UserId};
    use clinical::role::Role;

    pub(crate) const CLINIC: ClinicId = ClinicId::DEFAULT;

    /// What was read so many microseconds after the first.
    pub(crate) fn entry(micros: i64) -> Entry {
        Entry {
            clinic_id: CLINIC,
            at: now() + TimeDelta::microseconds(micros),
            actor: Actor::User(UserId::new()),
            role: Some(Role::Doctor),
            session: Some(SessionId::new()),
            action: "patient:read".to_owned(),
            record_id: None,
            patient_id: Some(PatientId::new()),
            route: "GET /api/v1/patients/{patientId}".to_owned(),
            address: Some("192.0.2.7".to_owned()),
            request_id: Some("r-1".to_owned()),
            outcome: Outcome::Success,
            detail: Some(serde_json::json!({ "reason": "emergency", "rate": 1.0 })),
        }
    }

    #[tokio::test]
    async fn a_row_of_a_dropped_transaction_leaves_nothing() {
        on_both(async |db| {
            let mut dropped = db.begin().await.unwrap();
            write(&mut dropped, &entry(0)).await.unwrap();
            drop(dropped);
            let mut tx = db.begin().await.unwrap();
            let audit_id = write(&mut tx, &entry(1)).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(count(&db, "audit_trail").await, 1);
            let found =
                search(&mut db.read().await.unwrap(), CLINIC, &Filter::default(), None, 9).await.unwrap();
            assert_eq!(found[0].audit_id, audit_id);
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_written_reads_back_on_both_engines() {
        on_both(async |db| {
            let told = Entry { record_id: Some("a\"b".to_owned()), ..entry(7) };
            let mut tx = db.begin().await.unwrap();
            write(&mut tx, &told).await.unwrap();
            tx.commit().await.unwrap();
            let found =
                search(&mut db.read().await.unwrap(), CLINIC, &Filter::default(), None, 9).await.unwrap();
            assert_eq!(found.into_iter().map(|row| row.entry).collect::<Vec<_>>(), [told]);
        })
        .await;
    }

    #[tokio::test]
    async fn a_row_is_neither_changed_nor_removed_nor_replaced_nor_born_sealed() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            write(&mut tx, &entry(0)).await.unwrap();
            tx.commit().await.unwrap();
            let twice = format!("INSERT INTO audit_trail ({COLUMNS}, seq, hash) SELECT {COLUMNS}");
            let mut attempts = vec![
                "UPDATE audit_trail SET action = 'x'".to_owned(),
                "UPDATE audit_trail SET detail = NULL".to_owned(),
                "UPDATE audit_trail SET seq = 1".to_owned(),
                "DELETE FROM audit_trail".to_owned(),
                format!("{twice}, NULL, NULL FROM audit_trail"),
                format!("{twice}, 1, 'x' FROM audit_trail"),
            ];
            match db.engine() {
                "SQLite" => attempts.push(format!(
                    "REPLACE INTO audit_trail ({COLUMNS}) SELECT {} FROM audit_trail",
                    COLUMNS.replace("outcome", "'failed'")
                )),
                _ => attempts.push("TRUNCATE audit_trail".to_owned()),
            }
            for attempt in attempts {
                let mut tx = db.begin().await.unwrap();
                assert!(built_sql(attempt.clone()).execute(&mut tx).await.is_err(), "{attempt}");
            }
            assert_eq!(seal_pending(&db).await.unwrap(), 1);
            for attempt in ["UPDATE audit_trail SET seq = 2", "UPDATE audit_trail SET hash = 'x'"] {
                let mut tx = db.begin().await.unwrap();
                assert!(built_sql(attempt.to_owned()).execute(&mut tx).await.is_err(), "{attempt}");
            }
        })
        .await;
    }

    #[test]
    fn identifiers_sort_as_their_microseconds() {
        let ids: Vec<_> = (0..5_000).map(|micros| id_at(&entry(micros))).collect();
        assert!(ids.is_sorted());
        assert_eq!(ids[0].0.get_version_num(), 7);
    }

    #[test]
    fn what_came_from_outside_is_cut_at_a_character() {
        assert_eq!(short(&"ä".repeat(400)).chars().count(), MOST_CHARACTERS);
        assert_eq!(short("GET /"), "GET /");
    }
}
