//! What is no network, does not fit its card or answers no numbers is refused alike, with what to mend.

use std::time::{Duration, Instant};

use inference::{
    BlockedBackend, InferenceBackend, InferenceError, Network, OnnxRuntimeBackend, TractBackend, bare_card,
};
use models::Card;

use super::onnx::{Attribute, Graph, Kind, by_mean};
use super::{all, card, folder, load};

const SIDES: [i64; 4] = [1, 1, 9, 7];

fn small_card() -> Card {
    card(&[1, 1, 9, 7])
}

fn sound() -> Graph {
    by_mean(SIDES, [1.0, 2.0], [0.0, 0.0])
}

/// What each backend says of a file for a card.
fn refusals(card: &Card, file: &[u8]) -> Vec<InferenceError> {
    let refusal = |backend: Box<dyn inference::InferenceBackend>| {
        Network::load(backend.as_ref(), card, file)
            .err()
            .unwrap_or_else(|| panic!("{} loads it", backend.name()))
    };
    all().into_iter().map(refusal).collect()
}

#[test]
fn what_is_no_onnx_file_is_refused_before_a_runtime_sees_it() {
    for file in [&b""[..], b"<html>not a network</html>", &sound().file()[..40], &Graph::default().file()] {
        for refused in refusals(&small_card(), file) {
            assert!(refused.to_string().contains("the file is no ONNX network"), "{refused}");
        }
    }
}

#[test]
fn an_operator_that_nobody_knows_is_named() {
    let file = Graph::default()
        .input("image", Kind::Float, &SIDES)
        .node("Frobnicate", &["image"], &["probabilities"], &[])
        .output("probabilities", Kind::Float, &[1, 2])
        .file();
    for refused in refusals(&small_card(), &file) {
        assert!(refused.to_string().contains("Frobnicate"), "{refused}");
    }
}

#[test]
fn a_path_out_of_the_file_is_never_followed() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret.bin");
    std::fs::write(&secret, [0; 8]).unwrap();
    let elsewhere = |path: &str| {
        Graph::default()
            .input("image", Kind::Float, &SIDES)
            .floats_elsewhere("weights", &[1, 2], path)
            .node(
                "ReduceMean",
                &["image"],
                &["means"],
                &[Attribute::Ints("axes", vec![2, 3]), Attribute::Int("keepdims", 0)],
            )
            .node("MatMul", &["means", "weights"], &["logits"], &[])
            .node("Softmax", &["logits"], &["probabilities"], &[])
            .output("probabilities", Kind::Float, &[1, 2])
    };
    for path in [secret.to_str().unwrap(), "../../etc/passwd", "weights.bin", ""] {
        for refused in refusals(&small_card(), &elsewhere(path).file()) {
            assert!(
                matches!(&refused, InferenceError::ExternalData { tensor, .. } if tensor == "weights"),
                "{refused}"
            );
        }
    }
    let within = Graph::default()
        .input("image", Kind::Float, &SIDES)
        .node("If", &["image"], &["probabilities"], &[Attribute::Graph("then_branch", elsewhere("w.bin"))])
        .output("probabilities", Kind::Float, &[1, 2]);
    for refused in refusals(&small_card(), &within.file()) {
        assert!(matches!(refused, InferenceError::ExternalData { .. }), "also in a graph within: {refused}");
    }
}

