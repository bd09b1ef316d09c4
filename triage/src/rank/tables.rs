//! The knowledge, turned so that an assessment touches only the figures of the findings that were said.

use clinical::person::Sex;
use models::{FindingIx, Knowledge};

use super::{CERTAIN, CHILD_AT_MOST, NONE_FLOOR, NONE_RATIO_FLOOR, SILENCE};
use crate::evidence::{Evidence, Season};

/// One condition's figure for a finding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// The condition's index.
    pub condition: u16,
    /// Share of the condition's patients who have the finding, whatever its parent.
    pub share: f32,
    /// The same among those who have the parent; without a parent `share`.
    pub given_parent: f32,
    /// What a present finding adds to the condition beyond what it adds to one without a figure.
    pub present: f32,
    /// What an absent one adds.
    pub absent: f32,
    /// Entropy of the answer in this condition, in bits.
    pub entropy: f32,
}

/// One finding, over the conditions.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Base rate among all who consult.
    pub base: f32,
    /// Base rate among those who have the parent; without a parent `base`.
    pub base_given_parent: f32,
    /// What a present one adds to none-of-these.
    pub none_present: f32,
    /// What an absent one adds to none-of-these.
    pub none_absent: f32,
    /// Entropy of the answer in a condition without a figure, in bits.
    pub base_entropy: f32,
    /// What must be there first.
    pub parent: Option<FindingIx>,
    /// Findings of one number share a vote.
    pub group: Option<u16>,
    /// Whether it is of the person, and changes the prior.
    pub is_of_the_person: bool,
    /// The figures, by condition.
    pub entries: Vec<Entry>,
}

/// All that an assessment reads, by index.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    /// By finding.
    pub columns: Vec<Column>,
    /// By condition: its findings, for noisy causes and questions.
    pub rows: Vec<Vec<(FindingIx, f32)>>,
    prior: Vec<f32>,
    none_prior: f32,
    ages: Vec<f32>,
    age: Vec<Vec<f32>>,
    sex: [Vec<f32>; 3],
    season: [Vec<f32>; 4],
    log_days: Vec<f32>,
    inverse_spread: Vec<f32>,
    log_spread: Vec<f32>,
    severity: [Vec<f32>; 3],
    silence: Vec<f32>,
}

/// Entropy of a yes or no, in bits.
pub(crate) fn entropy(p: f32) -> f32 {
    let q = 1.0 - p;
    if p <= 0.0 || q <= 0.0 { 0.0 } else { -(p * p.log2() + q * q.log2()) }
}

/// Never 0 and never 1.
pub(crate) fn certain(p: f32) -> f32 {
    p.clamp(CERTAIN, 1.0 - CERTAIN)
}

/// A share among those who have the parent.
pub(crate) fn given(child: f32, parent: f32) -> f32 {
    certain((child / parent).min(CHILD_AT_MOST))
}

impl Tables {
    pub fn of(knowledge: &Knowledge) -> Self {
        let rows = effective_rows(knowledge);
        let columns = columns(knowledge, &rows);
        let silence = silence(knowledge, &rows);
        let conditions = &knowledge.conditions;
        let mut ages: Vec<f32> =
            conditions.iter().flat_map(|c| c.age.iter().map(|(from, _)| *from)).collect();
        ages.push(0.0);
        ages.sort_by(f32::total_cmp);
        ages.dedup();
        let by = |factor: &dyn Fn(&models::Condition) -> f32| -> Vec<f32> {
            conditions.iter().map(factor).collect()
        };
        let spread = |c: &models::Condition| c.duration.spread.max(1.2).ln();
        let shares = |level: usize| by(&move |c| c.severity[level].max(0.01).ln());
        let season = |at: usize| by(&move |c| c.season[at].ln());
        Self {
            prior: by(&|c| (c.prior / 1000.0).ln()),
            none_prior: super::NONE_PRIOR.ln(),
            age: ages.iter().map(|from| by(&|c| c.age_factor(*from).ln())).collect(),
            ages,
            sex: [by(&|c| c.sex.0.ln()), by(&|c| c.sex.1.ln()), by(&|c| (0.5 * (c.sex.0 + c.sex.1)).ln())],
            season: [season(0), season(1), season(2), season(3)],
            log_days: by(&|c| c.duration.typical_days.max(0.01).ln()),
            inverse_spread: by(&|c| 1.0 / spread(c)),
            log_spread: by(&|c| spread(c).ln()),
            severity: [shares(0), shares(1), shares(2)],
            silence,
            columns,
            rows,
        }
    }

