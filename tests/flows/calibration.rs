//! `medilink models calibrate`, from reviews to the probability that the next image is shown with.

use std::collections::HashMap;

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::FileMetaTableBuilder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::images::Image;
use crate::support::network::{SIDES, card_of};
use crate::support::onnx::by_mean;
use crate::support::server::{Engine, Server, output, wait_for};

/// So many patients have an image each.
const PATIENTS: usize = 120;

/// Adds a network that says 0.99 of a bright image and 0.01 of a dark one, and shows it.
fn show_a_network_that_is_too_sure(server: &Server) {
    let path = |name: &str| server.data.path().join(name);
    // By hand: 1 / (1 + exp(6 - 12 * 225 / 255)) = 0.990
    let weights = by_mean(SIDES, [0.0, 12.0], [0.0, -6.0]).file();
    let mut card: toml::Table = card_of("mine", &weights, 5_000, 256).parse().unwrap();
    card.insert("eligibility".into(), "modality = [\"CT\"]".parse::<toml::Table>().unwrap().into());
    std::fs::write(path("mine.toml"), toml::to_string(&card).unwrap()).unwrap();
    std::fs::write(path("mine.onnx"), weights).unwrap();
    let (weights, card) = (path("mine.onnx").display().to_string(), path("mine.toml").display().to_string());
    for arguments in [["add", &weights, "--card", &card].as_slice(), &["activate", "mine"]] {
        let (is_well, text) = output(server.command().arg("models").args(arguments));
        assert!(is_well, "{text}");
    }
}

/// An image of a patient of its own.
fn image(number: usize, is_bright: bool) -> Vec<u8> {
    let shade = if is_bright { 225 } else { 30 };
    // Blocks of 8 by 8, so that it is not empty.
    let pixel =
        |at: usize| if (at / 64 / 8 + at % 64 / 8).is_multiple_of(2) { shade - 20 } else { shade + 20 };
    let image = Image { pixels: (0..64 * 64).map(pixel).collect(), ..Image::ct(1) };
    let mut object = image.object();
    let patient = PrimitiveValue::from(format!("P{number}"));
    object.put(DataElement::new(tags::PATIENT_ID, VR::LO, patient));
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

/// Stores an image; its study and its patient.
fn stored(server: &Server, number: usize, is_bright: bool) -> (String, String) {
    let answer: Value = server.upload("image.dcm", image(number, is_bright)).unwrap().json().unwrap();
    let text = |member: &str| answer[member].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
    (text("studyId"), text("patientId"))
}

/// The findings that are shown, once there are so many.
fn findings(server: &Server, count: usize) -> Vec<Value> {
    wait_for("the findings", || {
        let found = server.json("/api/findings?limit=1000").as_array().unwrap().clone();
        (found.len() == count).then_some(found)
    })
}

fn review(server: &Server, finding: &Value, is_right: bool) {
    let path = format!("/api/findings/{}/review", finding["id"].as_str().unwrap());
    let word = serde_json::json!({ "decision": if is_right { "accept" } else { "reject" } });
    assert_eq!(server.post(&path).json(&word).send().unwrap().status(), 200);
}

fn calibrated(server: &Server, least: &str) -> (bool, String) {
    let done =
        server.command().args(["models", "calibrate", "mine", "--json", "--min-reviews", least]).output();
    let done = done.unwrap();
    let text = if done.status.success() { done.stdout } else { done.stderr };
    (done.status.success(), String::from_utf8(text).unwrap())
}

/// A network that says 0.99 and is right in seven of ten is set right to about 0.7; one that is always right is left alone. A
/// quarter of the patients, by the first byte of the SHA-256 of their identifiers, is held out.
#[test]
fn reviews_set_a_network_right_that_is_too_sure_and_leave_one_alone_that_is_not() {
    let server = Server::start(Engine::Sqlite);
    show_a_network_that_is_too_sure(&server);
    let of_study: HashMap<String, String> =
        (0..PATIENTS).map(|number| stored(&server, number, number.is_multiple_of(2))).collect();
    let found = findings(&server, PATIENTS);

    let (first, rest) = found.split_at(49);
    first.iter().for_each(|finding| review(&server, finding, true));
    let (is_well, text) = calibrated(&server, "50");
    assert!(!is_well && text.contains("too-few-reviews"), "{text}");

    rest.iter().for_each(|finding| review(&server, finding, true));
    let (is_well, text) = calibrated(&server, "50");
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    assert!(is_well && told["changed"] == false, "it is always right: {text}");

    let mut seen: HashMap<(bool, bool), usize> = HashMap::new();
    let mut held_out = 0;
    for finding in &found {
        let patient = &of_study[finding["studyId"].as_str().unwrap()];
        let is_held_out = Sha256::digest(patient)[0].is_multiple_of(4);
        held_out += usize::from(is_held_out);
        let number = seen.entry((is_held_out, finding["isPositive"] == true)).or_default();
        review(&server, finding, *number % 10 < 7);
        *number += 1;
    }
    let (is_well, text) = calibrated(&server, "50");
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    assert!(is_well && told["changed"] == true, "{text}");
    assert_eq!((&told["version"], &told["state"]), (&"1.0.0-calibrated.1".into(), &"draft".into()));
    assert_eq!(told["held_out"], held_out);
    assert_eq!(told["fitted_on"], PATIENTS - held_out);
    for measure in ["log_loss", "ece"] {
        let [before, after] = ["before", "after"].map(|when| told[measure][when].as_f64().unwrap());
        assert!(after < before / 1.5, "{measure}: {text}");
    }

    let numbers = server.get("/metrics").send().unwrap().text().unwrap();
    for (gauge, value) in [("reviews", PATIENTS as f64), ("score_drift", 0.0), ("brightness_drift", 0.0)] {
        let line = format!("medilink_network_{gauge}{{network=\"mine\",version=\"1.0.0\"}} {value}");
        assert!(numbers.lines().any(|it| it == line), "{line}: the first images are the newest: {numbers}");
    }

    let (is_well, text) =
        output(server.command().args(["models", "activate", "mine", "--version", "1.0.0-calibrated.1"]));
    assert!(is_well, "{text}");
    let (study, _) = stored(&server, PATIENTS, true);
    let next = findings(&server, PATIENTS + 1);
    let next = next.iter().find(|finding| finding["studyId"] == study.as_str()).unwrap();
    let probability = next["probability"].as_f64().unwrap();
    assert!((0.6..0.8).contains(&probability), "{next}");
}
