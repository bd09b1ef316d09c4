//! DICOM bytes as blobs, in a local folder or an object store named by URL.
//!
//! A blob's name is never given twice, so no blob is ever overwritten. What no
//! row names, and is older than an hour, is left from an interrupted receipt and is swept.

use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, WriteMultipart};

use crate::db::{Db, DbError};
use crate::records::installation;
use crate::records::instance::named_among;

/// So many blobs are asked for in one query.
const SWEEP_BATCH: usize = 400;
/// The blob that says whose archive it is.
const MARKER: &str = "medilink-archive";
/// Above it a blob is sent in parts of this size.
const PART_BYTES: usize = 8 << 20;

/// Why a blob was not written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// No such blob.
    #[error("the object is not in the archive")]
    NotFound,
    /// The URL names no store that this build knows.
    #[error("the archive URL is not usable: {0}")]
    Url(String),
    /// The archive was made with another database.
    #[error("the archive belongs to another database: nothing is swept")]
    Foreign,
    /// The store failed.
    #[error("the archive failed")]
    Store(#[source] object_store::Error),
    /// A local file could not be read.
    #[error("a spooled file could not be read")]
    Spool(#[from] std::io::Error),
    /// The rows could not be asked.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl From<object_store::Error> for ArchiveError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound,
            error => Self::Store(error),
        }
    }
}

type Result<T, E = ArchiveError> = std::result::Result<T, E>;

/// Where blobs live; cheap to clone.
#[derive(Clone, Debug)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    /// The folder inside the bucket under which everything is kept.
    root: Path,
    /// Where the store is a local folder: that folder.
    folder: Option<PathBuf>,
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs looked at.
    pub seen: u64,
    /// Blobs removed: no row named them.
    pub removed: u64,
}

