//! `ImagingStudy`.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::{Value, json};

use super::{meta, pruned, reference};
use crate::id::{PatientId, StudyId};
use crate::uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid};

/// The code system of modalities (PS3.16, annex D).
const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";

/// What an [`imaging_study`] is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagingStudyRecord {
    /// Our identifier.
    pub study_id: StudyId,
    /// Whose study it is.
    pub patient_id: PatientId,
    /// Study Instance UID (0020,000D).
    pub study_uid: StudyInstanceUid,
    /// Study Date (0008,0020), where it is a day.
    pub started_on: Option<NaiveDate>,
    /// Accession Number (0008,0050).
    pub accession_number: Option<String>,
    /// Study Description (0008,1030).
    pub description: Option<String>,
    /// When its first instance was stored.
    pub stored_at: DateTime<Utc>,
    /// Its series.
    pub series: Vec<ImagingSeriesRecord>,
}

/// A series of an [`ImagingStudyRecord`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagingSeriesRecord {
    /// Series Instance UID (0020,000E).
    pub series_uid: SeriesInstanceUid,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Series Number (0020,0011).
    pub number: Option<i64>,
    /// Series Description (0008,103E).
    pub description: Option<String>,
    /// How many instances are stored.
    pub instance_count: i64,
}

/// The resource, down to the series.
pub fn imaging_study(study: &ImagingStudyRecord) -> Value {
    let accession =
        Some(&study.accession_number).and_then(|text| text.as_ref()).filter(|text| !text.is_empty());
    let modalities: BTreeSet<&str> = study.series.iter().map(modality).collect();
    let series: Vec<Value> = study
        .series
        .iter()
        .map(|series| {
            json!({
                "uid": series.series_uid.to_string(),
                "number": series.number.filter(|number| (0..=i64::from(i32::MAX)).contains(number)),
                "modality": {"system": DCM, "code": modality(series)},
                "description": filled(series.description.as_ref()),
                "numberOfInstances": series.instance_count,
            })
        })
        .collect();
    pruned(json!({
        "resourceType": "ImagingStudy",
        "id": study.study_id,
        "meta": meta(study.stored_at),
        "identifier": [
            {"system": "urn:dicom:uid", "value": format!("urn:oid:{}", study.study_uid)},
            accession.map(|accession| json!({
                "type": super::hl7_concept("v2-0203", "ACSN"),
                "value": accession,
            })),
        ],
        "status": "available",
        "modality": modalities.iter().map(|code| json!({"system": DCM, "code": code})).collect::<Vec<_>>(),
        "subject": reference("Patient", study.patient_id),
        "started": study.started_on,
        "numberOfSeries": study.series.len(),
        "numberOfInstances": study.series.iter().map(|series| series.instance_count).sum::<i64>(),
        "description": filled(study.description.as_ref()),
        "series": series,
    }))
}

/// The resource of [`imaging_study`], which says that its instances are retrieved by DICOMweb at `address`.
pub fn imaging_study_at(study: &ImagingStudyRecord, address: &str) -> Value {
    let mut resource = imaging_study(study);
    let kind = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type";
    resource["contained"] = json!([{
        "resourceType": "Endpoint",
        "id": "dicomweb",
        "status": "active",
        "connectionType": {"system": kind, "code": "dicom-wado-rs"},
        "payloadType": [{"text": "DICOM"}],
        "address": address,
    }]);
    resource["endpoint"] = json!([{"reference": "#dicomweb"}]);
    resource
}

/// `resource`, an ImagingStudy, with these instances in their series.
pub fn with_instances<'a>(
    mut resource: Value,
    instances: impl IntoIterator<Item = (&'a SeriesInstanceUid, &'a SopClassUid, &'a SopInstanceUid)>,
) -> Value {
    let mut by_series: HashMap<String, Vec<Value>> = HashMap::new();
    for (series, sop_class, uid) in instances {
        let sop_class = json!({"system": "urn:ietf:rfc:3986", "code": format!("urn:oid:{sop_class}")});
        let instance = json!({"uid": uid.as_str(), "sopClass": sop_class});
        by_series.entry(series.to_string()).or_default().push(instance);
    }
    for series in resource.get_mut("series").and_then(Value::as_array_mut).into_iter().flatten() {
        let instances = series["uid"].as_str().and_then(|uid| by_series.remove(uid));
        if let Some(instances) = instances {
            series["instance"] = instances.into();
        }
    }
    resource
}

/// FHIR asks for a modality; PS3.16's word for one that is none of the others is OT.
fn modality(series: &ImagingSeriesRecord) -> &str {
    series.modality.as_deref().filter(|code| !code.is_empty()).unwrap_or("OT")
}

fn filled(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FHIR R4, `ImagingStudy`: status and subject are required, of a series its uid and modality.
    #[test]
    fn a_study_counts_its_series_and_instances() {
        let series = |uid: &str, modality: Option<&str>, count| ImagingSeriesRecord {
            series_uid: uid.parse().unwrap(),
            modality: modality.map(str::to_owned),
            number: Some(-1),
            description: Some(String::new()),
            instance_count: count,
        };
        let study = ImagingStudyRecord {
            study_id: StudyId::new(),
            patient_id: PatientId::new(),
            study_uid: "1.2.3".parse().unwrap(),
            started_on: "2026-01-02".parse().ok(),
            accession_number: Some("A1".into()),
            description: None,
            stored_at: "2026-11-21T12:00:00Z".parse().unwrap(),
            series: vec![series("1.2.3.1", Some("CT"), 2), series("1.2.3.2", None, 1)],
        };
        let resource = imaging_study(&study);
        assert_eq!(resource["identifier"][0]["value"], "urn:oid:1.2.3");
        assert_eq!(resource["identifier"][1]["value"], "A1");
        assert_eq!(resource["started"], "2026-01-02");
        assert_eq!((&resource["numberOfSeries"], &resource["numberOfInstances"]), (&json!(2), &json!(3)));
        let second =
            json!({"uid": "1.2.3.2", "modality": {"system": DCM, "code": "OT"}, "numberOfInstances": 1});
        assert_eq!(resource["series"][1], second);
        assert_eq!(resource["modality"][0]["code"], "CT");
        let (first, class, uid) =
            ("1.2.3.1".parse().unwrap(), "1.2.4".parse().unwrap(), "1.2.3.1.1".parse().unwrap());
        let whole = with_instances(imaging_study_at(&study, "http://h/dicom-web"), [(&first, &class, &uid)]);
        assert_eq!(whole["series"][0]["instance"][0]["sopClass"]["code"], "urn:oid:1.2.4");
        assert!(whole["series"][1].get("instance").is_none());
        assert_eq!(whole["contained"][0]["address"], "http://h/dicom-web");
    }
}
