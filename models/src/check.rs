//! From text to a card: the TOML must fit the schema, and its parts each other.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::Card;
use crate::card::{Text, Texts};

/// The only form of card that this program reads.
const SCHEMA: u32 = 2;
/// The most classes, labels or sentences of limits on a card.
pub(crate) const MAX_ENTRIES: usize = 1024;

/// Why a text is no card, or weights are not the card's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// Not TOML, an unknown or missing key, or a value of the wrong kind; the message names the line.
    #[error("the card does not read: {0}")]
    Unreadable(String),
    /// A schema of the future.
    #[error("the card has schema {0}; this program reads schema {SCHEMA}")]
    Schema(u32),
    /// The schema of the first release.
    #[error(
        "the card has schema 1, which is read no more; set schema = {SCHEMA}: every key of schema 1 means the same there"
    )]
    OldSchema,
    /// The card contradicts itself.
    #[error("the card's {field} {what}")]
    Invalid {
        /// The key, with its table.
        field: String,
        /// What is wrong, and what is asked for.
        what: String,
    },
    /// The weights are not those that the card describes.
    #[error("the weights of {network} have SHA-256 {found}, the card says {expected}")]
    WrongHash {
        /// Name and version.
        network: String,
        /// What the card says.
        expected: String,
        /// What the weights have.
        found: String,
    },
}

impl CardError {
    /// The stable code of the problem.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "card-unreadable",
            Self::Schema(_) | Self::OldSchema => "card-schema",
            Self::Invalid { .. } => "card-invalid",
            Self::WrongHash { .. } => "wrong-hash",
        }
    }
}

