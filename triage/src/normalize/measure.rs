//! Durations, how bad it is, and what was measured, as it stands in free words.

use clinical::decision::{Severity, Vitals};

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

/// Fills in what a clause says was measured and nobody gave as a number; a time or a dose is none.
pub(super) fn vitals(clause: &Clause, vitals: &mut Vitals, language: &Language) {
    let tokens = &clause.tokens;
    let word = |at: usize| tokens.get(at).map_or("", |token| token.word.as_str());
    for (at, token) in tokens.iter().enumerate() {
        if let Some(glucose) = glucose_mmol_l(tokens, at, language) {
            vitals.glucose_mmol_l.get_or_insert(glucose);
            continue;
        }
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
            _ if is_of_breath(tokens, at) && (4.0..=100.0).contains(&number) => {
                vitals.respiratory_rate.get_or_insert(number);
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

/// A number behind «sugar» or «glucose» in mmol/l: «blood sugar 2.1», «glucose of 540 mg/dl». Without a unit what no one has
/// in the other unit is taken for itself; between the two it may be either, and is none.
fn glucose_mmol_l(tokens: &[Token], at: usize, language: &Language) -> Option<f32> {
    let number = tokens[at].number?;
    matches!(label(tokens, at, language), "sugar" | "glucose").then_some(())?;
    let unit = |ahead: usize| tokens.get(at + ahead).map_or("", |token| token.word.as_str());
    match (unit(1), unit(2)) {
        ("mg", "dl") => Some(number / MG_DL_OF_GLUCOSE),
        ("mmol", _) => Some(number),
        (next, _) if language.units.contains_key(next) || language.measures.contains(next) => None,
        _ if number <= MOST_MMOL_L => Some(number),
        _ if number >= LEAST_MG_DL => Some(number / MG_DL_OF_GLUCOSE),
        _ => None,
    }
    .filter(|glucose| (0.2..=150.0).contains(glucose))
}

/// So many mg/dl of glucose are a mmol/l.
const MG_DL_OF_GLUCOSE: f32 = 18.0;
/// Up to here a number without a unit is in mmol/l.
const MOST_MMOL_L: f32 = 30.0;
/// From here on it is in mg/dl.
const LEAST_MG_DL: f32 = 60.0;

/// Words that say what a number measures.
const LABELS: [&str; 22] = [
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
    "sugar",
    "glucose",
];

/// Whether a word says what the number after it measures.
pub(super) fn is_label(word: &str) -> bool {
    LABELS.contains(&word)
}

/// «Breathing 70 per minute», «70 breaths a minute».
fn is_of_breath(tokens: &[Token], at: usize) -> bool {
    let word = |at: Option<usize>| at.and_then(|at| tokens.get(at)).map_or("", |token| token.word.as_str());
    let next = word(Some(at + 1));
    next == "breaths" || word(at.checked_sub(1)) == "breathing" && matches!(next, "per" | "times")
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
    fn a_sugar_is_read_in_either_unit() {
        let language = Language::english();
        for (text, wanted) in [
            ("blood sugar is 2.1", Some(2.1)),
            ("my blood sugar is 27 mmol/l", Some(27.0)),
            ("glucose of 540 mg/dl", Some(30.0)),
            ("glucose 540", Some(30.0)),
            ("blood sugar 45", None),
            ("takes metformin for sugar 500 mg", None),
        ] {
            let mut told = Vitals::default();
            vitals(&clauses(text, &language)[0], &mut told, &language);
            assert_eq!(told.glucose_mmol_l, wanted, "{text}");
        }
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
