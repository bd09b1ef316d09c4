//! The data set of a step as DICOM JSON: read, checked (PS3.4, table CC.2.5-3), changed.

#[cfg(test)]
mod tests;

use axum::http::{HeaderMap, header};
use clinical::uid::{SopInstanceUid, StudyInstanceUid};
use gate::Problem;
use serde_json::{Map, Value, json};
use storage::records::workitem::{State, WorkitemFacts};

/// Unified Procedure Step - Push SOP Class (PS3.4, section CC.3).
const UPS_PUSH: &str = "1.2.840.10008.5.1.4.34.6.1";
/// Most studies that one step names.
const STUDIES: usize = 100;
/// Sequences are nested no deeper.
const DEPTH: usize = 16;
/// A text that is searched has at most so many characters.
const TEXT_CHARACTERS: usize = 256;
/// Whose steps are ours: Coding Scheme Designator (0008,0102) and, of a station, Code Value (0008,0100).
const OUR_SCHEME: &str = "99MEDILINK";

const SOP_CLASS_UID: &str = "00080016";
const SOP_INSTANCE_UID: &str = "00080018";
const TRANSACTION_UID: &str = "00081195";
const STATE: &str = "00741000";
const PROGRESS: &str = "00741002";
const PRIORITY: &str = "00741200";
const WORKLIST: &str = "00741202";
const LABEL: &str = "00741204";
const PERFORMED: &str = "00741216";
const SCHEDULED_AT: &str = "00404005";
const EXPECTED_AT: &str = "00404011";
const WORKITEM_CODE: &str = "00404018";
const STATION_NAME: &str = "00404025";
const INPUT: &str = "00404021";
const READINESS: &str = "00404041";
const REQUEST: &str = "0040A370";
const STUDY_UID: &str = "0020000D";
/// What an update cannot change (PS3.4, table CC.2.5-3: «not allowed» in N-SET).
const FIXED: [&str; 12] = [
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STATE,
    TRANSACTION_UID,
    "00100010",
    "00100020",
    "00100021",
    "00100030",
    "00100040",
    "00380010",
    "00081080",
    "0040A370",
];

/// A data set: attributes by their tags.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct DataSet(Map<String, Value>);

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::bad_request("invalid-workitem", detail)
}

