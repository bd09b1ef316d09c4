//! What a clause denies, and whose illness it tells.

use super::clause::Clause;
use super::language::Language;

/// How a clause's words are to be taken.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// Per token: whether it is denied.
    pub is_denied: Vec<bool>,
    /// Whether it is about a relative.
    pub is_of_family: bool,
}

/// Reads a clause; `is_denied` is how it begins (a list of what the patient denies begins denied).
pub(super) fn scope(clause: &Clause, language: &Language, is_denied: bool) -> Scope {
    Scope { is_denied: denied(clause, language, is_denied), is_of_family: is_of_family(clause, language) }
}

fn denied(clause: &Clause, language: &Language, all: bool) -> Vec<bool> {
    let tokens = &clause.tokens;
    let mut denied = vec![all && !clause.is_but; tokens.len()];
    let mut is_on = false;
    let mut has_object = false;
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
        let is_normal = language.normal.contains(&token.word);
        if is_normal {
            let near = at.saturating_sub(5)..(at + 4).min(tokens.len());
            let is_told = tokens[..at]
                .iter()
                .rev()
                .take(2)
                .any(|token| matches!(token.word.as_str(), "is" | "was" | "are" | "were"));
            let range = if is_told { near.start..at } else { at..near.end };
            denied[range].fill(true);
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
    denied
}

/// «Fever: none», «cough absent».
fn deny_what_is_denied_after(clause: &Clause, language: &Language, denied: &mut [bool]) {
    let Some(last) = clause.tokens.last().filter(|last| language.after.contains(&last.word)) else { return };
    let from = clause.tokens.len().saturating_sub(6);
    for (at, token) in clause.tokens.iter().enumerate().skip(from) {
        if last.commas.saturating_sub(token.commas) <= 1 {
            denied[at] = true;
        }
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

#[cfg(test)]
mod tests {
    use super::super::clause::clauses;
    use super::*;

    fn denied_words(text: &str) -> Vec<String> {
        let language = Language::english();
        let mut words = Vec::new();
        for clause in clauses(text, &language) {
            let scope = scope(&clause, &language, false);
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
    fn a_mother_who_noticed_is_no_mother_who_is_ill() {
        let language = Language::english();
        let of = |text: &str| scope(&clauses(text, &language)[0], &language, false).is_of_family;
        assert!(of("his mother had breast cancer"));
        assert!(of("family history of gout"));
        assert!(!of("his mother noticed a rash"));
    }
}
