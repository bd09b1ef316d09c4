//! What is no network, does not fit its card or answers no numbers is refused alike, with what to mend.

use inference::{InferenceError, Network, OnnxRuntimeBackend};
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
