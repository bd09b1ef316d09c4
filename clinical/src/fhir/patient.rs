//! `Patient`.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{meta, pruned, reference};
use crate::id::PatientId;
use crate::person::{Address, Demographics, Identifier};

/// The code system of confidentiality.
const CONFIDENTIALITY: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";
/// The code system that says what was done to a resource.
const OBSERVATION_VALUE: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";

/// What a [`patient`] is made of.
#[derive(Debug, Clone)]
pub struct PatientRecord<'a> {
    /// Our identifier.
    pub patient_id: PatientId,
    /// Who it is.
    pub demographics: &'a Demographics,
    /// Seen by those who treat only after they have broken the glass.
    pub is_restricted: bool,
    /// The record that stands for this one.
    pub merged_into: Option<PatientId>,
    /// Whether there is still a person behind it.
    pub is_erased: bool,
    /// When it was changed last.
    pub updated_at: DateTime<Utc>,
}

/// The resource; a merged one is inactive and points to the record that stands for it by `replaced-by`.
pub fn patient(record: &PatientRecord<'_>) -> Value {
    let person = record.demographics;
    let mut meta = meta(record.updated_at);
    if record.is_restricted {
        meta["security"] = json!([{"system": CONFIDENTIALITY, "code": "R"}]);
    }
    let name = &person.name;
    let names = json!([{
        "use": "official",
        "text": Some(name.to_text()).filter(|text| !text.is_empty()),
        "family": name.family,
        "given": [name.given, name.middle],
        "prefix": [name.prefix],
        "suffix": [name.suffix],
    }]);
    let has_name = !name.to_text().is_empty();
    let telecom = [("phone", &person.phone), ("email", &person.email)]
        .map(|(system, value)| value.as_ref().map(|value| json!({"system": system, "value": value})));
    pruned(json!({
        "resourceType": "Patient",
        "id": record.patient_id,
        "meta": meta,
        "identifier": person.identifiers.iter().map(identifier).collect::<Vec<_>>(),
        "active": record.merged_into.is_none() && !record.is_erased,
        "name": has_name.then_some(names),
        "telecom": telecom,
        "gender": person.sex.as_str(),
        "birthDate": person.birth_date,
        "address": [person.address.as_ref().map(address)],
        "link": record.merged_into.map(|survivor| {
            json!([{"other": reference("Patient", survivor), "type": "replaced-by"}])
        }),
    }))
}

/// What is shown of a restricted record to those who may break the glass: that it is there.
pub fn restricted_patient(patient_id: PatientId) -> Value {
    json!({
        "resourceType": "Patient",
        "id": patient_id,
        "meta": {"security": [
            {"system": CONFIDENTIALITY, "code": "R"},
            {"system": OBSERVATION_VALUE, "code": "REDACTED"},
        ]},
    })
}

/// An issuer that is a URI is the identifier's system; any other is the name of who gave it.
fn identifier(identifier: &Identifier) -> Value {
    let issuer = Some(identifier.issuer.as_str()).filter(|issuer| !issuer.is_empty());
    let is_uri =
        |issuer: &&str| ["urn:", "http://", "https://"].iter().any(|scheme| issuer.starts_with(scheme));
    json!({
        "system": issuer.filter(is_uri),
        "value": identifier.value,
        "assigner": issuer.filter(|issuer| !is_uri(issuer)).map(|issuer| json!({"display": issuer})),
    })
}

fn address(address: &Address) -> Value {
    json!({
        "line": [address.line],
        "city": address.city,
        "state": address.state,
        "postalCode": address.postal_code,
        "country": address.country,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::person::{PersonName, Sex};

    fn record(demographics: &Demographics) -> PatientRecord<'_> {
        PatientRecord {
            patient_id: PatientId::new(),
            demographics,
            is_restricted: false,
            merged_into: None,
            is_erased: false,
            updated_at: "2026-11-21T12:00:00Z".parse().unwrap(),
        }
    }

    /// The elements are those of the table of FHIR R4, `Patient`.
    #[test]
    fn a_person_stands_in_the_elements_of_the_standard() {
        let person = Demographics {
            name: PersonName::from_dicom("Test^Ada^Maria^Dr."),
            birth_date: "1980-02-01".parse().ok(),
            sex: Sex::Female,
            phone: Some("+254 20 1".into()),
            email: None,
            address: Some(Address { city: Some("Nairobi".into()), ..Address::default() }),
            identifiers: vec![
                Identifier { issuer: "HOSP".into(), value: "1".into() },
                Identifier { issuer: "urn:oid:1.2".into(), value: "2".into() },
                Identifier { issuer: String::new(), value: "3".into() },
            ],
        };
        let record = record(&person);
        let expected = json!({
            "resourceType": "Patient",
            "id": record.patient_id,
            "meta": {"lastUpdated": "2026-11-21T12:00:00Z"},
            "identifier": [
                {"value": "1", "assigner": {"display": "HOSP"}},
                {"value": "2", "system": "urn:oid:1.2"},
                {"value": "3"},
            ],
            "active": true,
            "name": [{
                "use": "official", "text": "Dr. Ada Maria Test", "family": "Test", "given": ["Ada", "Maria"],
                "prefix": ["Dr."],
            }],
            "telecom": [{"system": "phone", "value": "+254 20 1"}],
            "gender": "female",
            "birthDate": "1980-02-01",
            "address": [{"city": "Nairobi"}],
        });
        assert_eq!(patient(&record), expected);
    }

    /// FHIR R4, `Patient.link.type`: «replaced-by: the patient resource containing this link must no longer be used».
    #[test]
    fn a_merged_record_is_inactive_and_names_the_one_that_replaced_it() {
        let (person, survivor) = (Demographics::default(), PatientId::new());
        let merged = PatientRecord { merged_into: Some(survivor), ..record(&person) };
        let resource = patient(&merged);
        assert_eq!(resource["active"], false);
        assert_eq!(
            resource["link"],
            json!([{"other": {"reference": format!("Patient/{survivor}")}, "type": "replaced-by"}])
        );
        assert!(resource.get("name").is_none());
    }

    #[test]
    fn a_restricted_record_says_so_and_shows_nothing_else() {
        let patient_id = PatientId::new();
        let resource = restricted_patient(patient_id);
        assert_eq!(resource["meta"]["security"][0]["code"], "R");
        assert_eq!(resource.as_object().unwrap().len(), 3);
    }
}
