//! Which condition it may be: exact Bayesian inference over the conditions, one at a time, and none of these.
//!
//! ```text
//! log posterior(c) = log prior(c) + Σ risks + Σ findings log P(f | c) + duration + severity
//! ```
//!
//! A condition without a figure for a finding has the finding's base rate, which is the same for all of them; so each figure
//! is kept as what it adds *beyond* the base rate, and an assessment reads only the figures of the findings that were said.
//! A child of the hierarchy counts only where its parent is there, with its share among those who have the parent. Known
//! chronic conditions are further causes of a finding (noisy-OR; Pearl, Probabilistic Reasoning, 1988, section 4.3.2).

mod tables;

use clinical::decision::{FindingState, Severity};
use models::{ConditionIx, FindingIx, Knowledge};

pub(crate) use tables::{Column, Tables, entropy};
use tables::{certain, given, silent};

use crate::evidence::Evidence;

/// No figure is nearer to 0 or to 1: one wrong word must not make a condition impossible.
pub const CERTAIN: f32 = 1e-4;
/// The highest share of a child among those who have its parent.
const CHILD_AT_MOST: f32 = 0.98;
/// Share of consultations that end with nothing that is known here.
pub const NONE_PRIOR: f32 = 0.05;
/// A finding is at least so frequent with none of these, so that an odd picture ends there.
const NONE_FLOOR: f32 = 0.02;
/// The same of a child among those who have its parent.
const NONE_RATIO_FLOOR: f32 = 0.1;
/// What every further finding of a correlation group counts beside the strongest, which counts whole: two words for much the
/// same thing are neither one witness nor two.
pub const FURTHER_OF_GROUP: f32 = 0.3;
/// How often a chronic condition that is known shows its findings at the visit, next to the figure for when it is the cause
/// of the visit: it is mostly treated.
pub const CHRONIC_ACTIVITY: f32 = 0.4;
/// Duration and severity are told loosely: their logarithms count half.
const FLATTENED: f32 = 0.5;
/// Odds of a condition that the patient names: people are often right about a sprain or a flu, and seldom about what is rare.
pub const NAMED: f32 = 20.0;
/// The square of how many spreads a duration can lie off and still count further.
const FARTHEST: f32 = 16.0;
/// What a silence counts beside a "no", where the whole story was told.
pub const SILENCE: f32 = 0.1;
/// Spread of the duration of anything else: around a week, from a day to two months.
const NONE_DURATION: (f32, f32) = (1.95, 2.1);

/// One finding that counts, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted {
    pub finding: FindingIx,
    pub is_present: bool,
}

/// How probable every condition is.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    probabilities: Vec<f32>,
    lines: Vec<(ConditionIx, f32)>,
    none: f32,
    counted: Vec<Counted>,
}

impl Ranking {
    /// The probability of one condition.
    pub fn of(&self, condition: ConditionIx) -> f32 {
        self.probabilities[condition.at()]
    }

    /// Every condition's probability, by index; with [`Self::none`] they make 1.
    pub fn probabilities(&self) -> &[f32] {
        &self.probabilities
    }

    /// The conditions above one in ten thousand, the most probable first.
    pub fn lines(&self) -> &[(ConditionIx, f32)] {
        &self.lines
    }

    /// How probable it is that it is none of them.
    pub fn none(&self) -> f32 {
        self.none
    }

    /// The findings that counted, by index.
    pub(crate) fn counted(&self) -> &[Counted] {
        &self.counted
    }
}

/// The inference, over tables of one knowledge.
#[derive(Debug, Clone)]
pub(crate) struct Ranker {
    pub tables: Tables,
    parents: Vec<Option<FindingIx>>,
}

/// What known chronic conditions leave of a finding's absence: the product of `1 - p · activity`, 1 without any.
struct Chronic {
    left: Vec<f32>,
    known: Vec<usize>,
}

impl Chronic {
    fn of(tables: &Tables, evidence: &Evidence) -> Option<Self> {
        if evidence.known.is_empty() {
            return None;
        }
        let mut left = vec![1.0; tables.columns.len()];
        let mut known: Vec<usize> = evidence.known.iter().map(|condition| condition.at()).collect();
        known.sort_unstable();
        known.dedup();
        for condition in &known {
            for (finding, share) in &tables.rows[*condition] {
                left[finding.at()] *= 1.0 - share * CHRONIC_ACTIVITY;
            }
        }
        Some(Self { left, known })
    }

    fn touches(&self, finding: FindingIx) -> bool {
        self.left[finding.at()] < 1.0
    }

