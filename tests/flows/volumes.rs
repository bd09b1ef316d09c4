//! A network that takes a whole series: slices in any order, one decode each, anew when one comes late.

use std::path::{Path, PathBuf};

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::FileMetaTableBuilder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::images::{Image, fresh_uid};
use crate::support::onnx::sums_of_neighbours;
use crate::support::server::{BOTH, Server, output, program, wait_for};

const CARD: &str = include_str!("../support/cards/things.toml");

/// A slice at a depth; a bright one has a value of 10 where the others have 0.
fn slice(series: &Image, depth_mm: i32, is_bright: bool) -> Vec<u8> {
    let image = Image {
        study: series.study.clone(),
        series: series.series.clone(),
        sop: fresh_uid(),
        pixels: (0..64 * 64)
            .map(|at| if is_bright && at / 64 < 16 && at % 64 < 16 { 10 } else { 0 })
            .collect(),
        ..Image::ct(1)
    };
    let mut object = image.object();
    for (tag, text) in [
        (tags::IMAGE_POSITION_PATIENT, format!("0\\0\\{depth_mm}")),
        (tags::IMAGE_ORIENTATION_PATIENT, "1\\0\\0\\0\\1\\0".to_owned()),
        (tags::PIXEL_SPACING, "0.5\\0.5".to_owned()),
    ] {
        object.put(DataElement::new(tag, VR::DS, PrimitiveValue::from(text)));
    }
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut bytes = Vec::new();
    object.with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
    bytes
}

/// Writes the network that the tests make into a folder: its weights and its card.
fn things_in(folder: &Path) -> (PathBuf, PathBuf) {
    let weights = sums_of_neighbours([6, 8, 8]).file();
    let sha256: String = Sha256::digest(&weights).iter().map(|byte| format!("{byte:02x}")).collect();
    let (onnx, card) = (folder.join("things.onnx"), folder.join("things.toml"));
    std::fs::write(&onnx, weights).unwrap();
    std::fs::write(&card, CARD.replacen("SHA256", &sha256, 1)).unwrap();
    (onnx, card)
}

/// The server with the network that the tests make, which becomes so: `activate` or `shadow`.
fn server_with_things(engine: crate::support::server::Engine, becomes: &str) -> Server {
    let server = Server::start(engine);
    let (onnx, card) = things_in(server.data.path());
    for arguments in
        [vec!["add", onnx.to_str().unwrap(), "--card", card.to_str().unwrap()], vec![becomes, "things"]]
    {
        let (is_well, text) = output(server.command().arg("models").args(arguments));
        assert!(is_well, "{text}");
    }
    server
}

/// The study's analyses that no newer ones stand in for, once there is one that `is_it`.
fn analyses(server: &Server, study: &str, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
    wait_for("the analysis", || {
        let all = server.json("/api/dicom/analyses?limit=1000");
        let of_study = |it: &&Value| it["studyInstanceUid"] == study;
        let mine: Vec<Value> = all.as_array().unwrap().iter().filter(of_study).cloned().collect();
        mine.iter().any(&is_it).then_some(mine)
    })
}

/// Makes the clinic want nothing made of findings: masks have the series read anew.
fn wants_no_objects(server: &Server) {
    let path = "/api/v1/clinics/00000000-0000-7000-8000-000000000001/settings";
    let put = server.put(path).json(&json!({ "resultObjects": [] })).send().unwrap();
    assert_eq!(put.status(), 200);
}

