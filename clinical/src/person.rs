//! Who a patient is: name, birth date, administrative sex, contacts, identifiers.

use std::collections::HashSet;

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::invalid::{Invalid, invalid, line, optional_line};

/// Most identifiers of one patient that a caller may set.
const IDENTIFIERS: usize = 20;
/// A component group of a name, and an identifier, have at most so many characters (PS3.5, table 6.2-1: PN, LO).
const LONG_TEXT: usize = 64;

/// A name by its components (PS3.5, section 6.2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PersonName {
    /// Family name.
    #[cfg_attr(
        feature = "schema",
        schema(
            min_length = 1,
            max_length = 64,
            pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\])?$"
        )
    )]
    pub family: Option<String>,
    /// Given name.
    #[cfg_attr(
        feature = "schema",
        schema(
            min_length = 1,
            max_length = 64,
            pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\])?$"
        )
    )]
    pub given: Option<String>,
    /// Middle name.
    #[cfg_attr(
        feature = "schema",
        schema(
            min_length = 1,
            max_length = 64,
            pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\])?$"
        )
    )]
    pub middle: Option<String>,
    /// Name prefix, as a title is.
    #[cfg_attr(
        feature = "schema",
        schema(
            min_length = 1,
            max_length = 64,
            pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\])?$"
        )
    )]
    pub prefix: Option<String>,
    /// Name suffix.
    #[cfg_attr(
        feature = "schema",
        schema(
            min_length = 1,
            max_length = 64,
            pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\^=\\\\])?$"
        )
    )]
    pub suffix: Option<String>,
}

impl PersonName {
    /// Reads the first component group of a PN value; it cannot fail, for whatever stands there is a name.
    pub fn from_dicom(text: &str) -> Self {
        let group = text.split('=').next().unwrap_or_default();
        let mut parts = group.splitn(5, '^').map(str::trim);
        let mut next = || parts.next().filter(|part| !part.is_empty()).map(str::to_owned);
        Self { family: next(), given: next(), middle: next(), prefix: next(), suffix: next() }
    }

    /// The name as a PN value.
    pub fn to_dicom(&self) -> String {
        let parts = [&self.family, &self.given, &self.middle, &self.prefix, &self.suffix];
        let text = parts.map(|part| part.as_deref().unwrap_or_default()).join("^");
        text.trim_end_matches('^').to_owned()
    }

    /// The name as people read it: title, given, middle, family, suffix.
    pub fn to_text(&self) -> String {
        let parts = [&self.prefix, &self.given, &self.middle, &self.family, &self.suffix];
        parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    fn check(&self) -> Result<(), Invalid> {
        let named = [
            ("name.family", &self.family),
            ("name.given", &self.given),
            ("name.middle", &self.middle),
            ("name.prefix", &self.prefix),
            ("name.suffix", &self.suffix),
        ];
        for (member, part) in named {
            optional_line(member, part.as_ref(), LONG_TEXT)?;
            if part.as_ref().is_some_and(|part| part.contains(['^', '=', '\\'])) {
                return Err(invalid(member, "holds none of the characters ^ = \\"));
            }
        }
        if self.family.is_none() && self.given.is_none() {
            return Err(invalid("name", "has a family name or a given name"));
        }
        if self.to_dicom().chars().count() > LONG_TEXT {
            return Err(invalid(
                "name",
                "has at most 64 characters, its components and what parts them together",
            ));
        }
        Ok(())
    }
}

/// Administrative sex (HL7 FHIR R4, `AdministrativeGender`; DICOM PS3.3, Patient's Sex).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Sex {
    /// `M`.
    Male,
    /// `F`.
    Female,
    /// `O`.
    Other,
    /// Not said.
    #[default]
    Unknown,
}

impl Sex {
    /// Reads Patient's Sex (0010,0040).
    pub fn from_dicom(text: Option<&str>) -> Self {
        match text {
            Some("M") => Self::Male,
            Some("F") => Self::Female,
            Some("O") => Self::Other,
            _ => Self::Unknown,
        }
    }

    /// Patient's Sex (0010,0040); `None` where it is unknown.
    pub fn to_dicom(self) -> Option<&'static str> {
        match self {
            Self::Male => Some("M"),
            Self::Female => Some("F"),
            Self::Other => Some("O"),
            Self::Unknown => None,
        }
    }

    /// FHIR's code.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Male => "male",
            Self::Female => "female",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }
}

