//! SQLite with many readers, one writer, and one fsync for many transactions.
//!
//! The first transaction of a batch is the writer's own; those that join it are
//! savepoints inside. Whoever commits while nobody waits for the writer runs the
//! COMMIT for all that were done before; under load the COMMIT is thus shared, at
//! rest it is immediate. Each statement is a trip to sqlx's thread and back, so
//! the opening words travel with a transaction's first statement, and what is deferred with the next;
//! a transaction of deferred statements alone that finds nobody else is one trip, its COMMIT among it.

mod log;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool};
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use crate::db::{DbError, Result, Statement, sql};

/// So many transactions share a COMMIT at most, so that none waits long.
const MOST_PER_COMMIT: usize = 64;

#[derive(Clone)]
pub(crate) struct SqliteDb {
    readers: SqlitePool,
    writer: Arc<Mutex<Writer>>,
    /// How many callers wait for the writer.
    waiting: Arc<AtomicUsize>,
    /// A file beside the database, locked while it is opened and while the schema changes.
    lock_path: PathBuf,
}

pub(crate) struct Writer {
    connection: SqliteConnection,
    /// Whether BEGIN was run and not yet ended.
    is_open: bool,
    /// Whether the connection failed to roll back: it is of no more use.
    is_broken: bool,
    /// Those done and waiting for the COMMIT.
    released: Vec<Told>,
    /// For opening the file anew when the connection is beyond repair.
    options: SqliteConnectOptions,
    /// Shared commits so far.
    commits: u32,
    /// Whether a task moves the log into the file.
    is_log_moving: bool,
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
        let lock_path = path.with_extension("lock");
        // The change to WAL waits for nobody: of two programs that open a new file at once, one would fail.
        let alone = lock(lock_path.clone()).await?;
        let writing = options.clone().pragma("wal_autocheckpoint", "0");
        let connection = SqliteConnection::connect_with(&writing).await?;
        drop(alone);
        let readers = SqlitePoolOptions::new()
            .max_connections(8)
            .acquire_timeout(Duration::from_secs(30))
            // A file does not hang up, and asking first is a trip of its own.
            .test_before_acquire(false)
            .connect_lazy_with(options.create_if_missing(false).read_only(true));
        let writer = Writer {
            connection,
            is_open: false,
            is_broken: false,
            released: Vec::new(),
            options: writing,
            commits: 0,
            is_log_moving: false,
        };
        Ok(Self { readers, writer: Arc::new(Mutex::new(writer)), waiting: Arc::default(), lock_path })
    }

    pub(crate) async fn reader(&self) -> Result<PoolConnection<Sqlite>> {
        Ok(self.readers.acquire().await?)
    }

    /// Held, it keeps other programs that ask for it too from the database; it ends with the file.
    pub(crate) async fn lock_file(&self) -> Result<std::fs::File> {
        lock(self.lock_path.clone()).await
    }

    /// The writer outside any transaction, for migrations.
    pub(crate) async fn exclusive(&self) -> OwnedMutexGuard<Writer> {
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        commit_released(&mut writer).await;
        writer
    }

    /// Waits for the writer; nothing is run before the first statement.
    pub(crate) async fn begin(&self) -> Result<SqliteTx> {
        let waiting = Waiting::new(self);
        let mut writer = Arc::clone(&self.writer).lock_owned().await;
        waiting.has_come();
        if writer.is_broken {
            writer.reopen().await?;
        }
        let place = if writer.is_open { Place::Joined } else { Place::First };
        Ok(SqliteTx {
            writer: Some(writer),
            waiting: Arc::clone(&self.waiting),
            place,
            is_begun: false,
            deferred: Vec::new(),
        })
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.exclusive().await;
    }
}

async fn lock(path: PathBuf) -> Result<std::fs::File> {
    let locked = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::options().create(true).append(true).open(path)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    Ok(locked.await.map_err(std::io::Error::other)??)
}

impl Writer {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Runs the shared COMMIT and tells everyone who waits for it.
    async fn commit(&mut self) {
        match run(&mut self.connection, "COMMIT").await {
            Ok(()) => {
                self.is_open = false;
                self.tell_released();
            }
            Err(error) => self.lose(&error.to_string()).await,
        }
    }

