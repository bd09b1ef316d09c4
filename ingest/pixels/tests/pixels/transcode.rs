//! Objects in another transfer syntax, read back by our own decoders; the foreign ones stand in
//! `tests/flows/foreign_files.rs`.

use crate::support::{ObjectBuilder, frames, golden, read};
use bytes::Bytes;
use clinical::uid::TransferSyntaxUid;
use dicom_dictionary_std::tags;
use part10::{Limits, Part10, PixelDataAt, text};
use pixels::{DecodePool, ENCODERS, PixelLimits, TranscodeError, can_encode, encode_frame, transcode};

const IMPLICIT: &str = "1.2.840.10008.1.2";
const EXPLICIT: &str = "1.2.840.10008.1.2.1";
const RLE: &str = "1.2.840.10008.1.2.5";
const BASELINE: &str = "1.2.840.10008.1.2.4.50";
const JPEG_LS: &str = "1.2.840.10008.1.2.4.80";
const JPEG_2000: &str = "1.2.840.10008.1.2.4.90";

const GOLDEN: [&str; 14] = [
    "jpeg_lossless_predictor_1",
    "jpeg_lossless_predictor_3",
    "jpeg_lossless_predictor_4",
    "jpeg_lossless_predictor_6",
    "jpegls_grey",
    "jpegls_rgb",
    "rle_16",
    "rle_rgb",
    "big_endian",
    "deflated",
    "implicit",
    "jpeg2000_signed",
    "jpeg2000_rct",
    "jpegxl_12",
];

fn uid(text: &str) -> TransferSyntaxUid {
    text.parse().unwrap()
}

fn in_syntax(object: &Part10, to: &str) -> Result<Part10, TranscodeError> {
    let file = transcode(object, &uid(to), &PixelLimits::default(), &DecodePool::inline())?;
    assert!(file.len() % 2 == 0 || file == object.file(), "the file has odd length");
    let object = Part10::read(file, &Limits::default()).unwrap();
    assert_eq!(object.transfer_syntax().as_str(), to);
    Ok(object)
}

#[test]
fn every_lossless_syntax_gives_back_every_value() {
    for name in GOLDEN {
        let object = golden(name);
        let before = frames(&object).unwrap();
        for to in ENCODERS.iter().filter(|to| **to != BASELINE) {
            let written = in_syntax(&object, to).unwrap_or_else(|error| panic!("{name} to {to}: {error}"));
            let after = frames(&written).unwrap_or_else(|error| panic!("{name} as {to}: {error}"));
            assert!(before == after, "{name} as {to}");
            let back = in_syntax(&written, IMPLICIT).unwrap();
            assert!(frames(&back).unwrap() == before, "{name} by {to} back");
        }
    }
}

/// What stands around the pixels stays: the same elements in the same order, as far as they are of no group length.
#[test]
fn the_elements_stay_as_they_were() {
    for name in GOLDEN {
        let object = golden(name);
        for to in ENCODERS.iter().filter(|to| **to != BASELINE) {
            let written = in_syntax(&object, to).unwrap();
            for element in object.header().iter() {
                let tag = element.header().tag;
                let follows_pixels =
                    [tags::PHOTOMETRIC_INTERPRETATION, tags::PLANAR_CONFIGURATION].contains(&tag);
                if tag.element() != 0 && !follows_pixels {
                    assert_eq!(
                        text(object.header(), tag),
                        text(written.header(), tag),
                        "{name} as {to}: {tag}"
                    );
                }
            }
        }
    }
}

/// PS3.5, section A.4: a Basic Offset Table, a fragment a frame, even lengths.
#[test]
fn frames_are_found_by_the_offset_table() {
    let pixels: Vec<u8> = (0..45).collect();
    let object =
        ObjectBuilder::little().multi_frame("MONOCHROME2", 3, 3, 5, (8, 8), 0, 0).pixels("OB", &pixels);
    for to in [RLE, JPEG_LS, JPEG_2000] {
        let written = in_syntax(&object, to).unwrap();
        let Some(PixelDataAt::Encapsulated { offset_table, fragments }) = written.pixel_data() else {
            panic!("{to} is not encapsulated");
        };
        assert_eq!(offset_table.len(), 3, "{to}");
        for (offset, fragment) in offset_table.iter().zip(fragments) {
            assert_eq!(u64::from(*offset), fragment.start - fragments[0].start, "{to}");
            assert_eq!((fragment.end - fragment.start) % 2, 0, "{to}");
        }
        assert_eq!(frames(&written).unwrap(), frames(&object).unwrap(), "{to}");
        let frame =
            |of: &Part10, to| encode_frame(of, 1, &uid(to), &PixelLimits::default(), &DecodePool::inline());
        assert_eq!(frame(&written, EXPLICIT).unwrap(), &pixels[15..30], "{to}");
        let mut codestream = frame(&object, to).unwrap();
        codestream.resize(codestream.len().next_multiple_of(2), 0);
        assert_eq!(written.encapsulated_frame(1).unwrap(), [Bytes::from(codestream)], "{to}");
    }
}

