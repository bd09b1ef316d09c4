//! Rules that some findings together need somebody soon, whatever the differential says.

use std::collections::HashSet;

use clinical::decision::{FindingState, Reason};
use clinical::person::Sex;
use models::{FindingIx, Knowledge, RedFlag};

use crate::evidence::Evidence;
use crate::vitals::ADULT_YEARS;

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
    let years = evidence.age.unwrap_or(ADULT_YEARS);
    let is_for_age = flag.ages.is_none_or(|(from, to)| (from..=to).contains(&years));
    let is_for_days = flag.days.is_none_or(|(from, to)| {
        let raises = flag.all.iter().chain(&flag.any).filter(|finding| present.contains(finding));
        days(raises, evidence).any(|days| (from..=to).contains(&days))
    });
    let is_for_pregnancy = flag.pregnant.is_none_or(|wanted| (pregnant == Some(true)) == wanted);
    let is_there = |finding: &&FindingIx| present.contains(*finding);
    let enough = usize::from(flag.at_least);
    is_for_sex
        && is_for_age
        && is_for_days
        && is_for_pregnancy
        && flag.all.iter().all(|finding| present.contains(finding))
        && flag.any.iter().filter(is_there).take(enough).count() == enough
        && !flag.none.iter().any(|finding| present.contains(finding))
        && (flag.unless.is_empty() || !flag.unless.iter().all(|finding| present.contains(finding)))
}

/// For how many days each of some findings may have lasted: what was told of it, and of all that was told; nothing told is new.
///
/// A rule about what is new falls silent only where all of them are old: what one complaint has lasted says nothing of another.
fn days<'a>(
    findings: impl Iterator<Item = &'a FindingIx>,
    evidence: &'a Evidence,
) -> impl Iterator<Item = f32> {
    let of_all = evidence.shortest_days;
    findings.flat_map(move |finding| {
        let own = evidence.lasting.get(finding).copied();
        let is_new = (own.is_none() && of_all.is_none()).then_some(0.0);
        [own, of_all, is_new].into_iter().flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINDINGS: &str = r#"
[slurred]
name = "Slurred"
kind = "symptom"
base = 0.1
says = ["slurred"]
asks = "Slurred?"
[cough]
name = "Cough"
kind = "symptom"
base = 0.1
says = ["cough"]
asks = "Cough?"
[fever]
name = "Fever"
kind = "symptom"
base = 0.1
says = ["fever"]
asks = "Fever?"
"#;
    const RULE: &str = r#"
[lost]
urgency = "emergency"
says = "New."
all = ["slurred"]
ages = [18, 125]
days = [0, 30]
unless = ["cough", "fever"]
"#;

    /// Whether the rule holds with these findings.
    fn is_raised(findings: &[&str], tell: impl FnOnce(&mut Evidence)) -> bool {
        let knowledge =
            Knowledge::from_texts(&[("findings/a.toml", FINDINGS), ("rules/b.toml", RULE)]).unwrap();
        let mut evidence = Evidence::default();
        for id in findings {
            evidence.say(knowledge.finding(id).unwrap(), FindingState::Present);
        }
        tell(&mut evidence);
        !raised(&knowledge, &evidence, None).is_empty()
    }

    #[test]
    fn where_no_age_is_told_a_rule_for_adults_holds() {
        assert!(is_raised(&["slurred"], |_| {}));
        assert!(!is_raised(&["slurred"], |evidence| evidence.age = Some(5.0)));
    }

    #[test]
    fn a_rule_for_what_is_new_is_silent_where_it_is_old() {
        assert!(is_raised(&["slurred"], |evidence| evidence.shortest_days = Some(2.0)));
        assert!(!is_raised(&["slurred"], |evidence| evidence.shortest_days = Some(400.0)));
        let lasts = |evidence: &mut Evidence, days: f32| {
            let slurred = evidence.states()[0].0;
            evidence.lasting.insert(slurred, days);
        };
        assert!(is_raised(&["slurred"], |evidence| lasts(evidence, 2.0)));
        assert!(!is_raised(&["slurred"], |evidence| lasts(evidence, 400.0)));
        assert!(is_raised(&["slurred"], |evidence| {
            evidence.shortest_days = Some(400.0);
            lasts(evidence, 2.0);
        }));
    }

    #[test]
    fn only_all_that_would_explain_it_together_silence_a_rule() {
        assert!(is_raised(&["slurred", "cough"], |_| {}));
        assert!(!is_raised(&["slurred", "cough", "fever"], |_| {}));
    }
}
