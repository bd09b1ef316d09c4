//! The rows of SQLite as they stand at one instant, in a file of their own, while others write on.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use crate::db::{Db, DbError, newest_migration, sql};

/// Why rows were not copied, or a copy not read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// PostgreSQL has programs of its own for this.
    #[error("only SQLite is copied here; docs/backup.md names the programs of PostgreSQL")]
    NotSqlite,
    /// The database failed, or a copy is no database of ours.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

type Result<T, E = BackupError> = std::result::Result<T, E>;

/// Writes what is committed now to the new file `to`; writers are not held up, and what they commit meanwhile
/// is not in it.
///
/// # Errors
///
/// [`BackupError::NotSqlite`] on PostgreSQL, else [`BackupError::Database`] when the file is there already or
/// the disk is full.
pub async fn copy_rows(db: &Db, to: &Path) -> Result<()> {
    if db.engine() != "SQLite" {
        return Err(BackupError::NotSqlite);
    }
    let mut read = db.read().await?;
    sql("VACUUM INTO $1").bind(to.display().to_string()).execute(&mut read).await?;
    Ok(())
}

/// The number of the newest step of the schema that this program knows.
pub fn newest_schema() -> i64 {
    newest_migration()
}

/// A copied file of rows, only read: nothing is written to it or beside it.
#[derive(Debug)]
pub struct RowsCopy(SqliteConnection);