    /// What is left for a condition: without its own part, where it is itself one of the known.
    fn left(&self, finding: FindingIx, condition: usize, share: f32) -> f32 {
        let all = self.left[finding.at()];
        if self.known.binary_search(&condition).is_ok() {
            all / (1.0 - share * CHRONIC_ACTIVITY)
        } else {
            all
        }
    }
}

fn noisy(share: f32, left: f32) -> f32 {
    certain(1.0 - (1.0 - share) * left)
}

impl Ranker {
    pub fn of(knowledge: &Knowledge) -> Self {
        Self {
            tables: Tables::of(knowledge),
            parents: knowledge.findings.iter().map(|finding| finding.parent).collect(),
        }
    }

    /// Which findings count: a present child makes its parents present, an absent parent silences its children.
    pub fn counted(&self, evidence: &Evidence) -> Vec<Counted> {
        let mut counted: Vec<Counted> = Vec::with_capacity(evidence.states().len() + 8);
        let mut is_there = vec![false; self.parents.len()];
        for (finding, state) in evidence.states() {
            if *state != FindingState::Present {
                continue;
            }
            let mut next = Some(*finding);
            while let Some(finding) = next {
                if is_there[finding.at()] {
                    break;
                }
                is_there[finding.at()] = true;
                counted.push(Counted { finding, is_present: true });
                next = self.parents[finding.at()];
            }
        }
        for (finding, state) in evidence.states() {
            let parent_is_there = self.parents[finding.at()].is_none_or(|parent| is_there[parent.at()]);
            if *state == FindingState::Absent && !is_there[finding.at()] && parent_is_there {
                counted.push(Counted { finding: *finding, is_present: false });
            }
        }
        counted.sort_unstable_by_key(|said| said.finding);
        counted
    }

    /// The posterior of every condition and of none of these.
    pub fn rank(&self, evidence: &Evidence) -> Ranking {
        let tables = &self.tables;
        let mut scores = tables.prior(evidence);
        if evidence.is_closed {
            scores[tables.rows.len()] = f32::NEG_INFINITY;
        }
        let counted = self.counted(evidence);
        let chronic = Chronic::of(tables, evidence);

        let (alone, together) = self.by_group(&counted);
        for said in &alone {
            self.each(*said, chronic.as_ref(), |condition, weight| scores[condition] += weight);
        }
        if !together.is_empty() {
            self.add_groups(&together, chronic.as_ref(), &mut scores);
        }
        if evidence.is_whole_story {
            self.unsay_silence(&counted, &mut scores);
        }
        for condition in &evidence.named {
            scores[condition.at()] += NAMED.ln();
        }
        self.add_course(evidence, &mut scores);
        softmax(scores, counted)
    }

    /// Findings with a vote of their own, and those that share one, group by group.
    fn by_group(&self, counted: &[Counted]) -> (Vec<Counted>, Vec<Vec<Counted>>) {
        let group = |said: &Counted| self.tables.columns[said.finding.at()].group;
        let mut alone = Vec::with_capacity(counted.len());
        let mut grouped: Vec<(u16, Counted)> = Vec::new();
        for said in counted {
            match group(said) {
                Some(group) => grouped.push((group, *said)),
                None => alone.push(*said),
            }
        }
        grouped.sort_unstable_by_key(|(group, said)| (*group, said.finding));
        let mut together = Vec::new();
        for chunk in grouped.chunk_by(|a, b| a.0 == b.0) {
            match chunk {
                [(_, only)] => alone.push(*only),
                several => together.push(several.iter().map(|(_, said)| *said).collect()),
            }
        }
        (alone, together)
    }

    fn add_groups(&self, groups: &[Vec<Counted>], chronic: Option<&Chronic>, scores: &mut [f32]) {
        let mut sum = vec![0.0_f32; scores.len()];
        let mut strongest = vec![0.0_f32; scores.len()];
        for group in groups {
            sum.fill(0.0);
            strongest.fill(0.0);
            for said in group {
                self.each(*said, chronic, |condition, weight| {
                    sum[condition] += weight;
                    if weight.abs() > strongest[condition].abs() {
                        strongest[condition] = weight;
                    }
                });
            }
            for ((score, sum), strongest) in scores.iter_mut().zip(&sum).zip(&strongest) {
                *score += FURTHER_OF_GROUP * sum + (1.0 - FURTHER_OF_GROUP) * strongest;
            }
        }
    }

