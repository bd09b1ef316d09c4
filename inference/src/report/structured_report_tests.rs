//! A report is read back, item by item.

use super::super::object::tests::{head, image, maker, subject};
use super::*;
use clinical::imaging::AbstentionCode;

fn finding(review: Option<Reviewed>) -> ReportedFinding {
    ReportedFinding {
        tracking_id: "finding-1".to_owned(),
        label: Code::of_terminology("RadLex", "RID5350", "pneumonia"),
        probability: 0.501_547_5,
        threshold: Some(0.5),
        frame: 0,
        region: Some(Region { frame: 0, left: 0.25, top: 0.5, width: 0.5, height: 0.25 }),
        review,
    }
}

fn reported(said: Said) -> ReportedImage {
    ReportedImage { image: image(), modality: Some("CR".to_owned()), size: (200, 100), said }
}

fn read(report: &StructuredReport<'_>) -> InMemDicomObject {
    dicom_object::from_reader(&*report.file().unwrap()).unwrap().into_inner()
}

/// Every content item by what it is called and what it says, from the top.
fn words(object: &InMemDicomObject, found: &mut Vec<(String, String)>) {
    let item_of = |item: &InMemDicomObject, tag| -> Option<InMemDicomObject> {
        item.get(tag)?.items()?.first().cloned()
    };
    let word = |item: &InMemDicomObject, tag| -> Option<String> {
        Some(item.get(tag)?.to_str().ok()?.trim().to_owned())
    };
    for item in object.get(tags::CONTENT_SEQUENCE).and_then(|it| it.items()).unwrap_or_default() {
        let concept = item_of(item, tags::CONCEPT_NAME_CODE_SEQUENCE);
        let concept = concept.and_then(|it| word(&it, tags::CODE_MEANING)).unwrap_or_default();
        let value = item_of(item, tags::CONCEPT_CODE_SEQUENCE)
            .and_then(|it| word(&it, tags::CODE_MEANING))
            .or_else(|| word(item, tags::TEXT_VALUE))
            .or_else(|| word(item, tags::PERSON_NAME))
            .or_else(|| word(&item_of(item, tags::MEASURED_VALUE_SEQUENCE)?, tags::NUMERIC_VALUE));
        found.push((concept, value.unwrap_or_default()));
        words(item, found);
    }
}

fn all_words(report: &StructuredReport<'_>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    words(&read(report), &mut found);
    found
}

#[test]
fn a_report_says_what_how_surely_by_which_network_and_that_nobody_has_judged() {
    let (subject, maker) = (subject(), maker());
    let device = DeviceObserver {
        uid: derived_uid(&["network", "ab"]),
        name: "pneumonia224".to_owned(),
        version: "1".to_owned(),
        sha256: "ab".to_owned(),
    };
    let images = [reported(Said::Findings(vec![finding(None)]))];
    let report = StructuredReport {
        head: head(&subject, &maker),
        device: &device,
        images: &images,
        verification: Verification::Unverified,
        predecessor: None,
    };
    let found = all_words(&report);
    for (concept, value) in [
        ("Device Observer Name", "pneumonia224"),
        ("Finding", "pneumonia"),
        ("Certainty of Finding", "50.15475"),
        ("Operating threshold", "50"),
        ("Call at the operating threshold", "Present"),
        ("Review state", "Not reviewed yet"),
    ] {
        assert!(found.contains(&(concept.to_owned(), value.to_owned())), "{concept}: {found:?}");
    }
    let object = read(&report);
    assert_eq!(object.element(tags::VERIFICATION_FLAG).unwrap().to_str().unwrap(), "UNVERIFIED");
    assert!(object.get(tags::PREDECESSOR_DOCUMENTS_SEQUENCE).is_none());
}

#[test]
fn a_reviewed_report_is_verified_names_the_reviewer_and_its_predecessor() {
    let (subject, maker) = (subject(), maker());
    let device = DeviceObserver {
        uid: "2.25.9".to_owned(),
        name: "pneumonia224".to_owned(),
        version: "1".to_owned(),
        sha256: "ab".to_owned(),
    };
    let at = "2026-11-21T12:30:00".parse().unwrap();
    let review = Reviewed {
        state: ReviewState::Rejected,
        reviewer: "Dr^Test".to_owned(),
        at,
        comment: Some("rotated".to_owned()),
    };
    let images = [reported(Said::Findings(vec![finding(Some(review))]))];
    let report = StructuredReport {
        head: head(&subject, &maker),
        device: &device,
        images: &images,
        verification: Verification::Verified {
            by: "Dr^Test".to_owned(),
            at,
            organization: "Clinic".to_owned(),
        },
        predecessor: Some("2.25.77".parse().unwrap()),
    };
    let found = all_words(&report);
    for (concept, value) in [
        ("Person Observer Name", "Dr Test"),
        ("Review state", "A physician disagrees"),
        ("Comment", "rotated"),
    ] {
        assert!(found.contains(&(concept.to_owned(), value.to_owned())), "{concept}: {found:?}");
    }
    let object = read(&report);
    assert_eq!(object.element(tags::VERIFICATION_FLAG).unwrap().to_str().unwrap(), "VERIFIED");
    let study = &object.get(tags::PREDECESSOR_DOCUMENTS_SEQUENCE).unwrap().items().unwrap()[0];
    let series = &study.get(tags::REFERENCED_SERIES_SEQUENCE).unwrap().items().unwrap()[0];
    let former = &series.get(tags::REFERENCED_SOP_SEQUENCE).unwrap().items().unwrap()[0];
    let uid = former.element(tags::REFERENCED_SOP_INSTANCE_UID).unwrap().to_str().unwrap();
    assert_eq!(uid.trim_end_matches('\0'), "2.25.77");
}

#[test]
fn an_abstention_stands_with_its_reason_and_without_a_number() {
    let (subject, maker) = (subject(), maker());
    let device = DeviceObserver {
        uid: "2.25.9".to_owned(),
        name: "pneumonia224".to_owned(),
        version: "1".to_owned(),
        sha256: "ab".to_owned(),
    };
    let why = Abstention { code: AbstentionCode::NotEligible, reason: "age is 44 years".to_owned() };
    let images = [reported(Said::Abstained { tracking_id: "analysis-1".to_owned(), why })];
    let report = StructuredReport {
        head: head(&subject, &maker),
        device: &device,
        images: &images,
        verification: Verification::Unverified,
        predecessor: None,
    };
    let found = all_words(&report);
    assert!(found.contains(&("Abstention".to_owned(), "not eligible".to_owned())), "{found:?}");
    assert!(found.iter().all(|(concept, _)| concept != "Certainty of Finding"), "{found:?}");
    let nothing = StructuredReport { images: &[], ..report };
    assert!(matches!(nothing.file(), Err(ReportError::Unfit(_))));
}

#[test]
fn a_region_is_drawn_in_columns_and_rows_and_closed() {
    let region = Region { frame: 0, left: 0.25, top: 0.5, width: 0.5, height: 0.25 };
    let expected = [25.0, 100.0, 75.0, 100.0, 75.0, 150.0, 25.0, 150.0, 25.0, 100.0];
    assert_eq!(outline(&region, (200, 100)), expected);
}
