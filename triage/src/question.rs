//! What to ask next: what tells most, and beside it what would rule out a danger.

use clinical::decision::{FindingState, Question};
use clinical::person::Sex;
use models::{ConditionIx, FindingIx, FindingKind, Knowledge};

use crate::evidence::Evidence;
use crate::rank::{Column, Counted, Ranker, Ranking, entropy};

/// What a question costs, in bits, for each of its cost beyond the first; a sign needs somebody who looks.
const COST_BITS: f32 = 0.02;
/// What a sign costs beyond a question: somebody has to look or to measure.
const SIGN_BITS: f32 = 0.05;
/// How much of its information a finding keeps whose group was told of already.
const OF_A_TOLD_GROUP: f32 = 0.3;
/// The least that a question must tell, in bits.
const LEAST_BITS: f32 = 0.002;
/// From which probability on a dangerous condition is worth ruling out.
const DANGER: f32 = 0.01;
/// From how many times its probability beforehand on, too.
const RISEN: f32 = 20.0;
/// The least probability of a danger that has risen.
const RISEN_LEAST: f32 = 0.002;
/// The most dangers that are ruled out at a time.
const DANGERS: usize = 3;

/// A finding that is worth asking for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// Which.
    pub finding: FindingIx,
    /// What the answer is expected to tell, in bits.
    pub bits: f32,
    /// The dangerous condition that it would rule out.
    pub rules_out: Option<ConditionIx>,
}

impl Ranker {
    /// The `count` best questions, the best first; among them at most [`DANGERS`] that rule out a danger.
    pub(crate) fn questions(
        &self,
        knowledge: &Knowledge,
        evidence: &Evidence,
        ranking: &Ranking,
        count: usize,
    ) -> Vec<Asked> {
        let open = self.open(knowledge, evidence, ranking.counted());
        let mut asked: Vec<Asked> = open
            .iter()
            .map(|(finding, weight)| Asked {
                finding: *finding,
                bits: weight * self.tells(&self.tables.columns[finding.at()], ranking)
                    - cost(knowledge, *finding),
                rules_out: None,
            })
            .filter(|asked| asked.bits > LEAST_BITS)
            .collect();
        asked.sort_unstable_by(|a, b| b.bits.total_cmp(&a.bits).then(a.finding.cmp(&b.finding)));
        asked.truncate(count);
        for danger in self.dangers(knowledge, evidence, ranking, &open) {
            match asked.iter_mut().find(|asked| asked.finding == danger.finding) {
                Some(asked) => asked.rules_out = danger.rules_out,
                None => {
                    let own = asked.iter().filter(|asked| asked.rules_out.is_none()).count();
                    if asked.len() >= count && own > 1 {
                        let last = asked.iter().rposition(|asked| asked.rules_out.is_none());
                        last.map(|last| asked.remove(last));
                    }
                    if asked.len() < count {
                        asked.push(danger);
                    }
                }
            }
        }
        asked
    }

    /// What may still be asked, and how much of its information is new.
    fn open(&self, knowledge: &Knowledge, evidence: &Evidence, counted: &[Counted]) -> Vec<(FindingIx, f32)> {
        let is_there = |finding: FindingIx| {
            counted.binary_search_by_key(&finding, |said| said.finding).is_ok_and(|at| counted[at].is_present)
        };
        let mut told_groups: Vec<u16> =
            counted.iter().filter_map(|said| self.tables.columns[said.finding.at()].group).collect();
        told_groups.sort_unstable();
        let mut open = Vec::with_capacity(256);
        for (at, finding) in knowledge.findings.iter().enumerate() {
            let ix = FindingIx(u16::try_from(at).unwrap_or(u16::MAX));
            let column = &self.tables.columns[at];
            let is_open = finding.kind != FindingKind::Test
                && !column.entries.is_empty()
                && evidence.state(ix) == FindingState::NotAsked
                && !is_there(ix)
                && column.parent.is_none_or(is_there)
                && is_for(finding.sex, finding.ages, evidence);
            if is_open {
                let is_told = column.group.is_some_and(|group| told_groups.binary_search(&group).is_ok());
                open.push((ix, if is_told { OF_A_TOLD_GROUP } else { 1.0 }));
            }
        }
        open
    }

