//! A data set in DICOM JSON, with its bulk data beside it, as a Part 10 file (PS3.18, section 10.5.2 and annex F).

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use bytes::Bytes;
use clinical::uid::{SopClassUid, SopInstanceUid};
use dicom_core::ops::{ApplyOp, AttributeAction, AttributeOp, AttributeSelector, AttributeSelectorStep};
use dicom_core::value::{PixelFragmentSequence, PrimitiveValue, Value as ElementValue};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use part10::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, text};
use pixels::jpeg_transfer_syntax;
use serde_json::{Map, Value, json};

use super::tag_of;

/// Sequences within sequences, of a text whose own reader allows 128 brackets.
const DEPTH_MAX: usize = 32;
const IMPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2";
const EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
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
    /// The part of the pixels is of a media type or in a transfer syntax that bulk data do not come in.
    #[error("the pixels are neither little-endian octets nor compressed frames")]
    OtherPixels,
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
/// Content-Type; else a JPEG tells it, and of others their media type's default is meant (PS3.18, table 8.7.3-5);
/// several parts of one location are frames in their order. A part may be named more than once, as long as all that is named beside the pixels is no
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
    let mut taken = Taken { bulk, left: bulk.length, values: Vec::new() };
    taken.out_of(&mut attributes, &mut Vec::new())?;
    let object = dicom_json::from_value::<InMemDicomObject>(Value::Object(attributes));
    let mut object = object.map_err(|_| FromJsonError::NotADataSet)?;
    for (place, value) in taken.values {
        let put = object.apply(AttributeOp::new(place, AttributeAction::Set(value)));
        put.map_err(|_| FromJsonError::NotADataSet)?;
    }
    object.put(DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"));
    let syntax = transfer_syntax(pixels.first())?;
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

/// The bulk data of one data set, with the place of each: they are put there once the rest has been read, without a
/// text of them in between.
struct Taken<'a> {
    bulk: &'a BulkData,
    /// So many bytes more may be named.
    left: usize,
    values: Vec<(AttributeSelector, PrimitiveValue)>,
}

