//! Marker segments of a JPEG-LS codestream: what is coded, and how.

use super::JpegLsError;
use super::preset::Preset;

/// What a codestream says about its image before any sample is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JpegLsHeader {
    /// Bits of each sample, 2 to 16.
    pub precision: u8,
    /// Rows of pixels.
    pub rows: u32,
    /// Columns of pixels.
    pub columns: u32,
    /// Samples of each pixel, 1 to 4.
    pub components: u8,
}

/// How the components of a scan follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interleave {
    None,
    Line,
    Sample,
}

/// A scan header (T.87, section C.2.3).
#[derive(Debug, Clone)]
pub(super) struct Scan {
    /// Places of the scan's components in the frame.
    pub(super) components: Vec<usize>,
    pub(super) near: u8,
    pub(super) interleave: Interleave,
}

/// The next thing in the stream.
pub(super) enum Segment {
    Frame(JpegLsHeader),
    Preset(Preset),
    Scan(Scan),
    End,
    Ignored,
}

const TRUNCATED: JpegLsError = JpegLsError::Truncated;

/// Walks over marker segments; every step moves forward.
pub(super) struct Segments<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
    identifiers: Vec<u8>,
}

impl<'a> Segments<'a> {
    /// Begins after the SOI marker.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, JpegLsError> {
        if bytes.get(..2) != Some(&[0xFF, 0xD8]) {
            return Err(JpegLsError::Malformed("it does not begin with SOI"));
        }
        Ok(Self { bytes, at: 2, identifiers: Vec::new() })
    }

    /// Goes on after an entropy-coded segment: to the next marker at or after `at`.
    pub(super) fn skip_to_marker(&mut self, at: usize) {
        let rest = self.bytes.get(at..).unwrap_or_default();
        let skipped = rest.windows(2).position(|pair| pair[0] == 0xFF && pair[1] > 0x7F);
        self.at = at + skipped.unwrap_or(rest.len());
    }

    /// The next segment.
    pub(super) fn next(&mut self) -> Result<Segment, JpegLsError> {
        let mut marker = *self.bytes.get(self.at..).and_then(|rest| rest.get(1)).ok_or(TRUNCATED)?;
        if self.bytes[self.at] != 0xFF {
            return Err(JpegLsError::Malformed("a marker is missing"));
        }
        while marker == 0xFF {
            self.at += 1;
            marker = *self.bytes.get(self.at + 1).ok_or(TRUNCATED)?;
        }
        self.at += 2;
        if marker == 0xD9 {
            return Ok(Segment::End);
        }
        let body = self.body()?;
        match marker {
            0xF7 => self.frame(body),
            0xF8 => preset(body),
            0xDA => self.scan(body),
            0xDD if body.iter().any(|byte| *byte != 0) => Err(JpegLsError::Unsupported("restart intervals")),
            0xDC => Err(JpegLsError::Unsupported("the number of lines after the scan")),
            0xE8 if body.starts_with(b"mrfx") && body.get(4) != Some(&0) => {
                Err(JpegLsError::Unsupported("a colour transform that DICOM does not know"))
            }
            0xDD | 0xE0..=0xEF | 0xFE => Ok(Segment::Ignored),
            0xC0..=0xCF => Err(JpegLsError::Malformed("it is JPEG, not JPEG-LS")),
            _ => Err(JpegLsError::Malformed("a marker is unknown")),
        }
    }

    fn body(&mut self) -> Result<&'a [u8], JpegLsError> {
        let rest = self.bytes.get(self.at..).ok_or(TRUNCATED)?;
        let (length, _) = rest.split_first_chunk::<2>().ok_or(TRUNCATED)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let body = rest.get(..length).ok_or(TRUNCATED)?;
        self.at += length;
        body.get(2..).ok_or(JpegLsError::Malformed("a segment is too short"))
    }

    fn frame(&mut self, body: &[u8]) -> Result<Segment, JpegLsError> {
        let &[precision, y1, y0, x1, x0, count, ref components @ ..] = body else {
            return Err(JpegLsError::Malformed("the frame header is too short"));
        };
        if !(2..=16).contains(&precision) || !(1..=4).contains(&count) {
            return Err(JpegLsError::Malformed("the frame header is out of range"));
        }
        if components.len() != usize::from(count) * 3 {
            return Err(JpegLsError::Malformed("the frame header has another length than it says"));
        }
        if components.chunks_exact(3).any(|component| component[1] != 0x11) {
            return Err(JpegLsError::Unsupported("subsampled components"));
        }
        let rows = u32::from(u16::from_be_bytes([y1, y0]));
        let columns = u32::from(u16::from_be_bytes([x1, x0]));
        if rows == 0 || columns == 0 {
            return Err(JpegLsError::Unsupported("dimensions outside the frame header"));
        }
        self.identifiers = components.chunks_exact(3).map(|component| component[0]).collect();
        let header = JpegLsHeader { precision, rows, columns, components: count };
        Ok(Segment::Frame(header))
    }

    fn scan(&self, body: &[u8]) -> Result<Segment, JpegLsError> {
        let (&count, rest) = body.split_first().ok_or(TRUNCATED)?;
        let wanted = usize::from(count) * 2 + 3;
        if !(1..=4).contains(&count) || rest.len() != wanted {
            return Err(JpegLsError::Malformed("the scan header has another length than it says"));
        }
        let (components, rest) = rest.split_at(usize::from(count) * 2);
        let mut places = Vec::with_capacity(4);
        for component in components.chunks_exact(2) {
            if component[1] != 0 {
                return Err(JpegLsError::Unsupported("mapping tables"));
            }
            let place = self.identifiers.iter().position(|identifier| *identifier == component[0]);
            let place = place.ok_or(JpegLsError::Malformed("a scan names an unknown component"))?;
            if places.contains(&place) {
                return Err(JpegLsError::Malformed("a scan names a component twice"));
            }
            places.push(place);
        }
        if rest[2] != 0 {
            return Err(JpegLsError::Unsupported("the point transform"));
        }
        let interleave = match (rest[1], count) {
            (0..=2, 1) => Interleave::None,
            (1, _) => Interleave::Line,
            (2, _) => Interleave::Sample,
            _ => return Err(JpegLsError::Malformed("the interleave mode is unknown")),
        };
        Ok(Segment::Scan(Scan { components: places, near: rest[0], interleave }))
    }
}

fn preset(body: &[u8]) -> Result<Segment, JpegLsError> {
    match body.first() {
        Some(1) => {}
        Some(2 | 3) => return Err(JpegLsError::Unsupported("mapping tables")),
        _ => return Err(JpegLsError::Unsupported("an extension of the preset parameters")),
    }
    let values: Vec<u32> =
        body[1..].chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).collect();
    let [max_value, t1, t2, t3, reset] = values[..] else {
        return Err(JpegLsError::Malformed("the preset parameters have another length than they should"));
    };
    Ok(Segment::Preset(Preset { max_value, t1, t2, t3, reset }))
}
