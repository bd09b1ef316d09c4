//! `GET /wado`: one instance, or a picture of it, named by the query alone (WADO-URI; PS3.18, chapter 9).

use std::collections::HashMap;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use clinical::imaging::VoiFunction;
use gate::{Caller, Problem};
use ingest::pixels::Viewport;
use storage::records::instance::Instance;

use crate::accept::{Accept, AskedSyntax, not_acceptable};
use crate::base_url::BaseUrl;
use crate::conditional::ETag;
use crate::deidentify::Deidentification;
use crate::pixels::no_such_frame;
use crate::rendered::{Asked, frame_count, no_pixels};
use crate::resource::{Resource, uid};
use crate::retrieve::{self, DICOM, Given};
use crate::state::DicomWebState;
use crate::studio::Media;
use crate::wish::{self, Wish, invalid, possible_window, region_of_parts};

const EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";
/// The greatest edge of a picture, in pixels.
const EDGE_MAX: u32 = 16_384;

/// `GET /wado`
pub(crate) async fn wado(
    State(state): State<DicomWebState>,
    caller: Caller,
    base: BaseUrl,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let query = Parameters::read(&uri)?;
    let without = match query.get("anonymize") {
        Some(_) => Some(Deidentification::of(&state, &caller, "basic", "").await?),
        None => None,
    };
    let instance = query.resource()?.one(&state.app, &caller).await?;
    let accept = query.accept(&headers);
    match query.wanted(&instance, &accept)? {
        Wanted::Object => {
            let given = query.given(&instance)?;
            let told = without.as_ref().map_or("", Deidentification::told);
            let syntax = query.get("transferSyntax").unwrap_or_default();
            let etag = ETag::of([instance.sha256.as_str(), "wado", syntax, told]);
            if let Some(without) = without {
                if let Some(known) = etag.not_modified(&headers) {
                    return Ok(known);
                }
                let part = retrieve::part_without(&state, instance, given, without.clone());
                let answer = part.alone(&headers, &etag).await?;
                without.write_down(&state, &caller).await?;
                return Ok(answer);
            }
            retrieve::part(&state, instance, given, &base).alone(&headers, &etag).await
        }
        Wanted::Picture(media) => {
            let count = frame_count(&instance).ok_or_else(no_pixels)?;
            let frame = query.frame(count)?;
            let asked = Asked { state: &state, base: &base, accept: &accept, headers: &headers, uri: &uri };
            let wish = query.wish(&instance)?;
            match frame {
                None if media == Media::Gif && count > 1 => asked.animated(wish, instance, count).await,
                frame => asked.one(wish, media, instance, frame.unwrap_or(0)).await,
            }
        }
    }
}

/// What is given of the instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Object,
    Picture(Media),
}

/// The parameters of the request by their names (section 9.4.1).
struct Parameters(HashMap<String, String>);

