//! A drug in somebody who has something: a condition, weak kidneys, a weak liver.

use clinical::decision::{IssueKind, IssueSeverity};
use models::formulary::Contraindication;

use super::patient::Taken;
use super::{Round, lowered};

pub(super) fn check(round: &mut Round<'_>) {
    let (formulary, patient) = (round.formulary, round.patient);
    for taken in &patient.taken {
        let mut by_kidney: Option<&Contraindication> = None;
        for rule in formulary.contraindications_of(taken.drug) {
            if !holds_at_age(round, rule, taken) {
                continue;
            }
            let has = rule.conditions.iter().find(|condition| patient.conditions.contains(condition));
            if let Some(&condition) = has {
                let with = formulary.conditions[usize::from(condition)].name.clone();
                tell(round, rule, taken, with);
                continue;
            }
            match (rule.child_pugh_from, patient.child_pugh) {
                (Some(from), Some(class)) if class >= from => {
                    tell(round, rule, taken, format!("Child-Pugh {class:?}"));
                    continue;
                }
                (Some(_), None) => round.notes.missing("hepatic-function", taken.drug),
                _ => {}
            }
            match (rule.egfr_below, patient.egfr) {
                (Some(below), Some(egfr))
                    if egfr < below
                        && by_kidney.is_none_or(|told| told.words.severity < rule.words.severity) =>
                {
                    by_kidney = Some(rule);
                }
                (Some(_), None) => round.notes.missing("renal-function", taken.drug),
                _ => {}
            }
        }
        if let (Some(rule), Some(egfr)) = (by_kidney, patient.egfr) {
            // An estimate has more digits than it knows.
            let shown = (egfr * 10.0).round() / 10.0;
            tell(round, rule, taken, format!("eGFR {shown} ml/min/1.73 m²"));
        }
    }
}

/// Whether a rule holds at the patient's age; where the age is not told, that is noted.
fn holds_at_age(round: &mut Round<'_>, rule: &Contraindication, taken: &Taken) -> bool {
    if rule.age_from.is_none() && rule.age_below.is_none() {
        return true;
    }
    let Some(age) = round.patient.age else {
        round.notes.missing("age", taken.drug);
        return false;
    };
    rule.age_from.is_none_or(|from| age >= from) && rule.age_below.is_none_or(|below| age < below)
}

fn tell(round: &mut Round<'_>, rule: &Contraindication, taken: &Taken, with: String) {
    let is_less = taken.stays_local && !rule.is_local;
    let severity: IssueSeverity = if is_less { lowered(rule.words.severity) } else { rule.words.severity };
    round.found(IssueKind::Contraindication, severity, &[taken.drug], Some(with), &rule.words);
}
