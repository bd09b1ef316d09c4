//! A connection and a transaction, on either engine.

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection, Transaction};

use super::Result;
use crate::bell::{Bells, Rings};
use crate::sqlite::SqliteTx;
use crate::statement::Statement;

/// A connection, for reading or inside a transaction.
pub struct Conn(pub(super) Inner);

pub(super) enum Inner {
    SqliteReader(PoolConnection<Sqlite>),
    SqliteWriter(SqliteTx),
    PostgresReader(PoolConnection<Postgres>),
    PostgresWriter(Transaction<'static, Postgres>),
}

pub(crate) enum Raw<'c> {
    /// With what must run before the statement.
    Sqlite(&'c mut SqliteConnection, Vec<Statement>),
    Postgres(&'c mut PgConnection),
}

impl Conn {
    pub(crate) fn raw(&mut self) -> Raw<'_> {
        match &mut self.0 {
            Inner::SqliteReader(conn) => Raw::Sqlite(conn, Vec::new()),
            Inner::SqliteWriter(tx) => {
                let before = tx.before();
                Raw::Sqlite(tx.connection(), before)
            }
            Inner::PostgresReader(conn) => Raw::Postgres(conn),
            Inner::PostgresWriter(tx) => Raw::Postgres(tx),
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.0, Inner::PostgresReader(_) | Inner::PostgresWriter(_))
    }

    /// Ends a `SELECT` whose rows the caller takes over, leaving out those that another has taken.
    /// SQLite has one writer and needs no lock.
    pub fn skip_locked(&self) -> &'static str {
        if self.is_postgres() { " FOR UPDATE SKIP LOCKED" } else { "" }
    }

    /// Ends a `SELECT` whose rows must stay as they are until this transaction ends.
    pub fn share_lock(&self) -> &'static str {
        if self.is_postgres() { " FOR SHARE" } else { "" }
    }

    /// Ends a `SELECT` whose rows this transaction is about to change: who would do so too waits for its end,
    /// while rows that point to them can be written.
    pub fn change_lock(&self) -> &'static str {
        if self.is_postgres() { " FOR NO KEY UPDATE" } else { "" }
    }
}

/// A transaction: a [`Conn`] that can be committed.
pub struct Tx {
    pub(super) conn: Conn,
    /// What its commit rings.
    pub(super) rings: Rings,
    pub(super) bells: Bells,
}

impl Tx {
    /// The transaction on SQLite.
    pub(crate) fn on_sqlite(&mut self) -> Option<&mut SqliteTx> {
        match &mut self.conn.0 {
            Inner::SqliteWriter(tx) => Some(tx),
            _ => None,
        }
    }

    /// Makes the changes last; returns once they are on disk.
    ///
    /// # Errors
    ///
    /// [`DbError`] when the commit failed: nothing of this transaction is kept.
    pub async fn commit(self) -> Result<()> {
        let is_postgres = self.conn.is_postgres();
        match self.conn.0 {
            Inner::SqliteWriter(tx) => tx.commit().await?,
            Inner::PostgresWriter(tx) => tx.commit().await?,
            Inner::SqliteReader(_) | Inner::PostgresReader(_) => {}
        }
        self.rings.ring(&self.bells, is_postgres);
        Ok(())
    }

    /// Its commit wakes those who wait for events.
    pub(crate) fn has_told(&mut self) {
        self.rings.told = true;
    }

    /// Its commit wakes those who bring messages to people.
    pub(crate) fn has_said(&mut self) {
        self.rings.said = true;
    }

    /// Its commit wakes those who wait for work.
    pub(crate) fn has_asked(&mut self) {
        self.rings.asked = true;
    }
}

impl std::ops::Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.conn
    }
}

impl std::ops::DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.conn
    }
}
