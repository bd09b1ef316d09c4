//! ARCHITECTURE.md, «Floors and nevers»: who may import whom, held against every Cargo.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Each room with the rooms of ours that it may import. A new arrow is a change to the table of ARCHITECTURE.md first.
const MAY_IMPORT: [(&str, &[&str]); 28] = [
    ("clinical", &[]),
    ("inference/kernels", &[]),
    ("models", &["clinical"]),
    ("ingest/deidentify", &["part10", "clinical"]),
    ("ingest/part10", &["clinical"]),
    ("ingest/pixels", &["part10", "clinical"]),
    ("storage", &["clinical"]),
    ("storage/hub", &["storage", "clinical"]),
    ("inference", &["clinical", "kernels", "models"]),
    ("triage", &["clinical", "models"]),
    ("ingest", &["storage", "deidentify", "part10", "pixels", "clinical"]),
    ("api/gate", &["storage", "clinical"]),
    ("api/dicomweb", &["gate", "storage", "clinical", "ingest"]),
    ("api/dicom", &["gate", "storage", "clinical", "ingest"]),
    ("api/analytics", &["gate", "storage", "clinical"]),
    ("api/assessments", &["gate", "storage", "triage", "clinical"]),
    ("api/audit", &["gate", "storage", "clinical"]),
    ("api/billing", &["gate", "storage", "clinical"]),
    ("api/cds_hooks", &["gate", "storage", "triage", "clinical"]),
    ("api/clinics", &["gate", "storage", "clinical"]),
    ("api/findings", &["gate", "storage", "clinical"]),
    ("api/events", &["gate", "storage", "clinical"]),
    ("api/identity", &["gate", "storage", "clinical"]),
    ("api/fhir", &["gate", "storage", "clinical"]),
    ("api/patients", &["gate", "storage", "clinical"]),
    ("api/networks", &["gate", "storage", "models", "clinical"]),
    ("api/notifications", &["gate", "storage", "clinical"]),
    (
        "api",
        &[
            "analytics",
            "assessments",
            "audit-house",
            "billing",
            "cds-hooks",
            "clinics",
            "dicomweb",
            "dicom-house",
            "events",
            "fhir",
            "findings",
            "identity",
            "networks-house",
            "notifications",
            "patients",
            "gate",
            "storage",
            "clinical",
        ],
    ),
];

/// Crates that may be linked in one place only.
const AT_HOME: [(&str, &[&str]); 15] = [
    ("tract-onnx", &["inference"]),
    ("tract-onnx-opl", &["inference"]),
    ("ort", &["inference"]),
    ("openvino", &["inference"]),
    ("openvino-sys", &["inference"]),
    ("memmap2", &["inference/kernels"]),
    ("krilla", &["api/billing"]),
    ("object_store", &["storage"]),
    ("sqlx", &["storage"]),
    (
        "axum",
        &[
            "api",
            "api/gate",
            "api/analytics",
            "api/dicomweb",
            "api/dicom",
            "api/assessments",
            "api/audit",
            "api/billing",
            "api/cds_hooks",
            "api/clinics",
            "api/findings",
            "api/events",
            "api/identity",
            "api/networks",
            "api/notifications",
            "api/fhir",
            "api/patients",
        ],
    ),
    (
        "tokio",
        &[
            "storage",
            "storage/hub",
            "ingest",
            "api/assessments",
            "api/billing",
            "api/gate",
            "api/dicomweb",
            "api/dicom",
            "api/findings",
            "api/identity",
            "api/networks",
            "api/notifications",
            "api/patients",
            "api",
        ],
    ),
    ("dicom-ul", &["ingest"]),
    ("reqwest", &["storage/hub", "api/billing", "api/identity", "api/notifications"]),
    ("async-nats", &["storage/hub"]),
    ("lettre", &["api/notifications"]),
];

/// The keys of `[dependencies]`, not those of tests.
fn dependencies(room: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(room).join("Cargo.toml");
    let table: toml::Table = std::fs::read_to_string(path).unwrap().parse().unwrap();
    table["dependencies"].as_table().unwrap().keys().cloned().collect()
}

fn rooms() -> BTreeSet<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let members = table["workspace"]["members"].as_array().unwrap();
    members.iter().map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_room_imports_only_what_its_floor_allows() {
    let table: BTreeMap<_, _> = MAY_IMPORT.into_iter().collect();
    let rooms = rooms();
    assert_eq!(rooms, table.keys().map(|it| (*it).to_owned()).collect(), "every room stands in the table");
    let ours: BTreeSet<&str> = rooms
        .iter()
        .map(|room| match room.as_str() {
            "api/audit" => "audit-house",
            "api/cds_hooks" => "cds-hooks",
            "api/networks" => "networks-house",
            "api/dicom" => "dicom-house",
            room => room.rsplit('/').next().unwrap(),
        })
        .collect();
    for room in &rooms {
        for dependency in dependencies(room) {
            let is_allowed =
                !ours.contains(dependency.as_str()) || table[room.as_str()].contains(&dependency.as_str());
            assert!(is_allowed, "{room} imports {dependency}");
        }
    }
}

#[test]
fn each_foreign_engine_stays_in_its_room() {
    for (engine, homes) in AT_HOME {
        for room in rooms() {
            let is_allowed = !dependencies(&room).contains(engine) || homes.contains(&room.as_str());
            assert!(is_allowed, "{room} links {engine}");
        }
    }
}
