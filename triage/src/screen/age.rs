//! A drug at an age.

use clinical::decision::{IssueKind, IssueSeverity};

use super::{Round, lowered};

pub(super) fn check(round: &mut Round<'_>) {
    let (formulary, patient) = (round.formulary, round.patient);
    for taken in &patient.taken {
        for rule in formulary.ages_of(taken.drug) {
            let Some(age) = patient.age else {
                round.notes.missing("age", taken.drug);
                break;
            };
            let holds =
                rule.below.is_some_and(|below| age < below) || rule.from.is_some_and(|from| age >= from);
            if holds {
                let severity: IssueSeverity =
                    if taken.stays_local { lowered(rule.words.severity) } else { rule.words.severity };
                let with = match rule.below {
                    Some(below) => format!("under {}", years(below)),
                    None => format!("from {} on", years(rule.from.unwrap_or_default())),
                };
                round.found(IssueKind::Age, severity, &[taken.drug], Some(with), &rule.words);
            }
        }
    }
}

/// An age in words: months below two years.
pub(super) fn years(age: f32) -> String {
    if age < 2.0 { format!("{} months", (age * 12.0).round()) } else { format!("{age} years") }
}
