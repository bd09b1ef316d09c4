//! The one hall behind every door: bytes come in, a durable instance comes out.
//!
//! The bytes are written under a name of their own, then one transaction writes
//! the rows, tells the event and asks for the analysis. Only then is anything
//! acknowledged. A receipt that fails anywhere leaves at most a blob without a
//! row, which is removed at once or swept later.

mod admit;
mod pseudonyms;
mod rows;
mod way;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::Clock;
use clinical::id::{InstanceId, PatientId, StudyId};
use futures::StreamExt;
use part10::{Part10Error, Scan};
use storage::archive::Archive;
use storage::db::Db;
use storage::records::forward::{Rules, Seen};
use storage::records::instance::{Instance, InstanceFacts, Version};
use storage::records::instance_metadata::Packed;
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use crate::receipt::{Disposition, Fault, Origin, Receipt, ReceiveError, Received};

use admit::Trust;

use crate::dicom_json;
use crate::hygiene::{Hygiene, HygieneSettings};
use crate::identity::{Facts, Identity, IdentityError};
use crate::limits::IngestLimits;
use crate::spool::{Spool, SpoolError, SpoolRoom, Spooled};

/// From this length on an instance is looked up before it is written.
const LOOK_FIRST_BYTES: u64 = 1 << 20;
/// MiB that long headers and deflated data sets may take while they are examined, all receipts together.
const EXAMINE_MIB: u32 = 1024;
/// Bytes of a header that is examined in place: its parts are looked at in less than a few milliseconds.
const SHORT_HEADER_BYTES: u64 = 256 << 10;
/// Elements of such a file, an item counting four.
const SHORT_ELEMENTS: u32 = 8_000;
/// Fragments of such a file.
const SHORT_FRAGMENTS: usize = 20_000;
/// A header takes up to so many times its bytes of memory, where its elements are empty …
const HEADER_GROWTH: u64 = 56;
/// … and up to so many MiB, for its elements are counted ([`part10::Limits::elements`]).
const HEADER_MIB: u64 = 448;
/// Preamble, `DICM` and the element (0002,0000), which tells how long the File Meta Information is.
const HEAD_BYTES: u64 = 144;

/// What becomes of other bytes under a stored SOP Instance UID. Nothing is ever overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// The newcomer is kept aside as a version.
    #[default]
    Keep,
    /// The newcomer becomes the current one, the former a version.
    Replace,
    /// The newcomer is refused.
    Reject,
}

/// How the hall works.
#[derive(Debug, Clone)]
pub struct ReceiveSettings {
    /// Bounds on one receipt.
    pub limits: IngestLimits,
    /// What becomes of other bytes under a known UID.
    pub on_conflict: OnConflict,
    /// A study is analysed when no instance has come for so long.
    pub quiet: TimeDelta,
    /// Where long instances are spooled.
    pub spool_folder: PathBuf,
}

/// The hall; cheap to clone.
#[derive(Clone)]
pub struct Receiver(Arc<Hall>);

struct Hall {
    db: Db,
    archive: Archive,
    clock: Arc<dyn Clock>,
    settings: ReceiveSettings,
    room: Arc<SpoolRoom>,
    hygiene: Hygiene,
    /// What is forwarded to whom.
    rules: Rules,
    /// MiB that long headers and deflated data sets may take, all together.
    examining: Semaphore,
}

impl Receiver {
    /// A hall over this database and archive, which takes in whatever there is room for.
    pub fn new(db: Db, archive: Archive, clock: Arc<dyn Clock>, settings: ReceiveSettings) -> Self {
        Self::kept_clean(db, archive, clock, settings, HygieneSettings::default())
    }

    /// A hall over this database and archive, kept clean as `hygiene` says.
    pub fn kept_clean(
        db: Db,
        archive: Archive,
        clock: Arc<dyn Clock>,
        settings: ReceiveSettings,
        hygiene: HygieneSettings,
    ) -> Self {
        let hygiene = Hygiene::new(db.clone(), hygiene);
        let room = Arc::new(SpoolRoom {
            folder: settings.spool_folder.clone(),
            memory_bytes: settings.limits.memory_bytes,
            shared_memory_bytes: settings.limits.shared_memory_bytes,
            in_memory: AtomicU64::new(0),
            space: hygiene.space.clone(),
        });
        let examining = Semaphore::new(EXAMINE_MIB as usize);
        let rules = Rules::new(db.clone());
        Self(Arc::new(Hall { db, archive, clock, settings, room, hygiene, rules, examining }))
    }

