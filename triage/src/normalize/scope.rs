//! What a clause denies, and whose illness it tells.

use std::ops::Range;

use super::clause::{Clause, Token};
use super::language::Language;

/// How a clause's words are to be taken.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// Per token: whether it is denied.
    pub is_denied: Vec<bool>,
    /// Whether it is about a relative.
    pub is_of_family: bool,
    /// Whether a «no» still holds at its end, for the clause that carries it on.
    pub is_open: bool,
}

/// How a clause begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// As a sentence does.
    Plain,
    /// In a list of what the patient denies.
    Denied,
    /// Within what the clause before denied, which was cut for its length alone.
    CarriedOn,
}

/// How many words before or after «normal» it may speak of.
const OF_NORMAL: usize = 5;

/// Reads a clause.
pub(super) fn scope(clause: &Clause, language: &Language, begins: Begins) -> Scope {
    let (is_denied, is_open) = denied(clause, language, begins);
    Scope { is_denied, is_of_family: is_of_family(clause, language), is_open }
}

fn denied(clause: &Clause, language: &Language, begins: Begins) -> (Vec<bool>, bool) {
    let tokens = &clause.tokens;
    let mut denied = vec![begins == Begins::Denied && !clause.is_but; tokens.len()];
    let mut is_on = begins == Begins::CarriedOn;
    let mut has_object = is_on;
    for (at, token) in tokens.iter().enumerate() {
        let is_negator = language.negators.contains(&token.word);
        if is_negator {
            let next = tokens.iter().enumerate().skip(at + 1).find(|(_, next)| !next.is_stop);
            match next.filter(|(_, next)| language.not_of_the_complaint.contains(&next.word)) {
                Some((next, _)) => denied[next] = true,
                None => (is_on, has_object) = (true, false),
            }
            continue;
        }
        if language.normal.contains(&token.word) {
            denied[of_normal(tokens, at, language)].fill(true);
            continue;
        }
        let follows_a_comma = at > 0 && tokens[at - 1].commas < token.commas;
        // «No fever, mild sore throat»: nobody denies how bad something is.
        let is_measured = [&language.mild, &language.severe].iter().any(|words| words.contains(&token.word));
        let begins_anew = language.restarts.contains(&token.word)
            && (token.word != "with" || follows_a_comma)
            || is_measured && follows_a_comma;
        if is_on && has_object && begins_anew {
            is_on = false;
        }
        if is_on {
            denied[at] = true;
            has_object |= !token.is_stop && !language.restarts.contains(&token.word);
        }
    }
    deny_what_is_denied_after(clause, language, &mut denied);
    (denied, is_on)
}

/// Which words «normal» speaks of: «her temperature is normal», «normal temperature»; never past a comma, an «and» or a word
/// that begins anew, so that it denies no complaint beside it.
fn of_normal(tokens: &[Token], at: usize, language: &Language) -> Range<usize> {
    let is_beside = |token: &Token| {
        token.commas == tokens[at].commas
            && token.word != "and"
            && !language.restarts.contains(&token.word)
            && !language.negators.contains(&token.word)
    };
    let link = |word: &str| matches!(word, "is" | "was" | "are" | "were");
    let Some(link) = (at.saturating_sub(2)..at).rev().find(|before| link(&tokens[*before].word)) else {
        let after = tokens[at + 1..].iter().take(3).take_while(|token| is_beside(token)).count();
        return at..at + 1 + after;
    };
    let before = tokens[..link].iter().rev().take(OF_NORMAL).take_while(|token| is_beside(token)).count();
    link - before..link
}

/// «Fever: none», «cough absent»: what stands before it up to a comma, and what stands before its colon.
fn deny_what_is_denied_after(clause: &Clause, language: &Language, denied: &mut [bool]) {
    let tokens = &clause.tokens;
    let Some(last) = tokens.last().filter(|last| language.after.contains(&last.word)) else { return };
    let is_alone = tokens.len() > 1 && tokens[tokens.len() - 2].commas < last.commas;
    let farthest = if is_alone && last.is_after_colon { last.commas - 1 } else { last.commas };
    let from = tokens.len().saturating_sub(6);
    for (at, token) in tokens.iter().enumerate().skip(from) {
        denied[at] |= token.commas >= farthest;
    }
}

/// «Mother had breast cancer», «family history of gout»; not «her mother noticed a rash».
fn is_of_family(clause: &Clause, language: &Language) -> bool {
    clause.tokens.iter().enumerate().any(|(at, token)| {
        let follows = |most: usize| clause.tokens.iter().skip(at + 1).take(most);
        language.relatives.contains(&token.word)
            && (follows(3).any(|next| language.relatives_have.contains(&next.word))
                && !follows(6).any(|next| language.relatives_tell.contains(&next.word))
                || clause.tokens[..at].iter().rev().take(4).any(|before| before.word == "history"))
    })
}

