//! Instances whose pixels are decoded or taken out of their fragments, within a bound of memory.

use std::io::BufReader;
use std::ops::Range;
use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use clinical::imaging::{DecodeRequest, Frame, FrameSelection};
use clinical::uid::TransferSyntaxUid;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use gate::Problem;
use ingest::part10::{Limits, Part10, Part10Error, Scan};
use ingest::pixels::{PixelError, TranscodeError, decode, encode_frame, transcode};
use storage::records::instance::Instance;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinError;

use crate::multipart::AHEAD;
use crate::native::number;
use crate::state::{DicomWebState, HELD_MIB};

/// A whole instance in memory, counted against the house's bound while it or its bytes are held.
pub(crate) struct Held {
    pub(crate) object: Arc<Part10>,
    pub(crate) permit: Arc<OwnedSemaphorePermit>,
}

/// Frames of an answer that are decoded at the same time where each is made when its turn comes.
pub(crate) const ONE_BY_ONE: u64 = AHEAD as u64;

/// Reads the whole instance, of which so many frames will be held decoded; waits while others hold too much.
///
/// What is counted is the larger of the stored bytes and of what the frames become, by the header's account.
///
/// # Errors
///
/// 406 `too-large` for one that alone passes the bound; 500 when it does not read; 503 `overloaded` with
/// `Retry-After` where others hold too much for too long.
pub(crate) async fn hold(state: &DicomWebState, instance: &Instance, frames: u64) -> Result<Held, Problem> {
    let edge = |edge: Option<i64>| edge.and_then(|it| u64::try_from(it).ok()).unwrap_or(0);
    let stored = edge(Some(instance.size_bytes));
    let guess =
        [edge(instance.rows), edge(instance.columns), edge(instance.bits_allocated).div_ceil(8), frames];
    let mib = within_bound(stored.max(product(guess)))?;
    let mut permit = state.decoding_room(mib).await?;
    let bytes = state.app.archive.get(&instance.blob_key).await?;
    let object = blocking(move || Part10::read(bytes, &Limits::default())).await?;
    let object = object.map_err(|error| Problem::internal("instance-unreadable", &error))?;
    // what the row does not tell: how many samples a pixel has
    let whole = within_bound(stored.max(declared_bytes(object.header(), frames)))?;
    if let Some(more) = whole.checked_sub(mib).filter(|more| *more > 0) {
        permit.merge(state.decoding_room(more).await?);
    }
    Ok(Held { object: Arc::new(object), permit: Arc::new(permit) })
}

/// The stored bytes of the whole instance, with room for as many that are made of them.
///
/// # Errors
///
/// As [`hold`].
pub(crate) async fn hold_bytes(
    state: &DicomWebState,
    instance: &Instance,
) -> Result<(Bytes, Arc<OwnedSemaphorePermit>), Problem> {
    let stored = u64::try_from(instance.size_bytes).unwrap_or_default();
    let permit = state.decoding_room(within_bound(stored.saturating_mul(2))?).await?;
    Ok((state.app.archive.get(&instance.blob_key).await?, Arc::new(permit)))
}

/// The same in MiB.
///
/// # Errors
///
/// 406 `too-large`.
fn within_bound(bytes: u64) -> Result<u32, Problem> {
    let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX).saturating_add(1);
    if mib <= HELD_MIB {
        return Ok(mib);
    }
    let detail = format!("pixels of more than {HELD_MIB} MiB are not decoded here");
    Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "too-large", detail))
}

/// Bytes of so many frames that are not compressed: rows, columns, samples, Bits Allocated.
fn declared_bytes(header: &InMemDicomObject, frames: u64) -> u64 {
    let value = |tag| number(header, tag).unwrap_or_default();
    let samples = value(tags::SAMPLES_PER_PIXEL).max(1);
    let bytes = value(tags::BITS_ALLOCATED).div_ceil(8);
    product([value(tags::ROWS), value(tags::COLUMNS), samples.saturating_mul(bytes), frames])
}

fn product(factors: [u64; 4]) -> u64 {
    factors.into_iter().fold(1, u64::saturating_mul)
}

/// Where the fragments of these frames lie in the blob, found without reading what they hold; `None` where the blob
/// cannot be read by seeking.
///
/// # Errors
///
/// 404 `no-such-frame`, 406 where the file does not tell.
pub(crate) async fn places(
    state: &DicomWebState,
    instance: &Instance,
    frames: Vec<u32>,
) -> Result<Option<Vec<(u32, Vec<Range<u64>>)>>, Problem> {
    let Some(path) = state.app.archive.local_file(&instance.blob_key) else { return Ok(None) };
    let scan = blocking(move || {
        let mut file = BufReader::with_capacity(1 << 10, std::fs::File::open(path)?);
        Scan::read(&mut file, &Limits::default())
    });
    let scan = scan.await?.map_err(|error| Problem::internal("instance-unreadable", &error))?;
    if scan.is_deflated() {
        return Ok(None);
    }
    let place = |frame| Ok((frame, scan.encapsulated_frame(frame).map_err(frame_problem)?));
    frames.into_iter().map(place).collect::<Result<_, Problem>>().map(Some)
}

