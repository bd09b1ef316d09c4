//! One value of a header as text.

use dicom_core::header::Tag;
use dicom_core::value::{PrimitiveValue, Value};
use dicom_object::InMemDicomObject;

/// The text of `tag`, several values joined by backslashes, without spaces and NULs around it; decoded by the
/// object's own character set. Numbers come as decimal text.
///
/// `None` where the element is absent, empty, or a sequence.
pub fn text(header: &InMemDicomObject, tag: Tag) -> Option<String> {
    let Value::Primitive(value) = header.get(tag)?.value() else { return None };
    let text = match value {
        PrimitiveValue::Empty => return None,
        PrimitiveValue::Str(text) => text.as_str().into(),
        value => value.to_str(),
    };
    let text = text.trim_matches(|it: char| it == '\0' || it.is_whitespace());
    (!text.is_empty()).then(|| text.to_owned())
}
