//! A drug in a pregnancy, and while a child is breastfed.

use clinical::decision::{IssueKind, IssueSeverity};
use models::formulary::{InPregnancy, Verdict, Words};

use super::patient::Taken;
use super::{Round, lowered};

/// The second trimester begins with these completed weeks, the third with those.
const TRIMESTERS_FROM: (f32, f32) = (14.0, 28.0);

pub(super) fn check(round: &mut Round<'_>) {
    let (formulary, patient) = (round.formulary, round.patient);
    for taken in &patient.taken {
        let mut is_known = false;
        for rule in formulary.pregnancy_of(taken.drug) {
            is_known = true;
            let worst = rule.trimesters.into_iter().max().unwrap_or(Verdict::Weigh);
            if patient.pregnant == Some(true) {
                let verdict = patient.gestation_weeks.map_or(worst, |weeks| at_weeks(rule, weeks));
                if patient.gestation_weeks.is_none()
                    && rule.trimesters.iter().any(|verdict| *verdict != worst)
                {
                    round.notes.missing("gestation_weeks", taken.drug);
                }
                tell(round, rule, taken, IssueKind::Pregnancy, verdict);
            } else if patient.may_be_pregnant() && worst != Verdict::Safe {
                round.notes.missing("pregnancy", taken.drug);
            }
            if patient.breastfeeding == Some(true) {
                tell(round, rule, taken, IssueKind::Lactation, rule.lactation);
            } else if patient.may_breastfeed() && rule.lactation != Verdict::Safe {
                round.notes.missing("breastfeeding", taken.drug);
            }
        }
        let concerns = patient.pregnant == Some(true) || patient.breastfeeding == Some(true);
        if !is_known && concerns {
            let name = formulary.ingredients[taken.drug.at()].name.clone();
            round.notes.add(name, "nothing is held on it in pregnancy and breastfeeding");
        }
    }
}

fn at_weeks(rule: &InPregnancy, weeks: f32) -> Verdict {
    let [first, second, third] = rule.trimesters;
    if weeks < TRIMESTERS_FROM.0 {
        first
    } else if weeks < TRIMESTERS_FROM.1 {
        second
    } else {
        third
    }
}

fn tell(round: &mut Round<'_>, rule: &InPregnancy, taken: &Taken, kind: IssueKind, verdict: Verdict) {
    let severity = match (verdict, kind) {
        (Verdict::Safe, _) => return,
        (Verdict::Avoid, _) => IssueSeverity::High,
        (Verdict::Weigh, IssueKind::Pregnancy) => IssueSeverity::Moderate,
        (Verdict::Weigh, _) => IssueSeverity::Low,
    };
    let severity = if taken.stays_local { lowered(severity) } else { severity };
    let words = Words {
        id: rule.id.clone(),
        severity,
        mechanism: rule.mechanism.clone(),
        management: rule.management.clone(),
        source: rule.source.clone(),
    };
    round.found(kind, severity, &[taken.drug], None, &words);
}
