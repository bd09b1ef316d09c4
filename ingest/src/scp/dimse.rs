//! Command sets: the small data set in front of every message.
//!
//! Written in Implicit VR Little Endian whatever was negotiated
//! (PS3.7, section 6.3.1), so this reader of one group is all it takes.

use bytes::Bytes;

/// The longest command set that is read; a C-STORE request has some 200 bytes.
pub(crate) const COMMAND_BYTES: usize = 64 * 1024;

/// Command Field (0000,0100), PS3.7, table E.1-1.
pub(crate) const C_STORE_RQ: u16 = 0x0001;
pub(crate) const C_ECHO_RQ: u16 = 0x0030;
pub(crate) const C_CANCEL_RQ: u16 = 0x0FFF;
/// A response repeats its request's field with this bit set.
pub(crate) const RESPONSE: u16 = 0x8000;

/// Command Data Set Type (0000,0800): this value, and no other, means that no data set follows.
const NO_DATA_SET: u16 = 0x0101;

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

/// What a request's command set says, as far as a storage SCP needs it.
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
}

impl Command {
    /// Reads a whole command set.
    pub(crate) fn parse(bytes: &Bytes) -> Result<Self, CommandError> {
        let (mut field, mut message_id, mut data_set_type) = (None, None, None);
        let (mut sop_class, mut sop_instance) = (None, None);
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
            let number = || (length == 2).then(|| u16_at(&bytes[at..end], 0));
            let uid = || Some(bytes.slice(at..end - padding(&bytes[at..end])));
            match element {
                0x0002 => sop_class = uid(),
                0x0003 => sop_class = sop_class.or_else(uid),
                0x0100 => field = number(),
                0x0110 => message_id = number(),
                0x0800 => data_set_type = number(),
                0x1000 => sop_instance = uid(),
                0x1001 => sop_instance = sop_instance.or_else(uid),
                _ => {}
            }
            at = end;
        }
        let field = field.ok_or(CommandError::Incomplete)?;
        // C-CANCEL has no Message ID of its own (PS3.7, section 9.3.2.3).
        let message_id = message_id.or((field == C_CANCEL_RQ).then_some(0));
        Ok(Self {
            field,
            message_id: message_id.ok_or(CommandError::Incomplete)?,
            has_data_set: data_set_type.ok_or(CommandError::Incomplete)? != NO_DATA_SET,
            sop_class,
            sop_instance,
        })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// How many NUL and space bytes pad a value.
fn padding(value: &[u8]) -> usize {
    value.iter().rev().take_while(|&&byte| byte == 0 || byte == b' ').count()
}

/// The command set that answers `command`, ready to send; nothing but the status and its comment is new.
pub(crate) fn response(command: &Command, status: u16, comment: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    if let Some(uid) = &command.sop_class {
        put_text(&mut body, 0x0002, uid, 0);
    }
    put_number(&mut body, 0x0100, command.field | RESPONSE);
    put_number(&mut body, 0x0120, command.message_id);
    put_number(&mut body, 0x0800, NO_DATA_SET);
    put_number(&mut body, 0x0900, status);
    if !comment.is_empty() {
        put_text(&mut body, 0x0902, comment.as_bytes(), b' ');
    }
    if let Some(uid) = &command.sop_instance {
        put_text(&mut body, 0x1000, uid, 0);
    }
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
    put_number(&mut out, 0x0800, if has_data_set { 0 } else { NO_DATA_SET });
    if let Some((_, instance)) = uids {
        put_text(&mut out, 0x1000, instance.as_bytes(), 0);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{PrimitiveValue, Tag};
    use dicom_object::InMemDicomObject;
    use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;
    use proptest::prelude::*;

    /// The foreign reader is dicom-object's.
    #[test]
    fn a_response_reads_back_with_another_library() {
        let bytes = request(C_STORE_RQ, 7, true, Some(("1.2.840.10008.5.1.4.1.1.2", "1.2.3")));
        let command = Command::parse(&bytes.into()).unwrap();
        let answer = response(&command, 0xA700, "disk full");

        let implicit = IMPLICIT_VR_LITTLE_ENDIAN.erased();
        let object = InMemDicomObject::read_dataset_with_ts(&answer[..], &implicit).unwrap();
        let number = |element| object.element(Tag(0, element)).unwrap().to_int::<u32>().unwrap();
        let text = |element| object.element(Tag(0, element)).unwrap().to_str().unwrap().into_owned();
        assert_eq!(number(0x0000) as usize, answer.len() - 12, "the group length counts what follows it");
        assert_eq!(
            (number(0x0100), number(0x0120), number(0x0800), number(0x0900)),
            (0x8001, 7, 0x0101, 0xA700)
        );
        assert_eq!(text(0x0002), "1.2.840.10008.5.1.4.1.1.2");
        assert_eq!((text(0x0902).as_str(), text(0x1000).as_str()), ("disk full", "1.2.3"));
    }

    #[test]
    fn a_command_set_of_another_library_is_understood() {
        let mut object = InMemDicomObject::new_empty();
        let mut put = |element, value: PrimitiveValue, vr| {
            object.put(dicom_core::DataElement::new(Tag(0, element), vr, value));
        };
        put(0x0002, "1.2.840.10008.1.1".into(), dicom_core::VR::UI);
        put(0x0100, PrimitiveValue::from(0x0030_u16), dicom_core::VR::US);
        put(0x0110, PrimitiveValue::from(9_u16), dicom_core::VR::US);
        put(0x0800, PrimitiveValue::from(0x0101_u16), dicom_core::VR::US);
        let mut bytes = Vec::new();
        object.write_dataset_with_ts(&mut bytes, &IMPLICIT_VR_LITTLE_ENDIAN.erased()).unwrap();

        let command = Command::parse(&bytes.into()).unwrap();
        assert_eq!((command.field, command.message_id, command.has_data_set), (C_ECHO_RQ, 9, false));
        assert_eq!(command.sop_class.as_deref(), Some(&b"1.2.840.10008.1.1"[..]));
    }

    #[test]
    fn an_element_that_runs_past_the_end_is_an_error() {
        let mut bytes = request(C_ECHO_RQ, 1, false, None);
        bytes.truncate(bytes.len() - 1);
        assert_eq!(Command::parse(&bytes.into()), Err(CommandError::Truncated));
        let endless = Bytes::from_static(&[0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF]);
        assert_eq!(Command::parse(&endless), Err(CommandError::Truncated));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_command_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(command) = Command::parse(&bytes.into()) {
                let answer = response(&command, 0, "");
                prop_assert!(Command::parse(&answer.into()).is_err(), "a response has no Message ID");
            }
        }
    }
}
