use std::io::{Cursor, Read};

use serde_json::{Value, json};
use storage::records::analysis::Analysis;
use storage::records::study::Study;
use storage::testing::{instance_facts, now, on_both, place_of, scored};

use crate::support::{CLINIC, House};

const VITAL: &str = "/vitals";

/// A patient with one instance of the given bytes, an analysis and a vital sign.
async fn held(house: &House, bytes: &'static [u8]) -> String {
    let mut tx = house.app.db.begin().await.unwrap();
    let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
    let facts = instance_facts("1.2.3.1.1", "aa");
    house.app.archive.put(&facts.blob_key, [bytes.into()]).await.unwrap();
    let instance = place.insert(&mut tx, &facts, now()).await.unwrap();
    Analysis::record(&mut tx, CLINIC, &scored(place.study_id, instance, "aa", 0.75), now()).await.unwrap();
    let patient = Study::find(&mut tx, CLINIC, place.study_id).await.unwrap().patient_id;
    tx.commit().await.unwrap();
    let rate = json!({
        "coding": {"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"},
        "value": 72.0, "unit": "/min", "takenAt": now(),
    });
    let path = format!("/patients/{patient}");
    let stated = house.post(&house.doctor, &format!("{path}{VITAL}"), rate).await;
    assert_eq!(stated.status.as_u16(), 201, "{:?}", stated.body);
    path
}

fn types(bundle: &Value) -> Vec<&str> {
    let entries = bundle["entry"].as_array().unwrap();
    entries.iter().map(|entry| entry["resource"]["resourceType"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_export_is_a_bundle_whose_resources_name_one_another() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let path = held(&house, b"DICM").await;
        let answer = house.get(&house.doctor, &format!("{path}/export")).await;
        assert_eq!(answer.header("content-type"), "application/fhir+json");
        let bundle = answer.json();
        assert_eq!((&bundle["resourceType"], &bundle["type"]), (&json!("Bundle"), &json!("collection")));
        assert_eq!(types(&bundle), ["Patient", "Observation", "ImagingStudy"]);
        let patient = &bundle["entry"][0]["fullUrl"];
        for entry in &bundle["entry"].as_array().unwrap()[1..] {
            assert_eq!(&entry["resource"]["subject"]["reference"], patient);
        }
        assert_eq!(house.get(&house.nurse, &format!("{path}/export")).await.problem().0, 403);
    })
    .await;
}

/// An image and a Windows program at once (PS3.15, annex H).
static PROGRAM: [u8; 300_000] = {
    let mut bytes = [7; 300_000];
    (bytes[0], bytes[1]) = (b'M', b'Z');
    (bytes[128], bytes[129], bytes[130], bytes[131]) = (b'D', b'I', b'C', b'M');
    bytes
};

/// Read back by a reader of its own: the ZIP's table of contents, sizes and checksums must hold.
#[tokio::test]
async fn a_zip_holds_the_bundle_the_bytes_and_what_networks_saw() {
    on_both(async |db| {
        let house = House::over(&db).await;
        let path = held(&house, &PROGRAM).await;
        let answer = house.get(&house.doctor, &format!("{path}/export?format=zip")).await;
        assert_eq!(answer.header("content-type"), "application/zip");
        let mut zip = zip::ZipArchive::new(Cursor::new(answer.body)).unwrap();
        let mut text = |name: &str| {
            let mut bytes = Vec::new();
            zip.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        };
        let image = text("dicom/1.2.3/1.2.3.1/1.2.3.1.1.dcm");
        assert!(image[..128] == [0; 128] && image[128..] == PROGRAM[128..], "no program any more");
        let bundle: Value = serde_json::from_slice(&text("fhir/bundle.json")).unwrap();
        assert_eq!(types(&bundle), ["Patient", "Observation", "ImagingStudy"]);
        let analysis: Value = serde_json::from_slice(&text("analyses.ndjson")).unwrap();
        assert_eq!(analysis["findings"][0]["label"], "pneumonia");
        assert_eq!(zip.len(), 3);
    })
    .await;
}

/// A shorter file must not look like the whole.
#[tokio::test]
async fn an_export_that_cannot_be_finished_breaks_off() {
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    on_both(async |db| {
        let house = House::over(&db).await;
        let path = held(&house, b"DICM").await;
        house.app.archive.delete("1.2.3.1.1/aa.dcm").await.unwrap();
        let request = http::Request::get(format!("/api/v1{path}/export?format=zip"))
            .header("authorization", format!("Bearer {}", house.doctor))
            .body(axum::body::Body::empty());
        let answer = house.router.clone().oneshot(request.unwrap()).await.unwrap();
        assert!(answer.into_body().collect().await.is_err());
    })
    .await;
}
