//! `DiagnosticReport` of an analysis, and `Observation` of a finding.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{concept, hl7_concept, meta, pruned, reference};
use crate::coding::{Coding, LOINC, UCUM};
use crate::id::{AnalysisId, FindingId, PatientId, StudyId};
use crate::imaging::{Abstention, ReviewState};

/// The labels of networks, where their cards name no published terminology.
const LABELS: &str = "urn:medilink:label";
/// Networks, by the SHA-256 of their weights.
const NETWORKS: &str = "urn:medilink:network";

/// The network that has spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkRecord {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// SHA-256 of its weights; empty where no network was meant for the image.
    pub sha256: String,
}

/// What a [`finding_observation`] is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct FindingRecord {
    /// Our identifier.
    pub finding_id: FindingId,
    /// The study.
    pub study_id: StudyId,
    /// Whose study it is.
    pub patient_id: PatientId,
    /// The label's stable code.
    pub label: String,
    /// What it means, for people.
    pub meaning: String,
    /// Calibrated probability, 0.0 to 1.0.
    pub probability: f64,
    /// At or above it the label counts as present.
    pub threshold: Option<f64>,
    /// Where it stands with the physicians.
    pub review_state: ReviewState,
    /// Who judged it.
    pub reviewed_by: Option<String>,
    /// When.
    pub reviewed_at: Option<DateTime<Utc>>,
    /// What they wrote.
    pub comment: Option<String>,
    /// The network.
    pub network: NetworkRecord,
    /// When it was found.
    pub analyzed_at: DateTime<Utc>,
}

/// What a [`diagnostic_report`] is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct DiagnosticReportRecord {
    /// Our identifier.
    pub analysis_id: AnalysisId,
    /// The study.
    pub study_id: StudyId,
    /// Whose study it is.
    pub patient_id: PatientId,
    /// The network.
    pub network: NetworkRecord,
    /// Why the network would not look.
    pub abstention: Option<Abstention>,
    /// What was found, for people.
    pub conclusion: Option<String>,
    /// When it was found.
    pub analyzed_at: DateTime<Utc>,
    /// When the last was said of it, by the network or a physician.
    pub said_at: DateTime<Utc>,
    /// Each finding with where it stands, and who has judged it.
    pub findings: Vec<(FindingId, ReviewState, Option<String>)>,
    /// Whether physicians have judged all that they judge of it.
    pub is_judged: bool,
}

/// What an analysis gave: preliminary until physicians have judged it, then final, or corrected where they disagree;
/// cancelled where the network would not look.
///
/// Its elements are those of FHIR R4, section 9.4.
pub fn diagnostic_report(report: &DiagnosticReportRecord) -> Value {
    let is_rejected = report.findings.iter().any(|(_, state, _)| *state == ReviewState::Rejected);
    let status = match (&report.abstention, report.is_judged) {
        (Some(_), _) => "cancelled",
        (None, false) => "preliminary",
        (None, true) if is_rejected => "corrected",
        (None, true) => "final",
    };
    let why =
        report.abstention.as_ref().map(|why| format!("The network abstained ({}): {}", why.code, why.reason));
    let mut interpreters: Vec<&String> = report.findings.iter().filter_map(|(.., by)| by.as_ref()).collect();
    interpreters.sort();
    interpreters.dedup();
    pruned(json!({
        "resourceType": "DiagnosticReport",
        "id": report.analysis_id,
        "meta": meta(report.said_at),
        "status": status,
        "category": [hl7_concept("v2-0074", "RAD")],
        "code": concept(&Coding::of(LOINC, "18748-4", "Diagnostic imaging study")),
        "subject": reference("Patient", report.patient_id),
        "effectiveDateTime": report.analyzed_at,
        "issued": report.said_at,
        "performer": [device(&report.network)],
        "resultsInterpreter": interpreters.iter().map(|by| json!({"display": by})).collect::<Vec<_>>(),
        "result": report.findings.iter().map(|(id, ..)| reference("Observation", id)).collect::<Vec<_>>(),
        "imagingStudy": [reference("ImagingStudy", report.study_id)],
        "conclusion": why.or_else(|| report.conclusion.clone()),
    }))
}

