use std::sync::Arc;

use models::{Formulary, Knowledge};
use serde_json::json;

use super::*;

fn advice(condition: &str, told: serde_json::Value) -> DrugAdvice {
    let formulary = Formulary::built_in().unwrap_or_else(|error| panic!("{error}"));
    let knowledge = Knowledge::built_in().unwrap_or_else(|error| panic!("{error}"));
    let screen = Screen::new(Arc::new(formulary), &knowledge);
    let condition = &knowledge.conditions[knowledge.condition(condition).unwrap().at()];
    advise(&screen, condition, &serde_json::from_value(told).unwrap())
}

/// NICE NG250, read in a summary (`models/knowledge/drugs/sources`): amoxicillin 500 mg three times a day for five days, doxycycline or clarithromycin otherwise.
#[test]
fn pneumonia_is_treated_as_the_guideline_says_and_by_allergy() {
    let usual = advice("community-acquired-pneumonia", json!({ "age": 40, "sex": "male", "egfr": 90 }));
    assert_eq!((usual.drugs[0].drug.as_str(), usual.drugs[0].line), ("amoxicillin", 1));
    assert_eq!(usual.drugs[0].dose, "500 mg three times a day; 5 days");
    assert_eq!(usual.drugs[0].rxcui.as_deref(), Some("723"));
    assert!(usual.drugs[0].source.contains("community-acquired-pneumonia"));
    let allergic = advice(
        "community-acquired-pneumonia",
        json!({ "age": 40, "sex": "male", "egfr": 90, "allergies": ["penicillin"] }),
    );
    assert_eq!(allergic.drugs[0].drug, "doxycycline");
    assert!(
        allergic.drugs.last().unwrap().detected_issues.iter().any(|issue| issue.kind == IssueKind::Allergy)
    );
}

#[test]
fn a_child_is_dosed_by_weight_and_without_one_it_is_said() {
    let told = json!({ "age": 4, "vitals": { "weight_kg": 16 } });
    let fever = advice("common-cold", told);
    let acetaminophen = fever.drugs.iter().find(|line| line.drug == "acetaminophen").unwrap();
    assert!(acetaminophen.dose.starts_with("240 mg (15 mg/kg)"), "{}", acetaminophen.dose);
    let unweighed = advice("common-cold", json!({ "age": 4 }));
    assert!(unweighed.not_checked.iter().any(|note| note.what == "weight"));
}

#[test]
fn weak_kidneys_change_the_dose_or_forbid_the_drug() {
    let cystitis = advice("cystitis", json!({ "age": 60, "sex": "male", "egfr": 25 }));
    let line = |drug: &str| cystitis.drugs.iter().find(|line| line.drug == drug).unwrap();
    assert!(line("nitrofurantoin").dose.starts_with("not for this patient"));
    assert!(line("trimethoprim").dose.starts_with("100 mg twice a day"));
    assert_ne!(cystitis.drugs[0].drug, "nitrofurantoin", "it is shown last");
}

/// Co-amoxiclav holds clavulanate, nirmatrelvir goes with ritonavir: both halves are held against the patient.
#[test]
fn both_halves_of_a_product_are_screened() {
    let formulary = Formulary::built_in().unwrap_or_else(|error| panic!("{error}"));
    let knowledge = Knowledge::built_in().unwrap_or_else(|error| panic!("{error}"));
    let screen = Screen::new(Arc::new(formulary), &knowledge);
    let of = |id: &str, told: serde_json::Value| {
        let regimen = screen.formulary().regimens.iter().find(|regimen| regimen.id == id).unwrap();
        let patient: Presentation = serde_json::from_value(told).unwrap();
        line_of(&screen, regimen, 1, "nowhere", &patient, &mut Vec::new())
    };
    let allergic = of("co-amoxiclav", json!({ "age": 40, "allergies": ["clavulanate"] }));
    assert!(is_grave(&allergic.detected_issues), "{:?}", allergic.detected_issues);
    assert_eq!(allergic.name, "amoxicillin with clavulanate");
    let covid = of(
        "nirmatrelvir",
        json!({ "age": 40, "egfr": 90, "medications": ["simvastatin"], "allergies": ["none"] }),
    );
    assert!(is_grave(&covid.detected_issues), "{:?}", covid.detected_issues);
    let alone = of(
        "tb-start",
        json!({ "age": 40, "allergies": ["none"], "medical_history": ["none"], "sex": "male" }),
    );
    let with_itself = alone.detected_issues.iter().filter(|issue| issue.kind == IssueKind::Interaction);
    assert_eq!(with_itself.count(), 0, "what the parts of a cure do to each other is meant");
}

/// One dose for a child and another for weak kidneys would contradict each other.
#[test]
fn a_child_with_weak_kidneys_gets_no_dose_and_an_adult_the_lowest() {
    let child =
        advice("cystitis", json!({ "age": 8, "sex": "female", "egfr": 25, "vitals": { "weight_kg": 25 } }));
    let trimethoprim = child.drugs.iter().find(|line| line.drug == "trimethoprim").unwrap();
    assert!(trimethoprim.dose.starts_with("not for this patient"), "{}", trimethoprim.dose);
    let formulary = Formulary::built_in().unwrap_or_else(|error| panic!("{error}"));
    let mut regimen = formulary.regimens.iter().find(|it| it.id == "trimethoprim").unwrap().clone();
    regimen.older = Some((65.0, Some("100 mg once a day".into())));
    let old: Presentation = serde_json::from_value(json!({ "age": 80, "egfr": 25 })).unwrap();
    let old = (&old, old.egfr);
    let Ok(told) = dose(&regimen, "trimethoprim", old, &mut Vec::new()) else { panic!("there is a dose") };
    assert_eq!(
        told,
        "the lowest of: 100 mg twice a day (eGFR below 30); 100 mg once a day (from 65 years on)"
    );
    regimen.older = Some((65.0, None));
    assert!(dose(&regimen, "trimethoprim", old, &mut Vec::new()).is_err(), "without a dose it is not given");
}

/// The equations of filtration were not made for a pregnancy, whoever tells of it.
#[test]
fn in_a_pregnancy_no_filtration_is_estimated() {
    let dose_of = |more: serde_json::Value| {
        let mut told = json!({ "age": 30, "sex": "female", "creatinine_mg_dl": 3.0 });
        told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let told = advice("cystitis", told);
        told.drugs.iter().find(|line| line.drug == "trimethoprim").unwrap().dose.clone()
    };
    assert!(dose_of(json!({})).contains("eGFR below"));
    for more in [
        json!({ "pregnant": true }),
        json!({ "gestation_weeks": 20 }),
        json!({ "medical_history": ["pregnant"] }),
        json!({ "medical_history": ["20 weeks pregnant"] }),
    ] {
        assert!(!dose_of(more.clone()).contains("eGFR below"), "{more}");
    }
    assert!(dose_of(json!({ "medical_history": ["not pregnant"] })).contains("eGFR below"));
}

#[test]
fn a_condition_without_advice_says_so() {
    let none = advice("dupuytren-contracture", json!({ "age": 60 }));
    assert!(none.drugs.is_empty() && none.not_checked[0].what == "dupuytren-contracture");
    let stroke = advice("ischaemic-stroke", json!({ "age": 60 }));
    assert!(stroke.drugs.is_empty() && stroke.note.unwrap().contains("ambulance"));
}
