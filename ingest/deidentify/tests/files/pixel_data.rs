//! What tells something inside Pixel Data but the picture.

use bytes::Bytes;
use deidentify::Flag;
use dicom_core::VR;
use dicom_dictionary_std::tags;
use part10::{Limits, Part10};

use crate::builder::*;

const BASELINE: &str = "1.2.840.10008.1.2.4.50";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";

fn encapsulated(transfer_syntax: &str, fragments: &[Vec<u8>]) -> Bytes {
    let frames = fragments.len().to_string();
    let mut data_set =
        object(vec![(tags::NUMBER_OF_FRAMES, element(tags::NUMBER_OF_FRAMES, VR::IS, frames.as_bytes()))]);
    data_set.extend([0xE0, 0x7F, 0x10, 0, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    data_set.extend(item(&[]));
    fragments.iter().for_each(|fragment| data_set.extend(item(fragment)));
    data_set.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    file(transfer_syntax, &data_set)
}

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&[0xFF, marker], &length[..], body].concat()
}

fn frames(bytes: Bytes, count: u32) -> Vec<Vec<u8>> {
    let file = Part10::read(bytes, &Limits::default()).unwrap();
    (0..count).map(|index| file.encapsulated_frame(index).unwrap().concat()).collect()
}

/// T.81, annex B: a header with a comment, Exif and JFIF's thumbnail, then a scan that is not a header any more.
fn jpeg(secret: &[u8]) -> Vec<u8> {
    let jfif = [b"JFIF\0\x01\x02\0\0\x01\0\x01\x02\x01", &secret[..6]].concat();
    let parts = [
        vec![0xFF, 0xD8],
        segment(0xE0, &jfif),
        segment(0xE1, secret),
        segment(0xEE, b"Adobe\0\x64\0\0\0\0\x01"),
        segment(0xFE, secret),
        vec![0xFF],
        segment(0xDB, b"quantize"),
        segment(0xFE, secret),
        segment(0xDA, b"scan"),
        b"\xFF\xFE\0\x06data\xFF\xD9".to_vec(),
    ];
    let mut all = parts.concat();
    all.resize(all.len().next_multiple_of(2), 0);
    all
}

/// T.800, annex A: a comment in the main header.
fn jpeg_2000(secret: &[u8]) -> Vec<u8> {
    let comment = segment(0x64, &[&[0, 1], secret].concat());
    let mut all =
        [vec![0xFF, 0x4F], segment(0x51, &[7; 38]), comment, segment(0x90, &[0; 8]), vec![0xFF, 0x93, 1, 2]]
            .concat();
    all.resize(all.len().next_multiple_of(2), 0);
    all
}

#[test]
fn comments_in_codestreams_become_zeros_and_all_else_stays() {
    for (syntax, stream) in [(BASELINE, jpeg as fn(&[u8]) -> Vec<u8>), (JPEG_2000, jpeg_2000)] {
        let bytes = encapsulated(syntax, &[stream(SECRET.as_bytes()), stream(SECRET.as_bytes())]);
        let fresh = cleaned(bytes.clone(), &[]);
        assert_eq!(fresh.report.flags, []);
        let mut out = Vec::new();
        let (limits, profile) = (Limits::default(), profile(&[]));
        let mut reader = std::io::Cursor::new(&bytes);
        deidentify::deidentify_to(&mut reader, &mut out, &limits, &profile, &project()).unwrap();
        let fresh = fresh.into_bytes();
        assert!(out == fresh, "{syntax} from a reader");
        let blank = stream(&[0; SECRET.len()]);
        assert_eq!(frames(fresh, 2), [blank.clone(), blank], "{syntax}");
    }
}

#[test]
fn a_codestream_that_cannot_be_looked_through_is_flagged() {
    let cut = |secret: &[u8]| jpeg(secret)[..40].to_vec();
    let container = b"\0\0\0\x0CjP  \r\n\x87\n".to_vec();
    for (stream, expected) in
        [(cut(SECRET.as_bytes()), cut(&[0; SECRET.len()])), (container.clone(), container)]
    {
        let fresh = cleaned(encapsulated(BASELINE, &[stream]), &[]);
        assert_eq!(fresh.report.flags, [Flag::UnreadCodestream]);
        assert_eq!(frames(fresh.into_bytes(), 1), [expected]);
    }
}

/// 4 rows of 3 columns of 3 colours in 2 bytes: 72 a frame; of YBR_FULL_422 two of three are stored
/// (PS3.3, C.7.6.3.1.2).
#[test]
fn native_bytes_behind_the_last_frame_are_flagged() {
    let flags = |count: &str, interpretation: &str, length: usize| {
        let own = vec![
            (tags::COLUMNS, element(tags::COLUMNS, VR::US, &[3, 0])),
            (tags::BITS_ALLOCATED, element(tags::BITS_ALLOCATED, VR::US, &[16, 0])),
            (tags::SAMPLES_PER_PIXEL, element(tags::SAMPLES_PER_PIXEL, VR::US, &[3, 0])),
            (tags::NUMBER_OF_FRAMES, element(tags::NUMBER_OF_FRAMES, VR::IS, count.as_bytes())),
            (
                tags::PHOTOMETRIC_INTERPRETATION,
                element(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, interpretation.as_bytes()),
            ),
            (tags::PIXEL_DATA, element(tags::PIXEL_DATA, VR::OW, &vec![1; length])),
        ];
        cleaned(file(EXPLICIT, &object(own)), &[]).report.flags
    };
    for (count, interpretation, fits) in [("1", "RGB", 72), ("2", "RGB", 144), ("1", "YBR_FULL_422", 48)] {
        assert_eq!(flags(count, interpretation, fits), []);
        assert_eq!(flags(count, interpretation, fits + 2), [Flag::BytesBehindFrames]);
    }
}
