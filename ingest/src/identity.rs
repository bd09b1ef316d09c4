//! Who an instance is, and what the rows keep of its header.

use std::collections::BTreeSet;

use clinical::uid::{
    SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid, UidError,
};
use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use part10::{PixelDataAt, Scan, text};
use storage::records::patient::PatientFacts;
use storage::records::rejection::{Code, Note};
use storage::records::series::SeriesFacts;
use storage::records::study::StudyFacts;

/// The rows index at most so many characters of a text; the object itself stays whole.
const INDEXED_CHARACTERS: usize = 256;
/// Most requests of a series that are indexed.
const REQUESTS: usize = 16;
/// Most instances that one note rejects; a longer one is refused.
const REJECTED: usize = 20_000;
/// Most studies of which one note rejects instances.
const REJECTED_STUDIES: usize = 100;

/// Why an object cannot be told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A media directory names files; it is no instance.
    #[error("a DICOMDIR lists files and is not stored itself")]
    Dicomdir,
    /// One of the four UIDs is absent.
    #[error("the object has no {0}")]
    Missing(&'static str),
    /// One of the four UIDs is not a UID.
    #[error("the {0} is not valid: {1}")]
    Invalid(&'static str, UidError),
    /// A rejection note of which nobody could be sure that all of it was done.
    #[error(
        "a rejection note names at most {REJECTED} instances of {REJECTED_STUDIES} studies: send several"
    )]
    NoteTooLong,
}

impl IdentityError {
    /// The stable code of the problem.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Dicomdir => "dicomdir",
            Self::Missing(_) => "missing-uid",
            Self::Invalid(..) => "invalid-uid",
            Self::NoteTooLong => "rejection-note-too-long",
        }
    }
}

/// The UIDs that place an instance, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Study Instance UID (0020,000D).
    pub study_uid: StudyInstanceUid,
    /// Series Instance UID (0020,000E).
    pub series_uid: SeriesInstanceUid,
    /// SOP Instance UID (0008,0018).
    pub sop_uid: SopInstanceUid,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: SopClassUid,
    /// Transfer Syntax UID (0002,0010).
    pub transfer_syntax_uid: TransferSyntaxUid,
}

impl Identity {
    /// The identity that the data set tells.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] when one of the UIDs is missing or malformed.
    pub fn of(scan: &Scan) -> Result<Self, IdentityError> {
        if scan.meta().media_storage_sop_class_uid().trim_end_matches('\0')
            == uids::MEDIA_STORAGE_DIRECTORY_STORAGE
        {
            return Err(IdentityError::Dicomdir);
        }
        let header = scan.header();
        Ok(Self {
            study_uid: uid(header, tags::STUDY_INSTANCE_UID, "Study Instance UID")?,
            series_uid: uid(header, tags::SERIES_INSTANCE_UID, "Series Instance UID")?,
            sop_uid: uid(header, tags::SOP_INSTANCE_UID, "SOP Instance UID")?,
            sop_class_uid: uid(header, tags::SOP_CLASS_UID, "SOP Class UID")?,
            transfer_syntax_uid: scan.transfer_syntax().clone(),
        })
    }
}

fn uid<T: std::str::FromStr<Err = UidError>>(
    header: &InMemDicomObject,
    tag: Tag,
    name: &'static str,
) -> Result<T, IdentityError> {
    let text = text(header, tag).ok_or(IdentityError::Missing(name))?;
    text.parse().map_err(|error| IdentityError::Invalid(name, error))
}

/// What the rows keep of a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) patient: PatientFacts,
    pub(crate) study: StudyFacts,
    pub(crate) series: SeriesFacts,
    pub(crate) instance_number: Option<i64>,
    pub(crate) rows: Option<i64>,
    pub(crate) columns: Option<i64>,
    pub(crate) bits_allocated: Option<i64>,
    pub(crate) frame_count: Option<i64>,
    pub(crate) pixels_at: Option<(i64, i64)>,
    /// It rejects other instances.
    pub(crate) note: Option<Note>,
    /// It would reject more than is done at once.
    pub(crate) is_note_too_long: bool,
}

