//! Messages on their way out: command sets and data sets, cut into fragments (PS3.8, annex E).

use bytes::Bytes;
use dicom_ul::pdu::Pdu;

use super::association::command_set;
use super::pdu::{Incoming, Part, PduError, PduStream};
use super::query::DataSetBody;
use super::status::StoreStatus;

/// The longest fragment that we send, bytes, however long a peer would take.
const MOST_FRAGMENT_BYTES: usize = 128 * 1024;
/// So much is gathered before it is written.
const WRITE_BYTES: usize = 256 * 1024;
/// PDU type and length; item length, context and control.
const HEADERS: usize = 12;

/// How many bytes of a message fit a fragment where the peer takes PDUs of `peer_max_pdu_bytes` (0: any); even.
fn room(peer_max_pdu_bytes: u32) -> usize {
    let most = match peer_max_pdu_bytes as usize {
        0 => MOST_FRAGMENT_BYTES,
        bytes => bytes.saturating_sub(6).clamp(16, MOST_FRAGMENT_BYTES),
    };
    most & !1
}

/// Adds one part of a message, cut into fragments, each a P-DATA-TF.
pub(crate) fn put_part(out: &mut Vec<u8>, context_id: u8, part: Part, bytes: &[u8], peer_max_pdu_bytes: u32) {
    let room = room(peer_max_pdu_bytes);
    let count = bytes.len().div_ceil(room).max(1);
    for number in 0..count {
        let fragment = &bytes[number * room..bytes.len().min((number + 1) * room)];
        let at = out.len();
        out.resize(at + HEADERS, 0);
        out.extend_from_slice(fragment);
        put_headers(&mut out[at..], context_id, part, number + 1 == count);
    }
}

/// Writes the headers in front of a fragment, which begins [`HEADERS`] after the start of `pdu` and fills the rest.
fn put_headers(pdu: &mut [u8], context_id: u8, part: Part, is_last: bool) {
    let item_bytes = (pdu.len() - HEADERS + 2) as u32;
    pdu[..2].copy_from_slice(&[0x04, 0]);
    pdu[2..6].copy_from_slice(&(item_bytes + 4).to_be_bytes());
    pdu[6..10].copy_from_slice(&item_bytes.to_be_bytes());
    pdu[10] = context_id;
    pdu[11] = u8::from(part == Part::Command) | if is_last { 0b10 } else { 0 };
}

/// The next command set, with the context that it came on; `None` when the peer has released the association or left.
pub(crate) async fn next_command(stream: &mut PduStream) -> Result<Option<(u8, Bytes)>, PduError> {
    let fragment = match stream.next().await? {
        Incoming::Fragment(fragment) => fragment,
        Incoming::Release => {
            stream.send(&Pdu::ReleaseRP).await?;
            return Ok(None);
        }
        Incoming::Closed => return Ok(None),
    };
    Ok(Some((fragment.context_id, command_set(stream, fragment).await?)))
}

/// Why a message with a data set was not sent.
#[derive(Debug)]
pub(crate) enum SendError {
    /// The connection failed.
    Wire(PduError),
    /// The data set could not be read to its end: the peer has half of it, so the association has to end.
    Body(StoreStatus),
}

impl From<PduError> for SendError {
    fn from(error: PduError) -> Self {
        Self::Wire(error)
    }
}

/// Sends a command set and the data set behind it, piece by piece as that is read.
pub(crate) async fn send_message<B: DataSetBody>(
    stream: &mut PduStream,
    context_id: u8,
    peer_max_pdu_bytes: u32,
    command: &[u8],
    mut body: B,
) -> Result<(), SendError> {
    let mut out = Vec::new();
    put_part(&mut out, context_id, Part::Command, command, peer_max_pdu_bytes);
    let room = room(peer_max_pdu_bytes);
    // The fragment that is being filled; only what follows it tells whether it is the last.
    let mut open_at = out.len();
    out.resize(open_at + HEADERS, 0);
    while let Some(piece) = body.next().await.map_err(SendError::Body)? {
        let mut piece = &piece[..];
        while !piece.is_empty() {
            let free = room - (out.len() - open_at - HEADERS);
            if free == 0 {
                put_headers(&mut out[open_at..], context_id, Part::DataSet, false);
                if out.len() >= WRITE_BYTES {
                    stream.send_prepared(&mut out).await?;
                }
                open_at = out.len();
                out.resize(open_at + HEADERS, 0);
                continue;
            }
            let (now, later) = piece.split_at(free.min(piece.len()));
            out.extend_from_slice(now);
            piece = later;
        }
    }
    put_headers(&mut out[open_at..], context_id, Part::DataSet, true);
    stream.send_prepared(&mut out).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_ul::pdu::{PDataValueType, read_pdu};

    /// The foreign reader is dicom-ul's.
    #[test]
    fn a_part_is_cut_to_what_the_peer_takes() {
        let bytes: Vec<u8> = (0..50).collect();
        let mut out = Vec::new();
        put_part(&mut out, 5, Part::DataSet, &bytes, 27);
        let (mut rest, mut whole, mut lasts) = (&out[..], Vec::new(), Vec::new());
        while !rest.is_empty() {
            let length = u32::from_be_bytes([rest[2], rest[3], rest[4], rest[5]]) as usize;
            assert!(length <= 27);
            let Ok(Some(Pdu::PData { data })) = read_pdu(&rest[..6 + length], 4_096, true) else { panic!() };
            rest = &rest[6 + length..];
            for value in data {
                assert_eq!((value.presentation_context_id, value.value_type), (5, PDataValueType::Data));
                lasts.push(value.is_last);
                whole.extend(value.data);
            }
        }
        assert_eq!(whole, bytes);
        assert_eq!(lasts, [false, false, true]);
    }

    #[test]
    fn an_empty_part_is_one_last_fragment() {
        let mut out = Vec::new();
        put_part(&mut out, 1, Part::Command, &[], 0);
        assert_eq!(out, [4, 0, 0, 0, 0, 6, 0, 0, 0, 2, 1, 3]);
    }
}
