use proptest::prelude::*;
use serde_json::json;

use super::*;

thread_local! {
    static SCREEN: Screen = {
        let formulary = Formulary::built_in().unwrap_or_else(|error| panic!("{error}"));
        let knowledge = Knowledge::built_in().unwrap_or_else(|error| panic!("{error}"));
        Screen::new(Arc::new(formulary), &knowledge)
    };
}

fn check(told: serde_json::Value) -> Screened {
    let told: Presentation = serde_json::from_value(told).unwrap();
    SCREEN.with(|screen| screen.check(&told))
}

/// Kind, severity and drugs of what was found.
fn found(screened: &Screened) -> Vec<(IssueKind, IssueSeverity, Vec<&str>)> {
    let all = screened.detected_issues.iter();
    all.map(|issue| (issue.kind, issue.severity, issue.drugs.iter().map(String::as_str).collect())).collect()
}

fn has(screened: &Screened, kind: IssueKind, severity: IssueSeverity, drugs: &[&str]) -> bool {
    found(screened).contains(&(kind, severity, drugs.to_vec()))
}

fn is_not_checked(screened: &Screened, what: &str) -> bool {
    screened.not_checked.iter().any(|note| note.what == what)
}

/// Picard and others (doi:10.1016/j.jaip.2019.05.038): aminocephalosporins 16 %, other cephalosporins 2 %; carbapenems
/// below 1 % by our own estimate.
#[test]
fn a_penicillin_allergy_weighs_by_side_chain() {
    let screened = check(json!({
        "medications": ["amoxicillin", "cephalexin", "ceftriaxone", "meropenem", "azithromycin"],
        "allergies": ["Penicillin (rash)"], "medical_history": ["none"], "age": 40, "sex": "male"
    }));
    let of = |drug: &str| {
        screened.detected_issues.iter().find(|one| one.kind == IssueKind::Allergy && one.drugs == [drug])
    };
    assert_eq!(of("amoxicillin").unwrap().severity, IssueSeverity::High);
    assert_eq!(of("cephalexin").unwrap().severity, IssueSeverity::High);
    assert_eq!(of("ceftriaxone").unwrap().severity, IssueSeverity::Moderate);
    assert_eq!(of("meropenem").unwrap().severity, IssueSeverity::Low);
    assert!(of("meropenem").unwrap().mechanism.contains("below 1 in 100"));
    assert_eq!(of("azithromycin"), None);
}

#[test]
fn what_every_clinician_expects_is_found() {
    let pairs = [
        ("warfarin", "ibuprofen"),
        ("warfarin", "metronidazole"),
        ("warfarin", "fluconazole"),
        ("lisinopril", "spironolactone"),
        ("ramipril", "potassium chloride"),
        ("methotrexate", "trimethoprim"),
        ("methotrexate", "naproxen"),
        ("lithium", "hydrochlorothiazide"),
        ("lithium", "enalapril"),
        ("lithium", "diclofenac"),
        ("digoxin", "amiodarone"),
        ("digoxin", "verapamil"),
        ("simvastatin", "clarithromycin"),
        ("atorvastatin", "itraconazole"),
        ("clopidogrel", "omeprazole"),
        ("sertraline", "phenelzine"),
        ("sertraline", "tramadol"),
        ("fluoxetine", "linezolid"),
        ("sertraline", "sumatriptan"),
        ("oxycodone", "diazepam"),
        ("nitroglycerin", "sildenafil"),
        ("theophylline", "ciprofloxacin"),
        ("allopurinol", "azathioprine"),
        ("haloperidol", "citalopram"),
        ("ethinyl estradiol", "rifampicin"),
        ("levonorgestrel", "carbamazepine"),
        ("valproate", "meropenem"),
        ("levothyroxine", "iron"),
        ("doxycycline", "calcium carbonate"),
        ("insulin", "glyburide"),
        ("apixaban", "ketoconazole"),
    ];
    for (one, other) in pairs {
        let screened = check(json!({ "medications": [one, other] }));
        let interacts = screened.detected_issues.iter().any(|issue| issue.kind == IssueKind::Interaction);
        assert!(interacts, "{one} with {other}: {:?}", found(&screened));
    }
}

