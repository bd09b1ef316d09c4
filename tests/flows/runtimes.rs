//! Networks on every runtime, and networks that must not run at all, by the real program.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use storage::testing::told_by_test;

use crate::support::images::Image;
use crate::support::network::{SIDES, card_of};
use crate::support::onnx::{Graph, by_mean, endless, hungry};
use crate::support::server::{output, program};

/// A data folder, an image of a child, and how the program is called over them.
struct House {
    folder: tempfile::TempDir,
    image: PathBuf,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("data/networks")).unwrap();
        let image = folder.path().join("child.dcm");
        std::fs::write(&image, Image::child_chest("normal").file()).unwrap();
        Self { folder, image }
    }

    fn program(&self) -> Command {
        let mut command = program();
        command
            .current_dir(self.folder.path())
            .env("MEDILINK_DATA_DIR", self.folder.path().join("data"))
            .env("ORT_DYLIB_PATH", told_by_test("MEDILINK_TEST_ONNXRUNTIME"))
            .env("MEDILINK_OPENVINO_LIBRARY", told_by_test("MEDILINK_TEST_OPENVINO"));
        command
    }

    /// The lines of `analyze` over the image, the summary last, and all that was printed.
    fn analyze(&self, arguments: &[&str]) -> (Vec<Value>, String) {
        let mut command = self.program();
        command.arg("analyze").arg(&self.image).arg("--json").args(arguments);
        let (_, text) = output(&mut command);
        (text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(), text)
    }

    /// Puts a network into the networks folder: two classes by a child's chest of 9 rows and 7 columns.
    fn add(&self, name: &str, graph: Graph, time_limit_ms: i64, memory_limit_mib: i64) {
        let weights = graph.file();
        let card = card_of(name, &weights, time_limit_ms, memory_limit_mib);
        let folder = self.folder.path().join("data/networks");
        std::fs::write(folder.join(format!("{name}.toml")), card).unwrap();
        std::fs::write(folder.join(format!("{name}.onnx")), weights).unwrap();
    }

    fn proofs(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("data/proofs")).map_or(0, Iterator::count)
    }
}

/// models/reference/pneumonia224.toml: 1 - 0.9371385, by ONNX Runtime's Python binding.
fn is_the_childs(line: &Value) {
    let labels = line["labels"].as_array().unwrap_or_else(|| panic!("{line}"));
    let label = labels.iter().find(|it| it["label"] == "pneumonia").unwrap_or_else(|| panic!("{line}"));
    assert!((label["probability"].as_f64().unwrap() - 0.062_861_5).abs() < 1e-3, "{label}");
}

#[test]
fn every_runtime_finds_the_same_and_the_summary_says_which_it_was() {
    let house = House::new();
    for backend in ["blocked", "tract", "onnxruntime", "openvino"] {
        let (lines, text) =
            house.analyze(&["--model", "pneumonia224", "--backend", backend, "--threads", "2"]);
        let [line, last] = lines.as_slice() else { panic!("{text}") };
        is_the_childs(line);
        assert_eq!(
            (&line["forced"], &last["summary"]["backend"]),
            (&false.into(), &backend.into()),
            "{text}"
        );
        assert_eq!(
            (&last["summary"]["images"], &last["summary"]["failed"]),
            (&1.into(), &0.into()),
            "{text}"
        );
    }
}

#[test]
fn auto_takes_the_fastest_and_says_so_and_measures_once() {
    let house = House::new();
    let (lines, text) = house.analyze(&["--model", "pneumonia224", "--backend", "auto"]);
    is_the_childs(&lines[0]);
    assert!(text.contains("the fastest that passes is chosen"), "{text}");
    for name in ["blocked (f32)", "tract (f32)", "onnxruntime (f32)", "openvino (f32)"] {
        assert!(text.contains(name), "{name} was measured: {text}");
    }
    assert_eq!(house.proofs(), 4);
    let chosen = lines[1]["summary"]["backend"].clone();
    let (lines, text) = house.analyze(&["--model", "pneumonia224"]);
    assert_eq!(lines[1]["summary"]["backend"], chosen, "as it was measured the first time: {text}");
    assert_eq!(house.proofs(), 4);
}

