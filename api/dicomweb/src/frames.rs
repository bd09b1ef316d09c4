//! `GET …/frames/{list}`: single frames, as they are stored or as plain pixels (PS3.18, section 10.4.1.1.6).

mod given;
mod plain;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use clinical::imaging::Frame;
use clinical::uid::TransferSyntaxUid;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use gate::{Caller, Problem};
use ingest::part10::float_pixel_tag;
use storage::archive::ArchiveError;
use storage::records::instance::Instance;

use self::given::{Given, given, stored};
use self::plain::{cut, plain, refuse_other_colours};
use crate::accept::{Accept, MediaRange};
use crate::base_url::BaseUrl;
use crate::bulkdata;
use crate::conditional::ETag;
use crate::multipart::{self, Part, Refusal};
use crate::native::{self, LITTLE_ENDIAN_FRAME, NativeFrames};
use crate::pixels::{self, Held, no_such_frame};
use crate::resource::{Resource, url_of};
use crate::state::DicomWebState;

/// Frames counted from 0, out of a path that counts them from 1: `1,3,5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameList(pub(crate) Vec<u32>);

impl<S: Send + Sync> FromRequestParts<S> for FrameList {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Path(named) = path.map_err(|_| Problem::not_found())?;
        Self::read(named.get("frames").map_or("", String::as_str))
    }
}

impl FrameList {
    fn read(list: &str) -> Result<Self, Problem> {
        let frame = |text: &str| text.trim().parse::<u32>().ok().and_then(|number| number.checked_sub(1));
        let frames: Option<Vec<u32>> = list.split(',').map(frame).collect();
        let detail = "frames are numbers from 1, parted by commas";
        frames.map(Self).ok_or_else(|| Problem::bad_request("invalid-frame-list", detail))
    }

    /// The same list, when the instance has all of its frames and they are at most `most`.
    ///
    /// # Errors
    ///
    /// 404 `no-such-frame`, 400 `invalid-frame-list`.
    pub(crate) fn within(self, instance: &Instance, most: u32) -> Result<Vec<u32>, Problem> {
        refuse_too_many(self.0.len() as u64, most)?;
        let count = instance.frame_count.unwrap_or(0);
        let has_all = self.0.iter().all(|frame| i64::from(*frame) < count);
        if has_all { Ok(self.0) } else { Err(no_such_frame()) }
    }
}

/// Before so many are listed or made, for a file and a path claim what they like.
fn refuse_too_many(frames: u64, most: u32) -> Result<(), Problem> {
    if frames > u64::from(most) {
        let detail = format!("a request names at most {most} frames");
        return Err(Problem::bad_request("invalid-frame-list", detail));
    }
    Ok(())
}

/// `GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{list}`
pub(crate) async fn frames(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    list: FrameList,
    base: BaseUrl,
    accept: Accept,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let instance = resource.one(&state.app, &caller).await?;
    let frames = list.within(&instance, state.pixel_limits.frames)?;
    Answer { state: &state, instance: &instance, base: &base, headers: &headers }
        .frames(frames, &accept)
        .await
}

/// `GET …/bulkdata/7FE00010`: every frame, as Pixel Data's BulkDataURI promises.
pub(crate) async fn all_frames(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    base: BaseUrl,
    accept: Accept,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let instance = resource.one(&state.app, &caller).await?;
    of_element(tags::PIXEL_DATA, &state, &instance, (&base, &accept, &headers)).await
}

