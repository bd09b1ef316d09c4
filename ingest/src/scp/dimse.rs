//! Command sets: the small data set in front of every message.
//!
//! Written in Implicit VR Little Endian whatever was negotiated
//! (PS3.7, section 6.3.1), so this reader of one group is all it takes.

use bytes::Bytes;
use clinical::ae_title::AeTitle;
use clinical::uid::{SopClassUid, SopInstanceUid};

/// The longest command set that is read; a C-STORE request has some 200 bytes.
pub(crate) const COMMAND_BYTES: usize = 64 * 1024;

/// Command Field (0000,0100), PS3.7, table E.1-1.
pub(crate) const C_STORE_RQ: u16 = 0x0001;
pub(crate) const C_GET_RQ: u16 = 0x0010;
pub(crate) const C_FIND_RQ: u16 = 0x0020;
pub(crate) const C_MOVE_RQ: u16 = 0x0021;
pub(crate) const C_ECHO_RQ: u16 = 0x0030;
pub(crate) const N_EVENT_REPORT_RQ: u16 = 0x0100;
pub(crate) const N_ACTION_RQ: u16 = 0x0130;
pub(crate) const C_CANCEL_RQ: u16 = 0x0FFF;
/// A response repeats its request's field with this bit set.
pub(crate) const RESPONSE: u16 = 0x8000;

/// Command Data Set Type (0000,0800): this value, and no other, means that no data set follows.
const NO_DATA_SET: u16 = 0x0101;
/// Any other value means that one follows.
const HAS_DATA_SET: u16 = 0x0000;

/// The SOP class of C-ECHO (PS3.4, section A.4).
const VERIFICATION: &str = "1.2.840.10008.1.1";

/// The longest UID (PS3.5, section 9.1), padded to even length.
const UID_BYTES: usize = 64;

/// Why a command set cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CommandError {
    #[error("a command element runs past the end of the command set")]
    Truncated,
    #[error("an element outside group 0000 stands in the command set")]
    ForeignGroup,
    #[error("the command set lacks an element that every request has")]
    Incomplete,
}

/// What a request's command set says, as far as the services here need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// Command Field (0000,0100).
    pub(crate) field: u16,
    /// Message ID (0000,0110).
    pub(crate) message_id: u16,
    /// Whether a data set follows.
    pub(crate) has_data_set: bool,
    /// Affected, or else Requested, SOP Class UID (0000,0002), (0000,0003): unchecked, without padding.
    pub(crate) sop_class: Option<Bytes>,
    /// Affected, or else Requested, SOP Instance UID (0000,1000), (0000,1001): unchecked, without padding.
    pub(crate) sop_instance: Option<Bytes>,
    /// Event Type ID (0000,1002) or Action Type ID (0000,1008).
    pub(crate) type_id: Option<u16>,
    /// Move Destination (0000,0600): unchecked, without padding.
    pub(crate) move_destination: Option<Bytes>,
    /// Message ID Being Responded To (0000,0120), by which a C-CANCEL names what it ends.
    pub(crate) cancels: Option<u16>,
}

impl Command {
    /// Reads a whole command set.
    pub(crate) fn parse(bytes: &Bytes) -> Result<Self, CommandError> {
        let (mut field, mut message_id, mut data_set_type, mut cancels) = (None, None, None, None);
        let (mut sop_class, mut sop_instance, mut move_destination, mut type_id) = (None, None, None, None);
        for_each_element(bytes, |element, value| {
            let text = || Some(value.slice(..value.len() - padding(value)));
            match element {
                0x0002 => sop_class = text(),
                0x0003 => sop_class = sop_class.take().or_else(text),
                0x0100 => field = number(value),
                0x0110 => message_id = number(value),
                0x0120 => cancels = number(value),
                0x0600 => move_destination = text(),
                0x0800 => data_set_type = number(value),
                0x1000 => sop_instance = text(),
                0x1001 => sop_instance = sop_instance.take().or_else(text),
                0x1002 | 0x1008 => type_id = number(value),
                _ => {}
            }
        })?;
        let field = field.ok_or(CommandError::Incomplete)?;
        // C-CANCEL has no Message ID of its own (PS3.7, section 9.3.2.3).
        let message_id = message_id.or((field == C_CANCEL_RQ).then_some(0));
        Ok(Self {
            field,
            message_id: message_id.ok_or(CommandError::Incomplete)?,
            has_data_set: data_set_type.ok_or(CommandError::Incomplete)? != NO_DATA_SET,
            sop_class,
            sop_instance,
            type_id,
            move_destination,
            cancels,
        })
    }
}

