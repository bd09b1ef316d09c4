//! How a phrase that was found is to be taken.

use clinical::decision::{FindingState, Recognised};
use clinical::person::Sex;
use models::Finding;

use super::clause::{Clause, Token};
use super::language::Language;
use super::measure::Lasting;
use super::phrases::Match;
use super::{Part, measure};
use crate::evidence::Evidence;

/// Denied where one of its words is; but a phrase that holds the «no» itself means it.
pub(super) fn state_of(
    held: &Match,
    is_denied: &[bool],
    clause: &Clause,
    part: Part,
    language: &Language,
) -> FindingState {
    let tokens = (0..clause.tokens.len()).filter(|at| held.tokens & (1 << at.min(&127)) != 0);
    let mut holds_no = false;
    let mut denied = false;
    for at in tokens {
        let token = &clause.tokens[at];
        let is_denied_itself = || {
            let mut before = clause.tokens[..at].iter().filter(|before| before.commas == token.commas);
            !is_of_a_sentence(&token.word) && before.any(|before| language.negators.contains(&before.word))
        };
        holds_no |= language.negators.contains(&token.word) || token.root == "cannot" && !is_denied_itself();
        denied |= is_denied[at];
    }
    match part {
        Part::Symptom(state @ (FindingState::Unknown | FindingState::NotAsked)) => state,
        Part::Denied | Part::Symptom(FindingState::Absent) if denied => FindingState::Absent,
        _ if denied && !holds_no => FindingState::Absent,
        _ => FindingState::Present,
    }
}

/// «Denies being unable to walk» denies it; «no fever, cannot walk» does not: «cannot» has somebody who cannot.
fn is_of_a_sentence(word: &str) -> bool {
    matches!(word, "cannot" | "cant" | "couldnt")
}

/// Whether somebody of this sex and age can have a finding at all.
pub(super) fn is_possible(finding: &Finding, evidence: &Evidence) -> bool {
    let is_other_sex = matches!(
        (finding.sex, evidence.sex),
        (Some(Sex::Female), Sex::Male) | (Some(Sex::Male), Sex::Female)
    );
    let is_other_age = finding.ages.is_some_and(|(from, to)| {
        evidence.age.is_some_and(|years| !(from..=to.max(from) + 1.0).contains(&years))
    });
    !is_other_sex && !is_other_age
}

/// What was taken for an impossible finding was not understood.
pub(super) fn leave(id: &str, recognised: &mut Vec<Recognised>, unmatched: &mut Vec<String>) {
    let is_it = |heard: &Recognised| heard.finding == id;
    unmatched.extend(recognised.iter().filter(|heard| is_it(heard)).map(|heard| heard.words.clone()));
    recognised.retain(|heard| !is_it(heard));
}

/// «Temperature 36.8» names what was measured; it is no complaint.
pub(super) fn is_measured(clause: &Clause, tokens: u128, language: &Language) -> bool {
    let at = tokens.trailing_zeros() as usize;
    let links = |word: &str| matches!(word, "of" | "is" | "was" | "at");
    let mut next = clause.tokens.iter().skip(at + 1).skip_while(|token| links(&token.word));
    let is_number = next.next().is_some_and(|token| token.number.is_some());
    tokens.count_ones() == 1
        && measure::is_label(&clause.tokens[at].word)
        && is_number
        && !next.next().is_some_and(|unit| language.units.contains_key(&unit.word))
}

/// How many words a time is away from the nearest of some tokens; a comma between them counts as one.
pub(super) fn distance(told: &Lasting, tokens: u128, clause: &Clause) -> Option<usize> {
    let all = &clause.tokens;
    let away = |(at, token): (usize, &Token)| {
        let words = told.from.saturating_sub(at).max(at.saturating_sub(told.at));
        words + usize::from(all[told.at].commas != token.commas)
    };
    all.iter().enumerate().filter(|(at, _)| tokens & (1 << at.min(&127)) != 0).map(away).min()
}

pub(super) fn start_of(clause: &Clause, tokens: u128) -> usize {
    let at = tokens.trailing_zeros() as usize;
    clause.tokens.get(at).map_or(0, |token| token.start)
}

pub(super) fn end_of(clause: &Clause, tokens: u128) -> usize {
    let at = 127 - tokens.leading_zeros() as usize;
    clause.tokens.get(at.min(clause.tokens.len() - 1)).map_or(0, |token| token.end)
}

/// «None», «-», «n/a»: nothing was said.
pub(super) fn is_nothing(text: &str) -> bool {
    let word: String = text.chars().filter(|character| character.is_alphanumeric()).collect();
    matches!(
        word.to_lowercase().as_str(),
        "" | "none"
            | "no"
            | "nil"
            | "na"
            | "unknown"
            | "nothing"
            | "notapplicable"
            | "unremarkable"
            | "nonsignificant"
            | "nonesignificant"
    )
}
