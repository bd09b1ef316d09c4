//! The name of an application entity, checked once at the door.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an AE title.
///
/// Source: DICOM PS3.5, section 6.2 (VR AE).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AeTitleError {
    /// Nothing but spaces: "no application name specified".
    #[error("the AE title is empty")]
    Empty,
    /// More than 16 characters between the spaces.
    #[error("the AE title is longer than 16 characters")]
    TooLong,
    /// A character outside printable ASCII, or a backslash.
    #[error("the AE title holds a character other than printable ASCII, or a backslash")]
    Malformed,
}

/// An application entity's title: 1 to 16 printable ASCII characters, without padding.
///
/// It is safe to log: it holds no control character.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AeTitle(Cow<'static, str>);

impl AeTitle {
    /// Medilink's own title where none is configured.
    pub const MEDILINK: Self = Self(Cow::Borrowed("MEDILINK"));

    /// The title as text, without padding.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AeTitle {
    type Err = AeTitleError;

    fn from_str(text: &str) -> Result<Self, AeTitleError> {
        let title = text.trim_matches([' ', '\0']);
        if title.is_empty() {
            return Err(AeTitleError::Empty);
        }
        if title.bytes().any(|byte| !(0x20..=0x7E).contains(&byte) || byte == b'\\') {
            return Err(AeTitleError::Malformed);
        }
        if title.len() > 16 {
            return Err(AeTitleError::TooLong);
        }
        Ok(Self(Cow::Owned(title.to_owned())))
    }
}

impl TryFrom<String> for AeTitle {
    type Error = AeTitleError;

    fn try_from(text: String) -> Result<Self, AeTitleError> {
        text.parse()
    }
}

impl From<AeTitle> for String {
    fn from(title: AeTitle) -> Self {
        title.0.into_owned()
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.8, section 9.3.2: leading and trailing spaces are not significant.
    #[test]
    fn spaces_around_a_title_are_not_part_of_it() {
        assert_eq!("  MEDILINK      ".parse(), Ok(AeTitle::MEDILINK));
    }

    #[test]
    fn a_title_that_could_forge_a_log_line_is_refused() {
        assert_eq!("A\nINFO".parse::<AeTitle>(), Err(AeTitleError::Malformed));
        assert_eq!("A\\B".parse::<AeTitle>(), Err(AeTitleError::Malformed));
        assert_eq!("é".parse::<AeTitle>(), Err(AeTitleError::Malformed));
        assert_eq!(" ".repeat(16).parse::<AeTitle>(), Err(AeTitleError::Empty));
        assert_eq!("A".repeat(17).parse::<AeTitle>(), Err(AeTitleError::TooLong));
    }
}