/// What the response to a request of ours says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Response {
    /// Command Field (0000,0100), without the bit that makes it a response.
    pub(crate) field: u16,
    /// Message ID Being Responded To (0000,0120).
    pub(crate) message_id: u16,
    /// Status (0000,0900).
    pub(crate) status: u16,
    /// Whether a data set follows.
    pub(crate) has_data_set: bool,
}

impl Response {
    /// Reads a whole command set; `None` where it is no response.
    pub(crate) fn parse(bytes: &Bytes) -> Result<Option<Self>, CommandError> {
        let (mut field, mut message_id, mut status, mut data_set_type) = (None, None, None, None);
        for_each_element(bytes, |element, value| match element {
            0x0100 => field = number(value),
            0x0120 => message_id = number(value),
            0x0800 => data_set_type = number(value),
            0x0900 => status = number(value),
            _ => {}
        })?;
        let field = field.ok_or(CommandError::Incomplete)?;
        if field & RESPONSE == 0 || field == C_CANCEL_RQ {
            return Ok(None);
        }
        Ok(Some(Self {
            field: field & !RESPONSE,
            message_id: message_id.ok_or(CommandError::Incomplete)?,
            status: status.ok_or(CommandError::Incomplete)?,
            has_data_set: data_set_type.is_some_and(|it| it != NO_DATA_SET),
        }))
    }
}

/// Walks over the elements of a command set, each with its value.
fn for_each_element(bytes: &Bytes, mut each: impl FnMut(u16, &Bytes)) -> Result<(), CommandError> {
    let mut at = 0;
    while at < bytes.len() {
        let head = bytes.get(at..at + 8).ok_or(CommandError::Truncated)?;
        let (group, element) = (u16_at(head, 0), u16_at(head, 2));
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if group != 0 {
            return Err(CommandError::ForeignGroup);
        }
        at += 8;
        let end = at.checked_add(length).filter(|&end| end <= bytes.len());
        let end = end.ok_or(CommandError::Truncated)?;
        each(element, &bytes.slice(at..end));
        at = end;
    }
    Ok(())
}

/// The value of a US of one number.
fn number(value: &Bytes) -> Option<u16> {
    (value.len() == 2).then(|| u16_at(value, 0))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// How many NUL and space bytes pad a value.
fn padding(value: &[u8]) -> usize {
    value.iter().rev().take_while(|&&byte| byte == 0 || byte == b' ').count()
}

/// How far the sub-operations of a C-MOVE or C-GET are (PS3.7, section 9.1.3.1.5 and following).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SubOperationCounts {
    /// Number of Remaining Sub-operations (0000,1020); absent once all is over.
    pub(crate) remaining: Option<u16>,
    /// Number of Completed Sub-operations (0000,1021).
    pub(crate) completed: u16,
    /// Number of Failed Sub-operations (0000,1022).
    pub(crate) failed: u16,
    /// Number of Warning Sub-operations (0000,1023).
    pub(crate) warning: u16,
}

/// The command set that answers `command`, ready to send; nothing but the status and its comment is new.
pub(crate) fn response(command: &Command, status: u16, comment: &str) -> Vec<u8> {
    response_with(command, status, comment, false, None)
}

/// As [`response`], with a data set that follows, and with how far sub-operations are.
pub(crate) fn response_with(
    command: &Command,
    status: u16,
    comment: &str,
    has_data_set: bool,
    counts: Option<SubOperationCounts>,
) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    if let Some(uid) = &command.sop_class {
        put_text(&mut body, 0x0002, uid, 0);
    }
    put_number(&mut body, 0x0100, command.field | RESPONSE);
    put_number(&mut body, 0x0120, command.message_id);
    put_number(&mut body, 0x0800, data_set_type(has_data_set));
    put_number(&mut body, 0x0900, status);
    if !comment.is_empty() {
        put_text(&mut body, 0x0902, comment.as_bytes(), b' ');
    }
    if let Some(uid) = &command.sop_instance {
        put_text(&mut body, 0x1000, uid, 0);
    }
    if let Some(counts) = counts {
        if let Some(remaining) = counts.remaining {
            put_number(&mut body, 0x1020, remaining);
        }
        put_number(&mut body, 0x1021, counts.completed);
        put_number(&mut body, 0x1022, counts.failed);
        put_number(&mut body, 0x1023, counts.warning);
    }
    with_group_length(body)
}

