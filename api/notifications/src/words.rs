//! What a message says: the program's words in the reader's language, or the clinic's own in their place.
//!
//! A template holds text and `{{name}}` and nothing else: what a value says is never read as a template again,
//! in HTML it is escaped, and in a subject it breaks no line.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// The languages that the program speaks, and their words.
const LANGUAGES: [(&str, &str); 4] = [
    ("en", include_str!("../words/en.toml")),
    ("de", include_str!("../words/de.toml")),
    ("fr", include_str!("../words/fr.toml")),
    ("es", include_str!("../words/es.toml")),
];
/// The longest subject, in characters.
const SUBJECT_CHARACTERS: usize = 200;
/// What every template may name.
const ALWAYS: [&str; 4] = ["title", "body", "clinic", "link"];

/// The mail with the link for a new password; no clinic puts it into its own words, which could carry the link elsewhere.
pub(crate) const PASSWORD_RESET: &str = "password_reset";

/// The words of one kind of message.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Words {
    /// Subject of an e-mail, title of a push.
    pub subject: String,
    /// The text.
    pub text: String,
    /// The text of an e-mail as HTML; without it the text is made HTML of.
    pub html: Option<String>,
}

type Book = BTreeMap<String, Words>;

static BOOKS: LazyLock<Vec<(&str, Book)>> = LazyLock::new(|| {
    let read = |(language, text)| (language, toml::from_str(text).expect("the words read, as a test proves"));
    LANGUAGES.into_iter().map(read).collect()
});

/// The program's words of a name, in the language that is nearest to `locale`.
pub(crate) fn built_in(name: &str, locale: &str) -> Option<&'static Words> {
    let language = locale.split(['-', '_']).next().unwrap_or_default();
    let book = BOOKS.iter().find(|(known, _)| known.eq_ignore_ascii_case(language));
    let own = book.and_then(|(_, book)| book.get(name));
    own.or_else(|| BOOKS.first().and_then(|(_, book)| book.get(name)))
}

/// The names of the messages that a clinic may put into its own words.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let all = BOOKS.first().into_iter().flat_map(|(_, book)| book.keys().map(String::as_str));
    all.filter(|name| *name != PASSWORD_RESET)
}

/// The names that a template of this name may hold.
pub(crate) fn values_of(name: &str) -> Vec<&'static str> {
    let words = built_in(name, "en");
    let texts = words.map(|words| [words.subject.as_str(), words.text.as_str()]).unwrap_or_default();
    let named = texts.into_iter().flat_map(|text| parts(text).unwrap_or_default());
    let mut names: Vec<&str> = named
        .filter_map(|part| if let Part::Value(name) = part { Some(name) } else { None })
        .chain(ALWAYS)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A piece of a template.
#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Text(&'t str),
    Value(&'t str),
}

/// Why a template is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// Its braces do not pair.
    #[error("a template has {{{{name}}}} with a name of letters, digits, hyphens and underscores")]
    Braces,
    /// It names what this kind of message does not have.
    #[error("this message has no value of that name; it has {}", .0.join(", "))]
    UnknownValue(Vec<&'static str>),
}

/// The pieces of a template.
fn parts(template: &str) -> Result<Vec<Part<'_>>, TemplateError> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, after) = behind.split_once("}}").ok_or(TemplateError::Braces)?;
        let name = name.trim();
        let is_good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(is_good) {
            return Err(TemplateError::Braces);
        }
        parts.push(Part::Text(before));
        parts.push(Part::Value(name));
        rest = after;
    }
    if rest.contains("}}") {
        return Err(TemplateError::Braces);
    }
    parts.push(Part::Text(rest));
    Ok(parts)
}

/// Checks a clinic's template against what messages of this name have.
///
/// # Errors
///
/// [`TemplateError`] says what is wrong.
pub(crate) fn check(name: &str, template: &str) -> Result<(), TemplateError> {
    let known = values_of(name);
    let is_known = |part: &Part<'_>| match part {
        Part::Text(_) => true,
        Part::Value(value) => known.contains(value),
    };
    if parts(template)?.iter().all(is_known) { Ok(()) } else { Err(TemplateError::UnknownValue(known)) }
}