/// Where somebody lives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Address {
    /// Street and number.
    #[cfg_attr(
        feature = "schema",
        schema(
            min_length = 1,
            max_length = 200,
            pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069])?$"
        )
    )]
    pub line: Option<String>,
    /// Town.
    #[cfg_attr(
        feature = "schema",
        schema(
            min_length = 1,
            max_length = 100,
            pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069])?$"
        )
    )]
    pub city: Option<String>,
    /// Postal code.
    #[cfg_attr(
        feature = "schema",
        schema(
            min_length = 1,
            max_length = 20,
            pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069])?$"
        )
    )]
    pub postal_code: Option<String>,
    /// State or county.
    #[cfg_attr(
        feature = "schema",
        schema(
            min_length = 1,
            max_length = 100,
            pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069])?$"
        )
    )]
    pub state: Option<String>,
    /// Country, by its two letters (ISO 3166-1).
    #[cfg_attr(feature = "schema", schema(min_length = 2, max_length = 2, pattern = "^[A-Z]{2}$"))]
    pub country: Option<String>,
}

impl Address {
    fn check(&self) -> Result<(), Invalid> {
        optional_line("address.line", self.line.as_ref(), 200)?;
        optional_line("address.city", self.city.as_ref(), 100)?;
        optional_line("address.postalCode", self.postal_code.as_ref(), 20)?;
        optional_line("address.state", self.state.as_ref(), 100)?;
        let is_code =
            |country: &String| country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
        if self.country.as_ref().is_some_and(|country| !is_code(country)) {
            return Err(invalid("address.country", "is two capital letters (ISO 3166-1)"));
        }
        Ok(())
    }
}

/// A name that someone has given a patient: a Patient ID, an insurance number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Identifier {
    /// Who gave it, as Issuer of Patient ID (0010,0021) spells them; empty where it is the clinic's own.
    #[serde(default)]
    #[cfg_attr(
        feature = "schema",
        schema(
            max_length = 64,
            pattern = "^([^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\\\]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\\\]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\\\])?)?$"
        )
    )]
    pub issuer: String,
    /// What they gave: Patient ID (0010,0020).
    #[cfg_attr(
        feature = "schema",
        schema(
            min_length = 1,
            max_length = 64,
            pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\\\]([^\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\\\]*[^\\s\\x00-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069\\\\])?$"
        )
    )]
    pub value: String,
}

impl Identifier {
    fn check(&self) -> Result<(), Invalid> {
        line("identifiers.value", &self.value, LONG_TEXT)?;
        if !self.issuer.is_empty() {
            line("identifiers.issuer", &self.issuer, LONG_TEXT)?;
        }
        if self.value.contains('\\') || self.issuer.contains('\\') {
            return Err(invalid("identifiers", "hold no backslash (PS3.5, LO)"));
        }
        Ok(())
    }
}

/// What is known of a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Demographics {
    /// What they are called.
    pub name: PersonName,
    /// When they were born.
    #[serde(default)]
    pub birth_date: Option<NaiveDate>,
    /// Administrative sex.
    #[serde(default)]
    pub sex: Sex,
    /// Telephone number.
    #[serde(default)]
    pub phone: Option<String>,
    /// E-mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// Where they live.
    #[serde(default)]
    pub address: Option<Address>,
    /// Every identifier that means them, the one that images carry first.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(max_items = 20))]
    pub identifiers: Vec<Identifier>,
}

