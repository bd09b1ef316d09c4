//! `CapabilityStatement`.

use serde_json::{Value, json};

use super::FHIR_VERSION;

/// A parameter of a search and its type.
type Parameter = (&'static str, &'static str);

const OF_PATIENT: &[Parameter] = &[("patient", "reference")];

/// What can be read and searched, and by which parameters.
const RESOURCES: &[(&str, &[Parameter])] = &[
    ("Patient", &[("identifier", "token"), ("name", "string"), ("birthdate", "date")]),
    ("AllergyIntolerance", OF_PATIENT),
    ("Condition", OF_PATIENT),
    ("MedicationStatement", OF_PATIENT),
    ("Observation", &[("patient", "reference"), ("category", "token")]),
    ("ImagingStudy", OF_PATIENT),
    ("DiagnosticReport", &[("patient", "reference"), ("imaging-study", "reference")]),
    ("RiskAssessment", OF_PATIENT),
    ("ClinicalImpression", OF_PATIENT),
    (SEARCHED_ALONE, &[("patient", "reference"), ("date", "date")]),
];

/// The one that cannot be read by its identifier.
const SEARCHED_ALONE: &str = "AuditEvent";

/// What this service can do: read and search, of the version that stands behind `base`, as of `date`.
pub fn capability_statement(version: &str, base: &str, date: &str) -> Value {
    let resources = RESOURCES.iter().map(|(resource, parameters)| {
        let is_done = |code: &&str| *resource != SEARCHED_ALONE || *code != "read";
        let interactions = ["read", "search-type"].into_iter().filter(is_done);
        let parameters = parameters.iter().map(|(name, kind)| json!({"name": name, "type": kind}));
        let mut resource = json!({
            "type": resource,
            "interaction": interactions.map(|code| json!({"code": code})).collect::<Vec<_>>(),
            "searchParam": parameters.collect::<Vec<_>>(),
        });
        if resource["type"] == "Patient" {
            resource["operation"] = json!([{
                "name": "everything",
                "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything",
            }]);
        }
        resource
    });
    json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "Medilink", "version": version},
        "implementation": {"description": "Medilink", "url": base},
        "fhirVersion": FHIR_VERSION,
        "format": ["application/fhir+json"],
        "rest": [{
            "mode": "server",
            "security": {"description": "Authorization: Bearer TOKEN; X-Clinic-Id chooses among the caller's clinics."},
            "resource": resources.collect::<Vec<_>>(),
        }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FHIR R4, `CapabilityStatement`: the elements of cardinality 1..1, and cpb-15 («kind is instance: implementation»).
    #[test]
    fn it_says_what_every_server_must_say() {
        let statement = capability_statement("0.1.0", "http://h/fhir/R4", "2026-11-21");
        for member in ["status", "date", "kind", "fhirVersion", "format", "implementation"] {
            assert!(statement.get(member).is_some(), "{member}");
        }
        let patient = &statement["rest"][0]["resource"][0];
        assert_eq!(
            (&patient["type"], &patient["operation"][0]["name"]),
            (&json!("Patient"), &json!("everything"))
        );
        let audit = &statement["rest"][0]["resource"][9];
        assert_eq!(audit["interaction"], json!([{"code": "search-type"}]));
    }
}
