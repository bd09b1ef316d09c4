//! `GET …/frames/{list}`: single frames, as they are stored or as plain pixels (PS3.18, section 10.4.1.1.6).

use std::collections::HashMap;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use clinical::imaging::{Frame, Samples};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use futures::FutureExt;
use futures::stream::{self, StreamExt};
use gate::{Caller, Problem};
use ingest::part10::text;
use storage::records::instance::Instance;

use crate::accept::{Accept, AskedSyntax, MediaRange, not_acceptable};
use crate::base_url::BaseUrl;
use crate::multipart::{self, Part};
use crate::native::{LITTLE_ENDIAN_FRAME, NativeFrames, number};
use crate::pixels::{self, Held, no_such_frame};
use crate::resource::{Resource, url_of};
use crate::state::DicomWebState;

const OCTETS: &str = "application/octet-stream";
const EXPLICIT_VR_LITTLE_ENDIAN: &str = "1.2.840.10008.1.2.1";

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

    /// The same list, when the instance has all of its frames.
    ///
    /// # Errors
    ///
    /// 404 `no-such-frame`.
    pub(crate) fn within(self, instance: &Instance) -> Result<Vec<u32>, Problem> {
        let count = instance.frame_count.unwrap_or(0);
        let has_all = self.0.iter().all(|frame| i64::from(*frame) < count);
        if has_all { Ok(self.0) } else { Err(no_such_frame()) }
    }
}

/// How frames are given.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Given {
    /// Uncompressed, little-endian.
    Plain,
    /// The stored codestream, under this media type.
    Stored(&'static str),
}

/// `GET /dicom-web/studies/{study}/series/{series}/instances/{instance}/frames/{list}`
pub(crate) async fn frames(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    list: FrameList,
    base: BaseUrl,
    accept: Accept,
) -> Result<Response, Problem> {
    let instance = resource.one(&state.app, &caller).await?;
    let frames = list.within(&instance)?;
    answer(&state, &instance, frames, &base, &accept).await
}

/// `GET …/bulkdata/7FE00010`: every frame, as Pixel Data's BulkDataURI promises.
pub(crate) async fn all_frames(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    base: BaseUrl,
    accept: Accept,
) -> Result<Response, Problem> {
    let instance = resource.one(&state.app, &caller).await?;
    let count = instance.frame_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    if count == 0 || count > state.pixel_limits.frames {
        return Err(no_such_frame());
    }
    answer(&state, &instance, (0..count).collect(), &base, &accept).await
}

async fn answer(
    state: &DicomWebState,
    instance: &Instance,
    frames: Vec<u32>,
    base: &BaseUrl,
    accept: &Accept,
) -> Result<Response, Problem> {
    if frames.len() > state.pixel_limits.frames as usize {
        let detail = format!("a request names at most {} frames", state.pixel_limits.frames);
        return Err(Problem::bad_request("invalid-frame-list", detail));
    }
    let (given, range) = given(accept, instance, frames.len())?;
    let url = url_of(instance, base);
    let location = |frame: u32| format!("{url}/frames/{}", u64::from(frame) + 1);
    let mut parts: Vec<Part> = match given {
        Given::Stored(media) => {
            let held = pixels::hold(state, instance).await?;
            let content_type = format!("{media}; transfer-syntax={}", instance.transfer_syntax_uid);
            let part = |frame| {
                let bytes = pixels::stored(&held, frame)?;
                Ok(held_part(&held, content_type.clone(), location(frame), bytes))
            };
            frames.into_iter().map(part).collect::<Result<_, Problem>>()?
        }
        Given::Plain => match place_of(instance) {
            Some(place) => {
                let header = crate::header::read(state, instance).await?;
                let layout = NativeFrames::of(&state.app.archive, instance, place, &header).await?;
                let part = |frame| layout.part(&state.app.archive, instance, frame, location(frame));
                frames.into_iter().map(part).collect()
            }
            None => {
                let held = pixels::hold(state, instance).await?;
                refuse_other_colours(held.object.header())?;
                let decoded = pixels::decoded(state, &held, frames).await?;
                let part = |frame: Frame| {
                    let bytes = plain(&frame, held.object.header())?;
                    Ok(held_part(&held, LITTLE_ENDIAN_FRAME.to_owned(), location(frame.index), bytes))
                };
                decoded.into_iter().map(part).collect::<Result<_, Problem>>()?
            }
        },
    };
    if !range.is_multipart()
        && parts.len() == 1
        && let Some(part) = parts.pop()
    {
        return Ok(part.alone());
    }
    let root = match given {
        Given::Plain => OCTETS,
        Given::Stored(media) => media,
    };
    Ok(multipart::related(StatusCode::OK, root, parts))
}

