//! What of a patient comes with a request, as the engine reads it.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use clinical::decision::{Drug, NotChecked, Presentation, Vitals};
use clinical::person::Sex;
use serde_json::Value;

use crate::medication::{drug, named};
use crate::request::HookRequest;

/// LOINC codes of the glomerular filtration rate per 1.73 m².
const FILTRATION: [&str; 4] = ["33914-3", "48642-3", "62238-1", "98979-8"];
const WEIGHT: &str = "29463-7";
const PREGNANCY: &str = "82810-3";
const LACTATION: &str = "63895-7";
/// Words of a clinical status of what is over.
const OVER: [&str; 4] = ["inactive", "resolved", "remission", "entered-in-error"];
/// Words of a verification status of what is not so; what nobody has confirmed may be so.
const NOT_SO: [&str; 2] = ["entered-in-error", "refuted"];
/// So many words of a kind are read.
const MOST: usize = 200;

/// The patient without any drug, and what could not be checked because the client did not send it.
pub(crate) fn presentation(request: &HookRequest, now: DateTime<Utc>) -> (Presentation, Vec<NotChecked>) {
    let mut not_checked = Vec::new();
    let mut presentation = Presentation::default();
    if let Some(patient) = request.fetched("patient", "Patient", &mut not_checked).first() {
        presentation.age = patient["birthDate"].as_str().and_then(|text| age(text, now.date_naive()));
        presentation.sex = match patient["gender"].as_str() {
            Some("male") => Sex::Male,
            Some("female") => Sex::Female,
            Some("other") => Sex::Other,
            _ => Sex::Unknown,
        };
    }
    presentation.medical_history = words(request, "conditions", "Condition", &mut not_checked);
    presentation.allergies = words(request, "allergies", "AllergyIntolerance", &mut not_checked);
    let observations = request.fetched("observations", "Observation", &mut not_checked);
    observe(&mut presentation, &observations);
    (presentation, not_checked)
}

/// What conditions or allergies that are so are called; one without a name is noted.
fn words(request: &HookRequest, name: &str, kind: &str, not_checked: &mut Vec<NotChecked>) -> Vec<String> {
    let is_so = |resource: &&Value| {
        let clinical = code(&resource["clinicalStatus"]);
        let verification = code(&resource["verificationStatus"]);
        !clinical.is_some_and(|it| OVER.contains(&it)) && !verification.is_some_and(|it| NOT_SO.contains(&it))
    };
    let so: Vec<&Value> = request.fetched(name, kind, not_checked).into_iter().filter(is_so).collect();
    let substance = |it: &Value| named(&it["reaction"][0]["substance"]);
    let mut words: Vec<String> =
        so.iter().filter_map(|it| named(&it["code"]).or_else(|| substance(it))).collect();
    let mut note = |why: String| not_checked.push(NotChecked { what: name.to_owned(), why });
    if words.len() < so.len() {
        note(format!("{} of prefetch.{name} have no name", so.len() - words.len()));
    }
    if words.len() > MOST {
        note(format!("{} of prefetch.{name} were not read: {MOST} are at most", words.len() - MOST));
        words.truncate(MOST);
    }
    words
}

/// What the patient takes, as the client knows it; the same drug may stand in both lists.
pub(crate) fn taken(request: &HookRequest) -> (Vec<Drug>, Vec<NotChecked>) {
    let (mut drugs, mut not_checked) = (Vec::<Drug>::new(), Vec::new());
    for (name, kind) in [("medications", "MedicationStatement"), ("requests", "MedicationRequest")] {
        let resources = request.fetched(name, kind, &mut not_checked);
        let mut left = 0;
        for drug in resources.into_iter().filter_map(drug) {
            if drugs.iter().any(|known| known.name() == drug.name()) {
                continue;
            }
            if drugs.len() < MOST { drugs.push(drug) } else { left += 1 }
        }
        if left > 0 {
            let why = format!("{left} of prefetch.{name} were not read: {MOST} drugs are at most");
            not_checked.push(NotChecked { what: name.to_owned(), why });
        }
    }
    (drugs, not_checked)
}

