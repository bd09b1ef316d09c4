//! `GET` of a study, a series or an instance: the stored bytes, or the same in another transfer syntax
//! (PS3.18, section 10.4).

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use clinical::uid::TransferSyntaxUid;
use gate::{Caller, Problem};
use ingest::pixels::can_encode;
use storage::records::instance::Instance;

use crate::accept::{Accept, AskedSyntax, MediaRange, not_acceptable};
use crate::base_url::BaseUrl;
use crate::conditional::ETag;
use crate::deidentify::Deidentification;
use crate::multipart::{self, Part, Refusal};
use crate::pixels;
use crate::resource::{Resource, url_of};
use crate::state::DicomWebState;

pub(crate) const DICOM: &str = "application/dicom";

/// The transfer syntaxes that hold any object: Implicit and Explicit VR Little Endian, Deflated.
const WITHOUT_PIXELS: [&str; 3] = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"];

/// `GET /dicom-web/studies/{study}`, `…/series/{series}` and `…/instances/{instance}`
///
/// Instances that cannot be given as the client takes them are left out (206); when none is left, 406
/// `not-acceptable`. De-identified, those are left out that the profile refuses, of which a warning tells.
pub(crate) async fn instances(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    base: BaseUrl,
    accept: Accept,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let without = Deidentification::asked(&state, &caller, &uri).await?;
    let found = resource.instances(&state.app, &caller).await?;
    let count = found.len();
    let is_one = resource.instance.is_some();
    let (form, taken) = taken(&accept, found, is_one)?;
    let etag = match taken.as_slice() {
        [(instance, Given::Stored)] if form == Form::Plain && without.is_none() => {
            ETag::of_bytes(&instance.sha256)
        }
        taken => {
            let shapes = taken.iter().flat_map(|(instance, given)| [instance.sha256.as_str(), given.name()]);
            let told = without.as_ref().map_or("", Deidentification::told);
            ETag::of(shapes.chain([form.name(), base.0.as_str(), told]))
        }
    };
    if let Some(known) = etag.not_modified(&headers) {
        return Ok(known);
    }
    let status = if taken.len() == count { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    if let Some(without) = without {
        let answer = de_identified(&state, &without, (form, status), taken, (&headers, &etag)).await?;
        without.write_down(&state, &caller).await?;
        return Ok(answer);
    }
    let first_made = taken.iter().position(|(_, given)| matches!(given, Given::Transcoded(_)));
    let mut parts: Vec<Part> =
        taken.into_iter().map(|(instance, given)| part(&state, instance, given, &base)).collect();
    // what cannot be had at all is refused before the status is told
    if let Some(place) = first_made {
        let first = parts.swap_remove(place).sized().await?;
        parts.push(first);
        let last = parts.len() - 1;
        parts.swap(place, last);
    }
    match (form, parts.pop()) {
        (Form::Plain, Some(part)) => part.alone(&headers, &etag).await,
        (_, last) => {
            parts.extend(last);
            Ok(etag.on(multipart::related(status, DICOM, parts)))
        }
    }
}

/// The instances without what tells who the patient is. Which of several are refused is seen as each is made: 206
/// where it is known before the first is sent that some are left out.
async fn de_identified(
    state: &DicomWebState,
    without: &Deidentification,
    (form, status): (Form, StatusCode),
    taken: Vec<(Instance, Given)>,
    (headers, etag): (&HeaderMap, &ETag),
) -> Result<Response, Problem> {
    let mut parts =
        taken.into_iter().map(|(instance, given)| part_without(state, instance, given, without.clone()));
    // the first that is there; where none is, the reason of the last
    let mut refused = None;
    let first = loop {
        let Some(part) = parts.next() else { return Err(refused.unwrap_or_else(Problem::not_found)) };
        match part.sized().await {
            Ok(part) => break part,
            Err(problem) if problem.status().is_client_error() => refused = Some(problem),
            Err(problem) => return Err(problem),
        }
    };
    if form == Form::Plain {
        return first.alone(headers, etag).await;
    }
    let parts = [first].into_iter().chain(parts.map(Part::or_left_out_when_refused)).collect();
    let status = if refused.is_some() { StatusCode::PARTIAL_CONTENT } else { status };
    let mut answer = etag.on(multipart::related(status, DICOM, parts));
    let warning = "299 medilink \"Instances that are said to show who the patient is are left out\"";
    answer.headers_mut().insert(header::WARNING, HeaderValue::from_static(warning));
    Ok(answer)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Multipart,
    Plain,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Multipart => "multipart",
            Self::Plain => "plain",
        }
    }
}

