//! Networks come in, run in the shadow, are shown, and go back; the second classifier of the box reads ultrasound.

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::FileMetaTableBuilder;
use models::{ReferenceVectors, Registry};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::images::Image;
use crate::support::network::{SIDES, card_of};
use crate::support::onnx::by_mean;
use crate::support::server::{BOTH, Server, output, wait_for};

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models");

/// Runs `medilink models …` beside the server.
fn models(server: &Server, arguments: &[&str]) -> (bool, String) {
    output(server.command().arg("models").args(arguments))
}

/// What `medilink models …` prints for scripts; warnings go elsewhere.
fn printed(server: &Server, arguments: &[&str]) -> Value {
    let done = server.command().arg("models").args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

/// The small chest network under another name, with its card changed so.
fn card_of_mine(server: &Server, change: impl Fn(String) -> String) -> String {
    let card = std::fs::read_to_string(format!("{MODELS}/cards/pneumonia28.toml")).unwrap();
    let card = change(card.replacen("name = \"pneumonia28\"", "name = \"mine\"", 1));
    let path = server.data.path().join("mine.toml");
    std::fs::write(&path, card).unwrap();
    path.display().to_string()
}

/// The names of the networks whose analyses of this image are shown, once `name` is among them.
fn shown(server: &Server, image: &Image, name: &str) -> Vec<String> {
    wait_for("the analysis", || {
        let all = server.json("/api/dicom/analyses?limit=1000");
        let is_of = |it: &&Value| it["studyInstanceUid"] == image.study.as_str();
        let of_image = all.as_array().unwrap().iter().filter(is_of);
        let names: Vec<String> =
            of_image.map(|it| it["network"]["name"].as_str().unwrap().to_owned()).collect();
        names.contains(&name.to_owned()).then_some(names)
    })
}

fn state(server: &Server, name: &str) -> String {
    let all = server.json("/api/models");
    let network = all.as_array().unwrap().iter().find(|it| it["name"] == name).unwrap();
    network["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_network_is_added_runs_in_the_shadow_is_shown_and_goes_back() {
    for engine in BOTH {
        let server = Server::start(engine);
        let (card, weights) =
            (card_of_mine(&server, |card| card), format!("{MODELS}/weights/pneumonia28.onnx"));
        let (is_well, text) = models(&server, &["add", &weights, "--card", &card]);
        assert!(is_well && text.contains("mine 1.0.0 is added as a draft"), "{text}");
        assert_eq!(state(&server, "mine"), "draft");

        let (is_well, text) = models(&server, &["shadow", "mine"]);
        assert!(is_well, "{text}");
        let image = Image::child_chest("bacterial");
        server.upload("first.dcm", image.file()).unwrap();
        assert_eq!(shown(&server, &image, "pneumonia224"), ["pneumonia224"], "nobody is shown the other");
        let report = wait_for("the comparison", || {
            let report = printed(&server, &["compare", "mine", "--json"]);
            (report["analyses"] == 1).then_some(report)
        });
        let against = &report["against"][0];
        assert_eq!((&against["name"], &against["label"]), (&json!("pneumonia224"), &json!("pneumonia")));
        assert_eq!(against["images"], 1);
        let over_http = server.json("/api/models/mine/comparison");
        assert_eq!(over_http["against"][0]["meanDifference"], against["mean_difference"]);
        let findings = server.json("/api/findings?limit=1000");
        assert_eq!(findings.as_array().unwrap().len(), 3, "pneumonia224 has three labels: {findings}");

        let (is_well, text) = models(&server, &["activate", "mine"]);
        assert!(is_well, "{text}");
        let image = Image::child_chest("normal");
        server.upload("second.dcm", image.file()).unwrap();
        let mut both = shown(&server, &image, "mine");
        both.sort();
        assert_eq!(both, ["mine", "pneumonia224"]);

        let (is_well, text) = models(&server, &["rollback", "mine"]);
        assert!(is_well && text.contains("mine 1.0.0 is shadow again"), "{text}");
        assert_eq!(state(&server, "mine"), "shadow");
        let list = printed(&server, &["list", "--json"]);
        let mine = list.as_array().unwrap().iter().find(|it| it["name"] == "mine").unwrap();
        assert!(mine["state"] == "shadow" && mine["source"] == "added", "{list}");
    }
}

/// A network whose weights are not the box's, its card, and what it must answer to a black and to a white image.
fn by_mean_of_mine(server: &Server, answers: [[f32; 2]; 2]) -> [String; 3] {
    let path = |name: &str| server.data.path().join(name);
    let weights = by_mean(SIDES, [1.0, 2.0], [0.0, 0.0]).file();
    std::fs::write(path("mine.toml"), card_of("mine", &weights, 5_000, 256)).unwrap();
    std::fs::write(path("mine.onnx"), weights).unwrap();
    let vector = |[normal, pneumonia]: [f32; 2]| {
        format!("[[vectors]]\nclass = \"normal\"\nprobabilities = [{normal}, {pneumonia}]\n")
    };
    let about = "network = \"mine\"\nversion = \"1.0.0\"\nrows = 9\ncolumns = 7\nruntime = \"by hand\"\ncredit = \"-\"\n";
    std::fs::write(path("vectors.toml"), about.to_owned() + &answers.map(vector).concat()).unwrap();
    std::fs::write(path("vectors.u8"), [[0; 63], [255; 63]].concat()).unwrap();
    ["mine.onnx", "mine.toml", "vectors.toml"].map(|name| path(name).display().to_string())
}

/// By hand: a black image has a mean of 0 and a white one of 1, and softmax makes (0.5, 0.5) of (0, 0), and
/// (0.268941, 0.731059) of (1, 2).
#[test]
fn a_network_runs_by_the_reference_images_that_came_with_it() {
    let server = Server::start(crate::support::server::Engine::Sqlite);
    let add = |answers| {
        let [weights, card, vectors] = by_mean_of_mine(&server, answers);
        models(&server, &["add", &weights, "--card", &card, "--reference", &vectors])
    };
    let (is_well, text) = add([[0.5, 0.5], [0.75, 0.25]]);
    assert!(!is_well && text.contains("not-reference"), "{text}");
    let (is_well, text) = add([[0.5, 0.5], [0.268_941, 0.731_059]]);
    assert!(is_well && text.contains("answers 2 reference images as it must"), "{text}");

    let (is_well, text) = models(&server, &["verify", "mine"]);
    assert!(is_well && text.contains("away from its reference vectors"), "{text}");
    let proofs = || std::fs::read_dir(server.data.path().join("proofs")).unwrap().count();
    let by_then = proofs();
    let (is_well, text) = models(&server, &["activate", "mine"]);
    assert!(is_well, "{text}");
    let image = Image::child_chest("normal");
    server.upload("chest.dcm", image.file()).unwrap();
    shown(&server, &image, "mine");
    assert_eq!(proofs(), by_then, "it runs by the proof over its reference images, not by one without");
}

#[test]
fn a_network_that_is_sent_in_proves_itself_in_the_worker() {
    for engine in BOTH {
        let server = Server::start(engine);
        let card = std::fs::read_to_string(card_of_mine(&server, |card| card)).unwrap();
        let sent = server.post("/api/models").json(&json!({ "card": card })).send().unwrap();
        assert_eq!(sent.status(), 201, "{}", sent.text().unwrap());
        let weights = std::fs::read(format!("{MODELS}/weights/pneumonia28.onnx")).unwrap();
        let path = "/api/models/mine/versions/1.0.0/weights";
        let sent = server.put(path).body(weights).send().unwrap();
        assert_eq!(sent.status(), 202, "{}", sent.text().unwrap());
        wait_for("the proof", || {
            let proof = server.json("/api/models/mine")["versions"][0]["proof"].clone();
            (proof == "proved").then_some(())
        });
        let active = server.post("/api/models/mine/state").json(&json!({"state": "active"})).send().unwrap();
        assert_eq!(active.status(), 200);
        let image = Image::child_chest("normal");
        server.upload("chest.dcm", image.file()).unwrap();
        assert!(shown(&server, &image, "mine").contains(&"pneumonia224".to_owned()));

        // Bytes that are no network, under a card that has their hash.
        let page = b"<html>not a network</html>".to_vec();
        let sha256: String = Sha256::digest(&page).iter().map(|byte| format!("{byte:02x}")).collect();
        let is_hash = |line: &&str| line.starts_with("sha256");
        let card = card.replacen(card.lines().find(is_hash).unwrap(), &format!("sha256 = \"{sha256}\""), 1);
        let card = card.replacen("\"1.0.0\"", "\"2.0.0\"", 1);
        let sent = server.post("/api/models").json(&json!({ "card": card })).send().unwrap();
        assert_eq!(sent.status(), 201);
        server.put("/api/models/mine/versions/2.0.0/weights").body(page).send().unwrap();
        let refused = wait_for("the refusal", || {
            let version = server.json("/api/models/mine")["versions"][1].clone();
            (version["proof"] == "refused").then_some(version)
        });
        assert_eq!(refused["refusalCode"], "network-unreadable");
        assert!(refused["proofDetail"].as_str().unwrap().contains("ONNX"), "{refused}");
        let active = json!({"state": "active", "version": "2.0.0"});
        let active = server.post("/api/models/mine/state").json(&active).send().unwrap();
        assert_eq!(active.status(), 409, "it has not proved itself");
    }
}

#[test]
fn what_is_no_sound_network_is_refused_with_what_to_mend() {
    let server = Server::start(crate::support::server::Engine::Sqlite);
    let weights = format!("{MODELS}/weights/pneumonia28.onnx");
    let other = format!("{MODELS}/weights/breast28.onnx");
    let page = server.data.path().join("page.onnx");
    std::fs::write(&page, b"<html>not a network</html>").unwrap();
    let page_hash: String =
        Sha256::digest(b"<html>not a network</html>").iter().map(|byte| format!("{byte:02x}")).collect();
    let with_hash = |card: String| {
        let line = card.lines().find(|line| line.starts_with("sha256")).unwrap().to_owned();
        card.replacen(&line, &format!("sha256 = \"{page_hash}\""), 1)
    };
    let refused = |weights: &str, change: &dyn Fn(String) -> String| {
        let card = card_of_mine(&server, change);
        let (is_well, text) = models(&server, &["add", weights, "--card", &card]);
        assert!(!is_well, "{text}");
        text
    };
    let text = refused(&other, &|card| card);
    assert!(text.contains("wrong-hash") && text.contains("SHA-256"), "{text}");
    let text = refused(&weights, &|card| card.replacen("licence", "licnce", 1));
    assert!(text.contains("card-unreadable") && text.contains("did you mean `licence`?"), "{text}");
    let text = refused(&weights, &|card| card.replacen("schema = 2", "schema = 1", 1));
    assert!(text.contains("card-schema") && text.contains("set schema = 2"), "{text}");
    let text =
        refused(&weights, &|card| card.replacen("sum_of = [\"pneumonia\"]", "sum_of = [\"cough\"]", 1));
    assert!(text.contains("card-invalid") && text.contains("cough"), "{text}");
    let text = refused(page.to_str().unwrap(), &with_hash);
    assert!(text.contains("network-unreadable") && text.contains("ONNX"), "{text}");
    let text =
        refused(&weights, &|card| card.replacen("probabilities = \"prob", "probabilities = \"xprob", 1));
    assert!(text.contains("card-mismatch") && text.contains("xprobabilities"), "{text}");
    let text = refused(&weights, &|card| card.replacen("28, 28]", "32, 28]", 1));
    assert!(text.contains("card-mismatch"), "{text}");
    let (_, text) = models(&server, &["list", "--json"]);
    assert!(!text.contains("\"mine\""), "nothing of it stays: {text}");
}

/// models/reference/breast28.toml: 0.9625093 for malignant, by ONNX Runtime.
#[test]
fn the_second_classifier_reads_an_ultrasound_of_the_breast() {
    let server = Server::start(crate::support::server::Engine::Sqlite);
    let registry = Registry::built_in();
    let reference = ReferenceVectors::of(registry.get("breast28").unwrap()).unwrap().unwrap();
    let image = Image {
        sop_class: uids::ULTRASOUND_IMAGE_STORAGE,
        modality: "US",
        age: Some("050Y"),
        view: None,
        size: (reference.rows as u16, reference.columns as u16),
        pixels: reference.vectors[1].image.clone(),
        ..Image::ct(1)
    };
    let mut object = image.object();
    object.put(DataElement::new(tags::BODY_PART_EXAMINED, VR::CS, PrimitiveValue::from("BREAST")));
    object.put(DataElement::new(tags::PATIENT_SEX, VR::CS, PrimitiveValue::from("F")));
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut file = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut file).unwrap();

    assert_eq!(state(&server, "breast28"), "draft", "modest quality: nobody is shown it unasked");
    let (is_well, text) = models(&server, &["activate", "breast28"]);
    assert!(is_well, "{text}");
    server.upload("breast.dcm", file).unwrap();
    assert_eq!(shown(&server, &image, "breast28"), ["breast28"]);
    let analyses = server.json("/api/dicom/analyses");
    let malignant = &analyses[0]["probabilities"][0];
    assert_eq!(malignant["label"], "malignant");
    assert!((malignant["probability"].as_f64().unwrap() - 0.962_509_3).abs() < 1e-3, "{malignant}");
}
