//! Where pictures of frames are made, for all who ask for them.

use std::sync::Arc;

use bytes::Bytes;
use clinical::imaging::{DecodeRequest, FrameSelection};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use gate::Problem;
use ingest::part10::{Part10, text};
use ingest::pixels::{Animation, Picture, PixelError, RenderFormat, RenderOptions, decode, decode_floats};
use storage::records::instance::Instance;
use tokio::sync::OnceCell;

use crate::multipart::{Part, Refusal};
use crate::pixels::{self, Held, no_such_frame, pixel_problem};
use crate::state::DicomWebState;
use crate::wish::Wish;

/// Pixels of all frames of one animation.
const ANIMATED_PIXELS_MAX: u64 = 256 << 20;
/// How long a frame is shown where the object does not say, in milliseconds.
const DELAY_MS: f64 = 100.0;

/// The media type of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    Jpeg,
    Png,
    Gif,
}

impl Media {
    /// All, the dearest first.
    pub(crate) const ALL: [Self; 3] = [Self::Jpeg, Self::Png, Self::Gif];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
        }
    }
}

/// An instance of which pictures are made: read once, however many they are, and held until the last is made.
pub(crate) struct Sitter {
    pub(crate) instance: Arc<Instance>,
    held: OnceCell<Arc<Held>>,
}

impl Sitter {
    pub(crate) fn new(instance: Arc<Instance>) -> Arc<Self> {
        Arc::new(Self { instance, held: OnceCell::new() })
    }

    /// The instance in memory.
    ///
    /// # Errors
    ///
    /// As [`pixels::hold`].
    pub(crate) async fn held(&self, state: &DicomWebState) -> Result<Arc<Held>, Problem> {
        let hold = || async { pixels::hold(state, &self.instance, pixels::ONE_BY_ONE).await.map(Arc::new) };
        self.held.get_or_try_init(hold).await.cloned()
    }
}

/// What makes the pictures of one answer.
#[derive(Clone)]
pub(crate) struct Studio {
    pub(crate) state: DicomWebState,
    pub(crate) wish: Wish,
    pub(crate) media: Media,
}

impl Studio {
    /// A frame, counted from 0, as a part that is made when its turn comes.
    pub(crate) fn part(&self, sitter: &Arc<Sitter>, frame: u32, location: String) -> Part {
        let (studio, sitter) = (self.clone(), Arc::clone(sitter));
        let make = async move {
            let held = sitter.held(&studio.state).await?;
            studio.picture(&held, frame).await.map_err(Refusal)
        };
        Part::made(self.media.as_str().to_owned(), location, None, make).or_left_out_when_refused()
    }

    /// The picture of a frame, counted from 0, as a file.
    pub(crate) async fn picture(&self, held: &Arc<Held>, frame: u32) -> Result<Bytes, Problem> {
        let (studio, held) = (self.clone(), Arc::clone(held));
        pixels::blocking(move || {
            let picture = studio.drawn(&held, frame)?.ok_or_else(no_such_frame)?;
            let file = picture.encode(studio.options().format).map_err(pixel_problem)?;
            Ok(Bytes::from(file))
        })
        .await?
    }

    /// All of these frames as one GIF.
    pub(crate) async fn animation(&self, held: Arc<Held>, frames: u32) -> Result<Bytes, Problem> {
        let studio = self.clone();
        pixels::blocking(move || studio.animated(&held, frames)).await?
    }

    fn animated(&self, held: &Held, frames: u32) -> Result<Bytes, Problem> {
        let mut animation: Option<Animation> = None;
        let delay_ms = delay_ms(held.object.header());
        for frame in 0..frames {
            let picture = self.drawn(held, frame)?.ok_or_else(no_such_frame)?;
            let (columns, rows) = picture.size();
            if u64::from(columns) * u64::from(rows) * u64::from(frames) > ANIMATED_PIXELS_MAX {
                let too_many = PixelError::TooLarge("the frames of one animation exceed the limit");
                return Err(pixel_problem(too_many));
            }
            let current = match animation.take() {
                Some(animation) => Ok(animation),
                None => Animation::begin(&picture, delay_ms),
            };
            let mut current = current.map_err(pixel_problem)?;
            current.add(picture).map_err(pixel_problem)?;
            animation = Some(current);
        }
        let file = animation.ok_or_else(no_such_frame)?.finish();
        file.map(Bytes::from).map_err(pixel_problem)
    }

