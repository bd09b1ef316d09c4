//! What something is, in the words of a code system.

use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, invalid, line};

/// The code system LOINC (HL7 FHIR R4, «Using LOINC with FHIR»).
pub const LOINC: &str = "http://loinc.org";
/// The code system UCUM (HL7 FHIR R4, «Using UCUM with FHIR»).
pub const UCUM: &str = "http://unitsofmeasure.org";
/// The code system SNOMED CT (HL7 FHIR R4, «Using SNOMED CT with FHIR»).
pub const SNOMED: &str = "http://snomed.info/sct";

/// A code of a code system, and what it means for people (HL7 FHIR R4, `Coding`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Coding {
    /// The code system's URI: `http://snomed.info/sct`, `http://www.whocc.no/atc`, `urn:oid:…`.
    #[cfg_attr(feature = "schema", schema(max_length = 255, pattern = "^(https?://|urn:)[!-~]+$"))]
    pub system: String,
    /// The code.
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 64))]
    pub code: String,
    /// What it means, for people.
    #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 255))]
    pub display: String,
}

impl Coding {
    /// Three texts as they stand in this program.
    pub fn of(system: &str, code: &str, display: &str) -> Self {
        Self { system: system.to_owned(), code: code.to_owned(), display: display.to_owned() }
    }

    /// Whether it reads as a code of a system.
    ///
    /// # Errors
    ///
    /// [`Invalid`] when the system is no URI, or a text is empty, too long or odd.
    pub fn check(&self) -> Result<(), Invalid> {
        let is_uri = ["http://", "https://", "urn:"]
            .iter()
            .any(|scheme| self.system.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
        if !is_uri || self.system.len() > 255 || !self.system.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid("system", "is the URI of a code system"));
        }
        line("code", &self.code, 64)?;
        line("display", &self.display, 255)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_names_its_system_by_a_uri() {
        assert_eq!(Coding::of(SNOMED, "91936005", "Allergy to penicillin").check(), Ok(()));
        assert_eq!(
            Coding::of("urn:oid:2.16.840.1.113883.6.73", "J01CE01", "Benzylpenicillin").check(),
            Ok(())
        );
        for system in ["", "SNOMED", "http://", "http://a b", "javascript:x"] {
            assert!(Coding::of(system, "1", "x").check().is_err(), "{system}");
        }
        assert!(Coding::of(LOINC, "", "x").check().is_err());
    }
}
