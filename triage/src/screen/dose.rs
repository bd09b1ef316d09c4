//! A dose that is larger than it may be.

use clinical::decision::{IssueKind, IssueSeverity};
use models::formulary::{ESTIMATED, IngredientIx, Limit, LimitCase, Words};

use super::patient::{Patient, Taken};
use super::route::Route;
use super::{Notes, Round};

/// From so many times the largest dose on it is grave.
const GRAVE: f32 = 1.5;
/// What is noted where no largest dose is held for a drug at the patient's age.
pub(super) const LIMIT: &str = "largest-dose";
/// What is noted where the dose, or how often it is taken, is not known.
pub(super) const DOSE: &str = "dose";
/// So much more than the largest dose is a rounding.
const ROUNDING: f32 = 1.01;

pub(super) fn check(round: &mut Round<'_>) {
    let (formulary, patient) = (round.formulary, round.patient);
    for taken in patient.taken.iter().filter(|taken| taken.route == Route::Systemic) {
        if taken.is_dose_unknown {
            round.notes.missing(DOSE, taken.drug);
        }
        if taken.single_mg.is_none() {
            continue;
        }
        let Some(limit) = formulary.limit_of(taken.drug) else {
            round.notes.missing(LIMIT, taken.drug);
            continue;
        };
        let Some((single, daily)) = largest(limit, patient, taken.drug, round.notes) else { continue };
        hold(round, taken, "single dose", taken.single_mg.unwrap_or_default(), single);
        hold(round, taken, "dose of a day", taken.daily_mg, daily);
    }
}

/// The largest single dose and amount of a day in mg for this patient; `None` where none is known at this age.
fn largest(limit: &Limit, patient: &Patient, drug: IngredientIx, notes: &mut Notes) -> Option<(f32, f32)> {
    let (mut single, mut daily) = (limit.single_mg, limit.daily_mg);
    match patient.age {
        None => notes.missing("age", drug),
        Some(age) if age < limit.adult_from => {
            let child = limit.child.filter(|child| age * 12.0 >= child.from_months);
            let Some(child) = child else {
                notes.missing(LIMIT, drug);
                return None;
            };
            match patient.weight_kg {
                Some(kg) => {
                    (single, daily) = (single.min(child.single_mg_kg * kg), daily.min(child.daily_mg_kg * kg))
                }
                None => notes.missing("weight", drug),
            }
        }
        Some(_) => {}
    }
    for case in &limit.cases {
        if !holds(case, patient, drug, notes) {
            continue;
        }
        let of_weight = |per_kg: Option<f32>| per_kg.zip(patient.weight_kg).map(|(mg, kg)| mg * kg);
        let singles = [case.single_mg, of_weight(case.single_mg_kg)];
        let dailies = [case.daily_mg, of_weight(case.daily_mg_kg)];
        single = singles.into_iter().flatten().fold(single, f32::min);
        daily = dailies.into_iter().flatten().fold(daily, f32::min);
    }
    // Where one dose is more than a day's amount, the drug is taken every few days.
    let is_daily = limit.single_mg <= limit.daily_mg;
    Some((if is_daily { single.min(daily) } else { single }, daily))
}

/// Whether a case is this patient's; what it needs and was not told is noted.
fn holds(case: &LimitCase, patient: &Patient, drug: IngredientIx, notes: &mut Notes) -> bool {
    let mut all = true;
    if let Some(below) = case.egfr_below {
        all &= patient.egfr.is_some_and(|egfr| egfr < below);
        if patient.egfr.is_none() {
            notes.missing("renal-function", drug);
        }
    }
    if let Some(from) = case.child_pugh_from {
        all &= patient.child_pugh.is_some_and(|class| class >= from);
        if patient.child_pugh.is_none() {
            notes.missing("hepatic-function", drug);
        }
    }
    if let Some(below) = case.kg_below {
        all &= patient.weight_kg.is_some_and(|kg| kg < below);
        if patient.weight_kg.is_none() {
            notes.missing("weight", drug);
        }
    }
    all && case.age_from.is_none_or(|from| patient.age.is_some_and(|age| age >= from))
}

fn hold(round: &mut Round<'_>, taken: &Taken, what: &str, told: f32, largest: f32) {
    if told <= largest * ROUNDING {
        return;
    }
    let severity = if told >= largest * GRAVE { IssueSeverity::High } else { IssueSeverity::Moderate };
    let words = Words {
        id: "dose".to_owned(),
        severity,
        mechanism: format!(
            "The {what} is {} mg; the largest for this patient is {} mg.",
            short(told),
            short(largest)
        ),
        management: "Lower the dose or lengthen the interval.".to_owned(),
        source: ESTIMATED.to_owned(),
    };
    round.found(IssueKind::Dose, severity, &[taken.drug], Some(what.to_owned()), &words);
}

/// A dose without needless digits: three that count.
fn short(mg: f32) -> f64 {
    if mg <= 0.0 {
        return f64::from(mg);
    }
    let per_step = 10f64.powf((2.0 - f64::from(mg).log10().floor()).max(0.0));
    (f64::from(mg) * per_step).round() / per_step
}
