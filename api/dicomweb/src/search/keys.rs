//! The attributes by which can be searched, and what a value of each may be.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use storage::records::search::{Condition, Key};

/// Most values of one list.
const LIST_MAX: usize = 1_000;
/// Most bytes of one text.
const TEXT_BYTES: usize = 1_024;

/// What is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Study,
    Series,
    Instance,
}

/// How a value matches (PS3.4, section C.2.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Single value or list of UIDs.
    Uid,
    /// Single value, wildcard or list.
    Code,
    /// Single value or wildcard.
    Text,
    Date,
    Time,
    Number,
}

/// One row of tables 10.6.1-5 and of what is offered beyond them.
#[derive(Debug)]
pub(crate) struct MatchingKey {
    tag: Tag,
    keyword: &'static str,
    /// The level to which the attribute belongs.
    pub(crate) level: Level,
    pub(crate) key: Key,
    kind: Kind,
}

macro_rules! matching_keys {
    ($($tag:ident $keyword:literal $level:ident $key:ident $kind:ident;)*) => {
        const MATCHING_KEYS: &[MatchingKey] = &[$(MatchingKey {
            tag: tags::$tag,
            keyword: $keyword,
            level: Level::$level,
            key: Key::$key,
            kind: Kind::$kind,
        }),*];
    };
}

matching_keys! {
    STUDY_DATE "StudyDate" Study StudyDate Date;
    STUDY_TIME "StudyTime" Study StudyTime Time;
    ACCESSION_NUMBER "AccessionNumber" Study AccessionNumber Text;
    MODALITIES_IN_STUDY "ModalitiesInStudy" Study ModalitiesInStudy Code;
    REFERRING_PHYSICIAN_NAME "ReferringPhysicianName" Study ReferringPhysicianName Text;
    PATIENT_NAME "PatientName" Study PatientName Text;
    PATIENT_ID "PatientID" Study PatientId Text;
    ISSUER_OF_PATIENT_ID "IssuerOfPatientID" Study IssuerOfPatientId Text;
    PATIENT_BIRTH_DATE "PatientBirthDate" Study PatientBirthDate Date;
    PATIENT_SEX "PatientSex" Study PatientSex Code;
    STUDY_INSTANCE_UID "StudyInstanceUID" Study StudyInstanceUid Uid;
    STUDY_ID "StudyID" Study StudyId Text;
    STUDY_DESCRIPTION "StudyDescription" Study StudyDescription Text;
    MODALITY "Modality" Series Modality Code;
    SERIES_INSTANCE_UID "SeriesInstanceUID" Series SeriesInstanceUid Uid;
    SERIES_NUMBER "SeriesNumber" Series SeriesNumber Number;
    SERIES_DESCRIPTION "SeriesDescription" Series SeriesDescription Text;
    BODY_PART_EXAMINED "BodyPartExamined" Series BodyPartExamined Code;
    PERFORMED_PROCEDURE_STEP_START_DATE "PerformedProcedureStepStartDate"
        Series PerformedProcedureStepStartDate Date;
    PERFORMED_PROCEDURE_STEP_START_TIME "PerformedProcedureStepStartTime"
        Series PerformedProcedureStepStartTime Time;
    SOP_CLASS_UID "SOPClassUID" Instance SopClassUid Uid;
    SOP_INSTANCE_UID "SOPInstanceUID" Instance SopInstanceUid Uid;
    INSTANCE_NUMBER "InstanceNumber" Instance InstanceNumber Number;
}

/// The key of that keyword or eight hexadecimal digits.
pub(crate) fn matching_key(name: &str) -> Option<&'static MatchingKey> {
    let tag = tag_of(name);
    MATCHING_KEYS.iter().find(|key| key.keyword == name || Some(key.tag) == tag)
}

/// `GGGGEEEE` as a tag.
pub(crate) fn tag_of(name: &str) -> Option<Tag> {
    let is_tag = name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(name, 16).ok().filter(|_| is_tag)?;
    Some(Tag((number >> 16) as u16, number as u16))
}