impl DataSet {
    /// The one data set of a request's body, which is an object or an array of one.
    ///
    /// # Errors
    ///
    /// 400 `invalid-workitem`, 415 `unsupported-media-type`.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !matches!(kind.as_str(), "application/dicom+json" | "application/json") {
            return Err(Problem::unsupported_media_type("application/dicom+json"));
        }
        let read = serde_json::from_slice(body);
        let mut value: Value = read.map_err(|error| invalid(format!("the body is no JSON: {error}")))?;
        if let Value::Array(sets) = &mut value
            && sets.len() == 1
        {
            value = sets.remove(0);
        }
        let Value::Object(attributes) = value else {
            return Err(invalid("the body is one data set: an object of attributes, or an array of one"));
        };
        check(&attributes, 1)?;
        Ok(Self(attributes))
    }

    /// A data set that was checked before.
    pub(super) fn of(body: Value) -> Self {
        match body {
            Value::Object(attributes) => Self(attributes),
            _ => Self::default(),
        }
    }

    pub(super) fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    /// With its attributes, and those of its items, in the order of their tags (PS3.18, section F.2.2).
    pub(super) fn in_order(mut self) -> Self {
        sort(&mut self.0);
        self
    }

    /// The first value of a text; `None` where there is none.
    fn text(&self, tag: &str) -> Option<&str> {
        text_in(&self.0, tag)
    }

    /// The items of a sequence.
    fn items(&self, tag: &str) -> impl Iterator<Item = &Map<String, Value>> {
        let items = self.0.get(tag).and_then(|attribute| attribute["Value"].as_array());
        items.into_iter().flatten().filter_map(Value::as_object)
    }

    fn put(&mut self, tag: &str, vr: &str, value: &str) {
        self.0.insert(tag.to_owned(), json!({"vr": vr, "Value": [value]}));
    }

    /// The data set of a new step, as it is kept.
    ///
    /// # Errors
    ///
    /// 400 `invalid-workitem`: what the standard demands is missing, or is there too early.
    pub(super) fn checked_new(mut self, uid: &SopInstanceUid) -> Result<Self, Problem> {
        if self.transaction_uid().is_some() {
            return Err(invalid("a new workitem has no Transaction UID (0008,1195)"));
        }
        self.0.remove(TRANSACTION_UID);
        if self.text(STATE).is_some_and(|state| state != State::Scheduled.as_str()) {
            return Err(invalid("a new workitem is SCHEDULED"));
        }
        let missing =
            [PRIORITY, LABEL, SCHEDULED_AT, READINESS].into_iter().filter(|tag| self.text(tag).is_none());
        let missing: Vec<&str> = missing.collect();
        if !missing.is_empty() {
            return Err(invalid(format!("these attributes are needed: {}", missing.join(", "))));
        }
        for tag in [PERFORMED, PROGRESS] {
            if self.items(tag).next().is_some_and(|item| !item.is_empty()) {
                return Err(invalid("nothing was performed of a new workitem"));
            }
        }
        self.put(SOP_CLASS_UID, "UI", UPS_PUSH);
        self.put(SOP_INSTANCE_UID, "UI", uid.as_str());
        Ok(self)
    }

    /// With the attributes of `change` in place of its own.
    ///
    /// # Errors
    ///
    /// 400 `invalid-workitem` where one of them cannot be changed.
    pub(super) fn changed_by(mut self, mut change: Self) -> Result<Self, Problem> {
        change.0.remove(TRANSACTION_UID);
        for (tag, attribute) in change.0 {
            if FIXED.contains(&tag.as_str()) {
                if self.0.get(&tag) == Some(&attribute) {
                    continue;
                }
                return Err(invalid(format!("{tag} cannot be changed by an update")));
            }
            self.0.insert(tag, attribute);
        }
        Ok(self)
    }

    /// Transaction UID (0008,1195).
    pub(super) fn transaction_uid(&self) -> Option<String> {
        self.text(TRANSACTION_UID).map(str::to_owned)
    }

    /// The state that is asked for.
    ///
    /// # Errors
    ///
    /// 400 `invalid-workitem`.
    pub(super) fn state(&self) -> Result<State, Problem> {
        let state = self.text(STATE).and_then(|text| text.parse().ok());
        state.ok_or_else(|| invalid("Procedure Step State (0074,1000) is IN PROGRESS, COMPLETED or CANCELED"))
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.put(STATE, "CS", state.as_str());
        self.0.remove(TRANSACTION_UID);
    }

    /// Whether it says what was done.
    pub(super) fn has_performed(&self) -> bool {
        self.items(PERFORMED).any(|item| !item.is_empty())
    }

    /// Whether no other station and no other kind of work is named.
    pub(super) fn is_meant_for_us(&self) -> bool {
        let mut named = self.items(STATION_NAME).chain(self.items(WORKITEM_CODE));
        named.all(|code| text_in(code, "00080102") == Some(OUR_SCHEME))
    }

    /// Keeps the request, and its reason, for whoever performs the step.
    pub(super) fn note_cancellation(&mut self, asked: &Self, by: &str) {
        let mut item = self.items(PROGRESS).next().cloned().unwrap_or_default();
        // Reason For Cancellation, Procedure Step Discontinuation Reason Code Sequence, and who may be asked
        for tag in ["00741238", "0074100E", "0074100A", "0074100C"] {
            if let Some(attribute) = asked.0.get(tag) {
                item.insert(tag.to_owned(), attribute.clone());
            }
        }
        item.entry("00741238")
            .or_insert_with(|| json!({"vr": "LT", "Value": [format!("cancel requested by {by}")]}));
        self.0.insert(PROGRESS.to_owned(), json!({"vr": "SQ", "Value": [item]}));
    }

    /// What it is searched by.
    ///
    /// # Errors
    ///
    /// 400 `invalid-workitem` where one of them does not read.
    pub(super) fn facts(&self) -> Result<WorkitemFacts, Problem> {
        let text = |tag: &str| -> Result<Option<String>, Problem> {
            let Some(text) = self.text(tag) else { return Ok(None) };
            let is_text = text.chars().count() <= TEXT_CHARACTERS && !text.chars().any(char::is_control);
            if is_text { Ok(Some(text.to_owned())) } else { Err(invalid(format!("{tag} is a short text"))) }
        };
        let within = |tag| self.items(tag).filter_map(|item| text_in(item, STUDY_UID));
        let mut study_uids: Vec<StudyInstanceUid> = Vec::new();
        for study in within(INPUT).chain(self.text(STUDY_UID)).chain(within(REQUEST)) {
            let study = study.parse().map_err(|error| invalid(format!("a Study Instance UID: {error}")))?;
            if !study_uids.contains(&study) {
                study_uids.push(study);
            }
            if study_uids.len() > STUDIES {
                return Err(invalid(format!("a workitem names at most {STUDIES} studies")));
            }
        }
        Ok(WorkitemFacts {
            priority: text(PRIORITY)?.unwrap_or_default(),
            label: text(LABEL)?.unwrap_or_default(),
            worklist: text(WORKLIST)?,
            scheduled_at: text(SCHEDULED_AT)?,
            expected_at: text(EXPECTED_AT)?,
            patient_name: text("00100010")?,
            mrn: text("00100020")?,
            issuer: text("00100021")?,
            study_uids,
        })
    }
}

fn sort(attributes: &mut Map<String, Value>) {
    attributes.sort_keys();
    for attribute in attributes.values_mut().filter(|attribute| attribute["vr"] == "SQ") {
        let items = attribute.get_mut("Value").and_then(Value::as_array_mut).into_iter().flatten();
        // no deeper than was checked
        items.filter_map(Value::as_object_mut).for_each(sort);
    }
}

/// The first value of a text, or of a person name.
fn text_in<'a>(attributes: &'a Map<String, Value>, tag: &str) -> Option<&'a str> {
    let value = &attributes.get(tag)?["Value"][0];
    value.as_str().or_else(|| value["Alphabetic"].as_str()).map(str::trim).filter(|text| !text.is_empty())
}

/// Tags with attributes, sequences of data sets, no deeper than [`DEPTH`].
fn check(attributes: &Map<String, Value>, depth: usize) -> Result<(), Problem> {
    for (tag, attribute) in attributes {
        let is_tag = tag.len() == 8 && tag.bytes().all(|it| matches!(it, b'0'..=b'9' | b'A'..=b'F'));
        let vr = attribute["vr"].as_str();
        if !is_tag || vr.is_none_or(|vr| vr.len() != 2) {
            return Err(invalid(
                "each attribute is a tag of eight hexadecimal digits and an object with its vr",
            ));
        }
        let values = match &attribute["Value"] {
            Value::Null => continue,
            Value::Array(values) => values,
            _ => return Err(invalid(format!("the Value of {tag} is an array"))),
        };
        if vr == Some("SQ") {
            if depth == DEPTH {
                return Err(invalid("the sequences are nested too deep"));
            }
            for item in values {
                let item =
                    item.as_object().ok_or_else(|| invalid(format!("an item of {tag} is no data set")))?;
                check(item, depth + 1)?;
            }
        }
    }
    Ok(())
}