/// How one instance is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Given {
    /// The stored bytes.
    Stored,
    /// Written anew in this transfer syntax.
    Transcoded(TransferSyntaxUid),
}

impl Given {
    /// What a media range that names `application/dicom` asks of `instance`; `None` where that cannot be had.
    pub(crate) fn asked(asked: AskedSyntax<'_>, instance: &Instance) -> Option<Self> {
        match asked {
            // The standard's default is Explicit VR Little Endian; the stored syntax, which each part names, serves
            // more clients, and loses nothing.
            AskedSyntax::Any | AskedSyntax::Unsaid => Some(Self::Stored),
            AskedSyntax::This(uid) if uid == instance.transfer_syntax_uid.as_str() => Some(Self::Stored),
            // A transfer syntax of compressed pixels says nothing of an object that has none.
            AskedSyntax::This(uid) if instance.frame_count.is_none() => {
                let to: TransferSyntaxUid = uid.parse().ok()?;
                let is_plain = WITHOUT_PIXELS.contains(&uid) && can_encode(&to);
                Some(if is_plain { Self::Transcoded(to) } else { Self::Stored })
            }
            AskedSyntax::This(uid) => uid.parse().ok().filter(can_encode).map(Self::Transcoded),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Stored => "stored",
            Self::Transcoded(syntax) => syntax.as_str(),
        }
    }
}

/// The form of the answer and the instances that the client takes in it.
fn taken(
    accept: &Accept,
    found: Vec<Instance>,
    is_one: bool,
) -> Result<(Form, Vec<(Instance, Given)>), Problem> {
    let form_of = |range: &MediaRange| match range.is_multipart() {
        true => Some(Form::Multipart),
        false if is_one => Some(Form::Plain),
        false => None,
    };
    let takes = |range: &MediaRange, instance: &Instance| {
        range.takes(DICOM).then(|| Given::asked(range.transfer_syntax(), instance)).flatten()
    };
    for range in accept.ranges() {
        let Some(form) = form_of(range) else { continue };
        if !found.iter().any(|instance| takes(range, instance).is_some()) {
            continue;
        }
        let alike: Vec<&MediaRange> = accept.ranges().iter().filter(|it| form_of(it) == Some(form)).collect();
        let given = |instance: Instance| {
            let given = alike.iter().find_map(|range| takes(range, &instance))?;
            Some((instance, given))
        };
        return Ok((form, found.into_iter().filter_map(given).collect()));
    }
    let syntaxes: std::collections::BTreeSet<&str> =
        found.iter().map(|instance| instance.transfer_syntax_uid.as_str()).collect();
    let syntaxes: Vec<&str> = syntaxes.into_iter().collect();
    Err(not_acceptable(&format!("application/dicom in transfer syntax {}", syntaxes.join(", "))))
}

/// The instance as a part of an answer.
pub(crate) fn part(state: &DicomWebState, instance: Instance, given: Given, base: &BaseUrl) -> Part {
    let location = url_of(&instance, base);
    match given {
        Given::Stored => {
            let length = u64::try_from(instance.size_bytes).unwrap_or_default();
            let content_type = format!("{DICOM}; transfer-syntax={}", instance.transfer_syntax_uid);
            Part::of_file(content_type, location, (&state.app.archive, &instance.blob_key, length))
        }
        Given::Transcoded(syntax) => {
            let (state, content_type) = (state.clone(), format!("{DICOM}; transfer-syntax={syntax}"));
            let make = async move {
                let frames = u64::try_from(instance.frame_count.unwrap_or(0)).unwrap_or(0);
                let held = pixels::hold(&state, &instance, frames).await?;
                pixels::transcoded(&state, &held, syntax).await.map_err(Refusal)
            };
            Part::made(content_type, location, None, make)
        }
    }
}

/// The instance as a part of an answer, de-identified; where it was found is not told.
pub(crate) fn part_without(
    state: &DicomWebState,
    instance: Instance,
    given: Given,
    without: Deidentification,
) -> Part {
    let syntax = match &given {
        Given::Stored => &instance.transfer_syntax_uid,
        Given::Transcoded(syntax) => syntax,
    };
    let content_type = format!("{DICOM}; transfer-syntax={syntax}");
    let state = state.clone();
    let make = async move { without.object(&state, &instance, given).await.map_err(Refusal) };
    Part::made(content_type, String::new(), None, make)
}
