//! The sparse inference against the definition, written out at length in double precision.

use std::sync::LazyLock;

use clinical::decision::{FindingState, Severity};
use clinical::person::Sex;
use models::{ConditionIx, FindingIx, FindingKind, Knowledge};

use super::*;
use crate::evidence::Season;

static KNOWLEDGE: LazyLock<Knowledge> = LazyLock::new(|| Knowledge::built_in().unwrap());
static RANKER: LazyLock<Ranker> = LazyLock::new(|| Ranker::of(&KNOWLEDGE));

/// A small generator of numbers that are the same on every run (Knuth, TAOCP 2, section 3.3.4, line 26).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// The definition, condition by condition, without any table.
struct Definition<'a> {
    knowledge: &'a Knowledge,
    evidence: &'a Evidence,
}

impl Definition<'_> {
    fn sure(p: f64) -> f64 {
        p.clamp(f64::from(CERTAIN), 1.0 - f64::from(CERTAIN))
    }

    fn base(&self, finding: FindingIx) -> f64 {
        Self::sure(f64::from(self.knowledge.findings[finding.at()].base))
    }

    fn is_below(&self, mut finding: FindingIx, above: FindingIx) -> bool {
        while let Some(parent) = self.knowledge.findings[finding.at()].parent {
            if parent == above {
                return true;
            }
            finding = parent;
        }
        false
    }

    /// The condition's own figure; for a parent at least that of its children.
    fn figure(&self, condition: usize, finding: FindingIx) -> Option<f64> {
        let condition = &self.knowledge.conditions[condition];
        let own = condition.likelihood(finding).map(|figure| Self::sure(f64::from(figure.p)));
        let children = condition.findings.iter().filter(|figure| self.is_below(figure.finding, finding));
        let most = children.map(|figure| Self::sure(f64::from(figure.p))).reduce(f64::max);
        match (own, most) {
            (Some(own), most) => Some(own.max(most.unwrap_or(0.0))),
            (None, Some(most)) => Some(most.max(self.base(finding))),
            (None, None) => None,
        }
    }

    /// `P(f | c)` with the known chronic conditions as further causes.
    fn share(&self, condition: Option<usize>, finding: FindingIx, own: f64) -> f64 {
        let mut known = self.evidence.known.clone();
        known.sort();
        known.dedup();
        let others = known.iter().filter(|known| Some(known.at()) != condition);
        let left: f64 = others
            .filter_map(|known| self.figure(known.at(), finding))
            .map(|p| 1.0 - p * f64::from(CHRONIC_ACTIVITY))
            .product();
        Self::sure(1.0 - (1.0 - own) * left)
    }

    fn probability(&self, condition: Option<usize>, finding: FindingIx) -> f64 {
        let of = |finding| condition.and_then(|condition| self.figure(condition, finding));
        let base = self.base(finding);
        let Some(parent) = self.knowledge.findings[finding.at()].parent else {
            return self.share(condition, finding, of(finding).unwrap_or(base));
        };
        let ratio = Self::sure((base / self.base(parent)).min(f64::from(CHILD_AT_MOST)));
        let of_parent = of(parent).unwrap_or(self.base(parent));
        let own = of(finding).unwrap_or_else(|| if of(parent).is_some() { of_parent * ratio } else { base });
        let both = self.share(condition, finding, own) / self.share(condition, parent, of_parent);
        Self::sure(both.min(f64::from(CHILD_AT_MOST)))
    }

    fn score(&self, at: usize, counted: &[Counted]) -> f64 {
        let condition = &self.knowledge.conditions[at];
        let sex = match self.evidence.sex {
            Sex::Female => condition.sex.0,
            Sex::Male => condition.sex.1,
            _ => 0.5 * (condition.sex.0 + condition.sex.1),
        };
        let age = self.evidence.age.map_or(1.0, |years| condition.age_factor(years));
        let season = self.evidence.season.map_or(1.0, |season| condition.season[season as usize]);
        let mut score = (f64::from(condition.prior) / 1000.0).ln() + f64::from(sex * age * season).ln();
        let mut groups: std::collections::BTreeMap<u16, Vec<f64>> = std::collections::BTreeMap::new();
        for said in counted {
            let finding = &self.knowledge.findings[said.finding.at()];
            if finding.kind.is_of_the_person() {
                score += self.risk(condition, said);
                continue;
            }
            let log = |p: f64| if said.is_present { p.ln() } else { (1.0 - p).ln() };
            let weight =
                log(self.probability(Some(at), said.finding)) - log(self.probability(None, said.finding));
            match finding.group {
                Some(group) => groups.entry(group).or_default().push(weight),
                None => score += weight,
            }
        }
        for weights in groups.values() {
            // Of equals, to the last digit that the tables hold, the first: votes may be each other's opposite.
            let stronger = |a: f64, b: f64| if (b.abs() as f32) > (a.abs() as f32) { b } else { a };
            let strongest = weights.iter().copied().reduce(stronger).unwrap();
            let further = weights.iter().sum::<f64>() - strongest;
            score += strongest + f64::from(FURTHER_OF_GROUP) * further;
        }
        if let Some(days) = self.evidence.duration_days {
            let spread = f64::from(condition.duration.spread).max(1.2).ln();
            let z = (f64::from(days).ln() - f64::from(condition.duration.typical_days).ln()) / spread;
            score += 0.5 * (-0.5 * (z * z).min(16.0) - spread.ln());
        }
        if let Some(severity) = self.evidence.severity {
            score += 0.5 * f64::from(condition.severity[level(severity)]).max(0.01).ln();
        }
        score
    }

    fn risk(&self, condition: &models::Condition, said: &Counted) -> f64 {
        let factor = |finding: FindingIx, is_present: bool| -> Option<f64> {
            let ratio = f64::from(condition.risks.iter().find(|(risk, _)| *risk == finding)?.1);
            let mean = 1.0 - self.base(finding) + self.base(finding) * ratio;
            Some(if is_present { (ratio / mean).ln() } else { -mean.ln() })
        };
        let Some(own) = factor(said.finding, said.is_present) else { return 0.0 };
        let parent = self.knowledge.findings[said.finding.at()].parent;
        match parent.and_then(|parent| factor(parent, true)) {
            Some(of_parent) if said.is_present => own - of_parent,
            Some(_) => own.max(-3.0),
            None => own,
        }
    }
}

