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

use axum::Router;
use axum::routing::{get, post};

pub use state::DicomWebState;

/// The routes of this house.
pub fn router(state: DicomWebState) -> Router {
    let instance = "/studies/{study}/series/{series}/instances/{instance}";
    let at = |tail: &str| format!("{instance}{tail}");
    let routes = Router::new()
        .route("/studies", get(search::studies).merge(post(stow::store)))
        .route("/series", get(search::series))
        .route("/instances", get(search::instances))
        .route("/studies/{study}", get(retrieve::instances).merge(post(stow::store_in_study)))
        .route("/studies/{study}/metadata", get(metadata::metadata))
        .route("/studies/{study}/series", get(search::series))
        .route("/studies/{study}/instances", get(search::instances))
        .route("/studies/{study}/series/{series}", get(retrieve::instances))
        .route("/studies/{study}/series/{series}/metadata", get(metadata::metadata))
        .route("/studies/{study}/series/{series}/instances", get(search::instances))
        .route(instance, get(retrieve::instances))
        .route(&at("/metadata"), get(metadata::metadata))
        .route(&at("/bulkdata/7FE00010"), get(frames::all_frames))
        .route(&at("/frames/{frames}"), get(frames::frames))
        .route(&at("/frames/{frames}/rendered"), get(rendered::frames))
        .route(&at("/rendered"), get(rendered::instance))
        .with_state(state);
    Router::new().nest("/dicom-web", routes)
}
