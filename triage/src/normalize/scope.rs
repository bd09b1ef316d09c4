//! What a clause denies, and whose illness it tells.

use std::borrow::Cow;
use std::ops::Range;

use super::clause::{Clause, Token};
use super::language::Language;
use super::measure::{is_label, value};

/// How a clause's words are to be taken.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// Per token: whether it is denied.
    pub is_denied: Vec<bool>,
    /// Per token: whether it is about a relative.
    pub is_of_family: Vec<bool>,
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

/// Reads a clause; `patient` is the relative who is ill, where the story is told for one ([`told_for`]).
pub(super) fn scope(clause: &Clause, language: &Language, begins: Begins, patient: Option<&str>) -> Scope {
    let (is_denied, is_open) = denied(clause, language, begins);
    Scope { is_denied, is_of_family: of_family(clause, language, patient), is_open }
}

/// How many words may stand between «my» and the relative: «my 3 year old daughter».
const OF_RELATIVE: usize = 5;
/// How many words behind a relative say when it was.
const TENSE: usize = 3;

/// Who is ill where somebody tells a story for a relative: «my son has a fever», «my father had a fit this morning».
///
/// The story begins with the relative, and the teller has no complaint. What a parent, brother or sister *had*, and not just
/// now, runs in the family.
pub(super) fn told_for<'a>(story: &'a [Clause], language: &Language) -> Option<&'a str> {
    let tokens = &story.first()?.tokens;
    let at = tokens.iter().position(|token| language.relatives.contains(&token.word))?;
    let relative = tokens[at].word.as_str();
    let my = tokens[..at].iter().rposition(|token| matches!(token.word.as_str(), "my" | "our"));
    let says_nothing = |token: &Token| {
        token.is_stop
            || token.number.is_some()
            || language.common.contains(&token.word)
            || token.word == "please"
    };
    let is_named = at == 0 && matches!(relative, "mum" | "mom" | "dad" | "mother" | "father");
    let begins =
        is_named || my.is_some_and(|my| at - my <= OF_RELATIVE && tokens[..my].iter().all(says_nothing));
    let was = |token: &Token| {
        matches!(
            token.word.as_str(),
            "had" | "was" | "with" | "died" | "history" | "diagnosed" | "suffered" | "passed"
        )
    };
    let is_past = !matches!(relative, "son" | "daughter") && tokens.iter().skip(at + 1).take(TENSE).any(was);
    let is_new = || {
        tokens.iter().any(|token| {
            language.alone.contains_key(&token.word)
                || language.units.get(&token.word).is_some_and(|days| *days < LONG_AGO_DAYS)
        })
    };
    let is_teller_ill = || story.iter().any(|clause| clause.tokens.windows(3).any(has_complaint));
    (begins && (!is_past || is_new()) && !is_teller_ill()).then_some(relative)
}

/// «I have a cough»; not «I have given her paracetamol».
fn has_complaint(words: &[Token]) -> bool {
    let [who, has, what] = words else { return false };
    who.word == "i"
        && matches!(has.word.as_str(), "have" | "had" | "feel" | "felt" | "get" | "got" | "cannot" | "cant")
        && !matches!(
            what.word.as_str(),
            "given"
                | "called"
                | "noticed"
                | "tried"
                | "taken"
                | "seen"
                | "been"
                | "to"
                | "no"
                | "checked"
                | "measured"
                | "him"
                | "her"
                | "it"
                | "that"
                | "wake"
                | "reach"
                | "calm"
        )
}

/// The clause in parts, each all of the patient's or all of a relative's, with what of each part is denied.
pub(super) fn parts<'a>(clause: &'a Clause, scope: &Scope) -> Vec<(Cow<'a, Clause>, Vec<bool>, bool)> {
    let mut from = 0;
    let part = |run: &[bool]| {
        let at = from..from + run.len();
        from = at.end;
        let is_denied = scope.is_denied[at.clone()].to_vec();
        if run.len() == clause.tokens.len() {
            return (Cow::Borrowed(clause), is_denied, run[0]);
        }
        let is_first = clause.is_first && at.start == 0;
        (Cow::Owned(Clause { tokens: clause.tokens[at].to_vec(), is_first, ..*clause }), is_denied, run[0])
    };
    scope.is_of_family.chunk_by(|one, next| one == next).map(part).collect()
}

