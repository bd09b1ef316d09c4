//! What is analysed when, what becomes of it when more comes, and why a network said what it said.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::images::{Image, fresh_uid};
use crate::support::server::{BOTH, Engine, Server, wait_for};

/// Uploads an image and waits for its analysis by the default network.
fn analyzed(server: &Server, image: &Image) -> Value {
    let uploaded: Value = server.upload("image.dcm", image.file()).unwrap().json().unwrap();
    let id = uploaded["id"].as_str().unwrap();
    let answer = server.post(&format!("/api/dicom/analyze/{id}?priority=stat")).send().unwrap();
    assert_eq!(answer.status(), 200, "{}", server.log());
    answer.json().unwrap()
}

fn listed(server: &Server, path: &str) -> Vec<Value> {
    server.json(path).as_array().unwrap().clone()
}

/// PNG (ISO/IEC 15948), IHDR: width, height, bit depth, colour type.
fn header_of(png: &[u8]) -> (u32, u32, u8, u8) {
    assert_eq!(&png[1..4], b"PNG");
    let number = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    (number(16), number(20), png[24], png[25])
}

#[test]
fn a_finding_says_what_of_the_image_counted_for_it() {
    for engine in BOTH {
        let server = Server::start(engine);
        analyzed(&server, &Image::child_chest("bacterial"));
        let finding = wait_for("the map", || {
            let found = listed(&server, "/api/findings");
            found.into_iter().find(|it| it["saliencyUrl"].is_string())
        });
        assert_eq!(finding["label"], "pneumonia", "what is called present");
        let bytes = |name: &str| {
            let answer = server.get(finding[name].as_str().unwrap()).send().unwrap();
            assert_eq!(
                (answer.status().as_u16(), &answer.headers()["content-type"]),
                (200, &"image/png".parse().unwrap())
            );
            answer.bytes().unwrap()
        };
        let map = bytes("saliencyUrl");
        assert_eq!(header_of(&map), (224, 224, 16, 0), "grey, 16 bits, as large as the frame");
        let map = image::load_from_memory(&map).unwrap().into_luma16();
        assert_eq!(map.iter().max(), Some(&u16::MAX));
        assert_eq!(header_of(&bytes("overlayUrl")), (224, 224, 8, 2), "in colour");
        let elsewhere =
            server.get(finding["saliencyUrl"].as_str().unwrap()).header("X-Clinic-Id", fresh_clinic());
        assert_eq!(elsewhere.send().unwrap().status(), StatusCode::NOT_FOUND);
    }
}

fn fresh_clinic() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[test]
fn an_image_that_comes_late_is_analysed_alone_and_the_study_is_never_reported_twice() {
    for engine in BOTH {
        let server = Server::start(engine);
        let first = Image::child_chest("bacterial");
        let before = analyzed(&server, &first);
        let late = Image {
            study: first.study.clone(),
            series: first.series.clone(),
            sop: fresh_uid(),
            ..Image::child_chest("normal")
        };
        let after = analyzed(&server, &late);
        assert_ne!(before["id"], after["id"]);
        assert_eq!(before["studyId"], after["studyId"]);
        for _ in 0..2 {
            // Asked again, what is known is told again.
            let id = before["dicomId"].as_str().unwrap();
            let again: Value =
                server.post(&format!("/api/dicom/analyze/{id}")).send().unwrap().json().unwrap();
            assert_eq!(again["id"], before["id"]);
        }
        let all = listed(&server, "/api/dicom/analyses?superseded=true");
        let mut ids: Vec<&str> = all.iter().map(|it| it["id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        let mut expected = [before["id"].as_str().unwrap(), after["id"].as_str().unwrap()];
        expected.sort_unstable();
        assert_eq!(ids, expected, "one each");
        assert!(all.iter().all(|it| it["supersededAt"] == json!(null)));
    }
}

#[test]
fn an_analysis_that_waits_is_taken_back() {
    let server = Server::start_with(Engine::Sqlite, &[("MEDILINK_ANALYZE_AFTER_SECONDS", "600")]);
    let uploaded: Value =
        server.upload("image.dcm", Image::child_chest("normal").file()).unwrap().json().unwrap();
    let place = format!("/api/dicom/analyze/{}", uploaded["id"].as_str().unwrap());
    assert_eq!(server.delete(&place).send().unwrap().status(), StatusCode::NO_CONTENT);
    let again = server.delete(&place).send().unwrap();
    assert_eq!(again.status(), StatusCode::CONFLICT);
    assert_eq!(again.json::<Value>().unwrap()["code"], "not-waiting");
    let answer = server.post(&place).send().unwrap();
    assert_eq!(answer.status(), 200, "asked for anew, it is done: {}", server.log());
}
