//! Files byte by byte, in Explicit VR Little Endian where nothing else is said.

use bytes::Bytes;
use deidentify::{Deidentified, Profile, Project, deidentify};
use dicom_core::VR;
use dicom_core::header::Tag;
use dicom_object::InMemDicomObject;
use part10::{Limits, Part10, implied_vr};

pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
/// What must not be found afterwards.
pub const SECRET: &str = "SENTINEL";

/// One element; a sequence takes the bytes of its items.
pub fn element(tag: Tag, vr: VR, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&tag.group().to_le_bytes());
    bytes.extend_from_slice(&tag.element().to_le_bytes());
    bytes.extend_from_slice(&vr.to_bytes());
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if matches!(vr, VR::UI | VR::OB | VR::UN) { 0 } else { b' ' });
    }
    let is_long = matches!(
        vr,
        VR::OB
            | VR::OW
            | VR::OD
            | VR::OF
            | VR::OL
            | VR::OV
            | VR::SQ
            | VR::UN
            | VR::UC
            | VR::UR
            | VR::UT
            | VR::SV
            | VR::UV
    );
    if is_long {
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    } else {
        bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
    }
    bytes.extend(value);
    bytes
}

/// An item of defined length.
pub fn item(data_set: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xFE, 0xFF, 0x00, 0xE0];
    bytes.extend_from_slice(&(data_set.len() as u32).to_le_bytes());
    bytes.extend_from_slice(data_set);
    bytes
}

/// A value that a test finds again, of any VR.
pub fn telling(vr: VR) -> Vec<u8> {
    match vr {
        VR::UI => b"1.2.3.4.99999".to_vec(),
        VR::DA => b"20200202".to_vec(),
        VR::DT => b"20200202020202".to_vec(),
        VR::TM => b"020202".to_vec(),
        VR::AS => b"042Y".to_vec(),
        VR::DS | VR::IS => b"4242".to_vec(),
        VR::US | VR::SS => vec![0x42; 2],
        VR::FL | VR::UL | VR::SL | VR::AT | VR::OF | VR::OL => vec![0x42; 4],
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => vec![0x42; 8],
        VR::SQ => item(&element(Tag(0x0008, 0x0104), VR::LO, SECRET.as_bytes())),
        _ => SECRET.as_bytes().to_vec(),
    }
}

/// An element of the dictionary with a telling value; of what the dictionary does not know, a text.
pub fn told(tag: Tag) -> Vec<u8> {
    let vr = match implied_vr(tag) {
        VR::UN => VR::LO,
        vr => vr,
    };
    element(tag, vr, &telling(vr))
}

/// The elements that every object has, with `more`, in order of their tags.
pub fn object(more: Vec<(Tag, Vec<u8>)>) -> Vec<u8> {
    let text = |group, number, vr, value: &str| {
        let tag = Tag(group, number);
        (tag, element(tag, vr, value.as_bytes()))
    };
    let mut all = vec![
        text(0x0008, 0x0005, VR::CS, "ISO_IR 192"),
        text(0x0008, 0x0016, VR::UI, "1.2.840.10008.5.1.4.1.1.2"),
        text(0x0008, 0x0018, VR::UI, "1.2.3.4.1"),
        text(0x0008, 0x0060, VR::CS, "CT"),
        text(0x0010, 0x0010, VR::PN, "Müller^Jörg"),
        text(0x0010, 0x0020, VR::LO, "MRN-4711"),
        text(0x0020, 0x000D, VR::UI, "1.2.3.4.2"),
        text(0x0020, 0x000E, VR::UI, "1.2.3.4.3"),
        text(0x0028, 0x0010, VR::US, "\x04\0"),
    ];
    for (tag, bytes) in more {
        all.retain(|(known, _)| *known != tag);
        all.push((tag, bytes));
    }
    all.sort_by_key(|(tag, _)| *tag);
    all.into_iter().flat_map(|(_, bytes)| bytes).collect()
}

/// A file of this data set; its preamble and File Meta Information tell who has sent it.
pub fn file(transfer_syntax: &str, data_set: &[u8]) -> Bytes {
    let (class, instance) = ("1.2.840.10008.5.1.4.1.1.2".parse().unwrap(), "1.2.3.4.1".parse().unwrap());
    let syntax = transfer_syntax.parse().unwrap();
    let mut bytes = part10::file_with_meta(&class, &instance, &syntax, Some(SECRET));
    bytes[..SECRET.len()].copy_from_slice(SECRET.as_bytes());
    bytes.extend_from_slice(data_set);
    bytes.into()
}

pub fn project() -> Project {
    Project::from_key(&[7; 32]).unwrap()
}

pub fn profile(words: &[&str]) -> Profile {
    let mut profile = Profile::default();
    words.iter().for_each(|word| profile.choose(word).unwrap());
    profile
}

pub fn cleaned(bytes: Bytes, words: &[&str]) -> Deidentified {
    deidentify(bytes, &profile(words), &project()).unwrap()
}

/// The header of what a file becomes.
pub fn header(bytes: Bytes, words: &[&str]) -> InMemDicomObject {
    let fresh = cleaned(bytes, words).into_bytes();
    Part10::read(fresh, &Limits::default()).unwrap().header().clone()
}

pub fn has(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