    /// A place for one instance's bytes.
    pub fn spool(&self) -> Spool {
        self.spool_up_to(u64::MAX)
    }

    /// A place for one instance's bytes, of which the door allows fewer than the house.
    pub fn spool_up_to(&self, bytes: u64) -> Spool {
        Spool::new(Arc::clone(&self.0.room), bytes.min(self.0.settings.limits.instance_bytes))
    }

    /// Stores the bytes; returns once they are durable.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`]: nothing of the bytes is kept.
    pub async fn receive(&self, receipt: Receipt, spool: Spool) -> Result<Received, ReceiveError> {
        self.take_in(receipt, spool, Trust::None).await
    }

    async fn take_in(&self, receipt: Receipt, spool: Spool, trust: Trust) -> Result<Received, ReceiveError> {
        let hall = &*self.0;
        let (spooled, sha256) = spool.finish().await?;
        hall.room_for(receipt.clinic, spooled.length(), trust).await?;
        let (spooled, examined) = hall.examine(spooled).await?;
        let examined = match examined.and_then(|examined| examined.expected_by(&receipt)) {
            Ok(examined) => examined,
            Err(error) => return Err(hall.refused(&receipt, &spooled, &sha256, trust, error).await),
        };
        let (spooled, sha256, examined) = hall.admit(&receipt, spooled, sha256, examined, trust).await?;
        let Examined { identity, facts, metadata, data_set_at } = examined;
        let length = spooled.length();
        let arrival = Arrival { receipt, identity, facts, metadata, sha256, length, data_set_at };
        // A short instance is written as quickly as it is looked up; a long one that is known is not written again.
        if arrival.length >= LOOK_FIRST_BYTES
            && let Some(known) = hall.known(&arrival, &spooled).await?
        {
            return Ok(counted(known));
        }
        let blob_key = hall.archive.name_of_new(arrival.blob_key());
        hall.write_blob(&blob_key, &spooled).await?;
        let outcome = hall.write_rows(&arrival, &blob_key, &spooled).await;
        let is_abandoned = match &outcome {
            Ok(Outcome { is_named, .. }) => !is_named,
            // The commit may have reached the disk although its answer did not reach us.
            Err(ReceiveError::Database(_)) => false,
            Err(_) => true,
        };
        if is_abandoned {
            // No row names it, and its name is ours alone. Left behind, it would be swept.
            if let Err(error) = hall.archive.delete(&blob_key).await {
                tracing::warn!(error = %error, "a blob without a row is left to the sweep");
            }
        }
        outcome.map(|outcome| counted(outcome.received))
    }
}

/// How writing the rows ended.
struct Outcome {
    received: Received,
    /// Whether a row names the blob that was written.
    is_named: bool,
}

/// Counts it for `/metrics`.
fn counted(received: Received) -> Received {
    metrics::counter!("ingest_instances_total", "disposition" => received.disposition.as_str()).increment(1);
    received
}

/// What the bytes tell of themselves.
struct Examined {
    identity: Box<Identity>,
    facts: Facts,
    /// The data set as DICOM JSON.
    metadata: Option<Packed>,
    /// Where the data set starts in the bytes.
    data_set_at: u64,
}

impl Examined {
    fn of(spooled: &Spooled, limits: &part10::Limits) -> Result<Self, ReceiveError> {
        let scan = spooled.read(|mut reader| Scan::read(&mut reader, limits))?;
        let identity = Box::new(Identity::of(&scan)?);
        let facts = Facts::of(&scan);
        let metadata = dicom_json::data_set(scan.header(), scan.transfer_syntax(), facts.frame_count);
        let metadata = Packed::of(&metadata);
        Ok(Self { identity, facts, metadata, data_set_at: scan.data_set_at() })
    }

    /// Itself, where it is what the door was told.
    fn expected_by(self, receipt: &Receipt) -> Result<Self, ReceiveError> {
        let identity = &*self.identity;
        if receipt.may_reject && self.facts.is_note_too_long {
            return Err(IdentityError::NoteTooLong.into());
        }
        if receipt.expected_study.as_ref().is_some_and(|study| *study != identity.study_uid) {
            return Err(ReceiveError::OtherStudy(self.identity));
        }
        if let Some((class, instance)) = &receipt.expected_sop
            && (*class != identity.sop_class_uid || *instance != identity.sop_uid)
        {
            return Err(ReceiveError::OtherSop(self.identity));
        }
        Ok(self)
    }
}

