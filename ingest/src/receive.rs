//! The one hall behind every door: bytes come in, a durable instance comes out.
//!
//! The bytes are written under a name of their own, then one transaction writes
//! the rows, tells the event and asks for the analysis. Only then is anything
//! acknowledged. A receipt that fails anywhere leaves at most a blob without a
//! row, which is removed at once or swept later.

mod admit;
mod examine;
mod known;
mod pseudonyms;
mod rows;
mod way;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::Clock;
use clinical::id::{InstanceId, PatientId, StudyId};
use storage::archive::Archive;
use storage::db::Db;
use storage::records::forward::{Rules, Seen};
use storage::records::instance::InstanceFacts;
use storage::records::instance_metadata::Packed;
use tokio::sync::Semaphore;
use uuid::Uuid;

pub use crate::receipt::{Disposition, Fault, Origin, Receipt, ReceiveError, Received};

use admit::Trust;
use examine::{EXAMINE_MIB, Examined};

use crate::hygiene::{Hygiene, HygieneSettings};
use crate::identity::{Facts, Identity};
use crate::limits::IngestLimits;
use crate::spool::{Spool, SpoolError, SpoolRoom, Spooled};

/// From this length on an instance is looked up before it is written.
const LOOK_FIRST_BYTES: u64 = 1 << 20;
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

    async fn take_in(
        &self,
        mut receipt: Receipt,
        spool: Spool,
        trust: Trust,
    ) -> Result<Received, ReceiveError> {
        let hall = &*self.0;
        let (spooled, sha256) = spool.finish().await?;
        hall.room_for(receipt.clinic, spooled.length(), trust).await?;
        let (spooled, examined) = hall.examine(spooled).await?;
        let examined = match examined.and_then(|examined| examined.expected_by(&receipt)) {
            Ok(examined) => examined,
            Err(error) => return Err(hall.refused(&receipt, &spooled, &sha256, trust, error).await),
        };
        let (spooled, sha256, examined) = hall.admit(&mut receipt, spooled, sha256, examined, trust).await?;
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
    async fn write_blob(&self, key: &str, spooled: &Spooled) -> Result<(), ReceiveError> {
        if let Some(chunks) = spooled.chunks() {
            self.archive.put(key, chunks.iter().cloned()).await?;
        } else if let Some(file) = spooled.file().map_err(SpoolError::File)? {
            self.archive.put_file(key, file).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "receive_tests.rs"]
pub(crate) mod tests;
