//! The resources of HL7 FHIR R4 (4.0.1) that we speak, as JSON values.
//!
//! Each function gives a resource whole: required elements are there, empty ones are left out, and references are
//! relative to the service's base.

mod assessment;
mod audit_event;
mod bundle;
mod capability_statement;
mod diagnostic_report;
mod imaging_study;
mod operation_outcome;
mod patient;
mod statement;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

pub use assessment::{AssessmentRecord, clinical_impression, risk_assessment};
pub use audit_event::audit_event;
pub use bundle::{Bundle, BundleEntry};
pub use capability_statement::capability_statement;
pub use diagnostic_report::{
    DiagnosticReportRecord, FindingRecord, NetworkRecord, diagnostic_report, finding_observation,
};
pub use imaging_study::{
    ImagingSeriesRecord, ImagingStudyRecord, imaging_study, imaging_study_at, with_instances,
};
pub use operation_outcome::operation_outcome;
pub use patient::{PatientRecord, patient, restricted_patient};
pub use statement::{resource_type, statement};

use crate::coding::Coding;

/// The version of FHIR.
pub const FHIR_VERSION: &str = "4.0.1";

/// `value` without the members that are `null`, and without the lists and objects that are empty: FHIR has neither
/// (R4, section 2.6.2).
fn pruned(value: Value) -> Value {
    let is_something = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => true,
    };
    match value {
        Value::Array(items) => items.into_iter().map(pruned).filter(is_something).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, pruned(value)))
            .filter(|(_, value)| is_something(value))
            .collect(),
        value => value,
    }
}

fn meta(updated_at: DateTime<Utc>) -> Value {
    json!({"lastUpdated": updated_at})
}

fn reference(resource_type: &str, id: impl std::fmt::Display) -> Value {
    json!({"reference": format!("{resource_type}/{id}")})
}

fn concept(coding: &Coding) -> Value {
    json!({
        "coding": [{"system": coding.system, "code": coding.code, "display": coding.display}],
        "text": coding.display,
    })
}

/// A concept of one of HL7's own code systems.
fn hl7_concept(system: &str, code: impl serde::Serialize) -> Value {
    json!({"coding": [{"system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code}]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_left_out() {
        let value = json!({"a": null, "b": [], "c": {"d": null}, "e": [null, {"f": 0}], "g": false, "h": ""});
        assert_eq!(pruned(value), json!({"e": [{"f": 0}], "g": false, "h": ""}));
    }
}
