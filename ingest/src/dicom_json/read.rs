//! A data set in DICOM JSON, with its bulk data beside it, as a Part 10 file (PS3.18, section 10.5.2 and annex F).

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clinical::uid::{SopClassUid, SopInstanceUid};
use dicom_core::value::{PixelFragmentSequence, PrimitiveValue, Value as ElementValue};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use part10::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, text};
use serde_json::{Map, Value};

/// Sequences within sequences, of a text whose own reader allows 128 brackets.
const DEPTH_MAX: usize = 32;
const EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
const PIXEL_DATA: &str = "7FE00010";

/// Why no file was made.
#[derive(Debug, thiserror::Error)]
pub enum FromJsonError {
    /// It is no object of attributes as annex F writes them.
    #[error("the metadata are no data set in DICOM JSON")]
    NotADataSet,
    /// A BulkDataURI names a part that did not come.
    #[error("bulk data are missing that the metadata name")]
    BulkDataMissing,
    /// The BulkDataURIs name the same parts again and again: more bytes than came in all.
    #[error("the metadata name more bulk data than came")]
    TooMuchBulkData,
    /// The data set cannot be written.
    #[error("the data set cannot be written as a file")]
    Unwritable,
}

/// One part of bulk data.
#[derive(Debug, Clone)]
pub struct BulkPart {
    /// Its Content-Location.
    pub location: String,
    /// Its media type with parameters.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// The bulk data of one request, found by their Content-Location.
#[derive(Debug, Clone, Default)]
pub struct BulkData {
    by_location: HashMap<String, Vec<BulkPart>>,
    length: usize,
}

impl BulkData {
    /// What these parts make; those of one location stay in their order.
    pub fn of(parts: impl IntoIterator<Item = BulkPart>) -> Self {
        let mut bulk = Self::default();
        for part in parts {
            bulk.length += part.bytes.len();
            bulk.by_location.entry(part.location.clone()).or_default().push(part);
        }
        bulk
    }

