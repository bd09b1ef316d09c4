//! The same ingredient twice, or two of a class of which one is enough.

use clinical::decision::{IssueKind, IssueSeverity};
use models::formulary::{Class, ESTIMATED, Words};

use super::{Round, lowered};

pub(super) fn check(round: &mut Round<'_>) {
    let (formulary, patient) = (round.formulary, round.patient);
    for taken in patient.taken.iter().filter(|taken| taken.entries > 1) {
        let words = words(IssueSeverity::High, "The same ingredient is taken in several products.");
        round.found(IssueKind::Duplicate, words.severity, &[taken.drug], None, &words);
    }
    for (at, one) in patient.taken.iter().enumerate() {
        for other in &patient.taken[at + 1..] {
            let both = formulary.single_classes_of(one.drug).filter(|class| class.members.has(other.drug.0));
            let gravest: Option<&Class> = both.max_by_key(|class| class.duplicate);
            let Some((class, severity)) =
                gravest.and_then(|class| class.duplicate.map(|severity| (class, severity)))
            else {
                continue;
            };
            let severity = if one.stays_local || other.stays_local { lowered(severity) } else { severity };
            let words = words(severity, "Two drugs of one class do much the same.");
            round.found(
                IssueKind::Duplicate,
                severity,
                &[one.drug, other.drug],
                Some(class.name.clone()),
                &words,
            );
        }
    }
}

fn words(severity: IssueSeverity, mechanism: &str) -> Words {
    Words {
        id: "duplicate".to_owned(),
        severity,
        mechanism: mechanism.to_owned(),
        management: "Keep one, unless a change from one to the other is under way.".to_owned(),
        source: ESTIMATED.to_owned(),
    }
}
