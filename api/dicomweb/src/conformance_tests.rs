//! Holds the tables of `CONFORMANCE.md` to the code's own: each stands between two marks with its name.

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::{StandardDataDictionary, uids};
use ingest::pixels::ENCODERS;

use crate::search::{answer_rows, key_rows};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../CONFORMANCE.md");

fn keyword(tag: Tag) -> &'static str {
    StandardDataDictionary.by_tag(tag).map_or("", |entry| entry.alias())
}

/// The keys of QIDO-RS: path, level and kinds of matching.
fn keys() -> String {
    let mut table = "| Attribute | Tag | Level | Matching |\n|---|---|---|---|\n".to_owned();
    for (path, level, matching) in key_rows() {
        let keywords: Vec<_> = path.iter().map(|tag| keyword(*tag)).collect();
        let tags: Vec<_> = path.iter().map(|tag| format!("({:04X},{:04X})", tag.0, tag.1)).collect();
        table += &format!("| {} | {} | {level} | {matching} |\n", keywords.join("."), tags.join("."));
    }
    table
}

/// The transfer syntaxes that are written.
fn encoded() -> String {
    let name = |uid: &str| match uid {
        uids::IMPLICIT_VR_LITTLE_ENDIAN => "Implicit VR Little Endian",
        uids::EXPLICIT_VR_LITTLE_ENDIAN => "Explicit VR Little Endian",
        uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN => "Deflated Explicit VR Little Endian",
        uids::RLE_LOSSLESS => "RLE Lossless",
        uids::JPEG_BASELINE8_BIT => "JPEG Baseline, Process 1",
        uids::JPEG_LOSSLESS_SV1 => "JPEG Lossless, Process 14, Selection Value 1",
        uids::JPEGLS_LOSSLESS => "JPEG-LS Lossless",
        uids::JPEG2000_LOSSLESS => "JPEG 2000 Lossless",
        _ => panic!("{uid} has no name here"),
    };
    let rows = ENCODERS.iter().map(|uid| format!("| {} | {uid} |\n", name(uid)));
    format!("| Transfer syntax | UID |\n|---|---|\n{}", rows.collect::<String>())
}

/// What each result of a level tells.
fn answers() -> String {
    let rows = answer_rows().iter().map(|(level, tags)| {
        let names: Vec<_> = tags.iter().map(|tag| keyword(*tag)).collect();
        format!("| {level:?} | {} |\n", names.join(", "))
    });
    format!("| Level | Attributes |\n|---|---|\n{}", rows.collect::<String>())
}

#[test]
fn the_conformance_statement_has_the_code_s_own_tables() {
    let tables =
        [("qido-keys", keys()), ("qido-answers", answers()), ("encoded-transfer-syntaxes", encoded())];
    storage::testing::hold_tables(PATH, &tables);
}
