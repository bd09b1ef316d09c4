//! `AuditEvent`.

use serde_json::{Value, json};

use super::{pruned, reference};
use crate::audit::{Actor, Entry, Outcome};
use crate::id::AuditId;

/// The codes of DICOM PS3.16, which FHIR takes over for kinds of audit events.
const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
/// The kinds of audit events that FHIR adds.
const EVENT_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
/// What a RESTful request does.
const INTERACTION: &str = "http://hl7.org/fhir/restful-interaction";
/// What an entity is.
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
/// What part an entity has.
const OBJECT_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
/// What an observer is.
const SOURCE_TYPE: &str = "http://terminology.hl7.org/CodeSystem/security-source-type";

/// The resource of one line of the trail; its elements are those of FHIR R4, section 6.4.
pub fn audit_event(audit_id: AuditId, entry: &Entry) -> Value {
    let verb = entry.action.split_once(':').map_or(entry.action.as_str(), |(_, verb)| verb);
    let mut subtypes: Vec<Value> = interaction(verb).into_iter().collect();
    subtypes.push(json!({"code": entry.action}));
    pruned(json!({
        "resourceType": "AuditEvent",
        "id": audit_id,
        "type": kind(verb),
        "subtype": subtypes,
        "action": action(verb),
        "recorded": entry.at,
        "outcome": outcome(entry.outcome),
        "outcomeDesc": entry.outcome.as_str(),
        "agent": [agent(entry)],
        "source": {
            "site": entry.clinic_id,
            "observer": {"display": "Medilink"},
            "type": [{"system": SOURCE_TYPE, "code": "4", "display": "Application Server"}],
        },
        "entity": entities(entry),
    }))
}

/// Signing in and out, taking data away, or any other request.
fn kind(verb: &str) -> Value {
    match verb {
        _ if verb.starts_with("sign-") => {
            json!({"system": DCM, "code": "110114", "display": "User Authentication"})
        }
        "export" => json!({"system": DCM, "code": "110106", "display": "Export"}),
        _ => json!({"system": EVENT_TYPE, "code": "rest", "display": "RESTful Operation"}),
    }
}

fn interaction(verb: &str) -> Option<Value> {
    let code = match verb {
        "create" | "read" | "update" | "delete" => verb,
        "list" => "search-type",
        _ => return None,
    };
    Some(json!({"system": INTERACTION, "code": code}))
}

/// Create, read, update, delete or execute.
fn action(verb: &str) -> &'static str {
    match verb {
        "create" => "C",
        "read" | "list" | "export" => "R",
        "update" | "review" | "merge" => "U",
        "delete" | "erase" => "D",
        _ => "E",
    }
}

/// 4 is a minor failure, as a wrong password or a refused request; 8 a serious one, our own.
fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Success => "0",
        Outcome::Denied | Outcome::Refused => "4",
        Outcome::Failed => "8",
    }
}

fn agent(entry: &Entry) -> Value {
    let person = entry
        .actor
        .id()
        .map(|id| json!({"identifier": {"system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{id}")}}));
    json!({
        "role": entry.role.map(|role| json!([{"coding": [{"code": role.as_str()}], "text": role.as_str()}])),
        "who": person.unwrap_or_else(|| json!({"display": entry.actor.kind()})),
        "name": entry.actor.kind(),
        "requestor": entry.actor != Actor::System,
        "network": entry.address.as_ref().map(|address| json!({"address": address, "type": "2"})),
    })
}