impl Parameters {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)?;
        let query = Self(pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect());
        if query.get("requestType") != Some("WADO") {
            return Err(invalid("requestType is WADO"));
        }
        if query.get("presentationUID").is_some() {
            return Err(Problem::bad_request("unknown-key", "pictures are not made by presentation states"));
        }
        if query.get("anonymize").is_some_and(|value| value != "yes") {
            return Err(invalid("anonymize is yes, or not there"));
        }
        Ok(query)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn resource(&self) -> Result<Resource, Problem> {
        for name in ["studyUID", "seriesUID", "objectUID"] {
            self.get(name).ok_or_else(|| invalid(&format!("{name} is needed")))?;
        }
        Ok(Resource {
            study: uid(&self.0, "studyUID")?,
            series: uid(&self.0, "seriesUID")?,
            instance: uid(&self.0, "objectUID")?,
        })
    }

    /// What the client takes: `contentType`, else the header.
    fn accept(&self, headers: &HeaderMap) -> Accept {
        match self.get("contentType") {
            // a plus that was not escaped has become a space
            Some(value) => Accept::read([value.replace("dicom ", "dicom+").as_str()]),
            None => Accept::read(headers.get_all("accept").into_iter().filter_map(|it| it.to_str().ok())),
        }
    }

    /// Where nothing is said, a single frame is a JPEG and all else the object itself (section 9.1.2.2).
    fn wanted(&self, instance: &Instance, accept: &Accept) -> Result<Wanted, Problem> {
        let is_single = frame_count(instance) == Some(1) || self.get("frameNumber").is_some();
        let first = if is_single { Wanted::Picture(Media::Jpeg) } else { Wanted::Object };
        let pictures = Media::ALL.map(Wanted::Picture);
        // a picture shows what is burnt in
        let wanted = match self.get("anonymize") {
            Some(_) => vec![Wanted::Object],
            None => [first].into_iter().chain([Wanted::Object]).chain(pictures).collect(),
        };
        let media = |wanted: &Wanted| match wanted {
            Wanted::Object => DICOM,
            Wanted::Picture(media) => media.as_str(),
        };
        let found = accept.ranges().iter().find_map(|range| {
            wanted.iter().copied().find(|it| !range.names_multipart() && range.takes(media(it)))
        });
        found.ok_or_else(|| not_acceptable("application/dicom, image/jpeg, image/png and image/gif"))
    }

    /// Explicit VR Little Endian where nothing is said and the pixels are compressed.
    fn given(&self, instance: &Instance) -> Result<Given, Problem> {
        let asked = match self.get("transferSyntax") {
            Some(uid) => AskedSyntax::This(uid),
            None if instance.pixels_at.is_none() && instance.frame_count.is_some() => {
                AskedSyntax::This(EXPLICIT_VR_LITTLE_ENDIAN)
            }
            None => AskedSyntax::Any,
        };
        let stored = || format!("application/dicom in transfer syntax {}", instance.transfer_syntax_uid);
        Given::asked(asked, instance).ok_or_else(|| not_acceptable(&stored()))
    }

    /// The frame, counted from 0.
    fn frame(&self, count: u32) -> Result<Option<u32>, Problem> {
        let Some(value) = self.get("frameNumber") else { return Ok(None) };
        let number: Option<u32> = value.parse().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| invalid("frameNumber is a whole number from 1"))?;
        if number > count { Err(no_such_frame()) } else { Ok(Some(number - 1)) }
    }

    fn wish(&self, instance: &Instance) -> Result<Wish, Problem> {
        let mut wish = Wish::default();
        if let Some(value) = self.get("imageQuality") {
            wish.quality = wish::quality(value)?;
        }
        if let Some(value) = self.get("annotation") {
            wish.annotation = wish::annotation(value)?;
        }
        wish.window = match (self.get("windowCenter"), self.get("windowWidth")) {
            (None, None) => None,
            (Some(center), Some(width)) => {
                let numbers = center.trim().parse().ok().zip(width.trim().parse().ok());
                let window =
                    numbers.and_then(|(center, width)| possible_window(center, width, VoiFunction::Linear));
                Some(window.ok_or_else(|| {
                    invalid("windowCenter and windowWidth are numbers, the width at least 1")
                })?)
            }
            _ => return Err(invalid("windowCenter and windowWidth go together")),
        };
        let edge = |name: &str| match self.get(name) {
            None => Ok(EDGE_MAX),
            Some(value) => {
                let edge = value.parse().ok().filter(|edge| (1..=EDGE_MAX).contains(edge));
                edge.ok_or_else(|| invalid(&format!("{name} is a whole number from 1 to {EDGE_MAX}")))
            }
        };
        let region = match self.get("region") {
            None => None,
            Some(value) => {
                let edge = |edge: Option<i64>| edge.and_then(|it| u32::try_from(it).ok()).unwrap_or(0);
                let region = region_of_parts(value, edge(instance.columns), edge(instance.rows));
                Some(region.ok_or_else(|| invalid("region is left,top,right,bottom as parts of 1"))?)
            }
        };
        let viewport = Viewport { columns: edge("columns")?, rows: edge("rows")?, region };
        wish.viewport = Some(viewport);
        Ok(wish)
    }
}
