//! The one place that knows there are two databases.
//!
//! A statement is one SQL text with `$1`-style arguments; [`Statement`] binds
//! them natively for the engine in use and runs it. Where the engines must
//! differ, [`Conn`] offers the fragment by name ([`Conn::skip_locked`],
//! [`Conn::share_lock`], [`Conn::change_lock`]).

mod conn;

use std::path::Path;
use std::time::Duration;

use clinical::id::ClinicId;

use crate::bell::{Bells, Rings};
pub(crate) use crate::migrations::newest_migration;
use crate::migrations::{POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS, migrations};
use crate::records::patient::fill_name_keys;
use crate::row_security;
use crate::sqlite::SqliteDb;
pub use crate::statement::{FromRow, Native, Row, Statement, built_sql, sql};
pub use crate::value::Value;
use conn::Inner;
pub(crate) use conn::Raw;
pub use conn::{Conn, Tx};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The row is not there, or belongs to another clinic.
    #[error("no such record")]
    NotFound,
    /// A unique key is taken.
    #[error("the record exists already")]
    Conflict,
    /// A stored value does not read as what it should be.
    #[error("a stored value does not read back: {0}")]
    Corrupt(String),
    /// The shared commit of several transactions failed.
    #[error("the commit failed: {0}")]
    Commit(String),
    /// The engine failed.
    #[error("the database failed")]
    Engine(#[source] sqlx::Error),
    /// A file beside the database could not be locked.
    #[error("the database's folder is not usable")]
    Folder(#[from] std::io::Error),
    /// A schema change failed.
    #[error("the migration failed")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::Database(ref inner) if inner.is_unique_violation() => Self::Conflict,
            error => Self::Engine(error),
        }
    }
}

/// A result of the database.
pub type Result<T, E = DbError> = std::result::Result<T, E>;

/// The database, SQLite or PostgreSQL; cheap to clone.
///
/// As it is opened it is the system's: its transactions see every clinic. [`Db::of`] gives the handle of one
/// clinic, to which PostgreSQL shows no other's rows, whatever a query asks.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
    /// Whose rows are seen; `None` is the system, which sees all.
    scope: Option<ClinicId>,
    bells: Bells,
}

#[derive(Clone)]
enum Engine {
    Sqlite(SqliteDb),
    Postgres(PgPool),
}