/// A C-ECHO request (PS3.7, table 9.3-12).
pub(crate) fn echo_request(message_id: u16) -> Vec<u8> {
    let mut body = Vec::with_capacity(64);
    put_text(&mut body, 0x0002, VERIFICATION.as_bytes(), 0);
    put_number(&mut body, 0x0100, C_ECHO_RQ);
    put_number(&mut body, 0x0110, message_id);
    put_number(&mut body, 0x0800, NO_DATA_SET);
    with_group_length(body)
}

/// A C-STORE request of medium priority (PS3.7, table 9.3-1); `originator` is whose C-MOVE with which Message ID has
/// caused it.
pub(crate) fn store_request(
    message_id: u16,
    sop_class: &SopClassUid,
    sop_instance: &SopInstanceUid,
    originator: Option<(&AeTitle, u16)>,
) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    put_text(&mut body, 0x0002, sop_class.as_str().as_bytes(), 0);
    put_number(&mut body, 0x0100, C_STORE_RQ);
    put_number(&mut body, 0x0110, message_id);
    put_number(&mut body, 0x0700, 0);
    put_number(&mut body, 0x0800, HAS_DATA_SET);
    put_text(&mut body, 0x1000, sop_instance.as_str().as_bytes(), 0);
    if let Some((title, message_id)) = originator {
        put_text(&mut body, 0x1030, title.as_str().as_bytes(), b' ');
        put_number(&mut body, 0x1031, message_id);
    }
    with_group_length(body)
}

/// An N-EVENT-REPORT or N-ACTION request with a data set (PS3.7, tables 10.3-1 and 10.3-7).
pub(crate) fn normalized_request(
    field: u16,
    message_id: u16,
    sop_class: &str,
    sop_instance: &str,
    type_id: u16,
) -> Vec<u8> {
    let is_action = field == N_ACTION_RQ;
    let mut body = Vec::with_capacity(160);
    // Whom an action is requested of, and whom an event has affected, stand in elements of their own.
    put_text(&mut body, if is_action { 0x0003 } else { 0x0002 }, sop_class.as_bytes(), 0);
    put_number(&mut body, 0x0100, field);
    put_number(&mut body, 0x0110, message_id);
    put_number(&mut body, 0x0800, HAS_DATA_SET);
    put_text(&mut body, if is_action { 0x1001 } else { 0x1000 }, sop_instance.as_bytes(), 0);
    put_number(&mut body, if is_action { 0x1008 } else { 0x1002 }, type_id);
    with_group_length(body)
}

fn data_set_type(has_data_set: bool) -> u16 {
    if has_data_set { HAS_DATA_SET } else { NO_DATA_SET }
}

/// The elements behind (0000,0000), which says how many bytes they have.
fn with_group_length(mut body: Vec<u8>) -> Vec<u8> {
    let mut whole = Vec::with_capacity(body.len() + 12);
    whole.extend_from_slice(&[0, 0, 0, 0, 4, 0, 0, 0]);
    whole.extend_from_slice(&(body.len() as u32).to_le_bytes());
    whole.append(&mut body);
    whole
}

fn put_number(out: &mut Vec<u8>, element: u16, value: u16) {
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&element.to_le_bytes());
    out.extend_from_slice(&2u32.to_le_bytes());
    out.extend_from_slice(&value.to_le_bytes());
}

/// Puts a text padded to even length; one that is too long to be what it should be is left out.
fn put_text(out: &mut Vec<u8>, element: u16, text: &[u8], pad: u8) {
    if text.len() > UID_BYTES {
        return;
    }
    let padded = text.len() + text.len() % 2;
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&element.to_le_bytes());
    out.extend_from_slice(&(padded as u32).to_le_bytes());
    out.extend_from_slice(text);
    out.extend(std::iter::repeat_n(pad, padded - text.len()));
}

/// A C-STORE, C-ECHO or other request as a sender writes it, for the tests of this folder.
#[cfg(test)]
pub(crate) fn request(
    field: u16,
    message_id: u16,
    has_data_set: bool,
    uids: Option<(&str, &str)>,
) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some((class, _)) = uids {
        put_text(&mut out, 0x0002, class.as_bytes(), 0);
    }
    put_number(&mut out, 0x0100, field);
    put_number(&mut out, 0x0110, message_id);
    put_number(&mut out, 0x0800, data_set_type(has_data_set));
    if let Some((_, instance)) = uids {
        put_text(&mut out, 0x1000, instance.as_bytes(), 0);
    }
    out
}

#[cfg(test)]
mod tests;
