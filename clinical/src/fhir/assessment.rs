//! `RiskAssessment` and `ClinicalImpression` of an assessment of symptoms.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{meta, pruned, reference};
use crate::id::{AssessmentId, PatientId};

/// The codes of conditions.
const ICD_10_CM: &str = "http://hl7.org/fhir/sid/icd-10-cm";
/// Our own ids of conditions.
const CONDITIONS: &str = "urn:medilink:condition";
/// Levels of urgency.
const URGENCY: &str = "urn:medilink:urgency";

/// What a [`risk_assessment`] and a [`clinical_impression`] are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct AssessmentRecord {
    /// Our identifier.
    pub assessment_id: AssessmentId,
    /// Whose symptoms.
    pub patient_id: PatientId,
    /// What was answered: [`crate::decision::Assessment`] as JSON.
    pub answer: Value,
    /// When.
    pub made_at: DateTime<Utc>,
}

/// The conditions with their probabilities; preliminary, for no physician has judged it.
///
/// Its elements are those of FHIR R4, section 9.13.
pub fn risk_assessment(record: &AssessmentRecord) -> Value {
    let predictions = lines(record).map(|line| {
        json!({
            "outcome": outcome(line),
            "probabilityDecimal": line["probability"],
            "rationale": rationale(line),
        })
    });
    let advice: Vec<&str> = lines(record)
        .take(1)
        .flat_map(|line| line["advice"].as_array().into_iter().flatten())
        .filter_map(Value::as_str)
        .collect();
    pruned(json!({
        "resourceType": "RiskAssessment",
        "id": record.assessment_id,
        "meta": meta(record.made_at),
        "status": "preliminary",
        "method": {"text": method(record)},
        "code": {"text": "Differential of symptoms"},
        "subject": reference("Patient", record.patient_id),
        "occurrenceDateTime": record.made_at,
        "performer": {"display": "Medilink triage"},
        "prediction": predictions.collect::<Vec<_>>(),
        "mitigation": advice.join(" "),
        "note": notes(record),
    }))
}

/// How soon to be seen and why, with what was found; it refers to its [`risk_assessment`].
///
/// Its elements are those of FHIR R4, section 9.4.
pub fn clinical_impression(record: &AssessmentRecord) -> Value {
    let urgency = record.answer["urgency"].as_str().unwrap_or_default();
    let reasons = record.answer["urgency_reasons"].as_array().into_iter().flatten();
    let reasons: Vec<&str> = reasons.filter_map(|reason| reason["text"].as_str()).collect();
    let findings =
        lines(record).map(|line| json!({"itemCodeableConcept": outcome(line), "basis": rationale(line)}));
    let recognised = record.answer["recognised"].as_array().into_iter().flatten();
    let recognised: Vec<String> = recognised
        .filter_map(|it| Some(format!("{} ({})", it["words"].as_str()?, it["state"].as_str()?)))
        .collect();
    pruned(json!({
        "resourceType": "ClinicalImpression",
        "id": record.assessment_id,
        "meta": meta(record.made_at),
        "status": "completed",
        "code": {"coding": [{"system": URGENCY, "code": urgency}], "text": urgency},
        "description": recognised.join("; "),
        "subject": reference("Patient", record.patient_id),
        "effectiveDateTime": record.made_at,
        "date": record.made_at,
        "summary": format!("{urgency}: {}", reasons.join(" ")).trim_end_matches([':', ' ']),
        "protocol": [format!("urn:sha256:{}", version(record))],
        "finding": findings.collect::<Vec<_>>(),
        "prognosisReference": [reference("RiskAssessment", record.assessment_id)],
        "note": notes(record),
    }))
}

fn lines(record: &AssessmentRecord) -> impl Iterator<Item = &Value> {
    record.answer["differential"].as_array().into_iter().flatten()
}

fn version(record: &AssessmentRecord) -> &str {
    record.answer["knowledge_version"].as_str().unwrap_or_default()
}

