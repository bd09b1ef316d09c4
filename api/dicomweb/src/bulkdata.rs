//! `GET …/bulkdata/{attribute}`: the binary value that a BulkDataURI of the metadata names, whole or in ranges
//! (PS3.18, section 10.4.1.1.5).

use std::collections::HashMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use dicom_dictionary_std::tags;
use gate::{Caller, Problem};
use ingest::dicom_json::{bulk_data, tag_of};

use crate::accept::{Accept, AskedSyntax, MediaRange, not_acceptable};
use crate::base_url::BaseUrl;
use crate::conditional::{ETag, Wanted};
use crate::frames;
use crate::multipart::{self, Part};
use crate::native::LITTLE_ENDIAN_FRAME;
use crate::pixels;
use crate::resource::{Resource, url_of};
use crate::state::DicomWebState;

const OCTETS: &str = "application/octet-stream";
const EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";

/// `GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/bulkdata/{attribute}`
pub(crate) async fn value(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    Path(named): Path<HashMap<String, String>>,
    base: BaseUrl,
    accept: Accept,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let instance = resource.one(&state.app, &caller).await?;
    let path = named.get("attribute").cloned().unwrap_or_default();
    let floats = [tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA];
    if let Some(element) = tag_of(&path).filter(|tag| floats.contains(tag)) {
        return frames::of_element(element, &state, &instance, (&base, &accept, &headers)).await;
    }
    if !accept.ranges().iter().any(is_plain) {
        return Err(not_acceptable("application/octet-stream in Explicit VR Little Endian"));
    }
    let etag = ETag::of([instance.sha256.as_str(), "bulkdata", &path]);
    if let Some(known) = etag.not_modified(&headers) {
        return Ok(known);
    }
    let location = format!("{}/bulkdata/{path}", url_of(&instance, &base));
    let header = crate::header::read(&state, &instance).await?;
    let value = pixels::blocking(move || bulk_data(&header, &path)).await?.ok_or_else(Problem::not_found)?;
    let length = value.len() as u64;
    let part = Part::of_bytes(LITTLE_ENDIAN_FRAME.to_owned(), location, value.into());
    if is_one_part(&accept, &headers) {
        return part.alone(&headers, &etag).await;
    }
    let (status, part) = match etag.wanted(&headers, length) {
        Wanted::Whole => (StatusCode::OK, part),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, part.cut(range)),
        Wanted::Beyond => return part.alone(&headers, &etag).await,
    };
    Ok(etag.on(multipart::related(status, OCTETS, vec![part])))
}

fn is_plain(range: &MediaRange) -> bool {
    let asked = range.transfer_syntax();
    let is_little = matches!(
        asked,
        AskedSyntax::Unsaid | AskedSyntax::Any | AskedSyntax::This(EXPLICIT_VR_LITTLE_ENDIAN)
    );
    is_little && range.takes(OCTETS)
}

/// Whether the value is to be the whole answer: the client names its media type outright, or leaves the form open and
/// asks for a range, of which several parts have none.
pub(crate) fn is_one_part(accept: &Accept, headers: &HeaderMap) -> bool {
    let Some(first) = accept.ranges().iter().find(|range| is_plain(range)) else { return false };
    !first.is_multipart() || (!first.names_multipart() && headers.contains_key(header::RANGE))
}
