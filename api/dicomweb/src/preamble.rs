//! Stored files whose preamble is cleaned on the way out (PS3.10, section 7.1): what begins as a program, and would run
//! as one where it is saved, begins with zeros. Everything else is as it is stored.

use std::ops::Range;

use axum::BoxError;
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use ingest::part10::clean_preamble;
use storage::archive::{Archive, ArchiveError};

use crate::multipart::Pieces;

/// The preamble.
const PREAMBLE: u64 = 128;
/// With the prefix `DICM` behind it.
const HEAD: u64 = PREAMBLE + 4;

/// The whole file, piece by piece.
///
/// # Errors
///
/// Those of the archive.
pub(crate) async fn file(archive: &Archive, key: &str) -> Result<Pieces, ArchiveError> {
    let mut pieces = archive.stream(key).await?;
    let mut head = Bytes::new();
    while (head.len() as u64) < HEAD
        && let Some(piece) = pieces.try_next().await?
    {
        head = joined(head, piece);
    }
    let (preamble, rest) = clean_preamble(head);
    let here = [preamble, rest].into_iter().filter(|bytes| !bytes.is_empty()).map(Ok);
    Ok(stream::iter(here).chain(pieces.map_err(BoxError::from)).boxed())
}

/// A range of the file.
///
/// # Errors
///
/// Those of the archive.
pub(crate) async fn range(archive: &Archive, key: &str, range: Range<u64>) -> Result<Pieces, ArchiveError> {
    let Range { start, end } = range;
    if start >= PREAMBLE {
        return Ok(archive.stream_range(key, range).await?.map_err(BoxError::from).boxed());
    }
    // which preamble it is, and whether it is one, is told by all of it
    let (preamble, rest) = clean_preamble(archive.get_range(key, 0..HEAD).await?);
    let head = joined(preamble, rest);
    let until = (end as usize).min(head.len());
    let here = head.slice((start as usize).min(until)..until);
    let here = stream::once(async { Ok(here) });
    if end <= HEAD {
        return Ok(here.boxed());
    }
    let beyond = archive.stream_range(key, HEAD..end).await?;
    Ok(here.chain(beyond.map_err(BoxError::from)).boxed())
}

fn joined(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() { second } else { [first, second].concat().into() }
}
