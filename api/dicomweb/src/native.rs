//! Frames of uncompressed pixel data, each by one ranged read (PS3.5, section 8.2 and annex A).

use std::ops::Range;

use axum::http::StatusCode;
use bytes::Bytes;
use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use gate::Problem;
use ingest::part10::text;
use storage::archive::{Archive, ArchiveError};
use storage::records::instance::Instance;

use crate::multipart::Part;

/// The media type of plain pixels.
pub(crate) const LITTLE_ENDIAN_FRAME: &str = "application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1";

pub(crate) const EXPLICIT_VR_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

/// Where the frames of an instance lie in its blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NativeFrames {
    offset: u64,
    frame_bits: u64,
    /// Bytes of a word whose order is turned round; 1 where nothing is turned.
    word_bytes: usize,
}

/// From this length on a frame is read piece by piece.
pub(crate) const LONG_FRAME_BYTES: u64 = 4 << 20;
/// Samples of a pixel: one of grey, two where chrominance is halved, three colours, four of a retired form.
const SAMPLES: std::ops::RangeInclusive<u64> = 1..=4;

/// Where uncompressed pixels lie in the blob: offset and length.
pub(crate) fn place_of(instance: &Instance) -> Option<(u64, u64)> {
    let (offset, length) = instance.pixels_at?;
    Some((u64::try_from(offset).ok()?, u64::try_from(length).ok()?))
}

impl NativeFrames {
    /// The frames of `instance`, where its row alone tells where they lie: the value is as long as that many samples a
    /// pixel make it, to the byte. `None` where the header has to be asked.
    pub(crate) fn of_row(instance: &Instance) -> Option<Self> {
        let (offset, length) = place_of(instance)?;
        let number = |number: Option<i64>| number.and_then(|it| u64::try_from(it).ok()).filter(|it| *it > 0);
        let bits = number(instance.bits_allocated).filter(|bits| bits.is_multiple_of(8))?;
        let pixels = number(instance.rows)?.checked_mul(number(instance.columns)?)?;
        let count = number(instance.frame_count)?;
        if instance.transfer_syntax_uid.as_str() == EXPLICIT_VR_BIG_ENDIAN {
            return None;
        }
        SAMPLES.into_iter().find_map(|samples| {
            let frame_bits = pixels.checked_mul(samples)?.checked_mul(bits)?;
            let needed = frame_bits.checked_mul(count)? / 8;
            let is_filled = needed.next_multiple_of(2) == length || needed == length;
            is_filled.then_some(Self { offset, frame_bits, word_bytes: 1 })
        })
    }

    /// The frames of `instance`, whose pixels are at a known place.
    ///
    /// # Errors
    ///
    /// 406 `malformed-pixels` where the header does not describe the pixels, or there are fewer than it says.
    pub(crate) async fn of(
        archive: &Archive,
        instance: &Instance,
        (offset, length): (u64, u64),
        header: &InMemDicomObject,
    ) -> Result<Self, Problem> {
        let bits = number(header, tags::BITS_ALLOCATED).unwrap_or_default();
        let frame_bits =
            frame_bits(header).ok_or_else(|| malformed("the header does not describe the pixels"))?;
        let count = u64::try_from(instance.frame_count.unwrap_or(1)).unwrap_or(1);
        let needed = frame_bits.checked_mul(count).map(|bits| bits.div_ceil(8));
        if needed.is_none_or(|needed| needed > length) {
            return Err(malformed("there are fewer pixels than the header says"));
        }
        let mut word_bytes = 1;
        if instance.transfer_syntax_uid.as_str() == EXPLICIT_VR_BIG_ENDIAN {
            let head = archive.get_range(&instance.blob_key, offset.saturating_sub(12)..offset).await?;
            match head.get(4..6) {
                Some(b"OW") => word_bytes = (bits as usize / 8).max(2),
                Some(b"OF") => word_bytes = 4,
                Some(b"OD") => word_bytes = 8,
                _ => {}
            }
            if word_bytes > 1 && !frame_bits.is_multiple_of(8 * word_bytes as u64) {
                return Err(malformed("a frame ends within a big-endian word"));
            }
        }
        Ok(Self { offset, frame_bits, word_bytes })
    }

    /// Bytes of one frame.
    fn length(&self) -> u64 {
        self.frame_bits.div_ceil(8)
    }

    /// The bytes of the blob that hold the frame, and the bits to leave out of the first one.
    fn place(&self, frame: u32) -> (Range<u64>, u32) {
        let first_bit = self.frame_bits * u64::from(frame);
        let end = self.offset + (first_bit + self.frame_bits).div_ceil(8);
        (self.offset + first_bit / 8..end, (first_bit % 8) as u32)
    }

