//! Decoded frames as the header describes them.

use bytes::Bytes;
use clinical::imaging::{Frame, Samples};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use gate::Problem;
use ingest::part10::{FloatPixelDataAt, Part10, text};

use crate::accept::not_acceptable;
use crate::native::{malformed, number};

/// Decoding turns YBR and palette colours to RGB, which metadata does not say of the
/// instance: a client that trusted them would show wrong colours. The colour
/// transforms of JPEG 2000 belong to its codestream, and all take the result for RGB.
pub(super) fn refuse_other_colours(header: &InMemDicomObject) -> Result<(), Problem> {
    match text(header, tags::PHOTOMETRIC_INTERPRETATION).as_deref() {
        Some("MONOCHROME1" | "MONOCHROME2" | "RGB" | "YBR_RCT" | "YBR_ICT") => Ok(()),
        _ => Err(not_acceptable(
            "the frame as it is stored, for transfer-syntax=*, and /rendered: these colours are not given decoded",
        )),
    }
}

/// Decoded samples in the form that the header describes: Bits Allocated, little-endian.
pub(super) fn plain(frame: &Frame, header: &InMemDicomObject) -> Result<Bytes, Problem> {
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

/// The bytes of a frame of real numbers out of a deflated object, which are little-endian (PS3.5, section A.5).
pub(super) fn cut(object: &Part10, floats: &FloatPixelDataAt, frame: u32) -> Result<Bytes, Problem> {
    let edge = |tag| number(object.header(), tag).unwrap_or_default();
    let bits =
        edge(tags::BITS_ALLOCATED).saturating_mul(edge(tags::ROWS)).saturating_mul(edge(tags::COLUMNS));
    let (length, frame) = (bits / 8, u64::from(frame));
    let end = length.saturating_mul(frame + 1);
    if length == 0 || end > floats.length {
        return Err(malformed("there are fewer pixels than the header says"));
    }
    Ok(object.bytes(floats.offset + length * frame..floats.offset + end))
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
