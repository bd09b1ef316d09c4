//! The sealer: gives each committed row its place in its clinic's chain.
//!
//! It reads the head, then rows without a place, hashes them outside any
//! transaction, and in a short one moves the head from where it was read and
//! writes the places. Whoever finds the head moved meanwhile has lost the race
//! and writes nothing: two processes never fork a chain. Rows of one reading are
//! in order of their instants; a row that was committed later gets a later place.

use std::sync::LazyLock;

use clinical::id::{AuditId, ClinicId};
use uuid::Uuid;

use crate::audit::chain::{Hash, Head, Link};
use crate::audit::{COLUMNS, Words, of_length, pieces, tuples, words};
use crate::db::{Conn, Db, DbError, Result, Statement, built_sql, sql};

/// So many rows share a transaction at most: on SQLite everybody else's writing waits for it.
const MOST_AT_ONCE: i64 = 128;
/// After so many transactions another clinic has its turn.
const MOST_TURNS: usize = 40;

/// Seals what is committed and not yet sealed; how many rows. Where much waits some may be left for the next call.
///
/// # Errors
///
/// [`DbError`] when the engine fails; what was sealed before stays so.
pub async fn seal_pending(db: &Db) -> Result<usize> {
    let mut sealed = 0;
    let mut next = Some(Uuid::nil());
    while let Some(least) = next {
        let waiting = sql("SELECT clinic_id FROM audit_trail WHERE seq IS NULL AND clinic_id >= $1
                            ORDER BY clinic_id LIMIT 1")
        .bind(least);
        let Some(clinic) = waiting.fetch_optional::<Uuid>(&mut db.read().await?).await? else { break };
        sealed += seal_clinic(db, ClinicId(clinic)).await?;
        next = clinic.as_u128().checked_add(1).map(Uuid::from_u128);
    }
    Ok(sealed)
}

async fn seal_clinic(db: &Db, clinic: ClinicId) -> Result<usize> {
    let mut sealed = 0;
    for _ in 0..MOST_TURNS {
        let count = seal_some(db, clinic).await?;
        sealed += count;
        if (count as i64) < MOST_AT_ONCE {
            break;
        }
    }
    Ok(sealed)
}

/// One reading and one transaction; nothing when another has sealed meanwhile.
async fn seal_some(db: &Db, clinic: ClinicId) -> Result<usize> {
    // The head first: as long as it stays there, nobody has sealed any of the rows that are read after it.
    let head = head(db, clinic).await?;
    let rows = format!(
        "SELECT {COLUMNS} FROM audit_trail WHERE clinic_id = $1 AND seq IS NULL ORDER BY audit_id LIMIT $2"
    );
    let rows = built_sql(rows).bind(clinic).bind(MOST_AT_ONCE);
    let links: Vec<Link> = rows.fetch_all(&mut db.read().await?).await?;
    let mut after = head;
    let mut places = Vec::with_capacity(links.len());
    for link in &links {
        after = Head { seq: after.seq + 1, hash: link.behind(after.hash), ..after };
        places.push((link.audit_id, after));
    }
    if places.is_empty() {
        return Ok(0);
    }
    let mut tx = db.begin().await?;
    let moved =
        sql("UPDATE audit_heads SET seq = $1, hash = $2 WHERE clinic_id = $3 AND seq = $4 AND hash = $5")
            .bind(after.seq)
            .bind(after.hash.to_string())
            .bind(clinic)
            .bind(head.seq)
            .bind(head.hash.to_string());
    if moved.execute(&mut tx).await? == 0 {
        return Ok(0);
    }
    for places in pieces(&places) {
        if place(clinic, places).execute(&mut tx).await? != places.len() as u64 {
            return Err(DbError::Corrupt("audit_trail: a row has gone that waited for its seal".to_owned()));
        }
    }
    tx.commit().await?;
    Ok(places.len())
}

fn place(clinic: ClinicId, places: &[(AuditId, Head)]) -> Statement {
    static WORDS: LazyLock<Words> = LazyLock::new(|| words(place_words));
    let statement = sql(of_length(&WORDS, places.len()));
    let statement = places.iter().fold(statement, |statement, (audit_id, head)| {
        statement.bind(*audit_id).bind(head.seq).bind(head.hash.to_string())
    });
    statement.bind(clinic)
}

fn place_words(count: usize) -> String {
    format!(
        "WITH places (audit_id, seq, hash) AS (VALUES {})
         UPDATE audit_trail SET seq = places.seq, hash = places.hash FROM places
          WHERE audit_trail.clinic_id = ${} AND audit_trail.audit_id = places.audit_id AND audit_trail.seq IS NULL",
        tuples(count, 3),
        count * 3 + 1
    )
}

/// The clinic's head, made when it is not there: behind the last sealed row, or at the beginning.
async fn head(db: &Db, clinic: ClinicId) -> Result<Head> {
    if let Some(head) = kept_head(&mut db.read().await?, clinic).await? {
        return Ok(head);
    }
    let last = sql("SELECT clinic_id, seq, hash FROM audit_trail WHERE clinic_id = $1 AND seq IS NOT NULL
                     ORDER BY seq DESC LIMIT 1")
    .bind(clinic);
    let last: Option<Head> = last.fetch_optional(&mut db.read().await?).await?;
    let head = last.unwrap_or(Head { clinic_id: clinic, seq: 0, hash: Hash::before_first(clinic) });
    let mut tx = db.begin().await?;
    sql("INSERT INTO audit_heads (clinic_id, seq, hash) VALUES ($1, $2, $3) ON CONFLICT (clinic_id) DO NOTHING")
        .bind(clinic)
        .bind(head.seq)
        .bind(head.hash.to_string())
        .execute(&mut tx)
        .await?;
    let head = kept_head(&mut tx, clinic).await?.ok_or(DbError::NotFound)?;
    tx.commit().await?;
    Ok(head)
}

pub(super) async fn kept_head(db: &mut Conn, clinic: ClinicId) -> Result<Option<Head>> {
    let kept = sql("SELECT clinic_id, seq, hash FROM audit_heads WHERE clinic_id = $1");
    kept.bind(clinic).fetch_optional(db).await
}

/// Every clinic's head.
pub(super) async fn kept_heads(db: &mut Conn) -> Result<Vec<Head>> {
    sql("SELECT clinic_id, seq, hash FROM audit_heads ORDER BY clinic_id").fetch_all(db).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::heads::Signed;
    use crate::audit::tests::{CLINIC, entry};
    use crate::audit::verify::verify;
    use crate::audit::{Entry, Trail, write};
    use crate::testing::{count, on_both};
    use tokio::task::JoinSet;

    #[tokio::test]
    async fn a_late_row_gets_a_later_place() {
        on_both(async |db| {
            let write_one = async |micros| {
                let mut tx = db.begin().await.unwrap();
                let audit_id = write(&mut tx, &entry(micros)).await.unwrap();
                tx.commit().await.unwrap();
                audit_id
            };
            let (second, first) = (write_one(20).await, write_one(10).await);
            assert_eq!(seal_pending(&db).await.unwrap(), 2);
            let late = write_one(5).await;
            assert_eq!(seal_pending(&db).await.unwrap(), 1);
            assert_eq!(seal_pending(&db).await.unwrap(), 0);
            let order = sql("SELECT audit_id FROM audit_trail ORDER BY seq");
            let order: Vec<Uuid> = order.fetch_all(&mut db.read().await.unwrap()).await.unwrap();
            assert_eq!(order, [first.0, second.0, late.0]);
        })
        .await;
    }

    /// Two processes: two databases opened for themselves, while others write.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sealers_that_run_at_once_do_not_fork_a_chain() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = format!("sqlite:{}", folder.path().join("rows.sqlite").display());
        for url in [sqlite, crate::testing::fresh_postgres_url().await] {
            let db = Db::open(&url).await.unwrap();
            db.migrate().await.unwrap();
            let other = ClinicId::new();
            let mut sealers = JoinSet::new();
            for _ in 0..3 {
                let db = Db::open(&url).await.unwrap();
                sealers.spawn(async move {
                    let mut sealed = 0;
                    while count(&db, "audit_trail WHERE seq IS NOT NULL").await < 1_200 {
                        sealed += seal_pending(&db).await.unwrap();
                    }
                    db.close().await;
                    sealed
                });
            }
            let trail = Trail::new(db.clone());
            let mut writers = JoinSet::new();
            for worker in 0..8 {
                let trail = trail.clone();
                writers.spawn(async move {
                    for number in 0..150 {
                        let clinic_id = if number % 2 == 0 { CLINIC } else { other };
                        trail.record(Entry { clinic_id, ..entry(worker * 150 + number) }).await.unwrap();
                    }
                });
            }
            writers.join_all().await;
            assert_eq!(sealers.join_all().await.into_iter().sum::<usize>(), 1_200, "each row once");
            let report = verify(&db, &Signed::Checked(Vec::new())).await.unwrap();
            assert!(report.is_sound(), "{report:?}");
            assert_eq!(report.clinics.iter().map(|clinic| clinic.sealed).collect::<Vec<_>>(), [600, 600]);
            db.close().await;
        }
    }

    /// However many rows are sealed already: of 64 places SQLite made a filter, and read every row of the clinic
    /// through it.
    #[tokio::test]
    async fn sealing_looks_at_no_sealed_row() {
        on_both(async |db| {
            if db.engine() != "SQLite" {
                return;
            }
            let mut read = db.read().await.unwrap();
            for count in super::super::PER_STATEMENT {
                let statement = crate::db::built_sql(place_words(count));
                let plan = crate::plan::of(&statement, &mut read).await.unwrap();
                let by_key = plan.contains("(clinic_id=? AND audit_id=?)");
                assert!(by_key || plan.contains("SEARCH audit_trail USING INDEX audit_unsealed"), "{plan}");
            }
        })
        .await;
    }
}