    /// The parts that a BulkDataURI names.
    fn named(&self, uri: &Value) -> Result<&[BulkPart], FromJsonError> {
        let uri = uri.as_str().ok_or(FromJsonError::NotADataSet)?;
        self.by_location.get(uri).map(Vec::as_slice).ok_or(FromJsonError::BulkDataMissing)
    }
}

/// SOP Class and Instance UID of a data set in DICOM JSON, as far as they can be read.
pub fn sop_of(attributes: &Value) -> Option<(SopClassUid, SopInstanceUid)> {
    let uid = |tag: &str| attributes.get(tag)?.pointer("/Value/0")?.as_str();
    Some((uid("00080016")?.parse().ok()?, uid("00080018")?.parse().ok()?))
}

/// The Part 10 file of `attributes`, whose BulkDataURIs name parts of `bulk` by their Content-Location.
///
/// Uncompressed pixels are written in Explicit VR Little Endian. Compressed ones name their transfer syntax in their
/// Content-Type, else their media type's default is meant (PS3.18, table 8.7.3-5); several parts of one location are
/// frames in their order. A part may be named more than once, as long as all that is named beside the pixels is no
/// more than came.
///
/// # Errors
///
/// [`FromJsonError`]: nothing was made.
pub fn part10_of(attributes: Value, bulk: &BulkData) -> Result<Vec<u8>, FromJsonError> {
    let Value::Object(mut attributes) = attributes else { return Err(FromJsonError::NotADataSet) };
    // group 2 is written anew, and what is available elsewhere is no part of the object
    attributes.retain(|tag, _| !tag.starts_with("0002") && tag != "00083002");
    let pixels = match attributes.get(PIXEL_DATA).and_then(|it| it.get("BulkDataURI")) {
        Some(uri) => {
            let parts = bulk.named(uri)?;
            attributes.remove(PIXEL_DATA);
            parts
        }
        None => &[],
    };
    let mut left = bulk.length;
    fill_in(&mut attributes, bulk, &mut left, DEPTH_MAX)?;
    let object = dicom_json::from_value::<InMemDicomObject>(Value::Object(attributes));
    let mut object = object.map_err(|_| FromJsonError::NotADataSet)?;
    object.put(DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"));
    let syntax = pixels
        .first()
        .map_or_else(|| EXPLICIT_VR_LITTLE_ENDIAN.to_owned(), |first| transfer_syntax(&first.content_type));
    put_pixels(&mut object, pixels, &syntax);
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax(&syntax)
        .implementation_class_uid(IMPLEMENTATION_CLASS_UID)
        .implementation_version_name(IMPLEMENTATION_VERSION_NAME);
    let file = object.with_meta(meta).map_err(|_| FromJsonError::Unwritable)?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|_| FromJsonError::Unwritable)?;
    Ok(bytes)
}

/// Puts bulk data where their URIs stand, as inline binary values of at most `left` bytes in all.
fn fill_in(
    attributes: &mut Map<String, Value>,
    bulk: &BulkData,
    left: &mut usize,
    depth: usize,
) -> Result<(), FromJsonError> {
    for attribute in attributes.values_mut() {
        let Some(attribute) = attribute.as_object_mut() else { return Err(FromJsonError::NotADataSet) };
        if let Some(uri) = attribute.remove("BulkDataURI") {
            let parts = bulk.named(&uri)?;
            let length = parts.iter().map(|part| part.bytes.len()).sum();
            *left = left.checked_sub(length).ok_or(FromJsonError::TooMuchBulkData)?;
            attribute.insert("InlineBinary".to_owned(), STANDARD.encode(joined(parts)).into());
        }
        if attribute.get("vr").is_none_or(|vr| vr != "SQ") {
            continue;
        }
        let items = attribute.get_mut("Value").and_then(Value::as_array_mut).into_iter().flatten();
        for item in items.filter_map(Value::as_object_mut) {
            fill_in(item, bulk, left, depth.checked_sub(1).ok_or(FromJsonError::NotADataSet)?)?;
        }
    }
    Ok(())
}

/// What a Content-Type says of the transfer syntax.
fn transfer_syntax(content_type: &str) -> String {
    let mut parts = content_type.split(';');
    let media = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let named = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("transfer-syntax").then(|| value.trim().trim_matches('"').to_owned())
    });
    let default = match media.as_str() {
        "image/jpeg" => "1.2.840.10008.1.2.4.70",
        "image/dicom-rle" => "1.2.840.10008.1.2.5",
        "image/jls" => "1.2.840.10008.1.2.4.80",
        "image/jp2" => "1.2.840.10008.1.2.4.90",
        "image/jpx" => "1.2.840.10008.1.2.4.92",
        "image/jphc" => "1.2.840.10008.1.2.4.201",
        "image/jxl" => "1.2.840.10008.1.2.4.110",
        _ => EXPLICIT_VR_LITTLE_ENDIAN,
    };
    named.unwrap_or_else(|| default.to_owned())
}

fn put_pixels(object: &mut InMemDicomObject, parts: &[BulkPart], syntax: &str) {
    if parts.is_empty() {
        return;
    }
    if syntax == EXPLICIT_VR_LITTLE_ENDIAN {
        let bits = text(object, tags::BITS_ALLOCATED).and_then(|bits| bits.parse::<u16>().ok());
        let vr = if bits.is_some_and(|bits| bits > 8) { VR::OW } else { VR::OB };
        let mut bytes = joined(parts);
        pad(&mut bytes);
        object.put(DataElement::new(tags::PIXEL_DATA, vr, PrimitiveValue::from(bytes)));
        return;
    }
    let fragment = |part: &BulkPart| {
        let mut bytes = part.bytes.to_vec();
        pad(&mut bytes);
        bytes
    };
    let fragments: Vec<Vec<u8>> = parts.iter().map(fragment).collect();
    let sequence = PixelFragmentSequence::new(Vec::<u32>::new(), fragments);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, ElementValue::from(sequence)));
}

fn joined(parts: &[BulkPart]) -> Vec<u8> {
    let parts: Vec<&[u8]> = parts.iter().map(|part| &*part.bytes).collect();
    parts.concat()
}

