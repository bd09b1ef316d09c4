//! A concept by its code.

use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::element::{item, line, text};

/// The designator of our own codes (PS3.16, section 8.2: private ones begin with 99).
const OWN: &str = "99MEDILINK";
/// A longer code is a Long Code Value (PS3.3, section 8.1).
const SHORT_CODE: usize = 16;

/// A concept by its code (PS3.3, section 8).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code {
    /// The code.
    value: String,
    /// Coding Scheme Designator (PS3.16, section 8).
    scheme: String,
    /// What it means, for people.
    meaning: String,
}

impl Code {
    /// A code of a scheme by its designator, such as `SCT`.
    pub fn new(value: &str, scheme: &str, meaning: &str) -> Self {
        Self { value: line(value, 128), scheme: line(scheme, 16), meaning: line(meaning, 64) }
    }

    /// A code of PS3.16, annex D.
    pub(super) fn dcm(value: &str, meaning: &str) -> Self {
        Self::new(value, "DCM", meaning)
    }

    /// A code of SNOMED CT that PS3.16 prints.
    pub(super) fn sct(value: &str, meaning: &str) -> Self {
        Self::new(value, "SCT", meaning)
    }

    /// A unit of UCUM.
    pub(super) fn unit(value: &str, meaning: &str) -> Self {
        Self::new(value, "UCUM", meaning)
    }

    /// A code of our own.
    pub fn own(value: &str, meaning: &str) -> Self {
        Self::new(value, OWN, meaning)
    }

    /// A code of a terminology by the name that cards give it, else one of our own.
    pub fn of_terminology(system: &str, value: &str, meaning: &str) -> Self {
        let schemes = [("radlex", "RADLEX"), ("icd-10-cm", "I10C"), ("icd-10", "I10"), ("snomed ct", "SCT")];
        let named = schemes.iter().find(|(name, _)| *name == system.to_lowercase());
        Self::new(value, named.map_or(OWN, |(_, scheme)| scheme), meaning)
    }

    /// What it means, for people.
    pub fn meaning(&self) -> &str {
        &self.meaning
    }

    /// The item of a code sequence.
    pub(super) fn item(&self) -> InMemDicomObject {
        let is_short = self.value.chars().count() <= SHORT_CODE;
        let value = if is_short {
            text(tags::CODE_VALUE, VR::SH, &self.value)
        } else {
            text(tags::LONG_CODE_VALUE, VR::UC, &self.value)
        };
        item([
            value,
            text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, &self.scheme),
            text(tags::CODE_MEANING, VR::LO, &self.meaning),
        ])
    }

    /// Items of the Coding Scheme Identification Sequence (0008,0110) for designators that are not in PS3.16, section 8,
    /// or that readers may not know.
    pub(super) fn schemes() -> Vec<InMemDicomObject> {
        let own = item([
            text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, OWN),
            text(tags::CODING_SCHEME_NAME, VR::ST, "Codes of Medilink"),
            text(tags::CODING_SCHEME_RESPONSIBLE_ORGANIZATION, VR::ST, "Medilink"),
        ]);
        let icd = item([
            text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "I10C"),
            text(tags::CODING_SCHEME_UID, VR::UI, "2.16.840.1.113883.6.90"),
            text(tags::CODING_SCHEME_NAME, VR::ST, "ICD-10-CM"),
        ]);
        vec![own, icd]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_longer_than_sixteen_characters_is_a_long_one() {
        let has = |code: &str, tag| Code::own(code, "x").item().element(tag).is_ok();
        assert!(has("0123456789abcdef", tags::CODE_VALUE));
        assert!(!has("out-of-distribution", tags::CODE_VALUE));
        assert!(has("out-of-distribution", tags::LONG_CODE_VALUE));
    }

    #[test]
    fn a_terminology_that_is_not_known_gives_a_code_of_our_own() {
        let designator = |system: &str| Code::of_terminology(system, "RID5350", "pneumonia").scheme;
        assert_eq!(designator("RadLex"), "RADLEX");
        assert_eq!(designator("ICD-10-CM"), "I10C");
        assert_eq!(designator("local"), OWN);
    }
}
