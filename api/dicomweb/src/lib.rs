//! DICOMweb (PS3.18, chapter 10) under `/dicom-web`: store (STOW-RS), search (QIDO-RS), retrieve (WADO-RS).
//!
//! A stored instance tells `InstanceStored`, through `ingest::receive`; this house hears no event.

mod accept;
mod base_url;
mod bulkdata;
mod capabilities;
mod conditional;
#[cfg(test)]
mod conformance_tests;
mod deidentify;
mod dicom_json;
mod frames;
mod gzip;
mod header;
mod metadata;
mod multipart;
mod native;
mod pixels;
mod removal;
mod rendered;
mod resource;
mod retrieve;
mod search;
mod state;
mod stow;
mod studio;
mod ups;
mod wado_uri;
mod wish;

use clinical::role::{Action, Resource};
use gate::{Operation, Routes, Rule, delete, get, options, post, put};
use serde_json::{Value, json};

use base_url::BaseUrl;
use capabilities::Capabilities;
pub use state::DicomWebState;

const STUDIES: &str = "/dicom-web/studies";
const SERIES: &str = "/dicom-web/studies/{study}/series/{series}";
const INSTANCE: &str = "/dicom-web/studies/{study}/series/{series}/instances/{instance}";

/// `all`, or keywords or tags, one of a sequence with the path behind it; PS3.6 says which there are.
const INCLUDED: &str = "^(all|[0-9A-Za-z.]+)(,(all|[0-9A-Za-z.]+))*$";
/// Centre, width and function; below 1 a width is for the two exact functions alone.
const WINDOW: &str = "^[+-]?[0-9]{1,9}(\\.[0-9]+)?,\
    ([1-9][0-9]{0,8}(\\.[0-9]+)?(,(linear|linear-exact|sigmoid))?|0\\.0{0,3}[1-9][0-9]*,(linear-exact|sigmoid))$";
/// `patient`, `technique` or both.
const ANNOTATION: &str = "^(patient|technique)(,(patient|technique))?$";
/// Columns and rows, each from 1 to 16,384; then left, top, columns and rows of the source.
const VIEWPORT: &str = "^([1-9][0-9]{0,3}|1[0-5][0-9]{3}|16[0-2][0-9]{2}|163[0-7][0-9]|1638[0-4])\
    (,([1-9][0-9]{0,3}|1[0-5][0-9]{3}|16[0-2][0-9]{2}|163[0-7][0-9]|1638[0-4]))\
    (,[0-9]{0,8},[0-9]{0,8},(-?[1-9][0-9]{0,7})?,(-?[1-9][0-9]{0,7})?)?$";
/// A tag; of a value in a sequence, before it tag and item number of each sequence.
const ATTRIBUTE: &str = r"^([0-9A-F]{8}\.[0-9]{1,6}\.)*[0-9A-F]{8}$";
/// `basic`, or options of the profile of de-identification.
const DEIDENTIFIED: &str = "^(basic|uids|device|institution|patient-characteristics|safe-private|descriptors|\
    structured-content|graphics|full-dates|modified-dates|allow-burned-in)(,(uids|device|institution|\
    patient-characteristics|safe-private|descriptors|structured-content|graphics|full-dates|modified-dates|\
    allow-burned-in))*$";
/// Numbers from 1, parted by commas.
const FRAMES: &str = "^[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*$";

/// The parameters of the path in their own form.
fn described(operation: Operation) -> Operation {
    operation
        .path_value("study", uid())
        .path_value("series", uid())
        .path_value("instance", uid())
        .path_value("frames", json!({"type": "string", "pattern": FRAMES}))
        .path_value("attribute", json!({"type": "string", "pattern": ATTRIBUTE}))
}

/// The schema of a UID (PS3.5, section 9.1).
fn uid() -> Value {
    json!({"type": "string", "maxLength": 64, "pattern": "^[0-9]+(\\.[0-9]+)*$"})
}

