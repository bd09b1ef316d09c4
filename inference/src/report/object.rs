//! What all our objects begin with: the patient and study of the images they are about, their series, who made them.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use clinical::uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid};
use dicom_core::value::Value;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use uuid::Uuid;

use super::code::Code;
use super::element::{item, line, sequence, short, text};

/// The namespace of the UUIDs that our UIDs are made of; itself a random UUID.
const NAMESPACE: Uuid = Uuid::from_u128(0x4d0f_5c1b_6a0e_4f4c_9a57_2f5f_7b0d_93e1);
/// What our objects call their maker.
const MANUFACTURER: &str = "Medilink";
/// Parts the parts of a derived UID's name, and is in none of them.
const SEPARATOR: &str = "\u{1f}";

/// Attributes that are the patient's and the study's, taken over as they are (PS3.3, sections C.7.1 and C.7.2). Those
/// marked `true` stand in an object even without a value (type 2).
const TAKEN_OVER: &[(Tag, VR, bool)] = &[
    (tags::PATIENT_NAME, VR::PN, true),
    (tags::PATIENT_ID, VR::LO, true),
    (tags::ISSUER_OF_PATIENT_ID, VR::LO, false),
    (tags::PATIENT_BIRTH_DATE, VR::DA, true),
    (tags::PATIENT_SEX, VR::CS, true),
    (tags::PATIENT_AGE, VR::AS, false),
    (tags::PATIENT_SIZE, VR::DS, false),
    (tags::PATIENT_WEIGHT, VR::DS, false),
    (tags::PATIENT_IDENTITY_REMOVED, VR::CS, false),
    (tags::DEIDENTIFICATION_METHOD, VR::LO, false),
    (tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, false),
    (tags::STUDY_INSTANCE_UID, VR::UI, true),
    (tags::STUDY_DATE, VR::DA, true),
    (tags::STUDY_TIME, VR::TM, true),
    (tags::STUDY_ID, VR::SH, true),
    (tags::STUDY_DESCRIPTION, VR::LO, false),
    (tags::ACCESSION_NUMBER, VR::SH, true),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN, true),
];

/// A UID that names the same thing whenever it is made: `2.25.` and a UUID of version 5 over `parts`.
///
/// Source: PS3.5, section B.2; RFC 9562, section 5.5.
pub fn derived_uid(parts: &[&str]) -> String {
    format!("2.25.{}", Uuid::new_v5(&NAMESPACE, parts.join(SEPARATOR).as_bytes()).as_u128())
}

/// Why an object was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The source tells of no study.
    #[error("the source has no Study Instance UID")]
    NoStudy,
    /// Sizes that do not fit one another, or what an object needs and was not given.
    #[error("{0}")]
    Unfit(&'static str),
    /// The object could not be written.
    #[error("the object cannot be written")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Patient and study of the images that an object is about, read from the header of one of them.
#[derive(Debug, Clone)]
pub struct Subject {
    texts: BTreeMap<Tag, String>,
    /// Study Instance UID (0020,000D).
    pub study_uid: StudyInstanceUid,
}

impl Subject {
    /// What the header of an image of the study says of patient and study.
    ///
    /// # Errors
    ///
    /// [`ReportError::NoStudy`].
    pub fn of(header: &InMemDicomObject) -> Result<Self, ReportError> {
        let texts: BTreeMap<Tag, String> =
            TAKEN_OVER.iter().filter_map(|(tag, ..)| Some((*tag, taken(header, *tag)?))).collect();
        let study_uid = texts.get(&tags::STUDY_INSTANCE_UID).and_then(|text| text.parse().ok());
        Ok(Self { study_uid: study_uid.ok_or(ReportError::NoStudy)?, texts })
    }

    /// Timezone Offset From UTC (0008,0201), as `+0300`: then all dates and times of the object are meant in it.
    pub fn utc_offset(&self) -> Option<&str> {
        self.texts.get(&tags::TIMEZONE_OFFSET_FROM_UTC).map(String::as_str)
    }
}

fn taken(header: &InMemDicomObject, tag: Tag) -> Option<String> {
    let Value::Primitive(value) = header.get(tag)?.value() else { return None };
    let text = value.to_str();
    let text = text.trim_matches(['\0', ' ']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// The program that makes the objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maker {
    /// Its version, as Software Versions (0018,1020).
    pub version: String,
    /// Implementation Class UID (0002,0012).
    pub implementation_class_uid: String,
    /// Implementation Version Name (0002,0013).
    pub implementation_version_name: String,
}

/// An image that an object speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ImageReference {
    /// Series Instance UID (0020,000E).
    pub series_uid: SeriesInstanceUid,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: SopClassUid,
    /// SOP Instance UID (0008,0018).
    pub sop_uid: SopInstanceUid,
    /// How many frames it has; a single one is not named in references.
    pub frame_count: u32,
}

impl ImageReference {
    /// An item of a Referenced SOP Sequence; `frame`, counted from 0, is named where there are several.
    pub(super) fn item(&self, frame: Option<u32>) -> InMemDicomObject {
        let mut item = item([
            text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, self.sop_class_uid.as_str()),
            text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, self.sop_uid.as_str()),
        ]);
        if let Some(frame) = frame.filter(|_| self.frame_count > 1) {
            item.put(text(tags::REFERENCED_FRAME_NUMBER, VR::IS, (frame + 1).to_string()));
        }
        item
    }
}