/// PS3.5, section 8.1.1: overlays in unused bits are no part of the sample, and are not lost.
#[test]
fn bits_beside_the_sample_are_kept() {
    let words = [0x8FFF_u16, 0x0001, 0x7123, 0xF000].map(u16::to_le_bytes).concat();
    let object = ObjectBuilder::little().image("MONOCHROME2", 2, 2, (16, 12), 0).pixels("OW", &words);
    for to in [RLE, JPEG_LS, JPEG_2000, "1.2.840.10008.1.2.4.70"] {
        let written = in_syntax(&object, to).unwrap();
        assert_eq!(frames(&written).unwrap(), frames(&object).unwrap(), "{to}");
        if to == RLE {
            let native = in_syntax(&written, EXPLICIT).unwrap();
            let Some(PixelDataAt::Native { offset, length }) = native.pixel_data() else {
                panic!("not native")
            };
            assert_eq!(native.bytes(*offset..offset + length), words);
        }
    }
}

/// PS3.5, annex A.3: 8-bit samples in big-endian OW lie in swapped pairs, wide ones in words of their own size.
#[test]
fn big_endian_becomes_little_endian() {
    let object =
        ObjectBuilder::big().image("MONOCHROME2", 1, 1, (32, 32), 1).pixels("OW", &[0xFF, 0xFF, 0xFF, 0xFE]);
    for to in [IMPLICIT, EXPLICIT, RLE] {
        assert_eq!(frames(&in_syntax(&object, to).unwrap()).unwrap(), frames(&object).unwrap(), "{to}");
    }
    let bytes = ObjectBuilder::big().image("MONOCHROME2", 1, 4, (8, 8), 0).pixels("OW", &[2, 1, 4, 3]);
    assert_eq!(frames(&in_syntax(&bytes, EXPLICIT).unwrap()).unwrap(), frames(&bytes).unwrap());
}

/// PS3.3, section C.7.6.1.1.5: what was lossy once is called so for ever.
#[test]
fn lossy_compression_is_told() {
    let pixels: Vec<u8> = (0..64).map(|value| value * 3).collect();
    let object = ObjectBuilder::little().image("MONOCHROME2", 8, 8, (8, 8), 0).pixels("OB", &pixels);
    let written = in_syntax(&object, BASELINE).unwrap();
    assert_eq!(text(written.header(), tags::LOSSY_IMAGE_COMPRESSION).as_deref(), Some("01"));
    assert_eq!(text(written.header(), tags::LOSSY_IMAGE_COMPRESSION_METHOD).as_deref(), Some("ISO_10918_1"));
    let again = in_syntax(&written, EXPLICIT).unwrap();
    assert_eq!(text(again.header(), tags::LOSSY_IMAGE_COMPRESSION).as_deref(), Some("01"));
    let after = frames(&again).unwrap()[0].samples.clone();
    let furthest = (0..64).map(|at| (after.at(at) - i64::from(pixels[at])).abs()).max();
    assert!(furthest <= Some(3), "{furthest:?}");
}

