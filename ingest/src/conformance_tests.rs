//! Holds the tables of `CONFORMANCE.md` to the code's own: each stands between two marks with its name.

use deidentify::Profile;
use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::StandardDataDictionary;

use crate::dimse_door::key_rows;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../CONFORMANCE.md");

/// The words of every option of the profile of de-identification.
const OPTIONS: [&str; 10] = [
    "graphics",
    "structured-content",
    "descriptors",
    "full-dates",
    "modified-dates",
    "patient-characteristics",
    "device",
    "uids",
    "safe-private",
    "institution",
];

/// The keys of C-FIND: path, level and kinds of matching.
fn keys() -> String {
    let keyword = |tag: &Tag| StandardDataDictionary.by_tag(*tag).map_or("", |entry| entry.alias());
    let mut table = "| Attribute | Tag | Level | Matching |\n|---|---|---|---|\n".to_owned();
    for (path, level, matching) in key_rows() {
        let keywords: Vec<_> = path.iter().map(keyword).collect();
        let tags: Vec<_> = path.iter().map(|tag| format!("({:04X},{:04X})", tag.0, tag.1)).collect();
        let (level, names, tags) = (level.as_str(), keywords.join("."), tags.join("."));
        table += &format!("| {names} | {tags} | {level} | {matching} |\n");
    }
    table
}

/// What each option of the profile is called, and its code in the scheme DCM.
fn options() -> String {
    let basic = Profile::default().codes();
    let row = |word: &&str| {
        let mut profile = Profile::default();
        profile.choose(word).expect("the word of an option");
        let added = profile.codes().into_iter().filter(|code| !basic.contains(code));
        added.map(|(code, meaning)| format!("| {meaning} | {code} | `{word}` |\n")).collect::<String>()
    };
    let basic: String =
        basic.iter().map(|(code, meaning)| format!("| {meaning} | {code} | always |\n")).collect();
    format!("| Option | Code | Word |\n|---|---|---|\n{basic}{}", OPTIONS.iter().map(row).collect::<String>())
}

#[test]
fn the_conformance_statement_has_the_code_s_own_tables() {
    let tables = [("c-find-keys", keys()), ("deidentification-options", options())];
    storage::testing::hold_tables(PATH, &tables);
}