fn denied(clause: &Clause, language: &Language, begins: Begins) -> (Vec<bool>, bool) {
    let tokens = &clause.tokens;
    let mut denied = vec![begins == Begins::Denied && !clause.is_but; tokens.len()];
    let mut is_on = begins == Begins::CarriedOn;
    let mut has_object = is_on;
    let mut is_plain_no = false;
    for (at, token) in tokens.iter().enumerate() {
        let is_negator = language.negators.contains(&token.word);
        if is_negator {
            let next = tokens.iter().enumerate().skip(at + 1).find(|(_, next)| !next.is_stop);
            match next.filter(|(_, next)| language.not_of_the_complaint.contains(&next.word)) {
                Some((next, _)) => denied[next] = true,
                None => {
                    (is_on, has_object) = (true, false);
                    is_plain_no = matches!(token.word.as_str(), "no" | "not" | "without");
                }
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
            || follows_a_comma && (is_measured || is_plain_no && ends_at_comma(tokens, at, language));
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

/// Whether a «no» ends at the comma before a token: «no stool for 3 days, belly swollen» tells how long there was none and goes
/// on, «no fever, cough for 3 days» how long there has been a cough; in «no sweat, temp 41» something was measured.
fn ends_at_comma(tokens: &[Token], at: usize, language: &Language) -> bool {
    let lasts = |segment: &[Token]| {
        segment.windows(3).any(|words| {
            words[0].word == "for"
                && value(&words[1], language).is_some()
                && language.units.contains_key(&words[2].word)
        })
    };
    let of = |commas: u16| {
        let from = tokens.partition_point(|token| token.commas < commas);
        &tokens[from..tokens.partition_point(|token| token.commas <= commas)]
    };
    let ahead = of(tokens[at].commas);
    let is_listed = ahead.iter().any(|token| matches!(token.word.as_str(), "or" | "nor" | "and"));
    let measured = ahead.windows(2).any(|pair| is_label(&pair[0].word) && pair[1].number.is_some());
    lasts(of(tokens[at - 1].commas)) || measured || lasts(ahead) && !is_listed
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

/// «Mother had breast cancer», «family history of gout»; not «her mother noticed a rash». It reaches over a list («father had
/// gout, a stroke») up to where somebody else is spoken of, or something is measured or lasts.
fn of_family(clause: &Clause, language: &Language, patient: Option<&str>) -> Vec<bool> {
    let tokens = &clause.tokens;
    let mut of_family = vec![false; tokens.len()];
    for (at, token) in tokens.iter().enumerate() {
        if !language.relatives.contains(&token.word) || patient == Some(token.word.as_str()) {
            continue;
        }
        let follows = |most: usize| tokens.iter().skip(at + 1).take(most);
        // «His father had a stroke, he has a cough»: the comma ends what the father may tell.
        let tells = |next: &Token| {
            let is_another = next.commas > token.commas && language.restarts.contains(&next.word);
            language.relatives_tell.contains(&next.word) && !is_another
        };
        let is_ill =
            follows(3).any(|next| language.relatives_have.contains(&next.word)) && !follows(6).any(tells);
        // «A history of gout in the father»
        let history = (at.saturating_sub(4)..at).rev().find(|before| tokens[*before].word == "history");
        if let Some(begins) = if is_ill { Some(at) } else { history } {
            let leads = |token: &Token| {
                token.is_stop || matches!(token.word.as_str(), "my" | "his" | "her" | "their" | "whose")
            };
            let is_before = |before: &Token| before.commas < token.commas || !leads(before);
            let first = tokens[..begins].iter().rposition(is_before).map_or(0, |before| before + 1);
            let end = (at + 1..tokens.len()).find(|next| ends_family(tokens, *next, language));
            of_family[first..end.unwrap_or(tokens.len())].fill(true);
        }
    }
    of_family
}

/// Whether what a relative has ends before a token: behind a comma or an «and», where the patient is spoken of, or behind a comma
/// where something is measured or lasts.
fn ends_family(tokens: &[Token], at: usize, language: &Language) -> bool {
    let is_after_comma = tokens[at - 1].commas < tokens[at].commas;
    if !is_after_comma && tokens[at - 1].word != "and" {
        return false;
    }
    let segment = tokens[at..].iter().take_while(|token| token.commas == tokens[at].commas);
    let is_patient =
        |token: &Token| matches!(token.word.as_str(), "i" | "he" | "she" | "patient" | "my" | "his" | "her");
    let is_led = |token: &&Token| language.articles.contains(&token.word) || token.word == "and";
    let mut said = segment.clone().skip_while(|token| is_led(token) && !is_patient(token));
    let is_short = |days: &f32| *days < LONG_AGO_DAYS;
    let is_measured = || {
        segment.clone().any(|token| {
            token.word.contains('/')
                || is_label(&token.word) && segment.clone().any(|token| token.number.is_some())
                || language.alone.contains_key(&token.word)
                || language.units.get(&token.word).is_some_and(is_short)
        })
    };
    said.next().is_some_and(is_patient) || is_after_comma && is_measured()
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

/// Whether something that happens in a moment is said to have happened a month ago or earlier, right behind or before it: «an
/// overdose of paracetamol ten years ago», «ten years ago she took an overdose».
pub(super) fn is_long_ago(clause: &Clause, named: u128, language: &Language) -> bool {
    let tokens = &clause.tokens;
    let first = (named.trailing_zeros() as usize).min(tokens.len());
    let end = (128 - named.leading_zeros() as usize).clamp(first, tokens.len());
    let is_time = |at: usize| match &tokens[at..] {
        [number, unit, ago, ..] => {
            let days = value(number, language).zip(language.units.get(&unit.word));
            days.is_some_and(|(number, unit)| number * unit >= LONG_AGO_DAYS)
                && language.ago.contains(&ago.word)
        }
        _ => false,
    };
    let says_nothing = |token: &Token| {
        token.is_stop
            || matches!(
                token.word.as_str(),
                "about" | "almost" | "nearly" | "over" | "took" | "she" | "he" | "i"
            )
    };
    if tokens.iter().any(|token| token.word == "again") {
        return false;
    }
    let of_what = if tokens.get(end).is_some_and(|token| token.word == "of") { 2 } else { 0 };
    let behind = (end + of_what..tokens.len()).take(WHEN);
    let mut behind = behind.take_while(|at| is_time(*at) || says_nothing(&tokens[*at]));
    let mut before = (0..first)
        .rev()
        .take(WHEN)
        .take_while(|at| says_nothing(&tokens[*at]) || language.ago.contains(&tokens[*at].word));
    // «Depressed since two years ago, took an overdose» tells of the depression: the time begins the sentence.
    let begins = |at: usize| at >= 2 && is_time(at - 2) && tokens[..at - 2].iter().all(says_nothing);
    behind.any(is_time) || before.any(begins)
}

#[cfg(test)]
mod tests {
    use super::super::clause::clauses;
    use super::*;

    fn denied_words(text: &str) -> Vec<String> {
        let language = Language::english();
        let mut words = Vec::new();
        for clause in clauses(text, &language) {
            let scope = scope(&clause, &language, Begins::Plain, None);
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
        let of = |text: &str| -> Vec<String> {
            let clause = &clauses(text, &language)[0];
            let scope = scope(clause, &language, Begins::Plain, None);
            let parts = parts(clause, &scope).into_iter().filter(|(.., is_of_family)| *is_of_family);
            parts.flat_map(|(part, ..)| part.into_owned().tokens).map(|token| token.word).collect()
        };
        assert_eq!(of("his mother had breast cancer"), ["his", "mother", "had", "breast", "cancer"]);
        assert_eq!(of("family history of gout"), ["family", "history", "of", "gout"]);
        assert_eq!(of("his mother noticed a rash"), [""; 0]);
        assert_eq!(
            of("chest pain, father had gout, a stroke, he has a cough"),
            ["father", "had", "gout", "a", "stroke"]
        );
        assert_eq!(of("chest pain and his father had gout"), ["and", "his", "father", "had", "gout"]);
        assert_eq!(
            of("a cough and a history of gout in father")[2..],
            ["history", "of", "gout", "in", "father"]
        );
        assert_eq!(of("my mother had gout and my BP is 75/40"), ["my", "mother", "had", "gout", "and"]);
        assert_eq!(of("father had gout, HR 130, BP 75/40"), ["father", "had", "gout"]);
    }
}
