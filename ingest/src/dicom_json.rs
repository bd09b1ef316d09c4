//! The data set of an instance as DICOM JSON (PS3.18, annex F), written straight from its parsed header.
//!
//! Pixels and other long binary values stay where they are: the text says under which URL they are found.

mod read;
mod write;

use clinical::uid::TransferSyntaxUid;
use dicom_core::header::Header;
use dicom_core::value::{PrimitiveValue, Value};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

use part10::{float_pixel_tag, text};
pub use read::{BulkData, BulkPart, FromJsonError, part10_of, sop_of};
pub use write::URL_PLACE;
use write::Writer;

/// A binary value of more bytes is not in the text; its URL is.
pub const INLINE_BYTES: usize = 1_024;

/// Available Transfer Syntax UID (0008,3002).
const AVAILABLE_TRANSFER_SYNTAX: Tag = Tag(0x0008, 0x3002);

/// The attributes of a data set in the order of their tags, as one JSON object, without group lengths and without what
/// JSON cannot say.
///
/// Texts were decoded before, so Specific Character Set says UTF-8 (F.2); IS and DS become numbers where they are
/// such; Available Transfer Syntax UID is `transfer_syntax`. Where the URL of the instance belongs, in each
/// BulkDataURI, stands the byte [`URL_PLACE`], which JSON never holds. `frame_count` is `None` for an instance
/// without pixels.
pub fn data_set(
    header: &InMemDicomObject,
    transfer_syntax: &TransferSyntaxUid,
    frame_count: Option<i64>,
) -> Vec<u8> {
    let mut json = Json { out: Writer::with_capacity(8 << 10), path: String::new() };
    let own = [tags::SPECIFIC_CHARACTER_SET, AVAILABLE_TRANSFER_SYNTAX, tags::PIXEL_DATA];
    let mut own_texts = [Some("ISO_IR 192"), Some(transfer_syntax.as_str()), None];
    json.out.open_object();
    for element in header {
        let tag = element.tag();
        for (own, text) in own.iter().zip(&mut own_texts) {
            if *own <= tag
                && let Some(text) = text.take()
            {
                json.own_text(*own, text);
            }
        }
        if tag.element() != 0 && !own.contains(&tag) {
            json.attribute(element);
        }
    }
    for (own, text) in own.iter().zip(own_texts) {
        if let Some(text) = text {
            json.own_text(*own, text);
        }
    }
    if frame_count.is_some() {
        let (tag, vr) = pixels(header, transfer_syntax);
        json.pixels(tag, vr);
    }
    json.out.close_object();
    json.out.into_bytes()
}

/// Which element the pixels are, and its VR (PS3.5, section 8.2 and annex A.4; PS3.3, section C.7.6.24).
fn pixels(header: &InMemDicomObject, transfer_syntax: &TransferSyntaxUid) -> (Tag, VR) {
    if let Some(tag) = float_pixel_tag(header) {
        return (tag, if tag == tags::FLOAT_PIXEL_DATA { VR::OF } else { VR::OD });
    }
    let bits = text(header, tags::BITS_ALLOCATED).and_then(|bits| bits.parse::<u16>().ok());
    let is_words = is_native(transfer_syntax) && bits.is_some_and(|bits| bits > 8);
    (tags::PIXEL_DATA, if is_words { VR::OW } else { VR::OB })
}

/// Whether frames follow one another without fragments (PS3.5, annex A.1 to A.3 and A.5).
fn is_native(transfer_syntax: &TransferSyntaxUid) -> bool {
    let native =
        ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"];
    native.contains(&transfer_syntax.as_str())
}

/// The binary value that `path` of a BulkDataURI names, little-endian; `None` where there is none.
///
/// The path is as [`data_set`] writes it: a tag, or tag and item number of each sequence before it, parted by dots.
pub fn bulk_data(header: &InMemDicomObject, path: &str) -> Option<Vec<u8>> {
    let (head, rest) = path.split_once('.').unwrap_or((path, ""));
    let element = header.get(tag_of(head)?)?;
    if rest.is_empty() {
        let Value::Primitive(value) = element.value() else { return None };
        return is_binary(element.vr()).then(|| write::binary(value).into_owned());
    }
    let (item, rest) = rest.split_once('.')?;
    // recursion is as deep as the sequences that were read
    bulk_data(element.items()?.get(item.parse::<usize>().ok()?)?, rest)
}

