//! The DICOM upper layer on the wire: PDUs in, PDUs out.
//!
//! P-DATA-TF is the hot path, so its headers are read here and its payload is
//! handed on as slices of the receive buffer; nothing is copied and no PDU is
//! held whole. The rare PDUs around it go through dicom-ul.
//!
//! Source: DICOM PS3.8, section 9.3.

mod calling;

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use dicom_ul::pdu::{self, AbortRQServiceProviderReason, AbortRQSource, AssociationRQ, Pdu, WriteError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};

use super::wire::Wire;
pub(crate) use calling::Called;

/// Receive buffer of an association that transfers; the kernel is asked for as much at once.
const READ_BYTES: usize = 256 * 1024;
/// Receive buffer before anything is negotiated: many strangers may hold one.
const FIRST_READ_BYTES: usize = 4 * 1024;
/// A payload is handed on once this much of it is here, or all of its fragment.
const PIECE_BYTES: usize = 64 * 1024;
/// The longest A-ASSOCIATE-RQ: 128 presentation contexts with 60 transfer syntaxes each have 250 KiB.
const ASSOCIATE_BYTES: u32 = 256 * 1024;
/// The longest A-RELEASE-RQ or A-ABORT; both have 4 bytes today.
const SMALL_PDU_BYTES: u32 = 1024;
/// How far a P-DATA-TF may exceed what we advertised: some senders do not count its headers.
const MAX_PDU_SLACK: u32 = 1024;
/// How much, and for how long, is read and dropped so that our last word reaches the peer.
const LINGER_BYTES: usize = 4 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(2);

/// PDU type and length in front of every PDU; item length, context and control in front of every fragment.
const HEADER: usize = 6;

const A_ASSOCIATE_RQ: u8 = 0x01;
const P_DATA_TF: u8 = 0x04;
const A_RELEASE_RQ: u8 = 0x05;
const A_ABORT: u8 = 0x07;

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PduError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the peer closed the connection in the middle of a PDU or a message")]
    Truncated,
    #[error("the peer sent nothing for too long")]
    Slow,
    #[error("the peer sent an A-ABORT")]
    Aborted,
    #[error("a PDU of type {0:02X} is unknown")]
    Unrecognized(u8),
    #[error("a PDU of type {0:02X} is out of order")]
    Unexpected(u8),
    #[error("a PDU of {0} bytes is longer than the limit")]
    TooLong(u32),
    #[error("the lengths inside a PDU contradict each other")]
    Malformed,
    #[error("the A-ASSOCIATE-RQ cannot be read")]
    Associate(#[source] Box<pdu::ReadError>),
    #[error("a PDU cannot be written")]
    Write(#[source] Box<WriteError>),
    #[error("a message breaks the protocol: {0}")]
    Message(&'static str),
    #[error("the command set cannot be read")]
    Command(#[from] super::dimse::CommandError),
    #[error("the listener is shutting down")]
    ShuttingDown,
}

impl PduError {
    /// What an A-ABORT says about this error; `None` when the peer is gone.
    fn abort_source(&self) -> Option<AbortRQSource> {
        use AbortRQServiceProviderReason as Reason;
        let reason = match self {
            Self::Io(_) | Self::Truncated | Self::Aborted => return None,
            Self::ShuttingDown => return Some(AbortRQSource::ServiceUser),
            Self::Slow | Self::Write(_) => Reason::ReasonNotSpecified,
            Self::Unrecognized(_) => Reason::UnrecognizedPdu,
            Self::Unexpected(_) => Reason::UnexpectedPdu,
            Self::TooLong(_) | Self::Malformed | Self::Associate(_) | Self::Message(_) | Self::Command(_) => {
                Reason::InvalidPduParameter
            }
        };
        Some(AbortRQSource::ServiceProvider(reason))
    }
}

/// What comes next on an established association.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A fragment of a message; its bytes follow through [`PduStream::piece`].
    Fragment(Fragment),
    /// A-RELEASE-RQ.
    Release,
    /// The peer closed the connection between two PDUs.
    Closed,
}

/// The header of a presentation data value (PS3.8, section 9.3.5.1 and annex E.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) context_id: u8,
    pub(crate) part: Part,
    pub(crate) is_last: bool,
}

/// Which part of a message a fragment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Command,
    DataSet,
}

