//! The attributes by which can be searched, and what a value of each may be.

mod value;

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use storage::records::search::{Condition, Key, Level};

/// How a value matches (PS3.4, section C.2.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Single value or list of UIDs.
    Uid,
    /// Single value, wildcard or list.
    Code,
    /// Single value, wildcard, or list parted by backslashes.
    Text,
    /// As a text, and by words where that is asked for.
    Name,
    Date,
    Time,
    Number,
}

/// One row of table 10.6.1-5 and of what is offered beyond it.
#[derive(Debug)]
pub(crate) struct MatchingKey {
    /// The tag; of an attribute within a sequence the sequence's first.
    path: &'static [Tag],
    /// The level to which the attribute belongs.
    pub(crate) level: Level,
    pub(crate) key: Key,
    kind: Kind,
}

macro_rules! matching_keys {
    ($($($tag:ident).+ $level:ident $key:ident $kind:ident;)*) => {
        const MATCHING_KEYS: &[MatchingKey] = &[$(MatchingKey {
            path: &[$(tags::$tag),+],
            level: Level::$level,
            key: Key::$key,
            kind: Kind::$kind,
        }),*];
    };
}

matching_keys! {
    STUDY_DATE Study StudyDate Date;
    STUDY_TIME Study StudyTime Time;
    ACCESSION_NUMBER Study AccessionNumber Text;
    MODALITIES_IN_STUDY Study ModalitiesInStudy Code;
    SOP_CLASSES_IN_STUDY Study SopClassesInStudy Uid;
    REFERRING_PHYSICIAN_NAME Study ReferringPhysicianName Name;
    PATIENT_NAME Study PatientName Name;
    PATIENT_ID Study PatientId Text;
    ISSUER_OF_PATIENT_ID Study IssuerOfPatientId Text;
    PATIENT_BIRTH_DATE Study PatientBirthDate Date;
    PATIENT_SEX Study PatientSex Code;
    STUDY_INSTANCE_UID Study StudyInstanceUid Uid;
    STUDY_ID Study StudyId Text;
    STUDY_DESCRIPTION Study StudyDescription Text;
    MODALITY Series Modality Code;
    SERIES_INSTANCE_UID Series SeriesInstanceUid Uid;
    SERIES_NUMBER Series SeriesNumber Number;
    SERIES_DESCRIPTION Series SeriesDescription Text;
    BODY_PART_EXAMINED Series BodyPartExamined Code;
    PERFORMED_PROCEDURE_STEP_START_DATE Series PerformedProcedureStepStartDate Date;
    PERFORMED_PROCEDURE_STEP_START_TIME Series PerformedProcedureStepStartTime Time;
    REQUEST_ATTRIBUTES_SEQUENCE.SCHEDULED_PROCEDURE_STEP_ID Series ScheduledProcedureStepId Text;
    REQUEST_ATTRIBUTES_SEQUENCE.REQUESTED_PROCEDURE_ID Series RequestedProcedureId Text;
    SOP_CLASS_UID Instance SopClassUid Uid;
    SOP_INSTANCE_UID Instance SopInstanceUid Uid;
    INSTANCE_NUMBER Instance InstanceNumber Number;
    NUMBER_OF_FRAMES Instance NumberOfFrames Number;
    ROWS Instance Rows Number;
    COLUMNS Instance Columns Number;
    BITS_ALLOCATED Instance BitsAllocated Number;
    AVAILABLE_TRANSFER_SYNTAX_UID Instance AvailableTransferSyntaxUid Uid;
}

/// Path, level and kinds of matching of each key, for the conformance statement.
#[cfg(test)]
pub(crate) fn key_rows() -> impl Iterator<Item = (&'static [Tag], String, &'static str)> {
    MATCHING_KEYS.iter().map(|key| {
        let matching = match key.kind {
            Kind::Uid => "single value, list of UID",
            Kind::Code => "single value, wildcard, list (`,` or `\\`)",
            Kind::Text => "single value, wildcard, list (`\\`)",
            Kind::Name => "single value, wildcard, list (`\\`), fuzzy",
            Kind::Date | Kind::Time => "single value, range",
            Kind::Number => "single value, list",
        };
        (key.path, format!("{:?}", key.level), matching)
    })
}

/// The key of that path of keywords or tags.
pub(crate) fn matching_key(path: &[Tag]) -> Option<&'static MatchingKey> {
    MATCHING_KEYS.iter().find(|key| key.path == path)
}

/// The tags of a path: keywords of PS3.6 or eight hexadecimal digits each, parted by dots; `None` where one is neither.
pub(crate) fn path_of(name: &str) -> Option<Vec<Tag>> {
    /// Deeper than any path of the standard.
    const DEPTH: usize = 8;
    let parts: Vec<&str> = name.splitn(DEPTH + 1, '.').collect();
    if parts.len() > DEPTH {
        return None;
    }
    let tag =
        |part: &&str| tag_of(part).or_else(|| StandardDataDictionary.by_name(part).map(|entry| entry.tag()));
    parts.iter().map(tag).collect()
}

/// `GGGGEEEE` as a tag.
fn tag_of(name: &str) -> Option<Tag> {
    let is_tag = name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(name, 16).ok().filter(|_| is_tag)?;
    Some(Tag((number >> 16) as u16, number as u16))
}

impl MatchingKey {
    /// Whether it can be matched by words.
    pub(crate) fn is_name(&self) -> bool {
        self.kind == Kind::Name
    }

