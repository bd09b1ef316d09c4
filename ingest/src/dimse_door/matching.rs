//! What an identifier asks of the rows: each key by which can be matched, and how its value reads.
//!
//! Source: DICOM PS3.4, section C.2.2.2 (matching) and C.6 (the keys of each level).

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use part10::text;
use storage::records::search::{Condition, Key, combine_date_and_time};

use crate::scp::StoreStatus;
use crate::scp::query::{Level, Query};

/// Most values of one list.
const LIST_MAX: usize = 10_000;
/// Most bytes of one text that is matched.
const TEXT_BYTES: usize = 1_024;

/// How a value matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Single value or list of UIDs (C.2.2.2.1, C.2.2.2.2).
    Uid,
    /// Single value or wildcard, or a list of them (C.2.2.2.4).
    Text,
    /// As a text, each component group of a name by itself (C.2.2.2.1; PS3.5, section 6.2.1.1).
    Name,
    /// Single value or range (C.2.2.2.5).
    Date,
    /// Single value or range (C.2.2.2.5).
    Time,
    /// Single value.
    Number,
}

macro_rules! keys {
    ($($tag:ident $level:ident $key:ident $kind:ident;)*) => {
        const KEYS: &[(Tag, Level, Key, Kind)] =
            &[$((tags::$tag, Level::$level, Key::$key, Kind::$kind)),*];
    };
}

keys! {
    PATIENT_NAME Patient PatientName Name;
    PATIENT_ID Patient PatientId Text;
    ISSUER_OF_PATIENT_ID Patient IssuerOfPatientId Text;
    PATIENT_BIRTH_DATE Patient PatientBirthDate Date;
    PATIENT_SEX Patient PatientSex Text;
    STUDY_DATE Study StudyDate Date;
    STUDY_TIME Study StudyTime Time;
    ACCESSION_NUMBER Study AccessionNumber Text;
    STUDY_ID Study StudyId Text;
    STUDY_INSTANCE_UID Study StudyInstanceUid Uid;
    STUDY_DESCRIPTION Study StudyDescription Text;
    REFERRING_PHYSICIAN_NAME Study ReferringPhysicianName Name;
    MODALITIES_IN_STUDY Study ModalitiesInStudy Text;
    SOP_CLASSES_IN_STUDY Study SopClassesInStudy Uid;
    MODALITY Series Modality Text;
    SERIES_NUMBER Series SeriesNumber Number;
    SERIES_INSTANCE_UID Series SeriesInstanceUid Uid;
    SERIES_DESCRIPTION Series SeriesDescription Text;
    BODY_PART_EXAMINED Series BodyPartExamined Text;
    PERFORMED_PROCEDURE_STEP_START_DATE Series PerformedProcedureStepStartDate Date;
    PERFORMED_PROCEDURE_STEP_START_TIME Series PerformedProcedureStepStartTime Time;
    INSTANCE_NUMBER Image InstanceNumber Number;
    SOP_INSTANCE_UID Image SopInstanceUid Uid;
    SOP_CLASS_UID Image SopClassUid Uid;
    NUMBER_OF_FRAMES Image NumberOfFrames Number;
    ROWS Image Rows Number;
    COLUMNS Image Columns Number;
    BITS_ALLOCATED Image BitsAllocated Number;
    AVAILABLE_TRANSFER_SYNTAX_UID Image AvailableTransferSyntaxUid Uid;
}

/// The keys inside an item of Request Attributes Sequence (0040,0275), of a series (C.2.2.2.6).
const REQUEST_KEYS: [(Tag, Key); 2] = [
    (tags::SCHEDULED_PROCEDURE_STEP_ID, Key::ScheduledProcedureStepId),
    (tags::REQUESTED_PROCEDURE_ID, Key::RequestedProcedureId),
];

/// Path, level and kind of matching of each key, for the conformance statement.
#[cfg(test)]
pub(crate) fn key_rows() -> impl Iterator<Item = (Vec<Tag>, Level, &'static str)> {
    let keys = KEYS.iter().map(|(tag, level, _, kind)| {
        let matching = match kind {
            Kind::Uid => "single value, list of UID",
            Kind::Text => "single value, wildcard, list",
            Kind::Name => "single value, wildcard",
            Kind::Date | Kind::Time => "single value, range",
            Kind::Number => "single value, list",
        };
        (vec![*tag], *level, matching)
    });
    let within = REQUEST_KEYS.iter().map(|(tag, _)| {
        (vec![tags::REQUEST_ATTRIBUTES_SEQUENCE, *tag], Level::Series, "single value, wildcard, list")
    });
    keys.chain(within)
}

