//! The look-up tables of a frame, as data: Modality LUT, VOI LUT, pixel padding.

use clinical::imaging::{LutTable, ModalityLut, Rescale, VoiFunction, VoiLut, Window};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::PixelError;
use crate::image_pixel::{ImagePixel, decimals, number};
use crate::table::{Descriptor, Inputs, entries};

/// The tables of one frame.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FrameLuts {
    pub(crate) modality: Option<ModalityLut>,
    pub(crate) voi: Option<VoiLut>,
    pub(crate) padding: Option<(i64, i64)>,
}

impl FrameLuts {
    /// The tables of the frame at `index`: its own functional groups first, then the shared ones, then the object.
    ///
    /// Source: PS3.3, sections C.7.6.16 (functional groups), C.11.1 and C.11.2.
    ///
    /// # Errors
    ///
    /// [`PixelError::MalformedPixels`] where a table is there and cannot be read: without it the image is another.
    pub(crate) fn read(header: &InMemDicomObject, index: u32, form: &ImagePixel) -> Result<Self, PixelError> {
        if !form.interpretation.is_grey() {
            return Ok(Self::default());
        }
        let modality = modality_lut(header, index, form)?;
        let voi = voi_lut(header, index, form, modality.as_ref())?;
        Ok(Self { modality, voi, padding: padding(header, form) })
    }
}

