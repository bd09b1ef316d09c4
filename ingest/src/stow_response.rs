//! The answer to a STOW-RS request: the Store Instances Response Module as DICOM JSON, and its status.

use clinical::uid::{SopClassUid, SopInstanceUid};
use serde_json::{Map, Value, json};

/// Why an instance was not stored: Failure Reason (0008,1197).
///
/// Source: DICOM PS3.18, table I.2-2, and PS3.7, annex C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReason {
    /// 0110: a general failure.
    ProcessingFailure,
    /// 0111: the instance is there already with other content, and is not replaced.
    DuplicateInstance,
    /// 0117: UIDs are missing or invalid.
    InvalidInstance,
    /// 0122: the SOP Class is not stored here.
    SopClassNotSupported,
    /// 0124: the caller may not store this.
    NotAuthorized,
    /// A700: too large, or no room left.
    OutOfResources,
    /// A770: the study is locked, or the instance was rejected before.
    StudyClosed,
    /// A771: the object is held back until a person has judged it.
    HeldBack,
    /// A900: the content is not what SOP Class, or the study of the request, says.
    DoesNotMatch,
    /// C000: the bytes are no readable DICOM file.
    CannotUnderstand,
    /// C122: the transfer syntax is not stored here.
    TransferSyntaxNotSupported,
}

impl FailureReason {
    /// The value of (0008,1197).
    pub fn code(self) -> u16 {
        match self {
            Self::ProcessingFailure => 0x0110,
            Self::DuplicateInstance => 0x0111,
            Self::InvalidInstance => 0x0117,
            Self::SopClassNotSupported => 0x0122,
            Self::NotAuthorized => 0x0124,
            Self::OutOfResources => 0xA700,
            Self::StudyClosed => 0xA770,
            Self::HeldBack => 0xA771,
            Self::DoesNotMatch => 0xA900,
            Self::CannotUnderstand => 0xC000,
            Self::TransferSyntaxNotSupported => 0xC122,
        }
    }
}

/// What was noted while an instance was stored: Warning Reason (0008,1196).
///
/// PS3.18, section I.2.2 leaves further codes to the implementation; B000, B006 and B007 mean changed
/// elements, so ours is another of the range Bxxx (PS3.7, section C.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningReason {
    /// B101: other bytes are stored under the UID; these were kept aside as a version.
    KeptAside,
}

impl WarningReason {
    /// The value of (0008,1196).
    pub fn code(self) -> u16 {
        match self {
            Self::KeptAside => 0xB101,
        }
    }
}

/// The answer while it grows, one call for each part of the request.
#[derive(Debug, Default)]
pub struct StoreResponse {
    study_url: Option<String>,
    stored: Vec<Value>,
    failed: Vec<Value>,
    other_failures: Vec<Value>,
    has_warnings: bool,
}

impl StoreResponse {
    /// An answer whose Retrieve URL (0008,1190) is that of the study, where all instances are of one.
    pub fn new(study_url: Option<String>) -> Self {
        Self { study_url, ..Self::default() }
    }

    /// Sets Retrieve URL (0008,1190) of the study, for a request that did not name it.
    pub fn set_study_url(&mut self, study_url: String) {
        self.study_url = Some(study_url);
    }

    /// An instance is stored and can be got at `url`.
    pub fn stored(
        &mut self,
        sop_class: &SopClassUid,
        sop_instance: &SopInstanceUid,
        url: &str,
        warning: Option<WarningReason>,
    ) {
        let mut item = identity(sop_class, sop_instance);
        item.insert("00081190".into(), element("UR", json!(url)));
        if let Some(warning) = warning {
            item.insert("00081196".into(), element("US", json!(warning.code())));
            self.has_warnings = true;
        }
        self.stored.push(item.into());
    }

    /// An instance of readable identity is not stored.
    pub fn failed(&mut self, sop_class: &SopClassUid, sop_instance: &SopInstanceUid, reason: FailureReason) {
        let mut item = identity(sop_class, sop_instance);
        item.insert("00081197".into(), element("US", json!(reason.code())));
        self.failed.push(item.into());
    }

