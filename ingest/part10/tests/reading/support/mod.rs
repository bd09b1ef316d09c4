//! Builders of synthetic files.

use bytes::Bytes;
use dicom_core::value::{DataSetSequence, PixelFragmentSequence, PrimitiveValue, Value};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use part10::{Limits, Part10, Part10Error, file_with_meta};

pub const IMPLICIT: &str = "1.2.840.10008.1.2";
pub const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
pub const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
pub const RLE: &str = "1.2.840.10008.1.2.5";

/// An image of 4 x 4 pixels of 16 bits with a nested sequence, without pixel data.
pub fn header() -> InMemDicomObject {
    let step = InMemDicomObject::from_element_iter([
        DataElement::new(tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH, "STEP"),
        DataElement::new(tags::REFERENCED_SOP_CLASS_UID, VR::UI, "1.2.3"),
    ]);
    let sequence = Value::Sequence(DataSetSequence::from(vec![step]));
    InMemDicomObject::from_element_iter([
        DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
        DataElement::new(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.7"),
        DataElement::new(tags::SOP_INSTANCE_UID, VR::UI, "2.25.1"),
        DataElement::new(tags::PATIENT_NAME, VR::PN, "Müller^Jörg"),
        DataElement::new(tags::ROWS, VR::US, PrimitiveValue::from(4_u16)),
        DataElement::new(tags::COLUMNS, VR::US, PrimitiveValue::from(4_u16)),
        DataElement::new(tags::WINDOW_CENTER, VR::DS, PrimitiveValue::from("40\\80")),
        DataElement::new(tags::REQUEST_ATTRIBUTES_SEQUENCE, VR::SQ, sequence),
    ])
}

/// `header()` with 16 pixels.
pub fn native() -> InMemDicomObject {
    let mut image = header();
    let pixels: Vec<u16> = (0..16).collect();
    image.put(DataElement::new(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(pixels.into())));
    image
}

/// `header()` with fragments.
pub fn encapsulated(frames: u32, offset_table: &[u32], fragments: &[&[u8]]) -> InMemDicomObject {
    let mut image = header();
    image.put(DataElement::new(tags::NUMBER_OF_FRAMES, VR::IS, frames.to_string()));
    let fragments: Vec<Vec<u8>> = fragments.iter().map(|it| it.to_vec()).collect();
    let sequence = PixelFragmentSequence::new(offset_table.to_vec(), fragments);
    image.put(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::PixelSequence(sequence)));
    image
}

/// A file as dicom-object writes it.
pub fn file(object: InMemDicomObject, transfer_syntax: &str) -> Vec<u8> {
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(transfer_syntax)
        .media_storage_sop_class_uid("1.2.840.10008.5.1.4.1.1.7")
        .media_storage_sop_instance_uid("2.25.1");
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

/// A file of our own group 2 and `data_set`.
pub fn file_of(transfer_syntax: &str, data_set: &[u8]) -> Vec<u8> {
    let (class, instance) = ("1.2.840.10008.5.1.4.1.1.7".parse().unwrap(), "2.25.1".parse().unwrap());
    let mut bytes = file_with_meta(&class, &instance, &transfer_syntax.parse().unwrap(), Some("SENDER"));
    bytes.extend_from_slice(data_set);
    bytes
}

/// The bytes of `object` behind group 2.
pub fn data_set(object: InMemDicomObject, transfer_syntax: &str) -> Vec<u8> {
    let bytes = file(object, transfer_syntax);
    let group_bytes = u32::from_le_bytes(bytes[140..144].try_into().unwrap());
    bytes[144 + group_bytes as usize..].to_vec()
}

pub fn read(bytes: &[u8]) -> Result<Part10, Part10Error> {
    Part10::read(Bytes::copy_from_slice(bytes), &Limits::default())
}

pub fn refusal(bytes: &[u8]) -> &'static str {
    read(bytes).map_or_else(|error| error.code(), |_| "none")
}