    fn tell_released(&mut self) {
        for waiter in self.released.drain(..) {
            // A caller who gave up no longer listens; the change lasts all the same.
            let _ = waiter.send(Ok(()));
        }
    }

    /// The open transaction is gone: everyone who waits for its COMMIT hears so.
    async fn lose(&mut self, why: &str) {
        // It fails when the engine has rolled back by itself, and when the connection is lost: both end alike,
        // with a connection that is opened anew before it is used again.
        self.is_broken = run(&mut self.connection, "ROLLBACK").await.is_err();
        self.is_open = false;
        for waiter in self.released.drain(..) {
            let _ = waiter.send(Err(Failure::Shared(why.to_owned())));
        }
    }

    async fn reopen(&mut self) -> Result<()> {
        self.connection = SqliteConnection::connect_with(&self.options).await?;
        self.is_broken = false;
        Ok(())
    }
}

/// Runs the shared COMMIT, and sees to the log.
async fn commit_released(writer: &mut OwnedMutexGuard<Writer>) {
    if writer.is_open {
        writer.commit().await;
        log::look(writer).await;
    } else {
        // They wrote nothing: there is nothing to wait for.
        writer.tell_released();
    }
}

/// Counts a caller who waits for the writer, for as long as it lives.
struct Waiting {
    count: Arc<AtomicUsize>,
    writer: Arc<Mutex<Writer>>,
    has_writer: bool,
}

impl Waiting {
    fn new(db: &SqliteDb) -> Self {
        db.waiting.fetch_add(1, Ordering::SeqCst);
        Self { count: Arc::clone(&db.waiting), writer: Arc::clone(&db.writer), has_writer: false }
    }

    /// The caller has the writer.
    fn has_come(mut self) {
        self.has_writer = true;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
        if self.has_writer {
            return;
        }
        // The caller has given up: the COMMIT that was left to it is run for those who wait for it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (count, writer) = (Arc::clone(&self.count), Arc::clone(&self.writer));
            runtime.spawn(async move {
                let mut writer = writer.lock_owned().await;
                if count.load(Ordering::SeqCst) == 0 {
                    commit_released(&mut writer).await;
                }
            });
        }
    }
}

/// Whether a transaction opened the writer's, or joined it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    Joined,
}

/// A transaction; dropped without [`SqliteTx::commit`], it is rolled back alone.
pub(crate) struct SqliteTx {
    writer: Option<OwnedMutexGuard<Writer>>,
    waiting: Arc<AtomicUsize>,
    place: Place,
    /// Whether its opening words have been sent.
    is_begun: bool,
    /// Statements that travel with the next one.
    deferred: Vec<Statement>,
}

impl SqliteTx {
    pub(crate) fn connection(&mut self) -> &mut SqliteConnection {
        let writer = self.writer.as_mut().expect("taken only by commit and drop, which end its life");
        &mut writer.connection
    }

    /// Leaves `statement` to travel with the next one, or with the commit.
    pub(crate) fn defer(&mut self, statement: Statement) {
        self.deferred.push(statement);
    }

    /// What must run before the next statement: the opening words, once, and what was deferred.
    pub(crate) fn before(&mut self) -> Vec<Statement> {
        let mut before = Vec::new();
        if !std::mem::replace(&mut self.is_begun, true) {
            before.push(match self.place {
                Place::First => {
                    if let Some(writer) = self.writer.as_mut() {
                        writer.is_open = true;
                    }
                    sql("BEGIN IMMEDIATE")
                }
                Place::Joined => sql("SAVEPOINT tx"),
            });
        }
        before.append(&mut self.deferred);
        before
    }

