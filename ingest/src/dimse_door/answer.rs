//! What a C-FIND response tells of a match: the keys that were asked for, and where to retrieve it.
//!
//! Source: DICOM PS3.4, sections C.4.1.1.3.2 and C.6.

use clinical::ae_title::AeTitle;
use dicom_core::value::DataSetSequence;
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;
use storage::records::search::{FoundInstance, FoundPatient, FoundSeries, FoundStudy};

use crate::scp::query::{Level, Match, Query};

/// What stands in an identifier without being a key.
const NO_KEYS: [Tag; 6] = [
    tags::SPECIFIC_CHARACTER_SET,
    tags::QUERY_RETRIEVE_LEVEL,
    tags::RETRIEVE_AE_TITLE,
    tags::INSTANCE_AVAILABILITY,
    tags::STORAGE_MEDIA_FILE_SET_ID,
    tags::STORAGE_MEDIA_FILE_SET_UID,
];

/// Which keys are asked for, and who is asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    level: Level,
    keys: Vec<Tag>,
    retrieve_from: AeTitle,
}

/// A match with what is known of the levels above it, as far as that is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'f> {
    Patient(&'f FoundPatient),
    Study(&'f FoundStudy),
    Series(&'f FoundSeries, Option<&'f FoundStudy>),
    Image(&'f FoundInstance, Option<&'f FoundSeries>, Option<&'f FoundStudy>),
}

impl Asked {
    /// The keys of `query`, put to `retrieve_from`.
    pub(super) fn by(query: &Query, retrieve_from: AeTitle) -> Self {
        let tags = query.identifier().iter().map(dicom_core::header::Header::tag);
        let keys = tags.filter(|tag| tag.element() != 0 && !NO_KEYS.contains(tag)).collect();
        Self { level: query.level(), keys, retrieve_from }
    }

    /// Whether anything is asked that a study alone tells.
    pub(super) fn needs_study(&self) -> bool {
        let is_of_study = |tag: &Tag| *tag != tags::STUDY_INSTANCE_UID && STUDY_KEYS.contains(tag);
        self.keys.iter().any(is_of_study)
    }

    /// Whether the SOP classes of studies are asked for.
    pub(super) fn needs_sop_classes(&self) -> bool {
        self.keys.contains(&tags::SOP_CLASSES_IN_STUDY)
    }

    /// Whether anything is asked that a series alone tells.
    pub(super) fn needs_series(&self) -> bool {
        let is_of_series = |tag: &Tag| *tag != tags::SERIES_INSTANCE_UID && SERIES_KEYS.contains(tag);
        self.keys.iter().any(is_of_series)
    }

    /// The identifier of one response. A key that is not supported is left out (PS3.4, section C.2.2.1.3).
    pub(super) fn answer(&self, found: Found<'_>) -> Match {
        let mut data_set = InMemDicomObject::from_element_iter([
            text(tags::QUERY_RETRIEVE_LEVEL, VR::CS, Some(self.level.as_str())),
            text(tags::RETRIEVE_AE_TITLE, VR::AE, Some(self.retrieve_from.as_str())),
            text(tags::INSTANCE_AVAILABILITY, VR::CS, Some("ONLINE")),
        ]);
        let mut is_whole = true;
        let unique = Level::ALL.into_iter().filter(|level| *level <= self.level).map(Level::unique_key);
        for tag in unique {
            // of the levels above only what is known anyway
            if let Some(element) = found.element(tag) {
                data_set.put(element);
            }
        }
        for tag in &self.keys {
            match found.element(*tag) {
                Some(element) => {
                    data_set.put(element);
                }
                None => is_whole = false,
            }
        }
        Match { data_set, is_whole }
    }
}

/// What a study tells, its patient included.
const STUDY_KEYS: [Tag; 17] = [
    tags::PATIENT_NAME,
    tags::PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID,
    tags::PATIENT_BIRTH_DATE,
    tags::PATIENT_SEX,
    tags::STUDY_DATE,
    tags::STUDY_TIME,
    tags::ACCESSION_NUMBER,
    tags::STUDY_ID,
    tags::STUDY_INSTANCE_UID,
    tags::STUDY_DESCRIPTION,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::MODALITIES_IN_STUDY,
    tags::SOP_CLASSES_IN_STUDY,
    tags::NUMBER_OF_STUDY_RELATED_SERIES,
    tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
    tags::TIMEZONE_OFFSET_FROM_UTC,
];

/// What a series tells.
const SERIES_KEYS: [Tag; 9] = [
    tags::MODALITY,
    tags::SERIES_NUMBER,
    tags::SERIES_INSTANCE_UID,
    tags::SERIES_DESCRIPTION,
    tags::BODY_PART_EXAMINED,
    tags::PERFORMED_PROCEDURE_STEP_START_DATE,
    tags::PERFORMED_PROCEDURE_STEP_START_TIME,
    tags::REQUEST_ATTRIBUTES_SEQUENCE,
    tags::NUMBER_OF_SERIES_RELATED_INSTANCES,
];

impl Found<'_> {
    /// The element of a key, empty where the match has no value; `None` where the key is not supported.
    fn element(&self, tag: Tag) -> Option<InMemElement> {
        match self {
            Self::Patient(patient) => of_patient(patient, tag),
            Self::Study(study) => of_study(study, tag),
            Self::Series(series, study) => {
                of_series(series, tag).or_else(|| study.and_then(|study| of_study(study, tag)))
            }
            Self::Image(instance, series, study) => of_instance(instance, tag)
                .or_else(|| series.and_then(|series| of_series(series, tag)))
                .or_else(|| study.and_then(|study| of_study(study, tag))),
        }
    }
}

fn of_patient(patient: &FoundPatient, tag: Tag) -> Option<InMemElement> {
    Some(match tag {
        tags::PATIENT_NAME => text(tag, VR::PN, Some(&patient.patient_name)),
        tags::PATIENT_ID => text(tag, VR::LO, Some(&patient.mrn)),
        tags::ISSUER_OF_PATIENT_ID => text(tag, VR::LO, Some(&patient.issuer)),
        tags::PATIENT_BIRTH_DATE => text(tag, VR::DA, patient.birth_date.as_deref()),
        tags::PATIENT_SEX => text(tag, VR::CS, patient.sex.as_deref()),
        tags::NUMBER_OF_PATIENT_RELATED_STUDIES => number(tag, Some(patient.study_count)),
        tags::NUMBER_OF_PATIENT_RELATED_SERIES => number(tag, Some(patient.series_count)),
        tags::NUMBER_OF_PATIENT_RELATED_INSTANCES => number(tag, Some(patient.instance_count)),
        _ => return None,
    })
}

fn of_study(study: &FoundStudy, tag: Tag) -> Option<InMemElement> {
    Some(match tag {
        tags::PATIENT_NAME => text(tag, VR::PN, Some(&study.patient_name)),
        tags::PATIENT_ID => text(tag, VR::LO, Some(&study.mrn)),
        tags::ISSUER_OF_PATIENT_ID => text(tag, VR::LO, Some(&study.issuer)),
        tags::PATIENT_BIRTH_DATE => text(tag, VR::DA, study.birth_date.as_deref()),
        tags::PATIENT_SEX => text(tag, VR::CS, study.sex.as_deref()),
        tags::STUDY_DATE => text(tag, VR::DA, study.study_date.as_deref()),
        tags::STUDY_TIME => text(tag, VR::TM, study.study_time.as_deref()),
        tags::ACCESSION_NUMBER => text(tag, VR::SH, study.accession_number.as_deref()),
        tags::STUDY_ID => text(tag, VR::SH, study.study_number.as_deref()),
        tags::STUDY_INSTANCE_UID => text(tag, VR::UI, Some(study.study_uid.as_str())),
        tags::STUDY_DESCRIPTION => text(tag, VR::LO, study.description.as_deref()),
        tags::REFERRING_PHYSICIAN_NAME => text(tag, VR::PN, study.referring_physician.as_deref()),
        tags::MODALITIES_IN_STUDY => text(tag, VR::CS, Some(&study.modalities.join("\\"))),
        tags::SOP_CLASSES_IN_STUDY => {
            let classes: Vec<&str> = study.sop_classes.iter().map(|class| class.as_str()).collect();
            text(tag, VR::UI, Some(&classes.join("\\")))
        }
        tags::NUMBER_OF_STUDY_RELATED_SERIES => number(tag, Some(study.series_count)),
        tags::NUMBER_OF_STUDY_RELATED_INSTANCES => number(tag, Some(study.instance_count)),
        tags::TIMEZONE_OFFSET_FROM_UTC => text(tag, VR::SH, study.timezone_offset.as_deref()),
        _ => return None,
    })
}

fn of_series(series: &FoundSeries, tag: Tag) -> Option<InMemElement> {
    Some(match tag {
        tags::STUDY_INSTANCE_UID => text(tag, VR::UI, Some(series.study_uid.as_str())),
        tags::MODALITY => text(tag, VR::CS, series.modality.as_deref()),
        tags::SERIES_NUMBER => number(tag, series.series_number),
        tags::SERIES_INSTANCE_UID => text(tag, VR::UI, Some(series.series_uid.as_str())),
        tags::SERIES_DESCRIPTION => text(tag, VR::LO, series.description.as_deref()),
        tags::BODY_PART_EXAMINED => text(tag, VR::CS, series.body_part.as_deref()),
        tags::PERFORMED_PROCEDURE_STEP_START_DATE => text(tag, VR::DA, series.started_date.as_deref()),
        tags::PERFORMED_PROCEDURE_STEP_START_TIME => text(tag, VR::TM, series.started_time.as_deref()),
        tags::REQUEST_ATTRIBUTES_SEQUENCE => requests(&series.requests),
        tags::NUMBER_OF_SERIES_RELATED_INSTANCES => number(tag, Some(series.instance_count)),
        tags::TIMEZONE_OFFSET_FROM_UTC => text(tag, VR::SH, series.timezone_offset.as_deref()),
        _ => return None,
    })
}

fn of_instance(instance: &FoundInstance, tag: Tag) -> Option<InMemElement> {
    let short = |value: Option<i64>| {
        let value = value.and_then(|value| u16::try_from(value).ok());
        DataElement::new(tag, VR::US, value.map_or(PrimitiveValue::Empty, PrimitiveValue::from))
    };
    Some(match tag {
        tags::STUDY_INSTANCE_UID => text(tag, VR::UI, Some(instance.study_uid.as_str())),
        tags::SERIES_INSTANCE_UID => text(tag, VR::UI, Some(instance.series_uid.as_str())),
        tags::SOP_INSTANCE_UID => text(tag, VR::UI, Some(instance.sop_uid.as_str())),
        tags::SOP_CLASS_UID => text(tag, VR::UI, Some(instance.sop_class_uid.as_str())),
        tags::AVAILABLE_TRANSFER_SYNTAX_UID => text(tag, VR::UI, Some(instance.transfer_syntax_uid.as_str())),
        tags::INSTANCE_NUMBER => number(tag, instance.instance_number),
        tags::NUMBER_OF_FRAMES => number(tag, instance.frame_count),
        tags::ROWS => short(instance.rows),
        tags::COLUMNS => short(instance.columns),
        tags::BITS_ALLOCATED => short(instance.bits_allocated),
        tags::TIMEZONE_OFFSET_FROM_UTC => text(tag, VR::SH, instance.timezone_offset.as_deref()),
        _ => return None,
    })
}

/// Several values are parted by backslashes.
fn text(tag: Tag, vr: VR, text: Option<&str>) -> InMemElement {
    let value = match text.filter(|text| !text.is_empty()) {
        Some(text) => PrimitiveValue::Strs(text.split('\\').map(str::to_owned).collect()),
        None => PrimitiveValue::Empty,
    };
    DataElement::new(tag, vr, value)
}

fn number(tag: Tag, number: Option<i64>) -> InMemElement {
    text(tag, VR::IS, number.map(|number| number.to_string()).as_deref())
}

/// Request Attributes Sequence (0040,0275): an item a request.
fn requests(requests: &[(String, String)]) -> InMemElement {
    let item = |(step, procedure): &(String, String)| {
        InMemDicomObject::from_element_iter([
            text(tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH, Some(step)),
            text(tags::REQUESTED_PROCEDURE_ID, VR::SH, Some(procedure)),
        ])
    };
    let items: Vec<_> = requests.iter().map(item).collect();
    DataElement::new(tags::REQUEST_ATTRIBUTES_SEQUENCE, VR::SQ, DataSetSequence::from(items))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scp::query::Model;

    fn patient() -> FoundPatient {
        FoundPatient {
            patient_id: clinical::id::PatientId::new(),
            patient_name: "Yamada^Tarou=山田^太郎".into(),
            mrn: "Y1".into(),
            issuer: String::new(),
            birth_date: None,
            sex: Some("M".into()),
            study_count: 3,
            series_count: 5,
            instance_count: 70,
        }
    }

    /// PS3.4, section C.2.2.1.3: a key that is not supported is not returned; one without a value has zero length.
    #[test]
    fn an_answer_holds_what_was_asked_and_where_to_retrieve_it() {
        let asked = [
            text(tags::QUERY_RETRIEVE_LEVEL, VR::CS, Some("PATIENT")),
            text(tags::PATIENT_NAME, VR::PN, Some("Yamada*")),
            text(tags::PATIENT_BIRTH_DATE, VR::DA, None),
            number(tags::NUMBER_OF_PATIENT_RELATED_INSTANCES, None),
        ];
        let query = |more: &[InMemElement]| {
            let all = asked.iter().cloned().chain(more.iter().cloned());
            Query::new(Model::PatientRoot, InMemDicomObject::from_element_iter(all)).unwrap()
        };
        let answer = |query: &Query| Asked::by(query, AeTitle::MEDILINK).answer(Found::Patient(&patient()));
        let whole = answer(&query(&[]));
        assert!(whole.is_whole);
        let value = |tag| part10::text(&whole.data_set, tag);
        assert_eq!(value(tags::PATIENT_NAME).unwrap(), "Yamada^Tarou=山田^太郎");
        assert_eq!(value(tags::PATIENT_ID).unwrap(), "Y1", "the unique key of the level");
        assert_eq!(value(tags::NUMBER_OF_PATIENT_RELATED_INSTANCES).unwrap(), "70");
        assert_eq!(value(tags::RETRIEVE_AE_TITLE).unwrap(), "MEDILINK");
        assert!(whole.data_set.get(tags::PATIENT_BIRTH_DATE).is_some(), "there, without a value");
        assert!(whole.data_set.get(tags::PATIENT_SEX).is_none(), "not asked");

        let part = answer(&query(&[text(tags::PATIENT_WEIGHT, VR::DS, None)]));
        assert!(!part.is_whole && part.data_set.get(tags::PATIENT_WEIGHT).is_none());
    }
}