/// The SHA-256 of a network's weights, as cards write it.
pub fn sha256(weights: &[u8]) -> String {
    Sha256::digest(weights).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Card {
    /// Reads and checks a card.
    ///
    /// # Errors
    ///
    /// [`CardError::Unreadable`], [`CardError::Schema`] and [`CardError::Invalid`]; each says what to mend.
    pub fn parse(text: &str) -> Result<Self, CardError> {
        #[derive(serde::Deserialize)]
        struct Version {
            schema: u32,
        }
        let unreadable = |error: toml::de::Error| CardError::Unreadable(with_nearest_key(&error));
        let version: Version = toml::from_str(text).map_err(unreadable)?;
        match version.schema {
            SCHEMA => {}
            1 => return Err(CardError::OldSchema),
            other => return Err(CardError::Schema(other)),
        }
        let card: Self = toml::from_str(text).map_err(unreadable)?;
        card.check_identity()?;
        card.input.check(card.task)?;
        card.outputs.check(card.task)?;
        card.run.check()?;
        if let Some(calibration) = card.calibration {
            calibration.check(card.task)?;
        }
        card.check_labels()?;
        card.check_texts()?;
        card.check_quality()?;
        card.eligibility.check()?;
        if let Some(rule) = &card.out_of_distribution {
            rule.check(card.task)?;
        }
        Ok(card)
    }

    /// Whether `weights` are those that the card describes.
    ///
    /// # Errors
    ///
    /// [`CardError::WrongHash`]
    pub fn verify_weights(&self, weights: &[u8]) -> Result<(), CardError> {
        let found = sha256(weights);
        if found == self.sha256 {
            return Ok(());
        }
        Err(CardError::WrongHash { network: self.title(), expected: self.sha256.clone(), found })
    }

    fn check_identity(&self) -> Result<(), CardError> {
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        ensure(
            (1..=64).contains(&self.name.len()) && self.name.bytes().all(is_name),
            "name",
            "must be 1 to 64 lower-case letters, digits and hyphens",
        )?;
        let is_version = |byte: u8| byte.is_ascii_alphanumeric() || b".+-".contains(&byte);
        ensure(
            (1..=32).contains(&self.version.len())
                && self.version.bytes().all(is_version)
                && self.version.starts_with(|first: char| first.is_ascii_alphanumeric()),
            "version",
            "must be 1 to 32 letters, digits, dots, plus signs and hyphens, such as 1.0.0",
        )?;
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        ensure(
            self.sha256.len() == 64 && self.sha256.bytes().all(is_hex),
            "sha256",
            "must be 64 lower-case hexadecimal digits",
        )?;
        ensure(self.limits.len() <= MAX_ENTRIES, "limits", "are too many")
    }

    fn check_labels(&self) -> Result<(), CardError> {
        let count = self.labels.len();
        ensure((1..=MAX_ENTRIES).contains(&count), "labels", "must be at least one")?;
        let mut codes = HashSet::new();
        for label in &self.labels {
            let field = |key: &str| format!("label {:?}: {key}", label.code);
            ensure(
                !label.code.is_empty() && codes.insert(&label.code),
                field("code"),
                "is empty or stands there twice",
            )?;
            let distinct: HashSet<&String> = label.sum_of.iter().collect();
            ensure(
                !distinct.is_empty() && distinct.len() == label.sum_of.len(),
                field("sum_of"),
                "must be different classes, at least one",
            )?;
            if let Some(stranger) = label.sum_of.iter().find(|class| !self.outputs.classes.contains(class)) {
                return ensure(
                    false,
                    field("sum_of"),
                    &format!("names {stranger:?}, not one of outputs.classes"),
                );
            }
            ensure(
                label.threshold.is_none_or(|threshold| (0.0..=1.0).contains(&threshold)),
                field("threshold"),
                "must be 0.0 to 1.0",
            )?;
            let share = |value: f32| (0.0..=1.0).contains(&value);
            ensure(
                label.chosen_for.as_ref().is_none_or(|chosen| {
                    label.threshold.is_some() && share(chosen.sensitivity) && share(chosen.specificity)
                }),
                field("chosen_for"),
                "needs a threshold, and a sensitivity and specificity of 0.0 to 1.0",
            )?;
        }
        Ok(())
    }

    fn check_texts(&self) -> Result<(), CardError> {
        let Texts { label, positive, negative } = &self.texts;
        ensure(
            self.label(label).is_some_and(|label| label.threshold.is_some()),
            "texts.label",
            "must be the code of a label with a threshold",
        )?;
        for (key, Text { findings, recommendations }) in
            [("texts.positive", positive), ("texts.negative", negative)]
        {
            for sentence in [findings, recommendations] {
                ensure(!sentence.trim().is_empty(), key, "has an empty sentence")?;
                let rest = sentence.replace("{percent}", "");
                ensure(!rest.contains(['{', '}']), key, "may hold no other braces than {percent}")?;
            }
        }
        Ok(())
    }

    fn check_quality(&self) -> Result<(), CardError> {
        for quality in &self.quality {
            let known = self.label(&quality.label).is_some();
            ensure(known, "quality.label", "must be the code of one of the labels")?;
        }
        Ok(())
    }
}

/// What the reader of TOML says, and for an unknown key the known one that looks most like it.
fn with_nearest_key(error: &toml::de::Error) -> String {
    let said = error.to_string().trim_end().to_owned();
    let mut quoted = error.message().split('`').skip(1).step_by(2);
    if !error.message().starts_with("unknown field") {
        return said;
    }
    let Some(unknown) = quoted.next() else { return said };
    let nearest = quoted.map(|known| (distance(unknown, known), known)).min();
    match nearest {
        Some((changes, known)) if changes * 2 <= known.len() => {
            format!("{said}\ndid you mean `{known}`?")
        }
        _ => said,
    }
}

/// How many letters must be added, dropped or changed to make one word the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (index, wanted) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *wanted);
            diagonal = row[index + 1];
            row[index + 1] = changed.min(diagonal + 1).min(row[index] + 1);
        }
    }
    row[other.len()]
}

