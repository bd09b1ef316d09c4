//! Medication as FHIR tells of it, as the engine reads it.

use std::collections::BTreeMap;

use clinical::decision::Drug;
use serde_json::Value;

/// Words of the status of medication that is not taken.
const NOT_TAKEN: [&str; 6] = ["entered-in-error", "stopped", "completed", "cancelled", "not-taken", "ended"];
/// RxNorm's system.
const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";

/// The drug that a `MedicationStatement` or `MedicationRequest` (FHIR R4) is of; `None` where it is not taken.
pub(crate) fn drug(resource: &Value) -> Option<Drug> {
    if resource["status"].as_str().is_some_and(|status| NOT_TAKEN.contains(&status)) {
        return None;
    }
    let concept = &resource["medicationCodeableConcept"];
    let contained = || {
        let reference = resource["medicationReference"]["reference"].as_str()?.strip_prefix('#')?;
        let contained = resource["contained"].as_array()?;
        Some(&contained.iter().find(|it| it["id"] == reference)?["code"])
    };
    let name = named(concept)
        .or_else(|| contained().and_then(named))
        .or_else(|| text(&resource["medicationReference"]["display"]))
        .or_else(|| text(&resource["medicationReference"]["reference"]))
        .unwrap_or_else(|| "a drug without a name".to_owned());
    // A MedicationStatement has `dosage`, a MedicationRequest `dosageInstruction`.
    let dosage = [&resource["dosageInstruction"][0], &resource["dosage"][0]];
    let dosage = dosage.into_iter().find(|dosage| dosage.is_object());
    let (dose_mg, times_a_day) = dosage.map_or((None, None), |dosage| (dose_mg(dosage), times_a_day(dosage)));
    let route = dosage.and_then(|dosage| named(&dosage["route"]));
    Some(Drug::Told { name, dose_mg, times_a_day, route, ignored: BTreeMap::new() })
}

/// What a CodeableConcept is called: of RxNorm's coding the display, else of any, else the text, else RxNorm's code.
pub(crate) fn named(concept: &Value) -> Option<String> {
    let codings = || concept["coding"].as_array().into_iter().flatten();
    let of_rxnorm = || codings().find(|coding| coding["system"] == RXNORM);
    of_rxnorm()
        .and_then(|coding| text(&coding["display"]))
        .or_else(|| text(&concept["text"]))
        .or_else(|| codings().find_map(|coding| text(&coding["display"])))
        .or_else(|| of_rxnorm().and_then(|coding| text(&coding["code"])))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(|text| text.chars().take(200).collect())
}

fn dose_mg(dosage: &Value) -> Option<f32> {
    let quantity = &dosage["doseAndRate"][0]["doseQuantity"];
    let unit = quantity["code"].as_str().or_else(|| quantity["unit"].as_str())?;
    let factor = match unit {
        "mg" => 1.0,
        "g" => 1_000.0,
        "ug" | "mcg" | "µg" => 0.001,
        _ => return None,
    };
    let dose = quantity["value"].as_f64()? * factor;
    (dose > 0.0 && dose <= 1_000_000.0).then_some(dose as f32)
}

fn times_a_day(dosage: &Value) -> Option<f32> {
    let repeat = &dosage["timing"]["repeat"];
    let days = match repeat["periodUnit"].as_str()? {
        "h" => 1.0 / 24.0,
        "d" => 1.0,
        "wk" => 7.0,
        _ => return None,
    };
    let times = repeat["frequency"].as_f64().unwrap_or(1.0) / (repeat["period"].as_f64()? * days);
    (times > 0.0 && times <= 48.0).then_some(times as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The elements of FHIR R4, sections 11.1 and 2.24.2 (Dosage).
    #[test]
    fn a_request_tells_drug_dose_and_interval() {
        let request = json!({
            "resourceType": "MedicationRequest", "status": "draft",
            "medicationCodeableConcept": {"coding": [{"system": RXNORM, "code": "1191", "display": "aspirin"}], "text": "ASA"},
            "dosageInstruction": [{
                "timing": {"repeat": {"frequency": 1, "period": 8, "periodUnit": "h"}},
                "doseAndRate": [{"doseQuantity": {"value": 0.5, "unit": "g"}}],
            }],
        });
        let Some(Drug::Told { name, dose_mg, times_a_day, .. }) = drug(&request) else { panic!() };
        assert_eq!((name.as_str(), dose_mg, times_a_day), ("aspirin", Some(500.0), Some(3.0)));
    }

    #[test]
    fn what_is_not_taken_is_no_drug_and_what_has_no_name_is_not_dropped() {
        assert_eq!(drug(&json!({"status": "stopped"})), None);
        let unsure = json!({"status": "unknown", "medicationCodeableConcept": {"text": "Warfarin"}});
        assert_eq!(drug(&unsure).unwrap().name(), "Warfarin", "whoever does not know may take it");
        let nameless =
            drug(&json!({"status": "active", "medicationReference": {"reference": "Medication/9"}}));
        assert_eq!(nameless.unwrap().name(), "Medication/9");
    }

    #[test]
    fn a_contained_medication_is_found() {
        let statement = json!({
            "status": "active", "medicationReference": {"reference": "#m"},
            "contained": [{"resourceType": "Medication", "id": "m", "code": {"text": "Warfarin"}}],
        });
        assert_eq!(drug(&statement).unwrap().name(), "Warfarin");
    }
}