    /// A part without readable identity is not stored.
    pub fn failed_without_identity(&mut self, reason: FailureReason) {
        self.other_failures.push(json!({ "00081197": element("US", json!(reason.code())) }));
    }

    /// The HTTP status: 200 all stored, 202 some stored or with warnings, 409 none stored, 400 no part at all.
    ///
    /// Source: DICOM PS3.18, table 10.5.3-1.
    pub fn status(&self) -> u16 {
        let has_failures = !self.failed.is_empty() || !self.other_failures.is_empty();
        match (self.stored.is_empty(), has_failures) {
            (true, false) => 400,
            (true, true) => 409,
            (false, true) => 202,
            (false, false) if self.has_warnings => 202,
            (false, false) => 200,
        }
    }

    /// The module as one data set of DICOM JSON (PS3.18, annexes F and I.2); sequences without items are left out.
    pub fn into_json(self) -> Value {
        let mut module = Map::new();
        let url = self.study_url.map_or_else(|| json!({ "vr": "UR" }), |url| element("UR", json!(url)));
        module.insert("00081190".into(), url);
        let sequences =
            [("00081198", self.failed), ("00081199", self.stored), ("0008119A", self.other_failures)];
        for (tag, items) in sequences {
            if !items.is_empty() {
                module.insert(tag.into(), json!({ "vr": "SQ", "Value": items }));
            }
        }
        module.into()
    }
}

fn identity(sop_class: &SopClassUid, sop_instance: &SopInstanceUid) -> Map<String, Value> {
    let uid = |text: &str| element("UI", json!(text));
    Map::from_iter([
        ("00081150".to_owned(), uid(sop_class.as_str())),
        ("00081155".to_owned(), uid(sop_instance.as_str())),
    ])
}

fn element(vr: &str, value: Value) -> Value {
    json!({ "vr": vr, "Value": [value] })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uids(last: u8) -> (SopClassUid, SopInstanceUid) {
        ("1.2.840.10008.5.1.4.1.1.2".parse().unwrap(), format!("2.25.{last}").parse().unwrap())
    }

    /// PS3.18, table 10.5.3-1.
    #[test]
    fn the_status_follows_what_was_stored() {
        let (class, instance) = uids(1);
        let mut response = StoreResponse::default();
        assert_eq!(response.status(), 400);
        response.stored(&class, &instance, "http://x/1", None);
        assert_eq!(response.status(), 200);
        response.stored(&class, &instance, "http://x/1", Some(WarningReason::KeptAside));
        assert_eq!(response.status(), 202);
        let mut response = StoreResponse::default();
        response.failed_without_identity(FailureReason::CannotUnderstand);
        assert_eq!(response.status(), 409);
        response.stored(&class, &instance, "http://x/1", None);
        assert_eq!(response.status(), 202);
    }

    /// PS3.18, tables I.2-1 and I.2-2: 42752 is A700, 45313 is B101, 49152 is C000.
    #[test]
    fn the_module_names_each_instance_and_its_reason() {
        let mut response = StoreResponse::new(Some("http://x".into()));
        let (class, instance) = uids(1);
        response.stored(&class, &instance, "http://x/1", Some(WarningReason::KeptAside));
        response.failed(&class, &uids(2).1, FailureReason::OutOfResources);
        response.failed_without_identity(FailureReason::CannotUnderstand);
        let expected = json!({
            "00081190": { "vr": "UR", "Value": ["http://x"] },
            "00081198": { "vr": "SQ", "Value": [{
                "00081150": { "vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"] },
                "00081155": { "vr": "UI", "Value": ["2.25.2"] },
                "00081197": { "vr": "US", "Value": [42752] },
            }] },
            "00081199": { "vr": "SQ", "Value": [{
                "00081150": { "vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"] },
                "00081155": { "vr": "UI", "Value": ["2.25.1"] },
                "00081190": { "vr": "UR", "Value": ["http://x/1"] },
                "00081196": { "vr": "US", "Value": [45313] },
            }] },
            "0008119A": { "vr": "SQ", "Value": [{ "00081197": { "vr": "US", "Value": [49152] } }] },
        });
        assert_eq!(response.into_json(), expected);
    }
}
