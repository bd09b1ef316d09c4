//! `medilink deidentify` as a person or a script runs it, and the clinic's rule on what comes in.

use std::path::{Path, PathBuf};

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, open_file};
use serde_json::{Value, json};

use crate::support::images::Image;
use crate::support::server::{Engine, Server, output, program};

fn medilink(data: &Path, arguments: &[&str]) -> (bool, String) {
    output(program().arg("deidentify").args(arguments).env("MEDILINK_DATA_DIR", data))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect();
    all.sort();
    all
}

#[test]
fn a_folder_is_de_identified_beside_itself_and_again_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("in")).unwrap();
    let (first, mut second) = (Image::ct(1), Image::ct(3));
    second.study.clone_from(&first.study);
    std::fs::write(at("in/1.dcm"), first.file()).unwrap();
    std::fs::write(at("in/2.dcm"), second.file()).unwrap();
    let mut shown = Image::ct(5).object();
    shown.put(DataElement::new(tags::BURNED_IN_ANNOTATION, VR::CS, PrimitiveValue::from("YES")));
    let meta = FileMetaTableBuilder::new().transfer_syntax("1.2.840.10008.1.2.1");
    shown.with_meta(meta).unwrap().write_to_file(at("in/3.dcm")).unwrap();
    std::fs::write(at("in/4.dcm"), "<html>").unwrap();
    let before: Vec<_> = files(&at("in")).iter().map(|path| std::fs::read(path).unwrap()).collect();

    let (input, out) = (at("in"), at("out"));
    let (input, out) = (input.to_str().unwrap(), out.to_str().unwrap());
    let run = |out: &str, more: &[&str]| {
        let arguments = [&[input, "--out", out, "--project", "trial", "--json"], more].concat();
        medilink(&at("data"), &arguments)
    };
    let (is_well, text) = run(out, &["--retain", "modified-dates,patient-characteristics"]);
    assert!(!is_well, "two were refused: {text}");
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |name: &str| lines.iter().find(|line| line["input"].as_str().unwrap().ends_with(name)).unwrap();
    assert_eq!(of("3.dcm")["error"], "burned-in-annotation");
    assert_eq!(of("4.dcm")["error"], "not-dicom");
    assert_eq!(of("1.dcm")["patient"], of("2.dcm")["patient"]);
    let made = files(&at("out"));
    assert_eq!(made.len(), 2, "{made:?}");
    let objects: Vec<_> = made.iter().map(|path| open_file(path).unwrap()).collect();
    let word = |index: usize, tag| objects[index].element(tag).unwrap().to_str().unwrap().into_owned();
    assert_eq!(word(0, tags::STUDY_INSTANCE_UID), word(1, tags::STUDY_INSTANCE_UID));
    assert_ne!(word(0, tags::STUDY_INSTANCE_UID), first.study);
    assert_eq!(word(0, tags::PATIENT_AGE), "044Y");
    assert_ne!(word(0, tags::STUDY_DATE), "20260102");
    for path in &made {
        let bytes = std::fs::read(path).unwrap();
        assert!(!bytes.windows(8).any(|window| window == b"Test^Ada"));
    }

    let written: Vec<_> = made.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let (_, again) = run(out, &["--retain", "modified-dates,patient-characteristics"]);
    assert!(!again.contains("output-exists"), "the same files again: {again}");
    let (_, other) = run(out, &["--retain", "uids"]);
    assert!(other.contains("\"output\""), "{other}");
    for (path, bytes) in made.iter().zip(&written) {
        assert!(std::fs::read(path).unwrap() == *bytes, "nothing is written over");
    }
    let (is_well, text) = run(at("lenient").to_str().unwrap(), &["--allow-burned-in"]);
    assert!(!is_well && text.contains("\"flags\":[\"burned-in-annotation\"]"), "{text}");
    let after: Vec<_> = files(&at("in")).iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(before == after, "the originals are as they were");
}

#[test]
fn a_word_that_is_no_option_and_a_key_that_is_too_short_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("a.dcm"), Image::ct(1).file()).unwrap();
    std::fs::write(at("key"), "short").unwrap();
    for (arguments, word) in [
        (["--retain", "everything"], "everything"),
        (["--project", &at("key")], "16 bytes"),
        (["--project", "no/such/file"], "no key file"),
    ] {
        let (is_well, text) =
            medilink(folder.path(), &[&[&*at("a.dcm"), "--out", &at("out")], &arguments[..]].concat());
        assert!(!is_well && text.contains(word), "{text}");
    }
    assert_eq!(files(Path::new(&at("out"))), Vec::<PathBuf>::new());
}

#[test]
fn a_clinic_that_wants_it_stores_only_what_is_de_identified() {
    let server = Server::start(Engine::Sqlite);
    let path = "/api/v1/clinics/00000000-0000-7000-8000-000000000001/settings";
    let settings = json!({ "deidentifyOnReceipt": { "dates": "modified" } });
    let put = reqwest::blocking::Client::new().put(server.url(path));
    let put = put.bearer_auth(crate::support::server::TOKEN).json(&settings).send().unwrap();
    assert_eq!(put.status(), 200, "{}", put.text().unwrap());
    // a rule is known after two seconds at the latest
    std::thread::sleep(std::time::Duration::from_secs(2));
    let image = Image::ct(1);
    let answer: Value = server.upload("a.dcm", image.file()).unwrap().json().unwrap();
    assert_ne!(answer["sopInstanceUid"], image.sop.as_str(), "{answer}");
    assert!(server.retrieve(&image.wado()).is_none());
    let found = server.json("/dicom-web/studies");
    let name = found[0]["00100010"]["Value"][0]["Alphabetic"].as_str().unwrap();
    assert!(name.starts_with('P') && name.len() == 16, "{name}");
}