type Conditions = Vec<(Key, Condition)>;

/// What a C-FIND asks. Keys of levels below the query's do not restrict it, but Modality, which of a study is
/// Modalities in Study. Ranges of days and times are one stretch where the peer has asked for that.
///
/// # Errors
///
/// A900 names the key whose value does not read.
pub(super) fn conditions(query: &Query) -> Result<Conditions, StoreStatus> {
    let (mut conditions, mut ranges) = (Conditions::new(), Vec::new());
    for (tag, level, key, kind) in KEYS {
        let (key, is_asked) = match *tag {
            tags::MODALITY if query.level() == Level::Study => (Key::ModalitiesInStudy, true),
            _ => (*key, *level <= query.level()),
        };
        if is_asked && let Some(value) = text(query.identifier(), *tag) {
            add(&mut conditions, key, *kind, &value).map_err(|wanted| mismatch(*tag, wanted))?;
            if matches!(kind, Kind::Date | Kind::Time) && value.contains('-') {
                ranges.push(key);
            }
        }
    }
    if query.combines_date_and_time() {
        combine_date_and_time(&mut conditions, &ranges);
    }
    if query.level() >= Level::Series
        && let Some(item) = first_item(query.identifier(), tags::REQUEST_ATTRIBUTES_SEQUENCE)
    {
        for (tag, key) in REQUEST_KEYS {
            if let Some(value) = text(item, tag) {
                add(&mut conditions, key, Kind::Text, &value).map_err(|wanted| mismatch(tag, wanted))?;
            }
        }
    }
    Ok(conditions)
}

/// What a C-MOVE or C-GET names: the unique key of its level, and of those above it what is given
/// (PS3.4, sections C.4.2.1.4 and C.4.2.2.1).
///
/// # Errors
///
/// A900 where the unique key of the level is missing or does not read.
pub(super) fn unique_keys(query: &Query) -> Result<Conditions, StoreStatus> {
    let mut conditions = Conditions::new();
    for level in Level::ALL.into_iter().filter(|level| *level <= query.level()) {
        let tag = level.unique_key();
        let Some(value) = text(query.identifier(), tag) else {
            if level == query.level() {
                return Err(mismatch(tag, "needed at this level"));
            }
            continue;
        };
        let key = KEYS.iter().find(|(it, ..)| *it == tag).map(|(_, _, key, _)| *key);
        let key = key.ok_or_else(|| mismatch(tag, "not known"))?;
        let values = if level == Level::Patient { texts(listed(&value)) } else { uids(&value) };
        conditions.push((key, Condition::OneOf(values.map_err(|wanted| mismatch(tag, wanted))?)));
    }
    if let Some(issuer) = text(query.identifier(), tags::ISSUER_OF_PATIENT_ID) {
        let issuer = texts(vec![issuer]).map_err(|wanted| mismatch(tags::ISSUER_OF_PATIENT_ID, wanted))?;
        conditions.push((Key::IssuerOfPatientId, Condition::OneOf(issuer)));
    }
    Ok(conditions)
}

/// The key is named and its value, which may be of a patient, is not.
fn mismatch(tag: Tag, wanted: &str) -> StoreStatus {
    let comment = format!("({:04X},{:04X}) is {wanted}", tag.group(), tag.element());
    StoreStatus::new(StoreStatus::DATA_SET_MISMATCH, comment)
}

fn first_item(object: &InMemDicomObject, tag: Tag) -> Option<&InMemDicomObject> {
    object.get(tag)?.items()?.first()
}