/// A connection, read and written PDU by PDU.
pub(crate) struct PduStream {
    stream: Wire,
    buffer: BytesMut,
    read_bytes: usize,
    /// What is left of the current P-DATA-TF, and of the fragment in it.
    pdu_left: usize,
    fragment_left: usize,
    max_pdu_bytes: u32,
    /// The longest wait for one read or write.
    wait: Duration,
    out: Vec<u8>,
}

impl PduStream {
    pub(crate) fn new(stream: impl Into<Wire>, max_pdu_bytes: u32, wait: Duration) -> Self {
        Self {
            stream: stream.into(),
            buffer: BytesMut::new(),
            read_bytes: FIRST_READ_BYTES,
            pdu_left: 0,
            fragment_left: 0,
            max_pdu_bytes,
            wait,
            out: Vec::new(),
        }
    }

    /// The A-ASSOCIATE-RQ that opens every association, with its 32 bytes of titles as they came.
    pub(crate) async fn associate_rq(&mut self) -> Result<(AssociationRQ, [u8; 32]), PduError> {
        let (kind, length) = self.header().await?.ok_or(PduError::Truncated)?;
        match kind {
            A_ASSOCIATE_RQ => {}
            A_ABORT => return Err(PduError::Aborted),
            P_DATA_TF | 0x02 | 0x03 | A_RELEASE_RQ | 0x06 => return Err(PduError::Unexpected(kind)),
            _ => return Err(PduError::Unrecognized(kind)),
        }
        if length > ASSOCIATE_BYTES {
            return Err(PduError::TooLong(length));
        }
        self.fill_to(length as usize).await?;
        let body = self.buffer.split_to(length as usize);
        self.read_bytes = READ_BYTES;
        self.buffer = BytesMut::from(&self.buffer[..]);
        parse_associate_rq(&body)
    }

    /// The next fragment of a message, or the end of the association.
    pub(crate) async fn next(&mut self) -> Result<Incoming, PduError> {
        while self.piece().await?.is_some() {}
        if self.pdu_left == 0 {
            let Some((kind, length)) = self.header().await? else { return Ok(Incoming::Closed) };
            match kind {
                P_DATA_TF if length > self.max_pdu_bytes.saturating_add(MAX_PDU_SLACK) => {
                    return Err(PduError::TooLong(length));
                }
                P_DATA_TF => self.pdu_left = length as usize,
                A_RELEASE_RQ if length <= SMALL_PDU_BYTES => {
                    self.fill_to(length as usize).await?;
                    self.buffer.advance(length as usize);
                    return Ok(Incoming::Release);
                }
                A_ABORT => return Err(PduError::Aborted),
                A_RELEASE_RQ => return Err(PduError::TooLong(length)),
                A_ASSOCIATE_RQ | 0x02 | 0x03 | 0x06 => return Err(PduError::Unexpected(kind)),
                _ => return Err(PduError::Unrecognized(kind)),
            }
        }
        if self.pdu_left < HEADER {
            return Err(PduError::Malformed);
        }
        self.fill_to(HEADER).await?;
        let item_bytes = self.buffer.get_u32() as usize;
        let (context_id, control) = (self.buffer.get_u8(), self.buffer.get_u8());
        // The item's length counts the two bytes after it, not its own four.
        if item_bytes < 2 || item_bytes > self.pdu_left - 4 {
            return Err(PduError::Malformed);
        }
        self.pdu_left -= item_bytes + 4;
        self.fragment_left = item_bytes - 2;
        let part = if control & 1 == 1 { Part::Command } else { Part::DataSet };
        Ok(Incoming::Fragment(Fragment { context_id, part, is_last: control & 2 == 2 }))
    }

