//! Words without their endings, and how far apart two words are.

/// The word without what grammar and British or American habit add to it.
///
/// Light on purpose: a stem is only ever compared with another stem, never shown.
pub(super) fn stem(word: &str) -> String {
    let mut word = folded(word);
    if word.len() < 4 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return word;
    }
    if let Some(short) = word.strip_suffix("ness").filter(|short| short.len() >= 3) {
        word.truncate(short.len());
    }
    plural(&mut word);
    if word.ends_with("eed") {
        return word;
    }
    for ending in ["ing", "ed", "ly"] {
        let at_least = if ending == "ly" { 4 } else { 3 };
        let short = word.len().saturating_sub(ending.len());
        if word.ends_with(ending) && short >= at_least && has_vowel(&word[..short]) {
            word.truncate(short);
            break;
        }
    }
    if word.len() >= 7 && (word.ends_with("tion") || word.ends_with("sion")) {
        word.truncate(word.len() - 3);
    }
    if word.len() >= 5 && word.ends_with(['e', 'y', 'i']) {
        word.pop();
    }
    let bytes = word.as_bytes();
    if let [.., before, last] = bytes
        && word.len() >= 4
        && before == last
        && *last != b's'
    {
        word.pop();
    }
    word
}

fn has_vowel(word: &str) -> bool {
    word.bytes().any(|byte| b"aeiouy".contains(&byte))
}

/// One spelling of what is spelt in two ways.
fn folded(word: &str) -> String {
    let mut word = word.to_owned();
    if word.len() >= 5 && word.contains("ae") {
        word = word.replace("ae", "e");
    }
    if word.len() >= 6 && word.contains("oe") {
        word = word.replace("oe", "e");
    }
    for (british, american) in [("our", "or"), ("ours", "ors"), ("oured", "ored"), ("ouring", "oring")] {
        if word.len() >= british.len() + 3
            && let Some(short) = word.strip_suffix(british)
        {
            word = format!("{short}{american}");
            break;
        }
    }
    if word.len() >= 7 {
        word = word.replace("isation", "ization").replace("ising", "izing").replace("ised", "ized");
    }
    word
}

fn plural(word: &mut String) {
    if let Some(short) = word.strip_suffix("ies").filter(|short| short.len() >= 2) {
        *word = format!("{short}y");
    } else if word.ends_with("sses") {
        word.truncate(word.len() - 2);
    } else if word.ends_with('s') && !["ss", "us", "is"].iter().any(|ending| word.ends_with(ending)) {
        word.pop();
    }
}

/// Whether two words lie at most `most` slips apart: a letter left out, put in, changed, or two exchanged
/// (Damerau, Comm ACM 1964).
pub(super) fn slips(a: &str, b: &str, most: usize) -> Option<usize> {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > most || a.len() > 40 || b.len() > 40 {
        return None;
    }
    let mut before_last = [0_usize; 42];
    let mut last: [usize; 42] = std::array::from_fn(|at| at);
    for i in 0..a.len() {
        let mut row = [0_usize; 42];
        row[0] = i + 1;
        for j in 0..b.len() {
            let change = usize::from(a[i] != b[j]);
            row[j + 1] = (last[j + 1] + 1).min(row[j] + 1).min(last[j] + change);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(before_last[j - 1] + 1);
            }
        }
        before_last = last;
        last = row;
    }
    Some(last[b.len()]).filter(|slips| *slips <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_one_word_have_one_stem() {
        for forms in [
            ["cough", "coughing", "coughs"],
            ["swell", "swelling", "swells"],
            ["headache", "headaches", "headaches"],
            ["dizziness", "dizzy", "dizzy"],
            ["diarrhoea", "diarrhea", "diarrhoea"],
            ["itch", "itchy", "itching"],
            ["constipated", "constipation", "constipated"],
            ["body", "bodies", "body"],
            ["travelled", "travel", "travelling"],
            ["anaemia", "anemia", "anaemia"],
        ] {
            assert!(forms.iter().all(|form| stem(form) == stem(forms[0])), "{forms:?}");
        }
        assert_ne!(stem("bleed"), stem("bled"));
        assert_ne!(stem("pain"), stem("pan"));
    }

    #[test]
    fn a_slip_is_a_letter_more_fewer_other_or_two_exchanged() {
        assert_eq!(slips("diarrea", "diarrhea", 1), Some(1));
        assert_eq!(slips("haedache", "headache", 1), Some(1));
        assert_eq!(slips("nausea", "nausae", 1), Some(1));
        assert_eq!(slips("cough", "dough", 0), None);
        assert_eq!(slips("cough", "tonsil", 2), None);
    }
}
