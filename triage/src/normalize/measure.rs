//! Ages, durations, how bad it is, and what was measured, as it stands in free words.

use clinical::decision::{Severity, Vitals};
use clinical::person::Sex;

use super::clause::{Clause, Token};
use super::language::Language;

/// So few minutes are how long one attack lasted.
const BRIEF_MINUTES: f32 = 10.0;

/// A time that a clause tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lasting {
    /// Where its first word stands in the clause, a «for» among them.
    pub from: usize,
    /// Where its last word stands.
    pub at: usize,
    pub days: f32,
    /// «3 weeks», not «today».
    pub is_counted: bool,
}

/// For how many days a clause says that something has lasted, time by time.
pub(super) fn durations(clause: &Clause, language: &Language) -> Vec<Lasting> {
    let tokens = &clause.tokens;
    let near =
        |at: usize, back: usize, on: usize| &tokens[at.saturating_sub(back)..(at + on).min(tokens.len())];
    let mut told = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if let Some(days) = language.alone.get(&token.word) {
            told.push(Lasting { from: at, at, days: *days, is_counted: false });
        }
        let Some(unit) = language.units.get(&token.word) else { continue };
        let number = at.checked_sub(1).and_then(|before| value(&tokens[before], language));
        let first = if number.is_some() { at.saturating_sub(1) } else { at };
        let is_told = near(first, 4, 0).iter().any(|token| language.before_duration.contains(&token.word))
            || first < at && language.before_duration.contains(&tokens[first].word)
            || near(at + 1, 0, 2).iter().any(|token| language.after_duration.contains(&token.word));
        let is_other = near(first, 3, 0)
            .iter()
            .chain(near(at + 1, 0, 2))
            .any(|token| language.not_of_the_illness.contains(&token.word));
        if !is_told || is_other {
            continue;
        }
        if *unit < 0.01 && number.is_some_and(|minutes| minutes < BRIEF_MINUTES) {
            continue;
        }
        let several = token.word.ends_with('s') && number.is_none();
        let Some(number) = number.or(several.then_some(3.0)) else { continue };
        let from = first.saturating_sub(1);
        told.push(Lasting { from, at, days: (number * unit).clamp(0.0, 36_500.0), is_counted: true });
    }
    told
}

/// Of several times the first that is counted, else the first: «Today she presents with three weeks of cough».
pub(super) fn duration(told: &[Lasting]) -> Option<f32> {
    told.iter().find(|told| told.is_counted).or(told.first()).map(|told| told.days)
}

/// Whether a day is the one on which somebody came: «today she presents».
pub(super) fn is_of_coming(told: &Lasting, clause: &Clause, language: &Language) -> bool {
    let near = told.at.saturating_sub(3)..(told.at + 4).min(clause.tokens.len());
    !told.is_counted && clause.tokens[near].iter().any(|token| language.comes.contains(&token.word))
}

/// A number, in digits or as a word.
pub(super) fn value(token: &Token, language: &Language) -> Option<f32> {
    token.number.or_else(|| language.numbers.get(&token.word).copied())
}

/// How bad a clause says that it is; the worst word counts.
pub(super) fn severity(clause: &Clause, is_denied: &[bool], language: &Language) -> Option<Severity> {
    let said = |words: &std::collections::HashSet<String>| {
        clause
            .tokens
            .iter()
            .zip(is_denied)
            .any(|(token, is_denied)| !is_denied && words.contains(&token.word))
    };
    if said(&language.severe) {
        Some(Severity::Severe)
    } else if said(&language.moderate) {
        Some(Severity::Moderate)
    } else {
        said(&language.mild).then_some(Severity::Mild)
    }
}

/// Age in years: «65 year old», «3-month-old», «aged 40», «45 yo», «newborn».
pub(super) fn age(clauses: &[Clause], language: &Language) -> Option<f32> {
    let mut newborn = None;
    for tokens in clauses.iter().map(|clause| &clause.tokens) {
        for (at, token) in tokens.iter().enumerate() {
            if language.newborn.contains(&token.word) && !is_had(&tokens[..at]) {
                newborn = Some(0.02);
            }
            let Some(number) = token.number.or_else(|| language.numbers.get(&token.word).copied()) else {
                continue;
            };
            let next = tokens.get(at + 1).map_or("", |token| token.word.as_str());
            let after = tokens.get(at + 2).map_or("", |token| token.word.as_str());
            let before = at.checked_sub(1).map_or("", |before| tokens[before].word.as_str());
            let years = match language.units.get(next) {
                Some(days) if language.old.contains(after) => number * days / 365.0,
                Some(days) if language.old.contains(before) => number * days / 365.0,
                _ if language.old.contains(next) || language.old.contains(before) => number,
                _ => continue,
            };
            if (0.0..=125.0).contains(&years) {
                return Some(years);
            }
        }
    }
    newborn
}

