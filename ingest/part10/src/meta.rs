//! The File Meta Information, group 2: read, and written for a data set that came without.

use std::io::{Cursor, Read, Seek};

use clinical::uid::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::FileMetaTable;

use crate::element::{Element, LONGEST, UNDEFINED, implied_vr};
use crate::syntax::Encoding;
use crate::window::Window;
use crate::{Limits, Part10Error};

/// The Implementation Class UID (0002,0012) of Medilink, made from a random UUID (PS3.5, section B.2).
pub const IMPLEMENTATION_CLASS_UID: &str = "2.25.93650423826867914498221033933693939909";

/// The Implementation Version Name (0002,0013) of Medilink.
pub const IMPLEMENTATION_VERSION_NAME: &str = concat!("MEDILINK_", env!("CARGO_PKG_VERSION"));

/// No first element of a data set is longer.
const FIRST_BYTES: u32 = 1_024;

/// Bytes of the preamble before `DICM`.
const PREAMBLE: usize = 128;

/// Reads preamble and group 2; gives them with the place where the data set starts.
///
/// (0002,0000) is not believed and may be missing: the group ends where another begins, as dcmtk reads it. A data set
/// without preamble and group 2, or without its Transfer Syntax UID, is read as what its first header shows, as
/// pydicom and dcmtk can be told to.
pub(crate) fn read<R: Read + Seek>(
    window: &mut Window<'_, R>,
    limits: &Limits,
) -> Result<(FileMetaTable, TransferSyntaxUid, u64), Part10Error> {
    if window.length() == 0 {
        return Err(Part10Error::Empty);
    }
    let is_dicom =
        window.peek(0, PREAMBLE + 4)?.is_some_and(|bytes| &bytes[PREAMBLE..PREAMBLE + 4] == b"DICM");
    if !is_dicom && !window.peek(0, 8)?.is_some_and(begins_data_set) {
        return Err(Part10Error::NotDicom);
    }
    let start = if is_dicom { PREAMBLE as u64 + 4 } else { 0 };
    let mut table = empty_table();
    let mut at = start;
    loop {
        let left = (window.length() - at).min(LONGEST as u64) as usize;
        let bytes = window.peek(at, left)?.ok_or(Part10Error::Truncated { at })?;
        if left == 0 || bytes[..left.min(2)] != [2, 0] {
            break;
        }
        let element =
            Element::read(&bytes[..left], Encoding::ExplicitLe).map_err(|_| Part10Error::Truncated { at })?;
        if element.length == UNDEFINED {
            return Err(Part10Error::Malformed { at, what: "a length in group 2 is undefined" });
        }
        let value_at = at + element.header_bytes;
        let end = value_at + u64::from(element.length);
        if end > window.length() {
            return Err(Part10Error::Truncated { at });
        }
        if end - start > limits.group2_bytes {
            return Err(Part10Error::TooLarge { what: "bytes of group 2" });
        }
        put(&mut table, &element, window.copy(value_at, u64::from(element.length))?);
        at = end;
    }
    if table.transfer_syntax.is_empty() {
        let first = window.peek(at, 8)?.ok_or(Part10Error::Truncated { at })?;
        table.transfer_syntax = Encoding::guessed(first).transfer_syntax().into();
    }
    table.update_information_group_length();
    match table.transfer_syntax.parse() {
        Ok(transfer_syntax) => Ok((table, transfer_syntax, at)),
        Err(_) => Err(Part10Error::Malformed { at, what: "group 2 has no valid Transfer Syntax UID" }),
    }
}

/// Where the data set of a file starts, in bytes from its beginning; `head` is the file or as much of it as holds
/// group 2 and more.
///
/// `None` where that is no beginning of a file that can be read, or ends within group 2.
///
/// Source: DICOM PS3.10, section 7.1; what is not believed of it, and what may be missing, as everywhere here.
pub fn data_set_start(head: &[u8]) -> Option<u64> {
    let mut head = Cursor::new(head);
    let mut window = Window::open(&mut head).ok()?;
    read(&mut window, &Limits::default()).ok().map(|(_, _, start)| start)
}

/// Whether bytes without preamble look like the first element of group 2 or 8, with a VR or with a known tag.
fn begins_data_set(first: &[u8]) -> bool {
    let encoding = Encoding::guessed(first);
    let known = |bytes: &[u8]| {
        let element = Element::read(bytes, encoding).ok()?;
        let is_first = matches!(element.tag.group(), 2 | 8);
        Some(is_first && implied_vr(element.tag) != VR::UN && element.length < FIRST_BYTES)
    };
    known(first).unwrap_or(false)
}

fn empty_table() -> FileMetaTable {
    FileMetaTable {
        information_group_length: 0,
        information_version: [0, 1],
        media_storage_sop_class_uid: String::new(),
        media_storage_sop_instance_uid: String::new(),
        transfer_syntax: String::new(),
        implementation_class_uid: String::new(),
        implementation_version_name: None,
        source_application_entity_title: None,
        sending_application_entity_title: None,
        receiving_application_entity_title: None,
        private_information_creator_uid: None,
        private_information: None,
    }
}

