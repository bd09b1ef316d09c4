//! The instances of a C-MOVE or C-GET, read from the archive as they are sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clinical::uid::TransferSyntaxUid;
use part10::Part10;
use pixels::{DecodePool, PixelLimits};
use storage::archive::{Archive, ArchiveError};
use storage::records::search::HeldInstance;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::scp::StoreStatus;
use crate::scp::query::{DataSetBody, Outgoing, Retrieval};

/// Up to this length an instance is read at once.
const WHOLE_BYTES: u64 = 4 << 20;
/// So many bytes of a longer one are held at a time.
const PIECE_BYTES: u64 = 4 << 20;
/// The longest instance that is written in another transfer syntax, which takes it whole into memory.
const TRANSCODED_BYTES: u64 = 512 << 20;
/// So many instances are written in another transfer syntax at a time.
const TRANSCODED_TOGETHER: usize = 2;
/// So long an instance waits for its turn at that.
const TRANSCODING_WAIT: Duration = Duration::from_secs(30);
/// JPEG Baseline loses something of every image: nothing is sent in it that is not stored in it.
const LOSSY: &str = "1.2.840.10008.1.2.4.50";

/// Where instances are read from, and what writes them in other transfer syntaxes; cheap to clone.
#[derive(Clone)]
pub struct Shelves {
    archive: Archive,
    pool: Arc<DecodePool>,
    pixels: PixelLimits,
    part10: part10::Limits,
    transcoding: Arc<Semaphore>,
}

impl Shelves {
    /// The bytes of `archive`; foreign decoders run in `pool`, all within these limits.
    pub fn new(archive: Archive, pool: Arc<DecodePool>, pixels: PixelLimits, part10: part10::Limits) -> Self {
        let transcoding = Arc::new(Semaphore::new(TRANSCODED_TOGETHER));
        Self { archive, pool, pixels, part10, transcoding }
    }

    /// These instances, ready to be sent.
    pub fn retrieval(&self, held: Vec<HeldInstance>) -> HallRetrieval {
        HallRetrieval::new(self.clone(), held)
    }

    /// The data set of a held instance as it is stored.
    pub(super) async fn open(&self, place: &Place) -> Result<Body, NotRead> {
        if place.size_bytes <= WHOLE_BYTES {
            let file = self.archive.get(&place.blob_key).await?;
            return Ok(Body::whole(data_set(&file)?));
        }
        let head = self.archive.get_range(&place.blob_key, 0..PIECE_BYTES).await?;
        let first = data_set(&head)?;
        let is_odd = (place.size_bytes - (PIECE_BYTES - first.len() as u64)) % 2 == 1;
        Ok(Body {
            ready: Some(first),
            rest: Some(Rest {
                archive: self.archive.clone(),
                blob_key: place.blob_key.clone(),
                at: PIECE_BYTES,
                end: place.size_bytes,
            }),
            is_odd,
        })
    }

    /// The data set of a held instance in another transfer syntax.
    async fn transcoded(&self, place: &Place, to: &TransferSyntaxUid) -> Result<Body, NotRead> {
        if place.size_bytes > TRANSCODED_BYTES {
            return Err(NotRead::TooLong);
        }
        let turn = timeout(TRANSCODING_WAIT, Arc::clone(&self.transcoding).acquire_owned()).await;
        let turn = turn.map_err(|_| NotRead::Busy)?.map_err(|_| NotRead::Stopped)?;
        let file = self.archive.get(&place.blob_key).await?;
        let (shelves, to) = (self.clone(), to.clone());
        let written = tokio::task::spawn_blocking(move || {
            // Held by the work alone: the sending goes at the peer's pace.
            let _turn = turn;
            let file = Part10::read(file, &shelves.part10).map_err(pixels::TranscodeError::from)?;
            pixels::transcode(&file, &to, &shelves.pixels, &shelves.pool)
        });
        let file = written.await.map_err(|_| NotRead::Stopped)??;
        Ok(Body::whole(data_set(&file)?))
    }
}

/// What stands behind group 2.
fn data_set(file: &Bytes) -> Result<Bytes, NotRead> {
    let start = part10::data_set_start(file).and_then(|start| usize::try_from(start).ok());
    Ok(file.slice(start.ok_or(NotRead::Shapeless)?..))
}