    /// The expected information about which condition it is, in bits: the entropy of the answer less what remains of it
    /// once the condition is known.
    fn tells(&self, column: &Column, ranking: &Ranking) -> f32 {
        let mut yes = column.base_given_parent;
        let mut remaining = column.base_entropy;
        let probabilities = ranking.probabilities();
        for entry in &column.entries {
            let p = probabilities[usize::from(entry.condition)];
            yes += p * (entry.given_parent - column.base_given_parent);
            remaining += p * (entry.entropy - column.base_entropy);
        }
        (entropy(yes) - remaining).max(0.0)
    }

    /// Per danger the question that tells most about whether it is that one.
    fn dangers(
        &self,
        knowledge: &Knowledge,
        evidence: &Evidence,
        ranking: &Ranking,
        open: &[(FindingIx, f32)],
    ) -> Vec<Asked> {
        let before = self.tables.prior_probabilities(evidence);
        let mut dangers: Vec<(ConditionIx, f32)> = ranking
            .lines()
            .iter()
            .copied()
            .filter(|(condition, p)| {
                let has_risen = *p >= RISEN_LEAST && *p >= RISEN * before[condition.at()];
                knowledge.conditions[condition.at()].dangerous && *p < 0.95 && (*p >= DANGER || has_risen)
            })
            .collect();
        dangers.truncate(DANGERS);
        dangers
            .into_iter()
            .filter_map(|(condition, p)| {
                let best = self.tables.rows[condition.at()]
                    .iter()
                    .filter(|(finding, _)| open.binary_search_by_key(finding, |(open, _)| *open).is_ok())
                    .map(|(finding, _)| (*finding, self.tells_of(*finding, condition, p, ranking)))
                    .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
                (best.1 > 0.0).then_some(Asked { finding: best.0, bits: best.1, rules_out: Some(condition) })
            })
            .collect()
    }

    /// The expected information about whether it is one condition, in bits.
    fn tells_of(&self, finding: FindingIx, condition: ConditionIx, p: f32, ranking: &Ranking) -> f32 {
        let column = &self.tables.columns[finding.at()];
        let Some(own) = self.tables.entry(finding, condition.at()) else { return 0.0 };
        let mut yes = column.base_given_parent;
        for entry in &column.entries {
            let share = ranking.probabilities()[usize::from(entry.condition)];
            yes += share * (entry.given_parent - column.base_given_parent);
        }
        let others = ((yes - p * own.given_parent) / (1.0 - p)).clamp(0.0, 1.0);
        (entropy(yes.clamp(0.0, 1.0)) - p * own.entropy - (1.0 - p) * entropy(others)).max(0.0)
    }

    /// Questions in words.
    pub(crate) fn in_words(&self, knowledge: &Knowledge, asked: &[Asked]) -> Vec<Question> {
        let of = |asked: &Asked| Question {
            finding: knowledge.findings[asked.finding.at()].id.clone(),
            text: knowledge.findings[asked.finding.at()].asks.clone(),
            expected_bits: asked.bits.max(0.0),
            rules_out: asked.rules_out.map(|condition| knowledge.conditions[condition.at()].id.clone()),
        };
        asked.iter().map(of).collect()
    }
}

fn cost(knowledge: &Knowledge, finding: FindingIx) -> f32 {
    let finding = &knowledge.findings[finding.at()];
    let looks = if finding.kind == FindingKind::Sign { SIGN_BITS } else { 0.0 };
    COST_BITS * (finding.cost - 1.0) + looks
}