/// So many frames were decoded for networks since the server started.
fn decoded(server: &Server) -> u32 {
    let numbers = server.get("/metrics").send().unwrap().text().unwrap();
    let count = numbers.lines().find_map(|line| line.strip_prefix("network_frames_decoded_total "));
    count.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn a_series_is_read_as_one_volume_and_anew_when_a_slice_comes_late() {
    for engine in BOTH {
        let server = server_with_things(engine, "activate");
        wants_no_objects(&server);
        let series = Image::ct(1);
        let files: Vec<Vec<u8>> = [15, 0, 5, 10].map(|depth| slice(&series, depth, depth == 5)).to_vec();
        assert_eq!(server.stow(&files).unwrap().status(), 200);
        let first = analyses(&server, &series.study, |_| true);
        let [first] = first.as_slice() else { panic!("one word on the series: {first:?}") };
        assert_eq!(first["network"]["name"], "things");
        assert_eq!(first["abstention"], json!(null), "{}", server.log());
        assert_eq!(decoded(&server), 4, "each slice once");
        let thing = &first["probabilities"][0];
        assert_eq!((&thing["label"], &thing["isPositive"]), (&json!("thing"), &json!(true)));

        assert_eq!(server.stow(&[slice(&series, 20, false)]).unwrap().status(), 200);
        let second = analyses(&server, &series.study, |it| it["id"] != first["id"]);
        assert_eq!(second.len(), 1, "the former one is superseded: {second:?}");
        assert_eq!(decoded(&server), 4 + 5);
        let every = server.json("/api/dicom/analyses?superseded=true&limit=1000");
        let former = every.as_array().unwrap().iter().find(|it| it["id"] == first["id"]).unwrap();
        assert!(former["supersededAt"].is_string());
    }
}

#[test]
fn slices_that_are_no_volume_get_an_abstention_that_says_why() {
    let server = server_with_things(crate::support::server::Engine::Sqlite, "activate");
    let series = Image::ct(1);
    let files: Vec<Vec<u8>> = [0, 5, 10, 40].map(|depth| slice(&series, depth, false)).to_vec();
    server.stow(&files).unwrap();
    let found = analyses(&server, &series.study, |_| true);
    assert_eq!(found[0]["abstention"]["code"], "not-eligible");
    let reason = found[0]["abstention"]["reason"].as_str().unwrap();
    assert!(reason.contains("not equally spaced: gaps from 5.00 to 30.00 mm"), "{reason}");
}

#[test]
fn a_network_in_the_shadow_that_fails_leaves_the_study_to_the_others() {
    let server = server_with_things(crate::support::server::Engine::Sqlite, "shadow");
    let folder = server.data.path().join("archive/networks");
    let weights = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    std::fs::write(weights, b"damaged since").unwrap();
    let series = Image::ct(1);
    let files: Vec<Vec<u8>> = [0, 5, 10].map(|depth| slice(&series, depth, false)).to_vec();
    server.stow(&files).unwrap();
    let found = analyses(&server, &series.study, |_| true);
    assert_eq!(found[0]["abstention"]["code"], "no-network", "nobody is shown what runs in the shadow");
    assert!(server.log().contains("a series is read without a network in the shadow"), "{}", server.log());
}

/// By hand: as in masks.rs, what is bright in the second of four slices marks the first two of them.
#[test]
fn the_command_line_reads_a_series_as_one_volume_too() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["data/networks", "whole", "torn"] {
        std::fs::create_dir_all(at(name)).unwrap();
    }
    things_in(&at("data/networks"));
    let (whole, torn) = (Image::ct(1), Image::ct(2));
    for depth in [15, 0, 5, 10] {
        std::fs::write(at(&format!("whole/{depth}.dcm")), slice(&whole, depth, depth == 5)).unwrap();
        std::fs::write(at(&format!("torn/{depth}.dcm")), slice(&torn, depth * depth, false)).unwrap();
    }
    std::fs::write(at("whole/chest.dcm"), Image::child_chest("normal").file()).unwrap();
    let analyze = |path: &str| {
        let mut command = program();
        command.current_dir(folder.path()).env("MEDILINK_DATA_DIR", at("data"));
        command.args(["analyze", path, "--json", "--model", "things", "--model", "pneumonia224"]);
        let (is_well, text) = output(&mut command);
        assert!(is_well, "{text}");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>()
    };

    let lines = analyze("whole");
    let [chest, series, summary] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&chest["network"], &chest["series"]), (&json!("pneumonia224"), &json!(null)));
    assert_eq!(series["network"], "things");
    assert_eq!(series["series"], json!({"uid": whole.series, "images": 4}));
    assert_eq!(series["file"], "whole/0.dcm", "the first by its name stands for all");
    let thing = &series["labels"][0];
    assert_eq!((&thing["is_positive"], &thing["frame"]), (&json!(true), &json!(0)), "{series}");
    assert_eq!(summary["summary"]["images"], 5);

    let lines = analyze("torn");
    let [series, _] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(series["abstention"]["code"], "not-eligible");
    assert!(series["abstention"]["reason"].as_str().unwrap().contains("not equally spaced"), "{series}");
}
