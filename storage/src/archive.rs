//! DICOM bytes as blobs, in a local folder or an object store named by URL.
//!
//! Blobs can be sealed by their clinic's data key: whose name ends in `.sealed` is, and whoever
//! reads it sees plain offsets and sizes (the module `seal` here, and `sealed_blob` for their form).
//!
//! A blob's name is never given twice, so no blob is ever overwritten. What no
//! row names, and is older than an hour, is left from an interrupted receipt and is swept.

mod file;
mod preamble;
mod seal;
#[cfg(test)]
mod tests;

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

use crate::data_key::DataKeyError;
pub use crate::data_key::DataKeys;
use crate::db::{Db, DbError};
use crate::records::installation;
use crate::records::instance::named_among;
use crate::sealed_blob::Damaged;
use seal::Seals;

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
    /// A sealed blob was changed or cut, or stands where it does not belong.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// A sealed blob's data key is not to be had.
    #[error("the object's key is not at hand")]
    Key(#[source] DataKeyError),
    /// The blob is sealed, and this archive was opened without keys.
    #[error("the object is sealed, and no keys were given")]
    Sealed,
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
    /// What opens sealed blobs.
    seals: Option<Arc<Seals>>,
    /// Whether new blobs are sealed.
    new_blobs: NewBlobs,
}

/// What becomes of new blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NewBlobs {
    /// They are stored as they come.
    #[default]
    Plain,
    /// They are sealed by their clinic's data key.
    Sealed,
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
        Ok(Self { folder: Some(path.to_owned()), ..Self::over(Arc::new(store)) })
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
        Ok(Self { root, ..Self::over(Arc::from(store)) })
    }

    fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, root: Path::default(), folder: None, seals: None, new_blobs: NewBlobs::Plain }
    }

    /// The same archive, which opens sealed blobs, and seals new ones where that is asked for.
    #[must_use]
    pub fn with_keys(self, keys: DataKeys, new_blobs: NewBlobs) -> Self {
        Self { seals: Some(Arc::new(Seals::new(keys))), new_blobs, ..self }
    }

    /// The name under which a new blob is to be written, which says whether it is sealed.
    pub fn name_of_new(&self, key: String) -> String {
        match self.new_blobs {
            NewBlobs::Plain => key,
            NewBlobs::Sealed => key + seal::SUFFIX,
        }
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
        let payload: PutPayload = match self.sealer(key).await? {
            None => chunks.into_iter().collect(),
            Some(sealer) => sealer.whole(chunks.into_iter().collect()).await?.into_iter().collect(),
        };
        self.store.put(&self.path(key), payload).await?;
        Ok(())
    }

    /// Writes a blob from a spooled file, from where it stands, in parts; returns once it is durable.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] when the file cannot be read or the store fails.
    pub async fn put_file(&self, key: &str, file: std::fs::File) -> Result<()> {
        let sealer = self.sealer(key).await?;
        let upload = self.store.put_multipart(&self.path(key)).await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let file = tokio::fs::File::from_std(file);
        if let Err(failure) = send_parts(file, sealer, &mut upload).await {
            // The parts sent so far are of no use; a bucket should have a rule that forgets such parts in time.
            let _ = upload.abort().await;
            return Err(failure);
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
        if seal::is_sealed(key) {
            let pieces: Vec<Bytes> = self.stream(key).await?.try_collect().await?;
            return Ok(pieces.concat().into());
        }
        Ok(self.store.get(&self.path(key)).await?.bytes().await?)
    }

    /// A part of the blob.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::NotFound`] when there is no such blob.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        if seal::is_sealed(key) {
            return self.opened_range(key, range).await;
        }
        Ok(self.store.get_range(&self.path(key), range).await?)
    }

    /// The blob piece by piece.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::NotFound`] when there is none; each piece may fail.
    pub async fn stream(&self, key: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
        if seal::is_sealed(key) {
            return self.opened(key).await;
        }
        if let Some(path) = self.local_file(key) {
            return file::pieces(path, None).await;
        }
        Ok(self.store.get(&self.path(key)).await?.into_stream().map_err(ArchiveError::from).boxed())
    }

    /// A part of the blob piece by piece.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::NotFound`] when there is none; each piece may fail.
    pub async fn stream_range(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        if let Some(path) = self.local_file(key) {
            return file::pieces(path, Some(range)).await;
        }
        let (archive, key) = (self.clone(), key.to_owned());
        let parts = futures::stream::unfold(range, move |Range { start, end }| {
            let (archive, key) = (archive.clone(), key.clone());
            async move {
                let next = end.min(start.saturating_add(PART_BYTES as u64));
                if start >= end {
                    return None;
                }
                let part = archive.get_range(&key, start..next).await;
                let left = if part.is_ok() { next..end } else { end..end };
                Some((part, left))
            }
        });
        Ok(parts.boxed())
    }

    /// The file of a blob, for who reads it by seeking; `None` where the store is no local folder, or the blob is sealed.
    pub fn local_file(&self, key: &str) -> Option<PathBuf> {
        let folder = self.folder.as_ref().filter(|_| !seal::is_sealed(key));
        folder.map(|folder| folder.join(self.path(key).as_ref()))
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

/// Sends a file in parts, sealed where a sealer is given.
async fn send_parts(
    mut file: tokio::fs::File,
    mut sealer: Option<seal::NewBlob>,
    upload: &mut WriteMultipart,
) -> Result<()> {
    loop {
        let mut part = bytes::BytesMut::with_capacity(PART_BYTES);
        if tokio::io::AsyncReadExt::read_buf(&mut file, &mut part).await? == 0 {
            break;
        }
        match &mut sealer {
            None => upload.put(part.freeze()),
            Some(sealer) => sealer.push(&part)?.into_iter().for_each(|chunk| upload.put(chunk)),
        }
        upload.wait_for_capacity(2).await?;
    }
    if let Some(sealer) = sealer {
        sealer.finish()?.into_iter().for_each(|chunk| upload.put(chunk));
    }
    Ok(())
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
