//! The main job: an instance goes in by each door, a finding comes out and is reviewed.

use serde_json::{Value, json};

use crate::support::images::Image;
use crate::support::server::{BOTH, Server, output, wait_for};

/// The analyses of an instance, once there are any.
fn analyses(server: &Server, image: &Image) -> Vec<Value> {
    wait_for("the analysis", || {
        let all = server.json("/api/dicom/analyses?limit=1000");
        let mine: Vec<_> = all
            .as_array()
            .unwrap()
            .iter()
            .filter(|it| it["studyInstanceUid"] == image.study.as_str())
            .cloned()
            .collect();
        (!mine.is_empty()).then_some(mine)
    })
}

fn assert_is_pneumonia(analysis: &Value) {
    assert_eq!(analysis["network"]["name"], "pneumonia224", "{analysis}");
    assert_eq!(analysis["network"]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(analysis["abstention"], Value::Null);
    let labels = analysis["probabilities"].as_array().unwrap();
    let pneumonia = labels.iter().find(|it| it["label"] == "pneumonia").unwrap();
    // models/reference/pneumonia224.toml: 0.4143579 + 0.0871896 by ONNX Runtime.
    let probability = pneumonia["probability"].as_f64().unwrap();
    assert!((probability - 0.501_547_5).abs() < 1e-3, "{probability}");
    assert_eq!((&pneumonia["threshold"], &pneumonia["isPositive"]), (&json!(0.5), &json!(true)));
    assert!(analysis["durationMs"].as_f64().unwrap() > 0.0);
    assert!(analysis["findings"].as_str().unwrap().contains("pneumonia"));
    assert!(analysis["recommendations"].as_str().unwrap().contains("physician"));
}

#[test]
fn an_upload_is_analysed_on_request_and_its_finding_reviewed() {
    for engine in BOTH {
        let server = Server::start(engine);
        let image = Image::child_chest("bacterial");
        let uploaded: Value = server.upload("chest-xray.dcm", image.file()).unwrap().json().unwrap();
        assert_eq!(uploaded["fileName"], "chest-xray.dcm");
        let id = uploaded["id"].as_str().unwrap();

        let file = server.get(uploaded["fileUrl"].as_str().unwrap()).send().unwrap();
        assert_eq!(file.status(), 200);
        assert!(file.bytes().unwrap() == image.file(), "fileUrl gives the very bytes");

        let answer = server.post(&format!("/api/dicom/analyze/{id}")).send().unwrap();
        assert_eq!(answer.status(), 200, "{}", server.log());
        let analysis: Value = answer.json().unwrap();
        assert_is_pneumonia(&analysis);
        assert_eq!(analysis["physicianId"], Value::Null);
        assert_eq!(analysis["patientId"], uploaded["patientId"]);

        let files = server.json(&format!("/api/dicom/patient/{}", uploaded["patientId"].as_str().unwrap()));
        // Beside it lie the report and the capture, once they are made.
        assert!(files.as_array().unwrap().iter().any(|it| it["id"] == uploaded["id"]), "{files}");

        let open = server.json("/api/findings?state=open");
        let finding = open.as_array().unwrap().iter().find(|it| it["label"] == "pneumonia").unwrap();
        let path = format!("/api/findings/{}", finding["id"].as_str().unwrap());
        let review = json!({"decision": "reject", "comment": "rotated"});
        let reviewed = server.post(&format!("{path}/review")).json(&review).send().unwrap();
        assert_eq!(reviewed.status(), 200);
        assert_eq!(server.json(&path)["reviewState"], "rejected");
        let still_open = server.json("/api/findings?state=open");
        assert!(still_open.as_array().unwrap().iter().all(|it| it["id"] != finding["id"]));
    }
}

#[test]
fn what_comes_by_c_store_is_analysed_by_itself() {
    for engine in BOTH {
        let server = Server::start(engine);
        let image = Image::child_chest("bacterial");
        let file = server.data.path().join("sent.dcm");
        std::fs::write(&file, image.file()).unwrap();
        let (is_sent, log) = output(&mut server.storescu(&[file]));
        assert!(is_sent && log.contains("Received Store Response (Success)"), "{log}");
        assert_is_pneumonia(&analyses(&server, &image)[0]);

        let numbers = || server.get("/metrics").send().unwrap().text().unwrap();
        let is_counted = |text: &str| text.contains(r#"jobs_total{kind="analyze_study",outcome="done"} 1"#);
        let text = wait_for("the job's end", || Some(numbers()).filter(|text| is_counted(text)));
        for line in [
            // how many, the results that are made of it decide, too
            r#"ingest_instances_total{disposition="stored"} "#,
            "# TYPE dimse_instances_stored_total counter",
            "dimse_instances_stored_total 1",
            "# TYPE dimse_associations_open gauge",
            "dimse_store_duration_seconds_count 1",
            r#"job_duration_seconds_count{kind="analyze_study"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is missing in {text}");
        }
    }
}

#[test]
fn what_comes_by_stow_is_analysed_by_itself_and_reads_back() {
    for engine in BOTH {
        let server = Server::start(engine);
        let image = Image::child_chest("bacterial");
        let stored = server.stow(&[image.file()]).unwrap();
        assert_eq!(stored.status(), 200);
        let answer: Value = stored.json().unwrap();
        let answer = if answer.is_array() { answer[0].clone() } else { answer };
        assert_eq!(answer["00081199"]["Value"][0]["00081155"]["Value"][0], image.sop.as_str());
        assert_is_pneumonia(&analyses(&server, &image)[0]);

        let found = server.json(&format!("/dicom-web/studies?StudyInstanceUID={}", image.study));
        assert_eq!(found[0]["00100010"]["Value"][0]["Alphabetic"], "Test^Ada");
        assert!(server.retrieve(&image.wado()).unwrap() == image.file());
        let rendered =
            server.get(&format!("{}/rendered", image.wado())).header("Accept", "image/png").send().unwrap();
        assert_eq!((rendered.status().as_u16(), &rendered.bytes().unwrap()[1..4]), (200, &b"PNG"[..]));
    }
}

#[test]
fn what_the_command_line_takes_in_is_analysed_by_the_server() {
    for engine in BOTH {
        let server = Server::start(engine);
        let image = Image::child_chest("bacterial");
        let file = server.data.path().join("taken.dcm");
        std::fs::write(&file, image.file()).unwrap();
        let (is_well, text) = output(server.command().arg("ingest").arg(&file));
        assert!(is_well && text.contains("1 stored"), "{text}");
        assert_is_pneumonia(&analyses(&server, &image)[0]);
    }
}

/// The network was trained on children of one to five years (models/README.md): on an adult it must not speak.
#[test]
fn an_adult_and_a_ct_get_abstentions_that_say_why() {
    for engine in BOTH {
        let server = Server::start(engine);
        let adult = Image { age: Some("044Y"), ..Image::child_chest("bacterial") };
        let ageless = Image { age: None, ..Image::child_chest("bacterial") };
        let ct = Image::ct(3);
        assert_eq!(server.stow(&[adult.file(), ageless.file(), ct.file()]).unwrap().status(), 200);
        // The card leaves an age that is not told to the distance from the images it learned from.
        let analysis = &analyses(&server, &ageless)[0];
        assert!(analysis["abstention"].is_null() && analysis["confidence"].is_number(), "{analysis}");
        for (image, code, word) in [(&adult, "not-eligible", "44"), (&ct, "no-network", "CT")] {
            let analysis = &analyses(&server, image)[0];
            assert_eq!(analysis["abstention"]["code"], code, "{analysis}");
            assert!(analysis["abstention"]["reason"].as_str().unwrap().contains(word), "{analysis}");
            assert_eq!((&analysis["confidence"], &analysis["findings"]), (&Value::Null, &Value::Null));
            assert_eq!(analysis["probabilities"], json!([]));
        }
    }
}

#[test]
fn a_server_told_to_stop_finishes_and_leaves_well() {
    for engine in BOTH {
        let mut server = Server::start(engine);
        let image = Image::ct(5);
        assert_eq!(server.stow(&[image.file()]).unwrap().status(), 200);
        assert!(server.stop(), "{}", server.log());
        server.resume();
        assert!(server.retrieve(&image.wado()).unwrap() == image.file());
        assert!(!server.log().contains("Test^Ada"), "no patient in the log");
        assert!(!server.log().contains("panicked"), "{}", server.log());
    }
}
