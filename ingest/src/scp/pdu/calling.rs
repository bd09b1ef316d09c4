//! What the side that calls reads and writes, and what either side needs to send data sets.

use dicom_ul::pdu::{AssociationAC, AssociationRJ};
use futures::FutureExt;

use super::*;
use crate::scp::dimse::{C_CANCEL_RQ, Command};

const A_ASSOCIATE_AC: u8 = 0x02;
const A_ASSOCIATE_RJ: u8 = 0x03;
const A_RELEASE_RP: u8 = 0x06;
/// P-DATA-TF that a peer may still have under way when we release; more is no peer that means it.
const LATE_PDUS: usize = 1_000;
/// The longest P-DATA-TF that a C-CANCEL alone makes.
const CANCEL_BYTES: u32 = 1_024;

/// What comes of an A-ASSOCIATE-RQ.
#[derive(Debug)]
pub(crate) enum Called {
    Accepted(AssociationAC),
    Rejected(AssociationRJ),
}

impl PduStream {
    /// The answer to our A-ASSOCIATE-RQ.
    pub(crate) async fn associate_answer(&mut self) -> Result<Called, PduError> {
        let (kind, length) = self.header().await?.ok_or(PduError::Truncated)?;
        match kind {
            A_ASSOCIATE_AC | A_ASSOCIATE_RJ => {}
            A_ABORT => return Err(PduError::Aborted),
            _ => return Err(PduError::Unexpected(kind)),
        }
        if length > ASSOCIATE_BYTES {
            return Err(PduError::TooLong(length));
        }
        self.fill_to(length as usize).await?;
        let mut whole = vec![kind, 0];
        whole.extend_from_slice(&length.to_be_bytes());
        whole.extend_from_slice(&self.buffer.split_to(length as usize));
        self.read_bytes = READ_BYTES;
        match pdu::read_pdu(&whole[..], ASSOCIATE_BYTES, false) {
            Ok(Some(Pdu::AssociationAC(accepted))) => Ok(Called::Accepted(accepted)),
            Ok(Some(Pdu::AssociationRJ(rejected))) => Ok(Called::Rejected(rejected)),
            Ok(_) => Err(PduError::Malformed),
            Err(error) => Err(PduError::Associate(Box::new(error))),
        }
    }

    /// Ends the association in good order (PS3.8, section 7.2).
    pub(crate) async fn release(&mut self) -> Result<(), PduError> {
        self.send(&Pdu::ReleaseRQ).await?;
        while self.piece().await?.is_some() {}
        for _ in 0..LATE_PDUS {
            self.skip(self.pdu_left).await?;
            self.pdu_left = 0;
            let Some((kind, length)) = self.header().await? else { return Ok(()) };
            match kind {
                A_RELEASE_RP => return Ok(()),
                // both sides release at once (PS3.8, section 7.2.2.7): each answers the other
                A_RELEASE_RQ if length <= SMALL_PDU_BYTES => {
                    self.skip(length as usize).await?;
                    self.send(&Pdu::ReleaseRP).await?;
                }
                P_DATA_TF if length <= self.max_pdu_bytes.saturating_add(MAX_PDU_SLACK) => {
                    self.pdu_left = length as usize;
                }
                A_ABORT => return Err(PduError::Aborted),
                _ => return Err(PduError::Unexpected(kind)),
            }
        }
        Err(PduError::Message("the peer goes on after a release"))
    }

    /// Sends what was made ready; the room for it stays with `bytes`, which are empty afterwards.
    pub(crate) async fn send_prepared(&mut self, bytes: &mut Vec<u8>) -> Result<(), PduError> {
        std::mem::swap(&mut self.out, bytes);
        let sent = self.flush().await;
        std::mem::swap(&mut self.out, bytes);
        bytes.clear();
        sent
    }

    /// Takes a C-CANCEL that has come, without waiting: the Message ID that it ends. Anything else stays where it is.
    ///
    /// To be asked between two messages.
    ///
    /// # Errors
    ///
    /// [`PduError::Truncated`], [`PduError::Aborted`]: nobody is there any more.
    pub(crate) async fn take_cancel(&mut self) -> Result<Option<u16>, PduError> {
        if self.pdu_left > 0 || self.fragment_left > 0 {
            return Ok(None);
        }
        let is_whole =
            |buffer: &[u8]| pdu_length(buffer).is_some_and(|length| buffer.len() >= HEADER + length);
        if !is_whole(&self.buffer) {
            match self.read_at_leisure().now_or_never() {
                Some(Ok(true)) | None => {}
                Some(Ok(false)) => return Err(PduError::Truncated),
                Some(Err(error)) => return Err(error),
            }
        }
        if self.buffer.first() == Some(&A_ABORT) {
            return Err(PduError::Aborted);
        }
        let Some(length) = pdu_length(&self.buffer).filter(|_| is_whole(&self.buffer)) else {
            return Ok(None);
        };
        let Some(ends) = cancelled_by(&self.buffer[HEADER..HEADER + length]) else { return Ok(None) };
        self.buffer.advance(HEADER + length);
        Ok(Some(ends))
    }

    async fn skip(&mut self, length: usize) -> Result<(), PduError> {
        let mut left = length;
        while left > 0 {
            self.fill_to(left.min(PIECE_BYTES)).await?;
            let here = left.min(self.buffer.len());
            self.buffer.advance(here);
            left -= here;
        }
        Ok(())
    }
}

/// The length of the P-DATA-TF at the start of `buffer`, where it is short enough to be a C-CANCEL.
fn pdu_length(buffer: &[u8]) -> Option<usize> {
    let &[kind, _, a, b, c, d] = buffer.first_chunk::<HEADER>()?;
    let length = u32::from_be_bytes([a, b, c, d]);
    (kind == P_DATA_TF && length <= CANCEL_BYTES).then_some(length as usize)
}

/// The Message ID that a P-DATA-TF ends, whose one fragment is a whole C-CANCEL.
fn cancelled_by(body: &[u8]) -> Option<u16> {
    let (&[a, b, c, d, _, control], command) = body.split_first_chunk::<HEADER>()?;
    let is_alone = u32::from_be_bytes([a, b, c, d]) as usize == command.len() + 2;
    if !is_alone || control & 0b11 != 0b11 {
        return None;
    }
    let command = Command::parse(&Bytes::copy_from_slice(command)).ok()?;
    command.cancels.filter(|_| command.field == C_CANCEL_RQ)
}
