//! SQLite with many readers, one writer, and one fsync for many transactions.
//!
//! A transaction is a savepoint inside the writer's open transaction. Whoever
//! commits while nobody waits for the writer runs the COMMIT for all that were
//! released before; under load the COMMIT is thus shared, at rest it is immediate.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use crate::db::{DbError, Result};

/// So many transactions share a COMMIT at most, so that none waits long.
const MOST_PER_COMMIT: usize = 64;

#[derive(Clone)]
pub(crate) struct SqliteDb {
    readers: SqlitePool,
    writer: Arc<Mutex<Writer>>,
    /// How many callers wait for the writer.
    waiting: Arc<AtomicUsize>,
}

pub(crate) struct Writer {
    connection: SqliteConnection,
    /// Whether BEGIN was run and not yet ended.
    is_open: bool,
    /// Those released and waiting for the COMMIT.
    released: Vec<oneshot::Sender<Result<(), String>>>,
}

impl SqliteDb {
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(30))
            // LIKE tells case apart, as it does on PostgreSQL.
            .pragma("case_sensitive_like", "ON");
        let connection = SqliteConnection::connect_with(&options).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(30))
            .connect_lazy_with(options.create_if_missing(false).read_only(true));
        let writer = Writer { connection, is_open: false, released: Vec::new() };
        Ok(Self { readers, writer: Arc::new(Mutex::new(writer)), waiting: Arc::default() })
    }

    pub(crate) async fn reader(&self) -> Result<PoolConnection<Sqlite>> {
        Ok(self.readers.acquire().await?)
    }

    /// The writer outside any transaction, for migrations.
    pub(crate) async fn exclusive(&self) -> OwnedMutexGuard<Writer> {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        writer.commit_released().await;
        writer
    }

    /// Opens a savepoint. In a task of its own, so that a caller who gives up
    /// half-way cannot leave the writer between two states.
    pub(crate) async fn begin(&self) -> Result<SqliteTx> {
        let (writer, waiting) = (Arc::clone(&self.writer), Arc::clone(&self.waiting));
        waiting.fetch_add(1, Ordering::SeqCst);
        let opened = tokio::spawn(async move {
            let mut guard = writer.lock_owned().await;
            waiting.fetch_sub(1, Ordering::SeqCst);
            if !guard.is_open {
                run(&mut guard.connection, "BEGIN IMMEDIATE").await?;
                guard.is_open = true;
            }
            if let Err(error) = run(&mut guard.connection, "SAVEPOINT tx").await {
                guard.lose(&error.to_string()).await;
                return Err(error);
            }
            Ok(SqliteTx { writer: Some(guard), waiting })
        });
        opened.await.map_err(|error| DbError::Commit(error.to_string()))?
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.exclusive().await;
    }
}

impl Writer {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Runs the shared COMMIT and tells everyone who waits for it.
    async fn commit_released(&mut self) {
        if !self.is_open {
            return;
        }
        match run(&mut self.connection, "COMMIT").await {
            Ok(()) => {
                self.is_open = false;
                for waiter in self.released.drain(..) {
                    // A caller who gave up no longer listens; the change lasts all the same.
                    let _ = waiter.send(Ok(()));
                }
            }
            Err(error) => self.lose(&error.to_string()).await,
        }
    }

    /// The open transaction is gone: everyone who waits for its COMMIT hears so.
    async fn lose(&mut self, why: &str) {
        // It fails when the engine has rolled back by itself: the same end.
        let _ = run(&mut self.connection, "ROLLBACK").await;
        self.is_open = false;
        for waiter in self.released.drain(..) {
            let _ = waiter.send(Err(why.to_owned()));
        }
    }
}

/// A savepoint; dropped without [`SqliteTx::commit`], it is rolled back alone.
pub(crate) struct SqliteTx {
    writer: Option<OwnedMutexGuard<Writer>>,
    waiting: Arc<AtomicUsize>,
}

impl SqliteTx {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        let writer = self.writer.as_mut().expect("taken only by commit and drop, which end its life");
        &mut writer.connection
    }

    pub(crate) async fn commit(mut self) -> Result<()> {
        let writer = self.writer.take().expect("taken only by commit and drop, which end its life");
        let waiting = Arc::clone(&self.waiting);
        let (told, outcome) = oneshot::channel();
        // A task of its own: see `begin`.
        tokio::spawn(end(writer, waiting, "RELEASE tx", Some(told)));
        match outcome.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(DbError::Commit(why)),
            Err(_) => Err(DbError::Commit("the writer has stopped".to_owned())),
        }
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        // Outside a runtime the process is ending, and the open transaction with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(end(writer, Arc::clone(&self.waiting), "ROLLBACK TO tx; RELEASE tx", None));
        }
    }
}

/// Ends a savepoint, and the shared transaction when nobody waits to join it.
async fn end(
    mut writer: OwnedMutexGuard<Writer>,
    waiting: Arc<AtomicUsize>,
    how: &'static str,
    told: Option<oneshot::Sender<Result<(), String>>>,
) {
    let ended = run(&mut writer.connection, how).await;
    writer.released.extend(told);
    match ended {
        Err(error) => writer.lose(&error.to_string()).await,
        Ok(()) if waiting.load(Ordering::SeqCst) == 0 || writer.released.len() >= MOST_PER_COMMIT => {
            writer.commit_released().await;
        }
        Ok(()) => {}
    }
}

async fn run(connection: &mut SqliteConnection, text: &'static str) -> Result<()> {
    sqlx::raw_sql(text).execute(connection).await?;
    Ok(())
}
