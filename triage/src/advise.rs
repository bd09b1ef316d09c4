//! Which drugs are given for a condition, in doses for this patient.

use std::collections::BTreeMap;

use clinical::decision::{
    DetectedIssue, Drug, DrugAdvice, DrugLine, IssueKind, IssueSeverity, NotChecked, Presentation,
};
use models::Condition;
use models::formulary::{ChildDose, ESTIMATED, Regimen};

use crate::screen::Screen;

/// What is given for a condition.
///
/// Each drug is screened together with what the patient takes and has; one with a grave issue is shown last. A condition
/// without a recommendation says so under `not_checked`.
pub fn advise(screen: &Screen, known: &Condition, patient: &Presentation) -> DrugAdvice {
    let Some(recommendation) = screen.formulary().recommendation(&known.id) else {
        let why = "no recommendation is held for this condition".to_owned();
        return DrugAdvice {
            condition: known.id.clone(),
            name: known.name.clone(),
            note: None,
            drugs: Vec::new(),
            not_checked: vec![NotChecked { what: known.id.clone(), why }],
        };
    };
    let mut not_checked = Vec::new();
    let mut drugs: Vec<DrugLine> = recommendation
        .lines
        .iter()
        .map(|&(line, at)| {
            let regimen = &screen.formulary().regimens[usize::from(at)];
            line_of(screen, regimen, line, &recommendation.source, patient, &mut not_checked)
        })
        .collect();
    drugs.sort_by_key(|line| (is_grave(&line.detected_issues), line.line));
    not_checked.sort();
    not_checked.dedup();
    DrugAdvice {
        condition: known.id.clone(),
        name: known.name.clone(),
        note: recommendation.note.clone(),
        drugs,
        not_checked,
    }
}

fn is_grave(issues: &[DetectedIssue]) -> bool {
    issues.iter().any(|issue| issue.severity == IssueSeverity::High)
}

fn line_of(
    screen: &Screen,
    regimen: &Regimen,
    line: u8,
    source: &str,
    patient: &Presentation,
    not_checked: &mut Vec<NotChecked>,
) -> DrugLine {
    let ingredients = &screen.formulary().ingredients;
    let ingredient = &ingredients[regimen.drug.at()];
    let own: Vec<&str> = std::iter::once(&regimen.drug)
        .chain(&regimen.with)
        .map(|drug| ingredients[drug.at()].id.as_str())
        .collect();
    let mut with = patient.clone();
    with.medications.extend(own.iter().map(|id| Drug::Told {
        name: (*id).to_owned(),
        dose_mg: None,
        times_a_day: None,
        route: Some(regimen.route.clone()),
        ignored: BTreeMap::new(),
    }));
    let screened = screen.check(&with);
    let mut issues = screened.detected_issues;
    let is_own = |drug: &String| own.contains(&drug.as_str());
    // What the parts of one cure do to each other is meant.
    issues.retain(|issue| {
        let is_meant = matches!(issue.kind, IssueKind::Interaction | IssueKind::Duplicate)
            && issue.drugs.len() > 1
            && issue.drugs.iter().all(is_own);
        issue.drugs.iter().any(is_own) && !is_meant
    });
    // The dose is this line's own, and is chosen below.
    not_checked.extend(screened.not_checked.into_iter().filter(|note| note.what != "dose"));
    let told = (patient, screen.filtration(patient));
    let dose = dose(regimen, &ingredient.name, told, not_checked).unwrap_or_else(|refused| {
        issues.insert(0, refused.issue(&ingredient.id));
        "not for this patient".to_owned()
    });
    // A guideline is quoted for the choice and the dose of an adult; what is changed for a patient is our own judgement.
    let source = if dose == regimen.adult || source == ESTIMATED {
        source.to_owned()
    } else {
        format!("{source}; the dose for this patient: {ESTIMATED}")
    };
    let dose = match &regimen.length {
        Some(length) => format!("{dose}; {length}"),
        None => dose,
    };
    let names: Vec<&str> = std::iter::once(&regimen.drug)
        .chain(&regimen.with)
        .map(|drug| ingredients[drug.at()].name.as_str())
        .collect();
    DrugLine {
        drug: ingredient.id.clone(),
        name: in_one(&names),
        rxcui: ingredient.rxcui.clone(),
        line,
        dose,
        route: regimen.route.clone(),
        note: regimen.note.clone(),
        detected_issues: issues,
        source,
    }
}

/// A drug and what goes with it: `isoniazid with rifampin and pyrazinamide`.
fn in_one(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, others @ .., last] if !others.is_empty() => {
            format!("{one} with {} and {last}", others.join(", "))
        }
        [one, last, ..] => format!("{one} with {last}"),
    }
}

/// Why a drug is not given to a patient.
enum Refused {
    Age,
    Weight(f32),
    Kidney(f32),
    Liver,
}

