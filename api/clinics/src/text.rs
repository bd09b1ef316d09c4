//! Short texts from outside: trimmed, with an end to their length, and without what has no shape on paper.

use gate::Problem;
use serde::{Deserialize, Deserializer};

/// The text, trimmed.
///
/// # Errors
///
/// 400 `invalid-text` names the field: empty, longer than `most` characters, or with control characters.
pub(crate) fn checked(field: &'static str, text: &str, most: usize) -> Result<String, Problem> {
    let text = text.trim();
    let is_good = !text.is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control);
    if !is_good {
        let detail = format!("{field} has 1 to {most} characters, without control characters");
        return Err(Problem::bad_request("invalid-text", detail));
    }
    Ok(text.to_owned())
}

/// As [`checked`], for a text that may be missing.
pub(crate) fn optional(
    field: &'static str,
    text: Option<String>,
    most: usize,
) -> Result<Option<String>, Problem> {
    text.map(|text| checked(field, &text, most)).transpose()
}

/// Tells a field that is `null` (`Some(None)`) from one that is not there (`None`, by `serde(default)`).
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_trimmed_and_held_to_its_bounds() {
        assert_eq!(checked("name", "  Ñandú ", 5).unwrap(), "Ñandú");
        for bad in ["", "   ", "Ñandús", "a\0b", "a\nb", "a\u{85}b"] {
            assert_eq!(checked("name", bad, 5).unwrap_err().code(), "invalid-text", "{bad:?}");
        }
    }
}
