//! How soon: the worst of rules, measurements and what it may be. It only ever rises.

use clinical::decision::{FindingState, Reason, Severity, Urgency};
use models::{ConditionIx, FindingIx, Knowledge};

use crate::evidence::Evidence;
use crate::normalize::Heard;
use crate::rank::{Ranker, Ranking};
use crate::{red_flags, vitals};

/// From which share of the posterior on the conditions of a level and above set the level; the most urgent first.
///
/// By our own judgement that a missed emergency weighs far more than a needless visit, and held against the cases written in
/// `tests/urgency.rs`; no published case was looked at for them.
const BOUNDS: [(Urgency, f32); 4] = [
    (Urgency::EmergencyAmbulance, 0.30),
    (Urgency::Emergency, 0.20),
    (Urgency::Within24Hours, 0.30),
    (Urgency::Consultation, 0.40),
];
/// In the first three months everything needs a physician within the day.
const INFANT_YEARS: f32 = 0.25;
/// What has lasted for less is of today.
const OF_TODAY_DAYS: f32 = 0.7;
/// The ages that are tried where none is told.
const AGES_TRIED: [f32; 3] = [2.0, 40.0, 80.0];

/// How soon, and why, the worst first.
pub(crate) fn judge(
    knowledge: &Knowledge,
    ranker: &Ranker,
    heard: &Heard,
    ranking: &Ranking,
) -> (Urgency, Vec<Reason>) {
    let mut reasons = red_flags::raised(knowledge, &heard.evidence, heard.pregnant);
    reasons.extend(vitals::reasons(&heard.vitals, heard.evidence.age, heard.pregnant));
    match without_its_hour(knowledge, heard) {
        Some(evidence) => reasons.push(by_posterior(knowledge, &ranker.rank(&evidence))),
        None => reasons.push(by_posterior(knowledge, ranking)),
    }
    reasons.extend(floors(knowledge, ranker, heard, &reasons));
    reasons.sort_by(|a, b| b.urgency.cmp(&a.urgency).then(a.rule.cmp(&b.rule)));
    reasons.dedup_by(|a, b| a.rule == b.rule);
    (reasons.first().map_or(Urgency::Consultation, |reason| reason.urgency), reasons)
}

/// What was told without how long it lasts, where that is one bare complaint of today: with nothing beside it the hour would
/// weigh more than the complaint, and every cold has a first day.
fn without_its_hour(knowledge: &Knowledge, heard: &Heard) -> Option<Evidence> {
    let evidence = &heard.evidence;
    let is_complaint = |(finding, state): &&(FindingIx, FindingState)| {
        *state == FindingState::Present && !knowledge.findings[finding.at()].kind.is_of_the_person()
    };
    let is_of_today = evidence.duration_days.is_some_and(|days| days < OF_TODAY_DAYS);
    let is_bare = evidence.states().iter().filter(is_complaint).count() == 1 && evidence.named.is_empty();
    let is_borne = !matches!(evidence.severity, Some(Severity::Moderate | Severity::Severe));
    (is_of_today && is_bare && is_borne).then(|| Evidence { duration_days: None, ..evidence.clone() })
}

/// The level that what it may be asks for.
fn by_posterior(knowledge: &Knowledge, ranking: &Ranking) -> Reason {
    let (urgency, leading) = level(knowledge, ranking);
    let text = leading.map_or_else(
        || "Nothing that is known here fits well enough.".to_owned(),
        |condition| format!("It may be {}.", knowledge.conditions[condition.at()].name),
    );
    Reason { urgency, rule: "differential".to_owned(), text, source: None }
}

fn level(knowledge: &Knowledge, ranking: &Ranking) -> (Urgency, Option<ConditionIx>) {
    let share = |level: Urgency| -> f32 {
        let of = knowledge.conditions.iter().zip(ranking.probabilities());
        let sum: f32 = of.filter(|(condition, _)| condition.urgency >= level).map(|(_, p)| p).sum();
        if level <= Urgency::Consultation { sum + ranking.none() } else { sum }
    };
    let urgency = BOUNDS
        .iter()
        .find(|(level, bound)| share(*level) >= *bound)
        .map_or(Urgency::SelfCare, |(level, _)| *level);
    let leading = ranking
        .lines()
        .iter()
        .map(|(condition, _)| *condition)
        .find(|condition| knowledge.conditions[condition.at()].urgency >= urgency);
    (urgency, leading)
}

/// Nobody is sent home because something was not understood or not told.
fn floors(knowledge: &Knowledge, ranker: &Ranker, heard: &Heard, so_far: &[Reason]) -> Vec<Reason> {
    let mut floors = Vec::new();
    let mut hold = |urgency: Urgency, rule: &str, text: &str| {
        floors.push(Reason { urgency, rule: rule.to_owned(), text: text.to_owned(), source: None });
    };
    if heard.evidence.age.is_some_and(|years| years < INFANT_YEARS) {
        hold(
            Urgency::Within24Hours,
            "infant",
            "A child in the first three months should be seen within the day, whatever it has.",
        );
    }
    for condition in heard.evidence.named.iter().map(|named| &knowledge.conditions[named.at()]) {
        if condition.dangerous {
            let text = format!("{} is named, which must not be missed.", condition.name);
            hold(condition.urgency.min(Urgency::Emergency), &format!("named-{}", condition.id), &text);
        }
    }
    if !heard.has_complaint(knowledge) {
        hold(Urgency::Consultation, "nothing-understood", "No complaint was told that is known here.");
    } else if heard.is_half_understood {
        hold(Urgency::Consultation, "not-understood", "Something was told that is not known here.");
    }
    let is_self_care = so_far.iter().all(|reason| reason.urgency == Urgency::SelfCare);
    if is_self_care && heard.evidence.age.is_none() {
        let mut evidence = heard.evidence.clone();
        let matters = AGES_TRIED.iter().any(|years| {
            evidence.age = Some(*years);
            level(knowledge, &ranker.rank(&evidence)).0 > Urgency::SelfCare
        });
        if matters {
            hold(Urgency::Consultation, "age-missing", "It depends on the age, which was not told.");
        }
    }
    floors
}