impl Refused {
    fn issue(&self, drug: &str) -> DetectedIssue {
        let (kind, with) = match self {
            Self::Age => (IssueKind::Age, "age".to_owned()),
            Self::Weight(below) => (IssueKind::Dose, format!("weight below {below} kg")),
            Self::Kidney(below) => (IssueKind::Dose, format!("eGFR below {below} ml/min/1.73 m²")),
            Self::Liver => (IssueKind::Dose, "liver function".to_owned()),
        };
        DetectedIssue {
            kind,
            severity: IssueSeverity::High,
            drugs: vec![drug.to_owned()],
            with: Some(with),
            mechanism: "No dose is held for such a patient.".to_owned(),
            management: "Choose another drug, or ask a specialist.".to_owned(),
            source: ESTIMATED.to_owned(),
        }
    }
}

/// The dose in words for this patient; what was not told and would change it is noted.
fn dose(
    regimen: &Regimen,
    name: &str,
    (patient, filtration): (&Presentation, Option<f32>),
    not_checked: &mut Vec<NotChecked>,
) -> Result<String, Refused> {
    let mut note = |what: &str, why: String| not_checked.push(NotChecked { what: what.to_owned(), why });
    let mut changes: Vec<String> = Vec::new();
    // A child's dose for weak kidneys or a weak liver is nowhere held.
    let mut refused_child = None;
    if !regimen.renal.is_empty() && filtration.is_none() {
        note("renal-function", format!("not told; the dose of {name} depends on it"));
    }
    if !regimen.hepatic.is_empty() && patient.child_pugh.is_none() {
        note("hepatic-function", format!("not told; the dose of {name} depends on it"));
    }
    if let Some((below, dose)) =
        regimen.renal.iter().find(|(below, _)| filtration.is_some_and(|egfr| egfr < *below))
    {
        let dose = dose.as_ref().ok_or(Refused::Kidney(*below))?;
        changes.push(format!("{dose} (eGFR below {below})"));
        refused_child = Some(Refused::Kidney(*below));
    }
    if let Some((from, dose)) =
        regimen.hepatic.iter().find(|(from, _)| patient.child_pugh.is_some_and(|class| class >= *from))
    {
        let dose = dose.as_ref().ok_or(Refused::Liver)?;
        changes.push(format!("{dose} (Child-Pugh {from:?} or worse)"));
        refused_child = refused_child.or(Some(Refused::Liver));
    }
    match patient.age {
        None => note("age", format!("not told; the dose of {name} is that of an adult")),
        Some(age) if age < regimen.adult_from => {
            let child =
                regimen.child.as_ref().filter(|child| age * 12.0 >= child.from_months).ok_or(Refused::Age)?;
            return match refused_child {
                Some(refused) => Err(refused),
                None => Ok(of_child(child, name, patient.vitals.weight_kg, &mut note)),
            };
        }
        Some(age) => {
            if let Some((from, dose)) = regimen.older.as_ref().filter(|(from, _)| age >= *from) {
                let dose = dose.as_ref().ok_or(Refused::Age)?;
                changes.push(format!("{dose} (from {from} years on)"));
            }
        }
    }
    if let Some((below, dose)) = &regimen.light {
        match patient.vitals.weight_kg {
            Some(kg) if kg < *below => {
                let dose = dose.as_ref().ok_or(Refused::Weight(*below))?;
                changes.push(format!("{dose} (below {below} kg)"));
            }
            Some(_) => {}
            None => note("weight", format!("not told; the dose of {name} depends on it")),
        }
    }
    Ok(match changes.as_slice() {
        [] => regimen.adult.clone(),
        [one] => one.clone(),
        several => format!("the lowest of: {}", several.join("; ")),
    })
}

/// A child's dose: by weight, where it is known.
fn of_child(child: &ChildDose, name: &str, kg: Option<f32>, note: &mut impl FnMut(&str, String)) -> String {
    let times = child.times.as_deref().unwrap_or_default();
    let (Some(mg_kg), None) = (child.mg_kg, &child.dose) else {
        return child.dose.clone().unwrap_or_default();
    };
    let Some(kg) = kg else {
        note("weight", format!("not told; the dose of {name} goes by it"));
        let most = child.most_mg.map(|most| format!(" (at most {most} mg)")).unwrap_or_default();
        return format!("{mg_kg} mg/kg{most} {times}");
    };
    let mg = child.most_mg.map_or(mg_kg * kg, |most| most.min(mg_kg * kg));
    format!("{} mg ({mg_kg} mg/kg) {times}", rounded(mg))
}

/// Rounded down to what can be measured: 5 mg from 50 mg on, 1 mg from 5 mg on, else a tenth.
fn rounded(mg: f32) -> f32 {
    let step = if mg >= 50.0 {
        5.0
    } else if mg >= 5.0 {
        1.0
    } else {
        0.1
    };
    ((mg / step + 1e-3).floor() * step * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests;
