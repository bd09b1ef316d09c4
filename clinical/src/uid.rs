//! DICOM unique identifiers, checked once at the door.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a UID.
///
/// Source: DICOM PS3.5, section 9.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UidError {
    /// There was nothing to read.
    #[error("the UID is empty")]
    Empty,
    /// The text is longer than 64 characters.
    #[error("the UID is longer than 64 characters")]
    TooLong,
    /// Something other than digits and dots, or an empty component.
    #[error("the UID is not made of digits and single dots")]
    Malformed,
}

/// `text` without the trailing NUL or space that pads a value to even length.
fn unpadded(text: &str) -> &str {
    text.trim_end_matches(['\0', ' '])
}

/// Checks the form of a UID: 1 to 64 characters, components of digits parted by dots.
///
/// A leading zero in a component breaks the letter of PS3.5, section 9.1, but
/// such instances are common in the field and harmless, so they pass.
fn check(text: &str) -> Result<(), UidError> {
    if text.is_empty() {
        return Err(UidError::Empty);
    }
    if text.len() > 64 {
        return Err(UidError::TooLong);
    }
    let well_formed =
        text.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    if well_formed { Ok(()) } else { Err(UidError::Malformed) }
}

macro_rules! uids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The UID as text, without padding.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = UidError;

            fn from_str(text: &str) -> Result<Self, UidError> {
                let text = unpadded(text);
                check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = UidError;

            fn try_from(text: String) -> Result<Self, UidError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(uid: $name) -> Self {
                uid.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                use utoipa::openapi::schema::{ObjectBuilder, Type};
                let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(64));
                text.pattern(Some("^[0-9]+(\\.[0-9]+)*$")).into()
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $name {}
    )*};
}

uids! {
    /// Study Instance UID (0020,000D).
    StudyInstanceUid
    /// Series Instance UID (0020,000E).
    SeriesInstanceUid
    /// SOP Instance UID (0008,0018).
    SopInstanceUid
    /// SOP Class UID (0008,0016): what kind of object an instance is.
    SopClassUid
    /// Transfer Syntax UID (0002,0010): how its bytes are written.
    TransferSyntaxUid
    /// Transaction UID (0008,1195): one request for storage commitment, and its report.
    TransactionUid
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padding_to_even_length_is_not_part_of_the_uid() {
        let uid: SopClassUid = "1.2.840.10008.1.1\0".parse().unwrap();
        assert_eq!(uid.as_str(), "1.2.840.10008.1.1");
    }

    #[test]
    fn a_path_is_never_a_uid() {
        for text in ["../../etc/passwd", "1.2/3", "1..2", ".1", "1.", "1.2.a", "１.2"] {
            assert_eq!(text.parse::<StudyInstanceUid>(), Err(UidError::Malformed), "{text}");
        }
        assert_eq!("".parse::<StudyInstanceUid>(), Err(UidError::Empty));
        assert_eq!("1".repeat(65).parse::<StudyInstanceUid>(), Err(UidError::TooLong));
    }

    proptest! {
        #[test]
        fn a_well_formed_uid_reads_back(text in "[0-9]{1,8}(\\.[0-9]{1,8}){0,6}") {
            prop_assert_eq!(text.parse::<SopInstanceUid>().unwrap().to_string(), text);
        }
    }
}
