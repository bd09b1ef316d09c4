//! Names and words of events, as they are stored and as clients hear them.

use super::*;

#[test]
fn an_event_is_stored_under_the_name_that_it_is_heard_by() {
    let event = Event::FindingReviewed { finding_id: FindingId::new(), review: None };
    assert_eq!(serde_json::json!(event)["type"], event.name());
    assert!(Event::NAMES.contains(&event.name()));
    assert!(Category::EhrRecord.events().contains(&event.name()));
    let again: Event = serde_json::from_value(serde_json::json!(event)).unwrap();
    assert_eq!(again, event);
}

/// The words of the clinic application's event system.
#[test]
fn categories_and_priorities_are_spelled_as_the_clinic_application_spells_them() {
    let event = Event::FindingsReady { study_id: StudyId::new(), analysis_ids: Vec::new(), found: None };
    assert_eq!(serde_json::json!(event.category()), "EHR_RECORD");
    assert_eq!(serde_json::json!(event.priority()), "HIGH");
    assert_eq!(serde_json::json!(Category::UserActivity), "USER_ACTIVITY");
}

#[test]
fn the_instances_of_a_study_and_its_findings_are_one_record() {
    let study_id = StudyId::new();
    let stored = Event::InstanceStored { study_id, instance_id: InstanceId::new(), begins: None };
    let ready = Event::FindingsReady { study_id, analysis_ids: Vec::new(), found: None };
    assert_eq!(stored.aggregate(), ready.aggregate());
    assert_eq!(stored.aggregate().unwrap().to_string(), format!("study:{study_id}"));
}

#[test]
fn an_event_of_a_newer_program_reads_as_unknown() {
    let newer = serde_json::json!({"type": "moon_landed", "moon_id": 1});
    assert_eq!(serde_json::from_value::<Event>(newer).unwrap(), Event::Unknown);
}