/// Eight hexadecimal digits as a tag.
pub fn tag_of(digits: &str) -> Option<Tag> {
    let is_tag = digits.len() == 8 && digits.bytes().all(|it| it.is_ascii_hexdigit());
    let number = u32::from_str_radix(digits, 16).ok().filter(|_| is_tag)?;
    Some(Tag((number >> 16) as u16, number as u16))
}

fn is_binary(vr: VR) -> bool {
    matches!(vr, VR::OB | VR::OD | VR::OF | VR::OL | VR::OV | VR::OW | VR::UN)
}

/// A text that grows, and where in the data set it has come to.
struct Json {
    out: Writer,
    /// Of the sequences around, each with its item: `00400555.0.`.
    path: String,
}

impl Json {
    fn own_text(&mut self, tag: Tag, text: &str) {
        let vr = if tag == AVAILABLE_TRANSFER_SYNTAX { VR::UI } else { VR::CS };
        self.out.open_attribute(tag, vr);
        self.out.raw(r#","Value":["#);
        self.out.string(text);
        self.out.raw("]}");
    }

    fn pixels(&mut self, tag: Tag, vr: VR) {
        self.out.open_attribute(tag, vr);
        self.out.bulk_data_uri(&self.path, tag);
        self.out.raw("}");
    }

    fn attribute(&mut self, element: &InMemElement) {
        let (tag, vr) = (element.tag(), element.vr());
        self.out.open_attribute(tag, vr);
        match element.value() {
            Value::Sequence(sequence) if !sequence.items().is_empty() => {
                self.out.raw(r#","Value":["#);
                for (index, item) in sequence.items().iter().enumerate() {
                    self.item(tag, index, item);
                }
                self.out.raw("]");
            }
            Value::Primitive(value) if !is_empty(value) => {
                if !is_binary(vr) {
                    self.out.values(vr, value);
                } else if value.calculate_byte_len() > INLINE_BYTES {
                    self.out.bulk_data_uri(&self.path, tag);
                } else {
                    self.out.inline_binary(value);
                }
            }
            Value::Sequence(_) | Value::Primitive(_) | Value::PixelSequence(_) => {}
        }
        self.out.raw("}");
    }

    fn item(&mut self, tag: Tag, index: usize, item: &InMemDicomObject) {
        let before = self.path.len();
        self.path += &format!("{:04X}{:04X}.{index}.", tag.group(), tag.element());
        self.out.open_object();
        for element in item {
            if element.tag().element() != 0 && element.tag() != tags::SPECIFIC_CHARACTER_SET {
                self.attribute(element);
            }
        }
        self.out.close_object();
        self.path.truncate(before);
    }
}

fn is_empty(value: &PrimitiveValue) -> bool {
    value.multiplicity() == 0 || matches!(value, PrimitiveValue::Str(text) if text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::value::{C, DataSetSequence};
    use dicom_core::{DataElement, dicom_value};
    use serde_json::{Value as Parsed, json};

    fn texts(tag: Tag, vr: VR, texts: &[&str]) -> InMemElement {
        let texts: C<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        DataElement::new(tag, vr, PrimitiveValue::Strs(texts))
    }

    fn written(header: &InMemDicomObject, frame_count: Option<i64>) -> String {
        let syntax = "1.2.840.10008.1.2.1".parse().unwrap();
        String::from_utf8(data_set(header, &syntax, frame_count)).unwrap()
    }

    fn parsed(header: &InMemDicomObject) -> Parsed {
        serde_json::from_str(&written(header, None)).unwrap()
    }

    /// PS3.18, sections F.2.2 to F.2.5.
    #[test]
    fn numbers_in_text_become_numbers_names_are_parted_and_gaps_are_null() {
        let inner = InMemDicomObject::from_element_iter([
            texts(tags::SPECIFIC_CHARACTER_SET, VR::CS, &["ISO_IR 100"]),
            texts(tags::INSTANCE_NUMBER, VR::IS, &[" 7 "]),
        ]);
        let header = InMemDicomObject::from_element_iter([
            DataElement::new(Tag(0x0008, 0), VR::UL, PrimitiveValue::from(10_u32)),
            texts(tags::SPECIFIC_CHARACTER_SET, VR::CS, &["ISO_IR 100"]),
            texts(tags::IMAGE_TYPE, VR::CS, &["ORIGINAL", "", "say \"AXIAL\"\n"]),
            DataElement::new(tags::STUDY_DATE, VR::DA, PrimitiveValue::Empty),
            texts(tags::PATIENT_NAME, VR::PN, &["Yamada^Tarou=山田^太郎"]),
            texts(tags::PIXEL_SPACING, VR::DS, &["0.50 ", "x", "+007", "-.5", "1e999", ""]),
            DataElement::new(tags::REFERENCED_IMAGE_SEQUENCE, VR::SQ, DataSetSequence::from(vec![inner])),
            DataElement::new(tags::SOURCE_IMAGE_SEQUENCE, VR::SQ, DataSetSequence::from(vec![])),
            DataElement::new(tags::FRAME_INCREMENT_POINTER, VR::AT, dicom_value!(Tags, [tags::FRAME_TIME])),
            DataElement::new(tags::REAL_WORLD_VALUE_SLOPE, VR::FD, dicom_value!(F64, [1.5, f64::NAN])),
            DataElement::new(Tag(0x0009, 0x1001), VR::SV, dicom_value!(I64, [-5, i64::MIN])),
        ]);
        assert_eq!(
            parsed(&header),
            json!({
                "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
                "00080008": {"vr": "CS", "Value": ["ORIGINAL", null, "say \"AXIAL\"\n"]},
                "00080020": {"vr": "DA"},
                "00081140": {"vr": "SQ", "Value": [{"00200013": {"vr": "IS", "Value": [7]}}]},
                "00082112": {"vr": "SQ"},
                "00083002": {"vr": "UI", "Value": ["1.2.840.10008.1.2.1"]},
                "00091001": {"vr": "SV", "Value": [-5, "-9223372036854775808"]},
                "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
                "00280009": {"vr": "AT", "Value": ["00181063"]},
                "00280030": {"vr": "DS", "Value": [0.5, "x", 7, -0.5, "1e999", null]},
                "00409225": {"vr": "FD", "Value": [1.5, "NaN"]},
            })
        );
        let names: Vec<String> = parsed(&header).as_object().unwrap().keys().cloned().collect();
        let text = written(&header, None);
        let places: Vec<usize> =
            names.iter().map(|name| text.find(&format!("\"{name}\":{{")).unwrap()).collect();
        assert!(places.is_sorted(), "F.2.2: in the order of their names");
    }

    /// PS3.3, sections C.7.6.24 and C.7.6.25.
    #[test]
    fn real_numbers_are_told_under_their_own_names() {
        for (bits, name, vr) in [(32_u16, "7FE00008", "OF"), (64, "7FE00009", "OD")] {
            let bits = DataElement::new(tags::BITS_ALLOCATED, VR::US, PrimitiveValue::from(bits));
            let text = written(&InMemDicomObject::from_element_iter([bits]), Some(1));
            let json: Parsed = serde_json::from_str(&text.replace(char::from(URL_PLACE), "/1")).unwrap();
            assert_eq!(json[name], json!({"vr": vr, "BulkDataURI": format!("/1/bulkdata/{name}")}));
            assert_eq!(json.get("7FE00010"), None);
        }
    }

    #[test]
    fn long_binary_values_are_told_by_url_and_found_by_its_path() {
        let long = |tag| DataElement::new(tag, VR::OW, PrimitiveValue::U16((0..600).collect()));
        let place = Tag(0x0029, 0x1010);
        let item = InMemDicomObject::from_element_iter([long(place)]);
        let items = vec![InMemDicomObject::new_empty(), item];
        let header = InMemDicomObject::from_element_iter([
            DataElement::new(tags::SOURCE_IMAGE_SEQUENCE, VR::SQ, DataSetSequence::from(items)),
            DataElement::new(Tag(0x0029, 0x1001), VR::OB, PrimitiveValue::U8(C::from_slice(&[1, 2, 3]))),
            DataElement::new(tags::BITS_ALLOCATED, VR::US, PrimitiveValue::from(16_u16)),
        ]);
        let text = written(&header, Some(1)).replace(char::from(URL_PLACE), "http://x/1");
        let json: Parsed = serde_json::from_str(&text).unwrap();
        assert_eq!(json["00291001"], json!({"vr": "OB", "InlineBinary": "AQID"}));
        assert_eq!(json["7FE00010"], json!({"vr": "OW", "BulkDataURI": "http://x/1/bulkdata/7FE00010"}));
        let nested = &json["00082112"]["Value"][1]["00291010"]["BulkDataURI"];
        assert_eq!(*nested, "http://x/1/bulkdata/00082112.1.00291010");
        let bytes = bulk_data(&header, "00082112.1.00291010").unwrap();
        assert_eq!((bytes.len(), &bytes[..4]), (1_200, &[0, 0, 1, 0][..]));
        for none in ["00082112.0.00291010", "00082112.2.00291010", "00082112", "00280100", "x", ""] {
            assert_eq!(bulk_data(&header, none), None, "{none}");
        }
    }
}