/// How many words behind a condition's name still say when it was.
const WHEN: usize = 5;
/// From how many days on what was so long ago is past.
const LONG_AGO_DAYS: f32 = 30.0;

/// Whether what is named at some tokens of a clause was once, or is what a vaccine keeps off: «a heart attack ten years ago»,
/// «stroke in 2015», «tetanus is up to date».
pub(super) fn is_past(clause: &Clause, named: u128, language: &Language) -> bool {
    let tokens = &clause.tokens;
    let first = (named.trailing_zeros() as usize).min(tokens.len());
    let end = (128 - named.leading_zeros() as usize).clamp(first, tokens.len());
    let is_year = |token: &Token| {
        token.word.len() == 4 && token.number.is_some_and(|year| (1900.0..2100.0).contains(&year))
    };
    let is_duration =
        |at: usize| tokens[at + 1..].iter().take(3).any(|token| language.units.contains_key(&token.word));
    let mut since = (0..first).rev().take_while(|at| !language.now.contains(&tokens[*at].word));
    let was_before = since.any(|at| {
        let token = &tokens[at];
        let is_near = first - at <= WHEN;
        language.history.contains(&token.word) && !is_duration(at)
            || is_near && (language.not_now.contains(&token.word) || is_year(token))
    });
    let after = &tokens[end..(end + WHEN).min(tokens.len())];
    let is_long_ago = after.windows(2).any(|pair| {
        language.units.get(&pair[0].word).is_some_and(|days| *days >= LONG_AGO_DAYS)
            && language.after_duration.contains(&pair[1].word)
    });
    was_before
        || is_long_ago
        || after.iter().any(|token| language.not_now.contains(&token.word) || is_year(token))
}

#[cfg(test)]
mod tests {
    use super::super::clause::clauses;
    use super::*;

    fn denied_words(text: &str) -> Vec<String> {
        let language = Language::english();
        let mut words = Vec::new();
        for clause in clauses(text, &language) {
            let scope = scope(&clause, &language, Begins::Plain);
            let is_denied =
                clause.tokens.iter().zip(scope.is_denied).filter(|(token, is)| *is && !token.is_stop);
            words.extend(is_denied.map(|(token, _)| token.word.clone()));
        }
        words
    }

    #[test]
    fn a_no_reaches_over_a_list_to_the_end_of_the_clause() {
        assert_eq!(denied_words("No fever, cough or chills."), ["fever", "cough", "chills"]);
        assert_eq!(denied_words("Cough without fever"), ["fever"]);
        assert_eq!(denied_words("She denies vomiting. Headache"), ["vomiting"]);
        assert_eq!(denied_words("doesn't have a rash"), ["rash"]);
    }

    #[test]
    fn a_no_ends_at_but_and_where_something_new_is_said() {
        assert_eq!(denied_words("no fever but a cough"), ["fever"]);
        assert_eq!(denied_words("No fever and has a cough"), ["fever"]);
        assert_eq!(denied_words("no chest pain, mild sore throat"), ["chest", "pain"]);
        assert_eq!(denied_words("He has no fever, he complains of headache"), ["fever"]);
    }

    #[test]
    fn no_relief_is_not_no_pain() {
        assert_eq!(denied_words("headache with no relief after paracetamol"), ["relief"]);
        assert_eq!(denied_words("Temperature is normal"), ["temperature"]);
        assert_eq!(denied_words("fever: none"), ["fever", "none"]);
    }

    #[test]
    fn normal_and_none_deny_nothing_beside_what_they_speak_of() {
        assert_eq!(denied_words("She has chest pain, her temperature is normal"), ["temperature"]);
        assert_eq!(denied_words("She has chest pain and her temperature is normal"), ["temperature"]);
        assert_eq!(denied_words("Bowel sounds normal, severe chest pain"), ["normal"]);
        assert_eq!(denied_words("normal ECG and chest pain"), ["normal", "ecg"]);
        assert_eq!(denied_words("Chest pain, fever none"), ["fever", "none"]);
        assert_eq!(denied_words("Chest pain, fever: none"), ["fever", "none"]);
    }

    #[test]
    fn a_mother_who_noticed_is_no_mother_who_is_ill() {
        let language = Language::english();
        let of = |text: &str| scope(&clauses(text, &language)[0], &language, Begins::Plain).is_of_family;
        assert!(of("his mother had breast cancer"));
        assert!(of("family history of gout"));
        assert!(!of("his mother noticed a rash"));
    }
}
