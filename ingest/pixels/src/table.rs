//! Look-up tables as the file writes them: descriptor and data.

use dicom_core::Tag;
use dicom_core::value::PrimitiveValue;
use dicom_object::InMemDicomObject;

use crate::PixelError;

/// A descriptor's three values.
///
/// Source: PS3.3, sections C.7.6.3.1.5, C.11.1.1 and C.11.2.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    /// Entries, 1 to 65,536.
    pub(crate) count: usize,
    /// The input of the first entry.
    pub(crate) first_mapped: i32,
    /// Bits of each entry, 8 to 16.
    pub(crate) bits: u8,
}

impl Descriptor {
    /// Reads a descriptor; its second value is signed where the inputs are, whatever VR carries it.
    ///
    /// # Errors
    ///
    /// [`PixelError::MalformedPixels`] where it is missing, short, or its bits are not 8 to 16.
    pub(crate) fn read(object: &InMemDicomObject, tag: Tag, inputs: Inputs) -> Result<Self, PixelError> {
        let malformed = || PixelError::malformed("a LUT descriptor is missing or malformed");
        let values =
            object.get(tag).and_then(|element| element.to_multi_int::<i32>().ok()).ok_or_else(malformed)?;
        let [count, first, bits] = values[..] else { return Err(malformed()) };
        if !(8..=16).contains(&bits) {
            return Err(PixelError::malformed("a LUT has entries of impossible size"));
        }
        let count = count as u16;
        let first_mapped = match inputs {
            Inputs::Signed => i32::from(first as u16 as i16),
            Inputs::Unsigned => i32::from(first as u16),
        };
        let count = if count == 0 { 65_536 } else { usize::from(count) };
        Ok(Self { count, first_mapped, bits: bits as u8 })
    }
}

/// Whether the values that go into a table can be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inputs {
    Signed,
    Unsigned,
}

/// The entries of a table: one to a word, or two bytes to a word where the data hold no more.
///
/// # Errors
///
/// [`PixelError::MalformedPixels`] where the data are missing or hold fewer entries than declared.
pub(crate) fn entries(
    object: &InMemDicomObject,
    tag: Tag,
    descriptor: Descriptor,
) -> Result<Vec<u16>, PixelError> {
    let mut words = words(object, tag)?;
    if words.len() < descriptor.count && descriptor.bits == 8 && words.len() == descriptor.count.div_ceil(2) {
        words = words.into_iter().flat_map(|word| [word & 0xFF, word >> 8]).collect();
    }
    if words.len() < descriptor.count {
        return Err(PixelError::malformed("a LUT has fewer entries than it declares"));
    }
    words.truncate(descriptor.count);
    Ok(words)
}

/// The value of a table as 16-bit words, whatever VR carries it.
///
/// # Errors
///
/// [`PixelError::MalformedPixels`] where it is missing or of another kind.
pub(crate) fn words(object: &InMemDicomObject, tag: Tag) -> Result<Vec<u16>, PixelError> {
    match object.get(tag).and_then(|element| element.value().primitive()) {
        Some(PrimitiveValue::U16(words)) => Ok(words.to_vec()),
        Some(PrimitiveValue::I16(words)) => Ok(words.iter().map(|word| word.cast_unsigned()).collect()),
        Some(PrimitiveValue::U8(bytes)) => {
            Ok(bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect())
        }
        _ => Err(PixelError::malformed("LUT data are missing or malformed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_core::{DataElement, VR, dicom_value};
    use dicom_dictionary_std::tags;

    fn object(descriptor: PrimitiveValue, data: PrimitiveValue) -> InMemDicomObject {
        InMemDicomObject::from_element_iter([
            DataElement::new(tags::LUT_DESCRIPTOR, VR::US, descriptor),
            DataElement::new(tags::LUT_DATA, VR::OW, data),
        ])
    }

    fn read(object: &InMemDicomObject, inputs: Inputs) -> Result<(Descriptor, Vec<u16>), PixelError> {
        let descriptor = Descriptor::read(object, tags::LUT_DESCRIPTOR, inputs)?;
        Ok((descriptor, entries(object, tags::LUT_DATA, descriptor)?))
    }

    /// PS3.3, C.11.1.1: "the first value 0 shall mean 65536 entries", the second is signed with the inputs.
    #[test]
    fn a_descriptor_of_zero_means_65536_entries() {
        let object = object(dicom_value!(U16, [0, 0xFFFE, 16]), PrimitiveValue::U16(vec![7; 65_536].into()));
        let (descriptor, entries) = read(&object, Inputs::Signed).unwrap();
        assert_eq!((descriptor.count, descriptor.first_mapped, entries.len()), (65_536, -2, 65_536));
        assert_eq!(read(&object, Inputs::Unsigned).unwrap().0.first_mapped, 0xFFFE);
    }

    #[test]
    fn bytes_packed_in_words_are_unpacked() {
        let object = object(dicom_value!(U16, [3, 0, 8]), dicom_value!(U16, [0x0201, 0x0003]));
        assert_eq!(read(&object, Inputs::Unsigned).unwrap().1, [1, 2, 3]);
    }

    #[test]
    fn impossible_tables_are_errors() {
        for (descriptor, data) in [
            (dicom_value!(U16, [1, 0, 0]), dicom_value!(U16, [1])),
            (dicom_value!(U16, [1, 0]), dicom_value!(U16, [1])),
            (dicom_value!(U16, [4, 0, 16]), dicom_value!(U16, [1, 2, 3])),
        ] {
            assert!(read(&object(descriptor, data), Inputs::Unsigned).is_err());
        }
    }
}
