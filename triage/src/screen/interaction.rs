//! Two drugs that do not go together.

use std::cmp::Ordering;

use clinical::decision::IssueKind;
use models::formulary::Interaction;

use super::{Round, lowered};

/// What is noted where no rule speaks of a drug that is taken with others.
pub(super) const NONE: &str = "interactions";

pub(super) fn check(round: &mut Round<'_>) {
    let (formulary, patient) = (round.formulary, round.patient);
    if patient.taken.len() > 1 {
        let untold = patient.taken.iter().filter(|taken| !formulary.has_interactions(taken.drug));
        untold.for_each(|taken| round.notes.missing(NONE, taken.drug));
    }
    let mut of_pair: Vec<&Interaction> = Vec::new();
    for (at, one) in patient.taken.iter().enumerate() {
        for other in &patient.taken[at + 1..] {
            of_pair.clear();
            for rule in formulary.interactions_of(one.drug, other.drug) {
                // Of rules about one thing, only the gravest is told.
                match of_pair.iter_mut().find(|told| told.about == rule.about) {
                    Some(told) if goes_before(rule, told) => *told = rule,
                    Some(_) => {}
                    None => of_pair.push(rule),
                }
            }
            for rule in &of_pair {
                let is_less = one.stays_local || other.stays_local;
                let severity = if is_less { lowered(rule.words.severity) } else { rule.words.severity };
                round.found(IssueKind::Interaction, severity, &[one.drug, other.drug], None, &rule.words);
            }
        }
    }
}

/// Whether a rule is told rather than another about the same thing: the graver one, and of two as grave the one of fewer drugs,
/// which names a drug where the other names its class.
fn goes_before(rule: &Interaction, told: &Interaction) -> bool {
    let breadth = |rule: &Interaction| rule.a.len() * rule.b.len();
    match rule.words.severity.cmp(&told.words.severity) {
        Ordering::Equal => breadth(rule) < breadth(told),
        order => order == Ordering::Greater,
    }
}
