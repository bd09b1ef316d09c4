//! The benchmark's form, with three conditions of our own making.

use std::sync::Arc;

use super::*;

const CONDITIONS: &str = r#"{
    "Cold": {"condition_name": "Cold", "cond-name-fr": "Rhume", "cond-name-eng": "Cold", "icd10-id": "J00",
             "symptoms": {"E_1": {}, "E_2": {}}, "antecedents": {}, "severity": 5},
    "Flu": {"condition_name": "Flu", "cond-name-fr": "Grippe", "cond-name-eng": "Flu", "icd10-id": "j10, J11",
            "symptoms": {"E_2": {}, "E_3": {}}, "antecedents": {"E_4": {}}, "severity": 4},
    "Stroke": {"condition_name": "Stroke", "cond-name-fr": "AVC", "cond-name-eng": "Stroke", "icd10-id": "I63",
               "symptoms": {"E_5": {}}, "antecedents": {"E_4": {}}, "severity": 1}}"#;
const EVIDENCES: &str = r#"{"E_1": {"question_en": "Do you sneeze?"}, "E_2": {"question_en": "Do you cough?"},
    "E_3": {"question_en": "Do you have a \"fever\"?"}, "E_4": {"question_en": "Do you smoke?"},
    "E_5": {"question_en": "Is an arm weak?"}}"#;
const RATES: &str = r#"{"source_name": "x", "num_rows": 1000,
    "pathology_case_counts": {"Cold": 500, "Flu": 400, "Stroke": 100},
    "pathology_root_rates": {"Cold": {"E_1": 0.9, "E_2": 0.5}, "Flu": {"E_2": 0.9, "E_3": 0.95, "E_4": 0.3},
                             "Stroke": {"E_5": 0.98, "E_4": 0.5}},
    "global_root_rates": {"E_1": 0.45, "E_2": 0.61, "E_3": 0.38, "E_4": 0.17, "E_5": 0.098}}"#;

fn world() -> DdxPlus {
    DdxPlus::of([CONDITIONS, EVIDENCES, RATES]).unwrap()
}

#[test]
fn rates_become_figures_and_what_is_never_shown_is_next_to_impossible() {
    let world = world();
    let flu = world.condition("grippe").unwrap();
    let condition = &world.knowledge().conditions[flu.at()];
    let p = |code: &str| condition.likelihood(world.evidence(code).unwrap()).unwrap().p;
    assert!((p("E_3") - (380.5 / 401.0)).abs() < 1e-6);
    assert!((p("E_1") - 1e-4).abs() < 1e-9);
    assert_eq!(condition.icd10, ["J10"]);
    assert!((condition.prior - 400.5).abs() < 1e-3);
}

#[test]
fn a_row_of_the_published_form_is_read() {
    let text = "AGE,DIFFERENTIAL_DIAGNOSIS,SEX,PATHOLOGY,EVIDENCES,INITIAL_EVIDENCE\n\
                41,\"[['Flu', 0.7], ['Cold', 0.3]]\",F,Flu,\"['E_2', 'E_3_@_V_1', 'E_3_@_V_2']\",E_2\n";
    let world = world();
    let patients = world.patients(text).unwrap();
    let [patient] = patients.as_slice() else { panic!("{patients:?}") };
    let (flu, cold) = (world.condition("Flu").unwrap(), world.condition("Cold").unwrap());
    assert_eq!((patient.diagnosis, patient.age, patient.sex), (flu, Some(41.0), Sex::Female));
    assert_eq!(patient.evidences.len(), 2);
    assert_eq!(patient.differential, [(flu, 0.7), (cold, 0.3)]);

    let other = "age,sex,diagnosis,features,initial evidence\n1,M,Plague,[],\n";
    let error = world.patients(other).unwrap_err().to_string();
    assert_eq!(error, "row 2: the benchmark has no condition Plague");
    assert!(world.patients("age,sex\n").is_err());
}

#[test]
fn simulated_patients_come_as_often_as_the_rates_say_and_again_from_the_same_seed() {
    let world = world();
    let patients = world.simulate(20_000, 7);
    let flu = world.condition("Flu").unwrap();
    let with = patients.iter().filter(|it| it.diagnosis == flu).collect::<Vec<_>>();
    let share = with.len() as f64 / 20_000.0;
    assert!((share - 0.4).abs() < 0.015, "{share}");
    let fever = world.evidence("E_3").unwrap();
    let feverish = with.iter().filter(|it| it.evidences.contains(&fever)).count() as f64;
    assert!((feverish / with.len() as f64 - 0.95).abs() < 0.01);
    assert_eq!(patients, world.simulate(20_000, 7));
}

#[test]
fn questions_lead_to_the_diagnosis() {
    let world = world();
    let engine = Engine::new(Arc::new(world.knowledge().clone()));
    let patients = world.simulate(500, 3);
    let outcomes: Vec<_> =
        patients.iter().map(|patient| world.outcome(&engine, 1, patient, Manner::Asked)).collect();
    let right = outcomes.iter().filter(|it| it.rank == Some(1)).count();
    assert!(right > 450, "{right} of 500");
    let asked: usize = outcomes.iter().filter_map(|it| it.interaction_length).sum();
    assert!((500..=5 * 500).contains(&asked), "{asked}");
}

/// F1 = 2 · 1 / (2 + 1): one of two told is the one that was given.
#[test]
fn a_differential_is_held_against_the_given_one() {
    let at = |at| ConditionIx(at);
    let lines = [(at(0), 0.7), (at(1), 0.2), (at(2), 0.005)];
    assert!((f1(&lines, &[(at(0), 1.0)]) - 2.0 / 3.0).abs() < 1e-12);
    assert!((f1(&lines, &[(at(2), 1.0)])).abs() < 1e-12);
}
