//! Networks on every runtime, and networks that must not run at all, by the real program.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use storage::testing::told_by_test;

use crate::support::images::Image;
use crate::support::network::{SIDES, card_of};
use crate::support::onnx::{Attribute, Graph, Kind, by_mean, by_mean_with, endless, hungry};
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
    for (backend, hint) in [("tract", "its card allows 64 MiB of memory"), ("onnxruntime", "allocate memory")]
    {
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

/// ONNX's external data: the network of `by_mean`, its weights in `files/w.bin` beside it.
#[test]
fn a_network_whose_weights_lie_beside_it_is_one_network_with_them() {
    let house = House::new();
    let networks = house.folder.path().join("data/networks");
    let file = networks.join("apart.onnx");
    std::fs::create_dir(networks.join("files")).unwrap();
    let weights = |values: [f32; 2]| values.map(f32::to_le_bytes).concat();
    std::fs::write(networks.join("files/w.bin"), weights([2.0, -1.0])).unwrap();
    let apart = |path: &str| {
        by_mean_with(SIDES, |graph| graph.floats_elsewhere("weights", &[1, 2], path), [0.0, 0.0]).file()
    };
    std::fs::write(&file, apart("files/w.bin")).unwrap();
    let card = card_of("apart", &models::read_network(&file).unwrap(), 1_000, 64);
    std::fs::write(networks.join("apart.toml"), &card).unwrap();
    house.add("whole", by_mean(SIDES, [2.0, -1.0], [0.0, 0.0]), 1_000, 64);
    for backend in ["blocked", "tract", "onnxruntime", "openvino"] {
        let [(apart, text), (whole, _)] =
            ["apart", "whole"].map(|name| house.analyze(&["--model", name, "--backend", backend]));
        assert!(apart[0]["labels"].is_array(), "{text}");
        assert_eq!(apart[0]["labels"], whole[0]["labels"], "{text}");
    }
    let bench = || {
        let (_, text) = output(house.program().args(["models", "bench", "--json"]).arg(&file));
        text
    };
    let figures: Value = serde_json::from_str(&bench()).unwrap();
    assert!(card.contains(figures["sha256"].as_str().unwrap()), "{figures}");
    assert!(figures["peak_rss_mb"].as_f64().unwrap() > 1.0, "{figures}");
    let (is_well, text) = output(house.program().args(["models", "show", "apart"]));
    assert!(is_well && text.contains("our own kernels compute"), "{text}");

    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("card.toml"), card.replace("\"apart\"", "\"added\"")).unwrap();
    let mut add = house.program();
    add.args(["models", "add"]).arg(&file).arg("--card").arg(elsewhere.path().join("card.toml"));
    let (is_well, text) = output(&mut add);
    assert!(is_well, "{text}");

    std::fs::write(networks.join("files/w.bin"), weights([2.0, -1.5])).unwrap();
    let (_, text) = output(house.program().args(["models", "verify"]));
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(
        line("apart").contains("WRONG") && line("added").contains(" ok "),
        "its hash covers them: {text}"
    );

    std::fs::remove_file(networks.join("files/w.bin")).unwrap();
    std::os::unix::fs::symlink(&house.image, networks.join("files/w.bin")).unwrap();
    assert!(bench().contains("external-data: ") && bench().contains("a link leads"), "{}", bench());
    std::fs::write(&file, apart("../../child.dcm")).unwrap();
    assert!(bench().contains("external-data: ") && bench().contains("without .. in its path"), "{}", bench());
}

/// Runtimes would list every place of such a window: they were ended after a minute each.
#[test]
fn a_network_that_asks_for_what_no_image_has_is_refused_at_once_with_its_code() {
    let house = House::new();
    let pads = Attribute::Ints("pads", vec![1 << 40; 4]);
    let graph = Graph::default()
        .input("image", Kind::Float, &SIDES)
        .node(
            "AveragePool",
            &["image"],
            &["probabilities"],
            &[Attribute::Ints("kernel_shape", vec![3; 2]), pads],
        )
        .output("probabilities", Kind::Float, &[1, 1, 0, 0]);
    let file = house.folder.path().join("wide.onnx");
    std::fs::write(&file, graph.file()).unwrap();
    let bench = |file: &Path| {
        let started = std::time::Instant::now();
        let (is_well, text) = output(house.program().args(["models", "bench"]).arg(file));
        assert!(!is_well && started.elapsed().as_secs() < 20, "{text}");
        text
    };
    let text = bench(&file);
    assert!(text.contains("network-unreadable: ") && text.contains("has pads of 1099511627776"), "{text}");
    std::fs::write(&file, "# no network").unwrap();
    let text = bench(&file);
    assert!(
        text.contains("network-unreadable: the file is no ONNX network: it is cut, or a file of"),
        "{text}"
    );
    let text = bench(&house.folder.path().join("nothing.onnx"));
    assert!(text.contains("file-unreadable: ") && text.contains("nothing.onnx"), "{text}");
}