impl Demographics {
    /// Whether this may be somebody on `today`.
    ///
    /// # Errors
    ///
    /// [`Invalid`], naming the first member that is not as it must be.
    pub fn check(&self, today: NaiveDate) -> Result<(), Invalid> {
        self.name.check()?;
        // Nobody is known to have lived for 125 years.
        let is_possible = |born: NaiveDate| born <= today && today.year() - born.year() <= 130;
        if self.birth_date.is_some_and(|born| !is_possible(born)) {
            return Err(invalid("birthDate", "is a day of the last 130 years"));
        }
        let is_phone = |text: &String| {
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            let is_part = |c: char| c.is_ascii_digit() || " +-()./".contains(c);
            (3..=20).contains(&digits) && text.len() <= 32 && text.trim() == text && text.chars().all(is_part)
        };
        if self.phone.as_ref().is_some_and(|text| !is_phone(text)) {
            return Err(invalid("phone", "is a telephone number of 3 to 20 digits"));
        }
        let is_email = |text: &String| {
            let parts = text.split_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
            let is_odd = |c: char| c.is_whitespace() || c.is_control() || "<>(),;:\\\"".contains(c);
            parts.is_some_and(|(_, host)| !host.contains('@')) && text.len() <= 254 && !text.contains(is_odd)
        };
        if self.email.as_ref().is_some_and(|text| !is_email(text)) {
            return Err(invalid("email", "is an address name@host in at most 254 bytes"));
        }
        if let Some(address) = &self.address {
            address.check()?;
        }
        if self.identifiers.len() > IDENTIFIERS {
            return Err(invalid("identifiers", "are at most 20"));
        }
        let mut seen = HashSet::new();
        for identifier in &self.identifiers {
            identifier.check()?;
            if !seen.insert(identifier) {
                return Err(invalid("identifiers", "name each identifier once"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn ada() -> Demographics {
        Demographics { name: PersonName::from_dicom("Test^Ada"), ..Demographics::default() }
    }

    /// The first example of PS3.5, section 6.2.1.1: «Rev. John Robert Quincy Adams, B.A. M.Div.»
    #[test]
    fn a_name_has_the_components_of_the_standard() {
        let text = "Adams^John Robert Quincy^^Rev.^B.A. M.Div.";
        let name = PersonName::from_dicom(text);
        assert_eq!(name.given.as_deref(), Some("John Robert Quincy"));
        assert_eq!((name.middle.as_deref(), name.prefix.as_deref()), (None, Some("Rev.")));
        assert_eq!(name.to_text(), "Rev. John Robert Quincy Adams B.A. M.Div.");
        assert_eq!(name.to_dicom(), text);
    }

    #[test]
    fn the_ideographic_group_is_not_taken_for_a_part_of_the_name() {
        let name = PersonName::from_dicom("Yamada^Tarou=山田^太郎");
        assert_eq!((name.family.as_deref(), name.given.as_deref()), (Some("Yamada"), Some("Tarou")));
        assert_eq!(PersonName::from_dicom(""), PersonName::default());
    }

    #[test]
    fn nobody_is_born_tomorrow() {
        let today = day("2026-11-21");
        assert_eq!(Demographics { birth_date: Some(today), ..ada() }.check(today), Ok(()));
        for born in ["2026-11-22", "1895-01-01"] {
            assert!(Demographics { birth_date: Some(day(born)), ..ada() }.check(today).is_err(), "{born}");
        }
    }

    #[test]
    fn each_member_is_held_to_its_rule() {
        let today = day("2026-11-21");
        let family = |text: &str| PersonName { family: Some(text.to_owned()), ..PersonName::default() };
        let identifier = |value: &str| Identifier { issuer: String::new(), value: value.to_owned() };
        let broken = [
            ("name", Demographics::default()),
            ("name.family", Demographics { name: family("A^B"), ..ada() }),
            ("name.family", Demographics { name: family(&"x".repeat(65)), ..ada() }),
            ("phone", Demographics { phone: Some("call me".into()), ..ada() }),
            ("email", Demographics { email: Some("ada".into()), ..ada() }),
            ("email", Demographics { email: Some("a@b@c".into()), ..ada() }),
            (
                "address.country",
                Demographics {
                    address: Some(Address { country: Some("Kenya".into()), ..Address::default() }),
                    ..ada()
                },
            ),
            ("identifiers.value", Demographics { identifiers: vec![identifier(" 1")], ..ada() }),
            ("identifiers", Demographics { identifiers: vec![identifier("1"), identifier("1")], ..ada() }),
            ("identifiers", Demographics { identifiers: vec![identifier("a\\b")], ..ada() }),
        ];
        for (member, person) in broken {
            assert_eq!(person.check(today).unwrap_err().member, member);
        }
        let whole = Demographics {
            phone: Some("+254 (0)20 123-456".into()),
            email: Some("ada@example.org".into()),
            identifiers: vec![identifier("1"), Identifier { issuer: "A".into(), value: "1".into() }],
            ..ada()
        };
        assert_eq!(whole.check(today), Ok(()));
    }

    #[test]
    fn sex_goes_to_dicom_and_back() {
        for sex in [Sex::Male, Sex::Female, Sex::Other, Sex::Unknown] {
            assert_eq!(Sex::from_dicom(sex.to_dicom()), sex);
            assert_eq!(serde_json::json!(sex), sex.as_str());
        }
    }
}