impl Db {
    /// Opens `sqlite:PATH` (made when missing) or `postgres://…`, without changing the schema.
    ///
    /// # Errors
    ///
    /// [`DbError::Engine`] when the URL does not read or the database does not answer.
    pub async fn open(url: &str) -> Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let engine = Engine::Sqlite(SqliteDb::open(Path::new(path)).await?);
            return Ok(Self { engine, scope: None, bells: Bells::default() });
        }
        let options: PgConnectOptions = url.parse()?;
        Self::postgres(options).await
    }

    pub(crate) async fn postgres(options: PgConnectOptions) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(16)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(|conn, _| Box::pin(row_security::be_the_system(conn)))
            .connect_with(options)
            .await?;
        Ok(Self { engine: Engine::Postgres(pool), scope: None, bells: Bells::default() })
    }

    /// The same database, showing one clinic: on PostgreSQL each transaction and each reading connection names it
    /// to the row-level security; SQLite has none. For whatever a caller asks; the system's own work needs none.
    #[must_use]
    pub fn of(&self, clinic: ClinicId) -> Self {
        Self { engine: self.engine.clone(), scope: Some(clinic), bells: self.bells.clone() }
    }

    /// Brings the schema up to date; what is applied already is left alone.
    ///
    /// # Errors
    ///
    /// [`DbError::Migrate`] when a step fails or an applied one has changed since.
    pub async fn migrate(&self) -> Result<()> {
        match &self.engine {
            Engine::Sqlite(db) => {
                // Two programs that start together over a new file would both make the tables.
                let _alone = db.lock_file().await?;
                let mut writer = db.exclusive().await;
                migrations(SQLITE_MIGRATIONS).run_direct(None, writer.connection(), false).await?;
            }
            // A role that may not change the schema can still serve over one that is whole.
            Engine::Postgres(pool) => {
                if row_security::may_change_schema(pool).await?
                    || !self.pending_migrations().await?.is_empty()
                {
                    migrations(POSTGRES_MIGRATIONS).run(pool).await?;
                }
            }
        }
        fill_name_keys(self).await
    }

    /// The names of the schema's steps that this database lacks, in order; changes nothing.
    ///
    /// # Errors
    ///
    /// [`DbError::Engine`] when the database does not answer.
    pub async fn pending_migrations(&self) -> Result<Vec<&'static str>> {
        let (ours, has_table) = match &self.engine {
            Engine::Sqlite(_) => (
                SQLITE_MIGRATIONS,
                "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
            ),
            Engine::Postgres(_) => (
                POSTGRES_MIGRATIONS,
                "SELECT count(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')",
            ),
        };
        let mut read = self.read().await?;
        let applied: Vec<i64> = match sql(has_table).fetch_one::<i64>(&mut read).await? {
            0 => Vec::new(),
            _ => sql("SELECT version FROM _sqlx_migrations WHERE success").fetch_all(&mut read).await?,
        };
        let pending = ours.iter().filter(|(version, ..)| !applied.contains(version));
        Ok(pending.map(|(_, name, _)| *name).collect())
    }

    /// A connection for reading; it sees what is committed.
    ///
    /// # Errors
    ///
    /// [`DbError::Engine`] when none becomes free in time.
    pub async fn read(&self) -> Result<Conn> {
        Ok(Conn(match &self.engine {
            Engine::Sqlite(db) => Inner::SqliteReader(db.reader().await?),
            Engine::Postgres(pool) => match self.scope {
                None => Inner::PostgresReader(pool.acquire().await?),
                Some(clinic) => {
                    Inner::PostgresWriter(pool.begin_with(row_security::begin_read_only(clinic)).await?)
                }
            },
        }))
    }

    /// A transaction; dropped without [`Tx::commit`], it leaves nothing behind.
    ///
    /// On SQLite it is part of the one writer's open transaction, so that many
    /// share one fsync: keep it short, and wait for
    /// nothing but the database while it is open.
    ///
    /// # Errors
    ///
    /// [`DbError::Engine`] when it cannot be opened.
    pub async fn begin(&self) -> Result<Tx> {
        let conn = Conn(match &self.engine {
            Engine::Sqlite(db) => Inner::SqliteWriter(db.begin().await?),
            Engine::Postgres(pool) => Inner::PostgresWriter(match self.scope {
                None => pool.begin().await?,
                Some(clinic) => pool.begin_with(row_security::begin(clinic)).await?,
            }),
        });
        Ok(Tx { conn, rings: Rings::default(), bells: self.bells.clone() })
    }

    /// Whether this role sees every clinic whatever it names: PostgreSQL's row-level security does not hold for
    /// superusers, nor for roles with BYPASSRLS. SQLite has none to pass by: `false`.
    ///
    /// # Errors
    ///
    /// [`DbError::Engine`] when the database does not answer.
    pub async fn bypasses_row_security(&self) -> Result<bool> {
        match &self.engine {
            Engine::Sqlite(_) => Ok(false),
            Engine::Postgres(pool) => Ok(row_security::bypasses(pool).await?),
        }
    }

    /// What wakes those who wait for events or work.
    pub fn bells(&self) -> &Bells {
        &self.bells
    }

    /// Whether events get their positions from [`crate::outbox::relay`] and processes wake one another through the
    /// database: PostgreSQL alone.
    pub fn needs_relay(&self) -> bool {
        self.postgres_pool().is_some()
    }

    /// The connections to PostgreSQL, for what SQLite has not.
    pub(crate) fn postgres_pool(&self) -> Option<&PgPool> {
        match &self.engine {
            Engine::Sqlite(_) => None,
            Engine::Postgres(pool) => Some(pool),
        }
    }

    /// The engine's name, for people.
    pub fn engine(&self) -> &'static str {
        match &self.engine {
            Engine::Sqlite(_) => "SQLite",
            Engine::Postgres(_) => "PostgreSQL",
        }
    }

    /// Closes every connection once it is idle.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite(db) => db.close().await,
            Engine::Postgres(pool) => pool.close().await,
        }
    }
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Db({})", self.engine())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{tell, told};
    use crate::testing::{break_a_rule, count, now, on_both};
    use clinical::event::Event;
    use clinical::id::{ClinicId, FindingId};
    use uuid::Uuid;

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn event() -> Event {
        Event::FindingReviewed { finding_id: FindingId::new(), review: None }
    }

    #[tokio::test]
    async fn migrating_twice_changes_nothing() {
        on_both(async |db| {
            db.migrate().await.unwrap();
            assert_eq!(count(&db, "clinics").await, 1);
        })
        .await;
    }

    #[tokio::test]
    async fn a_schema_that_is_behind_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = format!("sqlite:{}", folder.path().join("rows.sqlite").display());
        for url in [sqlite, crate::testing::fresh_postgres_url().await] {
            let db = Db::open(&url).await.unwrap();
            let all = db.pending_migrations().await.unwrap();
            assert_eq!(all.first(), Some(&"0001_ground_floor"));
            db.migrate().await.unwrap();
            assert_eq!(db.pending_migrations().await.unwrap(), [""; 0]);
            let mut tx = db.begin().await.unwrap();
            sql("DELETE FROM _sqlx_migrations").execute(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(db.pending_migrations().await.unwrap(), all);
            db.close().await;
        }
    }

    /// 0005 gives positions and 0007 keys to what is there already.
    #[tokio::test]
    async fn rows_of_the_first_release_are_found_after_the_steps() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = format!("sqlite:{}", folder.path().join("rows.sqlite").display());
        for url in [sqlite, crate::testing::fresh_postgres_url().await] {
            let db = Db::open(&url).await.unwrap();
            match &db.engine {
                Engine::Sqlite(sqlite) => {
                    let mut writer = sqlite.exclusive().await;
                    let first = migrations(&SQLITE_MIGRATIONS[..1]);
                    first.run_direct(None, writer.connection(), false).await.unwrap();
                }
                Engine::Postgres(pool) => migrations(&POSTGRES_MIGRATIONS[..1]).run(pool).await.unwrap(),
            }
            let mut tx = db.begin().await.unwrap();
            for _ in 0..2 {
                tell(&mut tx, CLINIC, &event(), now()).await.unwrap();
            }
            sql("INSERT INTO patients (patient_id, clinic_id, patient_key, mrn, issuer, name, name_key, created_at)
                 VALUES ($1, $2, 'id:0:|1', '1', '', 'Ångström^Zoë', 'ångström^zoë', $3)")
                .bind(clinical::id::PatientId::new())
                .bind(CLINIC)
                .bind(now())
                .execute(&mut tx)
                .await
                .unwrap();
            tx.commit().await.unwrap();
            db.migrate().await.unwrap();

            let mut tx = db.begin().await.unwrap();
            tell(&mut tx, CLINIC, &event(), now()).await.unwrap();
            tx.commit().await.unwrap();
            crate::outbox::relay::place_all(&db, crate::outbox::relay::Work::None).await.unwrap();
            let mut read = db.read().await.unwrap();
            let placed = crate::outbox::after(&mut read, 0, 10).await.unwrap();
            assert_eq!(
                placed.iter().map(|told| told.position).collect::<Vec<_>>(),
                [Some(1), Some(2), Some(3)]
            );
            let keys = "SELECT count(*) FROM patients WHERE family_key = 'angstrom' AND given_key = 'zoe'";
            assert_eq!(sql(keys).fetch_one::<i64>(&mut read).await.unwrap(), 1);
            drop(read);
            db.close().await;
        }
    }

    /// Who waits for the writer is to run the COMMIT for those before; one that gives up must not leave them waiting.
    #[tokio::test]
    async fn a_commit_that_was_left_to_a_waiter_who_gives_up_is_run_all_the_same() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            tell(&mut tx, CLINIC, &event(), now()).await.unwrap();
            let patience = Duration::from_millis(50);
            let mut waiter = Box::pin(db.begin());
            let waiting = tokio::time::timeout(patience, &mut waiter).await;
            let mut committing = std::pin::pin!(tx.commit());
            let mut done = tokio::time::timeout(patience, &mut committing).await.is_ok();
            drop((waiter, waiting));
            if !done {
                done = tokio::time::timeout(Duration::from_secs(5), committing).await.is_ok();
            }
            assert!(done, "it is not left hanging");
        })
        .await;
    }

    #[tokio::test]
    async fn a_transaction_that_fails_leaves_its_neighbours_alone() {
        on_both(async |db| {
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..40 {
                let db = db.clone();
                tasks.spawn(async move {
                    let mut tx = db.begin().await.unwrap();
                    tell(&mut tx, CLINIC, &event(), now()).await.unwrap();
                    if number % 4 == 0 {
                        break_a_rule(&mut tx).await;
                        drop(tx);
                    } else {
                        tx.commit().await.unwrap();
                    }
                });
            }
            tasks.join_all().await;
            let mut read = db.read().await.unwrap();
            assert_eq!(told(&mut read, CLINIC, "finding_reviewed", 100).await.unwrap().len(), 30);
        })
        .await;
    }

    /// A client that hangs up cancels its handler anywhere: the writer must go on for the others.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn callers_that_give_up_half_way_do_not_stop_the_writer() {
        on_both(async |db| {
            for patience_us in 0..200 {
                let attempt = async {
                    let mut tx = db.begin().await.unwrap();
                    tell(&mut tx, CLINIC, &event(), now()).await.unwrap();
                    tx.commit().await.unwrap();
                };
                // Whether it was in time does not matter here.
                let _ = tokio::time::timeout(Duration::from_micros(patience_us * 5), attempt).await;
            }
            let before = count(&db, "events").await;
            let mut tx = db.begin().await.unwrap();
            tell(&mut tx, CLINIC, &event(), now()).await.unwrap();
            tx.commit().await.unwrap();
            assert!(count(&db, "events").await > before);
        })
        .await;
    }

    #[tokio::test]
    async fn a_first_transaction_that_fails_is_rolled_back_whole() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            tell(&mut tx, CLINIC, &event(), now()).await.unwrap();
            drop(tx);
            db.begin().await.unwrap().commit().await.unwrap();
            assert_eq!(count(&db, "events").await, 0);
        })
        .await;
    }

    #[tokio::test]
    async fn two_programs_may_start_together_over_a_new_database() {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = format!("sqlite:{}", folder.path().join("rows.sqlite").display());
        for url in [sqlite, crate::testing::fresh_postgres_url().await] {
            let starts = (0..4).map(async |_| Db::open(&url).await.unwrap().migrate().await.unwrap());
            futures::future::join_all(starts).await;
            assert_eq!(count(&Db::open(&url).await.unwrap(), "clinics").await, 1);
        }
    }

    #[tokio::test]
    async fn a_taken_key_is_a_conflict_and_a_missing_row_is_not_found() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            break_a_rule(&mut tx).await;
            drop(tx);
            let mut read = db.read().await.unwrap();
            let none = sql("SELECT clinic_id FROM clinics WHERE clinic_id = $1").bind(ClinicId::new());
            assert!(matches!(none.fetch_one::<Uuid>(&mut read).await, Err(DbError::NotFound)));
        })
        .await;
    }

    #[tokio::test]
    async fn like_tells_case_apart_on_both_engines() {
        on_both(async |db| {
            let mut read = db.read().await.unwrap();
            let like =
                |pattern: &'static str| sql("SELECT count(*) FROM clinics WHERE name LIKE $1").bind(pattern);
            assert_eq!(like("Default%").fetch_one::<i64>(&mut read).await.unwrap(), 1);
            assert_eq!(like("default%").fetch_one::<i64>(&mut read).await.unwrap(), 0);
        })
        .await;
    }
}