/// Why a data set is not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotRead {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("the stored file has no readable head")]
    Shapeless,
    #[error("the instance is too long for another transfer syntax")]
    TooLong,
    #[error(transparent)]
    Transcode(#[from] pixels::TranscodeError),
    #[error("too many instances are written in other transfer syntaxes now")]
    Busy,
    #[error("the instance was not written in time")]
    Stopped,
}

impl From<NotRead> for StoreStatus {
    fn from(why: NotRead) -> Self {
        Self::new(Self::OUT_OF_RESOURCES, why.to_string())
    }
}

/// Where the bytes of an instance are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) blob_key: String,
    pub(super) size_bytes: u64,
}

/// Held instances that are to be sent.
pub struct HallRetrieval {
    shelves: Shelves,
    instances: Vec<Outgoing>,
    places: Vec<Place>,
}

impl HallRetrieval {
    /// These instances, in this order, read from `shelves`.
    pub fn new(shelves: Shelves, held: Vec<HeldInstance>) -> Self {
        let (mut instances, mut places) = (Vec::with_capacity(held.len()), Vec::with_capacity(held.len()));
        for held in held {
            instances.push(Outgoing {
                sop_class: held.sop_class_uid,
                sop_instance: held.sop_uid,
                transfer_syntax: held.transfer_syntax_uid,
            });
            let size_bytes = u64::try_from(held.size_bytes).unwrap_or_default();
            places.push(Place { blob_key: held.blob_key, size_bytes });
        }
        Self { shelves, instances, places }
    }
}

impl Retrieval for HallRetrieval {
    type Body = Body;

    fn instances(&self) -> &[Outgoing] {
        &self.instances
    }

    fn can_give(&self, instance: &Outgoing, transfer_syntax: &TransferSyntaxUid) -> bool {
        let is_stored_so = instance.transfer_syntax == *transfer_syntax;
        is_stored_so || (transfer_syntax.as_str() != LOSSY && pixels::can_encode(transfer_syntax))
    }

    async fn open(&self, index: usize, transfer_syntax: &TransferSyntaxUid) -> Result<Body, StoreStatus> {
        let unknown = || StoreStatus::new(StoreStatus::OUT_OF_RESOURCES, "there is no such instance");
        let (instance, place) = self.instances.get(index).zip(self.places.get(index)).ok_or_else(unknown)?;
        let opened = match instance.transfer_syntax == *transfer_syntax {
            true => self.shelves.open(place).await,
            false => self.shelves.transcoded(place, transfer_syntax).await,
        };
        opened.map_err(|why| {
            tracing::warn!(error = super::chain(&why), "an instance cannot be sent");
            why.into()
        })
    }
}

/// One data set on its way out.
pub struct Body {
    /// What was read already.
    ready: Option<Bytes>,
    rest: Option<Rest>,
    /// A zero is to follow: a data set has an even number of bytes (PS3.5, section A.5).
    is_odd: bool,
}

/// What is still to be read.
struct Rest {
    archive: Archive,
    blob_key: String,
    at: u64,
    end: u64,
}

impl Body {
    fn whole(data_set: Bytes) -> Self {
        let is_odd = data_set.len() % 2 == 1;
        Self { ready: Some(data_set), rest: None, is_odd }
    }
}

impl DataSetBody for Body {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreStatus> {
        if let Some(ready) = self.ready.take() {
            return Ok(Some(ready));
        }
        if let Some(rest) = self.rest.as_mut().filter(|rest| rest.at < rest.end) {
            let end = rest.end.min(rest.at + PIECE_BYTES);
            let piece = rest.archive.get_range(&rest.blob_key, rest.at..end).await;
            let piece = piece.map_err(|error| StoreStatus::from(NotRead::from(error)))?;
            if piece.len() as u64 != end - rest.at {
                return Err(NotRead::Shapeless.into());
            }
            rest.at = end;
            return Ok(Some(piece));
        }
        Ok(std::mem::take(&mut self.is_odd).then(|| Bytes::from_static(&[0])))
    }
}
