//! Where the frames of an object lie in the patient.

use clinical::imaging::SlicePosition;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::image_pixel::decimals;

/// Where a frame, counted from 0, lies in the patient; `None` where the object does not say it whole.
///
/// An object of one frame says it itself; one of many in its functional groups, the frame's own before those of all.
///
/// Source: PS3.3, sections C.7.6.2 and C.7.6.16.2.
pub fn slice_position(header: &InMemDicomObject, frame: u32) -> Option<SlicePosition> {
    let numbers = |group: Tag, tag: Tag| -> Vec<f64> {
        let own = decimals(header, tag);
        if !own.is_empty() {
            return own;
        }
        let within = |groups: Tag, index: usize| {
            let item = header.get(groups)?.items()?.get(index)?;
            let found = decimals(item.get(group)?.items()?.first()?, tag);
            (!found.is_empty()).then_some(found)
        };
        within(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frame as usize)
            .or_else(|| within(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0))
            .unwrap_or_default()
    };
    let position = SlicePosition {
        position_mm: numbers(tags::PLANE_POSITION_SEQUENCE, tags::IMAGE_POSITION_PATIENT).try_into().ok()?,
        orientation: numbers(tags::PLANE_ORIENTATION_SEQUENCE, tags::IMAGE_ORIENTATION_PATIENT)
            .try_into()
            .ok()?,
        spacing_mm: numbers(tags::PIXEL_MEASURES_SEQUENCE, tags::PIXEL_SPACING).try_into().ok()?,
    };
    let all = position.position_mm.iter().chain(&position.orientation).chain(&position.spacing_mm);
    all.into_iter().all(|number| number.is_finite()).then_some(position)
}

#[cfg(test)]
mod tests {
    use dicom_core::value::DataSetSequence;
    use dicom_core::{DataElement, PrimitiveValue, VR};

    use super::*;

    fn put(object: &mut InMemDicomObject, tag: Tag, text: &str) {
        object.put(DataElement::new(tag, VR::DS, PrimitiveValue::from(text)));
    }

    fn sequence(object: &mut InMemDicomObject, tag: Tag, items: Vec<InMemDicomObject>) {
        object.put(DataElement::new(tag, VR::SQ, DataSetSequence::from(items)));
    }

    #[test]
    fn a_slice_says_itself_where_it_lies() {
        let mut ct = InMemDicomObject::new_empty();
        put(&mut ct, tags::IMAGE_POSITION_PATIENT, "-120.5\\-80\\35");
        put(&mut ct, tags::IMAGE_ORIENTATION_PATIENT, "1\\0\\0\\0\\1\\0");
        assert_eq!(slice_position(&ct, 0), None, "it says nothing of its spacing");
        put(&mut ct, tags::PIXEL_SPACING, "0.5\\0.75");
        let found = slice_position(&ct, 0).unwrap();
        assert_eq!((found.position_mm, found.spacing_mm), ([-120.5, -80.0, 35.0], [0.5, 0.75]));
        put(&mut ct, tags::IMAGE_POSITION_PATIENT, "1\\2");
        assert_eq!(slice_position(&ct, 0), None);
    }

    #[test]
    fn of_many_frames_each_lies_where_its_functional_groups_say() {
        let group = |tag: Tag, of: Tag, text: &str| {
            let (mut inner, mut outer) = (InMemDicomObject::new_empty(), InMemDicomObject::new_empty());
            put(&mut inner, tag, text);
            sequence(&mut outer, of, vec![inner]);
            outer
        };
        let mut shared =
            group(tags::IMAGE_ORIENTATION_PATIENT, tags::PLANE_ORIENTATION_SEQUENCE, "1\\0\\0\\0\\1\\0");
        let mut measures = InMemDicomObject::new_empty();
        put(&mut measures, tags::PIXEL_SPACING, "2\\2");
        sequence(&mut shared, tags::PIXEL_MEASURES_SEQUENCE, vec![measures]);
        let own = |depth: &str| {
            group(tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE, &format!("0\\0\\{depth}"))
        };
        let mut enhanced = InMemDicomObject::new_empty();
        sequence(&mut enhanced, tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]);
        sequence(&mut enhanced, tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, vec![own("3"), own("6")]);
        assert_eq!(slice_position(&enhanced, 1).unwrap().position_mm, [0.0, 0.0, 6.0]);
        assert_eq!(slice_position(&enhanced, 0).unwrap().spacing_mm, [2.0, 2.0]);
        assert_eq!(slice_position(&enhanced, 2), None, "there is no such frame");
    }
}
