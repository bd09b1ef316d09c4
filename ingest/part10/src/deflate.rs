//! Inflates a deflated data set within bounds.

use std::io::{ErrorKind, Read};

use flate2::read::DeflateDecoder;

use crate::{Limits, Part10Error};

/// The bytes that `deflated_bytes` may grow to.
pub(crate) fn most(deflated_bytes: u64, limits: &Limits) -> u64 {
    let by_ratio = deflated_bytes.saturating_mul(limits.inflate_ratio).max(limits.inflate_floor_bytes);
    limits.inflated_bytes.min(by_ratio)
}

/// Inflates all of `deflated`, of which the file has `deflated_bytes`.
///
/// # Errors
///
/// [`Part10Error::InflateBomb`] beyond the limits, [`Part10Error::Truncated`] where the stream has no end,
/// [`Part10Error::Malformed`] where it is no DEFLATE stream (RFC 1951).
pub(crate) fn inflate(
    deflated: impl Read,
    at: u64,
    deflated_bytes: u64,
    limits: &Limits,
) -> Result<Vec<u8>, Part10Error> {
    let most = most(deflated_bytes, limits);
    let mut inflated = Vec::new();
    let mut decoder = DeflateDecoder::new(deflated).take(most + 1);
    match decoder.read_to_end(&mut inflated) {
        Ok(_) if inflated.len() as u64 > most => Err(Part10Error::InflateBomb),
        Ok(_) => Ok(inflated),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Part10Error::Truncated { at }),
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData) => {
            Err(Part10Error::Malformed { at, what: "the data set is no DEFLATE stream" })
        }
        Err(error) => Err(error.into()),
    }
}