/// Takes over one element of group 2; others than these stay in the file alone.
fn put(table: &mut FileMetaTable, element: &Element, value: Vec<u8>) {
    let text = || String::from_utf8_lossy(&value).trim_matches(['\0', ' ']).to_owned();
    match element.tag {
        tags::FILE_META_INFORMATION_VERSION => {
            if let Some(version) = value.first_chunk() {
                table.information_version = *version;
            }
        }
        tags::MEDIA_STORAGE_SOP_CLASS_UID => table.media_storage_sop_class_uid = text(),
        tags::MEDIA_STORAGE_SOP_INSTANCE_UID => table.media_storage_sop_instance_uid = text(),
        tags::TRANSFER_SYNTAX_UID => table.transfer_syntax = text(),
        tags::IMPLEMENTATION_CLASS_UID => table.implementation_class_uid = text(),
        tags::IMPLEMENTATION_VERSION_NAME => table.implementation_version_name = Some(text()),
        tags::SOURCE_APPLICATION_ENTITY_TITLE => table.source_application_entity_title = Some(text()),
        tags::SENDING_APPLICATION_ENTITY_TITLE => table.sending_application_entity_title = Some(text()),
        tags::RECEIVING_APPLICATION_ENTITY_TITLE => table.receiving_application_entity_title = Some(text()),
        tags::PRIVATE_INFORMATION_CREATOR_UID => table.private_information_creator_uid = Some(text()),
        tags::PRIVATE_INFORMATION => table.private_information = Some(value),
        _ => {}
    }
}

/// Preamble, `DICM` and group 2: what a C-STORE SCP puts before the data set bytes that it received.
///
/// `source_ae` is the calling AE title, (0002,0016); more than 16 bytes of it are cut.
///
/// Source: DICOM PS3.10, section 7.1.
pub fn file_with_meta(
    sop_class: &SopClassUid,
    sop_instance: &SopInstanceUid,
    transfer_syntax: &TransferSyntaxUid,
    source_ae: Option<&str>,
) -> Vec<u8> {
    let mut group = Vec::with_capacity(512);
    group.extend_from_slice(&[2, 0, 1, 0, b'O', b'B', 0, 0, 2, 0, 0, 0, 0, 1]);
    put_text(&mut group, 0x0002, VR::UI, sop_class.as_str());
    put_text(&mut group, 0x0003, VR::UI, sop_instance.as_str());
    put_text(&mut group, 0x0010, VR::UI, transfer_syntax.as_str());
    put_text(&mut group, 0x0012, VR::UI, IMPLEMENTATION_CLASS_UID);
    put_text(&mut group, 0x0013, VR::SH, IMPLEMENTATION_VERSION_NAME);
    if let Some(title) = source_ae {
        let is_plain = |it: &char| it.is_ascii_graphic() || *it == ' ';
        let ascii: String = title.trim().chars().filter(is_plain).take(16).collect();
        put_text(&mut group, 0x0016, VR::AE, &ascii);
    }
    let mut file = Vec::with_capacity(PREAMBLE + 4 + 12 + group.len());
    file.resize(PREAMBLE, 0);
    file.extend_from_slice(b"DICM");
    file.extend_from_slice(&[2, 0, 0, 0, b'U', b'L', 4, 0]);
    file.extend_from_slice(&(group.len() as u32).to_le_bytes());
    file.append(&mut group);
    file
}

/// One element of group 2, padded to even length: UIDs with NUL, others with a space (PS3.5, section 6.2).
fn put_text(group: &mut Vec<u8>, element: u8, vr: VR, text: &str) {
    let length = text.len().next_multiple_of(2) as u16;
    group.extend_from_slice(&[2, 0, element, 0]);
    group.extend_from_slice(&vr.to_bytes());
    group.extend_from_slice(&length.to_le_bytes());
    group.extend_from_slice(text.as_bytes());
    if !text.len().is_multiple_of(2) {
        group.push(if vr == VR::UI { 0 } else { b' ' });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA_SET: [u8; 8] = [8, 0, 0x16, 0, b'U', b'I', 0, 0];

    fn head() -> Vec<u8> {
        let (class, syntax) = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.2.1");
        let uid = "1.2.3".parse().unwrap();
        file_with_meta(&class.parse().unwrap(), &uid, &syntax.parse().unwrap(), Some("CT1"))
    }

    #[test]
    fn a_data_set_begins_behind_group_2_with_or_without_its_length() {
        let head = head();
        let whole = [&head[..], &DATA_SET].concat();
        let length = head.len() as u64;
        assert_eq!(data_set_start(&whole), Some(length));
        let without_length = [&head[..PREAMBLE + 4], &head[PREAMBLE + 16..], &DATA_SET].concat();
        assert_eq!(data_set_start(&without_length), Some(length - 12));
        let mut with_another = whole.clone();
        with_another[PREAMBLE + 12] += 2;
        assert_eq!(data_set_start(&with_another), Some(length), "the length is not believed");
        assert_eq!(data_set_start(&head), Some(length), "an object without elements");
    }

    #[test]
    fn a_file_may_lack_its_preamble_and_group_2() {
        let head = head();
        let whole = [&head[PREAMBLE + 4..], &DATA_SET].concat();
        assert_eq!(data_set_start(&whole), Some((head.len() - PREAMBLE - 4) as u64));
        assert_eq!(data_set_start(&DATA_SET), Some(0));
    }

    #[test]
    fn what_is_cut_or_no_file_has_no_data_set() {
        let head = head();
        for length in [0, 100, PREAMBLE + 7, head.len() - 1] {
            assert_eq!(data_set_start(&head[..length]), None, "{length}");
        }
        assert_eq!(data_set_start(&[0; 200]), None);
    }
}