    /// The next bytes of the current fragment, a slice of the receive buffer; `None` after its last.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, PduError> {
        if self.fragment_left == 0 {
            return Ok(None);
        }
        self.fill_to(self.fragment_left.min(PIECE_BYTES)).await?;
        let length = self.fragment_left.min(self.buffer.len());
        self.fragment_left -= length;
        Ok(Some(self.buffer.split_to(length).freeze()))
    }

    /// Waits until the peer says something, holding as little memory as possible.
    ///
    /// Cancelling it loses nothing.
    pub(crate) async fn readable(&mut self, idle: Duration) -> Result<(), PduError> {
        const KEEP_BUFFER: Duration = Duration::from_secs(1);
        if !self.buffer.is_empty() {
            return Ok(());
        }
        if let Ok(read) = timeout(KEEP_BUFFER.min(idle), self.read_at_leisure()).await {
            return read.map(drop);
        }
        self.buffer = BytesMut::new();
        let rest = idle.saturating_sub(KEEP_BUFFER);
        timeout(rest, self.stream.tcp().peek(&mut [0])).await.map_err(|_| PduError::Slow)??;
        Ok(())
    }

    /// Sends a PDU of the association's beginning or end in one write.
    pub(crate) async fn send(&mut self, pdu: &Pdu) -> Result<(), PduError> {
        self.out.clear();
        pdu::write_pdu(&mut self.out, pdu).map_err(|error| PduError::Write(Box::new(error)))?;
        self.flush().await
    }

    /// Sends an A-ASSOCIATE-AC that repeats the request's titles byte for byte (PS3.8, section 9.3.3).
    pub(crate) async fn send_accept(&mut self, pdu: &Pdu, titles: &[u8; 32]) -> Result<(), PduError> {
        self.out.clear();
        pdu::write_pdu(&mut self.out, pdu).map_err(|error| PduError::Write(Box::new(error)))?;
        // PDU header (6), protocol version (2), reserved (2), then the titles.
        if let Some(place) = self.out.get_mut(10..42) {
            place.copy_from_slice(titles);
        }
        self.flush().await
    }

    /// Sends a command set in one write, in fragments that the peer's maximum length allows (0: any).
    pub(crate) async fn send_command(
        &mut self,
        context_id: u8,
        command: &[u8],
        peer_max_pdu_bytes: u32,
    ) -> Result<(), PduError> {
        let room = match peer_max_pdu_bytes as usize {
            0 => usize::MAX,
            bytes => bytes.saturating_sub(HEADER).max(16),
        };
        self.out.clear();
        let count = command.len().div_ceil(room);
        for (number, fragment) in command.chunks(room).enumerate() {
            let item_bytes = fragment.len() as u32 + 2;
            self.out.extend_from_slice(&[P_DATA_TF, 0]);
            self.out.extend_from_slice(&(item_bytes + 4).to_be_bytes());
            self.out.extend_from_slice(&item_bytes.to_be_bytes());
            let control = if number + 1 == count { 0b11 } else { 0b01 };
            self.out.extend_from_slice(&[context_id, control]);
            self.out.extend_from_slice(fragment);
        }
        self.flush().await
    }

    /// Tells the peer why the association ends, if there is still someone to tell.
    pub(crate) async fn abort(&mut self, error: &PduError) {
        let Some(source) = error.abort_source() else { return };
        let is_told = self.send(&Pdu::AbortRQ { source }).await.is_ok();
        // An idle peer has nothing under way that our closing could turn into a reset.
        if is_told && !matches!(error, PduError::ShuttingDown) {
            self.linger().await;
        }
    }

    /// Closes our side and drops what still comes in, so that the kernel does not turn our last PDU into a reset.
    pub(crate) async fn linger(&mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let until = tokio::time::Instant::now() + LINGER;
        let mut dropped = 0;
        while dropped < LINGER_BYTES {
            self.buffer.clear();
            self.buffer.reserve(FIRST_READ_BYTES);
            match timeout_at(until, self.stream.read_buf(&mut self.buffer)).await {
                Ok(Ok(count)) if count > 0 => dropped += count,
                _ => return,
            }
        }
    }

    /// Says goodbye under TLS, so that the peer can tell an end from a cut; TCP needs no word.
    pub(crate) async fn close(&mut self) {
        if self.stream.is_tls() {
            // The peer may be gone, and then nobody misses it.
            let _ = timeout(LINGER, self.stream.shutdown()).await;
        }
    }

    async fn flush(&mut self) -> Result<(), PduError> {
        let written = async {
            self.stream.write_all(&self.out).await?;
            self.stream.flush().await
        };
        timeout(self.wait, written).await.map_err(|_| PduError::Slow)??;
        Ok(())
    }

    /// Type and length of the next PDU; `None` when the peer has closed the connection before it.
    async fn header(&mut self) -> Result<Option<(u8, u32)>, PduError> {
        if self.buffer.is_empty() && !self.read().await? {
            return Ok(None);
        }
        self.fill_to(1).await?;
        let known = (A_ASSOCIATE_RQ..=A_ABORT).contains(&self.buffer[0]);
        if !known {
            return Err(PduError::Unrecognized(self.buffer[0]));
        }
        self.fill_to(HEADER).await?;
        let kind = self.buffer.get_u8();
        self.buffer.advance(1);
        Ok(Some((kind, self.buffer.get_u32())))
    }

    /// Reads until at least `count` bytes wait in the buffer.
    async fn fill_to(&mut self, count: usize) -> Result<(), PduError> {
        while self.buffer.len() < count {
            if !self.read().await? {
                return Err(PduError::Truncated);
            }
        }
        Ok(())
    }

    /// Reads once; `false` when the peer has closed its side.
    async fn read(&mut self) -> Result<bool, PduError> {
        timeout(self.wait, self.read_at_leisure()).await.map_err(|_| PduError::Slow)?
    }

    /// Reads once, however long it takes.
    ///
    /// The buffer is taken anew only where slices of it are still alive;
    /// otherwise its own memory is used again. Cancelling it loses nothing.
    async fn read_at_leisure(&mut self) -> Result<bool, PduError> {
        let least = self.read_bytes / 4;
        if self.buffer.capacity() - self.buffer.len() < least {
            self.buffer.reserve(self.read_bytes.saturating_sub(self.buffer.len()).max(least));
        }
        let count = self.stream.read_buf(&mut self.buffer).await?;
        acknowledge_at_once(self.stream.tcp());
        Ok(count > 0)
    }
}