    pub(crate) async fn commit(mut self) -> Result<()> {
        let last = if self.deferred.is_empty() { Vec::new() } else { self.before() };
        let writer = self.writer.take().expect("taken only by commit and drop, which end its life");
        let (told, outcome) = oneshot::channel();
        let how = match (self.is_begun, self.place) {
            (true, Place::Joined) => End::Release(last),
            (true, Place::First) => End::First(last),
            (false, _) => End::Nothing,
        };
        // A task of its own: a caller who gives up half-way must not leave the writer between two states.
        tokio::spawn(end(writer, Arc::clone(&self.waiting), how, Some(told)));
        match outcome.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Failure::Own(error))) => Err(error),
            Ok(Err(Failure::Shared(why))) => Err(DbError::Commit(why)),
            Err(_) => Err(DbError::Commit("the writer has stopped".to_owned())),
        }
    }
}

impl Drop for SqliteTx {
    fn drop(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let how = match (self.is_begun, self.place) {
            (false, _) => End::Nothing,
            (true, Place::Joined) => End::Undo,
            (true, Place::First) => End::Lose,
        };
        // Outside a runtime the process is ending, and the open transaction with it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(end(writer, Arc::clone(&self.waiting), how, None));
        }
    }
}

/// How a transaction ends inside the writer's.
enum End {
    /// There is nothing of its own to end.
    Nothing,
    /// The first of the writer's transaction: with its last statements, and the COMMIT where nobody waits to join.
    First(Vec<Statement>),
    /// One that joined: with its last statements.
    Release(Vec<Statement>),
    /// One that joined leaves nothing.
    Undo,
    /// With the writer's transaction, in which nobody else is yet.
    Lose,
}

/// Why a transaction is not kept.
#[derive(Debug)]
enum Failure {
    /// Its own last statements failed.
    Own(DbError),
    /// The shared COMMIT failed.
    Shared(String),
}

/// Whoever waits for the COMMIT.
type Told = oneshot::Sender<Result<(), Failure>>;

/// Ends a transaction, and the shared one when nobody waits to join it.
async fn end(mut writer: OwnedMutexGuard<Writer>, waiting: Arc<AtomicUsize>, how: End, told: Option<Told>) {
    let is_last =
        |writer: &Writer| waiting.load(Ordering::SeqCst) == 0 || writer.released.len() >= MOST_PER_COMMIT;
    match how {
        End::Nothing => {}
        End::Lose => return writer.lose("rolled back").await,
        End::Undo => {
            if let Err(error) = run(&mut writer.connection, "ROLLBACK TO tx; RELEASE tx").await {
                return writer.lose(&error.to_string()).await;
            }
        }
        End::First(last) if last.is_empty() => {}
        End::First(mut last) => {
            let has_commit = is_last(&writer);
            if has_commit {
                last.push(sql("COMMIT"));
            }
            if let Err(error) = run_all(&mut writer.connection, &last).await {
                // Nobody else is in the transaction.
                writer.lose("rolled back").await;
                return tell(told, Err(Failure::Own(error)));
            }
            if has_commit {
                writer.is_open = false;
                tell(told, Ok(()));
                writer.tell_released();
                return log::look(&mut writer).await;
            }
        }
        End::Release(mut last) => {
            last.push(sql("RELEASE tx"));
            if let Err(error) = run_all(&mut writer.connection, &last).await {
                match run(&mut writer.connection, "ROLLBACK TO tx; RELEASE tx").await {
                    Ok(()) => tell(told, Err(Failure::Own(error))),
                    Err(lost) => {
                        writer.lose(&lost.to_string()).await;
                        return tell(told, Err(Failure::Own(error)));
                    }
                }
                return if is_last(&writer) {
                    commit_released(&mut writer).await
                };
            }
        }
    }
    writer.released.extend(told);
    if is_last(&writer) {
        commit_released(&mut writer).await;
    }
}

/// A caller who gave up no longer listens; what was done is done all the same.
fn tell(told: Option<Told>, outcome: Result<(), Failure>) {
    if let Some(told) = told {
        let _ = told.send(outcome);
    }
}

/// All of `statements`, in one trip.
async fn run_all(connection: &mut SqliteConnection, statements: &[Statement]) -> Result<()> {
    if let [before @ .., last] = statements {
        last.sqlite(before)?.execute(connection).await?;
    }
    Ok(())
}

async fn run(connection: &mut SqliteConnection, text: &'static str) -> Result<()> {
    sqlx::raw_sql(text).execute(connection).await?;
    Ok(())
}
