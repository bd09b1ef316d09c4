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

/// Worked by hand: 142 (3.1/0.7)^-1.2 0.9938^70 1.012 = 15.59.
#[test]
fn an_estimated_filtration_is_shown_rounded_and_not_in_a_pregnancy() {
    let told = |more: &str| {
        let told = format!(
            r#"{{"medications": ["metformin"], "age": 70, "sex": "female", "creatinine_mg_dl": 3.1{more}}}"#
        );
        let screened = check(serde_json::from_str(&told).unwrap());
        let issues = screened.detected_issues.into_iter();
        issues.filter_map(|issue| issue.with).find(|with| with.starts_with("eGFR"))
    };
    assert_eq!(told("").as_deref(), Some("eGFR 15.6 ml/min/1.73 m²"));
    assert_eq!(told(r#", "gestation_weeks": 20"#), None);
    assert_eq!(told(r#", "medical_history": ["pregnant"]"#), None);
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

/// The labels of tizanidine, pimozide and theophylline: two of the three are never given so.
#[test]
fn of_two_rules_as_grave_the_one_that_names_the_drug_is_told() {
    for (drugs, management) in [
        (["tizanidine", "ciprofloxacin"], "Never together"),
        (["pimozide", "clarithromycin"], "Never together"),
        (["theophylline", "ciprofloxacin"], "Halve theophylline"),
    ] {
        let screened = check(json!({"medications": drugs, "age": 60}));
        let told: Vec<_> = screened.detected_issues.iter().map(|issue| issue.management.as_str()).collect();
        assert!(told.iter().any(|words| words.starts_with(management)), "{drugs:?}: {told:?}");
        assert!(
            !told.iter().any(|words| words.starts_with("Avoid, or lower the dose")),
            "{drugs:?}: {told:?}"
        );
    }
}

#[test]
fn how_far_a_condition_is_does_not_hide_it() {
    for said in ["CKD stage 4", "stage 3b CKD", "chronic kidney disease stage 3"] {
        let screened = check(json!({"medications": ["naproxen"], "conditions": [said], "age": 60}));
        assert!(!is_not_checked(&screened, said), "{said}: {:?}", screened.not_checked);
        assert!(has(&screened, IssueKind::Contraindication, IssueSeverity::High, &["naproxen"]), "{said}");
    }
    let told = check(
        json!({"medications": ["naproxen"], "conditions": ["heart failure NYHA class III"], "age": 60}),
    );
    assert!(has(&told, IssueKind::Contraindication, IssueSeverity::High, &["naproxen"]));
}

#[test]
fn a_cream_weighs_less_than_a_tablet() {
    let cream = check(json!({ "medications": [{"name": "diclofenac", "route": "topical"}, "warfarin"] }));
    assert!(has(&cream, IssueKind::Interaction, IssueSeverity::Moderate, &["diclofenac", "warfarin"]));
}

/// «None but penicillin» is an allergy to penicillin.
#[test]
fn an_allergy_that_begins_with_a_denial_counts_and_is_to_be_confirmed() {
    for said in [
        "No known allergies except penicillin",
        "not penicillin, only a rash from it",
        "denies all but penicillin",
    ] {
        let screened = check(json!({ "medications": ["amoxicillin"], "allergies": [said] }));
        assert!(has(&screened, IssueKind::Allergy, IssueSeverity::High, &["amoxicillin"]), "{said}");
        assert!(
            screened.not_checked.iter().any(|note| note.what == said && note.why.contains("confirm")),
            "{said}: {:?}",
            screened.not_checked
        );
    }
    for none in ["NKDA", "no known drug allergies", "No known drug allergy"] {
        let screened = check(json!({ "medications": ["amoxicillin"], "allergies": [none] }));
        assert!(screened.detected_issues.is_empty() && !is_not_checked(&screened, none), "{none}");
    }
}

#[test]
fn what_is_too_long_to_be_read_whole_is_said_to_be() {
    let long = format!("warfarin {}", "really ".repeat(60));
    let allergy = format!("penicillin {}", "really ".repeat(40));
    let screened = check(json!({ "medications": [long], "allergies": [allergy] }));
    for what in [long.trim(), allergy.trim()] {
        let notes: Vec<_> = screened.not_checked.iter().filter(|note| note.what == what).collect();
        assert!(notes.iter().any(|note| note.why.contains("words were read")), "{notes:?}");
    }
}

/// Methotrexate every day instead of every week kills (ISMP, high-alert medications): the words say both «daily» and «week».
#[test]
fn how_long_a_drug_is_taken_is_not_how_often() {
    let daily = check(json!({ "medications": ["methotrexate 15 mg once daily for one week"], "age": 40 }));
    assert!(has(&daily, IssueKind::Dose, IssueSeverity::High, &["methotrexate"]), "{:?}", found(&daily));
    let often = check(json!({ "medications": ["paracetamol 1 g twice daily for 2 weeks"], "age": 40 }));
    assert!(!often.detected_issues.iter().any(|issue| issue.kind == IssueKind::Dose));
    let unclear = check(json!({ "medications": ["ibuprofen 400 mg three times"], "age": 40 }));
    assert!(is_not_checked(&unclear, "dose"));
    assert!(
        unclear.not_checked.iter().any(|note| note.why.contains("«three times»")),
        "{:?}",
        unclear.not_checked
    );
}

#[test]
fn a_dose_that_is_not_plain_is_not_checked_and_a_plain_one_is() {
    for unplain in [
        "ibuprofen 250 mg/5 ml, 20 ml three times a day",
        "ibuprofen 400 mg mane 4000 mg nocte",
        "ibuprofen inf mg tds",
    ] {
        let screened = check(json!({ "medications": [unplain], "age": 40 }));
        assert!(is_not_checked(&screened, "dose"), "{unplain}");
    }
    for large in ["paracetamol 4,000 mg twice daily", "paracetamol 500 mg, 4 tablets four times a day"] {
        let screened = check(json!({ "medications": [large], "age": 40 }));
        assert!(has(&screened, IssueKind::Dose, IssueSeverity::High, &["acetaminophen"]), "{large}");
    }
}

#[test]
fn a_drug_that_no_rule_of_pairs_speaks_of_is_said_not_to_be_checked() {
    let unruled = SCREEN.with(|screen| {
        let formulary = screen.formulary();
        let mut all = (0..).map(models::formulary::IngredientIx).zip(&formulary.ingredients);
        all.find(|(drug, _)| !formulary.has_interactions(*drug))
            .map(|(_, ingredient)| ingredient.clone())
            .unwrap()
    });
    let several = check(json!({ "medications": [unruled.id, "warfarin"] }));
    let note = several.not_checked.iter().find(|note| note.what == "interactions").unwrap();
    assert!(note.why.contains(&unruled.name) && !note.why.contains("warfarin"), "{note:?}");
    assert!(!is_not_checked(&check(json!({ "medications": [unruled.id] })), "interactions"));
}

#[test]
fn several_drugs_in_one_line_are_all_read_and_a_stronger_product_is_another() {
    let list = check(json!({ "medications": ["lisinopril, potassium"] }));
    assert!(list.not_checked.iter().any(|note| note.why.contains("«potassium»")), "{:?}", list.not_checked);
    let two = check(json!({ "medications": ["warfarin, ibuprofen"] }));
    assert_eq!(two.drugs[0].drugs, ["warfarin", "ibuprofen"]);
    let salt = check(json!({ "medications": ["losartan potassium"] }));
    assert_eq!(salt.drugs[0].drugs, ["losartan"]);
    let plus = check(json!({ "medications": ["Nurofen Plus"] }));
    let is_known_whole = plus.drugs[0].drugs.len() > 1;
    assert!(is_known_whole || is_not_checked(&plus, "Nurofen Plus"), "{plus:?}");
}

#[test]
fn what_gets_through_the_skin_weighs_as_much_as_what_is_swallowed() {
    let paste = check(json!({ "medications": ["nitroglycerin ointment", "sildenafil"] }));
    assert!(
        has(&paste, IssueKind::Interaction, IssueSeverity::High, &["nitroglycerin", "sildenafil"]),
        "{:?}",
        found(&paste)
    );
    let eye = check(
        json!({ "medications": ["doxycycline 100 mg tablets for eye infection"], "pregnant": true, "sex": "female" }),
    );
    let tablet =
        check(json!({ "medications": ["doxycycline 100 mg tablets"], "pregnant": true, "sex": "female" }));
    assert_eq!(found(&eye), found(&tablet));
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