    /// Natural logarithm of the prior odds of every condition, and last of none of these.
    pub fn prior(&self, evidence: &Evidence) -> Vec<f32> {
        let mut scores = self.prior.clone();
        let mut add = |factors: &[f32]| {
            for (score, factor) in scores.iter_mut().zip(factors) {
                *score += factor;
            }
        };
        if let Some(age) = self.age_row(evidence) {
            add(age);
        }
        add(self.sex_row(evidence.sex));
        if let Some(season) = evidence.season {
            add(self.season_row(season));
        }
        if evidence.is_whole_story {
            add(&self.silence);
        }
        let all: f32 = scores.iter().map(|score| score.exp()).sum();
        let none = self.none_prior + all.max(f32::MIN_POSITIVE).ln();
        scores.push(none);
        scores
    }

    /// Every condition's probability before anything was found.
    pub fn prior_probabilities(&self, evidence: &Evidence) -> Vec<f32> {
        let mut prior = self.prior(evidence);
        prior.iter_mut().for_each(|score| *score = score.exp());
        let all: f32 = prior.iter().sum();
        prior.iter_mut().for_each(|score| *score /= all);
        prior
    }

    pub fn age_row(&self, evidence: &Evidence) -> Option<&[f32]> {
        let years = evidence.age?;
        let at = self.ages.partition_point(|from| *from <= years).checked_sub(1)?;
        Some(&self.age[at])
    }

    pub fn sex_row(&self, sex: Sex) -> &[f32] {
        match sex {
            Sex::Female => &self.sex[0],
            Sex::Male => &self.sex[1],
            Sex::Other | Sex::Unknown => &self.sex[2],
        }
    }

    pub fn season_row(&self, season: Season) -> &[f32] {
        &self.season[season as usize]
    }

    /// What a duration adds to a condition.
    pub fn duration(&self, condition: usize, log_days: f32) -> f32 {
        let z = (log_days - self.log_days[condition]) * self.inverse_spread[condition];
        super::FLATTENED * (-0.5 * (z * z).min(super::FARTHEST) - self.log_spread[condition])
    }

    /// What a severity (0 mild to 2 severe) adds to a condition.
    pub fn severity(&self, condition: usize, level: usize) -> f32 {
        super::FLATTENED * self.severity[level][condition]
    }

    /// A condition's figure for a finding.
    pub fn entry(&self, finding: FindingIx, condition: usize) -> Option<&Entry> {
        let entries = &self.columns[finding.at()].entries;
        let at = entries.binary_search_by_key(&condition, |entry| usize::from(entry.condition)).ok()?;
        Some(&entries[at])
    }
}

/// Per condition the figures of its findings, parents filled in: a parent without a figure has at least its children's.
fn effective_rows(knowledge: &Knowledge) -> Vec<Vec<(FindingIx, f32)>> {
    let mut shares = vec![0.0_f32; knowledge.findings.len()];
    let mut rows = Vec::with_capacity(knowledge.conditions.len());
    for condition in &knowledge.conditions {
        let mut touched: Vec<FindingIx> = Vec::with_capacity(2 * condition.findings.len());
        for figure in &condition.findings {
            shares[figure.finding.at()] = certain(figure.p);
            touched.push(figure.finding);
        }
        for figure in &condition.findings {
            let mut child = figure.finding;
            while let Some(parent) = knowledge.findings[child.at()].parent {
                let least = shares[child.at()];
                if shares[parent.at()] == 0.0 {
                    shares[parent.at()] = certain(knowledge.findings[parent.at()].base.max(least));
                    touched.push(parent);
                } else if shares[parent.at()] < least {
                    shares[parent.at()] = least;
                }
                child = parent;
            }
        }
        touched.sort();
        rows.push(touched.iter().map(|finding| (*finding, shares[finding.at()])).collect());
        for finding in touched {
            shares[finding.at()] = 0.0;
        }
    }
    rows
}

