//! JPEG 2000 (ITU-T T.800) and its high-throughput form (T.814), through `jpeg2k`.

use clinical::imaging::Samples;
use jpeg2k::{DecodeParameters, Image, ImageComponent};

use crate::decoded::{CodecError, Colours, Decoded, Expected};

/// Marker segments of the main header that are looked at.
const MOST_SEGMENTS: usize = 1_000;
/// Boxes of a JP2 file that are looked at.
const MOST_BOXES: usize = 100;

/// What the main header of a codestream says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    rows: u32,
    columns: u32,
    /// Where the image begins on the reference grid.
    is_offset: bool,
    /// Bits and sign of each component.
    components: Vec<(u8, bool)>,
    is_subsampled: bool,
    /// How often the resolution can be halved.
    levels: u8,
    /// Whether the codec turns the first three components into red, green and blue.
    has_colour_transform: bool,
}

/// Samples of every component; reduced where the caller can do with less.
pub(crate) fn decode(stream: &[u8], expected: &Expected) -> Result<Decoded, CodecError> {
    let codestream = codestream(stream)?;
    let header = Header::read(codestream)?;
    let (precision, is_signed) = header.components[0];
    expected.check(header.rows, header.columns, header.components.len() as u32, precision.into())?;
    if header.components.iter().any(|component| *component != (precision, is_signed)) || header.is_subsampled
    {
        return Err(CodecError::unsupported("JPEG 2000 with components that differ"));
    }
    if precision > 31 {
        return Err(CodecError::unsupported("JPEG 2000 with more than 31 bits"));
    }
    let reduce = header.reduction(expected.least_size);
    let (rows, columns) = (header.rows.div_ceil(1 << reduce), header.columns.div_ceil(1 << reduce));
    let parameters = DecodeParameters::new().reduce(reduce).strict(true);
    let image = Image::from_bytes_with(codestream, parameters)
        .map_err(|error| CodecError::Failed(format!("JPEG 2000: {error}")))?;
    let components = image.components();
    let fits = |component: &ImageComponent| {
        (component.height(), component.width(), component.precision()) == (rows, columns, precision.into())
            && component.is_signed() == is_signed
    };
    if components.len() != header.components.len() || !components.iter().all(fits) {
        return Err(CodecError::Failed(
            "the JPEG 2000 decoder gave another image than the header says".into(),
        ));
    }
    let planes: Vec<&[i32]> = components.iter().map(ImageComponent::data).collect();
    let colours = if header.has_colour_transform { Colours::Rgb } else { Colours::AsDeclared };
    Ok(Decoded { rows, columns, precision, colours, samples: interleaved(&planes, precision, is_signed) })
}