#[test]
fn what_is_not_known_is_said_not_to_be_checked() {
    let screened = check(json!({
        "medications": ["warfarrin", "zzyxomab", {"name": "aspirin", "dose_mg": 75, "times_a_day": 1, "route": "astral"},
                        "insulin 10 units", "metformin"],
        "allergies": ["moonbeams"], "medical_history": ["bad luck"]
    }));
    for what in [
        "zzyxomab",
        "moonbeams",
        "bad luck",
        "warfarrin",
        "aspirin",
        "insulin 10 units",
        "age",
        "renal-function",
        "pregnancy",
    ] {
        assert!(is_not_checked(&screened, what), "{what}: {:?}", screened.not_checked);
    }
    assert!(screened.drugs.iter().any(|taken| taken.words == "warfarrin" && taken.drugs == ["warfarin"]));
    assert!(has(&screened, IssueKind::Interaction, IssueSeverity::High, &["aspirin", "warfarin"]));
}

#[test]
fn an_empty_list_is_answered_with_nothing() {
    let screened = check(json!({}));
    assert_eq!(screened, Screened::default());
}

#[test]
fn conditions_kidney_liver_and_age_speak() {
    let screened = check(json!({
        "medications": ["ibuprofen", "metformin", "timolol eye drops", "aspirin", "codeine"],
        "medical_history": ["history of peptic ulcer", "CKD", "Asthma", "influenza"], "allergies": ["NKDA"],
        "age": 10, "sex": "male", "egfr": 25, "child_pugh": "A"
    }));
    for drug in ["ibuprofen", "metformin", "timolol", "aspirin"] {
        assert!(
            has(&screened, IssueKind::Contraindication, IssueSeverity::High, &[drug]),
            "{drug}: {:?}",
            found(&screened)
        );
    }
    assert!(has(&screened, IssueKind::Age, IssueSeverity::High, &["codeine"]));
    assert!(has(&screened, IssueKind::Age, IssueSeverity::High, &["aspirin"]));
    assert!(!is_not_checked(&screened, "renal-function") && !is_not_checked(&screened, "allergies"));
}

#[test]
fn a_pregnancy_counts_by_its_weeks() {
    let at = |weeks: f32| {
        check(
            json!({ "medications": ["ibuprofen"], "pregnant": true, "gestation_weeks": weeks, "sex": "female", "age": 30 }),
        )
    };
    assert!(has(&at(32.0), IssueKind::Pregnancy, IssueSeverity::High, &["ibuprofen"]));
    assert!(has(&at(10.0), IssueKind::Pregnancy, IssueSeverity::Moderate, &["ibuprofen"]));
    let told = check(
        json!({ "medications": ["valproate", "isotretinoin"], "medical_history": ["pregnancy"], "sex": "female" }),
    );
    assert!(has(&told, IssueKind::Pregnancy, IssueSeverity::High, &["valproate"]));
    let unasked = check(json!({ "medications": ["isotretinoin"], "sex": "female", "age": 25 }));
    assert!(is_not_checked(&unasked, "pregnancy"));
    let feeding =
        check(json!({ "medications": ["codeine"], "breastfeeding": true, "sex": "female", "age": 25 }));
    assert!(has(&feeding, IssueKind::Lactation, IssueSeverity::High, &["codeine"]));
}

#[test]
fn doses_are_read_from_words_and_add_up_over_products() {
    let two = check(
        json!({ "medications": ["Paracetamol 1 g four times a day", "acetaminophen 500mg every 6 hours"],
                            "age": 40, "sex": "male" }),
    );
    assert!(has(&two, IssueKind::Dose, IssueSeverity::High, &["acetaminophen"]), "{:?}", found(&two));
    assert!(has(&two, IssueKind::Duplicate, IssueSeverity::High, &["acetaminophen"]));
    let child =
        check(json!({ "medications": [{"name": "ibuprofen", "dose_mg": 400, "times_a_day": 3}], "age": 4,
                              "vitals": {"weight_kg": 16} }));
    assert!(has(&child, IssueKind::Dose, IssueSeverity::High, &["ibuprofen"]), "{:?}", found(&child));
    let usual = check(
        json!({ "medications": ["amoxicillin 500 mg capsules TDS", "methotrexate 15 mg once weekly"], "age": 40 }),
    );
    assert!(!usual.detected_issues.iter().any(|issue| issue.kind == IssueKind::Dose), "{:?}", found(&usual));
    let daily = check(json!({ "medications": ["methotrexate 15 mg once daily"], "age": 40 }));
    assert!(has(&daily, IssueKind::Dose, IssueSeverity::High, &["methotrexate"]));
    let weak = check(json!({ "medications": ["metformin 1000 mg twice daily"], "age": 60, "egfr": 40 }));
    assert!(has(&weak, IssueKind::Dose, IssueSeverity::High, &["metformin"]));
}

