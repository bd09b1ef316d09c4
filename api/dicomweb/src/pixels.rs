//! Instances whose pixels are decoded or taken out of their fragments, within a bound of memory.

use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use clinical::imaging::{DecodeRequest, Frame, FrameSelection};
use gate::Problem;
use ingest::part10::{Limits, Part10, Part10Error};
use ingest::pixels::{PixelError, decode};
use storage::records::instance::Instance;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinError;

use crate::state::{DicomWebState, HELD_MIB};

/// A whole instance in memory, counted against the house's bound while it or its bytes are held.
pub(crate) struct Held {
    pub(crate) object: Arc<Part10>,
    pub(crate) permit: Arc<OwnedSemaphorePermit>,
}

/// Reads the whole instance; waits while others hold too much.
///
/// # Errors
///
/// 406 `too-large` for one that alone passes the bound; 500 when it does not read.
pub(crate) async fn hold(state: &DicomWebState, instance: &Instance) -> Result<Held, Problem> {
    let mib = u32::try_from(instance.size_bytes >> 20).unwrap_or(u32::MAX).saturating_add(1);
    if mib > HELD_MIB {
        let detail = format!("pixels of an instance of more than {HELD_MIB} MiB are not decoded here");
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "too-large", detail));
    }
    let room = Arc::clone(&state.held_mib).acquire_many_owned(mib).await;
    let permit = room.map_err(|error| Problem::internal("room-closed", &error))?;
    let bytes = state.app.archive.get(&instance.blob_key).await?;
    let object = blocking(move || Part10::read(bytes, &Limits::default())).await?;
    let object = object.map_err(|error| Problem::internal("instance-unreadable", &error))?;
    Ok(Held { object: Arc::new(object), permit: Arc::new(permit) })
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
        Err(Part10Error::NoSuchFrame) => Err(no_such_frame()),
        Err(error) => Err(Problem::new(StatusCode::NOT_ACCEPTABLE, error.code(), error.to_string())),
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

/// What cannot be decoded cannot be given in the form asked for: 406 with the error's code.
pub(crate) fn pixel_problem(error: PixelError) -> Problem {
    match error {
        PixelError::CodecFailed(_) | PixelError::CodecTimeout => Problem::internal(error.code(), &error),
        error => Problem::new(StatusCode::NOT_ACCEPTABLE, error.code(), error.to_string()),
    }
}
