//! One result of a search as DICOM JSON (PS3.18, tables 10.6.3-3 to 10.6.3-5 and annex F).

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use serde_json::{Map, Value, json};
use storage::records::search::{FoundInstance, FoundSeries, FoundStudy};

use crate::base_url::BaseUrl;
use crate::dicom_json::{key_of, person_name};

/// Attributes under construction.
#[derive(Default)]
struct Attributes(Map<String, Value>);

impl Attributes {
    /// An attribute without a value stays, as PS3.18, section F.2.5 writes it.
    fn put(&mut self, tag: Tag, vr: VR, values: Vec<Value>) -> &mut Self {
        let mut attribute = Map::new();
        attribute.insert("vr".to_owned(), vr.to_string().into());
        if !values.is_empty() {
            attribute.insert("Value".to_owned(), values.into());
        }
        self.0.insert(key_of(tag), attribute.into());
        self
    }

    fn text(&mut self, tag: Tag, vr: VR, text: Option<&str>) -> &mut Self {
        let parts = text.into_iter().filter(|text| !text.is_empty()).flat_map(|text| text.split('\\'));
        let values = parts.map(|part| if vr == VR::PN { person_name(part) } else { part.into() }).collect();
        self.put(tag, vr, values)
    }

    fn number(&mut self, tag: Tag, vr: VR, number: Option<i64>) -> &mut Self {
        self.put(tag, vr, number.into_iter().map(Value::from).collect())
    }

    /// Only where there is one: the attribute belongs to images alone.
    fn known_number(&mut self, tag: Tag, vr: VR, number: Option<i64>) -> &mut Self {
        if number.is_some() { self.number(tag, vr, number) } else { self }
    }

    fn begun() -> Self {
        let mut attributes = Self::default();
        attributes.text(tags::SPECIFIC_CHARACTER_SET, VR::CS, Some("ISO_IR 192")).text(
            tags::INSTANCE_AVAILABILITY,
            VR::CS,
            Some("ONLINE"),
        );
        attributes
    }

    fn done(&mut self) -> Value {
        std::mem::take(&mut self.0).into()
    }
}

/// A study (table 10.6.3-3).
pub(super) fn study(study: &FoundStudy, base: &BaseUrl) -> Value {
    let url = format!("{}/studies/{}", base.0, study.study_uid);
    Attributes::begun()
        .text(tags::STUDY_DATE, VR::DA, study.study_date.as_deref())
        .text(tags::STUDY_TIME, VR::TM, study.study_time.as_deref())
        .text(tags::ACCESSION_NUMBER, VR::SH, study.accession_number.as_deref())
        .put(tags::MODALITIES_IN_STUDY, VR::CS, study.modalities.iter().map(|it| json!(it)).collect())
        .text(tags::REFERRING_PHYSICIAN_NAME, VR::PN, study.referring_physician.as_deref())
        .text(tags::STUDY_DESCRIPTION, VR::LO, study.description.as_deref())
        .text(tags::RETRIEVE_URL, VR::UR, Some(&url))
        .text(tags::PATIENT_NAME, VR::PN, Some(&study.patient_name))
        .text(tags::PATIENT_ID, VR::LO, Some(&study.mrn))
        .text(tags::ISSUER_OF_PATIENT_ID, VR::LO, Some(&study.issuer))
        .text(tags::PATIENT_BIRTH_DATE, VR::DA, study.birth_date.as_deref())
        .text(tags::PATIENT_SEX, VR::CS, study.sex.as_deref())
        .text(tags::STUDY_INSTANCE_UID, VR::UI, Some(study.study_uid.as_str()))
        .text(tags::STUDY_ID, VR::SH, study.study_number.as_deref())
        .number(tags::NUMBER_OF_STUDY_RELATED_SERIES, VR::IS, Some(study.series_count))
        .number(tags::NUMBER_OF_STUDY_RELATED_INSTANCES, VR::IS, Some(study.instance_count))
        .done()
}

/// A series (table 10.6.3-4).
pub(super) fn series(series: &FoundSeries, base: &BaseUrl) -> Value {
    let url = format!("{}/studies/{}/series/{}", base.0, series.study_uid, series.series_uid);
    Attributes::begun()
        .text(tags::MODALITY, VR::CS, series.modality.as_deref())
        .text(tags::SERIES_DESCRIPTION, VR::LO, series.description.as_deref())
        .text(tags::RETRIEVE_URL, VR::UR, Some(&url))
        .text(tags::BODY_PART_EXAMINED, VR::CS, series.body_part.as_deref())
        .text(tags::STUDY_INSTANCE_UID, VR::UI, Some(series.study_uid.as_str()))
        .text(tags::SERIES_INSTANCE_UID, VR::UI, Some(series.series_uid.as_str()))
        .number(tags::SERIES_NUMBER, VR::IS, series.series_number)
        .number(tags::NUMBER_OF_SERIES_RELATED_INSTANCES, VR::IS, Some(series.instance_count))
        .text(tags::PERFORMED_PROCEDURE_STEP_START_DATE, VR::DA, series.started_date.as_deref())
        .text(tags::PERFORMED_PROCEDURE_STEP_START_TIME, VR::TM, series.started_time.as_deref())
        .done()
}

/// An instance (table 10.6.3-5).
pub(super) fn instance(instance: &FoundInstance, base: &BaseUrl) -> Value {
    let FoundInstance { study_uid, series_uid, sop_uid, .. } = instance;
    let url = format!("{}/studies/{study_uid}/series/{series_uid}/instances/{sop_uid}", base.0);
    Attributes::begun()
        .text(tags::SOP_CLASS_UID, VR::UI, Some(instance.sop_class_uid.as_str()))
        .text(tags::SOP_INSTANCE_UID, VR::UI, Some(sop_uid.as_str()))
        .text(tags::RETRIEVE_URL, VR::UR, Some(&url))
        .text(tags::AVAILABLE_TRANSFER_SYNTAX_UID, VR::UI, Some(instance.transfer_syntax_uid.as_str()))
        .text(tags::STUDY_INSTANCE_UID, VR::UI, Some(study_uid.as_str()))
        .text(tags::SERIES_INSTANCE_UID, VR::UI, Some(series_uid.as_str()))
        .number(tags::INSTANCE_NUMBER, VR::IS, instance.instance_number)
        .known_number(tags::NUMBER_OF_FRAMES, VR::IS, instance.frame_count)
        .known_number(tags::ROWS, VR::US, instance.rows)
        .known_number(tags::COLUMNS, VR::US, instance.columns)
        .known_number(tags::BITS_ALLOCATED, VR::US, instance.bits_allocated)
        .done()
}

/// Adds what is known of a level above; where both say something, the lower level stays.
pub(super) fn add_above(result: &mut Value, above: Value) {
    if let (Value::Object(result), Value::Object(above)) = (result, above) {
        for (tag, attribute) in above {
            result.entry(tag).or_insert(attribute);
        }
    }
}
