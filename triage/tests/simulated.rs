//! Patients drawn from the knowledge itself: whether each condition is found again, and whether probabilities mean what they
//! say. This judges the engine and the knowledge against themselves, not against the world.

use std::sync::{Arc, LazyLock};

use clinical::decision::FindingState::{Absent, Present};
use clinical::person::Sex;
use models::{Condition, ConditionIx, FindingIx, Knowledge};
use triage::{Engine, Evidence};

static ENGINE: LazyLock<Engine> =
    LazyLock::new(|| Engine::new(Arc::new(Knowledge::built_in().expect("the knowledge of the box is read"))));

/// `SplitMix64` (Steele, Lea, Flood, OOPSLA 2014), so that every run draws the same patients.
struct Draw(u64);

impl Draw {
    fn share(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
    }

    fn is(&mut self, p: f32) -> bool {
        self.share() < p
    }
}

/// Age and sex of somebody who can have the condition, the likelier the more the prior rises.
fn person(draw: &mut Draw, condition: &Condition) -> Evidence {
    let mut evidence = Evidence::default();
    for _ in 0..1000 {
        let (age, is_male) = (draw.share() * 90.0, draw.is(0.5));
        let factor = condition.age_factor(age) * if is_male { condition.sex.1 } else { condition.sex.0 };
        if draw.is((factor / 4.0).min(1.0)) {
            evidence.age = Some(age);
            evidence.sex = if is_male { Sex::Male } else { Sex::Female };
            break;
        }
    }
    evidence
}

/// Everything that the condition has a figure for is asked; children where their parent is there.
fn patient(draw: &mut Draw, knowledge: &Knowledge, condition: &Condition) -> Evidence {
    let mut evidence = person(draw, condition);
    let mut order: Vec<_> = condition.findings.iter().collect();
    let depth = |finding: FindingIx| {
        std::iter::successors(Some(finding), |at| knowledge.findings[at.at()].parent).count()
    };
    order.sort_by_key(|figure| (depth(figure.finding), figure.finding));
    for figure in order {
        let parent = knowledge.findings[figure.finding.at()].parent;
        let share = match parent {
            Some(parent) if !evidence.has(parent) => continue,
            Some(parent) => figure.p / condition.likelihood(parent).map_or(1.0, |of| of.p),
            None => figure.p,
        };
        evidence.say(figure.finding, if draw.is(share) { Present } else { Absent });
    }
    for (risk, ratio) in &condition.risks {
        let base = knowledge.findings[risk.at()].base;
        let share = base * ratio / (1.0 - base + base * ratio);
        evidence.say(*risk, if draw.is(share) { Present } else { Absent });
    }
    evidence
}

#[test]
fn each_condition_is_found_again_in_patients_drawn_from_it() {
    let knowledge = ENGINE.knowledge();
    let mut draw = Draw(20);
    let (mut first, mut first_three, mut all) = (0, 0, 0);
    let mut lost = Vec::new();
    for (at, condition) in knowledge.conditions.iter().enumerate() {
        let of = ConditionIx(at as u16);
        let mut best = usize::MAX;
        for _ in 0..8 {
            let ranking = ENGINE.rank(&patient(&mut draw, knowledge, condition));
            let rank = ranking.lines().iter().position(|(line, _)| *line == of).unwrap_or(usize::MAX);
            best = best.min(rank);
            all += 1;
            first += usize::from(rank == 0);
            first_three += usize::from(rank < 3);
        }
        if best >= 10 {
            lost.push(condition.id.as_str());
        }
    }
    let (first, first_three) = (first as f64 / f64::from(all), first_three as f64 / f64::from(all));
    println!("first {first:.3}, in the first three {first_three:.3}, lost {lost:?}");
    assert!(first >= 0.70 && first_three >= 0.85, "first {first:.3}, in the first three {first_three:.3}");
    assert!(lost.len() * 50 <= knowledge.conditions.len(), "never among the first ten: {lost:?}");
}

/// Somebody out of all who consult: the condition as often as its prior says, a third of all findings asked.
fn anybody(draw: &mut Draw, knowledge: &Knowledge, total: f32) -> (ConditionIx, Evidence) {
    let mut left = draw.share() * total;
    let at = knowledge.conditions.iter().position(|condition| {
        left -= condition.prior;
        left <= 0.0
    });
    let at = at.unwrap_or(0);
    let condition = &knowledge.conditions[at];
    let mut evidence = Evidence::default();
    for (finding, about) in knowledge.findings.iter().enumerate() {
        let ix = FindingIx(finding as u16);
        if about.kind.is_of_the_person() || about.parent.is_some() || about.group.is_some() || !draw.is(0.3) {
            continue;
        }
        let has_child = condition.findings.iter().any(|figure| {
            std::iter::successors(Some(figure.finding), |at| knowledge.findings[at.at()].parent)
                .skip(1)
                .any(|at| at == ix)
        });
        if has_child && condition.likelihood(ix).is_none() {
            continue;
        }
        let share = condition.likelihood(ix).map_or(about.base, |figure| figure.p);
        evidence.say(ix, if draw.is(share) { Present } else { Absent });
    }
    (ConditionIx(at as u16), evidence)
}

/// Expected calibration error in 15 bins of the first condition's probability (Guo et al., ICML 2017, section 2).
#[test]
fn a_probability_is_how_often_it_is_right() {
    let knowledge = ENGINE.knowledge();
    let total: f32 = knowledge.conditions.iter().map(|condition| condition.prior).sum();
    let mut draw = Draw(7);
    let mut bins = [(0.0_f64, 0.0_f64, 0_u32); 15];
    let count = 4_000;
    for _ in 0..count {
        let (condition, evidence) = anybody(&mut draw, knowledge, total);
        let ranking = ENGINE.rank(&evidence);
        let Some((line, p)) = ranking.lines().first() else { continue };
        let known = f64::from(p / (1.0 - ranking.none()).max(1e-6)).min(1.0);
        let bin = &mut bins[((known * 15.0) as usize).min(14)];
        bin.0 += known;
        bin.1 += f64::from(u8::from(*line == condition));
        bin.2 += 1;
    }
    let error: f64 = bins.iter().map(|(said, right, _)| (said - right).abs()).sum::<f64>() / f64::from(count);
    println!("expected calibration error {error:.4}: {bins:?}");
    assert!(error < 0.03, "{error}");
}