/// What a message says to one reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub subject: String,
    pub text: String,
    pub html: String,
}

impl Words {
    /// The words with their values; a value that is not there is left empty.
    pub fn render(&self, values: &BTreeMap<String, String>) -> Rendered {
        let text = fill(&self.text, values, str::to_owned);
        let html = match &self.html {
            Some(html) => fill(html, values, escape),
            None => paragraphs(&text),
        };
        Rendered { subject: one_line(&fill(&self.subject, values, str::to_owned)), text, html }
    }
}

fn fill(template: &str, values: &BTreeMap<String, String>, written: impl Fn(&str) -> String) -> String {
    // A template was checked before it was kept; one that no longer reads is shown as it is.
    let Ok(parts) = parts(template) else { return template.to_owned() };
    let filled = parts.into_iter().map(|part| match part {
        Part::Text(text) => text.to_owned(),
        Part::Value(name) => values.get(name).map_or_else(String::new, |value| written(value)),
    });
    filled.collect()
}

/// A text as HTML shows it, in elements and in quoted attributes alike.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn paragraphs(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| escape(paragraph.trim()).replace('\n', "<br>"));
    paragraphs.map(|paragraph| format!("<p>{paragraph}</p>")).collect()
}

/// A text that fits into a header: one line, with an end.
fn one_line(text: &str) -> String {
    let flat = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    flat.take(SUBJECT_CHARACTERS).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_language_has_every_message_with_the_same_values() {
        for (language, book) in BOOKS.iter() {
            assert_eq!(book.keys().collect::<Vec<_>>(), BOOKS[0].1.keys().collect::<Vec<_>>(), "{language}");
            for (name, words) in book {
                for text in [&words.subject, &words.text] {
                    assert_eq!(check(name, text), Ok(()), "{language} {name}");
                }
            }
        }
    }

    #[test]
    fn the_nearest_language_is_spoken_and_english_where_there_is_none() {
        assert_eq!(built_in("discreet", "de-CH").unwrap().subject, "Neue Nachricht von {{clinic}}");
        assert_eq!(built_in("discreet", "sw"), built_in("discreet", "en"));
        assert_eq!(built_in("no_such", "de"), None);
    }

    #[test]
    fn a_value_is_never_read_as_a_template_and_shows_no_markup() {
        let words = Words {
            subject: "About {{title}}".into(),
            text: "{{body}}".into(),
            html: Some("<b title=\"{{title}}\">{{body}}</b>".into()),
        };
        let evil = [
            ("title", "x\" onload=\"y\r\nBcc: all@example.org"),
            ("body", "{{link}}<script>1</script>"),
            ("link", "L"),
        ];
        let said = words.render(&values(&evil));
        assert_eq!(said.text, "{{link}}<script>1</script>");
        assert_eq!(said.subject, "About x\" onload=\"y  Bcc: all@example.org");
        let html = "<b title=\"x&quot; onload=&quot;y\r\nBcc: all@example.org\">{{link}}&lt;script&gt;1&lt;/script&gt;</b>";
        assert_eq!(said.html, html);
        let plain = Words { html: None, ..words }.render(&values(&[("body", "a<b\nc\n\nd")]));
        assert_eq!(plain.html, "<p>a&lt;b<br>c</p><p>d</p>");
    }

    #[test]
    fn a_template_that_names_what_is_not_there_is_refused() {
        assert_eq!(check("invoice_paid", "{{ amount }} {{clinic}}"), Ok(()));
        assert!(matches!(check("invoice_paid", "{{password}}"), Err(TemplateError::UnknownValue(_))));
        for odd in ["{{amount", "amount}}", "{{}}", "{{a b}}", "{{#each x}}", "{{{{amount}}}}"] {
            assert_eq!(check("invoice_paid", odd), Err(TemplateError::Braces), "{odd}");
        }
    }
}
