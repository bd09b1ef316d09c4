//! What the bytes tell of themselves, read within bounds of memory and time.

use part10::{Part10Error, Scan};
use storage::records::instance_metadata::Packed;

use super::{Hall, Receipt, ReceiveError};
use crate::dicom_json;
use crate::identity::{Facts, Identity, IdentityError};
use crate::spool::Spooled;

/// MiB that long headers and deflated data sets may take while they are examined, all receipts together.
pub(super) const EXAMINE_MIB: u32 = 1024;
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

/// What the bytes tell of themselves.
pub(super) struct Examined {
    pub(super) identity: Box<Identity>,
    pub(super) facts: Facts,
    /// The data set as DICOM JSON.
    pub(super) metadata: Option<Packed>,
    /// Where the data set starts in the bytes.
    pub(super) data_set_at: u64,
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
    pub(super) fn expected_by(self, receipt: &Receipt) -> Result<Self, ReceiveError> {
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

impl Hall {
    /// Checks the bytes and reads their header.
    ///
    /// With a short header that takes microseconds where the walk passes Pixel Data over, so it is done in place. A
    /// file is read, a long header taken apart and a deflated data set inflated on a thread of their own, the latter
    /// two within a budget of memory that all receipts share.
    pub(super) async fn examine(
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
