//! Every attribute of table E.1-1, at the top of an object and inside an item, with and without its option.

use std::collections::BTreeSet;

use dicom_core::VR;
use dicom_core::header::Tag;
use part10::implied_vr;

use crate::builder::*;

/// A row: tag, code of the Basic Profile, options.
pub fn rows() -> Vec<(Tag, String, Vec<String>)> {
    let text = include_str!("../../data/table_e_1_1.txt");
    let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut columns = line.split(' ').map(str::to_owned);
        let tag = u32::from_str_radix(&columns.next().unwrap(), 16).unwrap();
        (Tag((tag >> 16) as u16, tag as u16), columns.next().unwrap(), columns.collect())
    });
    rows.collect()
}

/// Attributes that an object cannot do without, or that stand for the patient: their tests are in `journeys`.
const OWN: [Tag; 6] = [
    Tag(0x0008, 0x0018),
    Tag(0x0010, 0x0010),
    Tag(0x0010, 0x0020),
    Tag(0x0020, 0x000D),
    Tag(0x0020, 0x000E),
    Tag(0x0008, 0x0016),
];

/// What the value of `tag` was and has become, in an item of a sequence that is kept.
fn nested(tag: Tag, words: &[&str]) -> Option<Vec<u8>> {
    // Referenced Series Sequence is in no row
    let sequence = Tag(0x0008, 0x1115);
    let more = vec![(sequence, element(sequence, VR::SQ, &item(&told(tag))))];
    let header = header(file(EXPLICIT, &object(more)), words);
    let items = header.get(sequence)?.items()?;
    items[0].get(tag).map(raw)
}

fn at_the_top(tag: Tag, words: &[&str]) -> Option<Vec<u8>> {
    let header = header(file(EXPLICIT, &object(vec![(tag, told(tag))])), words);
    header.get(tag).map(raw)
}

/// The value as text; of a sequence, the meanings in its items.
fn raw(element: &dicom_object::mem::InMemElement) -> Vec<u8> {
    match element.items() {
        Some(items) => {
            let meanings = items.iter().filter_map(|item| item.get(Tag(0x0008, 0x0104)));
            let found: Vec<String> = meanings.map(|it| it.to_str().unwrap().into_owned()).collect();
            if items.is_empty() { Vec::new() } else { format!("items {found:?}").into_bytes() }
        }
        None => element.to_bytes().unwrap().into_owned(),
    }
}

/// What became of `former`, as an action code.
fn became(former: &[u8], now: Option<Vec<u8>>) -> &'static str {
    match now {
        None => "X",
        Some(now) if now.is_empty() => "Z",
        Some(now) if now == former => "K",
        Some(_) => "D",
    }
}

fn former(tag: Tag) -> Vec<u8> {
    match implied_vr(tag) {
        VR::SQ => format!("items {:?}", [SECRET]).into_bytes(),
        VR::UN => SECRET.into(),
        vr => telling(vr),
    }
}

/// What each code may become: of two the one that conforms whichever type the attribute has (crate documentation).
pub fn expected(code: &str, tag: Tag) -> &'static str {
    match code {
        "X" => "X",
        "Z" | "X/Z" => "Z",
        "D" | "Z/D" | "X/D" | "X/Z/D" | "U" => "D",
        // the references of a sequence are replaced where they are; here it holds none
        "X/Z/U*" if implied_vr(tag) == VR::SQ => "K",
        _ => panic!("{code}"),
    }
}

#[test]
fn every_row_is_done_at_the_top_and_in_items() {
    for (tag, code, _) in rows() {
        let former = former(tag);
        let expected = expected(&code, tag);
        // File Meta Information, commands and directories have no place in a data set
        if matches!(tag.group(), 0 | 2 | 4) {
            assert_eq!(nested(tag, &[]).as_deref().map(<[u8]>::len).map_or("X", |_| "D"), expected, "{tag}");
            continue;
        }
        assert_eq!(became(&former, nested(tag, &[])), expected, "{tag} {code} in an item");
        if !OWN.contains(&tag) {
            assert_eq!(became(&former, at_the_top(tag, &[])), expected, "{tag} {code}");
        }
    }
}

#[test]
fn every_option_keeps_or_cleans_its_rows() {
    let words = [
        ("uids=K", "uids"),
        ("device=K", "device"),
        ("institution=K", "institution"),
        ("patient=K", "patient-characteristics"),
        ("dates", "full-dates"),
        ("structured", "structured-content"),
        ("graphics", "graphics"),
    ];
    for (tag, code, options) in rows() {
        if matches!(tag.group(), 0 | 2 | 4) {
            continue;
        }
        for (option, word) in words {
            let is_kept = options.iter().any(|it| it == option);
            // cleaned under the same option: the next test
            if options.iter().any(|it| it.strip_suffix('C') == option.strip_suffix('K') && it.ends_with("=C"))
            {
                continue;
            }
            let found = became(&former(tag), nested(tag, &[word]));
            assert_eq!(found, if is_kept { "K" } else { expected(&code, tag) }, "{tag} under {word}");
        }
    }
}

/// Whatever is retained or cleaned, what has an option of cleaning alone does not stay as it was.
#[test]
fn what_is_to_be_cleaned_does_not_stay() {
    let cleaned = [
        ("device=C", "device"),
        ("patient=C", "patient-characteristics"),
        ("descriptors", "descriptors"),
        ("dates", "modified-dates"),
    ];
    for (tag, _, options) in rows() {
        for (option, word) in cleaned {
            let is_sequence = implied_vr(tag) == VR::SQ;
            let is_time = implied_vr(tag) == VR::TM;
            if options.iter().any(|it| it == option) && !is_sequence && !is_time {
                assert_ne!(became(&former(tag), nested(tag, &[word])), "K", "{tag} under {word}");
            }
        }
    }
}

/// All rows in one object, in each little-endian writing: no value of those that go is found in the bytes.
#[test]
fn nothing_of_a_full_object_is_left() {
    let gone: BTreeSet<Tag> = rows().into_iter().map(|(tag, ..)| tag).filter(|tag| tag.group() > 4).collect();
    let more = gone.iter().filter(|tag| !OWN.contains(tag)).map(|tag| (*tag, told(*tag))).collect();
    let bytes = file(EXPLICIT, &object(more));
    assert!(has(&bytes, SECRET.as_bytes()) && has(&bytes, b"20200202"));
    let fresh = cleaned(bytes, &[]).into_bytes();
    for secret in [SECRET.as_bytes(), b"20200202", b"1.2.3.4.", b"MRN-4711", "Müller".as_bytes(), b"042Y"] {
        // what two sequences of references hold is not theirs to tell: their items have no UIDs here
        let found = fresh.windows(secret.len()).filter(|window| *window == secret).count();
        let allowed = if secret == SECRET.as_bytes() { 2 } else { 0 };
        assert_eq!(found, allowed, "{}", String::from_utf8_lossy(secret));
    }
}