/// «I have a newborn»: somebody else is one. «My newborn has a fever» speaks of the patient.
fn is_had(before: &[Token]) -> bool {
    let mut before = before.iter().rev().map(|token| token.word.as_str());
    matches!(before.next(), Some("a" | "an" | "the"))
        && before.next().is_some_and(|word| matches!(word, "have" | "has" | "had" | "having" | "with"))
}

/// For how many weeks somebody is pregnant: «33 weeks pregnant», «gestational age of 33 weeks», «8 months pregnant».
pub(super) fn gestation_weeks(clauses: &[Clause], language: &Language) -> Option<f32> {
    for tokens in clauses.iter().map(|clause| &clause.tokens) {
        for (at, pair) in tokens.windows(2).enumerate() {
            let days = language.units.get(&pair[1].word).filter(|days| (7.0..=30.0).contains(*days));
            let (Some(days), Some(number)) = (days, value(&pair[0], language)) else { continue };
            let said = |token: &Token| language.gestation.contains(&token.word);
            let before = &tokens[at.saturating_sub(4)..at];
            let links =
                |token: &&Token| matches!(token.word.as_str(), "age" | "of" | "is" | "at" | "for" | "about");
            let is_told = before.iter().rev().find(|token| !links(token)).is_some_and(said)
                || tokens[at + 2..].iter().take(2).any(said);
            let is_born = before.iter().any(|token| token.word == "born");
            let weeks = number * days / 7.0;
            if is_told && !is_born && (1.0..=44.0).contains(&weeks) {
                return Some(weeks);
            }
        }
    }
    None
}

/// Sex, by the first word that says it; a pronoun where no other does.
pub(super) fn sex(clauses: &[Clause], language: &Language) -> Sex {
    let is_pronoun = |word: &str| matches!(word, "he" | "him" | "his" | "she" | "her");
    for wants_pronoun in [false, true] {
        for token in clauses.iter().flat_map(|clause| &clause.tokens) {
            if is_pronoun(&token.word) != wants_pronoun {
                continue;
            }
            if language.female.contains(&token.word) {
                return Sex::Female;
            }
            if language.male.contains(&token.word) {
                return Sex::Male;
            }
        }
    }
    Sex::Unknown
}

/// Fills in what a clause says was measured and nobody gave as a number; a time or a dose is none.
pub(super) fn vitals(clause: &Clause, vitals: &mut Vitals, language: &Language) {
    let tokens = &clause.tokens;
    let word = |at: usize| tokens.get(at).map_or("", |token| token.word.as_str());
    for (at, token) in tokens.iter().enumerate() {
        if is_time_or_dose(tokens, at, language) {
            continue;
        }
        if let Some((above, below)) = token.word.split_once('/')
            && let (Ok(above), Ok(below)) = (above.parse::<f32>(), below.parse::<f32>())
        {
            let is_pressure = tokens.iter().any(|token| PRESSURES.contains(&token.word.as_str()))
                || tokens.len() == 1
                || is_among_measurements(tokens, at, language);
            let is_in_range =
                (50.0..=300.0).contains(&above) && (20.0..=200.0).contains(&below) && below < above;
            if is_pressure && is_in_range {
                vitals.systolic.get_or_insert(above);
                vitals.diastolic.get_or_insert(below);
            }
            continue;
        }
        let Some(number) = token.number else { continue };
        let next = word(at + 1);
        let label = label(tokens, at, language);
        match label {
            "temperature" | "temp" | "fever" | "t" | ""
                if (34.0..=43.0).contains(&number) && (next == "c" || !label.is_empty()) =>
            {
                vitals.temperature_c.get_or_insert(number);
            }
            "temperature" | "temp" | "fever" | "t" if (94.0..=109.5).contains(&number) => {
                vitals.temperature_c.get_or_insert((number - 32.0) / 1.8);
            }
            "pulse" | "hr" | "heart" if (20.0..=300.0).contains(&number) => {
                vitals.heart_rate.get_or_insert(number);
            }
            "rr" | "respiratory" | "respirations" | "respiration" if (4.0..=100.0).contains(&number) => {
                vitals.respiratory_rate.get_or_insert(number);
            }
            "spo2" | "saturation" | "sats" | "o2" | "sat" | "sao2" | "oxygen"
                if (40.0..=100.0).contains(&number) =>
            {
                vitals.spo2.get_or_insert(number);
            }
            _ if next == "bpm" && (20.0..=300.0).contains(&number) => {
                vitals.heart_rate.get_or_insert(number);
            }
            _ if matches!(next, "f" | "fahrenheit") && (94.0..=109.5).contains(&number) => {
                vitals.temperature_c.get_or_insert((number - 32.0) / 1.8);
            }
            _ => {}
        }
    }
}

