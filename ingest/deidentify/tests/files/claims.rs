//! Attributes whose VR in the file is another than the dictionary's, and such as no dictionary knows.

use dicom_core::VR;
use dicom_core::header::Tag;
use dicom_dictionary_std::tags;
use part10::text;

use crate::builder::*;

/// Functional groups stand in no row of table E.1-1; in the dictionary they are a sequence.
#[test]
fn a_sequence_that_came_as_bytes_goes() {
    let groups = tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE;
    let items = item(&told(tags::PATIENT_COMMENTS));
    let mut fragments = vec![0x00, 0x52, 0x29, 0x92, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
    fragments.extend(items.clone());
    fragments.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    let written =
        [VR::OB, VR::UT, VR::LO, VR::UN].map(|vr| element(groups, vr, &items)).into_iter().chain([fragments]);
    for whole in written {
        let bytes = file(EXPLICIT, &object(vec![(groups, whole)]));
        let fresh = cleaned(bytes, &[]);
        assert!(fresh.report.changes.removed > 0);
        assert!(!has(&fresh.into_bytes()[128..], SECRET.as_bytes()));
    }
    let kept = header(file(EXPLICIT, &object(vec![(groups, element(groups, VR::SQ, &items))])), &[]);
    assert_eq!(kept.get(groups).unwrap().items().unwrap().len(), 1);
}

/// None of the three is in a row: a date, a name, a UID.
#[test]
fn dates_names_and_uids_that_came_as_texts_are_known_by_their_tag() {
    let (date, name, uid) =
        (tags::EXPIRY_DATE, tags::SECONDARY_REVIEWER_NAME, tags::TARGET_FRAME_OF_REFERENCE_UID);
    for vr in [VR::LO, VR::SH, VR::UT, VR::TM] {
        let own = vec![
            (date, element(date, vr, b"20240301")),
            (name, element(name, vr, SECRET.as_bytes())),
            (uid, element(uid, vr, b"1.2.3.4.99999")),
        ];
        let bytes = file(EXPLICIT, &object(own));
        let fresh = cleaned(bytes.clone(), &[]).into_bytes();
        for secret in [&b"20240301"[..], SECRET.as_bytes(), b"1.2.3.4.99999"] {
            assert!(!has(&fresh, secret), "{vr} {}", String::from_utf8_lossy(secret));
        }
        let moved = header(bytes, &["modified-dates"]);
        let moved = text(&moved, date).unwrap();
        assert!(moved.len() == 8 && moved.starts_with("20") && moved != "20240301", "{vr} {moved}");
    }
}

/// A date where the dictionary has a text, too.
#[test]
fn what_the_file_calls_a_date_or_a_name_is_taken_for_one() {
    let own = vec![
        (tags::SCANNING_SEQUENCE, element(tags::SCANNING_SEQUENCE, VR::DA, b"20240301")),
        (tags::SEQUENCE_VARIANT, element(tags::SEQUENCE_VARIANT, VR::PN, SECRET.as_bytes())),
    ];
    let fresh = cleaned(file(EXPLICIT, &object(own)), &[]).into_bytes();
    assert!(!has(&fresh, b"20240301") && !has(&fresh, SECRET.as_bytes()));
}

#[test]
fn what_no_dictionary_knows_goes_whatever_its_vr() {
    let unknown = Tag(0x0008, 0xEEEE);
    for vr in [VR::LO, VR::UT, VR::OB, VR::CS, VR::UN, VR::UI] {
        let header =
            header(file(EXPLICIT, &object(vec![(unknown, element(unknown, vr, SECRET.as_bytes()))])), &[]);
        assert!(header.get(unknown).is_none(), "{vr}");
    }
}