/// `Ok` if `holds`, else an error that says what is wrong with the field.
pub(crate) fn ensure(holds: bool, field: impl Into<String>, what: &str) -> Result<(), CardError> {
    if holds { Ok(()) } else { Err(CardError::Invalid { field: field.into(), what: what.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = include_str!("../cards/pneumonia224.toml");

    fn refusal(of: &str, instead: &str) -> String {
        assert!(CARD.contains(of), "{of} stands on the card");
        Card::parse(&CARD.replacen(of, instead, 1)).unwrap_err().to_string()
    }

    /// models/cards/pneumonia224.toml: three classes, of which two are pneumonia.
    #[test]
    fn pneumonia_is_bacterial_or_viral() {
        let card = Card::parse(CARD).unwrap();
        let pneumonia = card.primary_label().unwrap();
        assert_eq!(pneumonia.sum_of, ["bacterial", "viral"]);
        assert_eq!(pneumonia.threshold, Some(0.5));
        assert!(card.labels[1..].iter().all(|hint| hint.threshold.is_none()), "a hint is only shown");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let message = refusal("state = \"active\"", "statte = \"active\"");
        assert!(message.contains("line 6") && message.contains("unknown field `statte`"), "{message}");
        assert!(message.ends_with("did you mean `state`?"), "{message}");
        let message = refusal("quantise = \"8-bit\"", "quantise = \"8-bit\"\nquxyz = 1");
        assert!(message.contains("unknown field `quxyz`") && !message.contains("did you mean"), "{message}");
    }

    #[test]
    fn a_missing_key_is_named() {
        let message = refusal("task = \"classification\"\n", "");
        assert!(message.contains("missing field `task`"), "{message}");
    }

    #[test]
    fn a_word_that_the_schema_does_not_know_is_refused_with_those_it_knows() {
        let message = refusal("state = \"active\"", "state = \"live\"");
        assert!(message.contains("`live`") && message.contains("`shadow`"), "{message}");
    }

    #[test]
    fn a_card_of_a_later_schema_says_so_before_anything_else() {
        assert_eq!(Card::parse("schema = 3\nnew = true").unwrap_err(), CardError::Schema(3));
    }

    #[test]
    fn a_card_of_the_first_schema_is_told_what_to_mend() {
        let message = refusal("schema = 2", "schema = 1");
        assert!(message.contains("schema 1") && message.contains("set schema = 2"), "{message}");
    }

    #[test]
    fn a_name_that_could_leave_its_folder_is_refused() {
        for name in ["../pneumonia", "a/b", "", ".", "Ä"] {
            let message = refusal("name = \"pneumonia224\"", &format!("name = \"{name}\""));
            assert!(message.starts_with("the card's name must be"), "{message}");
        }
    }

    #[test]
    fn parts_that_contradict_each_other_are_refused() {
        for (of, instead, hint) in [
            ("sum_of = [\"viral\"]", "sum_of = [\"fungal\"]", "\"fungal\""),
            ("[texts]\nlabel = \"pneumonia\"", "[texts]\nlabel = \"pneumonia-viral\"", "with a threshold"),
            ("threshold = 0.5", "threshold = 1.5", "0.0 to 1.0"),
            ("code = \"pneumonia-viral\"", "code = \"pneumonia\"", "twice"),
            ("shape = [1, 1, 224, 224]", "shape = [1, 1, 0, 224]", "input.shape"),
            ("value_range = [0.0, 1.0]", "value_range = [1.0, 1.0]", "value_range"),
            ("{percent}", "{name}", "no other braces"),
            ("below = 6.0", "below = 0.5", "age_years"),
        ] {
            let message = refusal(of, instead);
            assert!(message.contains(hint), "{of}: {message}");
        }
    }

    /// The empty input's hash is the first example of FIPS 180-4's test vectors.
    #[test]
    fn other_weights_are_refused_with_both_hashes() {
        let card = Card::parse(CARD).unwrap();
        let message = card.verify_weights(b"").unwrap_err().to_string();
        assert!(
            message.contains("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            "{message}"
        );
        assert!(message.contains(&card.sha256));
    }
}
