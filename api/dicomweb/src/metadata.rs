//! `GET …/metadata`: the data sets without bulk data, as DICOM JSON (PS3.18, section 10.4.1.1.2).

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use gate::{Caller, Problem};
use serde_json::{Map, Value, json};
use storage::records::instance::Instance;

use crate::accept::{self, Accept};
use crate::base_url::BaseUrl;
use crate::dicom_json::{self, DICOM_JSON};
use crate::header::{self as stored_header, HeaderError};
use crate::resource::{Resource, url_of};
use crate::state::DicomWebState;

/// Headers read at a time for one answer.
const READ_AHEAD: usize = 8;

/// `GET /dicom-web/studies/{study}/metadata` and the same below it
pub(crate) async fn metadata(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    base: BaseUrl,
    accept: Accept,
) -> Result<Response, Problem> {
    accept::json_or_problem(&accept)?;
    let mut found = resource.instances(&state.app, &caller).await?.into_iter();
    // The first is read before the status is told, so that an archive that fails is not a 200.
    let Some(first) = found.next() else { return Err(Problem::not_found()) };
    let first = one(state.clone(), base.clone(), first).await?;
    let rest = stream::iter(found)
        .map(move |instance| one(state.clone(), base.clone(), instance))
        .buffered(READ_AHEAD)
        .map(|text| text.map(|text| Bytes::from([b",".as_slice(), &text].concat())));
    let here = |bytes: Bytes| stream::once(async { Ok::<_, HeaderError>(bytes) });
    let pieces = here(Bytes::from([b"[".as_slice(), &first].concat()))
        .chain(rest)
        .chain(here(Bytes::from_static(b"]")));
    let mut response = Response::new(Body::from_stream(pieces));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(DICOM_JSON));
    Ok(response)
}

async fn one(state: DicomWebState, base: BaseUrl, instance: Instance) -> Result<Bytes, HeaderError> {
    let header = stored_header::read(&state, &instance).await?;
    let mut attributes = dicom_json::data_set(&header);
    add_bulk(&mut attributes, &instance, &base);
    Ok(Value::Object(attributes).to_string().into())
}

/// Where the pixels are found, and how they are stored (PS3.18, sections F.2.6 and 10.4.1.1.2).
fn add_bulk(attributes: &mut Map<String, Value>, instance: &Instance, base: &BaseUrl) {
    let syntax = json!({"vr": "UI", "Value": [instance.transfer_syntax_uid.as_str()]});
    attributes.insert("00083002".to_owned(), syntax);
    if instance.frame_count.is_some() {
        let bits = attributes.get("00280100").and_then(|it| it.pointer("/Value/0")).and_then(Value::as_u64);
        let is_words = instance.pixels_at.is_some() && bits.is_some_and(|bits| bits > 8);
        let uri = format!("{}/bulkdata/7FE00010", url_of(instance, base));
        let pixels = json!({"vr": if is_words { "OW" } else { "OB" }, "BulkDataURI": uri});
        attributes.insert("7FE00010".to_owned(), pixels);
    }
}