/// Every frame of `element`, which is Pixel Data, Float or Double Float Pixel Data.
///
/// Uncompressed pixels that are asked for as one part are the value itself, and come in ranges.
///
/// # Errors
///
/// 404 `no-such-frame` where the instance's pixels are none or another element.
pub(crate) async fn of_element(
    element: Tag,
    state: &DicomWebState,
    instance: &Instance,
    (base, accept, headers): (&BaseUrl, &Accept, &HeaderMap),
) -> Result<Response, Problem> {
    if matches!(instance.bits_allocated, Some(32 | 64)) || element != tags::PIXEL_DATA {
        let header = crate::header::read(state, instance).await?;
        if element != float_pixel_tag(&header).unwrap_or(tags::PIXEL_DATA) {
            return Err(no_such_frame());
        }
    }
    let count = instance.frame_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    if count == 0 {
        return Err(no_such_frame());
    }
    if let Some((offset, length)) = native::place_of(instance)
        && instance.transfer_syntax_uid.as_str() != native::EXPLICIT_VR_BIG_ENDIAN
        && bulkdata::is_one_part(accept, headers)
    {
        let name = format!("{:04X}{:04X}", element.group(), element.element());
        let uri = format!("{}/bulkdata/{name}", url_of(instance, base));
        let place = (&state.app.archive, instance.blob_key.as_str(), offset..offset + length);
        let part = Part::of_range(LITTLE_ENDIAN_FRAME.to_owned(), uri, place);
        return part.alone(headers, &ETag::of([instance.sha256.as_str(), "bulkdata", &name])).await;
    }
    refuse_too_many(u64::from(count), state.pixel_limits.frames)?;
    let answer = Answer { state, instance, base, headers };
    answer.frames((0..count).collect(), accept).await
}

/// What every frame of one answer is made with.
struct Answer<'a> {
    state: &'a DicomWebState,
    instance: &'a Instance,
    base: &'a BaseUrl,
    headers: &'a HeaderMap,
}

