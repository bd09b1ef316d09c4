//! `GET …/rendered`: frames as pictures for a screen (PS3.18, sections 8.3.5 and 10.4.1.1.3).

use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use clinical::imaging::{VoiFunction, Window};
use gate::{Caller, Problem};
use ingest::pixels::{RenderFormat, RenderOptions, render};
use storage::records::instance::Instance;

use crate::accept::{Accept, not_acceptable};
use crate::base_url::BaseUrl;
use crate::frames::FrameList;
use crate::multipart::{self, Part};
use crate::pixels;
use crate::resource::{Resource, url_of};
use crate::state::DicomWebState;

const JPEG: &str = "image/jpeg";
const PNG: &str = "image/png";
/// Where the client says nothing of it.
const QUALITY: u8 = 90;
/// The greatest viewport edge, in pixels.
const EDGE_MAX: u32 = 16_384;
/// Most pictures of one answer.
const PICTURES_MAX: usize = 100;

/// `GET …/instances/{instance}/rendered`: the first frame.
pub(crate) async fn instance(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    base: BaseUrl,
    accept: Accept,
    uri: Uri,
) -> Result<Response, Problem> {
    let instance = resource.one(&state.app, &caller).await?;
    if instance.frame_count.is_none() {
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "no-pixels", "the instance holds no pixels"));
    }
    pictures(&state, &instance, vec![0], &base, &accept, &uri).await
}

/// `GET …/instances/{instance}/frames/{list}/rendered`
pub(crate) async fn frames(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    list: FrameList,
    base: BaseUrl,
    accept: Accept,
    uri: Uri,
) -> Result<Response, Problem> {
    let instance = resource.one(&state.app, &caller).await?;
    let frames = list.within(&instance)?;
    if frames.len() > PICTURES_MAX {
        let detail = format!("a request renders at most {PICTURES_MAX} frames");
        return Err(Problem::bad_request("invalid-frame-list", detail));
    }
    pictures(&state, &instance, frames, &base, &accept, &uri).await
}

async fn pictures(
    state: &DicomWebState,
    instance: &Instance,
    frames: Vec<u32>,
    base: &BaseUrl,
    accept: &Accept,
    uri: &Uri,
) -> Result<Response, Problem> {
    let wish = Wish::read(uri)?;
    let media = media(accept)?;
    let format = if media == PNG { RenderFormat::Png } else { RenderFormat::Jpeg { quality: wish.quality } };
    let options = RenderOptions { window: wish.window, viewport: wish.viewport, format };
    let held = pixels::hold(state, instance).await?;
    let url = url_of(instance, base);
    let mut parts = Vec::with_capacity(frames.len());
    for frame in frames {
        // one by one: a decoded frame is large, its picture is small
        let decoded = pixels::decoded(state, &held, vec![frame]).await?;
        let Some(decoded) = decoded.into_iter().next() else { return Err(pixels::no_such_frame()) };
        let picture = pixels::blocking(move || render(&decoded, &options)).await?;
        let picture = picture.map_err(pixels::pixel_problem)?;
        let location = format!("{url}/frames/{}/rendered", u64::from(frame) + 1);
        parts.push(Part::of_bytes(media.to_owned(), location, picture.into()));
    }
    match parts.pop() {
        Some(part) if parts.is_empty() => Ok(part.alone()),
        last => {
            parts.extend(last);
            Ok(multipart::related(StatusCode::OK, media, parts))
        }
    }
}

/// JPEG unless the client would rather have PNG.
fn media(accept: &Accept) -> Result<&'static str, Problem> {
    let first =
        accept.ranges().iter().find_map(|range| [JPEG, PNG].into_iter().find(|media| range.takes(media)));
    first.ok_or_else(|| not_acceptable("image/jpeg and image/png"))
}

/// How the client wants its picture.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Wish {
    window: Option<Window>,
    viewport: Option<(u32, u32)>,
    quality: u8,
}

impl Wish {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)?;
        let mut wish = Self { window: None, viewport: None, quality: QUALITY };
        for (name, value) in &pairs {
            match name.as_str() {
                "window" => {
                    let wanted = "window is centre,width,function: linear, linear-exact or sigmoid";
                    wish.window = Some(window(value).ok_or_else(|| invalid(wanted))?);
                }
                "viewport" => {
                    let wanted = format!("viewport is columns,rows, each from 1 to {EDGE_MAX}");
                    wish.viewport = Some(viewport(value).ok_or_else(|| invalid(&wanted))?);
                }
                "quality" => {
                    let quality = value.parse().ok().filter(|quality| (1..=100).contains(quality));
                    wish.quality =
                        quality.ok_or_else(|| invalid("quality is a whole number from 1 to 100"))?;
                }
                "accept" | "charset" => {}
                _ => {
                    return Err(Problem::bad_request(
                        "unknown-key",
                        "there are window, viewport and quality",
                    ));
                }
            }
        }
        Ok(wish)
    }
}

fn invalid(detail: &str) -> Problem {
    Problem::bad_request("invalid-value", detail)
}

/// `centre,width,function` (PS3.18, section 8.3.5.1.4).
fn window(value: &str) -> Option<Window> {
    let parts: Vec<&str> = value.split(',').map(str::trim).collect();
    let [center, width, rest @ ..] = parts.as_slice() else { return None };
    let function = match rest {
        [] | ["linear"] => VoiFunction::Linear,
        ["linear-exact"] => VoiFunction::LinearExact,
        ["sigmoid"] => VoiFunction::Sigmoid,
        _ => return None,
    };
    let (center, width) = (center.parse::<f64>().ok()?, width.parse::<f64>().ok()?);
    let least = if function == VoiFunction::Linear { 1.0 } else { f64::MIN_POSITIVE };
    let is_possible = center.is_finite() && width.is_finite() && width >= least;
    is_possible.then_some(Window { center, width, function })
}

/// `columns,rows` (PS3.18, section 8.3.5.1.3); parts of the source are not chosen.
fn viewport(value: &str) -> Option<(u32, u32)> {
    let (columns, rows) = value.split_once(',')?;
    let edge = |text: &str| text.trim().parse().ok().filter(|edge| (1..=EDGE_MAX).contains(edge));
    Some((edge(columns)?, edge(rows)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Wish, &'static str> {
        Wish::read(&format!("/rendered?{query}").parse().unwrap()).map_err(|problem| problem.code())
    }

    #[test]
    fn window_viewport_and_quality_are_read_and_checked() {
        let wish = read("window=40,400,linear&viewport=256,128&quality=75").unwrap();
        let window = Window { center: 40.0, width: 400.0, function: VoiFunction::Linear };
        assert_eq!(wish, Wish { window: Some(window), viewport: Some((256, 128)), quality: 75 });
        for bad in [
            "window=40",
            "window=40,0",
            "window=nan,1",
            "window=1,2,cubic",
            "viewport=0,1",
            "viewport=99999,1",
            "viewport=1",
            "quality=0",
            "quality=101",
        ] {
            assert_eq!(read(bad), Err("invalid-value"), "{bad}");
        }
        assert_eq!(read("colour=red"), Err("unknown-key"));
    }

    #[test]
    fn jpeg_is_given_unless_png_is_dearer() {
        let of = |header: &str| media(&Accept::read([header])).map_err(|problem| problem.status().as_u16());
        assert_eq!(of("*/*"), Ok(JPEG));
        assert_eq!(of("image/png, image/jpeg;q=0.5"), Ok(PNG));
        assert_eq!(of("image/gif"), Err(406));
    }
}
