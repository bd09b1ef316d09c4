//! When a condition of the differential is the one that a row names.
//!
//! The rule, in this order; the first that holds makes it right:
//!
//! 1. **Name.** The condition's name, or one of its other names, is one of the row's (`correct_diagnosis`, `accept`).
//!    Names are compared in lower case, without punctuation, in any order of words, in the singular, `ae` and `oe` as
//!    `e`, Roman numerals as numbers; `Name (ABBREVIATION)` is compared whole, without and inside the brackets.
//! 2. **Name without qualifiers.** Where no condition at all has the name, it is compared again without `acute`,
//!    `primary`, `simple`, `uncomplicated`, `disease`, `disorder` and `syndrome`. *Chronic* is never left out.
//! 3. **Code.** The main ICD-10-CM code of the condition is that of a condition which the row names by 1 or 2 or a code
//!    that the row brings (`icd10`), or one of the two includes the other (`J45` includes `J45.909`). Codes that only
//!    share their category of three characters (`I20.0` and `I20.9`) do not count here; the figures that end in
//!    `_by_category` count them too.
//!
//! A row that no condition answers by name, and that brings no code, is not covered: it counts as wrong.

use std::collections::{BTreeSet, HashMap};

use clinical::decision::DifferentialLine;
use models::{ConditionIx, Knowledge};

/// Words that say nothing where a name is not known with them.
const QUALIFIERS: [&str; 7] =
    ["acute", "primary", "simple", "uncomplicated", "disease", "disorder", "syndrome"];
/// Words without meaning of their own.
const SMALL: [&str; 8] = ["the", "of", "a", "an", "and", "to", "due", "in"];

/// The names of a knowledge base, ready to be asked.
#[derive(Debug, Clone)]
pub struct Names {
    ids: HashMap<String, ConditionIx>,
    /// The main code of each condition.
    codes: Vec<Option<String>>,
    whole: HashMap<String, Vec<ConditionIx>>,
    reduced: HashMap<String, Vec<ConditionIx>>,
}

/// What a row wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    conditions: BTreeSet<ConditionIx>,
    codes: BTreeSet<String>,
}

/// How well a condition answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    /// Not at all.
    None,
    /// It shares no more than a category of three characters.
    Category,
    /// By name, or by code.
    Right,
}

impl Names {
    /// Those of `knowledge`.
    pub fn of(knowledge: &Knowledge) -> Self {
        let (mut whole, mut reduced) = (HashMap::new(), HashMap::new());
        for (condition, at) in knowledge.conditions.iter().zip(0..) {
            for name in condition.also.iter().chain([&condition.name]) {
                for form in forms(name) {
                    add(&mut reduced, without_qualifiers(&form), ConditionIx(at));
                    add(&mut whole, form, ConditionIx(at));
                }
            }
            add(&mut whole, normalised(&condition.id.replace('_', " ")), ConditionIx(at));
        }
        let conditions = || knowledge.conditions.iter().zip(0..);
        let ids = conditions().map(|(condition, at)| (condition.id.clone(), ConditionIx(at))).collect();
        let codes = conditions().map(|(condition, _)| condition.icd10.first().map(|code| plain_code(code)));
        Self { ids, codes: codes.collect(), whole, reduced }
    }

    /// The conditions that have the name, with or without qualifiers.
    pub fn of_name(&self, name: &str) -> impl Iterator<Item = ConditionIx> {
        self.wanted([name], []).conditions.into_iter()
    }

