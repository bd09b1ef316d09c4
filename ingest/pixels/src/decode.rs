//! From a stored object to raw frames with their look-up tables.

use bytes::Bytes;
use clinical::imaging::{DecodeRequest, Frame, FrameSelection, Photometric, Samples};
use part10::{Part10, PixelDataAt};

use crate::codec::Codec;
use crate::decode_pool::DecodePool;
use crate::decoded::{Colours, Decoded, Expected};
use crate::image_pixel::{ImagePixel, Interpretation, without_pixel_data};
use crate::luts::FrameLuts;
use crate::native::NativeFrames;
use crate::palette::Palette;
use crate::photometric::{self, Ybr};
use crate::stored::{self, ByteOrder};
use crate::table::Inputs;
use crate::{PixelError, PixelLimits, rle};

/// Bytes of the samples of one frame as a decoder of ours holds them, two a sample or more; with the frame that comes
/// of them a frame costs twice as much.
const FRAME_BYTES: u64 = 384 << 20;

pub(crate) const RLE_LOSSLESS: &str = "1.2.840.10008.1.2.5";

/// The wanted frames of an object, in the order of the request: stored values, colours as RGB,
/// look-up tables beside them.
///
/// Blocks while it decodes; compressed frames of foreign codecs are decoded in `pool`. Where
/// `request.least_size` is given and the codec can, frames come back smaller, never below it.
///
/// Source: PS3.3, section C.7.6.3; PS3.5, chapter 8 and annex A.
///
/// # Errors
///
/// [`PixelError::NoPixels`] without Pixel Data; every other [`PixelError`] for the first frame that cannot be
/// decoded. No frame comes back that is not whole.
pub fn decode(
    object: &Part10,
    request: &DecodeRequest,
    limits: &PixelLimits,
    pool: &DecodePool,
) -> Result<Vec<Frame>, PixelError> {
    let place = object.pixel_data().ok_or_else(|| without_pixel_data(object))?;
    let form = ImagePixel::read(object.header())?;
    let frames = wanted(object, request, &form, limits)?;
    let source = Source::open(object, place, form, pool)?;
    let palette = match form.interpretation {
        Interpretation::PaletteColor => {
            let inputs = if form.is_signed { Inputs::Signed } else { Inputs::Unsigned };
            Some(Palette::read(object.header(), inputs)?)
        }
        _ => None,
    };
    frames
        .into_iter()
        .map(|index| {
            let luts = FrameLuts::read(object.header(), index, &form)?;
            // an average of padding and image, or of two indices, is neither; without a window the darkest and the
            // brightest become black and white, and those of averages are others
            let is_windowed = luts.voi.is_some() || form.bits_stored <= 8;
            let may_reduce = luts.padding.is_none() && palette.is_none() && is_windowed;
            let least_size = request.least_size.filter(|_| may_reduce);
            let raw = source.frame(index, least_size)?;
            finish(index, raw, &form, luts, palette.as_ref())
        })
        .collect()
}

/// The wanted frames, after every count has been held against the limits.
pub(crate) fn wanted(
    object: &Part10,
    request: &DecodeRequest,
    form: &ImagePixel,
    limits: &PixelLimits,
) -> Result<Vec<u32>, PixelError> {
    if form.pixel_count() > limits.pixels_per_frame {
        return Err(PixelError::TooLarge("a frame has more pixels than the limit"));
    }
    let most = match request.frames {
        FrameSelection::All => object.frame_count(),
        FrameSelection::Spread(most) => most.min(object.frame_count()),
        FrameSelection::These(ref frames) => frames.len().try_into().unwrap_or(u32::MAX),
    };
    if most > limits.frames {
        return Err(PixelError::TooLarge("more frames are wanted than the limit"));
    }
    let is_palette = form.interpretation == Interpretation::PaletteColor;
    let samples = if is_palette { form.pixel_count() * 3 } else { form.sample_count() };
    let sample_bytes = u64::from(form.bits_allocated.div_ceil(8)).max(if is_palette { 2 } else { 1 });
    if samples.saturating_mul(sample_bytes.max(2)) > FRAME_BYTES {
        return Err(PixelError::TooLarge("a frame needs more memory than the limit"));
    }
    if samples.saturating_mul(sample_bytes).saturating_mul(most.into()) > limits.decoded_bytes {
        return Err(PixelError::TooLarge("the decoded frames exceed the limit"));
    }
    Ok(request.frames.of(object.frame_count()))
}

/// Where frames come from.
pub(crate) enum Source<'a> {
    Native(NativeFrames<'a>),
    Rle(&'a Part10, ImagePixel),
    Codec { codec: Codec, object: &'a Part10, form: ImagePixel, pool: &'a DecodePool },
}

/// A frame before its colours are turned.
pub(crate) struct Raw {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) colours: Colours,
    pub(crate) samples: Samples,
    from_jpegxl: bool,
}

