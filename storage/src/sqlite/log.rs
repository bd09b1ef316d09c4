//! Moving what is committed from the write-ahead log into the database file, while the writer goes on.
//!
//! SQLite by itself has the commit that finds the log long do it, and everyone waits for that one: with a thousand
//! scattered pages to write and an fsync, a tenth of a second. Here a connection of its own moves the pages, and the
//! writer is held only for the few that came meanwhile, so that its next transaction begins the log anew.

use std::sync::Arc;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Row, SqliteConnection};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Writer;
use crate::db::Result;

/// A log of so many pages is moved, as SQLite's own default has it.
const LONG: i64 = 1_000;
/// So many pages may be left to the writer.
const FEW: i64 = 64;
/// So often the log is read again for what came meanwhile.
const ROUNDS: usize = 4;
/// The log's length is looked at after so many shared commits.
const LOOK_EVERY: u32 = 4;

/// Pages of the log that wait to be moved.
async fn waiting(connection: &mut SqliteConnection, pragma: &'static str) -> Result<i64> {
    let row = sqlx::raw_sql(pragma).fetch_one(connection).await?;
    Ok(row.try_get::<i64, _>(1)? - row.try_get::<i64, _>(2)?)
}

/// Called after each shared commit: moves a long log in a task of its own.
pub(super) async fn look(writer: &mut OwnedMutexGuard<Writer>) {
    writer.commits = writer.commits.wrapping_add(1);
    if writer.is_log_moving || !writer.commits.is_multiple_of(LOOK_EVERY) {
        return;
    }
    // A look that fails is tried again: the log only grows meanwhile.
    if waiting(&mut writer.connection, "PRAGMA wal_checkpoint(NOOP)").await.is_ok_and(|pages| pages >= LONG) {
        writer.is_log_moving = true;
        let lock = Arc::clone(OwnedMutexGuard::mutex(writer));
        tokio::spawn(carry(writer.options.clone(), lock));
    }
}

async fn carry(options: SqliteConnectOptions, writer: Arc<Mutex<Writer>>) {
    // What fails here is left to the writer below.
    let _ = beside(&options).await;
    let mut writer = writer.lock_owned().await;
    if writer.is_open {
        writer.commit().await;
    }
    let _ = waiting(&mut writer.connection, "PRAGMA wal_checkpoint(PASSIVE)").await;
    writer.is_log_moving = false;
}

async fn beside(options: &SqliteConnectOptions) -> Result<()> {
    let mut own = SqliteConnection::connect_with(options).await?;
    for _ in 0..ROUNDS {
        if waiting(&mut own, "PRAGMA wal_checkpoint(PASSIVE)").await? <= FEW {
            break;
        }
    }
    Ok(own.close().await?)
}

#[cfg(test)]
mod tests {
    use crate::db::{Db, built_sql};

    /// The log must not grow with what is written, while readers come and go.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_log_begins_anew_while_the_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.sqlite");
        let db = Db::open(&format!("sqlite:{}", path.display())).await.unwrap();
        db.migrate().await.unwrap();
        let text = "x".repeat(4_000);
        for number in 0..12_000 {
            let mut tx = db.begin().await.unwrap();
            let insert = format!("INSERT INTO installation_notes VALUES ({number}, '{text}')");
            if number == 0 {
                let table = "CREATE TABLE installation_notes (number BIGINT PRIMARY KEY, text TEXT)";
                built_sql(table.to_owned()).execute(&mut tx).await.unwrap();
            }
            built_sql(insert).execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
        }
        let log = std::fs::metadata(path.with_extension("sqlite-wal")).unwrap().len();
        assert!(log < 24 << 20, "48 MB were written, and the log is {log} bytes long");
        db.close().await;
    }
}