    /// What a finding adds to each condition that has a figure for it, beyond what it adds to one that has none; and to none
    /// of these, which comes last.
    fn each(&self, said: Counted, chronic: Option<&Chronic>, mut add: impl FnMut(usize, f32)) {
        let column = &self.tables.columns[said.finding.at()];
        let none = self.tables.rows.len();
        add(none, if said.is_present { column.none_present } else { column.none_absent });
        let is_touched = |chronic: &&Chronic| {
            !column.is_of_the_person
                && (chronic.touches(said.finding)
                    || column.parent.is_some_and(|parent| chronic.touches(parent)))
        };
        let Some(chronic) = chronic.filter(is_touched) else {
            for entry in &column.entries {
                add(usize::from(entry.condition), if said.is_present { entry.present } else { entry.absent });
            }
            return;
        };
        let log = |p: f32| if said.is_present { p.ln() } else { (1.0 - p).ln() };
        let Some(parent) = column.parent else {
            let base = log(noisy(column.base, chronic.left[said.finding.at()]));
            for entry in &column.entries {
                let condition = usize::from(entry.condition);
                let left = chronic.left(said.finding, condition, entry.share);
                add(condition, log(noisy(entry.share, left)) - base);
            }
            return;
        };
        self.each_child(column, said.finding, parent, chronic, log, add);
    }

    /// A child of which a known condition is a further cause: every condition with a figure for its parent is concerned.
    fn each_child(
        &self,
        column: &Column,
        finding: FindingIx,
        parent: FindingIx,
        chronic: &Chronic,
        log: impl Fn(f32) -> f32,
        mut add: impl FnMut(usize, f32),
    ) {
        let of_parent = &self.tables.columns[parent.at()];
        let both = |child: f32, parents: f32, left: f32, left_of_parent: f32| {
            given(noisy(child, left), noisy(parents, left_of_parent))
        };
        let base =
            log(both(column.base, of_parent.base, chronic.left[finding.at()], chronic.left[parent.at()]));
        let mut own = column.entries.iter().peekable();
        for entry in &of_parent.entries {
            let condition = usize::from(entry.condition);
            while own.peek().is_some_and(|child| child.condition < entry.condition) {
                own.next();
            }
            let child = own.peek().filter(|child| child.condition == entry.condition);
            let left_of_parent = chronic.left(parent, condition, entry.share);
            let p = match child {
                Some(child) => {
                    let left = chronic.left(finding, condition, child.share);
                    both(child.share, entry.share, left, left_of_parent)
                }
                None => {
                    let share = entry.share * column.base_given_parent;
                    both(share, entry.share, chronic.left[finding.at()], left_of_parent)
                }
            };
            add(condition, log(p) - base);
        }
    }

    /// What was said was no silence.
    fn unsay_silence(&self, counted: &[Counted], scores: &mut [f32]) {
        for said in counted {
            let column = &self.tables.columns[said.finding.at()];
            if column.parent.is_some() || column.is_of_the_person {
                continue;
            }
            for entry in &column.entries {
                scores[usize::from(entry.condition)] -= silent(entry.share, column.base);
            }
        }
    }

    fn add_course(&self, evidence: &Evidence, scores: &mut [f32]) {
        let none = scores.len() - 1;
        if let Some(days) = evidence.duration_days {
            let log_days = days.max(0.01).ln();
            for (condition, score) in scores[..none].iter_mut().enumerate() {
                *score += self.tables.duration(condition, log_days);
            }
            let z = (log_days - NONE_DURATION.0) / NONE_DURATION.1;
            scores[none] += FLATTENED * (-0.5 * (z * z).min(FARTHEST) - NONE_DURATION.1.ln());
        }
        if let Some(severity) = evidence.severity {
            let level = level(severity);
            for (condition, score) in scores[..none].iter_mut().enumerate() {
                *score += self.tables.severity(condition, level);
            }
            scores[none] += FLATTENED * (1.0_f32 / 3.0).ln();
        }
    }
}

/// A severity's place among the three shares.
pub(crate) fn level(severity: Severity) -> usize {
    match severity {
        Severity::Mild => 0,
        Severity::Moderate => 1,
        Severity::Severe => 2,
    }
}

fn softmax(mut scores: Vec<f32>, counted: Vec<Counted>) -> Ranking {
    let best = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in &mut scores {
        *score = if *score > best - 30.0 { (*score - best).exp() } else { 0.0 };
        sum += *score;
    }
    for score in &mut scores {
        *score /= sum;
    }
    let none = scores.pop().unwrap_or_default();
    let mut lines: Vec<(ConditionIx, f32)> = scores
        .iter()
        .enumerate()
        .filter(|(_, p)| **p > 1e-4)
        .map(|(at, p)| (ConditionIx(u16::try_from(at).unwrap_or(u16::MAX)), *p))
        .collect();
    lines.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    Ranking { probabilities: scores, lines, none, counted }
}

#[cfg(test)]
mod tests;