impl MatchingKey {
    /// What `value` asks of the attribute: `Ok(None)` where anything matches (C.2.2.2.3), `Err` where it does not read.
    pub(crate) fn condition(&self, value: &str) -> Result<Option<Condition>, &'static str> {
        let value = value.trim_matches(' ');
        if value.is_empty() || value.bytes().all(|byte| byte == b'*') {
            return Ok(None);
        }
        let condition = match self.kind {
            Kind::Uid => Condition::OneOf(uids(value)?),
            Kind::Code => Condition::Pattern(texts(listed(value))?),
            Kind::Text => Condition::Pattern(texts(vec![value.to_owned()])?),
            Kind::Number => Condition::Number(value.parse().map_err(|_| "a whole number")?),
            Kind::Date => {
                let (from, to) = range(value, "a date YYYYMMDD or a range of them", day, day)?;
                Condition::Days { from, to }
            }
            Kind::Time => {
                let first = |text: &str| second(text, "000000");
                let last = |text: &str| second(text, "235959");
                let (from, to) = range(value, "a time HHMMSS or a range of them", first, last)?;
                Condition::Times { from, to }
            }
        };
        Ok(Some(condition))
    }
}

/// The values of a list, parted by commas or backslashes.
fn listed(value: &str) -> Vec<String> {
    value.split([',', '\\']).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The texts, when they are such as an object may hold.
fn texts(texts: Vec<String>) -> Result<Vec<String>, &'static str> {
    let is_text = |text: &String| text.len() <= TEXT_BYTES && !text.chars().any(char::is_control);
    if texts.is_empty() || texts.len() > LIST_MAX || !texts.iter().all(is_text) {
        return Err("a text of at most 1024 bytes without control characters, or a list of up to 1000 codes");
    }
    Ok(texts)
}

fn uids(value: &str) -> Result<Vec<String>, &'static str> {
    let uids = listed(value);
    let are_uids = uids.iter().all(|uid| uid.parse::<clinical::uid::SopInstanceUid>().is_ok());
    let is_list = (1..=LIST_MAX).contains(&uids.len());
    if is_list && are_uids { Ok(uids) } else { Err("a UID or a list of up to 1000 UIDs") }
}

/// `A-B`, `A-`, `-B`, or `A` for both ends.
fn range(
    value: &str,
    wanted: &'static str,
    first: impl Fn(&str) -> Option<String>,
    last: impl Fn(&str) -> Option<String>,
) -> Result<(Option<String>, Option<String>), &'static str> {
    let (from, to) = value.split_once('-').unwrap_or((value, value));
    if from.is_empty() && to.is_empty() {
        return Err(wanted);
    }
    let bound = |text: &str, read: &dyn Fn(&str) -> Option<String>| match text {
        "" => Ok(None),
        text => read(text).map(Some).ok_or(wanted),
    };
    Ok((bound(from, &first)?, bound(to, &last)?))
}

fn day(text: &str) -> Option<String> {
    let is_day = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_day.then(|| text.to_owned())
}

/// `HH`, `HHMM`, `HHMMSS` or `HHMMSS.F…` as six digits; what is left out comes from `rest`.
fn second(text: &str, rest: &str) -> Option<String> {
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    let is_time = matches!(whole.len(), 2 | 4 | 6) && whole.bytes().all(|byte| byte.is_ascii_digit());
    is_time.then(|| format!("{whole}{}", &rest[whole.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Option<Condition>, &'static str> {
        matching_key(name).unwrap().condition(value)
    }

    #[test]
    fn a_key_is_named_by_keyword_or_by_tag() {
        assert_eq!(matching_key("00100010").unwrap().key, Key::PatientName);
        assert_eq!(matching_key("0020000d").unwrap().key, Key::StudyInstanceUid);
        assert_eq!(matching_key("PatientName").unwrap().key, Key::PatientName);
        for name in ["patientname", "00100011", "", "+0100010", "Password"] {
            assert!(matching_key(name).is_none(), "{name}");
        }
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
    fn uids_come_in_lists_and_are_checked() {
        let list = Ok(Some(Condition::OneOf(vec!["1.2".to_owned(), "1.3".to_owned()])));
        assert_eq!(read("StudyInstanceUID", "1.2,1.3"), list);
        assert_eq!(read("StudyInstanceUID", "1.2\\1.3"), list);
        assert!(read("StudyInstanceUID", "1.2*").is_err(), "no wildcards in UIDs (PS3.4, C.2.2.2.4)");
    }
}