fn is_for(sex: Option<Sex>, ages: Option<(f32, f32)>, evidence: &Evidence) -> bool {
    let is_for_sex = sex.is_none_or(|sex| match evidence.sex {
        Sex::Female | Sex::Male => sex == evidence.sex,
        Sex::Other | Sex::Unknown => true,
    });
    let is_for_age =
        ages.is_none_or(|(from, to)| evidence.age.is_none_or(|years| (from..=to).contains(&years)));
    is_for_sex && is_for_age
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    static KNOWLEDGE: LazyLock<Knowledge> = LazyLock::new(|| Knowledge::built_in().unwrap());
    static RANKER: LazyLock<Ranker> = LazyLock::new(|| Ranker::of(&KNOWLEDGE));

    fn with(said: &[(&str, FindingState)]) -> Evidence {
        let mut evidence = Evidence { age: Some(60.0), sex: Sex::Male, ..Evidence::default() };
        for (id, state) in said {
            evidence.say(KNOWLEDGE.finding(id).unwrap(), *state);
        }
        evidence
    }

    /// Cover and Thomas, Elements of Information Theory, 2.4: what is expected to be learned is what entropy is expected to
    /// fall.
    #[test]
    fn what_a_question_tells_is_by_how_much_uncertainty_falls() {
        let evidence = with(&[("cough", FindingState::Present), ("fever", FindingState::Present)]);
        let ranking = RANKER.rank(&evidence);
        let uncertainty = |ranking: &Ranking| -> f32 {
            let all =
                ranking.probabilities().iter().chain([ranking.none()].iter()).copied().collect::<Vec<_>>();
            all.iter().filter(|p| **p > 0.0).map(|p| -p * p.log2()).sum()
        };
        let finding = KNOWLEDGE.finding("wheeze").unwrap();
        let column = &RANKER.tables.columns[finding.at()];
        let told = RANKER.tells(column, &ranking);
        let after = |state| {
            let mut evidence = evidence.clone();
            evidence.say(finding, state);
            uncertainty(&RANKER.rank(&evidence))
        };
        let yes: f32 = column.entries.iter().fold(column.base_given_parent, |yes, entry| {
            yes + ranking.probabilities()[usize::from(entry.condition)]
                * (entry.given_parent - column.base_given_parent)
        });
        let fall = uncertainty(&ranking)
            - yes * after(FindingState::Present)
            - (1.0 - yes) * after(FindingState::Absent);
        assert!((fall - told).abs() < 0.02, "{fall} {told}");
    }

    #[test]
    fn nothing_is_asked_twice_and_no_child_before_its_parent() {
        let mut evidence = with(&[("chest-pain", FindingState::Present)]);
        for _ in 0..15 {
            let ranking = RANKER.rank(&evidence);
            let Some(next) = RANKER.questions(&KNOWLEDGE, &evidence, &ranking, 1).first().copied() else {
                break;
            };
            assert_eq!(evidence.state(next.finding), FindingState::NotAsked);
            let parent = KNOWLEDGE.findings[next.finding.at()].parent;
            assert!(
                parent.is_none_or(|parent| evidence.has(parent)),
                "{}",
                KNOWLEDGE.findings[next.finding.at()].id
            );
            evidence.say(next.finding, FindingState::Absent);
        }
        assert!(evidence.states().len() > 5);
    }

    #[test]
    fn no_man_is_asked_about_his_periods() {
        let evidence = with(&[("abdominal-pain", FindingState::Present)]);
        let asked = RANKER.questions(&KNOWLEDGE, &evidence, &RANKER.rank(&evidence), 200);
        assert!(asked.iter().all(|asked| KNOWLEDGE.findings[asked.finding.at()].sex != Some(Sex::Female)));
    }

    #[test]
    fn a_danger_that_is_not_the_likeliest_is_ruled_out() {
        let evidence = with(&[("chest-pain", FindingState::Present)]);
        let asked = RANKER.questions(&KNOWLEDGE, &evidence, &RANKER.rank(&evidence), 5);
        assert_eq!(asked.len(), 5);
        assert!(asked.iter().any(|asked| asked.rules_out.is_some()), "{asked:?}");
    }
}
