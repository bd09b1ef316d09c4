//! What a whole file becomes.

use std::io::Cursor;

use bytes::Bytes;
use deidentify::{BurnedIn, DeidentifyError, Flag, Profile, Project, deidentify, deidentify_to};
use dicom_core::VR;
use dicom_core::header::Tag;
use dicom_core::value::PrimitiveValue;
use dicom_dictionary_std::tags;
use part10::{Limits, Part10, text};
use proptest::prelude::*;

use crate::builder::*;

fn put(tag: Tag, vr: VR, value: &str) -> (Tag, Vec<u8>) {
    (tag, element(tag, vr, value.as_bytes()))
}

fn pixels(length: usize) -> (Tag, Vec<u8>) {
    let value: Vec<u8> = (0..length).map(|index| (index * 31 / 7) as u8).collect();
    (tags::PIXEL_DATA, element(tags::PIXEL_DATA, VR::OW, &value))
}

fn read(bytes: &Bytes) -> Part10 {
    Part10::read(bytes.clone(), &Limits::default()).unwrap()
}

/// PS3.15, section E.1.1, items 6 and 7.
#[test]
fn the_object_says_what_was_done_and_the_file_not_who_sent_it() {
    let fresh = cleaned(file(EXPLICIT, &object(vec![])), &["modified-dates", "device"]);
    let report = fresh.report.clone();
    let bytes = fresh.into_bytes();
    assert!(!has(&bytes, SECRET.as_bytes()), "preamble and source AE title");
    assert!(bytes[..128].iter().all(|byte| *byte == 0));
    let file = read(&bytes);
    let word = |tag| text(file.header(), tag).unwrap_or_default();
    assert_eq!(word(tags::PATIENT_IDENTITY_REMOVED), "YES");
    assert_eq!(word(tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED), "MODIFIED");
    assert!(word(tags::DEIDENTIFICATION_METHOD).contains("PS3.15"));
    let codes = file.header().get(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE).unwrap().items().unwrap();
    let codes: Vec<_> = codes.iter().filter_map(|item| text(item, tags::CODE_VALUE)).collect();
    assert_eq!(codes, ["113100", "113107", "113109"]);
    assert_eq!(
        (word(tags::PATIENT_ID), word(tags::PATIENT_NAME)),
        (report.pseudonym.clone(), report.pseudonym)
    );
    assert_eq!(word(tags::SOP_INSTANCE_UID), report.sop_uid.as_str());
    assert_eq!(file.scan().meta().media_storage_sop_instance_uid(), report.sop_uid.as_str());
    assert_eq!(word(tags::SOP_CLASS_UID), "1.2.840.10008.5.1.4.1.1.2");
    assert_eq!(report.former_sop_uid.as_str(), "1.2.3.4.1");
}

#[test]
fn pixels_stay_where_they_are_and_are_not_copied() {
    let bytes = file(EXPLICIT, &object(vec![pixels(100_000)]));
    let fresh = cleaned(bytes.clone(), &[]);
    let value = bytes.slice(bytes.len() - 100_000..);
    let kept = fresh.chunks.iter().find(|chunk| chunk.len() > 100_000).unwrap();
    assert_eq!(kept[kept.len() - 100_000..].as_ptr(), value.as_ptr(), "a slice of what came in");
    let whole = fresh.into_bytes();
    assert!(whole.ends_with(&value));
    read(&whole);
}

#[test]
fn what_stands_behind_the_pixels_is_cleaned_too() {
    let trailing =
        [pixels(8), put(Tag(0xFFFC, 0xFFFC), VR::OB, SECRET), put(Tag(0x7FE1, 0x0010), VR::LO, SECRET)];
    let fresh = cleaned(file(EXPLICIT, &object(trailing.into())), &[]).into_bytes();
    assert!(!has(&fresh, SECRET.as_bytes()));
    assert!(read(&fresh).pixel_data().is_some());
}

