//! Rules that some findings together need somebody soon, whatever the differential says.

use std::collections::HashSet;

use clinical::decision::{FindingState, Reason};
use clinical::person::Sex;
use models::{FindingIx, Knowledge, RedFlag};

use crate::evidence::Evidence;

/// Every rule that holds, as a reason. Only what is present raises a flag: what is denied or unknown does not.
pub(crate) fn raised(knowledge: &Knowledge, evidence: &Evidence, pregnant: Option<bool>) -> Vec<Reason> {
    let present = present(knowledge, evidence);
    let source = |flag: &RedFlag| {
        flag.source
            .and_then(|at| knowledge.sources.get(usize::from(at)))
            .map(|source| source.reference.clone())
    };
    knowledge
        .red_flags
        .iter()
        .filter(|flag| holds(flag, &present, evidence, pregnant))
        .map(|flag| Reason {
            urgency: flag.urgency,
            rule: flag.id.clone(),
            text: flag.says.clone(),
            source: source(flag),
        })
        .collect()
}

/// What is there, with what must be there for it.
fn present(knowledge: &Knowledge, evidence: &Evidence) -> HashSet<FindingIx> {
    let mut present = HashSet::new();
    for (finding, state) in evidence.states() {
        let mut next = (*state == FindingState::Present).then_some(*finding);
        while let Some(finding) = next.filter(|finding| !present.contains(finding)) {
            present.insert(finding);
            next = knowledge.findings[finding.at()].parent;
        }
    }
    present
}

fn holds(flag: &RedFlag, present: &HashSet<FindingIx>, evidence: &Evidence, pregnant: Option<bool>) -> bool {
    let is_for_sex =
        flag.sex.is_none_or(|sex| sex == evidence.sex || matches!(evidence.sex, Sex::Unknown | Sex::Other));
    let is_for_age =
        flag.ages.is_none_or(|(from, to)| evidence.age.is_some_and(|years| (from..=to).contains(&years)));
    let is_for_pregnancy = flag.pregnant.is_none_or(|wanted| (pregnant == Some(true)) == wanted);
    let is_there = |finding: &&FindingIx| present.contains(*finding);
    let enough = usize::from(flag.at_least);
    is_for_sex
        && is_for_age
        && is_for_pregnancy
        && flag.all.iter().all(|finding| present.contains(finding))
        && flag.any.iter().filter(is_there).take(enough).count() == enough
        && !flag.none.iter().any(|finding| present.contains(finding))
}
