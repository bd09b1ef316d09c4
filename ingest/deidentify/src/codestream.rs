//! Comments and application data in the headers of codestreams: where they lie, so that zeros take their place.
//!
//! Source: ITU-T T.81, annex B (JPEG), T.87, annex C (JPEG-LS), T.800, annex A (JPEG 2000).

use std::io::{Read, Seek};
use std::ops::Range;

use part10::{PixelDataAt, Scan};

use crate::DeidentifyError;
use crate::source::InReader;

/// Marker segments of one header that are walked over.
const MOST_SEGMENTS: usize = 1_000;
/// Comments of one object.
const MOST_COMMENTS: usize = 1_000_000;
/// Bytes of a segment that tell what it is.
const LOOK_BYTES: u64 = 16;

/// What of the codestreams of an object tells something beside the picture.
#[derive(Debug, Default)]
pub(crate) struct Comments {
    /// Where, in order, counted as pixel data is; none is longer than a segment.
    pub(crate) places: Vec<Range<u64>>,
    /// A header could not be walked to its end, or lies in a container.
    pub(crate) is_partial: bool,
}

/// A family of codestreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// JPEG and JPEG-LS.
    Jpeg,
    Jpeg2000,
}

impl Comments {
    /// Of every fragment of `scan` that begins with a codestream's header; `reader` holds what its places count from.
    ///
    /// # Errors
    ///
    /// [`DeidentifyError::Io`] where reading fails.
    pub(crate) fn find<R: Read + Seek>(reader: &mut R, scan: &Scan) -> Result<Self, DeidentifyError> {
        let mut found = Self::default();
        let Some(PixelDataAt::Encapsulated { fragments, .. }) = scan.pixel_data() else { return Ok(found) };
        let mut source = InReader::new(reader, scan.data_set().end);
        for fragment in fragments {
            let start = look(&mut source, fragment.start, fragment.end)?;
            let is_whole = match &start[..] {
                [0xFF, 0xD8, 0xFF, ..] => found.walk(&mut source, fragment, Family::Jpeg)?,
                [0xFF, 0x4F, 0xFF, 0x51, ..] => found.walk(&mut source, fragment, Family::Jpeg2000)?,
                // containers of JPEG 2000 and JPEG XL (ISO/IEC 15444-1, I.5.1; 18181-2)
                [0, 0, 0, 12, b'j' | b'J', ..] => false,
                _ => true,
            };
            found.is_partial |= !is_whole;
        }
        Ok(found)
    }

    /// Walks over the header at the start of `fragment`; false where it does not end there.
    fn walk<R: Read + Seek>(
        &mut self,
        source: &mut InReader<'_, R>,
        fragment: &Range<u64>,
        family: Family,
    ) -> Result<bool, DeidentifyError> {
        let mut at = fragment.start + 2;
        for _ in 0..MOST_SEGMENTS {
            let bytes = look(source, at, fragment.end)?;
            let (marker, high, low, body) = match &bytes[..] {
                // bytes that fill up to a marker
                [0xFF, 0xFF, ..] if family == Family::Jpeg => {
                    at += 1;
                    continue;
                }
                // the first scan or tile-part
                [0xFF, 0xDA, ..] if family == Family::Jpeg => return Ok(true),
                [0xFF, 0x90, ..] if family == Family::Jpeg2000 => return Ok(true),
                [0xFF, marker, high, low, body @ ..] => (*marker, *high, *low, body),
                _ => return Ok(false),
            };
            let length = u64::from(u16::from_be_bytes([high, low]));
            let end = at + 2 + length;
            if length < 2 || end > fragment.end || self.places.len() == MOST_COMMENTS {
                return Ok(false);
            }
            let kept = match family {
                Family::Jpeg => needed_in_jpeg(marker, body),
                Family::Jpeg2000 => (marker == 0x64).then_some(2),
            };
            if let Some(start) = kept.map(|kept| at + 4 + kept).filter(|start| *start < end) {
                self.places.push(start..end);
            }
            at = end;
        }
        Ok(false)
    }
}

/// How many bytes of a segment's `body` a decoder needs; `None` where it is neither a comment nor application data.
fn needed_in_jpeg(marker: u8, body: &[u8]) -> Option<u64> {
    let is = |name: &[u8]| body.starts_with(name);
    match marker {
        // JFIF but its thumbnail (T.871, 10.1)
        0xE0 if is(b"JFIF\0") => Some(14),
        // profiles of colours (ICC.1, annex B.4)
        0xE2 if is(b"ICC_PROFILE\0") => None,
        // colour transforms of JPEG-LS; SPIFF's header and the end of its directory (T.84, annex F)
        0xE8 if is(b"mrfx") => Some(5),
        0xE8 if is(b"SPIFF\0") => Some(30),
        0xE8 if is(&[0, 0, 0, 1]) => Some(6),
        // which colours the components are (T.872, 6.5.3)
        0xEE if is(b"Adobe") => Some(12),
        0xE0..=0xEF | 0xFE => Some(0),
        _ => None,
    }
}

/// The first bytes at `at`, as far as the fragment goes.
fn look<R: Read + Seek>(source: &mut InReader<'_, R>, at: u64, end: u64) -> Result<Vec<u8>, DeidentifyError> {
    source.take(at, end.min(at + LOOK_BYTES).max(at), LOOK_BYTES)
}