fn columns(knowledge: &Knowledge, rows: &[Vec<(FindingIx, f32)>]) -> Vec<Column> {
    let base = |finding: FindingIx| certain(knowledge.findings[finding.at()].base);
    let mut columns: Vec<Column> = (0..knowledge.findings.len())
        .map(|at| {
            let finding = &knowledge.findings[at];
            let own = certain(finding.base);
            let ratio: f32 = finding.parent.map_or(own, |parent| given(own, base(parent)));
            let is_of_the_person = finding.kind.is_of_the_person();
            let floor = if finding.parent.is_some() { NONE_RATIO_FLOOR } else { NONE_FLOOR };
            let none: f32 = if is_of_the_person { ratio } else { ratio.max(floor) };
            Column {
                base: own,
                base_given_parent: ratio,
                none_present: (none / ratio).ln(),
                none_absent: ((1.0 - none) / (1.0 - ratio)).ln(),
                base_entropy: entropy(ratio),
                parent: finding.parent,
                group: finding.group,
                is_of_the_person,
                entries: Vec::new(),
            }
        })
        .collect();
    for (condition, row) in rows.iter().enumerate() {
        for (finding, share) in row {
            let column = &mut columns[finding.at()];
            let of_parent = column.parent.and_then(|parent| share_of(row, parent));
            let p: f32 = of_parent.map_or(*share, |parent| given(*share, parent));
            column.entries.push(Entry {
                condition: u16::try_from(condition).expect("conditions are indexed by u16"),
                share: *share,
                given_parent: p,
                present: (p / column.base_given_parent).ln(),
                absent: ((1.0 - p) / (1.0 - column.base_given_parent)).ln(),
                entropy: entropy(p),
            });
        }
        add_risks(&mut columns, &knowledge.conditions[condition].risks, condition);
    }
    columns
}

fn share_of(row: &[(FindingIx, f32)], finding: FindingIx) -> Option<f32> {
    let at = row.binary_search_by_key(&finding, |(of, _)| *of).ok()?;
    Some(row[at].1)
}

/// A risk multiplies the odds by its ratio and leaves the mean over all people as it is. Where its parent is a risk of the
/// condition too, the narrower one takes the wider one's place.
fn add_risks(columns: &mut [Column], risks: &[(FindingIx, f32)], condition: usize) {
    let factors = |finding: FindingIx, ratio: f32, columns: &[Column]| {
        let base = columns[finding.at()].base;
        let mean = 1.0 - base + base * ratio;
        ((ratio / mean).ln(), -mean.ln(), base * ratio / mean)
    };
    for (finding, ratio) in risks {
        let (mut present, mut absent, p) = factors(*finding, *ratio, columns);
        let parent = columns[finding.at()].parent;
        if let Some((parent, ratio)) = risks.iter().find(|(risk, _)| Some(*risk) == parent) {
            let (of_parent, _, _) = factors(*parent, *ratio, columns);
            present -= of_parent;
            absent = absent.max(-3.0);
        }
        let column = &mut columns[finding.at()];
        let condition = u16::try_from(condition).expect("conditions are indexed by u16");
        if column.entries.last().is_some_and(|entry| entry.condition == condition) {
            continue;
        }
        let p = certain(p);
        column.entries.push(Entry {
            condition,
            share: p,
            given_parent: p,
            present,
            absent,
            entropy: entropy(p),
        });
    }
}

/// Per condition what it costs that none of its findings were mentioned in a whole story.
fn silence(knowledge: &Knowledge, rows: &[Vec<(FindingIx, f32)>]) -> Vec<f32> {
    let counts = |finding: FindingIx| knowledge.findings[finding.at()].parent.is_none();
    rows.iter()
        .map(|row| {
            let of =
                |(finding, share): &(FindingIx, f32)| silent(*share, knowledge.findings[finding.at()].base);
            row.iter().filter(|(finding, _)| counts(*finding)).map(of).sum()
        })
        .collect()
}

/// What it says that a finding was not mentioned in a whole story.
pub(crate) fn silent(share: f32, base: f32) -> f32 {
    SILENCE * ((1.0 - share) / (1.0 - certain(base))).ln()
}
