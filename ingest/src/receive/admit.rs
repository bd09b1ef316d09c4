//! Between a whole, readable object and its storing: is there room, is it clean, does the clinic want it changed.

use std::io::{self, BufReader, BufWriter, Write};

use bytes::Bytes;
use clinical::id::{ClinicId, HeldId};
use deidentify::{Profile, Project, deidentify_to};
use futures::StreamExt;
use storage::records::quarantine::{Held, HeldFacts, HeldReason};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::*;
use crate::hygiene::clamd::{ClamdError, ClamdSettings, Stop, Verdict};

/// What a clinic's key for pseudonyms is derived for.
const PSEUDONYMS: &str = "deidentify_on_receipt";

/// Whether somebody has judged the bytes already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// They have just come.
    None,
    /// They were held back, and a person has released them.
    Released,
}

impl Receiver {
    /// Takes in what was held back, as a person has decided; it stays held until [`Held::forget`] is called.
    ///
    /// `by` says in which clinic the person decides, and whether they may reject; the rest is as it came.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`]: [`DbError::NotFound`] where the clinic holds no such object.
    pub async fn release(&self, by: Receipt, id: HeldId) -> Result<Received, ReceiveError> {
        let hall = &*self.0;
        let held = Held::find(&mut hall.db.read().await?, by.clinic, id).await?;
        let mut spool = self.spool();
        let mut pieces = hall.archive.stream(&held.facts.blob_key).await?;
        while let Some(piece) = pieces.next().await {
            spool.write(piece?).await?;
        }
        let HeldFacts { file_name, origin, calling_ae, .. } = held.facts;
        let receipt = Receipt { file_name, origin, calling_ae, ..by };
        self.take_in(receipt, spool, Trust::Released).await
    }
}

impl Hall {
    /// Refuses politely before a disk or a clinic is full.
    ///
    /// What is released was counted against the clinic when it was held back.
    pub(super) async fn room_for(
        &self,
        clinic: ClinicId,
        bytes: u64,
        trust: Trust,
    ) -> Result<(), ReceiveError> {
        let has_room = self.hygiene.space.has_room(bytes)
            && (trust == Trust::Released || self.hygiene.rules.has_room(clinic, bytes).await?);
        if has_room { Ok(()) } else { Err(ReceiveError::Full) }
    }

    /// The refusal of an object that does not match or cannot be told from others; held back where the clinic
    /// wants to see it.
    pub(super) async fn refused(
        &self,
        receipt: &Receipt,
        spooled: &Spooled,
        sha256: &str,
        trust: Trust,
        error: ReceiveError,
    ) -> ReceiveError {
        let is_identity =
            matches!(error.fault(), Fault::Mismatch) || matches!(error, ReceiveError::Identity(_));
        if !is_identity || trust == Trust::Released {
            return error;
        }
        match self.hygiene.rules.of(receipt.clinic).await {
            Ok(rules) if !rules.holds_refused => error,
            Ok(_) => {
                let found = (HeldReason::Refused, error.code().to_owned());
                let identity = match &error {
                    ReceiveError::OtherStudy(identity) | ReceiveError::OtherSop(identity) => {
                        Some(&**identity)
                    }
                    _ => None,
                };
                self.hold(receipt, spooled, sha256, found, identity).await
            }
            Err(error) => error.into(),
        }
    }

    /// Has the object scanned, and de-identified where the clinic's rule says so: then the name of its file is
    /// forgotten, too.
    pub(super) async fn admit(
        &self,
        receipt: &mut Receipt,
        spooled: Spooled,
        sha256: String,
        examined: Examined,
        trust: Trust,
    ) -> Result<(Spooled, String, Examined), ReceiveError> {
        let spooled = match (&self.hygiene.settings.clamd, trust) {
            (Some(clamd), Trust::None) => {
                let spooled = Arc::new(spooled);
                if let Some(found) = self.scanned(clamd.clone(), &spooled).await? {
                    return Err(self.hold(receipt, &spooled, &sha256, found, Some(&examined.identity)).await);
                }
                Arc::into_inner(spooled).expect("a scan that has ended with a verdict holds nothing any more")
            }
            _ => spooled,
        };
        let rules = self.hygiene.rules.of(receipt.clinic).await?;
        let Some(profile) = rules.deidentify.clone().filter(|_| receipt.origin == Origin::Sender) else {
            return Ok((spooled, sha256, examined));
        };
        let (spooled, sha256) = self.de_identified(receipt.clinic, spooled, profile).await?;
        receipt.file_name = None;
        let (spooled, examined) = self.examine(spooled).await?;
        Ok((spooled, sha256, examined?))
    }