#[test]
fn fragments_stay_as_they_are() {
    let mut value = Vec::new();
    for fragment in [&[][..], b"first!", b"second"] {
        value.extend(item(fragment));
    }
    let mut data_set = object(vec![]);
    data_set.extend_from_slice(&[0xE0, 0x7F, 0x10, 0, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    data_set.extend_from_slice(&value);
    data_set.extend_from_slice(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
    let fresh = cleaned(file("1.2.840.10008.1.2.5", &data_set), &[]).into_bytes();
    let fresh = read(&fresh);
    assert_eq!(fresh.transfer_syntax().as_str(), "1.2.840.10008.1.2.5");
    assert_eq!(fresh.encapsulated_frame(0).unwrap().concat(), b"first!second");
}

/// The same patient and the same UIDs in two files of a project; in another project nothing is alike.
#[test]
fn files_of_a_project_stay_together() {
    let at = |instance: &str, date: &str| {
        let own = [put(tags::SOP_INSTANCE_UID, VR::UI, instance), put(tags::STUDY_DATE, VR::DA, date)];
        file(EXPLICIT, &object(own.into()))
    };
    let (first, second) = (at("1.2.3.4.5", "20240301"), at("1.2.3.4.6", "20240311"));
    let words = ["modified-dates"];
    let (a, b) = (header(first.clone(), &words), header(second, &words));
    for tag in [tags::PATIENT_ID, tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID] {
        assert_eq!(text(&a, tag), text(&b, tag));
    }
    assert_ne!(text(&a, tags::SOP_INSTANCE_UID), text(&b, tags::SOP_INSTANCE_UID));
    let date = |header| {
        let text = text(header, tags::STUDY_DATE).unwrap();
        chrono::NaiveDate::parse_from_str(&text, "%Y%m%d").unwrap()
    };
    assert_eq!((date(&b) - date(&a)).num_days(), 10, "they move together");
    assert_ne!(text(&a, tags::STUDY_DATE).unwrap(), "20240301");
    let other = Project::named(&[7; 32], "other").unwrap();
    let elsewhere = deidentify(first, &profile(&words), &other).unwrap();
    let elsewhere = read(&elsewhere.into_bytes());
    for tag in [tags::PATIENT_ID, tags::STUDY_INSTANCE_UID, tags::SOP_INSTANCE_UID] {
        assert_ne!(text(&a, tag), text(elsewhere.header(), tag));
    }
}

#[test]
fn references_follow_the_objects_they_name() {
    let reference = item(&element(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, b"1.2.3.4.1"));
    let sequence =
        (tags::REFERENCED_IMAGE_SEQUENCE, element(tags::REFERENCED_IMAGE_SEQUENCE, VR::SQ, &reference));
    let header = header(file(EXPLICIT, &object(vec![sequence])), &[]);
    let items = header.get(tags::REFERENCED_IMAGE_SEQUENCE).unwrap().items().unwrap();
    assert_eq!(text(&items[0], tags::REFERENCED_SOP_INSTANCE_UID), text(&header, tags::SOP_INSTANCE_UID));
}

#[test]
fn private_elements_go_unless_they_are_known_as_safe() {
    let private = |creator: &str| {
        let own = [
            put(Tag(0x0019, 0x0010), VR::LO, creator),
            put(Tag(0x0019, 0x100C), VR::IS, "1000"),
            put(Tag(0x0019, 0x100F), VR::LO, SECRET),
            put(Tag(0x0029, 0x0010), VR::LO, SECRET),
            put(Tag(0x0029, 0x1000), VR::LO, SECRET),
        ];
        file(EXPLICIT, &object(own.into()))
    };
    let b_value = Tag(0x0019, 0x100C);
    let fresh = cleaned(private("SIEMENS MR HEADER"), &[]);
    assert_eq!(fresh.report.changes.private_removed, 5);
    let safe = cleaned(private("SIEMENS MR HEADER"), &["safe-private"]);
    assert_eq!(safe.report.changes.private_removed, 3);
    let bytes = safe.into_bytes();
    assert!(!has(&bytes, SECRET.as_bytes()));
    assert_eq!(text(read(&bytes).header(), b_value).as_deref(), Some("1000"));
    let stranger = header(private("SOMEBODY ELSE"), &["safe-private"]);
    assert!(stranger.get(b_value).is_none() && stranger.get(Tag(0x0019, 0x0010)).is_none());
}

#[test]
fn a_picture_that_says_it_shows_the_patient_is_refused_unless_told_otherwise() {
    let shown = file(EXPLICIT, &object(vec![put(tags::BURNED_IN_ANNOTATION, VR::CS, "YES"), pixels(8)]));
    let refused = deidentify(shown.clone(), &Profile::default(), &project());
    assert!(matches!(refused, Err(DeidentifyError::Refused(Flag::BurnedInAnnotation))));
    let lenient = Profile { burned_in: BurnedIn::Flagged, ..Profile::default() };
    let passed = deidentify(shown, &lenient, &project()).unwrap();
    assert_eq!(passed.report.flags, [Flag::BurnedInAnnotation]);
    let ultrasound = file(EXPLICIT, &object(vec![put(tags::MODALITY, VR::CS, "US"), pixels(8)]));
    assert_eq!(cleaned(ultrasound, &[]).report.flags, [Flag::MayHoldBurnedInText]);
    let clean = [put(tags::MODALITY, VR::CS, "US"), put(tags::BURNED_IN_ANNOTATION, VR::CS, "NO"), pixels(8)];
    assert_eq!(cleaned(file(EXPLICIT, &object(clean.into())), &[]).report.flags, []);
}

#[test]
fn descriptors_and_content_are_cleaned_to_what_names_nobody() {
    let text_item = [
        element(tags::VALUE_TYPE, VR::CS, b"TEXT"),
        element(tags::TEXT_VALUE, VR::UT, b"Mrs Miller has a left hip fracture"),
    ];
    let name_item =
        [element(tags::VALUE_TYPE, VR::CS, b"PNAME"), element(tags::PERSON_NAME, VR::PN, b"Miller^Ann")];
    let content = [item(&text_item.concat()), item(&name_item.concat())].concat();
    let own = [
        put(tags::STUDY_DESCRIPTION, VR::LO, "CT Hip left Miller"),
        (tags::CONTENT_SEQUENCE, element(tags::CONTENT_SEQUENCE, VR::SQ, &content)),
    ];
    let bytes = file(EXPLICIT, &object(own.into()));
    let kept = header(bytes.clone(), &["descriptors", "structured-content"]);
    assert_eq!(text(&kept, tags::STUDY_DESCRIPTION).as_deref(), Some("CT Hip left"));
    let items = kept.get(tags::CONTENT_SEQUENCE).unwrap().items().unwrap();
    assert_eq!(text(&items[0], tags::TEXT_VALUE).as_deref(), Some("left hip"));
    assert_eq!(text(&items[1], tags::PERSON_NAME).as_deref(), Some("REMOVED"));
    let gone = header(bytes, &[]);
    assert!(gone.get(tags::STUDY_DESCRIPTION).is_none());
    let items = gone.get(tags::CONTENT_SEQUENCE).unwrap().items().unwrap();
    assert_eq!((items.len(), text(&items[0], tags::TEXT_VALUE).as_deref()), (1, Some("REMOVED")));
}

/// The other three writings: Implicit VR Little Endian, Explicit VR Big Endian, deflated (PS3.5, annex A).
#[test]
fn every_writing_of_a_data_set_is_cleaned() {
    let own = vec![
        put(tags::STUDY_DATE, VR::DA, "20240301"),
        (tags::REFERENCED_IMAGE_SEQUENCE, told(tags::REFERENCED_IMAGE_SEQUENCE)),
        put(tags::PATIENT_COMMENTS, VR::LT, SECRET),
        pixels(64),
    ];
    let plain = read(&file(EXPLICIT, &object(own)));
    let mut whole = plain.header().clone();
    let words: Vec<u16> = (0..32).collect();
    whole.put(dicom_object::mem::InMemElement::new(
        tags::PIXEL_DATA,
        VR::OW,
        PrimitiveValue::U16(words.into()),
    ));
    for syntax in ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"] {
        let meta = dicom_object::FileMetaTableBuilder::new()
            .transfer_syntax(syntax)
            .media_storage_sop_class_uid("1.2.840.10008.5.1.4.1.1.2")
            .media_storage_sop_instance_uid("1.2.3.4.1");
        let mut bytes = Vec::new();
        whole.clone().with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
        let fresh = cleaned(bytes.into(), &[]).into_bytes();
        let fresh = read(&fresh);
        assert_eq!(fresh.transfer_syntax().as_str(), syntax);
        let word = |tag| text(fresh.header(), tag);
        assert_eq!(word(tags::STUDY_DATE), None);
        assert_eq!(word(tags::PATIENT_COMMENTS), None);
        assert_eq!(word(tags::PATIENT_IDENTITY_REMOVED).as_deref(), Some("YES"), "{syntax}");
        assert_eq!(word(tags::STUDY_INSTANCE_UID), Some(project().uid("1.2.3.4.2")), "{syntax}");
        assert_eq!(fresh.header().get(tags::REFERENCED_IMAGE_SEQUENCE).unwrap().items().unwrap().len(), 1);
        let Some(part10::PixelDataAt::Native { offset, length }) = fresh.pixel_data() else {
            panic!("{syntax}")
        };
        assert_eq!(*length, 64);
        assert_eq!(fresh.bytes(*offset..offset + length).len(), 64);
    }
}

#[test]
fn a_file_that_names_no_instance_is_refused() {
    let only_a_class = element(tags::SOP_CLASS_UID, VR::UI, b"1.2.840.10008.5.1.4.1.1.2");
    let refused = deidentify(file(EXPLICIT, &only_a_class), &Profile::default(), &project());
    assert!(matches!(refused, Err(DeidentifyError::MissingUid("SOP Instance UID"))));
}

#[test]
fn from_a_reader_comes_what_comes_from_memory() {
    let deep = element(tags::REFERENCED_SERIES_SEQUENCE, VR::SQ, &item(&told(tags::PATIENT_NAME)));
    let own =
        vec![(tags::REFERENCED_SERIES_SEQUENCE, deep), pixels(50_000), put(Tag(0xFFFC, 0xFFFC), VR::OB, "x")];
    let bytes = file(EXPLICIT, &object(own));
    let mut out = Vec::new();
    let mut reader = Cursor::new(&bytes);
    let limits = Limits::default();
    let report = deidentify_to(&mut reader, &mut out, &limits, &profile(&["uids"]), &project()).unwrap();
    let whole = cleaned(bytes, &["uids"]);
    assert_eq!(report, whole.report);
    assert!(out == whole.into_bytes());
    assert_eq!(report.sop_uid, report.former_sop_uid, "UIDs are retained");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Bytes changed anywhere in the data set.
    #[test]
    fn a_damaged_file_is_an_error_or_a_clean_file(
        changes in prop::collection::vec((144_usize..2_000, any::<u8>()), 1..6),
    ) {
        let sequence = tags::REFERENCED_SERIES_SEQUENCE;
        let items = [item(&told(tags::PATIENT_NAME)), item(&told(tags::REFERENCED_IMAGE_SEQUENCE))].concat();
        let own = vec![(sequence, element(sequence, VR::SQ, &items)), pixels(200)];
        let mut bytes = file(EXPLICIT, &object(own)).to_vec();
        for (at, byte) in changes {
            let at = 144 + at % (bytes.len() - 144);
            bytes[at] = byte;
        }
        if let Ok(fresh) = deidentify(bytes.into(), &Profile::default(), &project()) {
            let fresh = fresh.into_bytes();
            prop_assert!(Part10::read(fresh, &Limits::default()).is_ok());
        }
    }
}