/// One label of an analysis: its probability in percent, and what it means at the network's threshold.
///
/// Its elements are those of FHIR R4, section 10.1.
pub fn finding_observation(finding: &FindingRecord) -> Value {
    let status = match finding.review_state {
        ReviewState::Open => "preliminary",
        ReviewState::Accepted => "final",
        ReviewState::Rejected => "corrected",
    };
    let call = finding.threshold.map(|threshold| {
        let code = if finding.probability >= threshold { "POS" } else { "NEG" };
        json!([hl7_concept("v3-ObservationInterpretation", code)])
    });
    let verdict = match finding.review_state {
        ReviewState::Open => None,
        ReviewState::Accepted => Some("A physician agrees."),
        ReviewState::Rejected => Some("A physician disagrees."),
    };
    let comment = finding.comment.as_deref().filter(|text| !text.trim().is_empty());
    let notes = verdict
        .into_iter()
        .chain(comment)
        .map(|text| json!({"authorString": finding.reviewed_by, "time": finding.reviewed_at, "text": text}));
    let said_at = finding.reviewed_at.unwrap_or(finding.analyzed_at);
    let percent = |value: f64| json!({"value": value, "unit": "%", "system": UCUM, "code": "%"});
    pruned(json!({
        "resourceType": "Observation",
        "id": finding.finding_id,
        "meta": meta(said_at),
        "status": status,
        "category": [hl7_concept("observation-category", "imaging")],
        "code": concept(&Coding::of(LABELS, &finding.label, &finding.meaning)),
        "subject": reference("Patient", finding.patient_id),
        "effectiveDateTime": finding.analyzed_at,
        "issued": said_at,
        "valueQuantity": percent(finding.probability * 100.0),
        "interpretation": call,
        "note": notes.collect::<Vec<_>>(),
        "device": device(&finding.network),
        "referenceRange": finding.threshold.map(|threshold| json!([{
            "high": percent(threshold * 100.0),
            "text": "at or above it the label counts as present",
        }])),
        "derivedFrom": [reference("ImagingStudy", finding.study_id)],
    }))
}

/// A network as a reference that says whom it means.
fn device(network: &NetworkRecord) -> Value {
    let identifier = (!network.sha256.is_empty())
        .then(|| json!({"system": NETWORKS, "value": format!("sha256:{}", network.sha256)}));
    json!({"identifier": identifier, "display": format!("{} {}", network.name, network.version).trim()})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::AbstentionCode;

    fn network() -> NetworkRecord {
        NetworkRecord { name: "pneumonia224".into(), version: "1".into(), sha256: "ab".into() }
    }

    fn report(findings: &[ReviewState]) -> DiagnosticReportRecord {
        let at = "2026-11-21T12:00:00Z".parse().unwrap();
        DiagnosticReportRecord {
            analysis_id: AnalysisId::new(),
            study_id: StudyId::new(),
            patient_id: PatientId::new(),
            network: network(),
            abstention: None,
            conclusion: Some("pneumonia suspected".into()),
            analyzed_at: at,
            said_at: at,
            findings: findings.iter().map(|state| (FindingId::new(), *state, Some("dr".into()))).collect(),
            is_judged: !findings.contains(&ReviewState::Open),
        }
    }

    /// FHIR R4, `DiagnosticReport`: status and code are required.
    #[test]
    fn a_report_is_preliminary_until_it_is_judged() {
        use ReviewState::{Accepted, Open, Rejected};
        for (findings, status) in [
            (vec![Accepted, Open], "preliminary"),
            (vec![Accepted], "final"),
            (vec![Accepted, Rejected], "corrected"),
        ] {
            let resource = diagnostic_report(&report(&findings));
            assert_eq!(resource["status"], status);
            assert_eq!(resource["result"].as_array().unwrap().len(), findings.len());
            assert_eq!(resource["resultsInterpreter"], json!([{"display": "dr"}]));
            assert_eq!(resource["code"]["coding"][0]["code"], "18748-4");
        }
        let why = Abstention { code: AbstentionCode::NotEligible, reason: "age is 44".into() };
        let silent = DiagnosticReportRecord { abstention: Some(why), conclusion: None, ..report(&[]) };
        let resource = diagnostic_report(&silent);
        assert_eq!(resource["status"], "cancelled");
        assert_eq!(resource["conclusion"], "The network abstained (not-eligible): age is 44");
    }

    /// FHIR R4, `Observation`: status and code are required, a quantity of UCUM has its system and code.
    #[test]
    fn a_finding_is_an_observation_in_percent_with_its_call() {
        let at = "2026-11-21T12:00:00Z".parse().unwrap();
        let finding = FindingRecord {
            finding_id: FindingId::new(),
            study_id: StudyId::new(),
            patient_id: PatientId::new(),
            label: "pneumonia".into(),
            meaning: "Pneumonia".into(),
            probability: 0.75,
            threshold: Some(0.5),
            review_state: ReviewState::Open,
            reviewed_by: None,
            reviewed_at: None,
            comment: None,
            network: network(),
            analyzed_at: at,
        };
        let resource = finding_observation(&finding);
        assert_eq!(
            resource["valueQuantity"],
            json!({"value": 75.0, "unit": "%", "system": UCUM, "code": "%"})
        );
        assert_eq!(resource["interpretation"][0]["coding"][0]["code"], "POS");
        assert_eq!(resource["device"]["display"], "pneumonia224 1");
        assert_eq!((&resource["status"], resource.get("note")), (&json!("preliminary"), None));
        let rejected = FindingRecord {
            review_state: ReviewState::Rejected,
            reviewed_by: Some("dr".into()),
            reviewed_at: Some(at),
            comment: Some("rotated".into()),
            threshold: None,
            ..finding
        };
        let resource = finding_observation(&rejected);
        assert_eq!((&resource["status"], resource.get("interpretation")), (&json!("corrected"), None));
        assert_eq!(resource["note"][1]["text"], "rotated");
        assert_eq!(resource["note"][0]["authorString"], "dr");
    }
}
