//! DICOMweb (PS3.18, chapter 10) under `/dicom-web`: store (STOW-RS), search (QIDO-RS), retrieve (WADO-RS).
//!
//! A stored instance tells `InstanceStored`, through `ingest::receive`; this house hears no event.

mod accept;
mod base_url;
mod dicom_json;
mod frames;
mod header;
mod metadata;
mod multipart;
mod native;
mod pixels;
mod rendered;
mod resource;
mod retrieve;
mod search;
mod state;
mod stow;

use clinical::role::{Action, Resource};
use gate::{Operation, Routes, Rule, get, post};
use serde_json::json;

pub use state::DicomWebState;

const STUDIES: &str = "/dicom-web/studies";
const SERIES: &str = "/dicom-web/studies/{study}/series/{series}";
const INSTANCE: &str = "/dicom-web/studies/{study}/series/{series}/instances/{instance}";

/// `all`, or keywords or tags, one of a sequence with the path behind it; PS3.6 says which there are.
const INCLUDED: &str = "^(all|[0-9A-Za-z.]+)(,(all|[0-9A-Za-z.]+))*$";
/// Centre, width and function.
const WINDOW: &str =
    r"^[+-]?[0-9]{1,9}(\.[0-9]+)?,[1-9][0-9]{0,8}(\.[0-9]+)?(,(linear|linear-exact|sigmoid))?$";
/// Columns and rows, each from 1 to 16,384.
const VIEWPORT: &str = "^([1-9][0-9]{0,3}|1[0-5][0-9]{3}|16[0-2][0-9]{2}|163[0-7][0-9]|1638[0-4])\
    (,([1-9][0-9]{0,3}|1[0-5][0-9]{3}|16[0-2][0-9]{2}|163[0-7][0-9]|1638[0-4]))$";
/// Numbers from 1, parted by commas.
const FRAMES: &str = "^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*$";

/// The parameters of the path in their own form.
fn described(operation: Operation) -> Operation {
    let uid = || json!({"type": "string", "maxLength": 64, "pattern": "^[0-9]+(\\.[0-9]+)*$"});
    operation
        .path_value("study", uid())
        .path_value("series", uid())
        .path_value("instance", uid())
        .path_value("frames", json!({"type": "string", "pattern": FRAMES}))
}

/// The routes of this house.
pub fn routes(state: DicomWebState) -> Routes {
    let of = |tail: &str| format!("{STUDIES}/{{study}}{tail}");
    let in_series = |tail: &str| format!("{SERIES}{tail}");
    let at = |tail: &str| format!("{INSTANCE}{tail}");
    Routes::new("dicomweb")
        .add(query(STUDIES, "Searches for studies (QIDO-RS)."), search::studies)
        .add(store(STUDIES, "Stores instances (STOW-RS)."), stow::store)
        .add(query("/dicom-web/series", "Searches for series."), search::series)
        .add(query("/dicom-web/instances", "Searches for instances."), search::instances)
        .add(retrieve(of(""), "All instances of a study (WADO-RS)."), retrieve::instances)
        .add(store(of(""), "Stores instances of this study alone (STOW-RS)."), stow::store_in_study)
        .add(describe(of("/metadata"), "The attributes of all instances of a study."), metadata::metadata)
        .add(query(of("/series"), "Searches for series of a study."), search::series)
        .add(query(of("/instances"), "Searches for instances of a study."), search::instances)
        .add(retrieve(in_series(""), "All instances of a series."), retrieve::instances)
        .add(describe(in_series("/metadata"), "The attributes of a series' instances."), metadata::metadata)
        .add(query(in_series("/instances"), "Searches for instances of a series."), search::instances)
        .add(retrieve(at(""), "One instance."), retrieve::instances)
        .add(describe(at("/metadata"), "The attributes of one instance."), metadata::metadata)
        .add(frames(at("/bulkdata/7FE00010"), "All frames."), frames::all_frames)
        .add(frames(at("/frames/{frames}"), "Frames by their numbers, counted from 1."), frames::frames)
        .add(pictures(at("/frames/{frames}/rendered"), "Frames as pictures."), rendered::frames)
        .add(pictures(at("/rendered"), "An instance as a picture."), rendered::instance)
        .with_state(state)
}

fn query(path: impl Into<String>, about: &'static str) -> Operation {
    described(get(path, Rule::may(Action::List, Resource::Study)))
        .says(about)
        .query_value("limit", json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}))
        .query_value("offset", json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}))
        .query_value("includefield", json!({"type": "string", "pattern": INCLUDED}))
        .query_value("fuzzymatching", json!({"type": "string", "enum": ["true", "false", ""]}))
        .answers_bytes(200, "application/dicom+json", "The matches; none is an empty array.")
        .refuses(400, "invalid-query: an attribute or value that cannot be searched for")
        .refuses(406, "not-acceptable: the answer is application/dicom+json")
}

fn store(path: impl Into<String>, about: &'static str) -> Operation {
    let bytes = json!({"type": "string", "format": "binary"});
    described(post(path, Rule::may(Action::Create, Resource::Study)))
        .says(about)
        .takes_bytes("multipart/related", bytes)
        .answers_bytes(200, "application/dicom+json", "All instances are durable.")
        .answers_bytes(202, "application/dicom+json", "Some are, or with a warning.")
        .answers_bytes(409, "application/dicom+json", "None is; each has its failure reason.")
        .refuses(400, "parts-unclear, body-truncated and others: the body does not read")
        .refuses(415, "unsupported-media-type: the body is of another type")
        .streamed()
}

fn retrieve(path: impl Into<String>, about: &'static str) -> Operation {
    described(get(path, may_read()))
        .says(about)
        .answers_bytes(200, "multipart/related", "The stored bytes.")
        .answers_bytes(206, "multipart/related", "Those that the client takes.")
        .answers_nothing(304, "The client has them already.")
        .refuses(406, "not-acceptable: nothing is stored in that form")
        .told_once_a_minute()
        .streamed()
}

fn describe(path: impl Into<String>, about: &'static str) -> Operation {
    described(get(path, may_read()))
        .says(about)
        .answers_bytes(200, "application/dicom+json", "One object an instance.")
        .refuses(406, "not-acceptable: the answer is application/dicom+json")
        .told_once_a_minute()
        .streamed()
}

fn frames(path: impl Into<String>, about: &'static str) -> Operation {
    described(get(path, may_read()))
        .says(about)
        .answers_bytes(200, "multipart/related", "One part a frame.")
        .refuses(400, "invalid-frames: a list of numbers from 1")
        .refuses(406, "not-acceptable: the frames are in another transfer syntax")
        .refuses(422, "no-pixels, not-decodable: there is nothing to show")
        .told_once_a_minute()
        .streamed()
}

fn pictures(path: impl Into<String>, about: &'static str) -> Operation {
    described(get(path, may_read()))
        .says(about)
        .query_value("window", json!({"type": "string", "pattern": WINDOW}))
        .query_value("viewport", json!({"type": "string", "pattern": VIEWPORT}))
        .query_value("quality", json!({"type": "integer", "minimum": 1, "maximum": 100}))
        .answers_bytes(200, "image/jpeg", "The picture.")
        .answers_bytes(200, "image/png", "The picture.")
        .refuses(400, "invalid-query: a parameter that does not read")
        .refuses(406, "not-acceptable: JPEG and PNG are there")
        .refuses(422, "no-pixels, not-decodable: there is nothing to show")
        .told_once_a_minute()
        .streamed()
}

fn may_read() -> Rule {
    Rule::may(Action::Read, Resource::Study)
}
