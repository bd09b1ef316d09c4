//! Who is ill, as it stands in free words: age, sex, and how far a pregnancy is.

use clinical::person::Sex;

use super::clause::{Clause, Token};
use super::language::Language;
use super::measure::value;

/// Age in years: «65 year old», «3-month-old», «aged 40», «45 yo», «newborn», «72 woman», «58M», «my father is 68».
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
                Some(days) if before == "of" && at > 1 && is_child(&tokens[at - 2].word) => {
                    number * days / 365.0
                }
                _ if language.old.contains(next) || language.old.contains(before) => number,
                _ if token.number.is_some() && is_of_a_person(tokens, at, language) => number,
                _ => continue,
            };
            if (0.0..=125.0).contains(&years) {
                return Some(years);
            }
        }
    }
    newborn
}

/// Whether a number without a unit is somebody's age: «72 woman», «58M», «, 45 f,», «my father is 68».
fn is_of_a_person(tokens: &[Token], at: usize, language: &Language) -> bool {
    if code(tokens, at).is_some() {
        return true;
    }
    let is_person = |token: &Token| {
        language.female.contains(&token.word)
            || language.male.contains(&token.word)
            || language.relatives.contains(&token.word)
            || matches!(token.word.as_str(), "husband" | "wife" | "baby" | "child" | "partner")
    };
    let next = tokens.get(at + 1).filter(|next| next.commas == tokens[at].commas);
    let is_beside =
        next.is_some_and(|next| is_person(next) && !is_pronoun(&next.word) && next.word.len() > 1);
    let is_last = next.is_none_or(|next| matches!(next.word.as_str(), "and" | "has" | "with"));
    let is_said = match &tokens[..at] {
        [.., who, is] => is.word == "is" && is_person(who),
        _ => false,
    };
    is_beside && at == 0 || is_said && is_last
}

fn is_child(word: &str) -> bool {
    matches!(word, "baby" | "infant" | "toddler" | "child" | "boy" | "girl" | "son" | "daughter")
}

/// The letter behind a number that says a sex, as in «58M» at a story's beginning or «, 45 f,» between commas.
fn code(tokens: &[Token], at: usize) -> Option<Sex> {
    let letter = tokens.get(at + 1)?;
    let sex = match letter.word.as_str() {
        "m" => Sex::Male,
        "f" => Sex::Female,
        _ => return None,
    };
    let is_alone = |other: Option<&Token>| other.is_none_or(|other| other.commas != tokens[at].commas);
    let before = at.checked_sub(1).and_then(|before| tokens.get(before));
    let after = tokens.get(at + 2);
    let is_joined =
        at == 0 && tokens[at].end == letter.start && after.is_none_or(|after| after.word != "old");
    let stands_alone = is_alone(before) && is_alone(after) && letter.commas == tokens[at].commas;
    let is_age = tokens[at].number.is_some_and(|years| (1.0..=115.0).contains(&years));
    (is_age && (is_joined || stands_alone)).then_some(sex)
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

fn is_pronoun(word: &str) -> bool {
    matches!(word, "he" | "him" | "his" | "she" | "her")
}

/// Sex, by the first word that says it; a pronoun where no other does.
pub(super) fn sex(clauses: &[Clause], language: &Language) -> Sex {
    let letters =
        clauses.iter().flat_map(|clause| (0..clause.tokens.len()).map(|at| code(&clause.tokens, at)));
    if let Some(sex) = letters.flatten().next() {
        return sex;
    }
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

#[cfg(test)]
mod tests {
    use super::super::clause::clauses;
    use super::*;

    #[test]
    fn ages_and_sexes_are_read() {
        let language = Language::english();
        let age_of = |text: &str| age(&clauses(text, &language), &language);
        assert_eq!(age_of("65 year old Male"), Some(65.0));
        assert_eq!(age_of("a 3-month-old girl"), Some(90.0 / 365.0));
        assert_eq!(age_of("aged 40"), Some(40.0));
        assert_eq!(age_of("45yo"), Some(45.0));
        assert_eq!(age_of("58M with chest pain"), Some(58.0));
        assert_eq!(age_of("chest pain, 45 f, smokes"), Some(45.0));
        assert_eq!(age_of("72 woman, dizzy"), Some(72.0));
        assert_eq!(age_of("my father is 68 and confused"), Some(68.0));
        assert_eq!(age_of("my baby of 8 months has a rash"), Some(240.0 / 365.0));
        assert_eq!(age_of("3m old baby"), None);
        assert_eq!(age_of("a woman with a cough"), None);
        assert_eq!(age_of("fever of 102 f"), None);
        assert_eq!(age_of("fell 4 m and has pain"), None);
        assert_eq!(age_of("for 3 days"), None);
        assert_eq!(age_of("a newborn with a fever"), Some(0.02));
        assert_eq!(age_of("I have a newborn at home, I am 30 years old"), Some(30.0));
        assert_eq!(age_of("I have a newborn at home and a cough"), None);
        assert_eq!(age_of("a mother with a newborn has a cough"), None);
        assert_eq!(age_of("My newborn has a fever of 38.6 and is feeding poorly"), Some(0.02));
        assert_eq!(sex(&clauses("She is 30", &language), &language), Sex::Female);
        assert_eq!(sex(&clauses("65 year old Male", &language), &language), Sex::Male);
        assert_eq!(sex(&clauses("27f, a fever of 102 f", &language), &language), Sex::Female);
        assert_eq!(sex(&clauses("a fever of 102 f", &language), &language), Sex::Unknown);
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
}
