//! Why a value that somebody sent is not taken, and the checks that many values share.

/// A member that is not as it must be; the words never repeat what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{member} {rule}")]
pub struct Invalid {
    /// The member, as JSON names it.
    pub member: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

/// The refusal of `member`.
pub fn invalid(member: &'static str, rule: &'static str) -> Invalid {
    Invalid { member, rule }
}

/// Holds a line of text to at most `most` characters: not empty, no blanks at its ends, no control characters and
/// none that turn the direction of what stands beside it (Unicode Standard Annex 9, sections 2.1 to 2.5).
///
/// # Errors
///
/// [`Invalid`] when it is none.
pub fn line(member: &'static str, text: &str, most: usize) -> Result<(), Invalid> {
    let is_odd = |c: char| c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    if text.is_empty() || text.trim() != text || text.contains(is_odd) {
        return Err(invalid(member, "is a line of text without blanks at its ends and control characters"));
    }
    if text.chars().count() > most {
        return Err(invalid(member, "is too long"));
    }
    Ok(())
}

/// Holds an optional line of text to [`line`].
///
/// # Errors
///
/// [`Invalid`] when it is there and is none.
pub fn optional_line(member: &'static str, text: Option<&String>, most: usize) -> Result<(), Invalid> {
    text.map_or(Ok(()), |text| line(member, text, most))
}

/// Holds a note to 4,000 characters without control characters other than line ends and tabs.
///
/// # Errors
///
/// [`Invalid`] when it is there and is none.
pub fn note(member: &'static str, text: Option<&String>) -> Result<(), Invalid> {
    let Some(text) = text else { return Ok(()) };
    let is_odd = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.trim().is_empty() || text.contains(is_odd) {
        return Err(invalid(member, "is a text without control characters"));
    }
    if text.chars().count() > 4_000 {
        return Err(invalid(member, "has at most 4,000 characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_neither_blanks_at_its_ends_nor_hidden_characters() {
        assert_eq!(line("name", "Ada Ünal", 8), Ok(()));
        for odd in ["", " Ada", "Ada\n", "A\0da", "Ada\u{202E}x", "A\u{7}"] {
            assert!(line("name", odd, 64).is_err(), "{odd:?}");
        }
        assert_eq!(line("name", "Ada Ünals", 8), Err(invalid("name", "is too long")));
    }

    #[test]
    fn a_note_may_have_lines() {
        assert_eq!(note("note", Some(&"one\ntwo".to_owned())), Ok(()));
        assert!(note("note", Some(&"\0".to_owned())).is_err());
        assert!(note("note", Some(&"ü".repeat(4_001))).is_err());
    }
}
