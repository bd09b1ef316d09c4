//! `medilink triage` as scripts call it.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::server::{output, program};

/// The levels of urgency that `assess` may name.
const LEVELS: [&str; 5] = ["emergency-ambulance", "emergency", "within-24h", "consultation", "self-care"];

fn triage(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = program();
    output(
        command
            .arg("triage")
            .args(arguments)
            .current_dir(folder)
            .env("MEDILINK_DATA_DIR", folder.join("data")),
    )
}

/// What was printed as JSON, by an action on one file.
fn told(folder: &Path, action: &str, file: &Value) -> Value {
    std::fs::write(folder.join("told.json"), file.to_string()).unwrap();
    let (is_well, text) = triage(folder, &[action, "told.json", "--json"]);
    assert!(is_well, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn assess_answers_with_the_urgency_at_the_top() {
    let folder = tempfile::tempdir().unwrap();
    let presentation = json!({
        "symptoms": ["crushing chest pain", "sweating", "xqzzyplugh", {"name": "fever", "present": false, "colour": "red"}],
        "age": 61, "sex": "male", "shoeSize": 43,
    });
    let answer = told(folder.path(), "assess", &presentation);
    assert!(["emergency-ambulance", "emergency"].contains(&answer["urgency"].as_str().unwrap()), "{answer}");
    assert!(answer["differential"][0]["probability"].as_f64().unwrap() > 0.0);
    assert_eq!(answer["unmatched"], json!(["xqzzyplugh"]));
    assert_eq!(answer["ignored"], json!(["shoeSize", "symptoms.colour"]));
    assert!(answer["not_checked"].is_array());
    let of_fever = |it: &&Value| it["words"] == "fever";
    let fever = answer["recognised"].as_array().unwrap().iter().find(of_fever).unwrap();
    assert_eq!(fever["state"], "absent");

    let story =
        told(folder.path(), "assess", &json!({"text": "I have had a runny nose for two days, no fever"}));
    assert!(LEVELS.contains(&story["urgency"].as_str().unwrap()), "{story}");
}

#[test]
fn assess_refuses_what_cannot_be_and_names_it() {
    let folder = tempfile::tempdir().unwrap();
    for (file, named) in [
        (json!({"symptoms": ["cough"], "age": 300}), "age is 0 to 125 years"),
        (json!({"symptoms": []}), "symptoms, text or vitals"),
        (json!({"symptoms": [{"name": "cough", "state": "present", "present": false}]}), "contradicts"),
    ] {
        std::fs::write(folder.path().join("odd.json"), file.to_string()).unwrap();
        let (is_well, text) = triage(folder.path(), &["assess", "odd.json", "--json"]);
        assert!(!is_well && text.contains(named), "{named}: {text}");
    }
}

#[test]
fn screen_says_what_was_found_what_was_not_checked_and_what_each_drug_was_taken_for() {
    let folder = tempfile::tempdir().unwrap();
    let list = json!({
        "medications": ["Coumadin 5 mg once daily", "ibuprofen 400 mg tds", "zzyxomab"],
        "allergies": ["No known allergies except penicillin"], "conditions": ["peptic ulcer"], "age": 70, "sex": "male",
    });
    let answer = told(folder.path(), "screen", &list);
    let issues = answer["detected_issues"].as_array().unwrap();
    let is_bleeding =
        |it: &Value| it["kind"] == "interaction" && it["drugs"] == json!(["ibuprofen", "warfarin"]);
    assert!(issues.iter().any(is_bleeding), "{answer}");
    let not_checked = answer["not_checked"].as_array().unwrap();
    assert!(not_checked.iter().any(|it| it["what"] == "zzyxomab"), "{answer}");
    let taken = answer["drugs"].as_array().unwrap();
    assert!(
        taken
            .iter()
            .any(|it| it["words"] == "Coumadin 5 mg once daily" && it["drugs"] == json!(["warfarin"]))
    );

    // A list that was not read is no list without issues.
    std::fs::write(folder.path().join("none.json"), json!({"meds": ["warfarin"]}).to_string()).unwrap();
    let (is_well, text) = triage(folder.path(), &["screen", "none.json"]);
    assert!(!is_well && text.contains("medications"), "{text}");
    let odd = json!({"medications": ["warfarin"], "meds": ["ibuprofen"]});
    std::fs::write(folder.path().join("odd.json"), odd.to_string()).unwrap();
    let (is_well, text) = triage(folder.path(), &["screen", "odd.json"]);
    assert!(is_well && text.contains("Not looked at: meds"), "{text}");
}

/// The members of the published vignettes (`triage::evaluate::vignettes`), with `urgency` and `accept`.
#[test]
fn evaluate_prints_each_figure_with_its_interval_and_a_line_for_each_case() {
    let folder = tempfile::tempdir().unwrap();
    let case = |diagnosis: &str, story: &str, urgency: &str| {
        json!({
            "correct_diagnosis": diagnosis, "demographics": "30 year old Female", "presentation": story,
            "absent_findings": "rash", "urgency": urgency, "accept": ["Flu"],
        })
    };
    let cases = [
        case("Influenza", "Fever, cough and muscle pain for two days", "non_emergency"),
        case("A disease that nobody knows", "Fever, cough and headache", "self_care"),
    ];
    let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
    std::fs::write(folder.path().join("cases.jsonl"), lines.join("\n")).unwrap();
    let arguments = ["evaluate", "cases.jsonl", "--format", "vignettes", "--json", "--per-case", "out.jsonl"];
    let (is_well, text) = triage(folder.path(), &arguments);
    assert!(is_well, "{text}");
    let figures: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(figures["cases"], 2, "a case that is not covered counts too: {figures}");
    for figure in ["gtpa1", "gtpa3", "gtpa5", "urgency_right", "urgency_safe"] {
        let (value, interval) = (figures[figure].as_f64().unwrap(), &figures[format!("{figure}_ci95")]);
        let (low, high) = (interval[0].as_f64().unwrap(), interval[1].as_f64().unwrap());
        assert!(low <= value && value <= high, "{figure}: {figures}");
    }
    let kept = std::fs::read_to_string(folder.path().join("out.jsonl")).unwrap();
    assert_eq!(kept.lines().count(), 2);
    assert!(kept.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{kept}");
}