fn frame_problem(error: Part10Error) -> Problem {
    match error {
        Part10Error::NoSuchFrame => no_such_frame(),
        error => Problem::new(StatusCode::NOT_ACCEPTABLE, error.code(), error.to_string()),
    }
}

/// The frames of these numbers, counted from 0, decoded.
pub(crate) async fn decoded(
    state: &DicomWebState,
    held: &Held,
    frames: Vec<u32>,
) -> Result<Vec<Frame>, Problem> {
    let (object, pool, limits) = (Arc::clone(&held.object), Arc::clone(&state.pool), state.pixel_limits);
    let request = DecodeRequest { frames: FrameSelection::These(frames), least_size: None };
    blocking(move || decode(&object, &request, &limits, &pool)).await?.map_err(pixel_problem)
}

/// The codestream of a frame, counted from 0, as it is stored.
pub(crate) fn stored(held: &Held, frame: u32) -> Result<Bytes, Problem> {
    match held.object.encapsulated_frame(frame) {
        Ok(mut fragments) if fragments.len() == 1 => Ok(fragments.swap_remove(0)),
        Ok(fragments) => Ok(fragments.concat().into()),
        Err(error) => Err(frame_problem(error)),
    }
}

/// The whole instance in another transfer syntax.
pub(crate) async fn transcoded(
    state: &DicomWebState,
    held: &Held,
    to: TransferSyntaxUid,
) -> Result<Bytes, Problem> {
    let (object, pool, limits) = (Arc::clone(&held.object), Arc::clone(&state.pool), state.pixel_limits);
    blocking(move || transcode(&object, &to, &limits, &pool)).await?.map_err(transcode_problem)
}

/// A frame, counted from 0, in another transfer syntax.
pub(crate) async fn encoded(
    state: &DicomWebState,
    held: &Held,
    frame: u32,
    to: TransferSyntaxUid,
) -> Result<Bytes, Problem> {
    let (object, pool, limits) = (Arc::clone(&held.object), Arc::clone(&state.pool), state.pixel_limits);
    let encoded = blocking(move || encode_frame(&object, frame, &to, &limits, &pool)).await?;
    encoded.map(Bytes::from).map_err(transcode_problem)
}

/// What cannot be had in a transfer syntax is 406, with the error's code.
fn transcode_problem(error: TranscodeError) -> Problem {
    match error {
        TranscodeError::Pixels(error) => pixel_problem(error),
        TranscodeError::UnsupportedTransferSyntax(_) | TranscodeError::NotRepresentable(_) => {
            Problem::new(StatusCode::NOT_ACCEPTABLE, error.code(), error.to_string())
        }
        error => Problem::internal(error.code(), &error),
    }
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let done: Result<T, JoinError> = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Problem::internal("decoding-failed", &error))
}

/// 404 `no-such-frame`.
pub(crate) fn no_such_frame() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-frame", "the instance has no frame of that number")
}

/// What cannot be decoded cannot be given in the form asked for: 406 with the error's code. So is a frame over which its
/// decoder gives up, whose words could tell what is in it.
pub(crate) fn pixel_problem(error: PixelError) -> Problem {
    match error {
        PixelError::NoDecoder(_) => Problem::internal(error.code(), &error),
        PixelError::CodecFailed(_) | PixelError::CodecTimeout => {
            tracing::warn!(%error, "a frame was not decoded");
            Problem::new(StatusCode::NOT_ACCEPTABLE, error.code(), "the decoder gave up over the frame")
        }
        error => Problem::new(StatusCode::NOT_ACCEPTABLE, error.code(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{DataElement, PrimitiveValue, VR};

    #[test]
    fn a_frame_over_which_the_decoder_gives_up_is_the_frames_fault_and_a_missing_decoder_is_ours() {
        for error in [PixelError::CodecFailed("a child ended".into()), PixelError::CodecTimeout] {
            let code = error.code();
            let problem = pixel_problem(error);
            assert_eq!((problem.status(), problem.code()), (StatusCode::NOT_ACCEPTABLE, code));
        }
        assert!(pixel_problem(PixelError::NoDecoder("no memory".into())).status().is_server_error());
    }

    #[test]
    fn what_frames_become_counts_not_what_a_small_file_claims() {
        let numbers = [
            (tags::ROWS, 2_000_u16),
            (tags::COLUMNS, 1_000),
            (tags::SAMPLES_PER_PIXEL, 3),
            (tags::BITS_ALLOCATED, 12),
        ];
        let element = |(tag, number)| DataElement::new(tag, VR::US, PrimitiveValue::from(number));
        let header = InMemDicomObject::from_element_iter(numbers.map(element));
        assert_eq!(declared_bytes(&header, 2), 2_000 * 1_000 * 3 * 2 * 2);
        let claimed = declared_bytes(&header, u64::MAX);
        assert_eq!(within_bound(claimed).unwrap_err().code(), "too-large");
        assert_eq!(within_bound((1_024 << 20) - 1).ok(), Some(1_024));
        assert_eq!(within_bound(1_024 << 20).unwrap_err().status().as_u16(), 406);
    }
}