    fn options(&self) -> RenderOptions {
        let format = match self.media {
            Media::Jpeg => RenderFormat::Jpeg { quality: self.wish.quality },
            Media::Png => RenderFormat::Png,
            Media::Gif => RenderFormat::Gif,
        };
        RenderOptions { window: self.wish.window, viewport: self.wish.viewport, format }
    }

    /// The picture of a frame; `None` beyond the last one. Blocks.
    fn drawn(&self, held: &Held, frame: u32) -> Result<Option<Picture>, Problem> {
        let header = held.object.header();
        let request =
            DecodeRequest { frames: FrameSelection::These(vec![frame]), least_size: self.least_size(header) };
        let picture = self.picture_of(&held.object, &request).map_err(pixel_problem)?;
        Ok(picture.map(|mut picture| {
            picture.annotate(&self.lines(header));
            picture
        }))
    }

    /// The picture of the first frame that `request` names.
    fn picture_of(&self, object: &Part10, request: &DecodeRequest) -> Result<Option<Picture>, PixelError> {
        let (limits, options) = (&self.state.pixel_limits, self.options());
        if object.float_pixels().is_some() {
            let frames = decode_floats(object, request, limits)?;
            return frames.first().map(|frame| Picture::of_floats(frame, &options)).transpose();
        }
        let frames = decode(object, request, limits, &self.state.pool)?;
        frames.first().map(|frame| Picture::of(frame, &options)).transpose()
    }

    /// Rows and columns that serve the viewport, for codecs that can leave out the rest.
    fn least_size(&self, header: &InMemDicomObject) -> Option<(u32, u32)> {
        let viewport = self.wish.viewport.filter(|viewport| viewport.region.is_none())?;
        let edge = |tag| text(header, tag)?.parse::<u32>().ok().filter(|edge| *edge > 0);
        let (rows, columns) = (edge(tags::ROWS)?, edge(tags::COLUMNS)?);
        let part = (f64::from(viewport.rows) / f64::from(rows))
            .min(f64::from(viewport.columns) / f64::from(columns));
        let least = |edge: u32| (f64::from(edge) * part).ceil().max(1.0) as u32;
        (part < 1.0).then(|| (least(rows), least(columns)))
    }

    /// What is burnt in.
    fn lines(&self, header: &InMemDicomObject) -> Vec<String> {
        let annotation = self.wish.annotation;
        let of = |tags: &[(&str, dicom_core::Tag)]| -> Vec<String> {
            let values =
                tags.iter().filter_map(|(name, tag)| Some(format!("{name}{}", shown(&text(header, *tag)?))));
            values.collect()
        };
        let mut lines = Vec::new();
        if annotation.has_patient {
            lines.push(of(&[("", tags::PATIENT_NAME)]).concat());
            lines.push(
                of(&[
                    ("ID ", tags::PATIENT_ID),
                    ("born ", tags::PATIENT_BIRTH_DATE),
                    ("", tags::PATIENT_SEX),
                ])
                .join("  "),
            );
        }
        if annotation.has_technique {
            let when = [
                ("", tags::MODALITY),
                ("", tags::STUDY_DATE),
                ("series ", tags::SERIES_NUMBER),
                ("image ", tags::INSTANCE_NUMBER),
            ];
            lines.push(of(&when).join("  "));
            let how = [
                ("kV ", tags::KVP),
                ("mA ", tags::X_RAY_TUBE_CURRENT),
                ("mm ", tags::SLICE_THICKNESS),
                ("TE ", tags::ECHO_TIME),
                ("TR ", tags::REPETITION_TIME),
            ];
            lines.push(of(&how).join("  "));
        }
        lines.retain(|line| !line.is_empty());
        lines
    }
}

/// The alphabetic form of a name, its components parted by spaces; any other text as it is.
fn shown(text: &str) -> String {
    text.split('=').next().unwrap_or_default().replace('^', " ").trim().to_owned()
}

/// Frame Time (0018,1063), or what Recommended Display Frame Rate (0008,2144) or Cine Rate (0018,0040) make it.
fn delay_ms(header: &InMemDicomObject) -> u32 {
    let number = |tag| text(header, tag)?.parse::<f64>().ok().filter(|it| *it > 0.0 && it.is_finite());
    let rate = number(tags::RECOMMENDED_DISPLAY_FRAME_RATE).or_else(|| number(tags::CINE_RATE));
    let delay = number(tags::FRAME_TIME).or_else(|| rate.map(|rate| 1_000.0 / rate)).unwrap_or(DELAY_MS);
    delay.clamp(20.0, 10_000.0) as u32
}