/// The first code of a status.
fn code(concept: &Value) -> Option<&str> {
    concept["coding"][0]["code"].as_str()
}

/// The newest of each, for lists need no order.
fn observe(presentation: &mut Presentation, observations: &[&Value]) {
    let mut sorted: Vec<&&Value> = observations
        .iter()
        .filter(|it| it["status"] != "entered-in-error" && it["status"] != "cancelled")
        .collect();
    sorted.sort_by_key(|it| it["effectiveDateTime"].as_str().unwrap_or_default());
    let mut vitals = Vitals::default();
    for observation in sorted {
        let codings = observation["code"]["coding"].as_array().into_iter().flatten();
        let Some(loinc) =
            codings.filter(|it| it["system"] == "http://loinc.org").find_map(|it| it["code"].as_str())
        else {
            continue;
        };
        let quantity = &observation["valueQuantity"];
        let value = quantity["value"].as_f64().map(|value| value as f32);
        if loinc == WEIGHT {
            let factor = match quantity["code"].as_str().or_else(|| quantity["unit"].as_str()) {
                Some("kg") => 1.0,
                Some("g") => 0.001,
                Some("[lb_av]" | "lb" | "lbs") => 0.453_592_37,
                _ => continue,
            };
            vitals.weight_kg = value.map(|value| value * factor).filter(|kg| (0.2..=650.0).contains(kg));
        } else if FILTRATION.contains(&loinc) {
            presentation.egfr = value.filter(|value| (0.0..=250.0).contains(value));
        } else if loinc == PREGNANCY {
            // LOINC answer list LL4129-4: pregnant, not pregnant.
            presentation.pregnant = yes(observation, "LA15173-0", "LA26683-5");
        } else if loinc == LACTATION {
            presentation.breastfeeding = yes(observation, "LA33-6", "LA32-8");
        }
    }
    if presentation.sex == Sex::Male {
        presentation.pregnant = None;
    }
    presentation.vitals = vitals;
}

/// Whether the coded value is `positive` or `negative`, or SNOMED CT's words for a pregnancy.
fn yes(observation: &Value, positive: &str, negative: &str) -> Option<bool> {
    let concept = &observation["valueCodeableConcept"];
    let codes = concept["coding"].as_array().into_iter().flatten().filter_map(|it| it["code"].as_str());
    for code in codes {
        match code {
            _ if code == positive => return Some(true),
            _ if code == negative => return Some(false),
            "77386006" => return Some(true),
            "60001007" => return Some(false),
            _ => {}
        }
    }
    observation["valueBoolean"].as_bool()
}