/// What every object of ours begins with.
#[derive(Debug, Clone)]
pub struct ObjectHead<'a> {
    /// Patient and study.
    pub subject: &'a Subject,
    /// Who makes it.
    pub maker: &'a Maker,
    /// The network's name and version: the model of the equipment.
    pub model: String,
    /// SHA-256 of its weights: the equipment's serial number.
    pub serial: String,
    /// Series Instance UID (0020,000E).
    pub series_uid: SeriesInstanceUid,
    /// Series Number (0020,0011).
    pub series_number: u32,
    /// Series Description (0008,103E).
    pub series_description: String,
    /// SOP Instance UID (0008,0018).
    pub sop_uid: SopInstanceUid,
    /// Instance Number (0020,0013).
    pub instance_number: u32,
    /// When its content was made, by the clocks of the study.
    pub at: NaiveDateTime,
}

impl ObjectHead<'_> {
    /// `YYYYMMDD` of the content.
    pub(super) fn date(&self) -> String {
        self.at.format("%Y%m%d").to_string()
    }

    /// `HHMMSS.FFFFFF` of the content.
    pub(super) fn time(&self) -> String {
        self.at.format("%H%M%S%.6f").to_string()
    }

    /// The data set up to where kinds of objects part.
    pub(super) fn begin(&self, sop_class: &str, modality: &str) -> InMemDicomObject {
        let mut object = item([
            text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
            text(tags::INSTANCE_CREATION_DATE, VR::DA, self.date()),
            text(tags::INSTANCE_CREATION_TIME, VR::TM, self.time()),
            text(tags::SOP_CLASS_UID, VR::UI, sop_class),
            text(tags::SOP_INSTANCE_UID, VR::UI, self.sop_uid.as_str()),
            text(tags::SERIES_DATE, VR::DA, self.date()),
            text(tags::SERIES_TIME, VR::TM, self.time()),
            text(tags::CONTENT_DATE, VR::DA, self.date()),
            text(tags::CONTENT_TIME, VR::TM, self.time()),
            text(tags::MODALITY, VR::CS, modality),
            text(tags::MANUFACTURER, VR::LO, MANUFACTURER),
            text(tags::MANUFACTURER_MODEL_NAME, VR::LO, line(&self.model, 64)),
            text(tags::DEVICE_SERIAL_NUMBER, VR::LO, line(&self.serial, 64)),
            text(tags::SOFTWARE_VERSIONS, VR::LO, line(&self.maker.version, 64)),
            text(tags::SERIES_DESCRIPTION, VR::LO, line(&self.series_description, 64)),
            text(tags::SERIES_INSTANCE_UID, VR::UI, self.series_uid.as_str()),
            text(tags::SERIES_NUMBER, VR::IS, self.series_number.to_string()),
            text(tags::INSTANCE_NUMBER, VR::IS, self.instance_number.to_string()),
            sequence(tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE, Code::schemes()),
        ]);
        for (tag, vr, is_always_there) in TAKEN_OVER {
            let value = self.subject.texts.get(tag).map(String::as_str);
            if value.is_some() || *is_always_there {
                object.put(text(*tag, *vr, value.unwrap_or_default()));
            }
        }
        object
    }

    /// The file: Explicit VR Little Endian.
    pub(super) fn file(&self, object: InMemDicomObject) -> Result<Vec<u8>, ReportError> {
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN)
            .implementation_class_uid(&self.maker.implementation_class_uid)
            .implementation_version_name(&self.maker.implementation_version_name);
        let write = |error: Box<dyn std::error::Error + Send + Sync>| ReportError::Write(error);
        let file = object.with_meta(meta).map_err(|error| write(error.into()))?;
        let mut bytes = Vec::new();
        file.write_all(&mut bytes).map_err(|error| write(error.into()))?;
        Ok(bytes)
    }
}

