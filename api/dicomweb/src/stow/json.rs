//! Metadata in DICOM JSON with bulk data behind them, as one request (PS3.18, section 10.5.2).
//!
//! The first part holds the data sets, the others the values that they name by URL. Nothing can be stored before the
//! last value has come, so all of it is held in memory, within the house's bound.

use axum::body::BodyDataStream;
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use gate::Problem;
use ingest::dicom_json::{BulkData, BulkPart, part10_of, sop_of};
use ingest::stow::{PartReader, StowError};
use serde_json::Value;

use super::answer::Outcome;
use super::{Desk, PARTS_MAX, Slot, problem};
use crate::dicom_json::DICOM_JSON;
use crate::pixels;
use crate::state::room;

/// Most MiB of one request.
const REQUEST_MIB: u32 = 256;
/// Most MiB of its metadata, which take many times as much while they are read.
const METADATA_MIB: usize = 32;
/// Most MiB of the files that are made of one request, whose data sets may name the same bulk data.
const MADE_MIB: u64 = 4_096;

impl Desk {
    /// Reads all parts, then hands in each instance.
    ///
    /// # Errors
    ///
    /// 400 where parts or metadata do not read, 413 where they are too many bytes, 503 where others hold too many;
    /// nothing is stored then.
    pub(super) async fn take_json(&mut self, mut reader: PartReader<BodyDataStream>) -> Result<(), Problem> {
        let _room = room(&self.held_mib, REQUEST_MIB).await?;
        let (metadata, bulk) = parts(&mut reader).await?;
        let parsed = pixels::blocking(move || serde_json::from_slice::<Vec<Value>>(&metadata)).await?;
        let malformed = "the first part is an array of data sets in DICOM JSON";
        let data_sets = parsed.map_err(|_| Problem::bad_request("metadata-malformed", malformed))?;
        if data_sets.len() > PARTS_MAX {
            return Err(Problem::bad_request("parts-unclear", "there are too many data sets"));
        }
        let bulk = std::sync::Arc::new(BulkData::of(bulk));
        let mut made_bytes = 0;
        for attributes in data_sets {
            let sop = sop_of(&attributes);
            if made_bytes >= MADE_MIB << 20 {
                self.set_aside(Outcome::Unmade(sop));
                continue;
            }
            let bulk = std::sync::Arc::clone(&bulk);
            match pixels::blocking(move || part10_of(attributes, &bulk)).await {
                Ok(Ok(file)) => {
                    made_bytes += file.len() as u64;
                    let mut slot = Slot::Spooling(self.receiver.spool());
                    slot.write(file.into()).await;
                    self.hand_in(slot).await;
                }
                Ok(Err(error)) => {
                    tracing::debug!(%error, "metadata made no instance");
                    self.set_aside(Outcome::Unmade(sop));
                }
                // foreign code gave up over these metadata
                Err(_) => self.set_aside(Outcome::Unmade(sop)),
            }
        }
        Ok(())
    }
}

/// The metadata, and the bulk data behind them.
async fn parts(reader: &mut PartReader<BodyDataStream>) -> Result<(Bytes, Vec<BulkPart>), Problem> {
    let refused = |error: StowError| problem(error, 0);
    let mut left = (REQUEST_MIB as usize) << 20;
    let mut metadata = None;
    let mut bulk = Vec::new();
    while let Some(head) = reader.next_part().await.map_err(refused)? {
        if bulk.len() == PARTS_MAX {
            return Err(refused(StowError::Unclear));
        }
        let mut bytes = BytesMut::new();
        while let Some(chunk) = reader.chunk().await.map_err(refused)? {
            left = left
                .checked_sub(chunk.len())
                .ok_or_else(|| Problem::too_large(u64::from(REQUEST_MIB) << 20))?;
            if metadata.is_none() && bytes.len() + chunk.len() > METADATA_MIB << 20 {
                let detail = format!("the metadata of a request take at most {METADATA_MIB} MiB");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail));
            }
            bytes.extend_from_slice(&chunk);
        }
        let content_type = head.content_type.unwrap_or_default();
        if metadata.is_none() {
            let media = content_type.split(';').next().unwrap_or_default().trim();
            if !media.eq_ignore_ascii_case(DICOM_JSON) && !media.eq_ignore_ascii_case("application/json") {
                return Err(Problem::unsupported_media_type(
                    "metadata of application/dicom+json in the first part",
                ));
            }
            metadata = Some(bytes.freeze());
            continue;
        }
        let nameless = "bulk data name themselves by Content-Location";
        let location =
            head.content_location.ok_or_else(|| Problem::bad_request("part-malformed", nameless))?;
        bulk.push(BulkPart { location, content_type, bytes: bytes.freeze() });
    }
    let metadata =
        metadata.ok_or_else(|| Problem::bad_request("no-instances", "the body holds no instance"))?;
    Ok((metadata, bulk))
}
