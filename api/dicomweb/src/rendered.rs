//! `GET …/rendered` and `…/thumbnail`: pictures for a screen (PS3.18, sections 8.3.5, 10.4.1.1.3 and 10.4.1.1.4).

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use gate::{Caller, Problem};
use storage::records::instance::Instance;

use crate::accept::{Accept, not_acceptable};
use crate::base_url::BaseUrl;
use crate::conditional::ETag;
use crate::frames::FrameList;
use crate::multipart::{self, Part};
use crate::resource::{Resource, url_of};
use crate::state::DicomWebState;
use crate::studio::{Media, Sitter, Studio};
use crate::wish::Wish;

/// What a request says beside its path.
pub(crate) struct Visit {
    base: BaseUrl,
    accept: Accept,
    headers: HeaderMap,
    uri: Uri,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        Ok(Self {
            base: BaseUrl::from_request_parts(parts, state).await?,
            accept: Accept::from_request_parts(parts, state).await?,
            headers: parts.headers.clone(),
            uri: parts.uri.clone(),
        })
    }
}

impl Visit {
    fn asked<'a>(&'a self, state: &'a DicomWebState) -> Asked<'a> {
        let Self { base, accept, headers, uri } = self;
        Asked { state, base, accept, headers, uri }
    }
}

/// What every answer of this file is made with.
pub(crate) struct Asked<'a> {
    pub(crate) state: &'a DicomWebState,
    pub(crate) base: &'a BaseUrl,
    pub(crate) accept: &'a Accept,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) uri: &'a Uri,
}

/// `GET …/instances/{instance}/rendered`: the first frame; all of them as a GIF, or in several parts where the client
/// asks for such.
pub(crate) async fn instance(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    visit: Visit,
) -> Result<Response, Problem> {
    let asked = visit.asked(&state);
    let instance = resource.one(&state.app, &caller).await?;
    let count = frame_count(&instance).ok_or_else(no_pixels)?;
    let wish = Wish::read(&visit.uri)?;
    match shape(&visit.accept, if count > 1 { Pictures::FirstWillDo } else { Pictures::One })? {
        Shape::Several(media) => asked.several(wish, media, asked.pictures_of([instance])?).await,
        Shape::One(Media::Gif) if count > 1 => asked.animated(wish, instance, count).await,
        Shape::One(media) => asked.one(wish, media, instance, 0).await,
    }
}

/// `GET …/instances/{instance}/frames/{list}/rendered`
pub(crate) async fn frames(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    list: FrameList,
    visit: Visit,
) -> Result<Response, Problem> {
    let asked = visit.asked(&state);
    let instance = resource.one(&state.app, &caller).await?;
    let frames = list.within(&instance, state.pixel_limits.frames)?;
    let instance = Arc::new(instance);
    let wish = Wish::read(&visit.uri)?;
    match (
        shape(&visit.accept, if frames.len() > 1 { Pictures::Several } else { Pictures::One })?,
        frames.as_slice(),
    ) {
        (Shape::One(media), [frame]) => asked.one(wish, media, instance, *frame).await,
        (Shape::One(media) | Shape::Several(media), _) => {
            asked
                .several(
                    wish,
                    media,
                    frames.into_iter().map(|frame| (Arc::clone(&instance), frame)).collect(),
                )
                .await
        }
    }
}

/// `GET /dicom-web/studies/{study}/rendered` and `…/series/{series}/rendered`: every frame of every image.
pub(crate) async fn all(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    visit: Visit,
) -> Result<Response, Problem> {
    let asked = visit.asked(&state);
    let found = resource.instances(&state.app, &caller).await?;
    let mut pictures = asked.pictures_of(found)?;
    let wish = Wish::read(&visit.uri)?;
    match shape(&visit.accept, if pictures.len() > 1 { Pictures::Several } else { Pictures::One })? {
        Shape::One(media) if pictures.len() == 1 => {
            let (instance, frame) = pictures.swap_remove(0);
            asked.one(wish, media, instance, frame).await
        }
        Shape::One(media) | Shape::Several(media) => asked.several(wish, media, pictures).await,
    }
}

