//! `AllergyIntolerance`, `Condition`, `MedicationStatement` and `Observation`.

use serde_json::{Value, json};

use super::{concept, hl7_concept, meta, pruned, reference};
use crate::coding::{Coding, SNOMED, UCUM};
use crate::role::Resource;
use crate::statement::{
    Allergy, Condition, ConditionSeverity, Fact, Measurement, Medication, Statement, Vital,
};

/// What the resource of such a statement is called; `None` where it is no statement.
pub fn resource_type(kind: Resource) -> Option<&'static str> {
    match kind {
        Resource::Allergy => Some("AllergyIntolerance"),
        Resource::Condition => Some("Condition"),
        Resource::Medication => Some("MedicationStatement"),
        Resource::Vital => Some("Observation"),
        _ => None,
    }
}

/// The resource; what was entered in error says so in the status that the resource has for it.
pub fn statement(statement: &Statement) -> Value {
    let of_kind = match &statement.fact {
        Fact::Allergy(allergy) => allergy_intolerance(statement, allergy),
        Fact::Condition(it) => condition(statement, it),
        Fact::Medication(medication) => medication_statement(statement, medication),
        Fact::Vital(vital) => observation(statement, vital),
    };
    let mut resource = json!({
        "resourceType": resource_type(statement.fact.kind()),
        "id": statement.statement_id,
        "meta": meta(statement.updated_at),
    });
    if let (Some(members), Value::Object(own)) = (resource.as_object_mut(), of_kind) {
        members.extend(own);
    }
    pruned(resource)
}

const IN_ERROR: &str = "entered-in-error";

fn note(text: Option<&String>) -> Value {
    json!([text.map(|text| json!({"text": text}))])
}

fn recorder(statement: &Statement) -> Value {
    json!({"identifier": {"system": "urn:medilink:actor", "value": statement.recorded_by}})
}

/// ait-1 and ait-2: a clinical status stands exactly where nothing was entered in error.
fn allergy_intolerance(statement: &Statement, allergy: &Allergy) -> Value {
    let is_error = statement.is_entered_in_error;
    let verification = if is_error { json!(IN_ERROR) } else { json!(allergy.verification) };
    let clinical = hl7_concept("allergyintolerance-clinical", allergy.clinical_status);
    let reactions: Vec<Value> = allergy
        .reactions
        .iter()
        .map(|reaction| {
            json!({"manifestation": [concept(&reaction.manifestation)], "severity": reaction.severity})
        })
        .collect();
    json!({
        "clinicalStatus": (!is_error).then_some(clinical),
        "verificationStatus": hl7_concept("allergyintolerance-verification", verification),
        "type": allergy.allergy_type,
        "category": [allergy.category],
        "criticality": allergy.criticality,
        "code": concept(&allergy.coding),
        "patient": reference("Patient", statement.patient_id),
        "onsetDateTime": allergy.onset_on,
        "recordedDate": statement.recorded_at,
        "recorder": recorder(statement),
        "note": note(allergy.note.as_ref()),
        "reaction": reactions,
    })
}

/// con-3 and con-5: a clinical status stands exactly where nothing was entered in error.
fn condition(statement: &Statement, condition: &Condition) -> Value {
    let is_error = statement.is_entered_in_error;
    let verification = if is_error { json!(IN_ERROR) } else { json!(condition.verification) };
    let clinical = hl7_concept("condition-clinical", condition.clinical_status);
    json!({
        "clinicalStatus": (!is_error).then_some(clinical),
        "verificationStatus": hl7_concept("condition-ver-status", verification),
        "category": [hl7_concept("condition-category", "problem-list-item")],
        "severity": condition.severity.map(|severity| concept(&severity_code(severity))),
        "code": concept(&condition.coding),
        "subject": reference("Patient", statement.patient_id),
        "onsetDateTime": condition.onset_on,
        "abatementDateTime": (!is_error).then_some(condition.abated_on),
        "recordedDate": statement.recorded_at,
        "recorder": recorder(statement),
        "note": note(condition.note.as_ref()),
    })
}

/// FHIR R4, value set `condition-severity`.
fn severity_code(severity: ConditionSeverity) -> Coding {
    match severity {
        ConditionSeverity::Mild => Coding::of(SNOMED, "255604002", "Mild"),
        ConditionSeverity::Moderate => Coding::of(SNOMED, "6736007", "Moderate"),
        ConditionSeverity::Severe => Coding::of(SNOMED, "24484000", "Severe"),
    }
}

fn medication_statement(statement: &Statement, medication: &Medication) -> Value {
    let status = if statement.is_entered_in_error { json!(IN_ERROR) } else { json!(medication.status) };
    let dose = medication.dose.as_ref().map(|dose| json!({"doseQuantity": quantity(dose.value, &dose.unit)}));
    json!({
        "status": status,
        "medicationCodeableConcept": concept(&medication.coding),
        "subject": reference("Patient", statement.patient_id),
        "effectivePeriod": {"start": medication.started_on, "end": medication.ended_on},
        "dateAsserted": statement.recorded_at,
        "reasonCode": [medication.reason.as_ref().map(concept)],
        "note": note(medication.note.as_ref()),
        "dosage": [{
            "text": medication.dosage,
            "route": medication.route.as_ref().map(concept),
            "doseAndRate": [dose],
        }],
    })
}