impl Archive {
    /// A local folder, made when missing; every blob is fsynced before it counts as written.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] when the folder cannot be made.
    pub fn folder(path: &FilePath) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        let store = LocalFileSystem::new_with_prefix(path)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), root: Path::default(), folder: Some(path.to_owned()) })
    }

    /// A store by URL: `file:///…`, and, where this build has them, `s3://…`, `gs://…`, `az://…`.
    ///
    /// `options` are the store's own settings, by the names that the clouds' tools
    /// use (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, …); unknown ones are ignored.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Url`] when the URL names no known store.
    pub fn open(url: &str, options: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        if let Some(path) = url.strip_prefix("file://") {
            return Self::folder(FilePath::new(path));
        }
        if !url.contains("://") {
            return Self::folder(FilePath::new(url));
        }
        let parsed = url.parse().map_err(|error| ArchiveError::Url(format!("{error}")))?;
        let (store, root) = object_store::parse_url_opts(&parsed, options)
            .map_err(|error| ArchiveError::Url(error.to_string()))?;
        Ok(Self { store: Arc::from(store), root, folder: None })
    }

    fn path(&self, key: &str) -> Path {
        Path::from_iter(self.root.parts().chain(Path::from(key).parts()))
    }

    /// Writes a blob from memory; returns once it is durable.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Store`] when the store refuses or fails.
    pub async fn put(&self, key: &str, chunks: impl IntoIterator<Item = Bytes>) -> Result<()> {
        let payload: PutPayload = chunks.into_iter().collect();
        self.store.put(&self.path(key), payload).await?;
        Ok(())
    }

    /// Writes a blob from a spooled file, from where it stands, in parts; returns once it is durable.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] when the file cannot be read or the store fails.
    pub async fn put_file(&self, key: &str, file: std::fs::File) -> Result<()> {
        let upload = self.store.put_multipart(&self.path(key)).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut file = tokio::fs::File::from_std(file);
        loop {
            let mut part = bytes::BytesMut::with_capacity(PART_BYTES);
            let read = tokio::io::AsyncReadExt::read_buf(&mut file, &mut part).await;
            let failure = match read {
                Ok(0) => break,
                Ok(_) => {
                    upload.put(part.freeze());
                    upload.wait_for_capacity(2).await.err().map(ArchiveError::from)
                }
                Err(error) => Some(error.into()),
            };
            if let Some(failure) = failure {
                // The parts sent so far are of no use; a bucket should have a rule that forgets such parts in time.
                let _ = upload.abort().await;
                return Err(failure);
            }
        }
        upload.finish().await?;
        Ok(())
    }

    /// The whole blob.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::NotFound`] when there is none.
    pub async fn get(&self, key: &str) -> Result<Bytes> {
        Ok(self.store.get(&self.path(key)).await?.bytes().await?)
    }

    /// A part of the blob.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::NotFound`] when there is no such blob.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        Ok(self.store.get_range(&self.path(key), range).await?)
    }

    /// The blob piece by piece.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::NotFound`] when there is none; each piece may fail.
    pub async fn stream(&self, key: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
        Ok(self.store.get(&self.path(key)).await?.into_stream().map_err(ArchiveError::from).boxed())
    }

    /// Removes a blob that no row names.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Store`] when the store fails.
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.store.delete(&self.path(key)).await?;
        Ok(())
    }

    /// Whether the store answers: it is asked for one name.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Store`] when it does not.
    pub async fn check(&self) -> Result<()> {
        match self.store.head(&self.path("clinics/none")).await {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the blobs that no row names and that are older than `age`.
    ///
    /// A receipt writes the blob before the row, under a name of its own, so a
    /// blob of that age without a row belongs to a receipt that ended unacknowledged.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Foreign`] when the archive belongs to another database, whose rows are not seen here;
    /// [`ArchiveError`] when the store or the database fails. What was removed stays removed.
    pub async fn sweep(&self, db: &Db, now: DateTime<Utc>, age: TimeDelta) -> Result<Swept> {
        self.belong_to(db).await?;
        let mut swept = Swept::default();
        let names = self.store.list(Some(&self.path("clinics")));
        let mut batches = names.try_chunks(SWEEP_BATCH);
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| error.1)?;
            swept.seen += batch.len() as u64;
            let is_old = |blob: &object_store::ObjectMeta| now - blob.last_modified >= age;
            let old: Vec<_> = batch.into_iter().filter(is_old).map(|blob| blob.location).collect();
            let keys: Vec<_> = old.iter().map(|location| self.key(location)).collect();
            let named = named_among(&mut db.read().await?, &keys).await?;
            for (location, key) in old.iter().zip(&keys) {
                if named.contains(key) {
                    continue;
                }
                match self.store.delete(location).await {
                    // Another sweeper was here first.
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => swept.removed += 1,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if let (Some(folder), Ok(age)) = (self.folder.clone(), age.to_std()) {
            let before = SystemTime::from(now).checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
            let removed = tokio::task::spawn_blocking(move || sweep_unfinished(&folder, before));
            swept.removed += removed.await.map_err(std::io::Error::other)??;
        }
        Ok(swept)
    }

    /// The name that the rows know a blob by.
    fn key(&self, location: &Path) -> String {
        let strip = if self.root.parts().count() == 0 { 0 } else { self.root.as_ref().len() + 1 };
        location.as_ref()[strip..].to_owned()
    }

    /// Ties the archive to the database that names its blobs; the first database to ask has it.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Foreign`] when it is another's.
    pub async fn belong_to(&self, db: &Db) -> Result<()> {
        let ours = installation::id(db).await?.to_string();
        let marker = self.path(MARKER);
        let create = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&marker, ours.clone().into(), create).await {
            Ok(_) => return Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let theirs = self.store.get(&marker).await?.bytes().await?;
        if theirs == ours.as_bytes() { Ok(()) } else { Err(ArchiveError::Foreign) }
    }
}

/// Removes what a killed process was writing into a local folder: `object_store` writes `NAME#NUMBER` and
/// renames it at the end, and lists no such file.
fn sweep_unfinished(folder: &FilePath, before: SystemTime) -> std::io::Result<u64> {
    let mut removed = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            removed += sweep_unfinished(&entry.path(), before)?;
        } else if is_unfinished(&entry.file_name().to_string_lossy())
            && entry.metadata()?.modified()? < before
        {
            std::fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_unfinished(file_name: &str) -> bool {
    let number = file_name.rsplit_once('#').map(|(_, number)| number);
    number.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance_facts, now, on_both, place_of};
    use clinical::id::ClinicId;

    /// The local folder, and the S3 server that `./test` starts.
    async fn on_each_store<F: AsyncFn(Archive)>(test: F) {
        let folder = tempfile::tempdir().unwrap();
        test(Archive::folder(folder.path()).unwrap()).await;
        let (url, options) = crate::testing::s3();
        let url = format!("{url}/{}", ClinicId::new());
        test(Archive::open(&url, options).unwrap()).await;
    }

    #[tokio::test]
    async fn a_blob_reads_back_whole_in_part_and_piece_by_piece() {
        on_each_store(async |archive| {
            archive.check().await.unwrap();
            let chunks = [Bytes::from_static(b"DI"), Bytes::from_static(b"COM")];
            archive.put("clinics/a/1.dcm", chunks).await.unwrap();
            assert_eq!(archive.get("clinics/a/1.dcm").await.unwrap(), "DICOM");
            assert_eq!(archive.get_range("clinics/a/1.dcm", 1..4).await.unwrap(), "ICO");
            let pieces: Vec<Bytes> =
                archive.stream("clinics/a/1.dcm").await.unwrap().try_collect().await.unwrap();
            assert_eq!(pieces.concat(), b"DICOM");
            assert!(matches!(archive.get("clinics/a/2.dcm").await, Err(ArchiveError::NotFound)));
        })
        .await;
    }

    #[tokio::test]
    async fn a_spooled_file_of_several_parts_arrives_bit_for_bit() {
        on_each_store(async |archive| {
            let file = tempfile::NamedTempFile::new().unwrap();
            let bytes: Vec<u8> = (0..PART_BYTES * 2 + 17).map(|index| (index % 251) as u8).collect();
            std::fs::write(file.path(), &bytes).unwrap();
            archive.put_file("clinics/a/big.dcm", file.reopen().unwrap()).await.unwrap();
            assert_eq!(archive.get("clinics/a/big.dcm").await.unwrap(), bytes);
        })
        .await;
    }

    #[tokio::test]
    async fn the_sweep_removes_what_no_row_names_once_it_is_old() {
        on_both(async |db| {
            on_each_store(async |archive| {
                let name = ClinicId::new();
                let mut facts = instance_facts(&format!("1.2.{}", name.0.as_u128()), "aa");
                facts.blob_key = format!("clinics/{name}/kept.dcm");
                let mut tx = db.begin().await.unwrap();
                let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
                place.insert(&mut tx, &facts, now()).await.unwrap();
                tx.commit().await.unwrap();
                archive.put(&facts.blob_key, [Bytes::from_static(b"kept")]).await.unwrap();
                archive.put("clinics/x/orphan.dcm", [Bytes::from_static(b"orphan")]).await.unwrap();

                let (hour, present) =
                    (TimeDelta::hours(1), clinical::clock::Clock::now(&clinical::clock::SystemClock));
                let young = archive.sweep(&db, present, hour).await.unwrap();
                assert_eq!(young, Swept { seen: 2, removed: 0 });
                let old = archive.sweep(&db, present + hour * 2, hour).await.unwrap();
                assert_eq!(old, Swept { seen: 2, removed: 1 });
                assert_eq!(archive.get(&facts.blob_key).await.unwrap(), "kept");
            })
            .await;
        })
        .await;
    }

    /// A fresh database over a full archive names nothing: a sweep that trusted it would remove everything.
    #[tokio::test]
    async fn an_archive_of_another_database_is_not_swept() {
        on_each_store(async |archive| {
            let orphan = "clinics/x/orphan.dcm";
            archive.put(orphan, [Bytes::from_static(b"theirs")]).await.unwrap();
            let later = clinical::clock::Clock::now(&clinical::clock::SystemClock) + TimeDelta::hours(2);
            let is_first = std::cell::Cell::new(true);
            on_both(async |db| {
                if is_first.replace(false) {
                    archive.belong_to(&db).await.unwrap();
                    archive.belong_to(&db).await.unwrap();
                    return;
                }
                let refused = archive.sweep(&db, later, TimeDelta::hours(1)).await;
                assert!(matches!(refused, Err(ArchiveError::Foreign)));
            })
            .await;
            assert_eq!(archive.get(orphan).await.unwrap(), "theirs");
        })
        .await;
    }

    #[tokio::test]
    async fn the_sweep_removes_what_a_killed_process_was_writing() {
        on_both(async |db| {
            let folder = tempfile::tempdir().unwrap();
            let archive = Archive::folder(folder.path()).unwrap();
            std::fs::create_dir_all(folder.path().join("clinics/x")).unwrap();
            std::fs::write(folder.path().join("clinics/x/half.dcm#1"), "half").unwrap();
            let present = clinical::clock::Clock::now(&clinical::clock::SystemClock);
            let hour = TimeDelta::hours(1);
            assert_eq!(
                archive.sweep(&db, present, hour).await.unwrap().removed,
                0,
                "it may still be written"
            );
            assert_eq!(archive.sweep(&db, present + hour * 2, hour).await.unwrap().removed, 1);
        })
        .await;
    }

    #[test]
    fn a_url_of_no_known_store_is_refused() {
        assert!(matches!(Archive::open("ftp://example/x", []), Err(ArchiveError::Url(_))));
    }
}