/// `GET …/thumbnail` of a study, a series or an instance: one small picture that stands for the whole, of the frame
/// in the middle of the image in the middle.
pub(crate) async fn thumbnail(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    visit: Visit,
) -> Result<Response, Problem> {
    let asked = visit.asked(&state);
    let mut images = resource.instances(&state.app, &caller).await?;
    images.retain(|instance| frame_count(instance).is_some());
    if images.is_empty() {
        return Err(no_pixels());
    }
    let image = images.swap_remove(images.len() / 2);
    let frame = frame_count(&image).unwrap_or(1) / 2;
    asked.small(image, frame).await
}

/// `GET …/frames/{frame}/thumbnail`
pub(crate) async fn frame_thumbnail(
    State(state): State<DicomWebState>,
    caller: Caller,
    resource: Resource,
    list: FrameList,
    visit: Visit,
) -> Result<Response, Problem> {
    let asked = visit.asked(&state);
    let image = resource.one(&state.app, &caller).await?;
    let frame = list.within(&image, state.pixel_limits.frames)?.first().copied().unwrap_or(0);
    asked.small(image, frame).await
}

/// Number of Frames; `None` where there are no pixels.
pub(crate) fn frame_count(instance: &Instance) -> Option<u32> {
    instance.frame_count.map(|count| u32::try_from(count).unwrap_or(u32::MAX))
}

/// 406 `no-pixels`.
pub(crate) fn no_pixels() -> Problem {
    Problem::new(StatusCode::NOT_ACCEPTABLE, "no-pixels", "there are no pixels to show")
}

/// How many pictures there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pictures {
    One,
    /// Several, of which the first stands for all where only one can be given.
    FirstWillDo,
    Several,
}

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    One(Media),
    Several(Media),
}

/// What the client takes of what can be made, the dearest first.
fn shape(accept: &Accept, pictures: Pictures) -> Result<Shape, Problem> {
    for range in accept.ranges() {
        let Some(media) = Media::ALL.into_iter().find(|media| range.takes(media.as_str())) else { continue };
        return Ok(match pictures {
            _ if range.names_multipart() => Shape::Several(media),
            Pictures::One | Pictures::FirstWillDo => Shape::One(media),
            Pictures::Several if range.is_multipart() => Shape::Several(media),
            Pictures::Several => continue,
        });
    }
    Err(not_acceptable("image/jpeg, image/png and image/gif, of several pictures as multipart/related"))
}

