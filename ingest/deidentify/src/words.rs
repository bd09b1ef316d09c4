//! Descriptors, cleaned: what stays is words of a list, and sizes.
//!
//! Source: DICOM PS3.15, section E.3.5. What is not known to be safe goes.

use std::collections::BTreeSet;
use std::sync::LazyLock;

static WORDS: LazyLock<BTreeSet<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("../data/safe_words.txt").lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).collect()
});

/// Units of what stays with its number: `5mm`, `120kV`, `0.8s`.
const UNITS: [&str; 14] =
    ["mm", "cm", "s", "sec", "ms", "min", "ml", "kv", "kvp", "ma", "mas", "mgy", "t", "x"];
/// Digits of a number before the point; more could be somebody's number.
const MOST_DIGITS: usize = 4;

/// The words of `text` that stay, a space between them; `None` where none does, and where letters beyond ASCII or
/// escape sequences stand in it, because then it cannot be cut into words by its bytes.
pub(crate) fn cleaned(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii() && !text.contains('\x1B'))?;
    let is_between = |it: char| it.is_whitespace() || it.is_control() || "_,;:/\\()[]^+=|\"'&".contains(it);
    let kept: Vec<&str> = text.split(is_between).filter(|word| is_safe(word)).collect();
    (!kept.is_empty()).then(|| kept.join(" "))
}

fn is_safe(word: &str) -> bool {
    let word = word.trim_matches(['.', '-', '*']).to_ascii_lowercase();
    WORDS.contains(word.as_str()) || is_size(&word)
}

/// `5mm`, `1.25mm`.
fn is_size(word: &str) -> bool {
    let digits = word.find(|it: char| !it.is_ascii_digit()).unwrap_or(word.len());
    if !(1..=MOST_DIGITS).contains(&digits) {
        return false;
    }
    let rest = match word[digits..].strip_prefix('.') {
        Some(decimals) => decimals.trim_start_matches(|it: char| it.is_ascii_digit()),
        None => &word[digits..],
    };
    UNITS.contains(&rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_list_and_sizes_stay_and_all_else_goes() {
        let clean = |text: &str| cleaned(text.as_bytes());
        assert_eq!(clean("CT CHEST W CONTRAST 1.25mm").as_deref(), Some("CT CHEST W CONTRAST 1.25mm"));
        assert_eq!(clean("Thorax Mr. Miller, 12345678 (5mm)").as_deref(), Some("Thorax Mr. 5mm"));
        assert_eq!(clean("knee left dob=19701231").as_deref(), Some("knee left"));
        assert_eq!(clean("Smith^John"), None);
        assert_eq!(clean("Schädel"), None);
        assert_eq!(clean("\x1b$B;3ED\x1b(B head"), None);
        assert_eq!(clean("123456mm"), None);
        assert_eq!(clean(""), None);
    }
}