/// Words that say what a number measures.
const LABELS: [&str; 20] = [
    "temperature",
    "temp",
    "fever",
    "t",
    "pulse",
    "hr",
    "heart",
    "rr",
    "respiratory",
    "respirations",
    "respiration",
    "spo2",
    "saturation",
    "sats",
    "o2",
    "sat",
    "sao2",
    "oxygen",
    "pressure",
    "bp",
];

/// Whether a word says what the number after it measures.
pub(super) fn is_label(word: &str) -> bool {
    LABELS.contains(&word)
}

/// Words one of which stands beside two numbers that are a blood pressure.
const PRESSURES: [&str; 9] =
    ["bp", "pressure", "pressures", "systolic", "mmhg", "hg", "vitals", "hypertensive", "hypotensive"];

/// Whether two numbers stand among others that are measurements, and behind no name that they may belong to: «HR 130, 75/40», but
/// not «HR 130, Advair 250/50».
fn is_among_measurements(tokens: &[Token], at: usize, language: &Language) -> bool {
    let is_measure = |token: &Token| {
        token.number.is_some()
            || token.is_stop
            || language.units.contains_key(&token.word)
            || is_label(&token.word)
            || matches!(token.word.as_str(), "bpm" | "c" | "f")
    };
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    before.is_none_or(|before| before.commas < tokens[at].commas || is_measure(before))
        && (0..tokens.len()).any(|other| {
            tokens[other].number.is_some()
                && !is_time_or_dose(tokens, other, language)
                && !label(tokens, other, language).is_empty()
        })
}

/// The word before a number that says what it measures; another number ends the search, and an age.
fn label<'a>(tokens: &'a [Token], at: usize, language: &Language) -> &'a str {
    let is_end = |token: &Token| {
        token.number.is_some() || token.word.contains('/') || language.old.contains(&token.word)
    };
    let near = (at.saturating_sub(5)..at).rev().take_while(|before| !is_end(&tokens[*before]));
    let is_rate = |before: usize| tokens.get(before + 1).is_some_and(|next| next.word == "rate");
    let mut labels = near.map(|before| (before, tokens[before].word.as_str()));
    let label = labels.find(|(before, word)| {
        is_label(word) && (is_rate(*before) || !matches!(*word, "heart" | "respiratory"))
    });
    label.map_or("", |(_, word)| word)
}

/// «5 days», «100/25 mg»; but «160/min» after its label is a rate, and «80 mm Hg» a pressure.
fn is_time_or_dose(tokens: &[Token], at: usize, language: &Language) -> bool {
    // «SpO2 97%, HR 130»: what names the next number is no hour.
    let is_name = |next: &Token| {
        is_label(&next.word) && tokens.get(at + 2).is_some_and(|number| number.number.is_some())
    };
    let word = |at: usize| tokens.get(at).map_or("", |token| token.word.as_str());
    let next = tokens.get(at + 1).filter(|next| !is_name(next)).map_or("", |token| token.word.as_str());
    let is_of_hours = language.units.get(next).is_some_and(|days| *days < 0.01);
    let is_rate = is_of_hours
        && tokens[..at]
            .iter()
            .rev()
            .take_while(|token| token.word != "for")
            .take(4)
            .any(|token| matches!(token.word.as_str(), "pulse" | "hr" | "rr" | "rate" | "respirations"));
    let is_pressure = next == "mm" && word(at + 2) == "hg";
    let is_unit = language.units.contains_key(next) || language.measures.contains(next);
    is_unit && !is_rate && !is_pressure
}

#[cfg(test)]
mod tests {
    use super::super::clause::clauses;
    use super::*;

    fn of<T>(text: &str, read: impl Fn(&Clause, &Language) -> T) -> T {
        let language = Language::english();
        read(&clauses(text, &language)[0], &language)
    }