/// Checked bytes on their way to the rows.
struct Arrival {
    receipt: Receipt,
    identity: Box<Identity>,
    facts: Facts,
    metadata: Option<Packed>,
    sha256: String,
    length: u64,
    /// Where the data set starts in the bytes.
    data_set_at: u64,
}

impl Arrival {
    /// A name that no other receipt ever gets, so that no blob is ever
    /// overwritten, and an abandoned one can be removed without asking who else writes it.
    fn blob_key(&self) -> String {
        let Identity { study_uid, series_uid, sop_uid, .. } = &*self.identity;
        let (clinic, sha256, nonce) =
            (self.receipt.clinic, &self.sha256, Uuid::new_v4().simple().to_string());
        format!(
            "clinics/{clinic}/studies/{study_uid}/{series_uid}/{sop_uid}.{}.{}.dcm",
            &sha256[..16],
            &nonce[..8]
        )
    }

    /// What decides where it is forwarded to.
    fn seen(&self) -> Seen<'_> {
        Seen {
            modality: self.facts.series.modality.as_deref(),
            calling_ae: self.receipt.calling_ae.as_ref(),
            body_part: self.facts.series.body_part.as_deref(),
        }
    }

    fn instance_facts(&self, blob_key: &str) -> InstanceFacts {
        InstanceFacts {
            sop_uid: self.identity.sop_uid.clone(),
            sop_class_uid: self.identity.sop_class_uid.clone(),
            transfer_syntax_uid: self.identity.transfer_syntax_uid.clone(),
            instance_number: self.facts.instance_number,
            rows: self.facts.rows,
            columns: self.facts.columns,
            bits_allocated: self.facts.bits_allocated,
            frame_count: self.facts.frame_count,
            pixels_at: self.facts.pixels_at,
            sha256: self.sha256.clone(),
            size_bytes: i64::try_from(self.length).unwrap_or(i64::MAX),
            blob_key: blob_key.to_owned(),
            file_name: self.receipt.file_name.clone(),
            origin: self.receipt.origin,
        }
    }

    fn received(
        &self,
        instance: InstanceId,
        study: StudyId,
        patient: PatientId,
        disposition: Disposition,
        stored_at: DateTime<Utc>,
    ) -> Received {
        Received {
            instance_id: instance,
            study_id: study,
            patient_id: patient,
            study_uid: self.identity.study_uid.clone(),
            series_uid: self.identity.series_uid.clone(),
            sop_uid: self.identity.sop_uid.clone(),
            sop_class_uid: self.identity.sop_class_uid.clone(),
            disposition,
            stored_at,
        }
    }
}

impl Hall {
    /// Checks the bytes and reads their header.
    ///
    /// With a short header that takes microseconds where the walk passes Pixel Data over, so it is done in place. A
    /// file is read, a long header taken apart and a deflated data set inflated on a thread of their own, the latter
    /// two within a budget of memory that all receipts share.
    async fn examine(
        &self,
        spooled: Spooled,
    ) -> Result<(Spooled, Result<Examined, ReceiveError>), ReceiveError> {
        let limits = self.settings.limits.part10;
        let inflated_bytes = match spooled.read(|mut reader| Scan::inflated_most(&mut reader, &limits)) {
            Ok(inflated_bytes) => inflated_bytes,
            Err(error) => return Ok((spooled, Err(error.into()))),
        };
        let mut spooled = spooled;
        if inflated_bytes.is_none() {
            let limits = short(limits);
            let examined = if spooled.is_in_memory() {
                Examined::of(&spooled, &limits)
            } else {
                let apart;
                (spooled, apart) = examine_apart(spooled, limits).await?;
                apart
            };
            if !matches!(examined, Err(ReceiveError::Part10(Part10Error::TooLarge { .. }))) {
                return Ok((spooled, examined));
            }
        }
        let header_bytes = inflated_bytes.unwrap_or(spooled.length()).min(limits.header_bytes);
        let header_mib = (header_bytes.saturating_mul(HEADER_GROWTH) >> 20).min(HEADER_MIB);
        let mib = header_mib + (inflated_bytes.unwrap_or(0) >> 20);
        let permits = u32::try_from(mib).unwrap_or(u32::MAX).clamp(1, EXAMINE_MIB);
        let _held = self.examining.acquire_many(permits).await;
        examine_apart(spooled, limits).await
    }