fn method(record: &AssessmentRecord) -> String {
    format!("Bayesian inference over knowledge {}", version(record))
}

fn outcome(line: &Value) -> Value {
    let codes = line["icd10"].as_array().into_iter().flatten();
    let own = json!({"system": CONDITIONS, "code": line["condition"], "display": line["name"]});
    let codings = codes.map(|code| json!({"system": ICD_10_CM, "code": code})).chain([own]);
    json!({"coding": codings.collect::<Vec<_>>(), "text": line["name"]})
}

/// What spoke for and against, in one sentence; nothing where nothing did.
fn rationale(line: &Value) -> Option<String> {
    let said = |member: &str, word: &str| {
        let names = line[member].as_array().into_iter().flatten();
        let names: Vec<&str> = names.filter_map(|spoke| spoke["name"].as_str()).collect();
        (!names.is_empty()).then(|| format!("{word} {}", names.join(", ")))
    };
    let both: Vec<String> =
        [said("for", "for it:"), said("against", "against it:")].into_iter().flatten().collect();
    (!both.is_empty()).then(|| both.join("; "))
}

/// What was not understood and what could not be checked: never silent.
fn notes(record: &AssessmentRecord) -> Vec<Value> {
    let unmatched = record.answer["unmatched"].as_array().into_iter().flatten();
    let unmatched = unmatched.filter_map(Value::as_str).map(|words| format!("Not understood: {words}"));
    let not_checked = record.answer["not_checked"].as_array().into_iter().flatten();
    let not_checked = not_checked
        .filter_map(|it| Some(format!("Not checked: {}: {}", it["what"].as_str()?, it["why"].as_str()?)));
    unmatched.chain(not_checked).map(|text| json!({ "text": text })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AssessmentRecord {
        AssessmentRecord {
            assessment_id: AssessmentId::new(),
            patient_id: PatientId::new(),
            answer: json!({
                "urgency": "within-24h",
                "urgency_reasons": [{"urgency": "within-24h", "rule": "posterior", "text": "Pneumonia is likely."}],
                "differential": [{
                    "condition": "pneumonia", "name": "Pneumonia", "icd10": ["J18.9"], "probability": 0.7,
                    "for": [{"name": "fever"}], "against": [], "advice": ["See a physician."],
                }],
                "recognised": [{"words": "fever", "finding": "fever", "state": "present"}],
                "unmatched": ["blurgh"], "not_checked": [], "knowledge_version": "aa",
            }),
            made_at: DateTime::UNIX_EPOCH,
        }
    }

    /// FHIR R4, section 9.13: status and subject are demanded; a probability is 0 to 100 percent or 0 to 1 (ras-2 holds
    /// percentages).
    #[test]
    fn a_risk_assessment_has_what_every_one_must_have() {
        let resource = risk_assessment(&record());
        assert_eq!(
            (&resource["status"], &resource["prediction"][0]["probabilityDecimal"]),
            (&json!("preliminary"), &json!(0.7))
        );
        assert!(resource["subject"]["reference"].as_str().unwrap().starts_with("Patient/"));
        assert_eq!(resource["prediction"][0]["outcome"]["coding"][0]["code"], "J18.9");
        assert_eq!(resource["note"][0]["text"], "Not understood: blurgh");
    }

    /// FHIR R4, section 9.4: status and subject are demanded.
    #[test]
    fn a_clinical_impression_says_how_soon_and_refers_to_the_risk() {
        let resource = clinical_impression(&record());
        assert_eq!(
            (&resource["status"], &resource["summary"]),
            (&json!("completed"), &json!("within-24h: Pneumonia is likely."))
        );
        let risk = resource["prognosisReference"][0]["reference"].as_str().unwrap();
        assert!(risk.starts_with("RiskAssessment/"));
        assert_eq!(resource["finding"][0]["basis"], "for it: fever");
    }
}
