//! Files that break readers.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::{Compression, write::DeflateEncoder};
use part10::{Limits, Part10};

use crate::support::*;

macro_rules! hostile {
    ($name:literal) => {
        &include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/hostile/", $name))[..]
    };
}

/// tests/hostile/README.md; the last four are faults of the codestream or of a LUT, and whole as files.
#[test]
fn the_ten_files_that_break_dicom_rs_end_in_an_answer() {
    let expected = [
        (hostile!("hugelen_un_4g.dcm"), "truncated"),
        (hostile!("hugelen_unknown_vr.dcm"), "none"),
        (hostile!("misalign_ul_len26.dcm"), "malformed"),
        (hostile!("nest_1200.dcm"), "too-deep"),
        (hostile!("lazyreader_panic.dcm"), "malformed"),
        (hostile!("jpegls_truncated_cpu.dcm"), "truncated"),
        (hostile!("rle_nseg_max.dcm"), "none"),
        (hostile!("rle_15seg_zero_offsets.dcm"), "none"),
        (hostile!("jpeg_dims.dcm"), "none"),
        (hostile!("lut_bits_stored_0.dcm"), "none"),
    ];
    for (at, (bytes, code)) in expected.into_iter().enumerate() {
        let begun = Instant::now();
        assert_eq!(refusal(bytes), code, "file {at}");
        assert!(begun.elapsed() < Duration::from_secs(1), "file {at}");
    }
}

#[test]
fn what_is_not_dicom_says_so() {
    assert_eq!(refusal(b""), "empty");
    assert_eq!(refusal(b"<!DOCTYPE html><html></html>"), "not-dicom");
    assert_eq!(refusal(&[0; 4096]), "not-dicom");
    assert_eq!(refusal(&file(native(), EXPLICIT)[128..]), "not-dicom");
}

#[test]
fn a_file_that_ends_anywhere_early_is_never_read_as_whole() {
    let whole = file(encapsulated(1, &[], &[b"aaaa"]), RLE);
    for end in 1..whole.len() {
        let part = &whole[..end];
        match refusal(part) {
            "not-dicom" => assert!(end < 132, "{end}"),
            "truncated" | "malformed" => assert!(end >= 132, "{end}"),
            // cut between two elements: what is there is whole, and Pixel Data is not there
            "none" => assert!(read(part).unwrap().pixel_data().is_none(), "{end}"),
            code => panic!("{end}: {code}"),
        }
    }
}

/// Sequences of undefined length, one in the other, each with one item.
fn nested(levels: usize) -> Vec<u8> {
    let mut data_set = Vec::new();
    for _ in 0..levels {
        data_set.extend_from_slice(&[0x08, 0, 0x15, 0x11, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
        data_set.extend_from_slice(&[0xFE, 0xFF, 0x00, 0xE0, 0xFF, 0xFF, 0xFF, 0xFF]);
    }
    for _ in 0..levels {
        data_set.extend_from_slice(&[0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0]);
        data_set.extend_from_slice(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    }
    file_of(EXPLICIT, &data_set)
}

#[test]
fn sequences_nest_64_deep_and_no_deeper() {
    assert_eq!(refusal(&nested(64)), "none");
    assert_eq!(refusal(&nested(65)), "too-deep");
    assert_eq!(refusal(&nested(1200)), "too-deep");
}

fn deflated(data_set: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data_set).unwrap();
    file_of(DEFLATED, &encoder.finish().unwrap())
}

#[test]
fn a_deflate_bomb_is_refused_before_it_fills_the_memory() {
    // 64 MiB of zeros deflate by about 1,000
    assert_eq!(refusal(&deflated(&vec![0; 64 << 20])), "inflate-bomb");
    let small = Limits { inflated_bytes: 1000, ..Limits::default() };
    let bytes = deflated(&[0; 1001]);
    assert_eq!(Part10::read(bytes.into(), &small).unwrap_err().code(), "inflate-bomb");
    let good = file(native(), DEFLATED);
    assert_eq!(refusal(&good[..good.len() - 6]), "truncated");
}

#[test]
fn each_limit_is_kept() {
    let defaults = Limits::default();
    let read = |bytes: &[u8], limits| Part10::read(bytes.to_vec().into(), &limits).unwrap_err().code();
    let image = file(encapsulated(2, &[], &[b"aa", b"bb"]), RLE);
    assert_eq!(read(&image, Limits { group2_bytes: 20, ..defaults }), "too-large");
    assert_eq!(read(&image, Limits { header_bytes: 20, ..defaults }), "too-large");
    assert_eq!(read(&image, Limits { elements: 5, ..defaults }), "too-large");
    assert_eq!(read(&image, Limits { fragments: 1, ..defaults }), "too-large");
}

/// A text of backslashes would cost 24 bytes for each of its own.
#[test]
fn a_text_of_backslashes_stays_whole() {
    let mut data_set = vec![0x08, 0, 0x08, 0, b'C', b'S', 0x20, 0x4E];
    data_set.resize(8 + 20_000, b'\\');
    let limits = Limits { elements: 1000, ..Limits::default() };
    let file = Part10::read(file_of(EXPLICIT, &data_set).into(), &limits).unwrap();
    let value = file.header().element(dicom_dictionary_std::tags::IMAGE_TYPE).unwrap();
    assert_eq!(value.value().multiplicity(), 1);
}

#[test]
fn delimiters_and_items_out_of_place_are_malformed() {
    let sequence = [0x08, 0, 0x15, 0x11, b'S', b'Q', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    let item = [0xFE, 0xFF, 0x00, 0xE0, 0, 0, 0, 0];
    let item_end = [0xFE, 0xFF, 0x0D, 0xE0, 0, 0, 0, 0];
    let rows = [0x28, 0, 0x10, 0, b'U', b'S', 2, 0, 4, 0];
    for data_set in [
        [&rows[..], &item].concat(),
        [&rows[..], &item_end].concat(),
        [&sequence[..], &rows].concat(),
        [&sequence[..], &item_end].concat(),
    ] {
        assert_eq!(refusal(&file_of(EXPLICIT, &data_set)), "malformed");
    }
    assert_eq!(refusal(&file_of(EXPLICIT, &[&sequence[..], &item].concat())), "truncated");
    assert_eq!(refusal(&file_of(EXPLICIT, &sequence)), "truncated");
}

#[test]
fn pixel_data_that_stands_twice_is_malformed() {
    let pixels = [0xE0, 0x7F, 0x10, 0, b'O', b'W', 0, 0, 2, 0, 0, 0, 1, 0];
    assert_eq!(refusal(&file_of(EXPLICIT, &[pixels, pixels].concat())), "malformed");
}