    /// What `value` asks of the attribute: `Ok(None)` where anything matches (C.2.2.2.3), `Err` where it does not read.
    pub(crate) fn condition(&self, value: &str) -> Result<Option<Condition>, &'static str> {
        let value = value.trim_matches(' ');
        if value.is_empty() || value.bytes().all(|byte| byte == b'*') {
            return Ok(None);
        }
        let condition = match self.kind {
            Kind::Uid => Condition::OneOf(value::uids(value)?),
            Kind::Code => Condition::Pattern(value::texts(value, &[',', '\\'])?),
            Kind::Text | Kind::Name => Condition::Pattern(value::texts(value, &['\\'])?),
            Kind::Number => value::numbers(value)?,
            Kind::Date => {
                let (from, to) =
                    value::range(value, "a date YYYYMMDD or a range of them", value::day, value::day)?;
                Condition::Days { from, to }
            }
            Kind::Time => {
                let first = |text: &str| value::second(text, "000000");
                let last = |text: &str| value::second(text, "235959");
                let (from, to) = value::range(value, "a time HHMMSS or a range of them", first, last)?;
                Condition::Times { from, to }
            }
        };
        Ok(Some(condition))
    }
}

/// Both together, where a key is asked for twice: any of its values will do; ranges hold both.
pub(crate) fn joined(first: Condition, second: Condition) -> Result<Condition, (Condition, Condition)> {
    match (first, second) {
        (Condition::Pattern(mut all), Condition::Pattern(more)) => {
            all.extend(more);
            Ok(Condition::Pattern(all))
        }
        (Condition::OneOf(mut all), Condition::OneOf(more)) => {
            all.extend(more);
            Ok(Condition::OneOf(all))
        }
        (Condition::Numbers(mut all), Condition::Numbers(more)) => {
            all.extend(more);
            Ok(Condition::Numbers(all))
        }
        (first, second) => Err((first, second)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Option<Condition>, &'static str> {
        matching_key(&path_of(name).unwrap()).unwrap().condition(value)
    }

    #[test]
    fn a_key_is_named_by_keyword_or_by_tag() {
        let key = |name: &str| matching_key(&path_of(name)?).map(|key| key.key);
        assert_eq!(key("00100010"), Some(Key::PatientName));
        assert_eq!(key("0020000d"), Some(Key::StudyInstanceUid));
        assert_eq!(key("PatientName"), Some(Key::PatientName));
        for path in ["00400275.00400009", "RequestAttributesSequence.ScheduledProcedureStepID"] {
            assert_eq!(key(path), Some(Key::ScheduledProcedureStepId));
        }
        for name in ["patientname", "00100011", "", "+0100010", "Password", "00400009", "00100010.00100010"] {
            assert_eq!(key(name), None, "{name}");
        }
        assert!(path_of(&["00400275"; 9].join(".")).is_none());
    }

    /// PS3.4, C.2.2.2.5.
    #[test]
    fn ranges_may_be_open_at_one_end() {
        let days = |from: Option<&str>, to: Option<&str>| {
            Ok(Some(Condition::Days { from: from.map(str::to_owned), to: to.map(str::to_owned) }))
        };
        assert_eq!(read("StudyDate", "20260101-20260131"), days(Some("20260101"), Some("20260131")));
        assert_eq!(read("StudyDate", "-20260131"), days(None, Some("20260131")));
        assert_eq!(read("StudyDate", "20260101-"), days(Some("20260101"), None));
        assert_eq!(read("StudyDate", "20260101"), days(Some("20260101"), Some("20260101")));
        for bad in ["-", "2026", "20260101-2026", "2026-01-01", "today"] {
            assert!(read("StudyDate", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_without_minutes_means_the_whole_hour() {
        let times = |from: &str, to: &str| {
            Ok(Some(Condition::Times { from: Some(from.to_owned()), to: Some(to.to_owned()) }))
        };
        assert_eq!(read("StudyTime", "10"), times("100000", "105959"));
        assert_eq!(read("StudyTime", "1000-123015.5"), times("100000", "123015"));
        assert!(read("StudyTime", "1").is_err());
    }

    #[test]
    fn nothing_and_a_lone_star_match_everything() {
        for name in ["PatientName", "StudyDate", "StudyInstanceUID", "SeriesNumber"] {
            assert_eq!(read(name, ""), Ok(None));
            assert_eq!(read(name, "*"), Ok(None));
        }
    }

    #[test]
    fn texts_and_lists_are_bounded() {
        assert!(read("PatientName", &"x".repeat(1_025)).is_err());
        assert!(read("PatientName", "a\0b").is_err());
        assert!(read("ModalitiesInStudy", &"CT,".repeat(1_001)).is_err());
        assert!(read("ModalitiesInStudy", ",").is_err());
        assert!(read("StudyInstanceUID", &"1,".repeat(1_001)).is_err());
    }

    #[test]
    fn values_come_in_lists_and_are_checked() {
        let list = Ok(Some(Condition::OneOf(vec!["1.2".to_owned(), "1.3".to_owned()])));
        assert_eq!(read("StudyInstanceUID", "1.2,1.3"), list);
        assert_eq!(read("StudyInstanceUID", "1.2\\1.3"), list);
        assert!(read("StudyInstanceUID", "1.2*").is_err(), "no wildcards in UIDs (PS3.4, C.2.2.2.4)");
        let texts = Ok(Some(Condition::Pattern(vec!["A,1".to_owned(), "B".to_owned()])));
        assert_eq!(read("PatientID", "A,1\\B"), texts, "a comma may stand in a text, a backslash not");
        assert_eq!(read("Rows", "512,1024"), Ok(Some(Condition::Numbers(vec![512, 1_024]))));
        assert!(read("Rows", "512,many").is_err());
    }
}