    /// What the scanner says against the object: nothing, what it found, or that it could not say.
    async fn scanned(
        &self,
        clamd: ClamdSettings,
        spooled: &Arc<Spooled>,
    ) -> Result<Option<(HeldReason, String)>, ReceiveError> {
        let (patience, stop) = (clamd.patience, Stop::default());
        let (scans, scanned, stopped) = (Arc::clone(&self.hygiene.scans), Arc::clone(spooled), stop.clone());
        let scan = async move {
            // Held by the thread itself, so that a scanner that hangs holds no more threads than there are turns.
            let turn = scans.acquire_owned().await;
            let scan = move || {
                let reader = stopped.unless(|| scanned.reader());
                let verdict = reader.map_err(Into::into).and_then(|it| clamd.scan(stopped.guard(it)));
                drop((scanned, turn));
                verdict
            };
            tokio::task::spawn_blocking(scan).await
        };
        let verdict = match timeout(patience, scan).await {
            Ok(verdict) => verdict.map_err(ReceiveError::Examine)?,
            Err(_) => {
                // What is held back is read by the same handle.
                stop.stop();
                Err(ClamdError::Slow)
            }
        };
        let found = match verdict {
            Ok(Verdict::Clean) => None,
            Ok(Verdict::Found(signature)) => Some((HeldReason::Infected, signature)),
            Err(error) => {
                tracing::error!(error = %error, "an object was not scanned and is held back");
                Some((HeldReason::NotScanned, error.to_string()))
            }
        };
        Ok(found)
    }

    /// The object without what tells who the patient is, under the clinic's own key.
    async fn de_identified(
        &self,
        clinic: ClinicId,
        spooled: Spooled,
        profile: Profile,
    ) -> Result<(Spooled, String), ReceiveError> {
        let keys = self.hygiene.settings.data_keys.as_ref().ok_or(ReceiveError::NoProject)?;
        let key = keys.derived(clinic, PSEUDONYMS).await.map_err(|_| ReceiveError::NoProject)?;
        let project = Project::from_key(&*key).map_err(|_| ReceiveError::NoProject)?;
        let limits = self.settings.limits.part10;
        let spool = Spool::new(Arc::clone(&self.room), u64::MAX);
        let handle = Handle::current();
        let work = move || {
            let mut reader = BufReader::new(spooled.reader()?);
            let mut out = BufWriter::with_capacity(PIECE_BYTES, IntoSpool { spool, handle });
            deidentify_to(&mut reader, &mut out, &limits, &profile, &project)?;
            let IntoSpool { spool, .. } = out.into_inner().map_err(|error| error.into_error())?;
            Ok::<_, ReceiveError>(spool)
        };
        let spool = tokio::task::spawn_blocking(work).await.map_err(ReceiveError::Examine)??;
        Ok(spool.finish().await?)
    }

    /// Holds the object back; gives the refusal.
    async fn hold(
        &self,
        receipt: &Receipt,
        spooled: &Spooled,
        sha256: &str,
        (reason, detail): (HeldReason, String),
        identity: Option<&Identity>,
    ) -> ReceiveError {
        let id = HeldId::new();
        let name = format!("clinics/{}/quarantine/{id}.dcm", receipt.clinic);
        let blob_key = self.archive.name_of_new(name);
        let facts = HeldFacts {
            reason,
            detail,
            origin: receipt.origin,
            file_name: receipt.file_name.clone(),
            calling_ae: receipt.calling_ae.clone(),
            study_uid: identity.map(|it| it.study_uid.to_string()),
            sop_uid: identity.map(|it| it.sop_uid.to_string()),
            sha256: sha256.to_owned(),
            size_bytes: i64::try_from(spooled.length()).unwrap_or(i64::MAX),
            blob_key,
        };
        let kept = async {
            self.write_blob(&facts.blob_key, spooled).await?;
            let mut tx = self.db.begin().await?;
            let is_new = Held::keep(&mut tx, receipt.clinic, id, &facts, self.clock.now()).await?;
            tx.commit().await?;
            if !is_new {
                self.archive.delete(&facts.blob_key).await?;
            }
            Ok::<_, ReceiveError>(())
        };
        match kept.await {
            Ok(()) => {
                metrics::counter!("ingest_held_total", "reason" => reason.as_str()).increment(1);
                tracing::warn!(held.id = %id, reason = reason.as_str(), "an object is held back");
                ReceiveError::Held(reason, identity.map(|it| Box::new(it.clone())))
            }
            Err(error) => error,
        }
    }
}

/// Bytes go to a spool in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;

/// A writer on a thread of its own, in front of a spool.
struct IntoSpool {
    spool: Spool,
    handle: Handle,
}

impl Write for IntoSpool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.handle.block_on(self.spool.write(Bytes::copy_from_slice(bytes)));
        written.map(|()| bytes.len()).map_err(|error| match error {
            SpoolError::File(error) => error,
            SpoolError::Full => io::ErrorKind::StorageFull.into(),
            error => io::Error::other(error),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "admit_tests.rs"]
mod tests;
