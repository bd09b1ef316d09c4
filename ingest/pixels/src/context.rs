//! What an image says about itself, read once for every network's card.

use clinical::imaging::{ImageContext, PatientSex, age_in_years};
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::image_pixel::{decimals, number};

/// The attributes that decide whether a network fits: texts trimmed and in upper case, spacing in
/// millimetres, age in years; what the object leaves out is `None`.
///
/// `frame_count` is told where the object describes an image (Rows and Columns are there).
pub fn image_context(header: &InMemDicomObject) -> ImageContext {
    let rows = number(header, tags::ROWS).map(u32::from);
    let columns = number(header, tags::COLUMNS).map(u32::from);
    let plain = |tag| part10::text(header, tag);
    ImageContext {
        sop_class_uid: word(header, tags::SOP_CLASS_UID),
        modality: word(header, tags::MODALITY),
        body_part: word(header, tags::BODY_PART_EXAMINED).or_else(|| anatomic_region(header)),
        view_position: word(header, tags::VIEW_POSITION),
        age_years: age_in_years(
            plain(tags::PATIENT_AGE).as_deref(),
            plain(tags::PATIENT_BIRTH_DATE).as_deref(),
            plain(tags::STUDY_DATE).as_deref(),
        ),
        sex: match word(header, tags::PATIENT_SEX).as_deref() {
            Some("F") => Some(PatientSex::Female),
            Some("M") => Some(PatientSex::Male),
            Some("O") => Some(PatientSex::Other),
            _ => None,
        },
        manufacturer: word(header, tags::MANUFACTURER),
        photometric_interpretation: word(header, tags::PHOTOMETRIC_INTERPRETATION),
        pixel_spacing_mm: spacing(header, tags::PIXEL_SPACING)
            .or_else(|| shared_spacing(header))
            .or_else(|| spacing(header, tags::IMAGER_PIXEL_SPACING)),
        rows,
        columns,
        frame_count: (rows.is_some() && columns.is_some()).then(|| frame_count(header)),
    }
}

/// A text as cards compare it; `None` where nothing is left of it.
fn word(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let text = part10::text(object, tag)?;
    let text = text.trim_matches(['\0', ' ']).to_uppercase();
    (!text.is_empty()).then_some(text)
}

fn anatomic_region(header: &InMemDicomObject) -> Option<String> {
    let item = header.get(tags::ANATOMIC_REGION_SEQUENCE)?.items()?.first()?;
    word(item, tags::CODE_MEANING)
}

/// Two positive lengths: between rows, between columns.
fn spacing(object: &InMemDicomObject, tag: Tag) -> Option<(f64, f64)> {
    match decimals(object, tag)[..] {
        [rows, columns] if rows > 0.0 && columns > 0.0 => Some((rows, columns)),
        _ => None,
    }
}

/// The spacing that all frames of an enhanced object share (PS3.3, section C.7.6.16.2.1).
fn shared_spacing(header: &InMemDicomObject) -> Option<(f64, f64)> {
    let groups = header.get(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE)?.items()?.first()?;
    let measures = groups.get(tags::PIXEL_MEASURES_SEQUENCE)?.items()?.first()?;
    spacing(measures, tags::PIXEL_SPACING)
}

fn frame_count(header: &InMemDicomObject) -> u32 {
    let count = header.get(tags::NUMBER_OF_FRAMES).and_then(|element| element.to_int::<u32>().ok());
    count.unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::value::DataSetSequence;
    use dicom_core::{DataElement, PrimitiveValue, VR, dicom_value};

    #[test]
    fn a_chest_radiograph_tells_what_a_card_asks() {
        let text = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
        let header = InMemDicomObject::from_element_iter([
            text(tags::SOP_CLASS_UID, VR::UI, "1.2.840.10008.5.1.4.1.1.1.1\0"),
            text(tags::MODALITY, VR::CS, "DX"),
            text(tags::BODY_PART_EXAMINED, VR::CS, "chest "),
            text(tags::VIEW_POSITION, VR::CS, "PA"),
            text(tags::PATIENT_AGE, VR::AS, "003Y"),
            text(tags::PATIENT_SEX, VR::CS, "F "),
            text(tags::IMAGER_PIXEL_SPACING, VR::DS, "0.143\\0.2"),
            DataElement::new(tags::ROWS, VR::US, dicom_value!(U16, [7])),
            DataElement::new(tags::COLUMNS, VR::US, dicom_value!(U16, [9])),
        ]);
        let context = image_context(&header);
        assert_eq!(context.sop_class_uid.as_deref(), Some("1.2.840.10008.5.1.4.1.1.1.1"));
        assert_eq!(context.body_part.as_deref(), Some("CHEST"));
        assert_eq!((context.age_years, context.sex), (Some(3.0), Some(PatientSex::Female)));
        assert_eq!(context.pixel_spacing_mm, Some((0.143, 0.2)));
        assert_eq!((context.rows, context.columns, context.frame_count), (Some(7), Some(9), Some(1)));
        assert_eq!(context.manufacturer, None);
    }

    #[test]
    fn the_anatomic_region_stands_in_for_the_body_part() {
        let meaning = DataElement::new(tags::CODE_MEANING, VR::LO, PrimitiveValue::from("Breast"));
        let item = InMemDicomObject::from_element_iter([meaning]);
        let header = InMemDicomObject::from_element_iter([DataElement::new(
            tags::ANATOMIC_REGION_SEQUENCE,
            VR::SQ,
            DataSetSequence::from(vec![item]),
        )]);
        assert_eq!(image_context(&header).body_part.as_deref(), Some("BREAST"));
        assert_eq!(image_context(&header).frame_count, None);
    }
}
