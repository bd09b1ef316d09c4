//! Sealed blobs on their way into the store and out of it.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use clinical::id::ClinicId;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::{GetOptions, GetRange, GetResult, ObjectStoreExt};

use super::{Archive, ArchiveError, DataKeys, Result};
use crate::sealed_blob::{BlobKey, Damaged, End, HEADER_BYTES, Header, Opener, Sealer, Span};
use crate::secret::SecretError;

/// What the names of sealed blobs end in.
pub(super) const SUFFIX: &str = ".sealed";
/// From this length on a blob in memory is sealed apart from what waits.
const APART_BYTES: usize = 1 << 20;
/// So many blobs' keys are kept at hand, for those who read them range by range.
const BLOBS: usize = 4096;

/// Whether the name says that the blob is sealed.
pub(super) fn is_sealed(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// The clinic that a blob's name begins with: `clinics/{clinic}/…`.
fn clinic_of(name: &str) -> Result<ClinicId> {
    let clinic = name.strip_prefix("clinics/").and_then(|rest| rest.split('/').next());
    Ok(clinic.and_then(|text| text.parse().ok()).ok_or(Damaged)?)
}

fn no_key(error: impl Into<crate::data_key::DataKeyError>) -> ArchiveError {
    ArchiveError::Key(error.into())
}

/// What opens sealed blobs.
#[derive(Debug)]
pub(super) struct Seals {
    keys: DataKeys,
    /// The keys of the blobs that were read lately, with their sealed lengths: a name is never given twice.
    seen: Mutex<HashMap<String, Seen>>,
}

/// A blob's key and its sealed length.
#[derive(Clone)]
struct Seen {
    key: BlobKeyRef,
    sealed_bytes: u64,
}

#[derive(Clone)]
struct BlobKeyRef(Arc<BlobKey>);

impl AsRef<BlobKey> for BlobKeyRef {
    fn as_ref(&self) -> &BlobKey {
        &self.0
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.sealed_bytes)
    }
}

impl Seals {
    pub(super) fn new(keys: DataKeys) -> Self {
        Self { keys, seen: Mutex::default() }
    }

    fn seen(&self, name: &str) -> Option<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Derives the key of the blob that begins with `header`, and remembers it.
    async fn know(&self, name: &str, header: &[u8], sealed_bytes: u64) -> Result<Seen> {
        let clinic = clinic_of(name)?;
        let header = Header::read(header)?;
        let data_key = self.keys.find(clinic, header.data_key_id).await.map_err(no_key)?;
        let key = BlobKey::derive(&data_key.key, clinic, name, &header)?;
        let seen = Seen { key: BlobKeyRef(Arc::new(key)), sealed_bytes };
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= BLOBS {
            all.clear();
        }
        all.insert(name.to_owned(), seen.clone());
        Ok(seen)
    }
}

/// A new blob on its way in.
pub(super) struct NewBlob {
    /// Until it has been given.
    header: Option<Bytes>,
    sealer: Sealer,
}

impl NewBlob {
    /// Takes the next bytes; gives what can be stored of the sealed blob.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Bytes>> {
        let chunks = self.sealer.push(bytes)?;
        Ok(self.header.take().into_iter().chain(chunks).collect())
    }

    /// The rest of the sealed blob.
    pub(super) fn finish(self) -> Result<Vec<Bytes>> {
        let last = self.sealer.finish()?;
        Ok(self.header.into_iter().chain([last]).collect())
    }

    /// The whole blob, sealed from memory.
    pub(super) async fn whole(mut self, pieces: Vec<Bytes>) -> Result<Vec<Bytes>> {
        let length: usize = pieces.iter().map(Bytes::len).sum();
        let seal = move || {
            let mut sealed = Vec::new();
            for piece in &pieces {
                sealed.extend(self.push(piece)?);
            }
            sealed.extend(self.finish()?);
            Ok(sealed)
        };
        if length < APART_BYTES {
            return seal();
        }
        tokio::task::spawn_blocking(seal).await.map_err(std::io::Error::other)?
    }
}

/// A sealed blob on its way out.
struct OldBlob {
    pieces: BoxStream<'static, object_store::Result<Bytes>>,
    /// `None` once the last chunk was opened.
    opener: Option<Opener<BlobKeyRef>>,
    ready: VecDeque<Bytes>,
}

impl OldBlob {
    /// The next plain bytes.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(Some(ready));
            }
            let Some(opener) = &mut self.opener else { return Ok(None) };
            match self.pieces.try_next().await? {
                Some(piece) => self.ready.extend(opener.push(&piece)?),
                None => {
                    let last = self.opener.take().map(Opener::finish).transpose()?;
                    self.ready.extend(last.filter(|last| !last.is_empty()));
                }
            }
        }
    }
}

impl Archive {
    fn seals(&self) -> Result<&Seals> {
        self.seals.as_deref().ok_or(ArchiveError::Sealed)
    }

    /// What seals the new blob `name`; `None` for one whose name says that it is plain.
    pub(super) async fn sealer(&self, name: &str) -> Result<Option<NewBlob>> {
        if !is_sealed(name) {
            return Ok(None);
        }
        let clinic = clinic_of(name)?;
        let data_key = self.seals()?.keys.latest(clinic).await.map_err(no_key)?;
        let header = Header::new(data_key.id).map_err(|error: SecretError| no_key(error))?;
        let key = BlobKey::derive(&data_key.key, clinic, name, &header)?;
        Ok(Some(NewBlob { header: Some(header.bytes()), sealer: Sealer::new(key) }))
    }

    /// The plain bytes of a sealed blob, piece by piece.
    pub(super) async fn opened(&self, name: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
        let seals = self.seals()?;
        let found = self.store.get(&self.path(name)).await?;
        let sealed_bytes = found.meta.size;
        let mut pieces = found.into_stream();
        let mut start = BytesMut::new();
        while start.len() < HEADER_BYTES {
            let piece = pieces.try_next().await?.ok_or(Damaged)?;
            start.extend_from_slice(&piece);
        }
        let rest = start.split_off(HEADER_BYTES);
        let seen = seals.know(name, &start, sealed_bytes).await?;
        let mut opener = Opener::new(seen.key, 0, End::OfBlob);
        let ready = opener.push(&rest)?.into();
        let blob = OldBlob { pieces, opener: Some(opener), ready };
        let plain = futures::stream::try_unfold(blob, |mut blob| async {
            Ok(blob.next().await?.map(|piece| (piece, blob)))
        });
        Ok(plain.boxed())
    }

    /// A part of the plain bytes of a sealed blob.
    pub(super) async fn opened_range(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        let seals = self.seals()?;
        let seen = match seals.seen(name) {
            Some(seen) => seen,
            None => {
                let found = self.sealed_range(name, 0..HEADER_BYTES as u64).await?;
                let sealed_bytes = found.meta.size;
                seals.know(name, &found.bytes().await?, sealed_bytes).await?
            }
        };
        let Some(span) = Span::of(&range, seen.sealed_bytes)? else { return Ok(Bytes::new()) };
        let found = self.sealed_range(name, span.sealed.clone()).await?;
        if found.meta.size != seen.sealed_bytes {
            return Err(Damaged.into());
        }
        let mut opener = Opener::new(seen.key, span.first, span.end);
        let mut opened = opener.push(&found.bytes().await?)?;
        opened.push(opener.finish()?);
        Ok(span.cut(opened)?)
    }

    async fn sealed_range(&self, name: &str, range: Range<u64>) -> Result<GetResult> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        Ok(self.store.get_opts(&self.path(name), options).await?)
    }
}
