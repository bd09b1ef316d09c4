//! Holds the tables of `CONFORMANCE.md` to the code's own: each stands between two marks with its name.

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::{StandardDataDictionary, uids};
use ingest::pixels::ENCODERS;

use crate::search::key_rows;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../CONFORMANCE.md");

/// The document with `table` between the marks of this name; `None` where it has no such marks.
fn with_table(document: &str, name: &str, table: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- table {name} -->\n"), format!("<!-- end {name} -->"));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}{table}{end}{after}"))
}

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

/// `UPDATE_GOLDEN=1` writes the tables anew.
#[test]
fn the_conformance_statement_has_the_code_s_own_tables() {
    let kept = std::fs::read_to_string(PATH).unwrap();
    let mut made = kept.clone();
    for (name, table) in [("qido-keys", keys()), ("encoded-transfer-syntaxes", encoded())] {
        made = with_table(&made, name, &table)
            .unwrap_or_else(|| panic!("CONFORMANCE.md has no marks of {name}"));
    }
    #[expect(clippy::disallowed_methods, reason = "a test has no Config")]
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        return std::fs::write(PATH, made).unwrap();
    }
    assert!(kept == made, "a table of CONFORMANCE.md is not the code's: run with UPDATE_GOLDEN=1");
}

#[test]
fn a_table_is_put_between_its_marks_alone() {
    let document = "a\n<!-- table x -->\nold\n<!-- end x -->\nb\n";
    let made = with_table(document, "x", "new\n").unwrap();
    assert_eq!(made, "a\n<!-- table x -->\nnew\n<!-- end x -->\nb\n");
    assert_eq!(with_table(document, "y", "new\n"), None);
}