/// Values are of even length (PS3.5, section 7.1.1).
fn pad(bytes: &mut Vec<u8>) {
    if bytes.len() % 2 == 1 {
        bytes.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use part10::{Limits, Part10, PixelDataAt};
    use serde_json::json;

    fn attributes() -> Value {
        json!({
            "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},
            "00080018": {"vr": "UI", "Value": ["1.2.3.1.1"]},
            "00082112": {"vr": "SQ", "Value": [{"00291010": {"vr": "OB", "BulkDataURI": "b"}}]},
            "00083002": {"vr": "UI", "Value": ["1.2.840.10008.1.2.4.90"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Müller^Ada"}]},
            "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
            "0020000E": {"vr": "UI", "Value": ["1.2.3.1"]},
            "00280100": {"vr": "US", "Value": [16]},
            "00280030": {"vr": "DS", "Value": [0.5, 0.25]},
            "7FE00010": {"vr": "OW", "BulkDataURI": "a"},
        })
    }

    fn part(location: &str, content_type: &str, bytes: &'static [u8]) -> BulkPart {
        BulkPart { location: location.to_owned(), content_type: content_type.to_owned(), bytes: bytes.into() }
    }

    fn read(bulk: &[BulkPart]) -> Part10 {
        let bulk = BulkData::of(bulk.iter().cloned());
        Part10::read(part10_of(attributes(), &bulk).unwrap().into(), &Limits::default()).unwrap()
    }

    #[test]
    fn metadata_and_bulk_data_become_a_file_that_reads_back() {
        let octets = "application/octet-stream";
        let file = read(&[part("a", octets, &[1, 2, 3, 4]), part("b", octets, &[9, 8, 7])]);
        assert_eq!(file.transfer_syntax().as_str(), EXPLICIT_VR_LITTLE_ENDIAN);
        assert_eq!(text(file.header(), tags::PATIENT_NAME).as_deref(), Some("Müller^Ada"));
        assert_eq!(text(file.header(), tags::PIXEL_SPACING).as_deref(), Some("0.5\\0.25"));
        assert!(file.header().get(dicom_core::Tag(0x0008, 0x3002)).is_none());
        let Some(PixelDataAt::Native { offset, length: 4 }) = file.pixel_data() else { panic!("native") };
        assert_eq!(*file.bytes(*offset..*offset + 4), [1, 2, 3, 4]);
        assert_eq!(super::super::bulk_data(file.header(), "00082112.0.00291010").unwrap()[..3], [9, 8, 7]);
        assert_eq!(sop_of(&attributes()).unwrap().1.as_str(), "1.2.3.1.1");
    }

    #[test]
    fn compressed_frames_come_part_by_part() {
        let jpeg = "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50";
        let bulk = [part("a", jpeg, &[1, 2, 3]), part("a", jpeg, &[4, 5]), part("b", jpeg, &[0])];
        let file = read(&bulk);
        assert_eq!(file.transfer_syntax().as_str(), "1.2.840.10008.1.2.4.50");
        let Some(PixelDataAt::Encapsulated { fragments, .. }) = file.pixel_data() else {
            panic!("fragments")
        };
        let bytes: Vec<_> = fragments.iter().map(|it| file.bytes(it.clone()).to_vec()).collect();
        assert_eq!(bytes, [vec![1, 2, 3, 0], vec![4, 5]]);
    }

    #[test]
    fn what_is_no_data_set_or_lacks_its_bulk_is_refused() {
        assert!(matches!(part10_of(attributes(), &BulkData::default()), Err(FromJsonError::BulkDataMissing)));
        for bad in [json!([]), json!({"00100010": 5}), json!({"00100010": {"vr": "PN", "Value": [5]}})] {
            assert!(
                matches!(part10_of(bad.clone(), &BulkData::default()), Err(FromJsonError::NotADataSet)),
                "{bad}"
            );
        }
        let mut deep = json!({});
        for _ in 0..40 {
            deep = json!({"00082112": {"vr": "SQ", "Value": [deep]}});
        }
        assert!(matches!(part10_of(deep, &BulkData::default()), Err(FromJsonError::NotADataSet)));
    }

    /// The value of bulk data is a URI (PS3.18, section F.2.6), which any number of attributes may have.
    #[test]
    fn a_part_that_is_named_again_and_again_is_not_copied_each_time() {
        let parts = [part("a", "", &[1, 2, 3, 4]), part("b", "", &[9, 8])];
        let naming = |count: u16| {
            let mut attributes = attributes();
            for number in 0..count {
                attributes[format!("0029{:04X}", 0x1100 + number)] = json!({"vr": "OB", "BulkDataURI": "b"});
            }
            part10_of(attributes, &BulkData::of(parts.clone()))
        };
        // once more in a sequence: six bytes came, of which each name takes two
        assert!(naming(2).is_ok());
        assert!(matches!(naming(3), Err(FromJsonError::TooMuchBulkData)));
    }
}