/// The three syntaxes that leave it open: near-lossless frames say so, JPEG 2000 and JPEG XL cannot prove the contrary;
/// the object's own word goes before.
#[test]
fn what_may_be_lossy_and_is_silent_about_it_is_called_lossy() {
    let native = |object: &Part10| {
        let object = in_syntax(object, EXPLICIT).unwrap();
        text(object.header(), tags::LOSSY_IMAGE_COMPRESSION)
    };
    for (name, from, to, expected) in [
        ("jpegls_grey", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81", None),
        ("jpegls_near", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.81", Some("01")),
        ("jpeg2000_signed", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", Some("01")),
        ("jpeg2000_signed", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.90", None),
    ] {
        let mut file = golden(name).file().to_vec();
        let at = file.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        file[at..at + to.len()].copy_from_slice(to.as_bytes());
        let said = b"\x28\0\x10\x21CS\x02\0";
        if let Some(at) = file.windows(said.len()).position(|window| window == said) {
            file[at + 8..at + 10].copy_from_slice(b"  ");
            let object = read(file.clone());
            assert_eq!(text(object.header(), tags::LOSSY_IMAGE_COMPRESSION).unwrap_or_default(), "");
            // the object's own word
            let mut denied = file.clone();
            denied[at + 8..at + 10].copy_from_slice(b"00");
            assert_eq!(native(&read(denied)).as_deref(), Some("00"), "{name} as {to}");
        }
        assert_eq!(native(&read(file)).as_deref(), expected, "{name} as {to}");
    }
}

/// Colours come back within what quantizer and colour matrix round.
#[test]
fn baseline_colours_come_close() {
    let pixels: Vec<u8> = (0..8 * 8).flat_map(|at: u8| [at * 2, 128, 255 - at * 2]).collect();
    let object = ObjectBuilder::little().image("RGB", 8, 8, (8, 8), 0).pixels("OB", &pixels);
    let written = in_syntax(&object, BASELINE).unwrap();
    assert_eq!(text(written.header(), tags::PHOTOMETRIC_INTERPRETATION).as_deref(), Some("YBR_FULL_422"));
    let after = frames(&written).unwrap()[0].samples.clone();
    let furthest = (0..pixels.len()).map(|at| (after.at(at) - i64::from(pixels[at])).abs()).max();
    assert!(furthest <= Some(6), "{furthest:?}");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let code = |object: &Part10, to: &str| {
        let outcome = transcode(object, &uid(to), &PixelLimits::default(), &DecodePool::inline());
        outcome.map_err(|error| error.code()).map(|file| file.len())
    };
    let wide = ObjectBuilder::little().image("MONOCHROME2", 1, 1, (32, 32), 0).pixels("OW", &[1, 2, 3, 4]);
    for to in [JPEG_LS, JPEG_2000, BASELINE] {
        assert_eq!(code(&wide, to), Err("not-representable"), "{to}");
    }
    let words = ObjectBuilder::little().image("MONOCHROME2", 1, 1, (16, 12), 0).pixels("OW", &[1, 2]);
    assert_eq!(code(&words, BASELINE), Err("not-representable"));
    let bits = ObjectBuilder::little().image("MONOCHROME2", 1, 8, (1, 1), 0).pixels("OB", &[5, 0]);
    assert_eq!(code(&bits, RLE), Err("not-representable"));
    assert_eq!(code(&words, "1.2.840.10008.1.2.4.201"), Err("unsupported-transfer-syntax"));
    let report = ObjectBuilder::little().number(0x28, 0x10, 1).file();
    assert_eq!(code(&report, RLE), Err("no-pixels"));
    assert!(code(&report, IMPLICIT).is_ok());
    assert!(can_encode(&uid(RLE)) && !can_encode(&uid("1.2.840.10008.1.2.4.201")));
}

/// Sequences, private elements and an icon: what the new syntax cannot hold is left out, all else is there.
#[test]
fn nested_elements_are_written_again() {
    let icon: &[u8] =
        b"\xFE\xFF\x00\xE0\xFF\xFF\xFF\xFF\x28\0\x10\0US\x02\0\x01\0\xE0\x7F\x10\0OB\0\0\xFF\xFF\xFF\xFF\
        \xFE\xFF\x00\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
    let mut file = ObjectBuilder::little().element(0x09, 0x10, "LO", b"ACME").file().file().to_vec();
    file.extend_from_slice(b"\x88\0\0\x02SQ\0\0\xFF\xFF\xFF\xFF");
    file.extend_from_slice(icon);
    let object = read(file);
    assert!(object.header().get(tags::ICON_IMAGE_SEQUENCE).is_some());
    let written = in_syntax(&object, IMPLICIT).unwrap();
    assert!(written.header().get(tags::ICON_IMAGE_SEQUENCE).is_none());
    assert_eq!(text(written.header(), dicom_core::Tag(0x09, 0x10)).as_deref(), Some("ACME"));
    let explicit = in_syntax(&written, EXPLICIT).unwrap();
    assert_eq!(text(explicit.header(), dicom_core::Tag(0x09, 0x10)).as_deref(), Some("ACME"));
}