/// The patient, and the record with the request that named it.
fn entities(entry: &Entry) -> Vec<Value> {
    let patient = entry.patient_id.map(|patient_id| {
        json!({
            "what": reference("Patient", patient_id),
            "type": {"system": ENTITY_TYPE, "code": "1", "display": "Person"},
            "role": {"system": OBJECT_ROLE, "code": "1", "display": "Patient"},
        })
    });
    let told = [
        ("route", Some(entry.route.clone())),
        ("request", entry.request_id.clone()),
        ("session", entry.session.map(|session| session.to_string())),
        ("detail", entry.detail.as_ref().map(Value::to_string)),
    ];
    let told =
        told.into_iter().filter_map(|(kind, value)| Some(json!({"type": kind, "valueString": value?})));
    let record = json!({
        "what": entry.record_id.as_ref().map(|record| json!({"identifier": {"value": record}})),
        "type": {"system": ENTITY_TYPE, "code": "2", "display": "System Object"},
        "detail": told.collect::<Vec<_>>(),
    });
    patient.into_iter().chain([record]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ClinicId, PatientId, UserId};
    use crate::role::Role;

    fn entry(action: &str) -> Entry {
        Entry {
            clinic_id: ClinicId::DEFAULT,
            at: "2026-11-21T12:00:00.000001Z".parse().unwrap(),
            actor: Actor::User(UserId::new()),
            role: Some(Role::Doctor),
            session: None,
            action: action.to_owned(),
            record_id: None,
            patient_id: Some(PatientId::new()),
            route: "GET /api/v1/patients/{patientId}".to_owned(),
            address: Some("192.0.2.7".to_owned()),
            request_id: None,
            outcome: Outcome::Success,
            detail: None,
        }
    }

    /// FHIR R4, section 6.4.3: type, recorded, agent with requestor, and source with observer are required.
    #[test]
    fn a_read_stands_in_the_elements_of_the_standard() {
        let (audit_id, entry) = (AuditId::new(), entry("patient:read"));
        let user = entry.actor.id().unwrap();
        let expected = json!({
            "resourceType": "AuditEvent",
            "id": audit_id,
            "type": {"system": EVENT_TYPE, "code": "rest", "display": "RESTful Operation"},
            "subtype": [{"system": INTERACTION, "code": "read"}, {"code": "patient:read"}],
            "action": "R",
            "recorded": "2026-11-21T12:00:00.000001Z",
            "outcome": "0",
            "outcomeDesc": "success",
            "agent": [{
                "role": [{"coding": [{"code": "DOCTOR"}], "text": "DOCTOR"}],
                "who": {"identifier": {"system": "urn:ietf:rfc:3986", "value": format!("urn:uuid:{user}")}},
                "name": "user",
                "requestor": true,
                "network": {"address": "192.0.2.7", "type": "2"},
            }],
            "source": {
                "site": ClinicId::DEFAULT,
                "observer": {"display": "Medilink"},
                "type": [{"system": SOURCE_TYPE, "code": "4", "display": "Application Server"}],
            },
            "entity": [
                {
                    "what": {"reference": format!("Patient/{}", entry.patient_id.unwrap())},
                    "type": {"system": ENTITY_TYPE, "code": "1", "display": "Person"},
                    "role": {"system": OBJECT_ROLE, "code": "1", "display": "Patient"},
                },
                {
                    "type": {"system": ENTITY_TYPE, "code": "2", "display": "System Object"},
                    "detail": [{"type": "route", "valueString": "GET /api/v1/patients/{patientId}"}],
                },
            ],
        });
        assert_eq!(audit_event(audit_id, &entry), expected);
    }

    /// DICOM PS3.16, CID 400: 110114 «User Authentication», 110106 «Export».
    #[test]
    fn sign_in_and_export_have_their_own_kinds_and_a_denial_is_a_minor_failure() {
        let resource = |action, outcome| audit_event(AuditId::new(), &Entry { outcome, ..entry(action) });
        let sign_in = resource("account:sign-in", Outcome::Denied);
        assert_eq!((&sign_in["type"]["code"], &sign_in["action"]), (&json!("110114"), &json!("E")));
        assert_eq!(sign_in["outcome"], "4");
        let export = resource("patient:export", Outcome::Failed);
        assert_eq!((&export["type"]["code"], &export["outcome"]), (&json!("110106"), &json!("8")));
    }
}
