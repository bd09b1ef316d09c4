//! Clinical vignettes, one JSON object a line, as Hammoud et al. published theirs (JMIR AI 2024).
//!
//! `correct_diagnosis`, `demographics` («65 year old Male»), `chief_complaints`, `presentation`, `absent_findings`,
//! `physical_history`, `family_history`, `social_history`; and, where they are there, `urgency` (`emergency`,
//! `non_emergency`, `self_care`), `accept` (more names that count as right) and `icd10`.

use clinical::decision::{Assessment, Presentation};
use clinical::person::Sex;
use serde::{Deserialize, Deserializer};

use super::matching::{Match, Names};
use super::{EvaluateError, Outcome, Ranked, UrgencyClass};

/// So many conditions of a differential are written down.
const WRITTEN_DOWN: usize = 10;
/// What stands where there is nothing to say.
const NOTHING: [&str; 6] = ["", "-", "none", "none.", "nil", "n/a"];

/// One vignette.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Vignette {
    /// The diagnosis.
    pub correct_diagnosis: String,
    /// Other names that count as right.
    #[serde(deserialize_with = "one_or_many")]
    pub accept: Vec<String>,
    /// Codes that count as right.
    #[serde(deserialize_with = "one_or_many")]
    pub icd10: Vec<String>,
    /// Age and sex.
    pub demographics: String,
    /// Why the patient comes.
    pub chief_complaints: String,
    /// What the patient tells.
    pub presentation: String,
    /// What is not there.
    pub absent_findings: String,
    /// What was before.
    pub physical_history: String,
    /// What runs in the family.
    pub family_history: String,
    /// Habits, work, journeys.
    pub social_history: String,
    /// The class of urgency.
    pub urgency: Option<UrgencyClass>,
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        Many(Vec<String>),
        Nothing(()),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::One(text) => vec![text],
        Either::Many(texts) => texts,
        Either::Nothing(()) => Vec::new(),
    })
}

/// The vignettes of a text with one JSON object a line.
///
/// # Errors
///
/// [`EvaluateError::Row`] for a line that is none.
pub fn read(text: &str) -> Result<Vec<Vignette>, EvaluateError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            let wrong = |why: String| EvaluateError::Row { row: at + 1, why };
            let vignette: Vignette = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
            if vignette.correct_diagnosis.trim().is_empty() {
                return Err(wrong("correct_diagnosis is missing".to_owned()));
            }
            Ok(vignette)
        })
        .collect()
}

impl Vignette {
    /// What is told to the engine: everything but the diagnosis and the urgency.
    pub fn told(&self) -> Presentation {
        let told = |text: &str| Some(text.trim().to_owned()).filter(|text| !is_nothing(text));
        let list = |text: &str| told(text).into_iter().collect::<Vec<_>>();
        let text: Vec<String> = [&self.chief_complaints, &self.presentation]
            .into_iter()
            .filter_map(|text| told(text))
            .map(|text| text.trim_end_matches('.').to_owned() + ".")
            .collect();
        Presentation {
            text: (!text.is_empty()).then(|| text.join(" ")),
            denies: split(&self.absent_findings),
            age: age(&self.demographics),
            sex: sex(&self.demographics),
            medical_history: list(&self.physical_history),
            family_history: list(&self.family_history),
            social_history: list(&self.social_history),
            ..Presentation::default()
        }
    }

    /// What came of it.
    pub fn outcome(&self, case: usize, names: &Names, told: &Assessment) -> Outcome {
        let right = self.accept.iter().chain([&self.correct_diagnosis]).map(String::as_str);
        let wanted = names.wanted(right, self.icd10.iter().map(String::as_str));
        let rank = |least: Match| {
            told.differential.iter().position(|line| names.answers(&wanted, line) >= least).map(|at| at + 1)
        };
        let first = told.differential.iter().take(WRITTEN_DOWN);
        Outcome {
            case,
            diagnosis: self.correct_diagnosis.clone(),
            is_covered: wanted.is_covered(),
            rank: rank(Match::Right),
            rank_by_category: rank(Match::Category),
            differential: first
                .map(|line| Ranked { condition: line.condition.clone(), probability: line.probability })
                .collect(),
            none_of_these: told.none_of_these,
            ddf1: None,
            interaction_length: None,
            urgency_wanted: self.urgency,
            urgency: told.urgency,
            unmatched: told.unmatched.clone(),
        }
    }
}

