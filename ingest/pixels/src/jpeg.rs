//! JPEG (ITU-T T.81): what the header says, and images of the DCT processes, those of 8 bits by `jpeg-decoder`.

use std::io::Cursor;

use clinical::imaging::Samples;
use jpeg_decoder::{ColorTransform, Decoder, PixelFormat};

use crate::decoded::{CodecError, Decoded, Expected};
use crate::jpeg_header::JpegHeader;
use crate::jpeg_sequential;

/// An image of a sequential DCT process, colours as they are coded.
///
/// `jpeg-decoder` fills what a cut stream lacks with grey in silence, so the entropy-coded data are walked first.
pub(crate) fn decode(stream: &[u8], expected: &Expected) -> Result<Decoded, CodecError> {
    let header = JpegHeader::read(stream)?;
    let components = header.components.len() as u32;
    expected.check(header.rows.into(), header.columns.into(), components, header.precision.into())?;
    if !matches!(header.process, 0xC0 | 0xC1) {
        return Err(CodecError::unsupported("this JPEG process"));
    }
    match header.precision {
        8 => jpeg_sequential::check(stream, &header)?,
        12 => return jpeg_sequential::decode(stream, &header),
        _ => return Err(CodecError::malformed("the JPEG precision is neither 8 nor 12")),
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
    use crate::decoded::Colours;

    fn header_of(markers: &[&[u8]]) -> JpegHeader {
        let mut stream = vec![0xFF, 0xD8];
        for marker in markers {
            stream.extend_from_slice(marker);
        }
        stream.extend_from_slice(&[0xFF, 0xDA, 0, 2]);
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