#[test]
fn names_are_found_with_salts_strengths_and_brands() {
    let names = [
        ("Atorvastatin calcium 20 mg tablets", vec!["atorvastatin"]),
        ("co-amoxiclav 625", vec!["amoxicillin", "clavulanate"]),
        ("Bactrim DS", vec!["sulfamethoxazole", "trimethoprim"]),
        ("lisinopril-HCTZ", vec!["hydrochlorothiazide", "lisinopril"]),
        ("Metoprolol succinate ER", vec!["metoprolol"]),
        ("Glyceryl trinitrate spray", vec!["nitroglycerin"]),
        ("Sodium valproate", vec!["valproate"]),
        ("Percocet", vec!["acetaminophen", "oxycodone"]),
    ];
    for (words, expected) in names {
        let screened = check(json!({ "medications": [words] }));
        let mut drugs = screened.drugs.first().map(|taken| taken.drugs.clone()).unwrap_or_default();
        drugs.sort();
        assert_eq!(drugs, expected, "{words}: {:?}", screened.not_checked);
    }
}

#[test]
fn two_of_a_class_are_told_and_a_long_qt_adds_up() {
    let two = check(json!({ "medications": ["sertraline", "citalopram"] }));
    assert!(has(&two, IssueKind::Duplicate, IssueSeverity::High, &["citalopram", "sertraline"]));
    let qt = check(
        json!({ "medications": ["haloperidol", "furosemide"], "age": 80, "sex": "female", "medical_history": ["heart failure"] }),
    );
    assert!(has(&qt, IssueKind::QtProlongation, IssueSeverity::High, &["haloperidol"]), "{:?}", found(&qt));
}

#[test]
fn a_cream_weighs_less_than_a_tablet() {
    let cream = check(json!({ "medications": [{"name": "diclofenac", "route": "topical"}, "warfarin"] }));
    assert!(has(&cream, IssueKind::Interaction, IssueSeverity::Moderate, &["diclofenac", "warfarin"]));
}

fn drugs() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0usize..965, 0..9)
}

fn of(drugs: &[usize], weeks: Option<f32>) -> Screened {
    SCREEN.with(|screen| {
        let ingredients = &screen.formulary().ingredients;
        let names: Vec<_> = drugs.iter().map(|at| ingredients[at % ingredients.len()].id.clone()).collect();
        screen.check(&serde_json::from_value(json!({
            "medications": names, "age": 70, "sex": "female", "egfr": 28, "pregnant": weeks.is_some(), "gestation_weeks": weeks,
            "allergies": ["penicillin", "sulfa", "nsaids"], "medical_history": ["heart failure", "asthma", "gout"]
        })).unwrap())
    })
}

proptest! {
    #[test]
    fn the_order_of_drugs_does_not_matter(mut list in drugs(), weeks in prop::option::of(1.0f32..40.0)) {
        let one = of(&list, weeks);
        list.reverse();
        prop_assert_eq!(one, of(&list, weeks));
    }

    #[test]
    fn a_drug_more_never_takes_an_issue_away(list in drugs(), more in 0usize..965) {
        let (before, after) = (of(&list, None), of(&[list.as_slice(), &[more]].concat(), None));
        for issue in before.detected_issues.iter().filter(|issue| issue.kind != IssueKind::QtProlongation) {
            prop_assert!(after.detected_issues.contains(issue), "{issue:?}");
        }
        prop_assert!(after.detected_issues.len() >= before.detected_issues.len());
    }

    #[test]
    fn no_words_make_it_fall(words in "\\PC{0,60}") {
        check(json!({ "medications": [words.clone(), {"name": words.clone(), "route": words.clone()}],
                      "allergies": [words.clone()], "medical_history": [words] }));
    }
}
