//! From words to the conditions that contraindications speak of.

use std::collections::HashMap;

use clinical::decision::Presentation;
use models::formulary::{Formulary, plain};
use models::{FindingKind, Knowledge};

/// What words say of a person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Meaning {
    /// Places in [`Formulary::conditions`]; none where nothing speaks of the condition.
    pub(super) groups: Vec<u16>,
    /// The words say that there is a pregnancy.
    pub(super) is_pregnancy: bool,
    /// The words say that a child is breastfed.
    pub(super) is_breastfeeding: bool,
}

/// Every name of a condition or a finding of the person.
#[derive(Debug, Clone, Default)]
pub(super) struct Conditions(HashMap<String, Meaning>);

impl Conditions {
    pub(super) fn new(formulary: &Formulary, knowledge: &Knowledge) -> Self {
        let mut groups_of: HashMap<&str, Vec<u16>> = HashMap::new();
        for (at, group) in (0..).zip(&formulary.conditions) {
            for id in &group.ids {
                groups_of.entry(id).or_default().push(at);
            }
        }
        let mut all = Self::default();
        let none = Vec::new();
        for condition in &knowledge.conditions {
            let groups = groups_of.get(condition.id.as_str()).unwrap_or(&none);
            let names =
                [&condition.id, &condition.name].into_iter().chain(&condition.also).chain(&condition.icd10);
            names.for_each(|name| all.add(name, groups));
        }
        for finding in knowledge.findings.iter().filter(|finding| finding.kind.is_of_the_person()) {
            let groups = groups_of.get(finding.id.as_str()).unwrap_or(&none);
            let names = [&finding.id, &finding.name].into_iter().chain(&finding.says);
            debug_assert!(matches!(finding.kind, FindingKind::History | FindingKind::Risk));
            names.for_each(|name| all.add(name, groups));
        }
        for (at, group) in (0..).zip(&formulary.conditions) {
            let names = [&group.id, &group.name].into_iter().chain(&group.says);
            names.for_each(|name| all.add(name, &[at]));
        }
        for words in ["pregnancy", "pregnant", "early pregnancy", "late pregnancy", "gravid"] {
            all.0.entry(words.to_owned()).or_default().is_pregnancy = true;
        }
        for words in ["breastfeeding", "breast feeding", "lactation", "lactating", "nursing"] {
            all.0.entry(words.to_owned()).or_default().is_breastfeeding = true;
        }
        all
    }

    fn add(&mut self, name: &str, groups: &[u16]) {
        let meaning = self.0.entry(plain(name)).or_default();
        for group in groups {
            if !meaning.groups.contains(group) {
                meaning.groups.push(*group);
            }
        }
    }

    /// What words mean, with or without what is usually said around a condition; `None` where nobody knows them.
    pub(super) fn meaning(&self, said: &str) -> Option<&Meaning> {
        const BEFORE: [&str; 14] = [
            "history of ",
            "past history of ",
            "h o ",
            "known ",
            "chronic ",
            "diagnosed with ",
            "diagnosis of ",
            "previous ",
            "prior ",
            "severe ",
            "mild ",
            "moderate ",
            "active ",
            "old ",
        ];
        let whole = plain(said);
        let bare = plain(said.split('(').next().unwrap_or_default());
        let unstaged = without_stage(&whole);
        for words in [whole, bare, unstaged] {
            let mut words = words.as_str();
            for _ in 0..BEFORE.len() {
                if let Some(meaning) = self.0.get(words) {
                    return Some(meaning);
                }
                match BEFORE.iter().find_map(|before| words.strip_prefix(before)) {
                    Some(rest) => words = rest,
                    None => break,
                }
            }
        }
        None
    }
}

/// The words without how far it is: «ckd stage 3b», «stage 4 ckd», «heart failure nyha class iii».
fn without_stage(words: &str) -> String {
    let is_mark = |word: &str| matches!(word, "stage" | "grade" | "class" | "nyha" | "gold");
    let is_number =
        |word: &str| word.len() <= 3 && word.chars().all(|letter| "0123456789ivab".contains(letter));
    let mut is_after_mark = false;
    let kept = words.split(' ').filter(|word| {
        is_after_mark = is_mark(word) || is_after_mark && is_number(word);
        !is_after_mark
    });
    kept.collect::<Vec<_>>().join(" ")
}

impl Conditions {
    /// Whether there is a pregnancy: as it was told, by its weeks, or in the history («20 weeks pregnant»).
    pub(super) fn is_pregnant(&self, told: &Presentation) -> Option<bool> {
        const OTHERWISE: [&str; 9] =
            ["not", "no", "never", "previously", "previous", "history", "past", "before", "wants"];
        let is_said = |said: &String| {
            let words = plain(said);
            let has = |word: &str| words.split(' ').any(|it| it == word);
            self.meaning(said).is_some_and(|meaning| meaning.is_pregnancy)
                || has("pregnant") && !OTHERWISE.iter().any(|word| has(word))
        };
        let is_told = || told.gestation_weeks.is_some() || told.medical_history.iter().any(is_said);
        told.pregnant.or_else(|| is_told().then_some(true))
    }

    /// As [`Presentation::filtration`]: what was told in a pregnancy, of which the history alone may say.
    pub(super) fn filtration(&self, told: &Presentation) -> Option<f32> {
        if self.is_pregnant(told) == Some(true) { told.egfr } else { told.filtration() }
    }
}

/// Whether words say that there is nothing.
pub(super) fn is_none(said: &str) -> bool {
    const NONE: [&str; 21] = [
        "none",
        "nil",
        "no",
        "nka",
        "nkda",
        "no known allergies",
        "no known drug allergies",
        "no allergies",
        "no conditions",
        "nothing",
        "none known",
        "denies",
        "unremarkable",
        "healthy",
        "no medical history",
        "no known allergy",
        "no known drug allergy",
        "no drug allergies",
        "no known food or drug allergies",
        "no allergy",
        "not known",
    ];
    let words = plain(said);
    words.is_empty() || NONE.contains(&words.as_str())
}
