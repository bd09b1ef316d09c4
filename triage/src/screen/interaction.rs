//! Two drugs that do not go together.

use clinical::decision::IssueKind;
use models::formulary::Interaction;

use super::drug::Route;
use super::{Round, lowered};

pub(super) fn check(round: &mut Round<'_>) {
    let (formulary, patient) = (round.formulary, round.patient);
    let mut of_pair: Vec<&Interaction> = Vec::new();
    for (at, one) in patient.taken.iter().enumerate() {
        for other in &patient.taken[at + 1..] {
            of_pair.clear();
            for rule in formulary.interactions_of(one.drug, other.drug) {
                // Of rules about one thing, only the gravest is told.
                match of_pair.iter_mut().find(|told| told.about == rule.about) {
                    Some(told) if rule.words.severity > told.words.severity => *told = rule,
                    Some(_) => {}
                    None => of_pair.push(rule),
                }
            }
            let is_local = one.route == Route::Local || other.route == Route::Local;
            for rule in &of_pair {
                let severity = if is_local { lowered(rule.words.severity) } else { rule.words.severity };
                round.found(IssueKind::Interaction, severity, &[one.drug, other.drug], None, &rule.words);
            }
        }
    }
}
