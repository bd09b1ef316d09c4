//! Images of real numbers: Float (7FE0,0008) and Double Float Pixel Data (7FE0,0009).

use clinical::imaging::{DecodeRequest, ModalityLut, Photometric, VoiLut};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use part10::{Encoding, FloatPixelDataAt, Part10};

use crate::decode::wanted;
use crate::image_pixel::{ImagePixel, Interpretation};
use crate::luts::FrameLuts;
use crate::{PixelError, PixelLimits};

/// One frame of real numbers, not yet passed through any look-up table.
#[derive(Debug, Clone, PartialEq)]
pub struct FloatFrame {
    /// The frame's place in its instance, counted from 0.
    pub index: u32,
    /// Rows of pixels.
    pub rows: u32,
    /// Columns of pixels.
    pub columns: u32,
    /// `rows * columns` values; those of 32 bits are widened without loss. Some may be infinite or no number.
    pub values: Vec<f64>,
    /// Which end is black.
    pub photometric: Photometric,
    /// To modality units; absent where the object has none.
    pub modality_lut: Option<ModalityLut>,
    /// The first window or table that the object offers; absent where it has none.
    pub voi_lut: Option<VoiLut>,
    /// Float or Double Float Pixel Padding Value and Range Limit (0028,0122) to (0028,0125), the lower one first.
    pub padding: Option<(f64, f64)>,
}

/// The wanted frames of an image of real numbers, in the order of the request.
///
/// Source: PS3.3, sections C.7.6.24 and C.7.6.25; they are never compressed (PS3.5, section A.4).
///
/// # Errors
///
/// [`PixelError::NoPixels`] where the object holds none such; every other [`PixelError`] for what contradicts the
/// standard, and beyond `limits`. No frame comes back that is not whole.
pub fn decode_floats(
    object: &Part10,
    request: &DecodeRequest,
    limits: &PixelLimits,
) -> Result<Vec<FloatFrame>, PixelError> {
    let place = object.float_pixels().ok_or(PixelError::NoPixels)?;
    let form = ImagePixel::read_floats(object.header())?;
    let frames = wanted(object, request, &form, limits)?;
    let photometric = match form.interpretation {
        Interpretation::Monochrome1 => Photometric::Monochrome1,
        _ => Photometric::Monochrome2,
    };
    let frame = |index| {
        let luts = FrameLuts::read(object.header(), index, &form)?;
        Ok(FloatFrame {
            index,
            rows: form.rows,
            columns: form.columns,
            values: values(object, place, &form, index)?,
            photometric,
            modality_lut: luts.modality,
            voi_lut: luts.voi,
            padding: padding(object.header(), place.tag),
        })
    };
    frames.into_iter().map(frame).collect()
}

/// The numbers of one frame.
fn values(
    object: &Part10,
    place: &FloatPixelDataAt,
    form: &ImagePixel,
    index: u32,
) -> Result<Vec<f64>, PixelError> {
    let is_double = place.tag == tags::DOUBLE_FLOAT_PIXEL_DATA;
    let frame_length = form.pixel_count() * if is_double { 8 } else { 4 };
    let start = u64::from(index) * frame_length;
    if start + frame_length > place.length {
        return Err(PixelError::malformed("the pixels end before their last frame"));
    }
    let bytes = object.bytes(place.offset + start..place.offset + start + frame_length);
    if bytes.len() as u64 != frame_length {
        return Err(PixelError::malformed("the file ends before its last frame"));
    }
    let is_big_endian = object.scan().encoding() == Encoding::ExplicitBe;
    let float = |four: &[u8; 4]| {
        f64::from(if is_big_endian { f32::from_be_bytes(*four) } else { f32::from_le_bytes(*four) })
    };
    let double =
        |eight: &[u8; 8]| if is_big_endian { f64::from_be_bytes(*eight) } else { f64::from_le_bytes(*eight) };
    Ok(match is_double {
        true => bytes.as_chunks().0.iter().map(double).collect(),
        false => bytes.as_chunks().0.iter().map(float).collect(),
    })
}

/// The values that are no image, lower one first.
fn padding(header: &InMemDicomObject, pixels: Tag) -> Option<(f64, f64)> {
    let (value, limit) = match pixels {
        tags::FLOAT_PIXEL_DATA => (tags::FLOAT_PIXEL_PADDING_VALUE, tags::FLOAT_PIXEL_PADDING_RANGE_LIMIT),
        _ => (tags::DOUBLE_FLOAT_PIXEL_PADDING_VALUE, tags::DOUBLE_FLOAT_PIXEL_PADDING_RANGE_LIMIT),
    };
    let number = |tag| header.get(tag)?.to_float64().ok();
    let first = number(value)?;
    let last = number(limit).unwrap_or(first);
    Some((first.min(last), first.max(last)))
}