#[test]
fn windows_that_no_image_has_are_refused_at_once() {
    let of = |operator: &str, attribute: Attribute| {
        let window = Attribute::Ints("kernel_shape", vec![3; 2]);
        Graph::default()
            .input("image", Kind::Float, &SIDES)
            .floats("weights", &[1, 1, 3, 3], &[1.0; 9])
            .node(operator, &["image", "weights"], &["probabilities"], &[window, attribute])
            .output("probabilities", Kind::Float, &[1, 1, 0, 0])
    };
    let wide = 1_i64 << 40;
    for (operator, attribute, hint) in [
        ("Conv", Attribute::Ints("pads", vec![wide; 4]), "pads of 1099511627776"),
        ("MaxPool", Attribute::Ints("pads", vec![-wide; 4]), "pads of -1099511627776"),
        ("Conv", Attribute::Ints("strides", vec![1, wide]), "strides of 1099511627776"),
        ("Conv", Attribute::Ints("strides", vec![0, 1]), "strides of 0"),
        ("Conv", Attribute::Ints("dilations", vec![wide, 1]), "dilations of 1099511627776"),
        ("AveragePool", Attribute::Ints("kernel_shape", vec![wide; 2]), "kernel_shape of 1099511627776"),
        ("AveragePool", Attribute::Ints("kernel_shape", vec![1 << 20; 2]), "a window of [1048576, 1048576]"),
        ("ConvTranspose", Attribute::Ints("output_shape", vec![wide; 2]), "output_shape of 1099511627776"),
        ("ConvTranspose", Attribute::Ints("output_padding", vec![-1; 2]), "output_padding of -1"),
        ("Conv", Attribute::Int("group", 0), "group of 0"),
    ] {
        let started = Instant::now();
        for refused in refusals(&small_card(), &of(operator, attribute).file()) {
            let text = refused.to_string();
            assert!(text.contains(hint) && text.contains(operator), "{text}");
            assert_eq!(refused.code(), "network-unreadable");
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{hint}");
    }
}

/// The runtimes of the binary see what a value would need before they make room for it; foreign ones are bounded by a child.
#[test]
fn values_beyond_the_cards_memory_or_of_nothing_are_refused_before_they_are_made() {
    let wide = 1_i64 << 30;
    let tiled = |each: i64| {
        Graph::default()
            .input("image", Kind::Float, &SIDES)
            .integers("times", &[4], &[1, 1, each, each])
            .node("Tile", &["image", "times"], &["probabilities"], &[])
            .output("probabilities", Kind::Float, &[1, 1, 0, 0])
    };
    let nothing = Graph::default()
        .input("image", Kind::Float, &SIDES)
        .integers("zero", &[1], &[0])
        .node("Flatten", &["image"], &["flat"], &[])
        .node("Slice", &["flat", "zero", "zero"], &["probabilities"], &[])
        .output("probabilities", Kind::Float, &[1, 0]);
    let backends: [Box<dyn InferenceBackend>; 2] =
        [Box::new(BlockedBackend::default()), Box::new(TractBackend)];
    for backend in backends {
        for (graph, hint) in [
            (tiled(wide), "would have the shape"),
            (tiled(100_000), "its card allows"),
            (nothing.clone(), "which holds nothing"),
        ] {
            let refused = backend.load(&small_card(), &graph.file()).err().unwrap().to_string();
            assert!(refused.contains(hint), "{}: {refused}", backend.name());
        }
    }
}

/// In words, not as the program holds it.
#[test]
fn probabilities_of_another_shape_are_told_as_numbers() {
    let three = by_mean(SIDES, [1.0, 2.0], [0.0, 0.0])
        .node("Concat", &["probabilities", "probabilities"], &["twice"], &[Attribute::Int("axis", 1)])
        .output("twice", Kind::Float, &[1, 0]);
    let mut card = small_card();
    card.outputs.probabilities = Some("twice".to_owned());
    let refused = TractBackend.load(&card, &three.file()).err().unwrap().to_string();
    let wanted = "its probabilities have shape [1, 4], the card's classes ask for [1, 2]";
    assert!(refused.ends_with(wanted), "{refused}");
}

#[test]
fn a_file_without_a_card_that_is_no_network_is_told_so_in_words() {
    for file in [&b""[..], b"# a page", &sound().file()[..40], &Graph::default().file()] {
        let refused = bare_card(file).unwrap_err();
        assert!(refused.to_string().starts_with("the file is no ONNX network: it "), "{refused}");
        assert_eq!(refused.code(), "network-unreadable");
    }
    let open = Graph::default()
        .input("image", Kind::Float, &[1, 1, 0, 0])
        .node("Relu", &["image"], &["answer"], &[])
        .output("answer", Kind::Float, &[1, 1, 0, 0]);
    let refused = bare_card(&open.file()).unwrap_err();
    assert_eq!(refused.to_string(), "the network needs a card to run: its input has no known shape");
}

#[test]
fn a_network_that_does_not_fit_its_card_is_told_where() {
    let mut other_input = small_card();
    other_input.input.name = "pixels".to_owned();
    let mut other_output = small_card();
    other_output.outputs.cam = Some("heat".to_owned());
    let mut more_classes = small_card();
    more_classes.outputs.classes.push("perhaps".to_owned());
    for (card, hint) in [
        (card(&[1, 1, 1, 9, 7]), "4 dimensions [1, 1, 9, 7], the card's shape 5"),
        (card(&[1, 3, 9, 7]), "4 dimensions [1, 1, 9, 7], the card's shape 4 [1, 3, 9, 7]"),
        (other_input, "\"pixels\""),
        (other_output, "\"heat\" is not among them"),
        (more_classes, "3 classes"),
    ] {
        for refused in refusals(&card, &sound().file()) {
            let InferenceError::CardMismatch { what, .. } = refused else { panic!("{refused}") };
            assert!(what.contains(hint), "{what}");
        }
    }
}

#[test]
fn an_answer_that_is_no_number_is_no_answer() {
    // The image's values are 0 to 1: the logarithm of one less is none, and one by nothing has no bound.
    for (operator, operand) in [("Log", None), ("Div", Some("nothing"))] {
        let inputs: Vec<&str> = ["less"].into_iter().chain(operand).collect();
        let file = Graph::default()
            .input("image", Kind::Float, &SIDES)
            .floats("two", &[1], &[2.0])
            .floats("nothing", &[1], &[0.0])
            .floats("classes", &[1, 2], &[1.0, 2.0])
            .node(
                "ReduceMean",
                &["image"],
                &["means"],
                &[Attribute::Ints("axes", vec![2, 3]), Attribute::Int("keepdims", 0)],
            )
            .node("Sub", &["means", "two"], &["less"], &[])
            .node(operator, &inputs, &["bad"], &[])
            .node("MatMul", &["bad", "classes"], &["probabilities"], &[])
            .output("probabilities", Kind::Float, &[1, 2])
            .file();
        for backend in all() {
            let answered = load(backend.as_ref(), &small_card(), &file).try_out();
            let expected = Err(InferenceError::NotFinite("probabilities".to_owned()));
            assert_eq!(answered, expected, "{operator} on {}", backend.name());
        }
    }
}

#[test]
fn a_library_that_is_none_or_another_one_is_not_available() {
    let scrap = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(scrap.path(), "no library").unwrap();
    let other =
        folder("MEDILINK_TEST_ONNXRUNTIME").join("onnxruntime/capi/libonnxruntime_providers_shared.so");
    assert!(other.is_file(), "the wheel holds it");
    for path in [scrap.path(), &other] {
        let refused = OnnxRuntimeBackend::open(Some(path), 1).unwrap_err();
        assert!(matches!(refused, InferenceError::NotAvailable { .. }), "{refused}");
    }
    assert!(
        OnnxRuntimeBackend::open(Some(&folder("MEDILINK_TEST_ONNXRUNTIME")), 1).is_ok(),
        "the right one still loads"
    );
}
