//! Whether what has come is stored already.

use futures::StreamExt;
use storage::records::instance::{Instance, Version};

use super::{Arrival, Disposition, Hall, OnConflict, ReceiveError, Received};
use crate::spool::{SpoolError, Spooled};

/// Within so many bytes the data set of nearly every stored file begins.
const HEAD_BYTES: u64 = 16 << 10;

impl Hall {
    /// The stored instance, when this very one is stored already: the same bytes, or the same data set in
    /// the same transfer syntax behind another File Meta Information, which names only who wrote the file.
    pub(super) async fn known(
        &self,
        arrival: &Arrival,
        spooled: &Spooled,
    ) -> Result<Option<Received>, ReceiveError> {
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
        let mut start = None;
        for reach in [HEAD_BYTES, HEAD_BYTES + self.settings.limits.part10.group2_bytes] {
            let head = self.archive.get_range(&known.blob_key, 0..stored_bytes.min(reach)).await?;
            start = part10::data_set_start(&head);
            if start.is_some() || stored_bytes <= reach {
                break;
            }
        }
        let Some(start) = start else { return Ok(false) };
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
}