impl Taken<'_> {
    /// Takes BulkDataURIs out of the attributes below `path`, and writes what is empty as the reader takes it.
    fn out_of(
        &mut self,
        attributes: &mut Map<String, Value>,
        path: &mut Vec<AttributeSelectorStep>,
    ) -> Result<(), FromJsonError> {
        if path.len() > DEPTH_MAX {
            return Err(FromJsonError::NotADataSet);
        }
        for (name, attribute) in attributes {
            let attribute = attribute.as_object_mut().ok_or(FromJsonError::NotADataSet)?;
            let vr = attribute.get("vr").and_then(Value::as_str).and_then(|vr| vr.parse::<VR>().ok());
            if let Some(uri) = attribute.remove("BulkDataURI") {
                if attribute.contains_key("Value") || attribute.contains_key("InlineBinary") {
                    return Err(FromJsonError::NotADataSet);
                }
                let tag = tag_of(name).ok_or(FromJsonError::NotADataSet)?;
                let value = self.value(&uri, vr.unwrap_or(VR::UN))?;
                let steps = path.iter().cloned().chain([AttributeSelectorStep::Tag(tag)]);
                let place = AttributeSelector::new(steps).ok_or(FromJsonError::NotADataSet)?;
                self.values.push((place, value));
            }
            let values = attribute.get_mut("Value").and_then(Value::as_array_mut).into_iter().flatten();
            for (item, value) in values.enumerate() {
                match value {
                    // one of several that is empty (PS3.18, section F.2.5)
                    Value::Null if vr == Some(VR::PN) => *value = json!({}),
                    Value::Null if vr != Some(VR::SQ) => *value = json!(""),
                    Value::Object(attributes) if vr == Some(VR::SQ) => {
                        let tag = tag_of(name).ok_or(FromJsonError::NotADataSet)?;
                        path.push(AttributeSelectorStep::Nested { tag, item: item as u32 });
                        self.out_of(attributes, path)?;
                        path.pop();
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// What a BulkDataURI names, as a value of `vr`: numbers come little-endian, texts in UTF-8.
    fn value(&mut self, uri: &Value, vr: VR) -> Result<PrimitiveValue, FromJsonError> {
        let parts = self.bulk.named(uri)?;
        let length: usize = parts.iter().map(|part| part.bytes.len()).sum();
        self.left = self.left.checked_sub(length).ok_or(FromJsonError::TooMuchBulkData)?;
        let (unit, filler): (usize, u8) = match vr {
            VR::OB | VR::OW | VR::UN => (1, 0),
            VR::SS | VR::US => (2, 0),
            VR::FL | VR::OF | VR::OL | VR::SL | VR::UL => (4, 0),
            VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => (8, 0),
            VR::DS | VR::IS | VR::LT | VR::ST | VR::UC | VR::UT => (1, b' '),
            _ => return Err(FromJsonError::NotADataSet),
        };
        if !length.is_multiple_of(unit) {
            return Err(FromJsonError::NotADataSet);
        }
        let mut bytes = joined(parts);
        pad(&mut bytes, filler);
        Ok(PrimitiveValue::from(bytes))
    }
}

/// What the pixels' Content-Type says of the transfer syntax, or a JPEG itself; little-endian octets become Explicit VR
/// Little Endian.
///
/// # Errors
///
/// [`FromJsonError::OtherPixels`]: pixels in this form cannot be put into a file as they are.
fn transfer_syntax(pixels: Option<&BulkPart>) -> Result<String, FromJsonError> {
    let Some(BulkPart { content_type, bytes, .. }) = pixels else {
        return Ok(EXPLICIT_VR_LITTLE_ENDIAN.to_owned());
    };
    let mut parts = content_type.split(';');
    let media = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let named = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("transfer-syntax").then(|| value.trim().trim_matches('"').to_owned())
    });
    let default = match media.as_str() {
        "" | "application/octet-stream" => EXPLICIT_VR_LITTLE_ENDIAN,
        "image/jpeg" => jpeg_transfer_syntax(bytes).unwrap_or("1.2.840.10008.1.2.4.70"),
        "image/dicom-rle" => "1.2.840.10008.1.2.5",
        "image/jls" => "1.2.840.10008.1.2.4.80",
        "image/jp2" => "1.2.840.10008.1.2.4.90",
        "image/jpx" => "1.2.840.10008.1.2.4.92",
        "image/jphc" => "1.2.840.10008.1.2.4.201",
        "image/jxl" => "1.2.840.10008.1.2.4.110",
        _ => named.as_deref().ok_or(FromJsonError::OtherPixels)?,
    };
    let syntax = named.as_deref().unwrap_or(default);
    match syntax {
        IMPLICIT_VR_LITTLE_ENDIAN => Ok(EXPLICIT_VR_LITTLE_ENDIAN.to_owned()),
        EXPLICIT_VR_BIG_ENDIAN | DEFLATED => Err(FromJsonError::OtherPixels),
        _ => Ok(syntax.to_owned()),
    }
}

fn put_pixels(object: &mut InMemDicomObject, parts: &[BulkPart], syntax: &str) {
    if parts.is_empty() {
        return;
    }
    if syntax == EXPLICIT_VR_LITTLE_ENDIAN {
        let bits = text(object, tags::BITS_ALLOCATED).and_then(|bits| bits.parse::<u16>().ok());
        let vr = if bits.is_some_and(|bits| bits > 8) { VR::OW } else { VR::OB };
        let mut bytes = joined(parts);
        pad(&mut bytes, 0);
        object.put(DataElement::new(tags::PIXEL_DATA, vr, PrimitiveValue::from(bytes)));
        return;
    }
    let fragment = |part: &BulkPart| {
        let mut bytes = part.bytes.to_vec();
        pad(&mut bytes, 0);
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
fn pad(bytes: &mut Vec<u8>, filler: u8) {
    if bytes.len() % 2 == 1 {
        bytes.push(filler);
    }
}