/// Years since a birth date of FHIR: a day, a month or a year.
fn age(born: &str, today: NaiveDate) -> Option<f32> {
    let mut parts = born.splitn(3, '-').map(str::parse::<i32>);
    let year = parts.next()?.ok()?;
    // Of a month the middle, of a year the middle.
    let month = parts.next().and_then(Result::ok).unwrap_or(7);
    let day = parts.next().and_then(Result::ok).unwrap_or(15);
    let born = NaiveDate::from_ymd_opt(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?)?;
    let days = today.num_days_from_ce() - born.num_days_from_ce();
    let years = days as f32 / 365.25;
    (0.0..=125.0).contains(&years).then_some(years)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(prefetch: Value) -> HookRequest {
        serde_json::from_value(json!({
            "hook": "patient-view", "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
            "context": {"userId": "Practitioner/1", "patientId": "1"}, "prefetch": prefetch,
        }))
        .unwrap()
    }

    #[test]
    fn what_came_is_read_and_what_did_not_come_is_named() {
        let request = request(json!({
            "patient": {"resourceType": "Patient", "birthDate": "1960-01-01", "gender": "female"},
            "conditions": {"resourceType": "Bundle", "entry": [
                {"resource": {"resourceType": "Condition", "code": {"text": "Asthma"}}},
                {"resource": {"resourceType": "Condition", "code": {"text": "Gout"},
                              "clinicalStatus": {"coding": [{"code": "resolved"}]}}},
            ]},
            "observations": {"resourceType": "Bundle", "entry": [{"resource": {
                "resourceType": "Observation", "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "33914-3"}]},
                "valueQuantity": {"value": 28, "unit": "mL/min/{1.73_m2}"},
            }}]},
        }));
        let now = DateTime::parse_from_rfc3339("2026-11-22T00:00:00Z").unwrap().to_utc();
        let (presentation, not_checked) = presentation(&request, now);
        assert!((presentation.age.unwrap() - 66.9).abs() < 0.1);
        assert_eq!((presentation.sex, presentation.egfr), (Sex::Female, Some(28.0)));
        assert_eq!(presentation.medical_history, ["Asthma"]);
        assert_eq!(not_checked[0].what, "allergies");
        assert_eq!(presentation.check(), Ok(()));
    }

    #[test]
    fn whatever_of_it_cannot_be_read_is_said() {
        let bundle = |resources: Vec<Value>| {
            let entries: Vec<Value> = resources.into_iter().map(|it| json!({ "resource": it })).collect();
            json!({ "resourceType": "Bundle", "entry": entries })
        };
        let unconfirmed = json!({
            "resourceType": "AllergyIntolerance", "code": {"text": "penicillin"},
            "verificationStatus": {"coding": [{"code": "unconfirmed"}]},
        });
        let statement = |number: usize| {
            json!({"resourceType": "MedicationStatement", "status": "active",
                   "medicationCodeableConcept": {"text": format!("drug {number}")}})
        };
        let mut paged = bundle((0..201).map(statement).collect());
        paged["link"] = json!([{"relation": "next", "url": "https://ehr.example.org/2"}]);
        let request = request(json!({
            "patient": {"resourceType": "OperationOutcome"},
            "conditions": bundle(vec![json!({"resourceType": "Condition"}), json!({"resourceType": "Observation"})]),
            "allergies": bundle(vec![unconfirmed, json!(null)]),
            "medications": paged,
            "observations": "none",
        }));
        let (presentation, mut not_checked) = presentation(&request, DateTime::UNIX_EPOCH);
        let (drugs, missing) = taken(&request);
        not_checked.extend(missing);
        assert_eq!(presentation.allergies, ["penicillin"], "what nobody has confirmed may be so");
        assert_eq!(drugs.len(), MOST);
        let told: Vec<_> = not_checked.iter().map(|note| format!("{}: {}", note.what, note.why)).collect();
        for expected in [
            "patient: prefetch.patient was not sent",
            "conditions: 1 of the entries of prefetch.conditions are no Condition",
            "conditions: 1 of prefetch.conditions have no name",
            "allergies: 1 of the entries of prefetch.allergies hold no resource",
            "medications: of prefetch.medications only a part was sent, or read: 500 entries at most",
            "medications: 1 of prefetch.medications were not read: 200 drugs are at most",
            "observations: prefetch.observations was not sent",
            "requests: prefetch.requests was not sent",
        ] {
            assert!(told.iter().any(|told| told == expected), "{expected}: {told:#?}");
        }
    }

    #[test]
    fn ages_are_counted_from_whatever_is_known_of_the_birth() {
        let today = NaiveDate::from_ymd_opt(2026, 7, 15).unwrap();
        for (born, years) in [("2025-07-15", 1.0), ("1986-07", 40.0), ("1926", 100.0)] {
            assert!((age(born, today).unwrap() - years).abs() < 0.02, "{born}");
        }
        assert_eq!(age("2030-01-01", today), None);
        assert_eq!(age("yesterday", today), None);
    }
}