/// Image Pixel attributes of 8-bit (or 1-bit) samples (PS3.3, section C.7.6.3).
pub(super) fn pixel_attributes(object: &mut InMemDicomObject, rows: u16, columns: u16, bits: u16) {
    for (tag, value) in [
        (tags::ROWS, rows),
        (tags::COLUMNS, columns),
        (tags::BITS_ALLOCATED, bits),
        (tags::BITS_STORED, bits),
        (tags::HIGH_BIT, bits - 1),
        (tags::PIXEL_REPRESENTATION, 0),
    ] {
        object.put(short(tag, value));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The head of an object about a child's chest image.
    pub(in crate::report) fn head<'a>(subject: &'a Subject, maker: &'a Maker) -> ObjectHead<'a> {
        ObjectHead {
            subject,
            maker,
            model: "pneumonia224 1".to_owned(),
            serial: "ab".repeat(32),
            series_uid: "2.25.7".parse().unwrap(),
            series_number: 9901,
            series_description: "Findings".to_owned(),
            sop_uid: "2.25.8".parse().unwrap(),
            instance_number: 1,
            at: "2026-11-21T12:00:00".parse().unwrap(),
        }
    }

    pub(in crate::report) fn maker() -> Maker {
        Maker {
            version: "0.1.0".to_owned(),
            implementation_class_uid: "2.25.1".to_owned(),
            implementation_version_name: "MEDILINK_0".to_owned(),
        }
    }

    pub(in crate::report) fn subject() -> Subject {
        let header = item([
            text(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.3"),
            text(tags::STUDY_DATE, VR::DA, "20260102"),
            text(tags::PATIENT_NAME, VR::PN, "Tést^Ada"),
            text(tags::PATIENT_ID, VR::LO, "P1"),
            text(tags::PATIENT_AGE, VR::AS, "003Y"),
        ]);
        Subject::of(&header).unwrap()
    }

    pub(in crate::report) fn image() -> ImageReference {
        ImageReference {
            series_uid: "1.2.3.1".parse().unwrap(),
            sop_class_uid: uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE.parse().unwrap(),
            sop_uid: "1.2.3.1.1".parse().unwrap(),
            frame_count: 1,
        }
    }

    /// PS3.5, section B.2: a UUID as a decimal number behind 2.25; at most 64 characters in all.
    #[test]
    fn a_derived_uid_is_the_same_again_and_another_for_another_name() {
        let uid = derived_uid(&["a", "bc"]);
        assert_eq!(uid, derived_uid(&["a", "bc"]));
        assert_ne!(uid, derived_uid(&["ab", "c"]));
        assert!(uid.starts_with("2.25.") && uid.len() <= 64, "{uid}");
        let number: u128 = uid[5..].parse().unwrap();
        assert_eq!(Uuid::from_u128(number).get_version_num(), 5);
    }

    #[test]
    fn an_object_is_of_the_sources_patient_and_study_and_the_same_bytes_again() {
        let (subject, maker) = (subject(), maker());
        let head = head(&subject, &maker);
        let bytes = || head.file(head.begin(uids::ENHANCED_SR_STORAGE, "SR")).unwrap();
        assert!(bytes() == bytes());
        let read = dicom_object::from_reader(&*bytes()).unwrap();
        let word = |tag| read.element(tag).unwrap().to_str().unwrap().into_owned();
        assert_eq!(word(tags::PATIENT_NAME), "Tést^Ada");
        assert_eq!(word(tags::PATIENT_AGE), "003Y");
        assert_eq!(word(tags::STUDY_INSTANCE_UID), "1.2.3");
        assert_eq!(word(tags::ACCESSION_NUMBER), "", "type 2: there without a value");
        assert!(matches!(Subject::of(&item([])), Err(ReportError::NoStudy)));
    }
}
