//! Data sets as DICOM JSON (PS3.18, annex F).

use dicom_core::header::Header;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use serde_json::{Map, Value, json};

/// The media type (PS3.18, section F.1).
pub(crate) const DICOM_JSON: &str = "application/dicom+json";

/// The tag as the name of a member: eight hexadecimal digits.
pub(crate) fn key_of(tag: Tag) -> String {
    format!("{:04X}{:04X}", tag.group(), tag.element())
}

/// A person name by its component groups (PS3.18, section F.2.2).
pub(crate) fn person_name(text: &str) -> Value {
    let groups = ["Alphabetic", "Ideographic", "Phonetic"].into_iter().zip(text.split('='));
    let present = groups.filter(|(_, group)| !group.is_empty());
    Value::Object(present.map(|(name, group)| (name.to_owned(), group.into())).collect())
}

/// The data set without group lengths and without what cannot be written as JSON.
///
/// Texts were decoded before, so Specific Character Set says UTF-8 (F.2); IS and
/// DS become numbers where they are such.
pub(crate) fn data_set(header: &InMemDicomObject) -> Map<String, Value> {
    let mut attributes = Map::new();
    for element in header {
        if element.tag().element() == 0 {
            continue;
        }
        if let Ok(mut attribute) = dicom_json::to_value(element) {
            tidy(&mut attribute);
            attributes.insert(key_of(element.tag()), attribute);
        }
    }
    attributes.insert(key_of(tags::SPECIFIC_CHARACTER_SET), json!({"vr": "CS", "Value": ["ISO_IR 192"]}));
    attributes
}

/// Mends one attribute and those in its items; they are nested no deeper than the reader of the file allowed.
fn tidy(attribute: &mut Value) {
    let vr = attribute.get("vr").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(values) = attribute.get_mut("Value").and_then(Value::as_array_mut) else { return };
    if vr == VR::IS.to_string() || vr == VR::DS.to_string() {
        for value in values.iter_mut() {
            if let Some(number) = value.as_str().and_then(number) {
                *value = number;
            }
        }
    }
    for item in values.iter_mut().filter_map(Value::as_object_mut) {
        item.remove(&key_of(tags::SPECIFIC_CHARACTER_SET));
        item.values_mut().filter(|inner| inner.is_object()).for_each(tidy);
    }
}

/// Decimal text as a JSON number; `None` where it is none.
fn number(text: &str) -> Option<Value> {
    let text = text.trim().trim_start_matches('+');
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{DataElement, PrimitiveValue};

    /// PS3.18, section F.2.
    #[test]
    fn numbers_in_text_become_numbers_and_names_are_parted() {
        let inner = InMemDicomObject::from_element_iter([
            DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
            DataElement::new(tags::INSTANCE_NUMBER, VR::IS, " 7 "),
        ]);
        let sequence = dicom_core::value::DataSetSequence::from(vec![inner]);
        let header = InMemDicomObject::from_element_iter([
            DataElement::new(Tag(0x0008, 0), VR::UL, PrimitiveValue::from(10_u32)),
            DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
            DataElement::new(tags::PATIENT_NAME, VR::PN, "Yamada^Tarou=山田^太郎"),
            DataElement::new(
                tags::PIXEL_SPACING,
                VR::DS,
                PrimitiveValue::Strs(["0.5 ".into(), "x".into()].into()),
            ),
            DataElement::new(tags::REFERENCED_IMAGE_SEQUENCE, VR::SQ, sequence),
        ]);
        assert_eq!(
            Value::Object(data_set(&header)),
            json!({
                "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
                "00081140": {"vr": "SQ", "Value": [{"00200013": {"vr": "IS", "Value": [7]}}]},
                "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}]},
                "00280030": {"vr": "DS", "Value": [0.5, "x"]},
            })
        );
        assert_eq!(person_name("Test^Ada"), json!({"Alphabetic": "Test^Ada"}));
    }
}
