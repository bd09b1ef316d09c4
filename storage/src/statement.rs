//! One SQL text with its arguments, run on either engine, and the rows that it gives.

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, ColumnIndex, Decode, Postgres, Row as _, SqlSafeStr, Sqlite, Type};
use uuid::Uuid;

use crate::db::{Conn, DbError, Raw, Result, Tx};
use crate::value::Value;

/// One SQL statement with its arguments.
#[derive(Debug)]
pub struct Statement {
    text: AnyText,
    values: Vec<Value>,
}

#[derive(Debug)]
enum AnyText {
    Fixed(&'static str),
    Built(String),
}

/// A statement that stands in the source as it runs.
pub fn sql(text: &'static str) -> Statement {
    Statement { text: AnyText::Fixed(text), values: Vec::new() }
}

/// A statement put together from fixed fragments; outside values are bound, never spliced in.
pub fn built_sql(text: String) -> Statement {
    Statement { text: AnyText::Built(text), values: Vec::new() }
}

impl Statement {
    /// Adds the next argument: `$1`, `$2`, …
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The same arguments to another text.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn with_text(&self, text: String) -> Self {
        Self { text: AnyText::Built(text), values: self.values.clone() }
    }

    pub(crate) fn text(&self) -> sqlx::SqlStr {
        match &self.text {
            AnyText::Fixed(text) => text.into_sql_str(),
            AnyText::Built(text) => AssertSqlSafe(text.clone()).into_sql_str(),
        }
    }

    /// The statement behind those that must run `before`: SQLite runs several at a time over one list of
    /// arguments, in which each later statement's stand behind the earlier ones'.
    pub(crate) fn sqlite(
        &self,
        before: &[Self],
    ) -> Result<sqlx::query::Query<'static, Sqlite, SqliteArguments>> {
        let mut arguments = SqliteArguments::default();
        for value in before.iter().chain([self]).flat_map(|statement| &statement.values) {
            value.add_to_sqlite(&mut arguments)?;
        }
        if before.is_empty() {
            return Ok(sqlx::query_with(self.text(), arguments));
        }
        let (mut text, mut shift) = (String::new(), 0);
        for statement in before.iter().chain([self]) {
            shifted(statement.text().as_str(), shift, &mut text);
            text.push(';');
            shift += statement.values.len();
        }
        Ok(sqlx::query_with(AssertSqlSafe(text).into_sql_str(), arguments))
    }

    pub(crate) fn postgres(&self) -> Result<sqlx::query::Query<'static, Postgres, PgArguments>> {
        let mut arguments = PgArguments::default();
        for value in &self.values {
            value.add_to_postgres(&mut arguments)?;
        }
        Ok(sqlx::query_with(self.text(), arguments))
    }

    /// Runs it together with the transaction's next statement or its commit, which fails if this one does:
    /// on SQLite a trip to the engine is spared. For writes that nobody asks the outcome of.
    ///
    /// # Errors
    ///
    /// As [`Statement::execute`].
    pub async fn defer(self, db: &mut Tx) -> Result<()> {
        if let Some(tx) = db.on_sqlite() {
            tx.defer(self);
            return Ok(());
        }
        self.execute(db).await.map(|_| ())
    }

    /// Runs it; the number of rows that it changed.
    ///
    /// # Errors
    ///
    /// [`DbError::Conflict`] on a taken unique key, else [`DbError::Engine`].
    pub async fn execute(self, db: &mut Conn) -> Result<u64> {
        Ok(match db.raw() {
            Raw::Sqlite(conn, before) => {
                // Apart: of several statements SQLite counts the last change once more for each that changes nothing.
                if let [before @ .., last] = before.as_slice() {
                    last.sqlite(before)?.execute(&mut *conn).await?;
                }
                self.sqlite(&[])?.execute(conn).await?.rows_affected()
            }
            Raw::Postgres(conn) => self.postgres()?.execute(conn).await?.rows_affected(),
        })
    }

    /// Every row, each read as `T`.
    ///
    /// # Errors
    ///
    /// [`DbError`] when the engine fails or a row does not read.
    pub async fn fetch_all<T: FromRow>(self, db: &mut Conn) -> Result<Vec<T>> {
        #[cfg(any(test, feature = "testing"))]
        crate::plan::note(&self, db).await?;
        match db.raw() {
            Raw::Sqlite(conn, before) => {
                let rows = self.sqlite(&before)?.fetch_all(conn).await?;
                rows.into_iter().map(|row| T::from_row(&Row::Sqlite(row))).collect()
            }
            Raw::Postgres(conn) => {
                let rows = self.postgres()?.fetch_all(conn).await?;
                rows.into_iter().map(|row| T::from_row(&Row::Postgres(row))).collect()
            }
        }
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    ///
    /// [`DbError`] when the engine fails or the row does not read.
    pub async fn fetch_optional<T: FromRow>(self, db: &mut Conn) -> Result<Option<T>> {
        let row = match db.raw() {
            Raw::Sqlite(conn, before) => self.sqlite(&before)?.fetch_optional(conn).await?.map(Row::Sqlite),
            Raw::Postgres(conn) => self.postgres()?.fetch_optional(conn).await?.map(Row::Postgres),
        };
        row.map(|row| T::from_row(&row)).transpose()
    }

    /// The first row.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when there is none.
    pub async fn fetch_one<T: FromRow>(self, db: &mut Conn) -> Result<T> {
        self.fetch_optional(db).await?.ok_or(DbError::NotFound)
    }
}

