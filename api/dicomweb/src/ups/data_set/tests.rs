use super::*;

fn read(body: &Value) -> Result<DataSet, Problem> {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, "application/dicom+json".parse().unwrap());
    DataSet::read(&headers, body.to_string().as_bytes())
}

fn step() -> Value {
    json!({
        "00741200": {"vr": "CS", "Value": ["HIGH"]},
        "00741204": {"vr": "LO", "Value": ["Read it"]},
        "00404005": {"vr": "DT", "Value": ["20260102101500"]},
        "00404041": {"vr": "CS", "Value": ["READY"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Muster^Ada"}]},
        "00404021": {"vr": "SQ", "Value": [{"0020000D": {"vr": "UI", "Value": ["1.2.3"]}}]},
    })
}

#[test]
fn a_step_is_searched_by_what_it_says() {
    let uid = "2.25.1".parse().unwrap();
    let data_set = read(&json!([step()])).unwrap().checked_new(&uid).unwrap();
    let facts = data_set.facts().unwrap();
    assert_eq!((facts.label.as_str(), facts.patient_name.as_deref()), ("Read it", Some("Muster^Ada")));
    assert_eq!(facts.study_uids, ["1.2.3".parse().unwrap()]);
    assert_eq!(data_set.text(SOP_INSTANCE_UID), Some("2.25.1"));
    assert!(data_set.is_meant_for_us());
    let mut elsewhere = step();
    elsewhere["00404025"] = json!({"vr": "SQ", "Value": [{"00080102": {"vr": "SH", "Value": ["L"]}}]});
    assert!(!read(&elsewhere).unwrap().is_meant_for_us());
}

#[test]
fn what_is_no_new_step_is_refused() {
    let with = |tag: &str, attribute: Value| {
        let mut step = step();
        step[tag] = attribute;
        step
    };
    let mut unlabeled = step();
    unlabeled.as_object_mut().unwrap().remove(LABEL);
    let mut deep = json!({});
    for _ in 0..20 {
        deep = json!({"00404021": {"vr": "SQ", "Value": [deep]}});
    }
    for body in [
        json!([]),
        json!([step(), step()]),
        json!("text"),
        unlabeled,
        deep,
        with(STATE, json!({"vr": "CS", "Value": ["COMPLETED"]})),
        with(TRANSACTION_UID, json!({"vr": "UI", "Value": ["2.25.7"]})),
        with("0010", json!({"vr": "CS"})),
        with(LABEL, json!({"vr": "LO", "Value": "text"})),
        with(LABEL, json!({"vr": "LO", "Value": ["x".repeat(300)]})),
        with(INPUT, json!({"vr": "SQ", "Value": [{"0020000D": {"vr": "UI", "Value": ["x"]}}]})),
    ] {
        let uid = "2.25.1".parse().unwrap();
        let made = read(&body).and_then(|it| it.checked_new(&uid)).and_then(|it| it.facts());
        assert_eq!(made.unwrap_err().code(), "invalid-workitem", "{body}");
    }
    assert_eq!(DataSet::read(&HeaderMap::new(), b"{}").unwrap_err().code(), "unsupported-media-type");
}

#[test]
fn an_update_changes_all_but_who_and_in_which_state() {
    let data_set = DataSet::of(step());
    let change = DataSet::of(json!({"00741204": {"vr": "LO", "Value": ["Read it twice"]}}));
    assert_eq!(data_set.clone().changed_by(change).unwrap().text(LABEL), Some("Read it twice"));
    let same = DataSet::of(json!({"00100010": step()["00100010"]}));
    assert_eq!(data_set.clone().changed_by(same).unwrap(), data_set);
    let other = DataSet::of(json!({"00100020": {"vr": "LO", "Value": ["P2"]}}));
    assert_eq!(data_set.changed_by(other).unwrap_err().code(), "invalid-workitem");
}

/// PS3.18, section F.2.2.
#[test]
fn attributes_are_told_in_the_order_of_their_tags() {
    let code = json!({"00080102": {"vr": "SH", "Value": ["L"]}, "00080100": {"vr": "SH", "Value": ["1"]}});
    let body = json!({"00741204": {"vr": "LO"}, "00404018": {"vr": "SQ", "Value": [code]}});
    let text = DataSet::of(body).in_order().into_json().to_string();
    let places = ["00404018", "00080100", "00080102", "00741204"].map(|tag| text.find(tag).unwrap());
    assert!(places.is_sorted(), "{text}");
}
