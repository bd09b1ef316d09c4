//! Words of DICOM JSON (PS3.18, annex F); `ingest::dicom_json` writes whole data sets.

use dicom_core::Tag;
use serde_json::Value;

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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// PS3.18, section F.2.2.
    #[test]
    fn a_name_is_parted_into_its_groups() {
        assert_eq!(person_name("Test^Ada"), json!({"Alphabetic": "Test^Ada"}));
        let groups = json!({"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"});
        assert_eq!(person_name("Yamada^Tarou=山田^太郎"), groups);
    }
}
