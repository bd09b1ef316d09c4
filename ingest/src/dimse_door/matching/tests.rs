use super::*;
use crate::scp::query::Model;
use dicom_core::{DataElement, PrimitiveValue, VR};

fn query(level: &str, keys: &[(Tag, &str)]) -> Query {
    let mut identifier = InMemDicomObject::new_empty();
    for (tag, value) in [&[(tags::QUERY_RETRIEVE_LEVEL, level)], keys].concat() {
        identifier.put(DataElement::new(tag, VR::LO, PrimitiveValue::from(value)));
    }
    Query::new(Model::PatientRoot, identifier).unwrap()
}

fn asked(tag: Tag, value: &str) -> Result<Conditions, u16> {
    conditions(&query("IMAGE", &[(tag, value)])).map_err(|status| status.code())
}

fn pattern(texts: &[&str]) -> Condition {
    Condition::Pattern(texts.iter().map(|&text| text.to_owned()).collect())
}

/// C.2.2.2.3: zero length is universal matching; C.2.2.2.4: so is a lone `*`.
#[test]
fn nothing_and_a_lone_star_match_everything() {
    for tag in [tags::PATIENT_NAME, tags::STUDY_DATE, tags::STUDY_INSTANCE_UID, tags::SERIES_NUMBER] {
        assert_eq!(asked(tag, ""), Ok(vec![]));
        assert_eq!(asked(tag, "*"), Ok(vec![]));
    }
}

/// C.2.2.2.5, and the forms of ACR-NEMA.
#[test]
fn ranges_may_be_open_at_one_end() {
    let days = |from: Option<&str>, to: Option<&str>| {
        let (from, to) = (from.map(str::to_owned), to.map(str::to_owned));
        Ok(vec![(Key::StudyDate, Condition::Days { from, to })])
    };
    assert_eq!(asked(tags::STUDY_DATE, "20260101-20260131"), days(Some("20260101"), Some("20260131")));
    assert_eq!(asked(tags::STUDY_DATE, "-20260131"), days(None, Some("20260131")));
    assert_eq!(asked(tags::STUDY_DATE, "2026.01.01-"), days(Some("20260101"), None));
    for bad in ["-", "2026", "today", "2026*"] {
        assert_eq!(asked(tags::STUDY_DATE, bad), Err(0xA900), "{bad}");
    }
    let (from, to) = (Some("100000".to_owned()), Some("123059".to_owned()));
    let times = Ok(vec![(Key::StudyTime, Condition::Times { from, to })]);
    assert_eq!(asked(tags::STUDY_TIME, "10-12:30"), times);
}

/// PS3.4, C.2.2.2.5.3: only where it was negotiated (table C.5-1).
#[test]
fn days_and_times_are_one_stretch_where_the_peer_has_asked_for_it() {
    let keys = [(tags::STUDY_DATE, "20260101-20260103"), (tags::STUDY_TIME, "10-18")];
    let (from, to) = (Some("20260101100000".to_owned()), Some("20260103185959".to_owned()));
    let stretch = (Key::StudyDate, Condition::Moments { from, to });
    let apart = conditions(&query("STUDY", &keys)).unwrap();
    assert!(!apart.contains(&stretch));
    assert!(conditions(&query("STUDY", &keys).combining(true)).unwrap().contains(&stretch));
}

/// PS3.5, section 6.2.1.1: a name has up to three component groups, parted by `=`.
#[test]
fn a_name_matches_by_each_of_its_groups() {
    let groups = pattern(&["山田*", "山田*=*", "*=山田*", "*=山田*=*"]);
    assert_eq!(asked(tags::PATIENT_NAME, "山田*"), Ok(vec![(Key::PatientName, groups)]));
    let one = Ok(vec![(Key::PatientName, pattern(&["MUSTER*"]))]);
    assert_eq!(asked(tags::PATIENT_NAME, "MUSTER*"), one);
    let whole = Ok(vec![
        (Key::PatientName, pattern(&["Muster^Ada*"])),
        (Key::PatientName, pattern(&["Muster^Ada", "Muster^Ada=*"])),
    ]);
    assert_eq!(asked(tags::PATIENT_NAME, "Muster^Ada"), whole);
}

#[test]
fn uids_come_in_lists_without_wildcards() {
    let list = Condition::OneOf(vec!["1.2".to_owned(), "1.3".to_owned()]);
    assert_eq!(asked(tags::SOP_INSTANCE_UID, "1.2\\1.3"), Ok(vec![(Key::SopInstanceUid, list)]));
    assert_eq!(asked(tags::SOP_INSTANCE_UID, "1.2*"), Err(0xA900));
    assert_eq!(asked(tags::SERIES_NUMBER, "one"), Err(0xA900));
    assert_eq!(asked(tags::PATIENT_ID, &"x".repeat(1_025)), Err(0xA900));
}

#[test]
fn keys_of_lower_levels_do_not_restrict_but_modality() {
    let keys = [(tags::MODALITY, "CT"), (tags::INSTANCE_NUMBER, "7"), (tags::PATIENT_SEX, "F")];
    let found = conditions(&query("STUDY", &keys)).unwrap();
    assert_eq!(found, [(Key::PatientSex, pattern(&["F"])), (Key::ModalitiesInStudy, pattern(&["CT"]))]);
}

#[test]
fn a_retrieval_needs_the_unique_key_of_its_level_and_takes_those_above() {
    let named = |level, keys: &[_]| unique_keys(&query(level, keys)).map_err(|status| status.code());
    let one = |key, uid: &str| (key, Condition::OneOf(vec![uid.to_owned()]));
    let keys =
        [(tags::STUDY_INSTANCE_UID, "1.2"), (tags::SERIES_INSTANCE_UID, "1.3"), (tags::MODALITY, "CT")];
    let expected = vec![one(Key::StudyInstanceUid, "1.2"), one(Key::SeriesInstanceUid, "1.3")];
    assert_eq!(named("SERIES", &keys), Ok(expected));
    assert_eq!(named("IMAGE", &keys), Err(0xA900));
    assert_eq!(named("PATIENT", &[(tags::PATIENT_ID, "A*")]), Ok(vec![one(Key::PatientId, "A*")]));
    assert_eq!(named("STUDY", &[(tags::STUDY_INSTANCE_UID, "*")]), Err(0xA900));
}

/// C.2.2.2.6: the keys inside the item of a sequence.
#[test]
fn a_sequence_matches_by_the_keys_of_its_item() {
    let item = DataElement::new(tags::REQUESTED_PROCEDURE_ID, VR::SH, PrimitiveValue::from("RP1"));
    let item = InMemDicomObject::from_element_iter([item]);
    let level = DataElement::new(tags::QUERY_RETRIEVE_LEVEL, VR::CS, PrimitiveValue::from("SERIES"));
    let mut identifier = InMemDicomObject::from_element_iter([level]);
    let items = dicom_core::value::DataSetSequence::from(vec![item]);
    identifier.put(DataElement::new(tags::REQUEST_ATTRIBUTES_SEQUENCE, VR::SQ, items));
    let found = conditions(&Query::new(Model::StudyRoot, identifier).unwrap()).unwrap();
    assert_eq!(found, [(Key::RequestedProcedureId, pattern(&["RP1"]))]);
}
