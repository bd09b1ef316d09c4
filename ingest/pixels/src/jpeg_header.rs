//! The segments of a JPEG codestream before its image data (ITU-T T.81, annex B).

use crate::decoded::{CodecError, Colours};

/// Marker segments before the scan; a stream with more is no image of a clinic.
const MOST_SEGMENTS: usize = 1_000;

/// The transfer syntax of a JPEG codestream (PS3.5, annex A.4.1); `None` of processes that DICOM has not kept, and of what
/// is no JPEG.
pub fn jpeg_transfer_syntax(stream: &[u8]) -> Option<&'static str> {
    match JpegHeader::read(stream).ok()?.process {
        0xC0 => Some("1.2.840.10008.1.2.4.50"),
        0xC1 => Some("1.2.840.10008.1.2.4.51"),
        // with any predictor
        0xC3 => Some("1.2.840.10008.1.2.4.57"),
        _ => None,
    }
}

/// The frame header and the application markers that settle the colours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JpegHeader {
    /// The low byte of the frame marker: 0xC0 baseline, 0xC1 extended, 0xC3 lossless, …
    pub(crate) process: u8,
    pub(crate) precision: u8,
    pub(crate) rows: u16,
    pub(crate) columns: u16,
    /// Identifier and sampling factors of each component.
    pub(crate) components: Vec<(u8, u8)>,
    /// The quantizer of each component.
    pub(crate) quantizers: Vec<u8>,
    is_jfif: bool,
    adobe_transform: Option<u8>,
}

impl JpegHeader {
    /// Reads the segments up to the frame header and on to the first scan.
    pub(crate) fn read(stream: &[u8]) -> Result<Self, CodecError> {
        let (mut is_jfif, mut adobe_transform, mut frame) = (false, None, None);
        let mut segments = Segments::new(stream)?;
        for _ in 0..MOST_SEGMENTS {
            let (marker, body) = segments.next()?;
            match marker {
                0xDA | 0xD9 => break,
                0xE0 if body.starts_with(b"JFIF\0") => is_jfif = true,
                0xEE if body.starts_with(b"Adobe") => adobe_transform = body.get(11).copied(),
                0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF | 0xF7 if frame.is_none() => {
                    frame = Some((marker, body));
                }
                _ => {}
            }
        }
        let (process, body) =
            frame.ok_or_else(|| CodecError::malformed("the JPEG frame header is missing"))?;
        let &[precision, y1, y0, x1, x0, count, ref components @ ..] = body else { return Err(truncated()) };
        if components.len() != usize::from(count) * 3 {
            return Err(CodecError::malformed("the JPEG frame header has another length than it says"));
        }
        Ok(Self {
            process,
            precision,
            rows: u16::from_be_bytes([y1, y0]),
            columns: u16::from_be_bytes([x1, x0]),
            components: components.chunks_exact(3).map(|component| (component[0], component[1])).collect(),
            quantizers: components.chunks_exact(3).map(|component| component[2]).collect(),
            is_jfif,
            adobe_transform,
        })
    }

    /// The colours, where the stream itself settles them.
    ///
    /// The component names `RGB` come first, then Adobe's marker, then JFIF, which knows only YCbCr.
    pub(crate) fn colours(&self) -> Colours {
        let names: Vec<u8> = self.components.iter().map(|component| component.0).collect();
        match (names.as_slice(), self.adobe_transform) {
            ([_], _) => Colours::AsDeclared,
            (b"RGB" | b"rgb", _) | (_, Some(0)) => Colours::Rgb,
            (_, Some(1)) => Colours::Ybr,
            _ if self.is_jfif => Colours::Ybr,
            _ => Colours::AsDeclared,
        }
    }
}

/// Walks over the marker segments; every step moves forward.
pub(crate) struct Segments<'a> {
    stream: &'a [u8],
    /// The first byte after the segment that was read last.
    pub(crate) at: usize,
}

impl<'a> Segments<'a> {
    /// Begins after SOI.
    pub(crate) fn new(stream: &'a [u8]) -> Result<Self, CodecError> {
        if !stream.starts_with(&[0xFF, 0xD8]) {
            return Err(CodecError::malformed("the JPEG data do not begin with SOI"));
        }
        Ok(Self { stream, at: 2 })
    }

    /// The next marker's low byte and its segment; the end of the image has none.
    pub(crate) fn next(&mut self) -> Result<(u8, &'a [u8]), CodecError> {
        let mut rest = self.stream.get(self.at..).unwrap_or_default();
        while rest.starts_with(&[0xFF, 0xFF]) {
            rest = &rest[1..];
        }
        let &[lead, marker] = rest.first_chunk().ok_or_else(truncated)?;
        if lead != 0xFF {
            return Err(CodecError::malformed("a JPEG marker is missing"));
        }
        rest = &rest[2..];
        if marker == 0xD9 {
            return Ok((marker, &[]));
        }
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk().ok_or_else(truncated)?));
        let body = rest.get(2..length).ok_or_else(truncated)?;
        self.at = self.stream.len() - rest.len() + length;
        Ok((marker, body))
    }

    /// Goes on after the entropy-coded data that end at or before the next marker behind `at`.
    pub(crate) fn skip_data(&mut self, at: usize) -> Result<(), CodecError> {
        let rest = self.stream.get(at..).unwrap_or_default();
        let is_marker = |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0 | 0xD0..=0xD7 | 0xFF);
        self.at = at + rest.windows(2).position(is_marker).ok_or_else(truncated)?;
        Ok(())
    }
}

pub(crate) fn truncated() -> CodecError {
    CodecError::malformed("the JPEG data end too early")
}

/// Whether the frame is of the lossless process, which our own decoder reads.
pub(crate) fn is_lossless(stream: &[u8]) -> bool {
    JpegHeader::read(stream).is_ok_and(|header| header.process == 0xC3)
}

/// The colours that a JPEG or JPEG-LS stream settles itself.
pub(crate) fn declared_colours(stream: &[u8]) -> Colours {
    JpegHeader::read(stream).map_or(Colours::AsDeclared, |header| header.colours())
}
