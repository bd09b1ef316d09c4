//! Whether an object's pixels are real numbers, by what its header says of them.

use dicom_core::header::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::text;

/// Float Pixel Data (7FE0,0008) where `header` describes such, Double Float Pixel Data (7FE0,0009) where those;
/// `None` where it describes integers, or no pixels.
///
/// Floating-point images have 32 or 64 Bits Allocated and say nothing of Bits Stored, High Bit and Pixel
/// Representation, which integers need.
///
/// Source: PS3.3, sections C.7.6.3, C.7.6.24 and C.7.6.25.
pub fn float_pixel_tag(header: &InMemDicomObject) -> Option<Tag> {
    let of_integers = [tags::BITS_STORED, tags::HIGH_BIT, tags::PIXEL_REPRESENTATION];
    if of_integers.into_iter().any(|tag| header.get(tag).is_some()) {
        return None;
    }
    match text(header, tags::BITS_ALLOCATED)?.as_str() {
        "32" => Some(tags::FLOAT_PIXEL_DATA),
        "64" => Some(tags::DOUBLE_FLOAT_PIXEL_DATA),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use dicom_core::{DataElement, PrimitiveValue, VR};

    use super::*;

    #[test]
    fn what_says_nothing_of_bits_stored_holds_real_numbers() {
        let of = |numbers: &[(Tag, u16)]| {
            let element =
                |(tag, number): &(Tag, u16)| DataElement::new(*tag, VR::US, PrimitiveValue::from(*number));
            float_pixel_tag(&InMemDicomObject::from_element_iter(numbers.iter().map(element)))
        };
        assert_eq!(of(&[(tags::BITS_ALLOCATED, 32)]), Some(tags::FLOAT_PIXEL_DATA));
        assert_eq!(of(&[(tags::BITS_ALLOCATED, 64)]), Some(tags::DOUBLE_FLOAT_PIXEL_DATA));
        assert_eq!(of(&[(tags::BITS_ALLOCATED, 16)]), None);
        assert_eq!(of(&[(tags::BITS_ALLOCATED, 32), (tags::PIXEL_REPRESENTATION, 0)]), None);
        assert_eq!(of(&[]), None);
    }
}