impl Asked<'_> {
    /// Every frame of every image among `instances`; they are counted first, for a file claims what it likes.
    ///
    /// # Errors
    ///
    /// 406 `too-large` beyond the limit of frames.
    fn pictures_of(
        &self,
        instances: impl IntoIterator<Item = Instance>,
    ) -> Result<Vec<(Arc<Instance>, u32)>, Problem> {
        let limit = self.state.pixel_limits.frames;
        let mut pictures = Vec::new();
        for instance in instances {
            let count = frame_count(&instance).unwrap_or(0);
            if pictures.len() as u64 + u64::from(count) > u64::from(limit) {
                let detail = format!("an answer has at most {limit} pictures");
                return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "too-large", detail));
            }
            let instance = Arc::new(instance);
            pictures.extend((0..count).map(|frame| (Arc::clone(&instance), frame)));
        }
        Ok(pictures)
    }

    fn studio(&self, wish: Wish, media: Media) -> Studio {
        Studio { state: self.state.clone(), wish, media }
    }

    fn etag<'a>(&'a self, digests: impl Iterator<Item = &'a str>, media: Media) -> ETag {
        let asked = self.uri.path_and_query().map_or("", |it| it.as_str());
        ETag::of(digests.chain(["rendered", asked, media.as_str(), &self.base.0]))
    }

    fn location(&self, instance: &Instance, frame: u32) -> String {
        format!("{}/frames/{}/rendered", url_of(instance, self.base), u64::from(frame) + 1)
    }

    /// One frame as the whole answer.
    pub(crate) async fn one(
        &self,
        wish: Wish,
        media: Media,
        instance: impl Into<Arc<Instance>>,
        frame: u32,
    ) -> Result<Response, Problem> {
        let instance = instance.into();
        let etag = self.etag([instance.sha256.as_str()].into_iter(), media);
        let location = self.location(&instance, frame);
        self.studio(wish, media)
            .part(&Sitter::new(instance), frame, location)
            .alone(self.headers, &etag)
            .await
    }

    /// One frame as a small picture.
    async fn small(&self, image: Instance, frame: u32) -> Result<Response, Problem> {
        let wish = Wish::of_thumbnail(self.uri)?;
        let (Shape::One(media) | Shape::Several(media)) = shape(self.accept, Pictures::One)?;
        self.one(wish, media, image, frame).await
    }

    /// All frames as one GIF.
    pub(crate) async fn animated(
        &self,
        wish: Wish,
        instance: Instance,
        count: u32,
    ) -> Result<Response, Problem> {
        let etag = self.etag([instance.sha256.as_str()].into_iter(), Media::Gif);
        if let Some(known) = etag.not_modified(self.headers) {
            return Ok(known);
        }
        if count > self.state.pixel_limits.frames {
            let detail = format!("an animation has at most {} frames", self.state.pixel_limits.frames);
            return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "too-large", detail));
        }
        let location = format!("{}/rendered", url_of(&instance, self.base));
        let held = Sitter::new(Arc::new(instance)).held(self.state).await?;
        let file = self.studio(wish, Media::Gif).animation(held, count).await?;
        let part = Part::of_bytes(Media::Gif.as_str().to_owned(), location, file);
        part.alone(self.headers, &etag).await
    }

    /// The first picture is made before the status is told; another that its frame cannot become is left out.
    async fn several(
        &self,
        wish: Wish,
        media: Media,
        pictures: Vec<(Arc<Instance>, u32)>,
    ) -> Result<Response, Problem> {
        let digests = pictures.iter().map(|(instance, _)| instance.sha256.as_str());
        let etag = self.etag(digests, media);
        if let Some(known) = etag.not_modified(self.headers) {
            return Ok(known);
        }
        let studio = self.studio(wish, media);
        let mut parts = Vec::with_capacity(pictures.len());
        let mut sitter: Option<Arc<Sitter>> = None;
        for (instance, frame) in pictures {
            let location = self.location(&instance, frame);
            let current = match sitter.take().filter(|it| it.instance.instance_id == instance.instance_id) {
                Some(current) => current,
                None => Sitter::new(instance),
            };
            if parts.is_empty() {
                let held = current.held(self.state).await?;
                let bytes = studio.picture(&held, frame).await?;
                parts.push(Part::of_bytes(media.as_str().to_owned(), location, bytes));
            } else {
                parts.push(studio.part(&current, frame, location));
            }
            sitter = Some(current);
        }
        if parts.is_empty() {
            return Err(no_pixels());
        }
        Ok(etag.on(multipart::related(StatusCode::OK, media.as_str(), parts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jpeg_is_given_unless_another_is_dearer() {
        let of = |header: &str| {
            shape(&Accept::read([header]), Pictures::One).map_err(|problem| problem.status().as_u16())
        };
        for jpeg in ["*/*", "image/*", "text/html, image/webp, */*;q=0.8"] {
            assert_eq!(of(jpeg), Ok(Shape::One(Media::Jpeg)), "{jpeg}");
        }
        assert_eq!(of("image/png, image/jpeg;q=0.5"), Ok(Shape::One(Media::Png)));
        assert_eq!(of(r#"multipart/related; type="image/gif""#), Ok(Shape::Several(Media::Gif)));
        assert_eq!(of("video/mp4"), Err(406));
    }

    #[test]
    fn several_pictures_need_several_parts() {
        let of = |header: &str, pictures| shape(&Accept::read([header]), pictures).ok();
        assert_eq!(of("*/*", Pictures::Several), Some(Shape::Several(Media::Jpeg)));
        assert_eq!(of("image/jpeg", Pictures::Several), None);
        assert_eq!(of("image/jpeg", Pictures::FirstWillDo), Some(Shape::One(Media::Jpeg)));
        assert_eq!(of("*/*", Pictures::FirstWillDo), Some(Shape::One(Media::Jpeg)));
    }
}