/// The routes of this house.
pub fn routes(state: DicomWebState) -> Routes {
    let of = |tail: &str| format!("{STUDIES}/{{study}}{tail}");
    let in_series = |tail: &str| format!("{SERIES}{tail}");
    let at = |tail: &str| format!("{INSTANCE}{tail}");
    let routes = ups::routes(Routes::of_standard("dicomweb"))
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
        .add(frames(at("/bulkdata/{attribute}"), "A binary value."), bulkdata::value)
        .add(pictures(of("/rendered"), "All images of a study as pictures."), rendered::all)
        .add(pictures(in_series("/rendered"), "All images of a series as pictures."), rendered::all)
        .add(pictures(of("/thumbnail"), "A small picture that stands for a study."), rendered::thumbnail)
        .add(pictures(in_series("/thumbnail"), "One that stands for a series."), rendered::thumbnail)
        .add(pictures(at("/thumbnail"), "One that stands for an instance."), rendered::thumbnail)
        .add(
            pictures(at("/frames/{frames}/thumbnail"), "A small picture of a frame."),
            rendered::frame_thumbnail,
        )
        .add(wado(), wado_uri::wado)
        .add(remove(of(""), "Removes a study."), removal::remove)
        .add(remove(in_series(""), "Removes a series."), removal::remove)
        .add(remove(at(""), "Removes an instance."), removal::remove)
        .add(
            get("/api/v1/removals", Rule::may(Action::List, Resource::Removal))
                .says("What was removed, or rejected by a note of IHE IOCM, newest first.")
                .query::<removal::TombstoneFilter>()
                .paged::<removal::TombstoneView>("The removals.")
                .refuses(400, "invalid-query: the study is no UID"),
            removal::list,
        )
        .add(
            described(put(of("/lock"), Rule::may(Action::Update, Resource::Study)))
                .says("Locks a study: nothing is stored into it or removed from it.")
                .answers_nothing(204, "It is locked."),
            removal::lock,
        )
        .add(
            described(delete(of("/lock"), Rule::may(Action::Update, Resource::Study)))
                .says("Opens a locked study again.")
                .answers_nothing(204, "It is open."),
            removal::unlock,
        )
        .with_state(state);
    let told = Capabilities::of(&routes.document(""));
    routes.merge(capabilities(told))
}

/// What the routes can do, told to whoever asks (PS3.18, section 8.9).
fn capabilities(told: Capabilities) -> Routes {
    let described = |operation: Operation| {
        operation
            .says("What this service can do, as WADL's words in JSON (Retrieve Capabilities).")
            .answers_bytes(200, "application/json", "Resources with their methods and media types.")
    };
    let answer = move |base: BaseUrl| {
        let told = told.clone();
        async move { told.answer(&base) }
    };
    Routes::of_standard("dicomweb")
        .add(described(options("/dicom-web/", Rule::PUBLIC)), answer.clone())
        .add(described(get("/dicom-web/capabilities", Rule::PUBLIC)), answer)
}

fn remove(path: impl Into<String>, about: &'static str) -> Operation {
    described(delete(path, Rule::may(Action::Delete, Resource::Study)))
        .says(about)
        .query::<removal::RemovalQuery>()
        .answers::<removal::RemovalView>(200, "What is found no more.")
        .refuses(400, "invalid-query, reason-missing: why it is done is not said")
        .refuses(409, "retention: the law still keeps it; study-locked: nothing is removed from it")
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
    read(path)
        .says(about)
        .query_value("deidentify", json!({"type": "string", "pattern": DEIDENTIFIED}))
        .query_value("project", json!({"type": "string", "pattern": "^[0-9A-Za-z._-]{0,64}$"}))
        .answers_bytes(200, "multipart/related", "The stored bytes, or the same de-identified.")
        .answers_bytes(200, "application/dicom", "Those of one instance.")
        .answers_bytes(206, "multipart/related", "Those that the client takes.")
        .answers_bytes(206, "application/dicom", "The bytes that were asked for.")
        .refuses(416, "range-not-satisfiable: there are fewer bytes")
        .refuses(503, "overloaded: too much is held in memory for others")
        .refuses(400, "invalid-value: an option of the profile or a project's name that does not read")
        .refuses(403, "not-allowed: to de-identify takes the right study:export")
        .refuses(406, "not-acceptable: nothing is stored in that form; burned-in-annotation and others: it cannot be de-identified")
}

fn describe(path: impl Into<String>, about: &'static str) -> Operation {
    read(path)
        .says(about)
        .answers_bytes(200, "application/dicom+json", "One object an instance.")
        .refuses(406, "not-acceptable: the answer is application/dicom+json")
}

