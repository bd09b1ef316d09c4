//! `GET` of a study, a series or an instance: the stored bytes themselves (PS3.18, section 10.4).

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use gate::{App, Caller, Problem};
use storage::archive::Archive;
use storage::records::instance::Instance;

use crate::accept::{Accept, AskedSyntax, MediaRange, not_acceptable};
use crate::base_url::BaseUrl;
use crate::multipart::{self, Part};
use crate::resource::{Resource, url_of};

const DICOM: &str = "application/dicom";

/// `GET /dicom-web/studies/{study}`, `…/series/{series}` and `…/instances/{instance}`
///
/// Instances in a transfer syntax that the client does not take are left out
/// (206); when none is left, 406 `not-acceptable`. Nothing is transcoded.
pub(crate) async fn instances(
    State(app): State<App>,
    caller: Caller,
    resource: Resource,
    base: BaseUrl,
    accept: Accept,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = resource.instances(&app, &caller).await?;
    let count = found.len();
    let is_one = resource.instance.is_some();
    let etag = is_one.then(|| format!("\"{}\"", found[0].sha256));
    let (form, taken) = taken(&accept, found, is_one)?;
    if let Some(etag) = &etag
        && is_known(&headers, etag)
    {
        return Ok(tagged(StatusCode::NOT_MODIFIED.into_response(), Some(etag)));
    }
    let status = if taken.len() == count { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    let mut parts: Vec<Part> =
        taken.into_iter().map(|instance| part(&app.archive, &instance, &base)).collect();
    let response = match (form, parts.pop()) {
        (Form::Plain, Some(part)) => part.alone(),
        (_, last) => {
            parts.extend(last);
            multipart::related(status, DICOM, parts)
        }
    };
    Ok(tagged(response, etag.as_deref()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Multipart,
    Plain,
}

/// The form of the answer and the instances that the client takes in it.
fn taken(accept: &Accept, found: Vec<Instance>, is_one: bool) -> Result<(Form, Vec<Instance>), Problem> {
    let form_of = |range: &MediaRange| match range.is_multipart() {
        true => Some(Form::Multipart),
        false if is_one => Some(Form::Plain),
        false => None,
    };
    let takes = |range: &MediaRange, instance: &Instance| {
        range.takes(DICOM)
            && match range.transfer_syntax() {
                // The standard's default is Explicit VR Little Endian; without transcoding the stored
                // syntax, which each part names, serves more clients than a refusal.
                AskedSyntax::Any | AskedSyntax::Unsaid => true,
                AskedSyntax::This(uid) => uid == instance.transfer_syntax_uid.as_str(),
            }
    };
    for range in accept.ranges() {
        let Some(form) = form_of(range) else { continue };
        if !found.iter().any(|instance| takes(range, instance)) {
            continue;
        }
        let alike: Vec<&MediaRange> = accept.ranges().iter().filter(|it| form_of(it) == Some(form)).collect();
        let is_taken = |instance: &Instance| alike.iter().any(|range| takes(range, instance));
        return Ok((form, found.into_iter().filter(is_taken).collect()));
    }
    let syntaxes: std::collections::BTreeSet<&str> =
        found.iter().map(|instance| instance.transfer_syntax_uid.as_str()).collect();
    let syntaxes: Vec<&str> = syntaxes.into_iter().collect();
    Err(not_acceptable(&format!("application/dicom in transfer syntax {}", syntaxes.join(", "))))
}

fn part(archive: &Archive, instance: &Instance, base: &BaseUrl) -> Part {
    let (archive, key) = (archive.clone(), instance.blob_key.clone());
    Part {
        content_type: format!("{DICOM}; transfer-syntax={}", instance.transfer_syntax_uid),
        location: url_of(instance, base),
        length: u64::try_from(instance.size_bytes).unwrap_or_default(),
        open: Box::new(move || async move { archive.stream(&key).await }.boxed()),
    }
}

/// Whether the client holds these bytes already (RFC 9110, section 13.1.2).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).into_iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
}

fn tagged(mut response: Response, etag: Option<&str>) -> Response {
    if let Some(etag) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
        response.headers_mut().insert(header::ETAG, etag);
        // kept by the client, asked about each time, never by a cache between
        let private = HeaderValue::from_static("private, no-cache");
        response.headers_mut().insert(header::CACHE_CONTROL, private);
    }
    response
}