/// The raw codestream, taken out of a JP2 file where it is wrapped in one.
fn codestream(stream: &[u8]) -> Result<&[u8], CodecError> {
    if stream.starts_with(&[0xFF, 0x4F]) {
        return Ok(stream);
    }
    let mut rest = stream;
    for _ in 0..MOST_BOXES {
        let Some((length, after)) = rest.split_first_chunk::<4>() else { break };
        let length = u32::from_be_bytes(*length) as usize;
        if after.starts_with(b"jp2c") && length != 1 {
            let body = if length == 0 { after.get(4..) } else { rest.get(8..length.min(rest.len())) };
            return body.ok_or_else(|| CodecError::malformed("the JP2 box of the codestream is broken"));
        }
        if length < 8 {
            break;
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    Err(CodecError::malformed("there is no JPEG 2000 codestream"))
}

impl Header {
    /// Reads SIZ and COD (T.800, sections A.5.1 and A.6.1).
    fn read(codestream: &[u8]) -> Result<Self, CodecError> {
        let truncated = || CodecError::malformed("the JPEG 2000 header ends too early");
        let mut header = None;
        let mut at = 2;
        for _ in 0..MOST_SEGMENTS {
            let marker =
                codestream.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or_else(truncated)?;
            let [0xFF, code, high, low] = *marker else {
                return Err(CodecError::malformed("a JPEG 2000 marker is missing"));
            };
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let body = codestream.get(at + 4..end).ok_or_else(truncated)?;
            match code {
                0x51 => header = Some(Self::read_size(body)?),
                0x52 => {
                    let mut header = header.ok_or_else(|| CodecError::malformed("JPEG 2000 without SIZ"))?;
                    let &[_, _, _, _, transform, levels, ..] = body else { return Err(truncated()) };
                    header.has_colour_transform = transform != 0 && header.components.len() >= 3;
                    header.levels = levels;
                    return Ok(header);
                }
                0x90 => break,
                _ => {}
            }
            at = end;
        }
        Err(CodecError::malformed("JPEG 2000 without its coding style"))
    }

    fn read_size(body: &[u8]) -> Result<Self, CodecError> {
        let word = |at: usize| {
            let bytes = body.get(at..).and_then(|rest| rest.first_chunk::<4>());
            bytes.map(|bytes| u32::from_be_bytes(*bytes)).ok_or_else(|| CodecError::malformed("SIZ is short"))
        };
        let (right, bottom, left, top) = (word(2)?, word(6)?, word(10)?, word(14)?);
        let (tile_columns, tile_rows) = (word(18)?, word(22)?);
        let components = body.get(36..).unwrap_or_default();
        let declared = body.get(34..36).map(|count| usize::from(u16::from_be_bytes([count[0], count[1]])));
        let is_whole = declared == Some(components.len() / 3) && components.len() % 3 == 0;
        if !is_whole || components.is_empty() || right <= left || bottom <= top {
            return Err(CodecError::malformed("the JPEG 2000 image size is impossible"));
        }
        if tile_columns == 0 || tile_rows == 0 {
            return Err(CodecError::malformed("the JPEG 2000 tile size is impossible"));
        }
        Ok(Self {
            rows: bottom - top,
            columns: right - left,
            is_offset: left > 0 || top > 0,
            components: components.chunks_exact(3).map(|it| ((it[0] & 0x7F) + 1, it[0] > 0x7F)).collect(),
            is_subsampled: components.chunks_exact(3).any(|it| it[1..] != [1, 1]),
            levels: 0,
            has_colour_transform: false,
        })
    }

    /// How often the size may be halved and still serve.
    fn reduction(&self, least_size: Option<(u32, u32)>) -> u32 {
        let Some((least_rows, least_columns)) = least_size else { return 0 };
        if self.is_offset {
            return 0;
        }
        let serves = |by: u32| {
            self.rows.div_ceil(1 << by) >= least_rows && self.columns.div_ceil(1 << by) >= least_columns
        };
        (1..=u32::from(self.levels.min(16))).take_while(|by| serves(*by)).last().unwrap_or(0)
    }
}

/// Planes as pixels, in the narrowest type that holds them.
fn interleaved(planes: &[&[i32]], precision: u8, is_signed: bool) -> Samples {
    fn zip<T: Copy + Default>(planes: &[&[i32]], narrow: impl Fn(i32) -> T) -> Vec<T> {
        if let [plane] = planes {
            return plane.iter().map(|value| narrow(*value)).collect();
        }
        let mut samples = vec![T::default(); planes.len() * planes[0].len()];
        for (place, plane) in planes.iter().enumerate() {
            for (pixel, value) in samples.chunks_exact_mut(planes.len()).zip(*plane) {
                pixel[place] = narrow(*value);
            }
        }
        samples
    }
    match (precision, is_signed) {
        (..=8, false) => Samples::U8(zip(planes, |value| value as u8)),
        (..=8, true) => Samples::I8(zip(planes, |value| value as i8)),
        (..=16, false) => Samples::U16(zip(planes, |value| value as u16)),
        (..=16, true) => Samples::I16(zip(planes, |value| value as i16)),
        (_, false) => Samples::U32(zip(planes, |value| value as u32)),
        (_, true) => Samples::I32(zip(planes, |value| value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SOC, SIZ of 3 x 5 with one component of 12 signed bits, COD with 5 levels (T.800, tables A.9, A.12).
    const HEADER: &[u8] = b"\xFF\x4F\xFF\x51\x00\x29\0\0\0\0\0\x05\0\0\0\x03\0\0\0\0\0\0\0\0\
        \0\0\0\x05\0\0\0\x03\0\0\0\0\0\0\0\0\0\x01\x8B\x01\x01\
        \xFF\x52\x00\x0C\0\0\0\x01\0\x05\x04\x04\0\x01\xFF\x90\0\0";

    #[test]
    fn size_and_coding_style_are_read_before_decoding() {
        let header = Header::read(HEADER).unwrap();
        assert_eq!((header.rows, header.columns, header.levels), (3, 5, 5));
        assert_eq!(header.components, [(12, true)]);
        assert!(!header.has_colour_transform);
    }

    #[test]
    fn the_codestream_is_found_within_a_jp2_file() {
        let mut file = b"\0\0\0\x0CjP  \r\n\x87\n\0\0\0\0jp2c".to_vec();
        file.extend_from_slice(HEADER);
        assert_eq!(codestream(&file), Ok(HEADER));
        assert!(codestream(&file[..20]).is_ok_and(<[u8]>::is_empty));
        assert!(codestream(b"\0\0\0\x02jP  ").is_err());
    }

    #[test]
    fn a_reduction_never_falls_below_what_serves() {
        let mut header = Header::read(HEADER).unwrap();
        (header.rows, header.columns) = (2000, 3000);
        assert_eq!(header.reduction(Some((224, 224))), 3);
        assert_eq!(header.reduction(Some((250, 376))), 2);
        assert_eq!(header.reduction(None), 0);
    }
}