impl<'a> Source<'a> {
    pub(crate) fn open(
        object: &'a Part10,
        place: &PixelDataAt,
        form: ImagePixel,
        pool: &'a DecodePool,
    ) -> Result<Self, PixelError> {
        let transfer_syntax = object.transfer_syntax().as_str();
        match place {
            PixelDataAt::Native { offset, length } => {
                let frames = NativeFrames::new(object, *offset, *length, form, object.frame_count())?;
                Ok(Self::Native(frames))
            }
            PixelDataAt::Encapsulated { .. } if transfer_syntax == RLE_LOSSLESS => {
                Ok(Self::Rle(object, form))
            }
            PixelDataAt::Encapsulated { .. } => match Codec::of(transfer_syntax) {
                // its samples know no sign, and no rule says how to hide one in them
                Some(Codec::JpegXl) if form.is_signed => Err(PixelError::unsupported("signed JPEG XL")),
                Some(codec) => Ok(Self::Codec { codec, object, form, pool }),
                None => Err(PixelError::UnsupportedTransferSyntax(transfer_syntax.into())),
            },
        }
    }

    pub(crate) fn frame(&self, index: u32, least_size: Option<(u32, u32)>) -> Result<Raw, PixelError> {
        let whole = |form: &ImagePixel, samples| Raw {
            rows: form.rows,
            columns: form.columns,
            colours: Colours::AsDeclared,
            samples,
            from_jpegxl: false,
        };
        match self {
            Self::Native(frames) => {
                let samples = frames.frame(index)?;
                Ok(whole(frames.form(), samples))
            }
            Self::Rle(object, form) => {
                let bytes = rle::decode(&joined(object.encapsulated_frame(index)?), form)?;
                Ok(whole(form, stored::from_bytes(&bytes, ByteOrder::Little, form)))
            }
            Self::Codec { codec, object, form, pool } => {
                let stream = joined(object.encapsulated_frame(index)?);
                let expected = Expected {
                    rows: form.rows,
                    columns: form.columns,
                    components: form.samples_per_pixel,
                    bits_allocated: form.bits_allocated,
                    least_size,
                };
                let Decoded { rows, columns, precision, colours, samples } =
                    pool.decode(*codec, &stream, &expected)?;
                let samples = stored::from_codec(samples, precision, form);
                Ok(Raw { rows, columns, colours, samples, from_jpegxl: *codec == Codec::JpegXl })
            }
        }
    }
}

/// The fragments of a frame as one piece; nothing is copied where there is one.
pub(crate) fn joined(mut fragments: Vec<Bytes>) -> Bytes {
    match fragments.len() {
        1 => fragments.swap_remove(0),
        _ => fragments.concat().into(),
    }
}

/// Turns colours to RGB and puts the frame together.
fn finish(
    index: u32,
    raw: Raw,
    form: &ImagePixel,
    luts: FrameLuts,
    palette: Option<&Palette>,
) -> Result<Frame, PixelError> {
    let (rows, columns) = (raw.rows, raw.columns);
    let (samples, bits_stored) = match palette {
        Some(palette) => (palette.apply(&raw.samples), palette.bits),
        None => match turn(&raw, form.interpretation)? {
            Some(ybr) => (photometric::rgb(raw.samples, ybr, form.bits_stored)?, form.bits_stored),
            None => (raw.samples, form.bits_stored),
        },
    };
    let photometric = match form.interpretation {
        Interpretation::Monochrome1 => Photometric::Monochrome1,
        Interpretation::Monochrome2 => Photometric::Monochrome2,
        _ => Photometric::Rgb,
    };
    let samples_per_pixel = if photometric == Photometric::Rgb { 3 } else { 1 };
    let count = u64::from(rows) * u64::from(columns) * samples_per_pixel;
    if samples.len() as u64 != count {
        return Err(PixelError::CodecFailed("the frame has another number of samples than its size".into()));
    }
    Ok(Frame {
        index,
        rows,
        columns,
        samples_per_pixel: samples_per_pixel as u8,
        bits_stored,
        samples,
        photometric,
        modality_lut: luts.modality,
        voi_lut: luts.voi,
        padding: luts.padding,
    })
}

/// Which matrix the colours need; `None` where they are grey or RGB already.
pub(crate) fn turn(raw: &Raw, declared: Interpretation) -> Result<Option<Ybr>, PixelError> {
    if declared.is_grey() {
        return Ok(None);
    }
    match (raw.colours, declared) {
        (Colours::Rgb, _) | (Colours::AsDeclared, Interpretation::Rgb) => Ok(None),
        (Colours::AsDeclared, Interpretation::YbrPartial | Interpretation::YbrPartial422) => {
            Ok(Some(Ybr::Partial))
        }
        // the reversible transform of JPEG XL's modular mode is undone by the codec and leaves no trace
        (Colours::AsDeclared, Interpretation::YbrByCodec) if raw.from_jpegxl => Ok(None),
        (Colours::AsDeclared, Interpretation::YbrByCodec) => {
            Err(PixelError::malformed("the codestream lacks the colour transform that the object declares"))
        }
        _ => Ok(Some(Ybr::Full)),
    }
}