    #[test]
    fn durations_are_read_in_days() {
        for (text, days) in [
            ("cough for 3 days", Some(3.0)),
            ("2 weeks of fever since last month", Some(30.0)),
            ("headache since yesterday", Some(1.0)),
            ("a 3-day history of fever", Some(3.0)),
            ("it started two weeks ago", Some(14.0)),
            ("over the past year", Some(365.0)),
            ("smoker for 25 years", None),
            ("65 year old man", None),
            ("attacks lasting 30 minutes", None),
            ("pain for several hours", Some(5.0 * 0.0417)),
            ("Today she presents with a 3-week history of cough", Some(21.0)),
            ("it began today", Some(0.4)),
        ] {
            let told = of(text, durations);
            assert_eq!(duration(&told), days, "{text}");
        }
        let told = of("Knee pain for 10 years and slurred speech since this morning", durations);
        assert_eq!(told.iter().map(|told| told.days).collect::<Vec<_>>(), [3650.0, 0.4]);
    }

    #[test]
    fn ages_and_sexes_are_read() {
        let language = Language::english();
        let age_of = |text: &str| age(&clauses(text, &language), &language);
        assert_eq!(age_of("65 year old Male"), Some(65.0));
        assert_eq!(age_of("a 3-month-old girl"), Some(90.0 / 365.0));
        assert_eq!(age_of("aged 40"), Some(40.0));
        assert_eq!(age_of("45yo"), Some(45.0));
        assert_eq!(age_of("for 3 days"), None);
        assert_eq!(age_of("a newborn with a fever"), Some(0.02));
        assert_eq!(age_of("I have a newborn at home, I am 30 years old"), Some(30.0));
        assert_eq!(age_of("I have a newborn at home and a cough"), None);
        assert_eq!(age_of("a mother with a newborn has a cough"), None);
        assert_eq!(age_of("My newborn has a fever of 38.6 and is feeding poorly"), Some(0.02));
        assert_eq!(sex(&clauses("She is 30", &language), &language), Sex::Female);
        assert_eq!(sex(&clauses("65 year old Male", &language), &language), Sex::Male);
    }

    #[test]
    fn weeks_of_a_pregnancy_are_read() {
        let language = Language::english();
        let weeks_of = |text: &str| gestation_weeks(&clauses(text, &language), &language);
        assert_eq!(weeks_of("33 weeks pregnant with a headache"), Some(33.0));
        assert_eq!(weeks_of("gestational age of 28 weeks"), Some(28.0));
        assert_eq!(weeks_of("pregnant, vomiting for 3 weeks"), None);
        assert_eq!(weeks_of("born at 32 weeks of gestation"), None);
    }

    #[test]
    fn what_was_measured_is_taken_from_the_words() {
        let mut told = Vitals::default();
        let clause = of("Temp 38.5, BP 90/60, pulse of 120, SpO2 91%, RR 24", |clause, _| clause.clone());
        vitals(&clause, &mut told, &Language::english());
        assert_eq!(told.temperature_c, Some(38.5));
        assert_eq!((told.systolic, told.diastolic), (Some(90.0), Some(60.0)));
        assert_eq!(
            (told.heart_rate, told.respiratory_rate, told.spo2),
            (Some(120.0), Some(24.0), Some(91.0))
        );
    }

    #[test]
    fn a_time_or_a_dose_is_no_measurement() {
        let language = Language::english();
        for text in [
            "Upper respiratory infection 5 days ago",
            "Heart racing for 30 minutes",
            "Advair 250/50 twice a day",
            "takes losartan 100/25 mg for blood pressure",
            "oxygen 60 minutes ago",
            "fever, aged 40",
            "fever for 3 days, Advair 250/50",
        ] {
            let mut told = Vitals::default();
            vitals(&clauses(text, &language)[0], &mut told, &language);
            assert_eq!(told, Vitals::default(), "{text}");
        }
        let mut told = Vitals::default();
        let text =
            "Heart racing for 30 minutes, HR 160/min, respiratory rate of 24 per minute, BP 84/50 mm Hg";
        vitals(&clauses(text, &language)[0], &mut told, &language);
        assert_eq!((told.heart_rate, told.respiratory_rate), (Some(160.0), Some(24.0)));
        assert_eq!((told.systolic, told.diastolic), (Some(84.0), Some(50.0)));
    }

    #[test]
    fn two_numbers_among_measurements_are_a_blood_pressure_and_those_of_a_drug_are_none() {
        let language = Language::english();
        for (text, systolic) in [
            ("HR 130, 75/40, SpO2 97%", Some(75.0)),
            ("75/40, HR 130", Some(75.0)),
            ("HR 130 75/40", Some(75.0)),
            ("HR 130, Advair 250/50", None),
            ("vision 60/30 and a headache", None),
        ] {
            let mut told = Vitals::default();
            vitals(&clauses(text, &language)[0], &mut told, &language);
            assert_eq!(told.systolic, systolic, "{text}");
        }
    }
}
