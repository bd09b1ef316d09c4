//! A drug that somebody is allergic to, or one alike.

use clinical::decision::{IssueKind, IssueSeverity};
use models::formulary::{ESTIMATED, Formulary, IngredientIx, Named, Words, plain};

use super::{Notes, Round};

/// A name has at most so many words.
const LONGEST_NAME: usize = 5;
/// So many words of one allergy are read.
const MOST_WORDS: usize = 40;

/// What somebody is allergic to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Allergy {
    /// The drug's or the group's name.
    name: String,
    /// The drugs that were meant.
    drugs: Vec<IngredientIx>,
    /// The reaction put a life in danger.
    is_grave: bool,
}

/// Reads what is said of one allergy; what is not understood is noted.
pub(super) fn read(formulary: &Formulary, said: &str, notes: &mut Notes) -> Vec<Allergy> {
    let words = plain(said);
    let is_denial = ["no ", "not ", "denies ", "without "].iter().any(|denial| words.starts_with(denial));
    let all = words.split(' ').count();
    let words: Vec<_> = words.split(' ').take(MOST_WORDS).collect();
    let is_grave = words.iter().any(|word| is_grave_word(word));
    let mut found = Vec::new();
    let mut unknown = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let longest = (at + LONGEST_NAME).min(words.len());
        let meant = (at + 1..=longest).rev().find_map(|to| {
            meaning(formulary, &words[at..to].join(" ")).map(|(name, drugs)| (to, name, drugs))
        });
        if let Some((to, name, drugs)) = meant {
            found.push(Allergy { name, drugs, is_grave });
            at = to;
            continue;
        }
        let word = words[at];
        at += 1;
        if is_around(word) || is_grave_word(word) || word.parse::<f32>().is_ok() {
            continue;
        }
        match formulary.nearly_named(word) {
            Some(named) => {
                let (name, drugs) = of_named(formulary, named);
                notes.add(said.trim(), format!("«{word}» was read as {name}; confirm it"));
                found.push(Allergy { name, drugs, is_grave });
            }
            None => unknown.push(word),
        }
    }
    if all > MOST_WORDS {
        notes.add(said.trim(), format!("only its first {MOST_WORDS} words were read"));
    }
    // Whoever writes «none but penicillin» has an allergy: what is named counts, and somebody must look.
    if is_denial && !found.is_empty() {
        let names: Vec<_> = found.iter().map(|allergy| allergy.name.as_str()).collect();
        notes.add(said.trim(), format!("it was read as an allergy to {}; confirm it", names.join(" and ")));
    }
    if found.is_empty() {
        notes.add(said.trim(), "this allergy is not known, so no drug was held against it");
    } else if !unknown.is_empty() {
        notes.add(said.trim(), format!("«{}» was not understood", unknown.join(" ")));
    }
    found
}

/// Words around the name of an allergy.
fn is_around(word: &str) -> bool {
    const AROUND: [&str; 62] = [
        "a",
        "adverse",
        "after",
        "allergic",
        "allergies",
        "allergy",
        "an",
        "and",
        "antibiotic",
        "antibiotics",
        "any",
        "apart",
        "as",
        "besides",
        "but",
        "caused",
        "causes",
        "child",
        "denies",
        "drug",
        "drugs",
        "except",
        "family",
        "for",
        "from",
        "gi",
        "had",
        "has",
        "history",
        "hives",
        "hypersensitivity",
        "in",
        "intolerance",
        "intolerant",
        "itching",
        "known",
        "medication",
        "mild",
        "moderate",
        "nausea",
        "no",
        "not",
        "of",
        "only",
        "or",
        "other",
        "rash",
        "reaction",
        "reported",
        "sensitivity",
        "severe",
        "swelling",
        "than",
        "that",
        "the",
        "to",
        "upset",
        "urticaria",
        "vomiting",
        "when",
        "with",
        "without",
    ];
    AROUND.binary_search(&word).is_ok()
}

fn is_grave_word(word: &str) -> bool {
    const GRAVE: [&str; 14] = [
        "anaphylactic",
        "anaphylactoid",
        "anaphylaxis",
        "angioedema",
        "angioneurotic",
        "dress",
        "epidermal",
        "johnson",
        "necrolysis",
        "shock",
        "sjs",
        "stevens",
        "ten",
        "toxic",
    ];
    GRAVE.contains(&word)
}

fn meaning(formulary: &Formulary, words: &str) -> Option<(String, Vec<IngredientIx>)> {
    if let Some(group) = formulary.allergy(words) {
        return Some((group.name.clone(), group.drugs.members().map(IngredientIx).collect()));
    }
    formulary.named(words).map(|named| of_named(formulary, named))
}

fn of_named(formulary: &Formulary, named: Named) -> (String, Vec<IngredientIx>) {
    let drugs = match named {
        Named::Ingredient(drug) => vec![drug],
        Named::Combination(at) => formulary.combinations[usize::from(at)].holds.clone(),
    };
    let names: Vec<_> = drugs.iter().map(|drug| formulary.ingredients[drug.at()].name.as_str()).collect();
    (names.join(" and "), drugs)
}

pub(super) fn check(round: &mut Round<'_>) {
    let (formulary, patient) = (round.formulary, round.patient);
    for allergy in &patient.allergies {
        for taken in &patient.taken {
            if allergy.drugs.contains(&taken.drug) {
                let words = Words {
                    id: "allergy".to_owned(),
                    severity: IssueSeverity::High,
                    mechanism: "An allergy to this drug or its group was told.".to_owned(),
                    management: "Do not give; ask what happened and when.".to_owned(),
                    source: ESTIMATED.to_owned(),
                };
                round.found(
                    IssueKind::Allergy,
                    IssueSeverity::High,
                    &[taken.drug],
                    Some(allergy.name.clone()),
                    &words,
                );
                continue;
            }
            let rules = formulary.cross_reactions.iter().filter(|rule| rule.to.has(taken.drug.0));
            let of_allergy = rules.filter(|rule| allergy.drugs.iter().any(|drug| rule.from.has(drug.0)));
            // Of several rules the gravest is told: the side chain counts more than the ring.
            let Some(rule) = of_allergy.max_by_key(|rule| rule.words.severity) else { continue };
            let severity = match rule.words.severity {
                IssueSeverity::Moderate if allergy.is_grave => IssueSeverity::High,
                severity => severity,
            };
            let mut words = rule.words.clone();
            words.mechanism = format!("{} How often both react: {}.", words.mechanism, rule.share);
            round.found(IssueKind::Allergy, severity, &[taken.drug], Some(allergy.name.clone()), &words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_around_an_allergy_are_in_order_for_the_search() {
        assert!(["a", "allergic", "rash", "to", "with", "urticaria"].into_iter().all(is_around));
        assert!(!is_around("penicillin"));
    }
}
