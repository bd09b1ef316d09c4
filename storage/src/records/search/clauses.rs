//! The conditions of a search as SQL: text and arguments while they grow.

use super::{Condition, Key};
use crate::db::Value;
use crate::records::patient::{name_key, name_words};

/// Text and arguments while they grow.
pub(super) struct Clauses {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Clauses {
    /// The place of a new argument; `$1` is the clinic.
    pub(super) fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len() + 1)
    }

    fn between(&mut self, measured: &str, from: Option<&String>, to: Option<&String>) {
        for (sign, bound) in [(">=", from), ("<=", to)] {
            if let Some(bound) = bound {
                let place = self.bind(bound);
                self.text += &format!(" AND {measured} {sign} {place}");
            }
        }
    }

    pub(super) fn one_of(&mut self, key: Key, texts: &[String], has_wildcards: bool) {
        let column = key.column();
        let is_listed = !key.is_of_items() && (!has_wildcards || !texts.iter().any(|it| is_pattern(it)));
        let any = if is_listed && texts.len() > 1 {
            let texts = texts.iter().map(|text| compared(key, text));
            let places: Vec<String> = texts.map(|text| self.bind(text)).collect();
            format!("{column} IN ({})", places.join(", "))
        } else {
            let tests: Vec<String> = texts.iter().map(|text| self.test(key, text, has_wildcards)).collect();
            tests.join(" OR ")
        };
        self.text += &match key {
            Key::ModalitiesInStudy => format!(
                " AND EXISTS (SELECT 1 FROM series AS any_series
                               WHERE any_series.study_id = studies.study_id
                                 AND any_series.hidden_at IS NULL AND ({any}))"
            ),
            Key::SopClassesInStudy => format!(
                " AND EXISTS (SELECT 1 FROM instances AS any_instance
                               WHERE any_instance.study_id = studies.study_id
                                 AND any_instance.hidden_at IS NULL AND ({any}))"
            ),
            _ => format!(" AND ({any})"),
        };
    }

    fn test(&mut self, key: Key, text: &str, has_wildcards: bool) -> String {
        let (column, text) = (key.column(), compared(key, text));
        if key.is_of_items() {
            let place = self.bind(format!(r"%\{}\%", like_pattern(&text)));
            return format!(r"'\' || {column} || '\' LIKE {place} ESCAPE '!'");
        }
        if !has_wildcards || !is_pattern(&text) {
            let place = self.bind(text);
            return format!("{column} = {place}");
        }
        // What a pattern begins with bounds a stretch of an index; the last of all characters ends it.
        let beginning = beginning(&text);
        let mut test = String::new();
        if !beginning.is_empty() && begins_along_index(key) {
            let (from, to) = (self.bind(beginning), self.bind(format!("{beginning}\u{10FFFF}")));
            test = format!("{column} >= {from} AND {column} < {to} AND ");
        }
        let place = self.bind(like_pattern(&text));
        format!("({test}{column} LIKE {place} ESCAPE '!')")
    }

    /// Each word begins a word of the name as it is kept without case and accents.
    fn words(&mut self, key: Key, words: &[String]) {
        let measured = match key {
            Key::PatientName => "' ' || patients.family_key || ' ' || patients.given_key",
            _ => "' ' || COALESCE(studies.referring_words, replace(studies.referring_key, '^', ' '))",
        };
        for word in words.iter().flat_map(|words| name_words(words)) {
            let place = self.bind(format!("% {}%", like_pattern(&word)));
            self.text += &format!(" AND {measured} LIKE {place} ESCAPE '!'");
        }
    }

    pub(super) fn add(&mut self, key: Key, condition: &Condition) {
        match condition {
            Condition::Pattern(texts) => self.one_of(key, texts, true),
            Condition::OneOf(texts) => self.one_of(key, texts, false),
            Condition::Words(words) if key.is_name() => self.words(key, words),
            Condition::Words(words) => self.one_of(key, words, false),
            Condition::Number(number) => {
                let place = self.bind(*number);
                self.text += &format!(" AND {} = {place}", key.column());
            }
            Condition::Numbers(numbers) => {
                let places: Vec<String> = numbers.iter().map(|number| self.bind(*number)).collect();
                self.text += &format!(" AND {} IN ({})", key.column(), places.join(", "));
            }
            Condition::Days { from, to } => self.between(key.column(), from.as_ref(), to.as_ref()),
            Condition::Moments { from, to } => {
                let (day, time) = (key.column(), key.time_column());
                let moment = format!("{day} || substr(COALESCE({time}, '') || '000000', 1, 6)");
                self.between(&moment, from.as_ref(), to.as_ref());
            }
            Condition::Times { from, to } => {
                let second = format!("substr({} || '0000', 1, 6)", key.column());
                self.between(&second, from.as_ref(), to.as_ref());
            }
        }
    }
}

/// The text as its column holds it.
fn compared(key: Key, text: &str) -> String {
    if key.is_name() { name_key(text) } else { text.to_owned() }
}

pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// What stands before the first wildcard.
pub(super) fn beginning(text: &str) -> &str {
    text.split(['*', '?']).next().unwrap_or_default()
}

/// Whether the column's index is in the order of its bytes, as both engines compare a stretch of it.
pub(super) fn begins_along_index(key: Key) -> bool {
    matches!(key, Key::PatientName | Key::PatientId | Key::AccessionNumber)
}

/// `*` and `?` as LIKE writes them; what LIKE would take for its own is escaped by `!`.
pub(crate) fn like_pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 4);
    for letter in text.chars() {
        match letter {
            '*' => pattern.push('%'),
            '?' => pattern.push('_'),
            '%' | '_' | '!' => pattern.extend(['!', letter]),
            letter => pattern.push(letter),
        }
    }
    pattern
}
