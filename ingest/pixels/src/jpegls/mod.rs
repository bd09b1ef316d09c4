//! JPEG-LS (ISO/IEC 14495-1, ITU-T T.87): lossless and near-lossless decoding, lossless encoding, from the standard.
//!
//! The work is bounded by the image's own size: a stream that ends early ends the decoding.

mod bits;
mod context;
mod encode;
mod preset;
mod scan;
mod segments;

use bits::Bits;
pub use encode::encode;
use preset::{Coding, Preset};
use scan::ScanDecoder;
pub use segments::JpegLsHeader;
use segments::{Interleave, Scan, Segment, Segments};

/// Why a codestream gave no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JpegLsError {
    /// The data end before the image does.
    #[error("the JPEG-LS data end too early")]
    Truncated,
    /// The stream breaks the standard.
    #[error("the JPEG-LS data are malformed: {0}")]
    Malformed(&'static str),
    /// The stream uses a part of the standard that DICOM has no use for.
    #[error("JPEG-LS with {0} is not supported")]
    Unsupported(&'static str),
    /// The image is not the one that was expected.
    #[error("the JPEG-LS image has other dimensions than the object")]
    OtherImage,
}

/// What the frame header says, without decoding.
///
/// # Errors
///
/// Any [`JpegLsError`] of the segments up to the frame header.
pub fn header(stream: &[u8]) -> Result<JpegLsHeader, JpegLsError> {
    let mut segments = Segments::new(stream)?;
    loop {
        match segments.next()? {
            Segment::Frame(header) => return Ok(header),
            Segment::Scan(_) | Segment::End => return Err(JpegLsError::Malformed("no frame header")),
            Segment::Preset(_) | Segment::Ignored => {}
        }
    }
}

/// The samples of the image, components together (`R G B R G B …`).
///
/// `expected` is what the caller has read by [`header`] and found fit: nothing
/// larger is decoded.
///
/// # Errors
///
/// Any [`JpegLsError`]; never part of an image.
pub fn decode(stream: &[u8], expected: &JpegLsHeader) -> Result<Vec<u16>, JpegLsError> {
    let mut segments = Segments::new(stream)?;
    let mut preset = Preset::default();
    let mut image: Option<Image> = None;
    loop {
        match segments.next()? {
            Segment::Frame(header) => {
                if image.is_some() || header != *expected {
                    return Err(JpegLsError::OtherImage);
                }
                image = Some(Image::new(header));
            }
            Segment::Preset(given) => preset = given,
            Segment::Scan(scan) => {
                let image = image.as_mut().ok_or(JpegLsError::Malformed("a scan before its frame"))?;
                let coding = Coding::new(image.header.precision.into(), scan.near, preset)?;
                let end = image.decode_scan(&scan, coding, Bits::new(stream, segments.at))?;
                if image.is_complete() {
                    return Ok(std::mem::take(&mut image.samples));
                }
                segments.skip_to_marker(end);
            }
            Segment::End => return Err(JpegLsError::Malformed("a component has no scan")),
            Segment::Ignored => {}
        }
    }
}

/// An image whose components arrive scan by scan.
struct Image {
    header: JpegLsHeader,
    decoded: [bool; 4],
    samples: Vec<u16>,
}

impl Image {
    fn new(header: JpegLsHeader) -> Self {
        let count = header.rows as usize * header.columns as usize * usize::from(header.components);
        Self { header, decoded: [false; 4], samples: vec![0; count] }
    }

    fn is_complete(&self) -> bool {
        self.decoded[..usize::from(self.header.components)].iter().all(|done| *done)
    }

    /// Decodes one scan; what comes back is where its data end.
    fn decode_scan(&mut self, scan: &Scan, coding: Coding, bits: Bits<'_>) -> Result<usize, JpegLsError> {
        for place in &scan.components {
            if std::mem::replace(&mut self.decoded[*place], true) {
                return Err(JpegLsError::Malformed("a component is coded twice"));
            }
        }
        let columns = self.header.columns as usize;
        let row_length = columns * usize::from(self.header.components);
        let mut decoder = ScanDecoder::new(bits, coding);
        let mut above = vec![vec![0_u16; columns + 2]; scan.components.len()];
        let mut lines = above.clone();
        let mut run_indices = [0; 4];
        for row in self.samples.chunks_exact_mut(row_length) {
            for (above, line) in above.iter_mut().zip(&mut lines) {
                above[columns + 1] = above[columns];
                line[0] = above[1];
            }
            if scan.interleave == Interleave::Sample {
                decoder.interleaved_line(&above, &mut lines, &mut run_indices[0])?;
            } else {
                for ((above, line), run_index) in above.iter().zip(&mut lines).zip(&mut run_indices) {
                    decoder.line(above, line, run_index)?;
                }
            }
            for (line, place) in lines.iter().zip(&scan.components) {
                spread(&line[1..=columns], row, *place, self.header.components);
            }
            std::mem::swap(&mut above, &mut lines);
        }
        Ok(decoder.position())
    }
}

/// Writes one component's line to its place in each pixel.
fn spread(line: &[u16], row: &mut [u16], place: usize, components: u8) {
    if components == 1 {
        row.copy_from_slice(line);
        return;
    }
    for (pixel, value) in row.chunks_exact_mut(components.into()).zip(line) {
        pixel[place] = *value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE_NEAR: &[u8] = include_bytes!("../../tests/golden/sample_near.jls");
    const LINE: &[u8] = include_bytes!("../../tests/golden/line.jls");
    const PLANES: &[u8] = include_bytes!("../../tests/golden/planes.jls");
    const GREY_5_BITS: &[u8] = include_bytes!("../../tests/golden/grey_5_bits.jls");

    fn decoded(stream: &[u8]) -> Result<Vec<u16>, JpegLsError> {
        decode(stream, &header(stream)?)
    }

    /// The formula of `tests/golden/README.md` for 8 bits.
    fn known(components: u16) -> Vec<u16> {
        let pixels = (0..13).flat_map(|y| (0..16).map(move |x| (x, y)));
        let value = |x: u16, y: u16, c: u16| (31 * x + 17 * y + 59 * c + 5 * (x * y % 23)) % 256;
        pixels.flat_map(|(x, y)| (0..components).map(move |c| value(x, y, c))).collect()
    }

    #[test]
    fn every_interleave_gives_back_what_charls_encoded() {
        assert_eq!(decoded(LINE), Ok(known(3)));
        assert_eq!(decoded(PLANES), Ok(known(3)));
        let five_bits: Vec<u16> = known(1).into_iter().map(|value| value >> 3).collect();
        assert_eq!(decoded(GREY_5_BITS), Ok(five_bits));
    }

    #[test]
    fn near_lossless_samples_are_those_that_charls_decodes() {
        let charls = include_bytes!("../../tests/golden/sample_near.raw").map(u16::from);
        assert_eq!(decoded(SAMPLE_NEAR), Ok(charls.to_vec()));
    }

    #[test]
    fn a_stream_cut_anywhere_is_an_error() {
        for stream in [SAMPLE_NEAR, LINE, PLANES] {
            for end in 0..stream.len() - 4 {
                assert!(decoded(&stream[..end]).is_err(), "cut at {end}");
            }
        }
    }

    #[test]
    fn another_image_than_expected_is_refused() {
        let expected = JpegLsHeader { rows: 14, ..header(LINE).unwrap() };
        assert_eq!(decode(LINE, &expected), Err(JpegLsError::OtherImage));
    }

    /// T.87, sections C.2.4 and C.2.5: mapping tables and restart intervals are not decoded here.
    #[test]
    fn what_is_not_decoded_is_named() {
        let with = |segment: &[u8]| [&LINE[..2], segment, &LINE[2..]].concat();
        let outcome = |segment: &[u8]| decoded(&with(segment));
        assert_eq!(outcome(b"\xFF\xDD\0\x04\0\x02"), Err(JpegLsError::Unsupported("restart intervals")));
        assert_eq!(outcome(b"\xFF\xF8\0\x05\x02\x01\x01"), Err(JpegLsError::Unsupported("mapping tables")));
        assert_eq!(outcome(b"\xFF\xFE\0\x04hi"), Ok(known(3)), "a comment is passed over");
    }

    proptest::proptest! {
        #[test]
        fn damaged_bytes_never_panic(at in 0..620_usize, byte: u8) {
            let mut stream = LINE.to_vec();
            stream[at] = byte;
            if let Ok(header) = header(&stream) && header.rows <= 64 {
                let _ = decode(&stream, &header);
            }
        }
    }
}