/// Has the kernel acknowledge now what was read, instead of up to 40 ms later.
///
/// A sender that leaves Nagle's algorithm on (dcmtk's default) holds the end of
/// its message back until then: 94 instances a second without this, 1,500 with it.
/// The kernel forgets it, so it is said after each read; where it cannot be said, all still works.
fn acknowledge_at_once(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    stream.set_quickack(true).ok();
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}

/// Reads the body of an A-ASSOCIATE-RQ with dicom-ul, without the items that no standard knows yet.
///
/// PS3.8, section 9.3.1, wants unrecognized items ignored; dicom-ul refuses them.
fn parse_associate_rq(body: &[u8]) -> Result<(AssociationRQ, [u8; 32]), PduError> {
    /// Protocol version, reserved, two titles, reserved.
    const FIXED: usize = 68;
    let (fixed, mut items) = body.split_at_checked(FIXED).ok_or(PduError::Malformed)?;
    let mut known = Vec::with_capacity(HEADER + body.len());
    known.extend_from_slice(&[A_ASSOCIATE_RQ, 0, 0, 0, 0, 0]);
    known.extend_from_slice(fixed);
    while !items.is_empty() {
        let head = items.get(..4).ok_or(PduError::Malformed)?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]])) + 4;
        let (item, rest) = items.split_at_checked(length).ok_or(PduError::Malformed)?;
        if matches!(item[0], 0x10 | 0x20 | 0x50) {
            known.extend_from_slice(item);
        }
        items = rest;
    }
    let length = (known.len() - HEADER) as u32;
    known[2..HEADER].copy_from_slice(&length.to_be_bytes());
    let mut titles = [0; 32];
    titles.copy_from_slice(&fixed[4..36]);
    match pdu::read_pdu(&known[..], ASSOCIATE_BYTES, true) {
        Ok(Some(Pdu::AssociationRQ(request))) => Ok((request, titles)),
        Ok(_) => Err(PduError::Malformed),
        Err(error) => Err(PduError::Associate(Box::new(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> AssociationRQ {
        AssociationRQ {
            protocol_version: 1,
            calling_ae_title: "CT1".into(),
            called_ae_title: "MEDILINK".into(),
            application_context_name: "1.2.840.10008.3.1.1.1".into(),
            presentation_contexts: vec![],
            user_variables: vec![pdu::UserVariableItem::MaxLength(16384)],
        }
    }

    fn body() -> Vec<u8> {
        let mut bytes = Vec::new();
        pdu::write_pdu(&mut bytes, &request().into()).unwrap();
        bytes.split_off(HEADER)
    }

    /// PS3.8, section 9.3.1: "Items of unrecognized types shall be ignored and skipped."
    #[test]
    fn an_item_that_no_standard_knows_is_skipped() {
        let mut bytes = body();
        bytes.extend_from_slice(&[0x77, 0, 0, 3, 1, 2, 3]);
        let (read, titles) = parse_associate_rq(&bytes).unwrap();
        assert_eq!(read, request());
        assert_eq!(&titles, b"MEDILINK        CT1             ");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_an_error(at in 0usize..120, byte: u8, cut in 0usize..200) {
            let mut bytes = body();
            let place = at % bytes.len();
            bytes[place] = byte;
            bytes.truncate(cut);
            if let Ok((read, _)) = parse_associate_rq(&bytes) {
                prop_assert!(read.presentation_contexts.len() < 128);
            }
        }
    }
}