/// Where uncompressed pixels lie in the blob.
fn place_of(instance: &Instance) -> Option<(u64, u64)> {
    let (offset, length) = instance.pixels_at?;
    Some((u64::try_from(offset).ok()?, u64::try_from(length).ok()?))
}

/// What the client takes of what there is, the dearest first.
fn given<'a>(
    accept: &'a Accept,
    instance: &Instance,
    count: usize,
) -> Result<(Given, &'a MediaRange), Problem> {
    let syntax = instance.transfer_syntax_uid.as_str();
    let media = stored_media(syntax);
    for range in accept.ranges() {
        if count > 1 && !range.is_multipart() {
            continue;
        }
        let asked = range.transfer_syntax();
        let takes_stored = asked == AskedSyntax::Any || asked == AskedSyntax::This(syntax);
        let given = match media {
            Some(media) if takes_stored && !range.names(OCTETS) && range.takes(media) => Given::Stored(media),
            Some(media) if range.names(media) && asked == AskedSyntax::Unsaid => Given::Stored(media),
            Some(_) if takes_stored && range.takes(OCTETS) => Given::Stored(OCTETS),
            None if asked == AskedSyntax::Any && range.takes(OCTETS) => Given::Plain,
            _ if range.takes(OCTETS)
                && matches!(asked, AskedSyntax::Unsaid | AskedSyntax::This(EXPLICIT_VR_LITTLE_ENDIAN)) =>
            {
                Given::Plain
            }
            _ => continue,
        };
        return Ok((given, range));
    }
    let stored = media.map(|media| format!(", {media} in transfer syntax {syntax}")).unwrap_or_default();
    Err(not_acceptable(&format!("{OCTETS} in Explicit VR Little Endian{stored}")))
}

/// The media type of a compressed frame (PS3.18, table 8.7.3-5); `None` where frames are not compressed.
fn stored_media(transfer_syntax: &str) -> Option<&'static str> {
    let tail = match transfer_syntax.strip_prefix("1.2.840.10008.1.2") {
        Some("" | ".1" | ".1.98" | ".1.99" | ".2") => return None,
        Some(".5") => return Some("image/dicom-rle"),
        Some(tail) => tail.strip_prefix(".4.").unwrap_or_default(),
        None => "",
    };
    Some(match tail {
        "50" | "51" | "57" | "70" => "image/jpeg",
        "80" | "81" => "image/jls",
        "90" | "91" => "image/jp2",
        "92" | "93" => "image/jpx",
        "201" | "202" | "203" => "image/jphc",
        "110" | "111" | "112" => "image/jxl",
        _ => OCTETS,
    })
}

/// A part whose bytes count against the house's bound until their turn has come.
fn held_part(held: &Held, content_type: String, location: String, bytes: Bytes) -> Part {
    let permit = std::sync::Arc::clone(&held.permit);
    let length = bytes.len() as u64;
    let open = move || {
        let pieces = stream::once(async move {
            drop(permit);
            Ok(bytes)
        });
        async move { Ok(pieces.boxed()) }.boxed()
    };
    Part { content_type, location, length, open: Box::new(open) }
}

/// Decoding turns YBR and palette colours to RGB, which metadata does not say of the
/// instance: a client that trusted them would show wrong colours. The colour
/// transforms of JPEG 2000 belong to its codestream, and all take the result for RGB.
fn refuse_other_colours(header: &InMemDicomObject) -> Result<(), Problem> {
    match text(header, tags::PHOTOMETRIC_INTERPRETATION).as_deref() {
        Some("MONOCHROME1" | "MONOCHROME2" | "RGB" | "YBR_RCT" | "YBR_ICT") => Ok(()),
        _ => Err(not_acceptable(
            "the frame as it is stored, for transfer-syntax=*, and /rendered: these colours are not given decoded",
        )),
    }
}