fn a_patient(numbers: &mut Numbers) -> Evidence {
    let mut evidence = Evidence {
        age: Some(numbers.below(90) as f32),
        sex: [Sex::Female, Sex::Male, Sex::Unknown][numbers.below(3)],
        season: [None, Some(Season::Winter), Some(Season::Summer)][numbers.below(3)],
        severity: [None, Some(Severity::Mild), Some(Severity::Severe)][numbers.below(3)],
        duration_days: [None, Some(0.5), Some(30.0)][numbers.below(3)],
        ..Evidence::default()
    };
    let condition = &KNOWLEDGE.conditions[numbers.below(KNOWLEDGE.conditions.len())];
    for figure in &condition.findings {
        let state = [FindingState::Present, FindingState::Absent, FindingState::NotAsked][numbers.below(3)];
        if state != FindingState::NotAsked {
            evidence.say(figure.finding, state);
        }
    }
    for (risk, _) in &condition.risks {
        evidence.say(*risk, [FindingState::Present, FindingState::Absent][numbers.below(2)]);
    }
    for _ in 0..numbers.below(3) {
        let known = numbers.below(KNOWLEDGE.conditions.len());
        evidence.known.push(ConditionIx(known as u16));
    }
    evidence
}

/// The definition of the posterior (issue 6, point 2), in double precision, without a table.
#[test]
fn the_sparse_sums_are_what_the_definition_gives() {
    let mut numbers = Numbers(6);
    for _ in 0..12 {
        let evidence = a_patient(&mut numbers);
        let ranking = RANKER.rank(&evidence);
        let counted = RANKER.counted(&evidence);
        let definition = Definition { knowledge: &KNOWLEDGE, evidence: &evidence };
        let scores: Vec<f64> =
            (0..KNOWLEDGE.conditions.len()).map(|at| definition.score(at, &counted)).collect();
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|score| (score - best).exp()).sum();
        for (at, score) in scores.iter().enumerate() {
            let expected = (score - best).exp() / sum * f64::from(1.0 - ranking.none());
            let told = f64::from(ranking.probabilities()[at]);
            let id = &KNOWLEDGE.conditions[at].id;
            assert!((expected - told).abs() < 2e-3, "{id}: {told}, and {expected} by definition");
        }
    }
}

#[test]
fn all_and_none_of_these_make_one_and_the_same_words_give_the_same_bits() {
    let mut numbers = Numbers(3);
    for _ in 0..20 {
        let evidence = a_patient(&mut numbers);
        let ranking = RANKER.rank(&evidence);
        let all: f32 = ranking.probabilities().iter().sum::<f32>() + ranking.none();
        assert!((all - 1.0).abs() < 1e-4, "{all}");
        assert_eq!(ranking, RANKER.rank(&evidence));
    }
}

