//! JPEG (ITU-T T.81): what the header says, and 8-bit DCT images through `jpeg-decoder`.

use std::io::Cursor;

use clinical::imaging::Samples;
use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

use crate::codec::{CodecError, Colours, Decoded, Expected};

/// Marker segments before the scan; a stream with more is no image of a clinic.
const MOST_SEGMENTS: usize = 1_000;

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
    is_jfif: bool,
    adobe_transform: Option<u8>,
}

impl JpegHeader {
    /// Reads the segments up to the frame header and on to the first scan.
    pub(crate) fn read(stream: &[u8]) -> Result<Self, CodecError> {
        let truncated = || CodecError::malformed("the JPEG header ends too early");
        if stream.get(..2) != Some(&[0xFF, 0xD8]) {
            return Err(CodecError::malformed("the JPEG data do not begin with SOI"));
        }
        let (mut is_jfif, mut adobe_transform, mut frame) = (false, None, None);
        let mut at = 2;
        for _ in 0..MOST_SEGMENTS {
            let &[0xFF, marker] =
                stream.get(at..).and_then(|rest| rest.first_chunk::<2>()).ok_or_else(truncated)?
            else {
                return Err(CodecError::malformed("a JPEG marker is missing"));
            };
            at += 1;
            if marker == 0xFF {
                continue;
            }
            at += 1;
            if marker == 0xDA {
                break;
            }
            let length = stream.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(truncated)?;
            let end = at + usize::from(u16::from_be_bytes(*length));
            let body = stream.get(at + 2..end).ok_or_else(truncated)?;
            at = end;
            match marker {
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

/// Whether the frame is of the lossless process, which our own decoder reads.
pub(crate) fn is_lossless(stream: &[u8]) -> bool {
    JpegHeader::read(stream).is_ok_and(|header| header.process == 0xC3)
}

/// The colours that a JPEG or JPEG-LS stream settles itself.
pub(crate) fn declared_colours(stream: &[u8]) -> Colours {
    JpegHeader::read(stream).map_or(Colours::AsDeclared, |header| header.colours())
}

/// An 8-bit image of a DCT process, colours as they are coded.
pub(crate) fn decode(stream: &[u8], expected: &Expected) -> Result<Decoded, CodecError> {
    let header = JpegHeader::read(stream)?;
    let components = header.components.len() as u32;
    expected.check(header.rows.into(), header.columns.into(), components, header.precision.into())?;
    if !matches!(header.process, 0xC0..=0xC2) {
        return Err(CodecError::unsupported("this JPEG process"));
    }
    if header.precision != 8 {
        return Err(CodecError::unsupported("JPEG with 12 bits"));
    }
    let mut decoder = Decoder::new(Cursor::new(stream));
    decoder.set_max_decoding_buffer_size(
        usize::from(header.rows) * usize::from(header.columns) * header.components.len(),
    );
    if header.components.len() == 3 {
        decoder.set_color_transform(ColorTransform::RGB);
    }
    if let Some((rows, columns)) = scaled(&header, expected.least_size) {
        decoder.scale(columns, rows).map_err(failed)?;
    }
    let samples = decoder.decode().map_err(failed)?;
    let info = decoder.info().ok_or_else(|| CodecError::Failed("the JPEG decoder gave no image".into()))?;
    let wanted = if components == 1 { PixelFormat::L8 } else { PixelFormat::RGB24 };
    if info.pixel_format != wanted {
        return Err(CodecError::Failed("the JPEG decoder gave another pixel format".into()));
    }
    Ok(Decoded {
        rows: info.height.into(),
        columns: info.width.into(),
        precision: 8,
        colours: header.colours(),
        samples: Samples::U8(samples),
    })
}

/// The least of the sizes that the inverse DCT can give and that still serves; `None` for full size.
fn scaled(header: &JpegHeader, least_size: Option<(u32, u32)>) -> Option<(u16, u16)> {
    let (least_rows, least_columns) = least_size?;
    let part = |length: u16, eighths: u32| (u32::from(length) * eighths).div_ceil(8);
    [1, 2, 4]
        .map(|eighths| (part(header.rows, eighths), part(header.columns, eighths)))
        .into_iter()
        .find(|(rows, columns)| *rows >= least_rows && *columns >= least_columns)
        .map(|(rows, columns)| (rows as u16, columns as u16))
}

fn failed(error: jpeg_decoder::Error) -> CodecError {
    match error {
        jpeg_decoder::Error::Unsupported(what) => {
            CodecError::unsupported(format!("this form of JPEG ({what:?})"))
        }
        other => CodecError::Failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header_of(markers: &[&[u8]]) -> JpegHeader {
        let mut stream = vec![0xFF, 0xD8];
        for marker in markers {
            stream.extend_from_slice(marker);
        }
        stream.extend_from_slice(&[0xFF, 0xDA]);
        JpegHeader::read(&stream).unwrap()
    }

    const JFIF: &[u8] = b"\xFF\xE0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
    const ADOBE_RGB: &[u8] = b"\xFF\xEE\x00\x0EAdobe\0\x64\0\0\0\0\0";
    const NUMBERED: &[u8] = b"\xFF\xC0\x00\x11\x08\x00\x02\x00\x03\x03\x01\x11\0\x02\x11\0\x03\x11\0";
    const LETTERED: &[u8] = b"\xFF\xC0\x00\x11\x08\x00\x02\x00\x03\x03R\x11\0G\x11\0B\x11\0";

    /// T.81, section B.2.2: precision, lines, samples per line, components.
    #[test]
    fn the_frame_header_tells_the_dimensions() {
        let header = header_of(&[NUMBERED]);
        assert_eq!((header.rows, header.columns, header.precision), (2, 3, 8));
        assert_eq!(header.components.len(), 3);
    }

    #[test]
    fn names_then_adobe_then_jfif_settle_the_colours() {
        assert_eq!(header_of(&[NUMBERED]).colours(), Colours::AsDeclared);
        assert_eq!(header_of(&[JFIF, NUMBERED]).colours(), Colours::Ybr);
        assert_eq!(header_of(&[JFIF, ADOBE_RGB, NUMBERED]).colours(), Colours::Rgb);
        assert_eq!(header_of(&[JFIF, LETTERED]).colours(), Colours::Rgb);
    }

    #[test]
    fn a_reduced_size_never_falls_below_what_serves() {
        let mut header = header_of(&[NUMBERED]);
        (header.rows, header.columns) = (1000, 500);
        assert_eq!(scaled(&header, Some((200, 120))), Some((250, 125)));
        assert_eq!(scaled(&header, Some((200, 126))), Some((500, 250)));
        assert_eq!(scaled(&header, Some((900, 100))), None);
    }
}