    /// The stored instance, when this very one is stored already: the same bytes, or the same data set in
    /// the same transfer syntax behind another File Meta Information, which names only who wrote the file.
    async fn known(&self, arrival: &Arrival, spooled: &Spooled) -> Result<Option<Received>, ReceiveError> {
        let clinic = arrival.receipt.clinic;
        // No connection is held while bytes are compared, which may come from afar.
        let known = Instance::by_uid(&mut self.db.read().await?, clinic, &arrival.identity.sop_uid).await?;
        let Some(known) = known else { return Ok(None) };
        let is_same = known.sha256 == arrival.sha256
            || (known.transfer_syntax_uid == arrival.identity.transfer_syntax_uid
                && self.has_data_set(&known, arrival, spooled).await?);
        let disposition = if is_same {
            Disposition::AlreadyStored
        } else {
            let versions = Version::of(&mut self.db.read().await?, clinic, known.instance_id).await?;
            let is_aside = versions.iter().any(|it| it.sha256 == arrival.sha256 && it.state == "aside");
            if !is_aside || self.settings.on_conflict != OnConflict::Keep {
                return Ok(None);
            }
            Disposition::KeptAside
        };
        Ok(Some(Received::known(known, disposition)))
    }

    /// Whether the stored blob ends in the very data set that has come; asked only when the files differ.
    async fn has_data_set(
        &self,
        known: &Instance,
        arrival: &Arrival,
        spooled: &Spooled,
    ) -> Result<bool, ReceiveError> {
        let data_set_bytes = arrival.length - arrival.data_set_at;
        let stored_bytes = u64::try_from(known.size_bytes).unwrap_or_default();
        let head = self.archive.get_range(&known.blob_key, 0..stored_bytes.min(HEAD_BYTES)).await?;
        let Some(start) = data_set_start(&head) else { return Ok(false) };
        if stored_bytes.checked_sub(start) != Some(data_set_bytes) {
            return Ok(false);
        }
        let mut stored = self.archive.stream(&known.blob_key).await?;
        let mut seen = 0_u64;
        let mut fresh = spooled.tail(arrival.data_set_at).map_err(SpoolError::File)?;
        while let Some(piece) = stored.next().await {
            let piece = piece?;
            let skipped = start.saturating_sub(seen).min(piece.len() as u64) as usize;
            seen += piece.len() as u64;
            let expected = &piece[skipped..];
            let mut found = vec![0; expected.len()];
            if fresh.read_exact(&mut found).is_err() || found != expected {
                return Ok(false);
            }
        }
        Ok(seen == stored_bytes)
    }

    async fn write_blob(&self, key: &str, spooled: &Spooled) -> Result<(), ReceiveError> {
        if let Some(chunks) = spooled.chunks() {
            self.archive.put(key, chunks.iter().cloned()).await?;
        } else if let Some(file) = spooled.file().map_err(SpoolError::File)? {
            self.archive.put_file(key, file).await?;
        }
        Ok(())
    }
}

/// The limits within which a file is examined in place.
fn short(limits: part10::Limits) -> part10::Limits {
    part10::Limits {
        header_bytes: limits.header_bytes.min(SHORT_HEADER_BYTES),
        elements: limits.elements.min(SHORT_ELEMENTS),
        fragments: limits.fragments.min(SHORT_FRAGMENTS),
        ..limits
    }
}

/// Examines on a thread of its own.
async fn examine_apart(
    spooled: Spooled,
    limits: part10::Limits,
) -> Result<(Spooled, Result<Examined, ReceiveError>), ReceiveError> {
    let examine = move || {
        let examined = Examined::of(&spooled, &limits);
        (spooled, examined)
    };
    tokio::task::spawn_blocking(examine).await.map_err(ReceiveError::Examine)
}

/// Where the data set of a file starts, by its File Meta Information Group Length (PS3.10, section 7.1);
/// `None` for a file that does not tell.
fn data_set_start(head: &[u8]) -> Option<u64> {
    let element = head.get(132..HEAD_BYTES as usize)?;
    let length = element.strip_prefix(&[2, 0, 0, 0, b'U', b'L', 4, 0])?.try_into().ok()?;
    Some(HEAD_BYTES + u64::from(u32::from_le_bytes(length)))
}

#[cfg(test)]
#[path = "receive_tests.rs"]
mod tests;