impl Answer<'_> {
    async fn frames(&self, frames: Vec<u32>, accept: &Accept) -> Result<Response, Problem> {
        let (given, range) = self.form(accept, frames.len()).await?;
        let etag = self.etag(&frames, &given, range);
        if let Some(known) = etag.not_modified(self.headers) {
            return Ok(known);
        }
        let mut parts = match &given {
            Given::Stored(media) => self.stored(media, frames).await?,
            Given::Encoded(media, syntax) => self.encoded(media, syntax, frames).await?,
            Given::Plain => self.plain(frames).await?,
        };
        if !range.is_multipart()
            && parts.len() == 1
            && let Some(part) = parts.pop()
        {
            return part.alone(self.headers, &etag).await;
        }
        Ok(etag.on(multipart::related(StatusCode::OK, given.media(), parts)))
    }

    /// What the client takes; colours that are not given decoded come as they are stored where it takes that, too.
    async fn form<'r>(&self, accept: &'r Accept, count: usize) -> Result<(Given, &'r MediaRange), Problem> {
        let form = given(accept, self.instance, count)?;
        if form.0 == Given::Plain
            && let Some(instead) = stored(accept, self.instance, count)
            && refuse_other_colours(&crate::header::read(self.state, self.instance).await?).is_err()
        {
            return Ok(instead);
        }
        Ok(form)
    }

    fn etag(&self, frames: &[u32], given: &Given, range: &MediaRange) -> ETag {
        let list: Vec<String> = frames.iter().map(u32::to_string).collect();
        let syntax = match given {
            Given::Plain => "plain",
            Given::Stored(_) => "stored",
            Given::Encoded(_, syntax) => syntax.as_str(),
        };
        let form = if range.is_multipart() { "multipart" } else { "alone" };
        ETag::of([
            &self.instance.sha256,
            "frames",
            &list.join(","),
            given.media(),
            syntax,
            form,
            &self.base.0,
        ])
    }

    fn location(&self, frame: u32) -> String {
        format!("{}/frames/{}", url_of(self.instance, self.base), u64::from(frame) + 1)
    }

    async fn stored(&self, media: &str, frames: Vec<u32>) -> Result<Vec<Part>, Problem> {
        let content_type = format!("{media}; transfer-syntax={}", self.instance.transfer_syntax_uid);
        if let Some(places) = pixels::places(self.state, self.instance, frames.clone()).await? {
            let part = |(frame, ranges): (u32, Vec<Range<u64>>)| {
                self.fragments(content_type.clone(), self.location(frame), ranges)
            };
            return Ok(places.into_iter().map(part).collect());
        }
        let held = pixels::hold(self.state, self.instance, 0).await?;
        let part = |frame| {
            let bytes = pixels::stored(&held, frame)?;
            Ok(held_part(&held, content_type.clone(), self.location(frame), bytes))
        };
        frames.into_iter().map(part).collect()
    }

    /// A frame that is joined of its fragments when its turn comes.
    fn fragments(&self, content_type: String, location: String, ranges: Vec<Range<u64>>) -> Part {
        let length = ranges.iter().map(|range| range.end - range.start).sum();
        let (archive, key) = (self.state.app.archive.clone(), self.instance.blob_key.clone());
        if let [range] = ranges.as_slice()
            && length >= native::LONG_FRAME_BYTES
        {
            return Part::of_range(content_type, location, (&archive, &key, range.clone()));
        }
        let read = async move {
            let mut joined = BytesMut::with_capacity(length as usize);
            for range in ranges {
                joined.extend_from_slice(&archive.get_range(&key, range).await?);
            }
            Ok::<_, ArchiveError>(joined.freeze())
        };
        Part::made(content_type, location, Some(length), read)
    }

    /// The first frame is encoded now, so that what cannot be had is refused; the others when their turn comes.
    async fn encoded(
        &self,
        media: &str,
        syntax: &TransferSyntaxUid,
        frames: Vec<u32>,
    ) -> Result<Vec<Part>, Problem> {
        let held = Arc::new(pixels::hold(self.state, self.instance, pixels::ONE_BY_ONE).await?);
        let content_type = format!("{media}; transfer-syntax={syntax}");
        let mut parts = Vec::with_capacity(frames.len());
        for frame in frames {
            let (content_type, location) = (content_type.clone(), self.location(frame));
            if parts.is_empty() {
                let bytes = pixels::encoded(self.state, &held, frame, syntax.clone()).await?;
                parts.push(Part::of_bytes(content_type, location, bytes));
                continue;
            }
            let (state, held, syntax) = (self.state.clone(), Arc::clone(&held), syntax.clone());
            let make = async move { pixels::encoded(&state, &held, frame, syntax).await.map_err(Refusal) };
            parts.push(Part::made(content_type, location, None, make));
        }
        Ok(parts)
    }

    async fn plain(&self, frames: Vec<u32>) -> Result<Vec<Part>, Problem> {
        let archive = &self.state.app.archive;
        if let Some(layout) = NativeFrames::of_row(self.instance) {
            let part = |frame| layout.part(archive, self.instance, frame, self.location(frame));
            return Ok(frames.into_iter().map(part).collect());
        }
        if let Some(place) = native::place_of(self.instance) {
            let header = crate::header::read(self.state, self.instance).await?;
            let layout = NativeFrames::of(archive, self.instance, place, &header).await?;
            let part = |frame| layout.part(archive, self.instance, frame, self.location(frame));
            return Ok(frames.into_iter().map(part).collect());
        }
        let held = pixels::hold(self.state, self.instance, frames.len() as u64).await?;
        if let Some(floats) = held.object.float_pixels() {
            let part = |frame| {
                let bytes = cut(&held.object, floats, frame)?;
                Ok(held_part(&held, LITTLE_ENDIAN_FRAME.to_owned(), self.location(frame), bytes))
            };
            return frames.into_iter().map(part).collect();
        }
        refuse_other_colours(held.object.header())?;
        let decoded = pixels::decoded(self.state, &held, frames).await?;
        let part = |frame: Frame| {
            let bytes = plain(&frame, held.object.header())?;
            Ok(held_part(&held, LITTLE_ENDIAN_FRAME.to_owned(), self.location(frame.index), bytes))
        };
        decoded.into_iter().map(part).collect()
    }
}

/// A part whose bytes count against the house's bound until their turn has come.
fn held_part(held: &Held, content_type: String, location: String, bytes: Bytes) -> Part {
    let (permit, length) = (Arc::clone(&held.permit), bytes.len() as u64);
    let make = async move {
        drop(permit);
        Ok::<_, Refusal>(bytes)
    };
    Part::made(content_type, location, Some(length), make)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_counts_from_one() {
        assert_eq!(FrameList::read("1,3, 5").unwrap().0, [0, 2, 4]);
        for bad in ["", "0", "1,,2", "a", "-1", "99999999999"] {
            assert_eq!(FrameList::read(bad).unwrap_err().code(), "invalid-frame-list", "{bad}");
        }
    }
}