#[test]
fn a_runtime_that_is_wanted_and_not_there_is_an_error_that_says_where_it_was_looked_for() {
    let house = House::new();
    let empty = house.folder.path().join("data");
    for (backend, setting) in
        [("onnxruntime", "MEDILINK_ONNXRUNTIME_LIBRARY"), ("openvino", "MEDILINK_OPENVINO_LIBRARY")]
    {
        let mut command = house.program();
        command.env(setting, &empty).arg("analyze").arg(&house.image).args(["--json", "--backend", backend]);
        let (is_well, text) = output(&mut command);
        assert!(!is_well && text.contains("is not available") && text.contains("data"), "{text}");
        let mut command = house.program();
        let (is_well, text) =
            output(command.env(setting, &empty).env("MEDILINK_BACKEND", backend).arg("doctor"));
        assert!(!is_well && text.contains(&format!("WRONG  runtime {backend}")), "{text}");
    }
    let (is_well, text) = output(house.program().arg("doctor"));
    assert!(is_well && text.contains("ok     runtime onnxruntime: 1."), "{text}");
    assert!(text.contains("ok     runtime openvino: 20") && text.contains("site-packages"), "{text}");
}

#[test]
fn an_image_that_no_card_fits_is_run_by_force_alone_and_marked() {
    let house = House::new();
    std::fs::write(&house.image, Image::ct(1).file()).unwrap();
    let (lines, text) = house.analyze(&["--model", "pneumonia28"]);
    assert_eq!(lines[0]["abstention"]["code"], "no-network", "{text}");
    let (lines, text) = house.analyze(&["--model", "pneumonia28", "--force"]);
    assert_eq!((&lines[0]["forced"], &lines[0]["network"]), (&true.into(), &"pneumonia28".into()), "{text}");
    // It was run, and what it shows is judged all the same.
    let code = lines[0]["abstention"]["code"].as_str();
    assert!([None, Some("out-of-distribution"), Some("poor-quality")].contains(&code), "{text}");
}

/// What the image's line says of a network that is not to be run.
#[track_caller]
fn is_unhealthy(lines: &[Value], text: &str, hint: &str) {
    assert_eq!(lines[0]["abstention"]["code"], "network-unhealthy", "{text}");
    let reason = lines[0]["abstention"]["reason"].as_str().unwrap();
    assert!(reason.contains(hint), "{reason}");
}

#[test]
fn a_network_without_end_or_bound_is_ended_in_a_process_of_its_own() {
    let house = House::new();
    let sides = SIDES;
    house.add("sound", by_mean(sides, [1.0, 2.0], [0.0, 0.0]), 1_000, 64);
    house.add("endless", endless(sides), 1_000, 64);
    // 16 GB where 64 MiB are allowed.
    house.add("hungry", hungry(sides, 4_000_000_000), 20_000, 64);
    for (backend, hint) in [("tract", "the runtime panicked"), ("onnxruntime", "allocate memory")] {
        let (lines, text) = house.analyze(&["--model", "sound", "--backend", backend]);
        assert_eq!(lines[0]["labels"].as_array().map(Vec::len), Some(1), "{text}");
        let (lines, text) = house.analyze(&["--model", "hungry", "--backend", backend]);
        is_unhealthy(&lines, &text, hint);
    }
    let (lines, text) = house.analyze(&["--model", "endless", "--backend", "onnxruntime"]);
    is_unhealthy(&lines, &text, "it took longer than 1 s to read one image, and was ended");
    assert!(Path::new("/proc").is_dir(), "the limits are Linux's");
}

#[test]
fn a_network_that_answers_no_numbers_is_not_asked() {
    let house = House::new();
    // Softmax of values without bound.
    house.add("boundless", by_mean(SIDES, [f32::INFINITY, 1.0], [0.0, 0.0]), 1_000, 64);
    for backend in ["tract", "onnxruntime", "openvino"] {
        let (lines, text) = house.analyze(&["--model", "boundless", "--backend", backend]);
        is_unhealthy(&lines, &text, "is not finite");
    }
    // our own kernels look at the weights before anything is multiplied
    let (lines, text) = house.analyze(&["--model", "boundless", "--backend", "blocked"]);
    is_unhealthy(&lines, &text, "a weight holds an infinite value");
}