    /// The frame, counted from 0, as a part in little-endian order.
    pub(crate) fn part(&self, archive: &Archive, instance: &Instance, frame: u32, location: String) -> Part {
        let content_type = LITTLE_ENDIAN_FRAME.to_owned();
        let (range, first_bit) = self.place(frame);
        let is_as_stored = self.word_bytes == 1 && self.frame_bits.is_multiple_of(8) && first_bit == 0;
        if is_as_stored && self.length() >= LONG_FRAME_BYTES {
            return Part::of_range(content_type, location, (archive, &instance.blob_key, range));
        }
        let (archive, key, frames) = (archive.clone(), instance.blob_key.clone(), self.clone());
        let read = async move {
            let bytes = archive.get_range(&key, range).await?;
            Ok::<_, ArchiveError>(frames.in_order(bytes, first_bit))
        };
        Part::made(content_type, location, Some(self.length()), read)
    }

    fn in_order(&self, bytes: Bytes, first_bit: u32) -> Bytes {
        if self.word_bytes > 1 {
            let mut bytes = bytes.to_vec();
            bytes.chunks_exact_mut(self.word_bytes).for_each(<[u8]>::reverse);
            return bytes.into();
        }
        if self.frame_bits.is_multiple_of(8) && first_bit == 0 {
            return bytes;
        }
        shifted(&bytes, first_bit, self.frame_bits).into()
    }
}

/// `bits` bits of `bytes` from `first` on, the least significant of each byte first, the last byte filled with 0.
fn shifted(bytes: &[u8], first: u32, bits: u64) -> Vec<u8> {
    let following = bytes.iter().skip(1).chain(std::iter::once(&0));
    let pairs = bytes.iter().zip(following);
    let words = pairs.map(|(low, high)| u16::from_le_bytes([*low, *high]) >> first);
    let mut shifted: Vec<u8> = words.map(|word| word as u8).take(bits.div_ceil(8) as usize).collect();
    if let (Some(last), left @ 1..) = (shifted.last_mut(), bits % 8) {
        *last &= (1 << left) - 1;
    }
    shifted
}

/// Bits of one frame; chrominance that is stored for every second pixel counts half (PS3.3, C.7.6.3.1.2).
fn frame_bits(header: &InMemDicomObject) -> Option<u64> {
    let bits = number(header, tags::BITS_ALLOCATED)?;
    let pixels = number(header, tags::ROWS)?.checked_mul(number(header, tags::COLUMNS)?)?;
    let samples = number(header, tags::SAMPLES_PER_PIXEL).unwrap_or(1);
    let samples = match text(header, tags::PHOTOMETRIC_INTERPRETATION).as_deref() {
        Some("YBR_FULL_422" | "YBR_PARTIAL_422") if samples == 3 => 2,
        _ => samples,
    };
    pixels.checked_mul(samples)?.checked_mul(bits).filter(|bits| *bits > 0)
}

/// A whole number of the header.
pub(crate) fn number(header: &InMemDicomObject, tag: Tag) -> Option<u64> {
    text(header, tag)?.parse().ok()
}

/// 406 `malformed-pixels`.
pub(crate) fn malformed(what: &str) -> Problem {
    Problem::new(StatusCode::NOT_ACCEPTABLE, "malformed-pixels", what)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.5, section 8.1.1: frames of single bits follow one another without padding.
    #[test]
    fn a_frame_of_single_bits_begins_within_a_byte() {
        let frames = NativeFrames { offset: 100, frame_bits: 9, word_bytes: 1 };
        assert_eq!(frames.place(0), (100..102, 0));
        assert_eq!(frames.place(1), (101..103, 1));
        // bits from the left, least significant first: 1 0000 0001 | 1 1000 0000
        let (first, second) = ([0b0000_0001, 0b0000_0011], [0b0000_0011, 0b0000_0000]);
        assert_eq!(*frames.in_order(Bytes::copy_from_slice(&first), 0), [0b0000_0001, 0b1]);
        assert_eq!(*frames.in_order(Bytes::copy_from_slice(&second), 1), [0b0000_0001, 0b0]);
    }

    #[test]
    fn big_endian_words_are_turned_round() {
        let frames = NativeFrames { offset: 0, frame_bits: 32, word_bytes: 2 };
        assert_eq!(*frames.in_order(Bytes::from_static(&[1, 2, 3, 4]), 0), [2, 1, 4, 3]);
    }
}