fn frames(path: impl Into<String>, about: &'static str) -> Operation {
    read(path)
        .says(about)
        .answers_bytes(200, "multipart/related", "One part a frame.")
        .answers_bytes(200, "application/octet-stream", "The one that was asked for.")
        .answers_bytes(206, "application/octet-stream", "The bytes that were asked for.")
        .refuses(400, "invalid-frame-list: a list of numbers from 1")
        .refuses(416, "range-not-satisfiable: there are fewer bytes")
        .refuses(406, "not-acceptable: the frames are in another transfer syntax; malformed-pixels and others: they cannot be decoded")
        .refuses(503, "overloaded: too much is held in memory for others")
}

fn pictures(path: impl Into<String>, about: &'static str) -> Operation {
    read(path)
        .says(about)
        .query_value("window", json!({"type": "string", "pattern": WINDOW}))
        .query_value("viewport", json!({"type": "string", "pattern": VIEWPORT}))
        .query_value("quality", json!({"type": "integer", "minimum": 1, "maximum": 100}))
        .query_value("annotation", json!({"type": "string", "pattern": ANNOTATION}))
        .query_value(
            "iccprofile",
            json!({"type": "string", "enum": ["no", "yes", "srgb", "adobergb", "rommrgb"]}),
        )
        .answers_bytes(200, "image/jpeg", "The picture.")
        .answers_bytes(200, "image/png", "The picture.")
        .answers_bytes(200, "image/gif", "The picture, or all frames of an instance.")
        .answers_bytes(200, "multipart/related", "Several pictures.")
        .refuses(400, "invalid-value, unknown-key: a parameter that does not read")
        .refuses(406, "not-acceptable: JPEG, PNG and GIF are there; no-pixels, malformed-pixels and others: there is nothing to show")
        .refuses(503, "overloaded: too much is held in memory for others")
}

fn wado() -> Operation {
    let edge = || json!({"type": "integer", "minimum": 1, "maximum": 16_384});
    let part = "(0(\\.[0-9]+)?|1(\\.0+)?)";
    read("/wado")
        .says("One instance, or a picture of it (WADO-URI).")
        .query_value("requestType", json!({"type": "string", "enum": ["WADO"]}))
        .query_value("studyUID", uid())
        .query_value("seriesUID", uid())
        .query_value("objectUID", uid())
        .query_value("contentType", json!({"type": "string"}))
        .query_value("transferSyntax", uid())
        .query_value("frameNumber", json!({"type": "integer", "minimum": 1, "maximum": u32::MAX}))
        .query_value("rows", edge())
        .query_value("columns", edge())
        .query_value("region", json!({"type": "string", "pattern": format!("^{part}(,{part}){{3}}$")}))
        .query_value("windowCenter", json!({"type": "number"}))
        .query_value("windowWidth", json!({"type": "number", "minimum": 1}))
        .query_value("imageQuality", json!({"type": "integer", "minimum": 1, "maximum": 100}))
        .query_value("annotation", json!({"type": "string", "pattern": ANNOTATION}))
        .query_value("anonymize", json!({"type": "string", "enum": ["yes"]}))
        .answers_bytes(200, "application/dicom", "The instance.")
        .answers_bytes(200, "image/jpeg", "The picture.")
        .answers_bytes(200, "image/png", "The picture.")
        .answers_bytes(200, "image/gif", "The picture, or all frames.")
        .answers_bytes(206, "application/dicom", "The bytes that were asked for.")
        .refuses(400, "invalid-value, invalid-uid, unknown-key: a parameter that does not read")
        .refuses(403, "not-allowed: anonymize takes the right study:export")
        .refuses(406, "not-acceptable and others: it cannot be had in that form")
        .refuses(416, "range-not-satisfiable: there are fewer bytes")
        .refuses(503, "overloaded: too much is held in memory for others")
}

/// A way to read images: patients read what is of themselves, which [`resource::Resource`] holds; frames that are
/// fetched one by one are one act.
fn read(path: impl Into<String>) -> Operation {
    described(get(path, Rule::may(Action::Read, Resource::Study).own_by_record()))
        .answers_nothing(304, "The client has it already.")
        .told_once_a_minute()
        .streamed()
}