/// The item of a functional group's sequence: the frame's own, else the shared one.
fn group(header: &InMemDicomObject, index: u32, sequence: Tag) -> Option<&InMemDicomObject> {
    let own = header
        .get(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
        .and_then(|element| element.items()?.get(index as usize))
        .filter(|groups| first_item(groups, sequence).is_some());
    let groups = match own {
        Some(groups) => groups,
        None => header.get(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)?.items()?.first()?,
    };
    first_item(groups, sequence)
}

/// The first item of a sequence.
fn first_item(object: &InMemDicomObject, sequence: Tag) -> Option<&InMemDicomObject> {
    object.get(sequence)?.items()?.first()
}

/// The first number of a decimal string.
fn decimal(object: &InMemDicomObject, tag: Tag) -> Option<f64> {
    decimals(object, tag).first().copied()
}

fn modality_lut(
    header: &InMemDicomObject,
    index: u32,
    form: &ImagePixel,
) -> Result<Option<ModalityLut>, PixelError> {
    if let Some(item) = first_item(header, tags::MODALITY_LUT_SEQUENCE) {
        let inputs = if form.is_signed { Inputs::Signed } else { Inputs::Unsigned };
        return Ok(Some(ModalityLut::Table(table(item, inputs)?)));
    }
    let place = group(header, index, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE).unwrap_or(header);
    let (has_slope, has_intercept) =
        (place.get(tags::RESCALE_SLOPE).is_some(), place.get(tags::RESCALE_INTERCEPT).is_some());
    if !has_slope && !has_intercept {
        return Ok(None);
    }
    let value = |is_there: bool, tag, default| if is_there { decimal(place, tag) } else { Some(default) };
    let slope = value(has_slope, tags::RESCALE_SLOPE, 1.0);
    let intercept = value(has_intercept, tags::RESCALE_INTERCEPT, 0.0);
    match (slope, intercept) {
        (Some(slope), Some(intercept)) if slope != 0.0 => {
            Ok(Some(ModalityLut::Rescale(Rescale { slope, intercept })))
        }
        _ => Err(PixelError::malformed(
            "Rescale Slope or Rescale Intercept is no number, or the slope is zero",
        )),
    }
}

/// The table that the object offers, or else its first window.
fn voi_lut(
    header: &InMemDicomObject,
    index: u32,
    form: &ImagePixel,
    modality: Option<&ModalityLut>,
) -> Result<Option<VoiLut>, PixelError> {
    if let Some(item) = first_item(header, tags::VOILUT_SEQUENCE) {
        let inputs = match modality {
            Some(ModalityLut::Table(_)) => Inputs::Unsigned,
            Some(ModalityLut::Rescale(line)) if form.is_signed || line.intercept < 0.0 => Inputs::Signed,
            None if form.is_signed => Inputs::Signed,
            _ => Inputs::Unsigned,
        };
        return Ok(Some(VoiLut::Table(table(item, inputs)?)));
    }
    let place = group(header, index, tags::FRAME_VOILUT_SEQUENCE).unwrap_or(header);
    Ok(window(place).map(VoiLut::Window))
}

/// The first window; a width that no window can have means there is none.
fn window(place: &InMemDicomObject) -> Option<Window> {
    let center = decimal(place, tags::WINDOW_CENTER)?;
    let width = decimal(place, tags::WINDOW_WIDTH)?;
    let function = part10::text(place, tags::VOILUT_FUNCTION).unwrap_or_default();
    let function = match function.trim_matches(['\0', ' ']) {
        "LINEAR_EXACT" => VoiFunction::LinearExact,
        "SIGMOID" => VoiFunction::Sigmoid,
        _ => VoiFunction::Linear,
    };
    let is_possible = if function == VoiFunction::Linear { width >= 1.0 } else { width > 0.0 };
    is_possible.then_some(Window { center, width, function })
}

fn table(item: &InMemDicomObject, inputs: Inputs) -> Result<LutTable, PixelError> {
    let descriptor = Descriptor::read(item, tags::LUT_DESCRIPTOR, inputs)?;
    let entries = entries(item, tags::LUT_DATA, descriptor)?;
    // entries that need more bits than declared are there in the field: believe them
    let needed = entries.iter().fold(0, |all, entry| all | entry);
    let bits = descriptor.bits.max((16 - needed.leading_zeros()) as u8);
    Ok(LutTable { first_mapped: descriptor.first_mapped, bits, entries })
}

/// Pixel Padding Value and Range Limit, lower one first (PS3.3, section C.7.5.1.1.2).
fn padding(header: &InMemDicomObject, form: &ImagePixel) -> Option<(i64, i64)> {
    let value = |tag| {
        let signed = || header.get(tag)?.to_int::<i16>().ok().map(i16::cast_unsigned);
        let word = number(header, tag).or_else(signed)?;
        Some(if form.is_signed { i64::from(word.cast_signed()) } else { i64::from(word) })
    };
    let first = value(tags::PIXEL_PADDING_VALUE)?;
    let last = value(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(first);
    Some((first.min(last), first.max(last)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image_pixel::Interpretation;
    use dicom_core::value::DataSetSequence;
    use dicom_core::{DataElement, PrimitiveValue, VR, dicom_value};

    fn form(is_signed: bool) -> ImagePixel {
        ImagePixel {
            rows: 1,
            columns: 1,
            samples_per_pixel: 1,
            bits_allocated: 16,
            bits_stored: 16,
            high_bit: 15,
            is_signed,
            is_planar: false,
            interpretation: Interpretation::Monochrome2,
        }
    }

    fn texts(values: &[(Tag, VR, &str)]) -> InMemDicomObject {
        InMemDicomObject::from_element_iter(
            values.iter().map(|(tag, vr, text)| DataElement::new(*tag, *vr, PrimitiveValue::from(*text))),
        )
    }

    fn sequence(object: &mut InMemDicomObject, tag: Tag, items: Vec<InMemDicomObject>) {
        object.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
    }

    /// PS3.3, C.11.2.1.2: several windows are alternatives, the first is shown first.
    #[test]
    fn the_first_window_is_taken_with_its_function() {
        let object = texts(&[
            (tags::WINDOW_CENTER, VR::DS, "40\\300"),
            (tags::WINDOW_WIDTH, VR::DS, "400 \\1500"),
            (tags::VOILUT_FUNCTION, VR::CS, "SIGMOID "),
        ]);
        let luts = FrameLuts::read(&object, 0, &form(false)).unwrap();
        let window = Window { center: 40.0, width: 400.0, function: VoiFunction::Sigmoid };
        assert_eq!(luts.voi, Some(VoiLut::Window(window)));
        assert_eq!(luts.modality, None);
    }

    #[test]
    fn a_window_without_width_is_none() {
        for width in ["0", "-5", "NaN", "wide"] {
            let object = texts(&[(tags::WINDOW_CENTER, VR::DS, "40"), (tags::WINDOW_WIDTH, VR::DS, width)]);
            assert_eq!(FrameLuts::read(&object, 0, &form(false)).unwrap().voi, None, "{width}");
        }
    }

    /// PS3.3, C.7.6.16.1.1: an attribute is either shared or told for each frame.
    #[test]
    fn a_frames_own_group_comes_before_the_shared_one() {
        let group = |slope: &str| {
            let line =
                texts(&[(tags::RESCALE_SLOPE, VR::DS, slope), (tags::RESCALE_INTERCEPT, VR::DS, "-1024")]);
            let mut groups = InMemDicomObject::new_empty();
            sequence(&mut groups, tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, vec![line]);
            groups
        };
        let mut object = InMemDicomObject::new_empty();
        sequence(&mut object, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![group("3")]);
        sequence(
            &mut object,
            tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
            vec![group("2"), InMemDicomObject::new_empty()],
        );
        let slope = |index| match FrameLuts::read(&object, index, &form(false)).unwrap().modality {
            Some(ModalityLut::Rescale(line)) => line.slope,
            other => panic!("{other:?}"),
        };
        assert_eq!([slope(0), slope(1), slope(9)], [2.0, 3.0, 3.0]);
    }

    #[test]
    fn a_slope_of_zero_is_an_error() {
        let object = texts(&[(tags::RESCALE_SLOPE, VR::DS, "0")]);
        assert!(matches!(FrameLuts::read(&object, 0, &form(false)), Err(PixelError::MalformedPixels(_))));
    }

    #[test]
    fn a_modality_table_replaces_the_line() {
        let item = InMemDicomObject::from_element_iter([
            DataElement::new(tags::LUT_DESCRIPTOR, VR::US, dicom_value!(U16, [2, 0xFFFF, 12])),
            DataElement::new(tags::LUT_DATA, VR::US, dicom_value!(U16, [5, 4095])),
        ]);
        let mut object = texts(&[(tags::RESCALE_SLOPE, VR::DS, "2")]);
        sequence(&mut object, tags::MODALITY_LUT_SEQUENCE, vec![item]);
        let luts = FrameLuts::read(&object, 0, &form(true)).unwrap();
        let table = LutTable { first_mapped: -1, bits: 12, entries: vec![5, 4095] };
        assert_eq!(luts.modality, Some(ModalityLut::Table(table)));
    }

    /// PS3.3, C.7.5.1.1.2: the padding value has the sign of the pixels.
    #[test]
    fn padding_has_the_sign_of_the_pixels() {
        let object = InMemDicomObject::from_element_iter([
            DataElement::new(tags::PIXEL_PADDING_VALUE, VR::US, dicom_value!(U16, [0xF830])),
            DataElement::new(tags::PIXEL_PADDING_RANGE_LIMIT, VR::SS, dicom_value!(I16, [-2003])),
        ]);
        assert_eq!(FrameLuts::read(&object, 0, &form(true)).unwrap().padding, Some((-2003, -2000)));
        assert_eq!(FrameLuts::read(&object, 0, &form(false)).unwrap().padding, Some((63_533, 63_536)));
    }
}