impl RowsCopy {
    /// Opens a file that nobody writes to.
    ///
    /// # Errors
    ///
    /// [`BackupError::Database`] when it is not there or no database.
    pub async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true).immutable(true);
        Ok(Self(SqliteConnection::connect_with(&options).await?))
    }

    /// The number of the newest step of the schema that is applied in it.
    ///
    /// # Errors
    ///
    /// [`BackupError::Database`] when it has no schema of ours.
    pub async fn schema(&mut self) -> Result<i64> {
        let newest = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success";
        Ok(sqlx::query_scalar(newest).fetch_one(&mut self.0).await?)
    }

    /// Whether rows of its audit trail are sealed.
    ///
    /// # Errors
    ///
    /// [`BackupError::Database`] when it does not read.
    pub async fn is_sealed(&mut self) -> Result<bool> {
        let heads = "SELECT EXISTS (SELECT 1 FROM audit_heads)";
        Ok(sqlx::query_scalar(heads).fetch_one(&mut self.0).await?)
    }

    /// How many blobs its rows name.
    ///
    /// # Errors
    ///
    /// [`BackupError::Database`] when it does not read.
    pub async fn blob_count(&mut self) -> Result<u64> {
        let count = "SELECT count(*) FROM (SELECT blob_key FROM instances
                                            UNION SELECT blob_key FROM instance_versions
                                            UNION SELECT blob_key FROM quarantine
                                            UNION SELECT blob_key FROM networks WHERE blob_key IS NOT NULL
                                            UNION SELECT saliency_key FROM findings WHERE saliency_key IS NOT NULL
                                            UNION SELECT overlay_key FROM findings WHERE overlay_key IS NOT NULL)";
        Ok(sqlx::query_scalar::<_, i64>(count).fetch_one(&mut self.0).await?.unsigned_abs())
    }

    /// Up to `limit` names of blobs behind `after`, in order and each once: the same that
    /// [`named_among`](crate::records::instance::named_among) keeps from the sweep.
    ///
    /// # Errors
    ///
    /// [`BackupError::Database`] when it does not read.
    pub async fn blob_keys(&mut self, after: &str, limit: u32) -> Result<Vec<String>> {
        let page = "SELECT blob_key FROM instances WHERE blob_key > $1
                     UNION SELECT blob_key FROM instance_versions WHERE blob_key > $1
                     UNION SELECT blob_key FROM quarantine WHERE blob_key > $1
                     UNION SELECT blob_key FROM networks WHERE blob_key > $1
                     UNION SELECT saliency_key FROM findings WHERE saliency_key > $1
                     UNION SELECT overlay_key FROM findings WHERE overlay_key > $1
                     ORDER BY 1 LIMIT $2";
        Ok(sqlx::query_scalar(page).bind(after).bind(limit).fetch_all(&mut self.0).await?)
    }

    /// Lets go of the file.
    ///
    /// # Errors
    ///
    /// [`BackupError::Database`] when the engine fails in the end.
    pub async fn close(self) -> Result<()> {
        Ok(self.0.close().await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::instance::named_among;
    use crate::records::network::{NewNetwork, StoredNetwork};
    use crate::testing::{fresh_postgres_url, instance_facts, now, place_of};

    async fn new_db(folder: &Path) -> Db {
        let db = Db::open(&format!("sqlite:{}", folder.join("rows.sqlite").display())).await.unwrap();
        db.migrate().await.unwrap();
        db
    }

    #[tokio::test]
    async fn the_weights_of_networks_are_among_the_blobs() {
        let folder = tempfile::tempdir().unwrap();
        let (db, copy) = (new_db(folder.path()).await, folder.path().join("copy.sqlite"));
        let new = NewNetwork {
            name: "lungs".to_owned(),
            version: "1.0.0".to_owned(),
            sha256: "ab".to_owned(),
            card: String::new(),
            reference: None,
            added_by: "test".to_owned(),
        };
        let mut tx = db.begin().await.unwrap();
        let id = StoredNetwork::add(&mut tx, &new, now()).await.unwrap();
        StoredNetwork::add(&mut tx, &NewNetwork { version: "2.0.0".to_owned(), ..new }, now()).await.unwrap();
        StoredNetwork::weights_came(&mut tx, id, 9).await.unwrap();
        tx.commit().await.unwrap();
        copy_rows(&db, &copy).await.unwrap();
        let mut rows = RowsCopy::open(&copy).await.unwrap();
        assert_eq!(rows.blob_count().await.unwrap(), 1, "the other has no weights yet");
        assert_eq!(rows.blob_keys("", 9).await.unwrap(), ["networks/ab.onnx"]);
        let named = named_among(&mut db.read().await.unwrap(), &["networks/ab.onnx".to_owned()]).await;
        assert_eq!(named.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_copy_has_what_was_committed_before_and_nothing_after() {
        let folder = tempfile::tempdir().unwrap();
        let (db, copy) = (new_db(folder.path()).await, folder.path().join("copy.sqlite"));
        let mut tx = db.begin().await.unwrap();
        let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
        for number in [3, 1, 2] {
            let facts = instance_facts(&format!("1.2.3.1.{number}"), "aa");
            place.insert(&mut tx, &facts, now()).await.unwrap();
        }
        tx.commit().await.unwrap();
        let mut open = db.begin().await.unwrap();
        place.insert(&mut open, &instance_facts("1.2.3.1.9", "aa"), now()).await.unwrap();
        copy_rows(&db, &copy).await.unwrap();
        open.commit().await.unwrap();

        let mut rows = RowsCopy::open(&copy).await.unwrap();
        assert_eq!(rows.schema().await.unwrap(), newest_schema());
        assert_eq!(rows.blob_count().await.unwrap(), 3);
        assert_eq!(rows.blob_keys("", 2).await.unwrap(), ["1.2.3.1.1/aa.dcm", "1.2.3.1.2/aa.dcm"]);
        assert_eq!(rows.blob_keys("1.2.3.1.2/aa.dcm", 2).await.unwrap(), ["1.2.3.1.3/aa.dcm"]);
        rows.close().await.unwrap();
        assert!(copy_rows(&db, &copy).await.is_err(), "nothing is written over");
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        let beside = |name: &&std::ffi::OsString| name.to_string_lossy().starts_with("copy.");
        assert_eq!(names.iter().filter(beside).count(), 1, "nothing is left beside it: {names:?}");
    }

    #[tokio::test]
    async fn postgres_is_left_to_its_own_programs() {
        let db = Db::open(&fresh_postgres_url().await).await.unwrap();
        let refused = copy_rows(&db, Path::new("/nowhere")).await;
        assert!(matches!(refused, Err(BackupError::NotSqlite)));
    }
}