fn observation(statement: &Statement, vital: &Vital) -> Value {
    let measured = vital.value.zip(vital.unit.as_deref());
    let part = |part: &Measurement| json!({"code": concept(&part.coding), "valueQuantity": quantity(part.value, &part.unit)});
    json!({
        "status": if statement.is_entered_in_error { IN_ERROR } else { "final" },
        "category": [hl7_concept("observation-category", "vital-signs")],
        "code": concept(&vital.coding),
        "subject": reference("Patient", statement.patient_id),
        "effectiveDateTime": vital.taken_at,
        "issued": statement.recorded_at,
        "valueQuantity": measured.map(|(value, unit)| quantity(value, unit)),
        "note": note(vital.note.as_ref()),
        "component": vital.components.iter().map(part).collect::<Vec<_>>(),
    })
}

fn quantity(value: f64, unit: &str) -> Value {
    json!({"value": value, "unit": unit, "system": UCUM, "code": unit})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::LOINC;
    use crate::id::{PatientId, StatementId};
    use crate::statement::Stated;

    fn stated(fact: Fact) -> Statement {
        let at = "2026-11-21T12:00:00Z".parse().unwrap();
        Statement {
            statement_id: StatementId::new(),
            patient_id: PatientId::new(),
            fact,
            is_entered_in_error: false,
            recorded_by: "user:1".to_owned(),
            recorded_at: at,
            updated_at: at,
        }
    }

    fn fact<T: Stated + serde::de::DeserializeOwned>(json: Value) -> Statement {
        stated(serde_json::from_value::<T>(json).unwrap().into_fact())
    }

    fn code() -> Value {
        json!({"system": "http://snomed.info/sct", "code": "91936005", "display": "Allergy to penicillin"})
    }

    /// FHIR R4, `AllergyIntolerance`, ait-1 and ait-2; `Condition`, con-5.
    #[test]
    fn what_was_entered_in_error_has_no_clinical_status() {
        for known in
            [fact::<Allergy>(json!({"coding": code()})), fact::<Condition>(json!({"coding": code()}))]
        {
            assert_eq!(statement(&known)["clinicalStatus"]["coding"][0]["code"], "active");
            let error = statement(&Statement { is_entered_in_error: true, ..known });
            assert!(error.get("clinicalStatus").is_none());
            assert_eq!(error["verificationStatus"]["coding"][0]["code"], IN_ERROR);
        }
    }

    #[test]
    fn an_allergy_names_its_patient_and_its_reactions() {
        let allergy = fact::<Allergy>(json!({
            "coding": code(), "type": "allergy", "category": "medication", "criticality": "high",
            "reactions": [{"manifestation": code(), "severity": "severe"}], "onsetOn": "2020-01-01",
        }));
        let resource = statement(&allergy);
        assert_eq!(resource["resourceType"], "AllergyIntolerance");
        assert_eq!(resource["patient"]["reference"], format!("Patient/{}", allergy.patient_id));
        assert_eq!(resource["category"], json!(["medication"]));
        assert_eq!(resource["reaction"][0]["severity"], "severe");
        assert_eq!(resource["onsetDateTime"], "2020-01-01");
        assert!(resource.get("note").is_none());
    }

    #[test]
    fn a_medicine_has_its_period_and_dose() {
        let medication = fact::<Medication>(json!({
            "coding": code(), "status": "on-hold", "dosage": "1-0-1", "dose": {"value": 500.0, "unit": "mg"},
            "startedOn": "2026-01-01",
        }));
        let resource = statement(&medication);
        assert_eq!(resource["status"], "on-hold");
        assert_eq!(resource["effectivePeriod"], json!({"start": "2026-01-01"}));
        let dose = &resource["dosage"][0]["doseAndRate"][0]["doseQuantity"];
        assert_eq!(dose, &json!({"value": 500.0, "unit": "mg", "system": UCUM, "code": "mg"}));
        let bare = statement(&fact::<Medication>(json!({"coding": code()})));
        assert!(bare.get("dosage").is_none() && bare.get("effectivePeriod").is_none());
    }

    /// FHIR R4, «Vital Signs Profile»: category, code, subject, effective and a UCUM quantity.
    #[test]
    fn a_vital_sign_is_an_observation_of_its_profile() {
        let vital = fact::<Vital>(json!({
            "coding": {"system": LOINC, "code": "8867-4", "display": "Heart rate"}, "value": 72.0, "unit": "/min",
            "takenAt": "2026-11-21T11:00:00Z",
        }));
        let resource = statement(&vital);
        assert_eq!(resource["category"][0]["coding"][0]["code"], "vital-signs");
        assert_eq!(resource["valueQuantity"]["code"], "/min");
        assert_eq!(resource["effectiveDateTime"], "2026-11-21T11:00:00Z");
        assert_eq!((&resource["status"], resource.get("component")), (&json!("final"), None));
    }
}