/// Adds what `value` asks; nothing where anything matches (C.2.2.2.3).
fn add(conditions: &mut Conditions, key: Key, kind: Kind, value: &str) -> Result<(), &'static str> {
    if value.bytes().all(|byte| byte == b'*') {
        return Ok(());
    }
    let condition = match kind {
        Kind::Uid => Condition::OneOf(uids(value)?),
        Kind::Text => Condition::Pattern(texts(listed(value))?),
        Kind::Name => return add_name(conditions, key, value),
        Kind::Number => Condition::Numbers(numbers(value)?),
        Kind::Date => {
            let (from, to) = range(value, "a date YYYYMMDD or a range", day, day)?;
            Condition::Days { from, to }
        }
        Kind::Time => {
            let first = |text: &str| second(text, "000000");
            let last = |text: &str| second(text, "235959");
            let (from, to) = range(value, "a time HHMMSS or a range", first, last)?;
            Condition::Times { from, to }
        }
    };
    conditions.push((key, condition));
    Ok(())
}

/// A name matches by any of its component groups: alphabetic, ideographic or phonetic.
fn add_name(conditions: &mut Conditions, key: Key, value: &str) -> Result<(), &'static str> {
    let value = texts(vec![value.to_owned()])?.concat();
    if value.contains('=') || value.ends_with('*') && value.is_ascii() {
        conditions.push((key, Condition::Pattern(vec![value])));
        return Ok(());
    }
    let mut patterns = vec![value.clone(), format!("{value}=*")];
    if value.is_ascii() {
        // what the name begins with leads to it along an index; what it is, is told by the other condition
        conditions.push((key, Condition::Pattern(vec![format!("{value}*")])));
    } else {
        patterns.extend([format!("*={value}"), format!("*={value}=*")]);
    }
    conditions.push((key, Condition::Pattern(patterns)));
    Ok(())
}

/// The values of a list.
fn listed(value: &str) -> Vec<String> {
    value.split('\\').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The texts, when they are such as an object may hold.
fn texts(texts: Vec<String>) -> Result<Vec<String>, &'static str> {
    let is_text = |text: &String| text.len() <= TEXT_BYTES && !text.chars().any(char::is_control);
    let is_list = (1..=LIST_MAX).contains(&texts.len());
    if is_list && texts.iter().all(is_text) { Ok(texts) } else { Err("a text that is too long or no text") }
}

fn uids(value: &str) -> Result<Vec<String>, &'static str> {
    let uids = listed(value);
    let are_uids = uids.iter().all(|uid| uid.parse::<clinical::uid::SopInstanceUid>().is_ok());
    let is_list = (1..=LIST_MAX).contains(&uids.len());
    if is_list && are_uids { Ok(uids) } else { Err("a UID or a list of them, without wildcards") }
}

fn numbers(value: &str) -> Result<Vec<i64>, &'static str> {
    let values = listed(value);
    let numbers: Result<Vec<i64>, _> = values.iter().take(LIST_MAX).map(|text| text.parse()).collect();
    numbers.ok().filter(|numbers| !numbers.is_empty()).ok_or("a whole number")
}

/// `A-B`, `A-`, `-B`, or `A` for both ends.
fn range(
    value: &str,
    wanted: &'static str,
    first: impl Fn(&str) -> Option<String>,
    last: impl Fn(&str) -> Option<String>,
) -> Result<(Option<String>, Option<String>), &'static str> {
    let (from, to) = value.split_once('-').unwrap_or((value, value));
    let (from, to) = (from.trim(), to.trim());
    if from.is_empty() && to.is_empty() {
        return Err(wanted);
    }
    let bound = |text: &str, read: &dyn Fn(&str) -> Option<String>| match text {
        "" => Ok(None),
        text => read(text).map(Some).ok_or(wanted),
    };
    Ok((bound(from, &first)?, bound(to, &last)?))
}

/// The form with dots is of ACR-NEMA (PS3.5, section 6.2, VR DA).
fn day(text: &str) -> Option<String> {
    let digits = text.replace('.', "");
    (digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

/// `HH`, `HHMM`, `HHMMSS` or `HHMMSS.F…` as six digits; what is left out comes from `rest`.
fn second(text: &str, rest: &str) -> Option<String> {
    let text = text.replace(':', "");
    let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
    let is_time = matches!(whole.len(), 2 | 4 | 6) && whole.bytes().all(|byte| byte.is_ascii_digit());
    is_time.then(|| format!("{whole}{}", &rest[whole.len()..]))
}

#[cfg(test)]
mod tests;
