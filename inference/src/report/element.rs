//! Data elements from plain values.

use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

/// A text; one without characters is an element without a value.
pub(super) fn text(tag: Tag, vr: VR, text: impl Into<String>) -> InMemElement {
    let text = text.into();
    let value = if text.is_empty() { PrimitiveValue::Empty } else { PrimitiveValue::from(text) };
    DataElement::new(tag, vr, value)
}

/// An unsigned number of 16 bits.
pub(super) fn short(tag: Tag, value: u16) -> InMemElement {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

/// A sequence of these items.
pub(super) fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> InMemElement {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

/// An item of these elements.
pub(super) fn item(elements: impl IntoIterator<Item = InMemElement>) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

/// `text` as a single value of at most `characters`: without control characters and backslashes (PS3.5, section 6.2).
pub(super) fn line(text: &str, characters: usize) -> String {
    let is_plain = |letter: &char| !letter.is_control() && *letter != '\\';
    let line: String = text.chars().filter(is_plain).take(characters).collect();
    line.trim().to_owned()
}

/// `text` as a person's name of one component group: what would part its components becomes a space.
pub(super) fn person(text: &str) -> String {
    line(&text.replace(['^', '='], " "), 64)
}

/// A number as DS writes it: at most 16 characters (PS3.5, section 6.2).
pub(super) fn decimal(value: f64) -> String {
    let plain = format!("{value}");
    if plain.len() <= 16 {
        return plain;
    }
    let short = format!("{value:.8}");
    let short = if short.contains('.') { short.trim_end_matches('0').trim_end_matches('.') } else { &short };
    if short.len() <= 16 { short.to_owned() } else { format!("{value:.6e}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_of_people_becomes_one_value() {
        assert_eq!(line(" a\\b\r\nc ", 64), "abc");
        assert_eq!(person("Ada^Test=x"), "Ada Test x");
    }

    proptest! {
        /// PS3.5, section 6.2: a Decimal String has at most 16 characters.
        #[test]
        fn a_decimal_fits_and_reads_back(value in -1e12_f64..1e12) {
            let text = decimal(value);
            prop_assert!(text.len() <= 16, "{}", text);
            let read: f64 = text.parse().unwrap();
            prop_assert!((read - value).abs() <= value.abs() * 1e-6 + 1e-8, "{} {}", text, value);
        }
    }
}
