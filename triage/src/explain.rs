//! Why: what spoke for a condition, and what against it.

use clinical::decision::{DifferentialLine, FindingState, Spoke};
use clinical::person::Sex;
use models::{ConditionIx, FindingIx, Knowledge};

use crate::evidence::Evidence;
use crate::rank::{Counted, NAMED, Ranker, Ranking, level};

/// The least weight that is told.
const LEAST: f32 = 0.15;
/// The most that is told for, and against, one condition.
const MOST: usize = 12;

/// A circumstance's id and name, and what it adds to a condition.
type Circumstance<'a> = (&'static str, &'static str, Box<dyn Fn(usize) -> f32 + 'a>);

/// One thing that is known, and how likely it is over all conditions, weighed by how probable they are.
pub(crate) struct Known<'a> {
    about: About,
    /// What it adds to a condition: the natural logarithm of a likelihood.
    factor: Box<dyn Fn(usize) -> f32 + 'a>,
    mean: f64,
}

enum About {
    Finding(Counted),
    Circumstance(&'static str, &'static str),
}

impl Ranker {
    /// All that is known of the patient, weighed once for every line of the differential.
    pub(crate) fn known<'a>(
        &'a self,
        evidence: &Evidence,
        counted: &[Counted],
        ranking: &Ranking,
    ) -> Vec<Known<'a>> {
        let probabilities = ranking.probabilities();
        let mut known: Vec<Known<'a>> = counted
            .iter()
            .map(|said| {
                let column = &self.tables.columns[said.finding.at()];
                let is_present = said.is_present;
                let likely = move |p: f32| if is_present { p } else { 1.0 - p };
                let base = likely(column.base_given_parent);
                let beyond = column.entries.iter().map(|entry| {
                    f64::from(probabilities[usize::from(entry.condition)])
                        * f64::from(likely(entry.given_parent) - base)
                });
                let mean = f64::from(base) + beyond.sum::<f64>();
                let said = *said;
                let factor = move |at: usize| {
                    let own = self
                        .tables
                        .entry(said.finding, at)
                        .map_or(column.base_given_parent, |entry| entry.given_parent);
                    likely(own).ln()
                };
                Known { about: About::Finding(said), factor: Box::new(factor), mean }
            })
            .collect();
        for (id, name, factor) in self.circumstances(evidence) {
            let lines = ranking.lines().iter();
            let sum: f64 = lines.map(|(at, p)| f64::from(*p) * f64::from(factor(at.at())).exp()).sum();
            let all: f64 = ranking.lines().iter().map(|(_, p)| f64::from(*p)).sum();
            known.push(Known { about: About::Circumstance(id, name), factor, mean: sum / all.max(1e-9) });
        }
        known
    }

    /// One line of the differential, with what spoke for and against it in order of weight: how much likelier each thing is
    /// with this condition than with the others.
    pub(crate) fn explain(
        &self,
        knowledge: &Knowledge,
        known: &[Known<'_>],
        ranking: &Ranking,
        condition: ConditionIx,
    ) -> DifferentialLine {
        let about = &knowledge.conditions[condition.at()];
        let p = f64::from(ranking.of(condition)).min(0.999);
        let mut spoke: Vec<(f32, &Known<'_>)> = known
            .iter()
            .map(|known| {
                let own = f64::from((known.factor)(condition.at()));
                let others = ((known.mean - p * own.exp()) / (1.0 - p)).max(1e-4 * known.mean).max(1e-9);
                ((own - others.ln()).clamp(-20.0, 20.0) as f32, known)
            })
            .filter(|(weight, _)| weight.abs() >= LEAST)
            .collect();
        spoke.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
        let told = |is_for: bool| -> Vec<Spoke> {
            let side = spoke.iter().filter(|(weight, _)| (*weight > 0.0) == is_for);
            side.take(MOST).map(|(weight, known)| told(knowledge, condition, *weight, known)).collect()
        };
        DifferentialLine {
            condition: about.id.clone(),
            name: about.name.clone(),
            icd10: about.icd10.clone(),
            category: name_of(about.category),
            probability: ranking.of(condition),
            urgency: about.urgency,
            says_when: about.says_when.clone(),
            spoke_for: told(true),
            spoke_against: told(false),
            advice: about.advice.clone(),
        }
    }

    fn circumstances(&self, evidence: &Evidence) -> Vec<Circumstance<'_>> {
        let tables = &self.tables;
        let mut told: Vec<Circumstance<'_>> = Vec::new();
        if let Some(ages) = tables.age_row(evidence) {
            told.push(("age", "Age", Box::new(|at| ages[at])));
        }
        if !matches!(evidence.sex, Sex::Unknown) {
            let sexes = tables.sex_row(evidence.sex);
            told.push(("sex", "Sex", Box::new(|at| sexes[at])));
        }
        if !evidence.named.is_empty() {
            let named = evidence.named.clone();
            let factor = move |at: usize| if named.iter().any(|it| it.at() == at) { NAMED.ln() } else { 0.0 };
            told.push(("named", "What the patient calls it", Box::new(factor)));
        }
        if let Some(season) = evidence.season {
            let seasons = tables.season_row(season);
            told.push(("season", "Season", Box::new(|at| seasons[at])));
        }
        if let Some(days) = evidence.duration_days {
            let log_days = days.max(0.01).ln();
            told.push(("duration", "Duration", Box::new(move |at| tables.duration(at, log_days))));
        }
        if let Some(severity) = evidence.severity {
            let level = level(severity);
            told.push(("severity", "Severity", Box::new(move |at| tables.severity(at, level))));
        }
        told
    }
}

/// One thing, in words and with where its figure stands.
fn told(knowledge: &Knowledge, condition: ConditionIx, weight: f32, known: &Known<'_>) -> Spoke {
    match known.about {
        About::Finding(said) => {
            let finding = &knowledge.findings[said.finding.at()];
            let (grade, source) = graded(knowledge, condition, said.finding);
            let state = if said.is_present { FindingState::Present } else { FindingState::Absent };
            Spoke { finding: finding.id.clone(), name: finding.name.clone(), state, weight, grade, source }
        }
        About::Circumstance(id, name) => Spoke {
            finding: id.to_owned(),
            name: name.to_owned(),
            state: FindingState::Present,
            weight,
            grade: "estimated",
            source: None,
        },
    }
}

fn graded(
    knowledge: &Knowledge,
    condition: ConditionIx,
    finding: FindingIx,
) -> (&'static str, Option<String>) {
    let figure = knowledge.conditions[condition.at()].likelihood(finding);
    let source =
        figure.and_then(|figure| figure.source).and_then(|at| knowledge.sources.get(usize::from(at)));
    match source {
        Some(source) => ("measured", Some(source.reference.clone())),
        None => ("estimated", None),
    }
}

/// The category's name, as JSON has it.
fn name_of(category: models::Category) -> String {
    serde_json::to_value(category).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