impl Facts {
    pub(crate) fn of(scan: &Scan) -> Self {
        let header = scan.header();
        let word = |tag| indexed(header, tag);
        let number = |tag| text(header, tag).and_then(|text| text.parse::<i64>().ok());
        let native = match (scan.pixel_data(), scan.float_pixels()) {
            (Some(PixelDataAt::Native { offset, length }), _) => Some((*offset, *length)),
            (None, Some(floats)) => Some((floats.offset, floats.length)),
            _ => None,
        };
        let pixels_at = native
            .filter(|_| !scan.is_deflated())
            .and_then(|(offset, length)| i64::try_from(offset).ok().zip(i64::try_from(length).ok()));
        let has_pixels = scan.pixel_data().is_some() || scan.float_pixels().is_some();
        let note = note(header);
        Self {
            patient: PatientFacts {
                mrn: word(tags::PATIENT_ID).unwrap_or_default(),
                issuer: word(tags::ISSUER_OF_PATIENT_ID).unwrap_or_default(),
                name: word(tags::PATIENT_NAME).unwrap_or_default(),
                birth_date: date(header, tags::PATIENT_BIRTH_DATE),
                sex: word(tags::PATIENT_SEX),
            },
            study: StudyFacts {
                study_date: date(header, tags::STUDY_DATE),
                study_time: time(header, tags::STUDY_TIME),
                accession_number: word(tags::ACCESSION_NUMBER),
                study_number: word(tags::STUDY_ID),
                description: word(tags::STUDY_DESCRIPTION),
                referring_physician: word(tags::REFERRING_PHYSICIAN_NAME),
                timezone_offset: word(tags::TIMEZONE_OFFSET_FROM_UTC),
            },
            series: SeriesFacts {
                modality: word(tags::MODALITY),
                series_number: number(tags::SERIES_NUMBER),
                description: word(tags::SERIES_DESCRIPTION),
                body_part: word(tags::BODY_PART_EXAMINED),
                manufacturer: word(tags::MANUFACTURER),
                model: word(tags::MANUFACTURER_MODEL_NAME),
                started_date: date(header, tags::PERFORMED_PROCEDURE_STEP_START_DATE),
                started_time: time(header, tags::PERFORMED_PROCEDURE_STEP_START_TIME),
                requests: requests(header),
            },
            instance_number: number(tags::INSTANCE_NUMBER),
            rows: number(tags::ROWS),
            columns: number(tags::COLUMNS),
            bits_allocated: number(tags::BITS_ALLOCATED),
            frame_count: has_pixels
                .then(|| number(tags::NUMBER_OF_FRAMES).filter(|count| *count > 0).unwrap_or(1)),
            pixels_at,
            is_note_too_long: note.as_ref().is_some_and(is_too_long),
            note,
        }
    }
}

/// Scheduled Procedure Step ID and Requested Procedure ID of each item of Request Attributes Sequence.
fn requests(header: &InMemDicomObject) -> Vec<(String, String)> {
    let value = |item, tag| indexed(item, tag).unwrap_or_default().replace('\\', "");
    let ids =
        |item| (value(item, tags::SCHEDULED_PROCEDURE_STEP_ID), value(item, tags::REQUESTED_PROCEDURE_ID));
    let ids = items(header, tags::REQUEST_ATTRIBUTES_SEQUENCE).take(REQUESTS).map(ids);
    ids.filter(|(step, procedure)| !step.is_empty() || !procedure.is_empty()).collect()
}

fn is_too_long(note: &Note) -> bool {
    let studies: BTreeSet<_> = note.instances.iter().map(|(study, _)| study).collect();
    note.instances.len() > REJECTED || studies.len() > REJECTED_STUDIES
}

/// What a Key Object Selection Document rejects, up to one more than is done at once (IHE RAD TF-2, section 4.66; PS3.3, section C.17.6.2.1).
fn note(header: &InMemDicomObject) -> Option<Note> {
    if text(header, tags::SOP_CLASS_UID)? != uids::KEY_OBJECT_SELECTION_DOCUMENT_STORAGE {
        return None;
    }
    let title = items(header, tags::CONCEPT_NAME_CODE_SEQUENCE).next()?;
    if text(title, tags::CODING_SCHEME_DESIGNATOR)? != "DCM" {
        return None;
    }
    let code = Code::of_note(&text(title, tags::CODE_VALUE)?)?;
    let mut instances = Vec::new();
    for study in items(header, tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE) {
        let uid = text(study, tags::STUDY_INSTANCE_UID).and_then(|uid| uid.parse::<StudyInstanceUid>().ok());
        let Some(uid) = uid else { continue };
        for series in items(study, tags::REFERENCED_SERIES_SEQUENCE) {
            for instance in items(series, tags::REFERENCED_SOP_SEQUENCE) {
                let sop_uid = text(instance, tags::REFERENCED_SOP_INSTANCE_UID);
                if let Some(Ok(sop_uid)) = sop_uid.map(|sop_uid| sop_uid.parse()) {
                    instances.push((uid.clone(), sop_uid));
                }
                if instances.len() > REJECTED {
                    return Some(Note { code, instances });
                }
            }
        }
    }
    Some(Note { code, instances })
}

fn items(header: &InMemDicomObject, tag: Tag) -> impl Iterator<Item = &InMemDicomObject> {
    header.element(tag).ok().and_then(|element| element.items()).into_iter().flatten()
}

/// The text as the rows hold it: no control characters (PostgreSQL refuses NUL), no more than can be indexed.
fn indexed(header: &InMemDicomObject, tag: Tag) -> Option<String> {
    let text = text(header, tag)?;
    let kept: String = text.chars().filter(|it| !it.is_control()).take(INDEXED_CHARACTERS).collect();
    (!kept.is_empty()).then_some(kept)
}

/// A date as `YYYYMMDD`; the form with dots is of ACR-NEMA (PS3.5, section 6.2, VR DA).
fn date(header: &InMemDicomObject, tag: Tag) -> Option<String> {
    let digits = text(header, tag)?.replace('.', "");
    (digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(digits)
}

/// A time as `HHMMSS.FFFFFF` or a beginning of it; the form with colons is of ACR-NEMA (PS3.5, section 6.2, VR TM).
fn time(header: &InMemDicomObject, tag: Tag) -> Option<String> {
    let digits = text(header, tag)?.replace(':', "");
    let is_time = digits.len() <= 13 && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_time.then_some(digits)
}
