//! What people write about themselves and others, checked.

use gate::Problem;
use http::StatusCode;
use storage::records::user::EmailAddress;
use unicode_normalization::UnicodeNormalization;

/// The longest name, in characters.
const NAME_CHARACTERS: usize = 200;

/// 422 `invalid-input`: the request reads, and says something that cannot be.
pub(crate) fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-input", detail)
}

/// An address that may be somebody's.
pub(crate) fn email(text: &str) -> Result<EmailAddress, Problem> {
    text.parse().map_err(|error| invalid(format!("email: {error}")))
}

/// A name of a person or a thing: trimmed, NFC, 1 to 200 characters, none of them invisible.
pub(crate) fn name(text: &str) -> Result<String, Problem> {
    line("name", text, NAME_CHARACTERS)
}

/// One line of text: trimmed, NFC, up to `most` characters, without controls and without those that turn the
/// direction of what follows (Unicode TR36, section 2.4).
pub(crate) fn line(what: &str, text: &str, most: usize) -> Result<String, Problem> {
    if text.len() > most * 16 {
        return Err(invalid(format!("{what} has at most {most} characters")));
    }
    let line: String = text.trim().nfc().collect();
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
    };
    match line.chars().count() {
        0 => Err(invalid(format!("{what} is empty"))),
        count if count > most => Err(invalid(format!("{what} has at most {most} characters"))),
        _ if line.contains(is_hidden) => {
            Err(invalid(format!("{what} holds a character that cannot be seen")))
        }
        _ => Ok(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_visible_line() {
        assert_eq!(name("  E\u{301}va  ").unwrap(), "\u{c9}va");
        for text in ["", "   ", "a\nb", "a\0b", "\u{202e}evil", &"x".repeat(201), &"x".repeat(1 << 20)] {
            assert_eq!(name(text).unwrap_err().code(), "invalid-input", "{text:.20}");
        }
        assert!(name(&"ж".repeat(200)).is_ok());
    }
}