    /// What a row wants that names these diagnoses and codes.
    pub fn wanted<'n>(
        &self,
        names: impl IntoIterator<Item = &'n str>,
        codes: impl IntoIterator<Item = &'n str>,
    ) -> Wanted {
        let mut wanted = Wanted::default();
        for name in names {
            let forms = forms(name);
            let mut found: Vec<_> = forms.iter().filter_map(|form| self.whole.get(form)).flatten().collect();
            if found.is_empty() {
                let reduced = forms.iter().map(|form| without_qualifiers(form));
                found = reduced.filter_map(|form| self.reduced.get(&form)).flatten().collect();
            }
            wanted.conditions.extend(found);
        }
        let of_conditions = wanted.conditions.iter().filter_map(|at| self.main_code(*at));
        wanted.codes = of_conditions.chain(codes.into_iter().map(plain_code)).collect();
        wanted.codes.retain(|code| code.len() >= 3);
        wanted
    }

    /// How well a line of the differential answers.
    pub fn answers(&self, wanted: &Wanted, line: &DifferentialLine) -> Match {
        if self.ids.get(&line.condition).is_some_and(|at| wanted.conditions.contains(at)) {
            return Match::Right;
        }
        let Some(code) = line.icd10.first().map(|code| plain_code(code)).filter(|code| code.len() >= 3)
        else {
            return Match::None;
        };
        let mut best = Match::None;
        for other in &wanted.codes {
            if other.starts_with(&code) || code.starts_with(other) {
                return Match::Right;
            }
            if other.get(..3) == code.get(..3) {
                best = Match::Category;
            }
        }
        best
    }

    fn main_code(&self, at: ConditionIx) -> Option<String> {
        self.codes[at.at()].clone()
    }
}

impl Wanted {
    /// Whether anything could answer.
    pub fn is_covered(&self) -> bool {
        !self.conditions.is_empty() || !self.codes.is_empty()
    }
}

fn add(names: &mut HashMap<String, Vec<ConditionIx>>, name: String, at: ConditionIx) {
    let known = names.entry(name).or_default();
    if !known.contains(&at) {
        known.push(at);
    }
}

fn plain_code(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// The name whole, without what stands in brackets, and what stands there.
fn forms(name: &str) -> Vec<String> {
    let mut forms = vec![normalised(name)];
    if let Some((before, rest)) = name.split_once('(') {
        let (inside, after) = rest.split_once(')').unwrap_or((rest, ""));
        forms.push(normalised(&format!("{before} {after}")));
        forms.push(normalised(inside));
    }
    forms.retain(|form| !form.is_empty());
    forms.dedup();
    forms
}

fn normalised(name: &str) -> String {
    let name = name.to_lowercase().replace("'s", "").replace("’s", "").replace("ae", "e").replace("oe", "e");
    let words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let mut words: Vec<String> =
        words.filter(|word| !SMALL.contains(word)).map(|word| singular(number(word))).collect();
    words.sort();
    words.join(" ")
}

fn number(word: &str) -> &str {
    match word {
        "i" => "1",
        "ii" => "2",
        "iii" => "3",
        "iv" => "4",
        word => word,
    }
}

fn singular(word: &str) -> String {
    let stays = word.len() < 5 || ["ss", "is", "us", "as", "os"].iter().any(|end| word.ends_with(end));
    match word.strip_suffix('s') {
        Some(stem) if !stays => stem.to_owned(),
        _ => word.to_owned(),
    }
}

fn without_qualifiers(normalised: &str) -> String {
    let left: Vec<&str> = normalised.split(' ').filter(|word| !QUALIFIERS.contains(word)).collect();
    if left.is_empty() { normalised.to_owned() } else { left.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_the_same_are_one() {
        for (one, other) in [
            ("Appendicitis, acute", "Acute Appendicitis"),
            ("Crohn's disease", "crohn disease"),
            ("Iron-deficiency anaemia", "iron deficiency anemia"),
            ("Type II diabetes mellitus", "Diabetes Mellitus Type 2"),
            ("Kidney stones", "kidney stone"),
        ] {
            assert_eq!(normalised(one), normalised(other));
        }
        assert_ne!(normalised("chronic pancreatitis"), normalised("acute pancreatitis"));
        assert_eq!(forms("Gastroesophageal reflux disease (GERD)")[2], "gerd");
        assert_eq!(without_qualifiers(&normalised("Acute appendicitis")), "appendicitis");
        assert_eq!(without_qualifiers("chronic pancreatitis"), "chronic pancreatitis");
    }
}