/// Appends `text` with each `$n` as `$(n + shift)`.
fn shifted(text: &str, shift: usize, out: &mut String) {
    let mut parts = text.split('$');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number = part[..digits].parse::<usize>().map_or(0, |number| number + shift);
        out.push_str(&format!("${number}"));
        out.push_str(&part[digits..]);
    }
}

/// One row of an answer.
pub enum Row {
    /// Of SQLite.
    Sqlite(SqliteRow),
    /// Of PostgreSQL.
    Postgres(PgRow),
}

/// A type that both engines read natively.
pub trait Native:
    for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>
{
}
impl<T: for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>> Native
    for T
{
}

impl Row {
    /// The column, by name or place.
    ///
    /// # Errors
    ///
    /// [`DbError::Engine`] when the column is missing or of another type.
    pub fn get<T: Native>(&self, column: impl ColumnIndex<SqliteRow> + ColumnIndex<PgRow>) -> Result<T> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// The identifier in the column.
    ///
    /// # Errors
    ///
    /// As [`Row::get`].
    pub fn id<T: From<Uuid>>(&self, column: &str) -> Result<T> {
        self.get::<Uuid>(column).map(T::from)
    }

    /// The text in the column, read as `T`.
    ///
    /// # Errors
    ///
    /// [`DbError::Corrupt`] when it does not read.
    pub fn parse<T: std::str::FromStr>(&self, column: &str) -> Result<T> {
        let text: String = self.get(column)?;
        text.parse().map_err(|_| DbError::Corrupt(column.to_owned()))
    }
}

/// A type that is read from one row.
pub trait FromRow: Sized {
    /// Reads `row`.
    ///
    /// # Errors
    ///
    /// [`DbError`] when a column is missing or does not read.
    fn from_row(row: &Row) -> Result<Self>;
}

/// The first column alone: an integer, as counts are.
impl FromRow for i64 {
    fn from_row(row: &Row) -> Result<Self> {
        row.get(0)
    }
}

/// The first column alone.
impl FromRow for Uuid {
    fn from_row(row: &Row) -> Result<Self> {
        row.get(0)
    }
}

/// The first column alone.
impl FromRow for String {
    fn from_row(row: &Row) -> Result<Self> {
        row.get(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{tell, told};
    use crate::testing::{now, on_both};
    use clinical::event::Event;
    use clinical::id::{ClinicId, FindingId};

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn event() -> Event {
        Event::FindingReviewed { finding_id: FindingId::new(), review: None }
    }

    /// The first statement of a transaction travels with its opening words, which must not change its answer.
    #[tokio::test]
    async fn a_first_statement_counts_only_its_own_changes() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            tell(&mut tx, CLINIC, &event(), now()).await.unwrap();
            tx.commit().await.unwrap();
            let mut tx = db.begin().await.unwrap();
            let none = sql("UPDATE events SET name = $1 WHERE name = $2").bind("x").bind("no such name");
            assert_eq!(none.execute(&mut tx).await.unwrap(), 0);
            drop(tx);
            let mut tx = db.begin().await.unwrap();
            let found = told(&mut tx, CLINIC, "finding_reviewed", 10).await.unwrap();
            assert_eq!(found.len(), 1);
            tx.commit().await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_deferred_runs_with_the_next_statement_or_the_commit_and_fails_with_it() {
        on_both(async |db| {
            let named = |name: &'static str| {
                sql("UPDATE clinics SET name = $1 WHERE clinic_id = $2").bind(name).bind(CLINIC)
            };
            let name = || sql("SELECT name FROM clinics WHERE clinic_id = $1").bind(CLINIC);
            let mut tx = db.begin().await.unwrap();
            named("first").defer(&mut tx).await.unwrap();
            assert_eq!(name().fetch_one::<String>(&mut tx).await.unwrap(), "first");
            named("second").defer(&mut tx).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(name().fetch_one::<String>(&mut db.read().await.unwrap()).await.unwrap(), "second");

            let mut tx = db.begin().await.unwrap();
            named("third").defer(&mut tx).await.unwrap();
            let again = "INSERT INTO clinics (clinic_id, name, created_at) VALUES ($1, 'again', $2)";
            let broken = match sql(again).bind(CLINIC).bind(now()).defer(&mut tx).await {
                Ok(()) => tx.commit().await,
                refused => refused,
            };
            assert!(matches!(broken, Err(DbError::Conflict)));
            assert_eq!(name().fetch_one::<String>(&mut db.read().await.unwrap()).await.unwrap(), "second");
        })
        .await;
    }

    #[tokio::test]
    async fn a_text_with_nul_is_kept_without_it_on_both_engines() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let kept: String = sql("SELECT $1").bind("a\0b").fetch_one(&mut tx).await.unwrap();
            assert_eq!(kept, "ab");
        })
        .await;
    }
}