/// Decoded samples in the form that the header describes: Bits Allocated, little-endian.
fn plain(frame: &Frame, header: &InMemDicomObject) -> Result<Bytes, Problem> {
    let number = |tag| number(header, tag);
    let bits = number(tags::BITS_ALLOCATED).unwrap_or_default();
    let stored = number(tags::BITS_STORED).unwrap_or(bits);
    let shift = number(tags::HIGH_BIT).map_or(0, |high| (high + 1).saturating_sub(stored));
    let width = match bits {
        8 | 16 | 32 if shift < bits => bits as usize / 8,
        _ => return Err(not_acceptable("the frame as it is stored, for transfer-syntax=*")),
    };
    let samples = &frame.samples;
    if let (Samples::U8(values), 1, 0) = (samples, width, shift)
        && !is_planar(frame, header)
    {
        return Ok(values.clone().into());
    }
    let mut bytes = Vec::with_capacity(samples.len() * width);
    let mut push = |index: usize| {
        let sample = samples.at(index) << shift;
        bytes.extend_from_slice(&sample.to_le_bytes()[..width]);
    };
    if is_planar(frame, header) {
        (0..3).for_each(|plane| (plane..samples.len()).step_by(3).for_each(&mut push));
    } else {
        (0..samples.len()).for_each(push);
    }
    Ok(bytes.into())
}

/// Planar Configuration (0028,0006) of 1: colours stand apart.
fn is_planar(frame: &Frame, header: &InMemDicomObject) -> bool {
    frame.samples_per_pixel == 3 && number(header, tags::PLANAR_CONFIGURATION) == Some(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clinical::imaging::Photometric;
    use dicom_core::{DataElement, PrimitiveValue, VR};

    #[test]
    fn a_list_counts_from_one() {
        assert_eq!(FrameList::read("1,3, 5").unwrap().0, [0, 2, 4]);
        for bad in ["", "0", "1,,2", "a", "-1", "99999999999"] {
            assert_eq!(FrameList::read(bad).unwrap_err().code(), "invalid-frame-list", "{bad}");
        }
    }

    /// PS3.18, table 8.7.3-5.
    #[test]
    fn each_compression_has_its_media_type() {
        assert_eq!(stored_media("1.2.840.10008.1.2.4.50"), Some("image/jpeg"));
        assert_eq!(stored_media("1.2.840.10008.1.2.4.80"), Some("image/jls"));
        assert_eq!(stored_media("1.2.840.10008.1.2.5"), Some("image/dicom-rle"));
        assert_eq!(stored_media("1.2.840.10008.1.2.4.102"), Some(OCTETS));
        assert_eq!(stored_media("1.2.840.10008.1.2.1"), None);
    }

    fn frame(samples: Samples, samples_per_pixel: u8) -> Frame {
        Frame {
            index: 0,
            rows: 1,
            columns: 2,
            samples_per_pixel,
            bits_stored: 8,
            samples,
            photometric: Photometric::Rgb,
            modality_lut: None,
            voi_lut: None,
            padding: None,
        }
    }

    fn header(numbers: &[(dicom_core::Tag, u16)]) -> InMemDicomObject {
        let element =
            |(tag, number): &(_, u16)| DataElement::new(*tag, VR::US, PrimitiveValue::from(*number));
        InMemDicomObject::from_element_iter(numbers.iter().map(element))
    }

    #[test]
    fn samples_fill_the_bits_that_the_header_allocates() {
        let header = header(&[(tags::BITS_ALLOCATED, 16), (tags::BITS_STORED, 8), (tags::HIGH_BIT, 7)]);
        assert_eq!(*plain(&frame(Samples::I8(vec![-1, 2]), 1), &header).unwrap(), [255, 255, 2, 0]);
    }

    #[test]
    fn planes_stay_apart_where_the_header_says_so() {
        let header = header(&[(tags::BITS_ALLOCATED, 8), (tags::PLANAR_CONFIGURATION, 1)]);
        let colours = frame(Samples::U8(vec![1, 2, 3, 4, 5, 6]), 3);
        assert_eq!(*plain(&colours, &header).unwrap(), [1, 4, 2, 5, 3, 6]);
    }
}
