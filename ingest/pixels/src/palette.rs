//! Palette colours: indices become RGB.

use clinical::imaging::Samples;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use crate::PixelError;
use crate::table::{Descriptor, Inputs, entries, words};

/// The Palette Color Lookup Table Module, red, green and blue.
///
/// Source: PS3.3, section C.7.9.
pub(crate) struct Palette {
    first_mapped: i32,
    /// Bits of each colour: 8 or 16.
    pub(crate) bits: u8,
    colours: Vec<[u16; 3]>,
}

const CHANNELS: [(Tag, Tag, Tag); 3] = [
    (
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ),
    (
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ),
    (
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ),
];

impl Palette {
    /// Reads the three tables, plain or segmented.
    ///
    /// # Errors
    ///
    /// [`PixelError::MalformedPixels`] where one is missing or they differ in form.
    pub(crate) fn read(header: &InMemDicomObject, inputs: Inputs) -> Result<Self, PixelError> {
        let mut channels = Vec::with_capacity(3);
        let mut form: Option<Descriptor> = None;
        for (descriptor, data, segmented) in CHANNELS {
            let descriptor = Descriptor::read(header, descriptor, inputs)?;
            if *form.get_or_insert(descriptor) != descriptor {
                return Err(PixelError::malformed("the palette's tables differ in form"));
            }
            channels.push(if header.get(data).is_some() {
                entries(header, data, descriptor)?
            } else {
                expanded(&words(header, segmented)?, descriptor.count)?
            });
        }
        let form = form.ok_or_else(|| PixelError::malformed("there is no palette"))?;
        let colours: Vec<[u16; 3]> = (0..form.count)
            .map(|index| [channels[0][index], channels[1][index], channels[2][index]])
            .collect();
        // an 8-bit palette whose entries fill their words is one of 16 bits in truth
        let bits =
            if form.bits == 8 && colours.as_flattened().iter().all(|value| *value < 256) { 8 } else { 16 };
        Ok(Self { first_mapped: form.first_mapped, bits, colours })
    }

    /// RGB of indices; those outside the table take its first or last colour.
    pub(crate) fn apply(&self, indices: &Samples) -> Samples {
        let colour = |index: usize| {
            let place = indices.at(index) - i64::from(self.first_mapped);
            self.colours[place.clamp(0, self.colours.len() as i64 - 1) as usize]
        };
        let colours = (0..indices.len()).flat_map(colour);
        if self.bits == 8 {
            Samples::U8(colours.map(|value| value as u8).collect())
        } else {
            Samples::U16(colours.collect())
        }
    }
}

/// The entries of segmented data: discrete, linear and indirect segments.
///
/// Source: PS3.3, section C.7.9.2.
fn expanded(data: &[u16], count: usize) -> Result<Vec<u16>, PixelError> {
    let malformed = || PixelError::malformed("a segmented palette is malformed");
    let mut entries = Vec::with_capacity(count);
    let mut at = 0;
    while entries.len() < count {
        let &[opcode, length, first] =
            data.get(at..).and_then(|rest| rest.first_chunk::<3>()).ok_or_else(malformed)?;
        if opcode == 2 {
            // a copy of `length` segments that lie at an earlier offset, in words, low word first
            let high = *data.get(at + 3).ok_or_else(malformed)?;
            let start = usize::from(first) | usize::from(high) << 16;
            let mut from = start;
            for _ in 0..length {
                if from >= at || entries.len() >= count {
                    return Err(malformed());
                }
                from = segment(data, from, count, &mut entries).ok_or_else(malformed)?;
            }
            at += 4;
        } else {
            at = segment(data, at, count, &mut entries).ok_or_else(malformed)?;
        }
    }
    Ok(entries)
}

/// Appends one discrete or linear segment; what comes back is where the next one begins.
fn segment(data: &[u16], at: usize, count: usize, entries: &mut Vec<u16>) -> Option<usize> {
    let (&opcode, &length) = (data.get(at)?, data.get(at + 1)?);
    let length = usize::from(length);
    if length == 0 || entries.len() + length > count {
        return None;
    }
    match opcode {
        0 => {
            entries.extend_from_slice(data.get(at + 2..at + 2 + length)?);
            Some(at + 2 + length)
        }
        1 => {
            let (from, to) = (i64::from(*entries.last()?), i64::from(*data.get(at + 2)?));
            for step in 1..=length as i64 {
                let rounded = ((to - from) * step * 2 + length as i64).div_euclid(2 * length as i64);
                entries.push((from + rounded) as u16);
            }
            Some(at + 3)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.3, C.7.9.2: a discrete segment gives its values, a linear one a line from the last value to its own.
    #[test]
    fn segments_expand_to_entries() {
        assert_eq!(expanded(&[0, 2, 10, 20, 1, 4, 40], 6).unwrap(), [10, 20, 25, 30, 35, 40]);
        assert_eq!(expanded(&[0, 1, 5, 2, 1, 0, 0], 2).unwrap(), [5, 5], "an indirect segment repeats");
    }

    #[test]
    fn broken_segments_are_errors() {
        for data in [&[0, 9, 1][..], &[1, 1, 1], &[2, 1, 0, 0], &[0, 1, 5, 2, 1, 3, 0], &[7, 1, 1]] {
            assert!(expanded(data, 4).is_err(), "{data:?}");
        }
    }

    #[test]
    fn indices_outside_take_the_nearest_colour() {
        let palette = Palette { first_mapped: 10, bits: 8, colours: vec![[1, 2, 3], [4, 5, 6]] };
        assert_eq!(
            palette.apply(&Samples::U8(vec![0, 11, 99])),
            Samples::U8(vec![1, 2, 3, 4, 5, 6, 4, 5, 6])
        );
    }
}
