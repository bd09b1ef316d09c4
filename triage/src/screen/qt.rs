//! What adds up to a long QT interval: drugs, salts, the heart, age and sex.
//!
//! Two drugs that lengthen it are told as an interaction; here is told what the patient brings along.

use clinical::decision::{IssueKind, IssueSeverity};
use clinical::person::Sex;
use models::formulary::{ESTIMATED, IngredientIx, Words};

use super::Round;
use super::route::Route;

/// From these years on the heart's repolarisation has less in reserve.
const OLDER_FROM: f32 = 68.0;
/// Below this filtration drugs and salts gather, in ml/min/1.73 m².
const WEAK_KIDNEY: f32 = 30.0;
/// So many risks beside a drug are told, and so many are grave.
const TOLD: usize = 2;
const GRAVE: usize = 3;
/// Conditions of the patient that count, as ids of groups.
const CONDITIONS: [&str; 7] = [
    "heart-failure",
    "coronary-disease",
    "slow-heart",
    "long-qt",
    "low-potassium",
    "low-calcium",
    "ventricular-arrhythmia",
];

pub(super) fn check(round: &mut Round<'_>) {
    let (formulary, patient) = (round.formulary, round.patient);
    let Some(known) = formulary.class("qt-known") else { return };
    let systemic = |taken: &&super::patient::Taken| taken.route == Route::Systemic;
    let drugs: Vec<IngredientIx> =
        patient.taken_of(&known.members).filter(systemic).map(|taken| taken.drug).collect();
    if drugs.is_empty() {
        return;
    }
    let mut risks: Vec<String> = patient
        .conditions
        .iter()
        .map(|&at| &formulary.conditions[usize::from(at)])
        .filter(|group| CONDITIONS.contains(&group.id.as_str()))
        .map(|group| group.name.clone())
        .collect();
    if patient.age.is_some_and(|age| age >= OLDER_FROM) {
        risks.push("age".to_owned());
    }
    if patient.sex == Sex::Female {
        risks.push("female sex".to_owned());
    }
    if patient.egfr.is_some_and(|egfr| egfr < WEAK_KIDNEY) {
        risks.push("weak kidneys".to_owned());
    }
    for (id, name) in
        [("potassium-losing", "a drug that lowers potassium"), ("qt-possible", "a further drug")]
    {
        let takes =
            |class: &models::formulary::Class| patient.taken_of(&class.members).any(|taken| systemic(&taken));
        if formulary.class(id).is_some_and(takes) {
            risks.push(name.to_owned());
        }
    }
    if drugs.len() > 1 {
        risks.push("several drugs".to_owned());
    }
    if risks.len() < TOLD {
        return;
    }
    let severity = if risks.len() >= GRAVE { IssueSeverity::High } else { IssueSeverity::Moderate };
    let words = Words {
        id: "qt".to_owned(),
        severity,
        mechanism: format!("What lengthens the QT interval meets further risks: {}.", risks.join(", ")),
        management:
            "ECG before and after, potassium above 4 mmol/l, magnesium normal; look for another drug."
                .to_owned(),
        source: ESTIMATED.to_owned(),
    };
    round.found(IssueKind::QtProlongation, severity, &drugs, Some("QT interval".to_owned()), &words);
}