fn is_nothing(text: &str) -> bool {
    NOTHING.contains(&text.trim().to_lowercase().as_str())
}

/// Sentences and commas part what is not there; the word that denies is left to the engine, which knows its scope.
fn split(text: &str) -> Vec<String> {
    let parts = text.split([',', ';', '\n']).flat_map(|part| part.split(". "));
    parts.map(|part| part.trim().trim_end_matches('.').to_owned()).filter(|part| !is_nothing(part)).collect()
}

/// The age in years that «65 year old Male», «6-week-old girl» or «newborn» tells.
fn age(demographics: &str) -> Option<f32> {
    let lower = demographics.to_lowercase();
    let words: Vec<&str> = lower.split(|c: char| !(c.is_alphanumeric() || c == '.')).collect();
    if words.iter().any(|word| matches!(*word, "newborn" | "neonate")) {
        return Some(0.02);
    }
    let (at, number) = words.iter().enumerate().find_map(|(at, word)| {
        let digits = word.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(word.len());
        word[..digits].parse::<f32>().ok().map(|number| (at, number))
    })?;
    let glued = words[at].trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let unit = if glued.is_empty() { words.get(at + 1).copied().unwrap_or("year") } else { glued };
    let years = match unit.get(..1) {
        Some("m") if unit.starts_with("mo") => number / 12.0,
        Some("w") => number / 52.18,
        Some("d") => number / 365.25,
        _ => number,
    };
    Some(years).filter(|years| (0.0..=125.0).contains(years))
}

fn sex(demographics: &str) -> Sex {
    let lower = demographics.to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric());
    words
        .find_map(|word| match word {
            "female" | "woman" | "girl" | "f" | "lady" => Some(Sex::Female),
            "male" | "man" | "boy" | "m" | "gentleman" => Some(Sex::Male),
            _ => None,
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_what_a_patient_would_tell() {
        let line = r#"{"correct_diagnosis": "Influenza", "accept": "Flu", "demographics": "65 year old Male",
            "chief_complaints": "Fever", "presentation": "Cough for 3 days.", "absent_findings": "No rash, no stiff neck.",
            "physical_history": "None", "family_history": "-", "social_history": "", "urgency": "non_emergency"}"#;
        let vignette = &read(&line.replace('\n', " ")).unwrap()[0];
        let told = vignette.told();
        assert_eq!(told.text.as_deref(), Some("Fever. Cough for 3 days."));
        assert_eq!(told.denies, ["No rash", "no stiff neck"]);
        assert_eq!((told.age, told.sex), (Some(65.0), Sex::Male));
        assert!(told.medical_history.is_empty() && told.family_history.is_empty());
        assert_eq!(vignette.accept, ["Flu"]);
        assert_eq!(vignette.urgency, Some(UrgencyClass::NonEmergency));
        assert!(!serde_json::to_string(&told).unwrap().contains("Influenza"));
    }

    #[test]
    fn ages_are_read_in_every_unit() {
        for (text, years) in [
            ("18-month-old boy", 1.5),
            ("6 week old", 0.115),
            ("3 days old girl", 0.008),
            ("Newborn", 0.02),
            ("40yo F", 40.0),
            ("7 years", 7.0),
        ] {
            assert!((age(text).unwrap() - years).abs() < 0.01, "{text}");
        }
        assert_eq!((age("an old man"), sex("an old man")), (None, Sex::Male));
        assert_eq!(age("900 year old"), None);
    }

    #[test]
    fn a_line_that_is_no_vignette_is_named() {
        let error = read("{\"correct_diagnosis\": \"x\"}\n{}").unwrap_err();
        assert_eq!(error.to_string(), "row 2: correct_diagnosis is missing");
    }
}