#[test]
fn what_was_not_asked_and_what_nobody_knows_changes_nothing() {
    let mut numbers = Numbers(9);
    let mut evidence = a_patient(&mut numbers);
    let before = RANKER.rank(&evidence);
    for at in 0..KNOWLEDGE.findings.len() {
        let finding = FindingIx(at as u16);
        if evidence.state(finding) == FindingState::NotAsked {
            evidence.say(finding, FindingState::Unknown);
        }
    }
    assert_eq!(before, RANKER.rank(&evidence));
}

#[test]
fn a_present_child_brings_its_parents_and_an_absent_parent_silences_its_children() {
    let (dry, cough) = (KNOWLEDGE.finding("dry-cough").unwrap(), KNOWLEDGE.finding("cough").unwrap());
    let mut evidence = Evidence::default();
    evidence.say(dry, FindingState::Present);
    let counted = RANKER.counted(&evidence);
    assert!(counted.contains(&Counted { finding: cough, is_present: true }), "{counted:?}");

    let mut evidence = Evidence::default();
    evidence.say(cough, FindingState::Absent);
    evidence.say(dry, FindingState::Absent);
    assert_eq!(RANKER.counted(&evidence), [Counted { finding: cough, is_present: false }]);
}

#[test]
fn nobody_has_a_condition_that_sex_or_age_excludes() {
    for (at, condition) in KNOWLEDGE.conditions.iter().enumerate() {
        let of = ConditionIx(at as u16);
        let ask = |sex, age| {
            let mut evidence = Evidence { sex, age, ..Evidence::default() };
            for figure in condition.findings.iter().take(12) {
                evidence.say(figure.finding, FindingState::Present);
            }
            RANKER.rank(&evidence).of(of)
        };
        if condition.sex.0 == 0.0 {
            assert_eq!(ask(Sex::Female, Some(30.0)), 0.0, "{}", condition.id);
        }
        if condition.sex.1 == 0.0 {
            assert_eq!(ask(Sex::Male, Some(30.0)), 0.0, "{}", condition.id);
        }
        for (from, _) in condition.age.iter().filter(|(_, factor)| *factor == 0.0) {
            assert_eq!(ask(Sex::Unknown, Some(*from)), 0.0, "{} at {from}", condition.id);
        }
    }
}

/// Two words for the same complaint: the second of a group adds less than a stranger would.
#[test]
fn a_second_finding_of_a_group_counts_less() {
    let nausea = KNOWLEDGE.finding("nausea").unwrap();
    let vomiting = KNOWLEDGE.finding("vomiting").unwrap();
    assert_eq!(KNOWLEDGE.findings[nausea.at()].group, KNOWLEDGE.findings[vomiting.at()].group);
    let of = KNOWLEDGE.condition("viral-gastroenteritis").unwrap();
    let other = KNOWLEDGE.condition("mechanical-low-back-pain").unwrap();
    let odds = |said: &[FindingIx]| {
        let mut evidence = Evidence::default();
        said.iter().for_each(|finding| evidence.say(*finding, FindingState::Present));
        let ranking = RANKER.rank(&evidence);
        ranking.of(of).ln() - ranking.of(other).ln()
    };
    let (none, one, two, both) = (odds(&[]), odds(&[nausea]), odds(&[vomiting]), odds(&[nausea, vomiting]));
    assert!(both > one.max(two), "{both} {one} {two}");
    assert!(both - none < (one - none) + (two - none) - 0.1, "{both} {one} {two} {none}");
}

/// A patient with known COPD coughs because of it: the cough says less about anything new.
#[test]
fn a_known_chronic_condition_explains_its_findings_away() {
    let copd = KNOWLEDGE.conditions.iter().position(|c| c.chronic && c.id.contains("copd")).unwrap();
    let cough = KNOWLEDGE.finding("cough").unwrap();
    let bronchitis = KNOWLEDGE.condition("acute-bronchitis").unwrap();
    let gain = |known: Vec<ConditionIx>| {
        let without = RANKER.rank(&Evidence { known: known.clone(), ..Evidence::default() });
        let mut evidence = Evidence { known, ..Evidence::default() };
        evidence.say(cough, FindingState::Present);
        RANKER.rank(&evidence).of(bronchitis) / without.of(bronchitis)
    };
    let (new, known) = (gain(Vec::new()), gain(vec![ConditionIx(copd as u16)]));
    assert!(known < 0.8 * new, "{known} {new}");
}

#[test]
fn risks_are_of_the_person() {
    let odd = KNOWLEDGE.conditions.iter().flat_map(|c| &c.risks).find(|(risk, _)| {
        !matches!(KNOWLEDGE.findings[risk.at()].kind, FindingKind::History | FindingKind::Risk)
    });
    assert_eq!(odd, None);
}
