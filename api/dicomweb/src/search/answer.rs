//! One result of a search as DICOM JSON (PS3.18, tables 10.6.3-3 to 10.6.3-5 and annex F), written straight as text.

use std::fmt::Write;

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;
use serde_json::Value;
use storage::records::search::{FoundInstance, FoundSeries, FoundStudy, Level};

use crate::base_url::BaseUrl;
use crate::dicom_json::person_name;

/// What each result of a level holds; an instance's, and a series', are said of its own.
const COLUMNS: [(Level, &[Tag]); 3] = [
    (
        Level::Study,
        &[
            tags::SPECIFIC_CHARACTER_SET,
            tags::STUDY_DATE,
            tags::STUDY_TIME,
            tags::ACCESSION_NUMBER,
            tags::INSTANCE_AVAILABILITY,
            tags::MODALITIES_IN_STUDY,
            tags::REFERRING_PHYSICIAN_NAME,
            tags::TIMEZONE_OFFSET_FROM_UTC,
            tags::STUDY_DESCRIPTION,
            tags::RETRIEVE_URL,
            tags::PATIENT_NAME,
            tags::PATIENT_ID,
            tags::ISSUER_OF_PATIENT_ID,
            tags::PATIENT_BIRTH_DATE,
            tags::PATIENT_SEX,
            tags::STUDY_INSTANCE_UID,
            tags::STUDY_ID,
            tags::NUMBER_OF_STUDY_RELATED_SERIES,
            tags::NUMBER_OF_STUDY_RELATED_INSTANCES,
        ],
    ),
    (
        Level::Series,
        &[
            tags::MODALITY,
            tags::SERIES_DESCRIPTION,
            tags::BODY_PART_EXAMINED,
            tags::SERIES_INSTANCE_UID,
            tags::SERIES_NUMBER,
            tags::NUMBER_OF_SERIES_RELATED_INSTANCES,
            tags::PERFORMED_PROCEDURE_STEP_START_DATE,
            tags::PERFORMED_PROCEDURE_STEP_START_TIME,
            tags::REQUEST_ATTRIBUTES_SEQUENCE,
        ],
    ),
    (
        Level::Instance,
        &[
            tags::SOP_CLASS_UID,
            tags::SOP_INSTANCE_UID,
            tags::AVAILABLE_TRANSFER_SYNTAX_UID,
            tags::INSTANCE_NUMBER,
            tags::NUMBER_OF_FRAMES,
            tags::ROWS,
            tags::COLUMNS,
            tags::BITS_ALLOCATED,
        ],
    ),
];

/// The columns of each level, for the conformance statement.
#[cfg(test)]
pub(crate) fn answer_rows() -> &'static [(Level, &'static [Tag])] {
    &COLUMNS
}

/// The level whose results hold the attribute anyway.
pub(super) fn level_of(tag: Tag) -> Option<Level> {
    COLUMNS.iter().find(|(_, columns)| columns.contains(&tag)).map(|(level, _)| *level)
}

/// Attributes under construction, each as the text of its JSON.
#[derive(Debug, Clone, Default)]
pub(super) struct Attributes(Vec<(Tag, String)>);

impl Attributes {
    /// An attribute without a value stays, as PS3.18, section F.2.5 writes it; `values` are JSON parted by commas.
    fn put(&mut self, tag: Tag, vr: VR, values: &str) -> &mut Self {
        let vr = vr.to_string();
        let text = match values {
            "" => format!(r#"{{"vr":"{vr}"}}"#),
            values => format!(r#"{{"vr":"{vr}","Value":[{values}]}}"#),
        };
        self.0.push((tag, text));
        self
    }

    fn text(&mut self, tag: Tag, vr: VR, text: Option<&str>) -> &mut Self {
        let parts = text.into_iter().filter(|text| !text.is_empty()).flat_map(|text| text.split('\\'));
        let values: Vec<String> = parts
            .map(|part| if vr == VR::PN { person_name(part).to_string() } else { quoted(part) })
            .collect();
        self.put(tag, vr, &values.join(","))
    }

    fn number(&mut self, tag: Tag, vr: VR, number: Option<i64>) -> &mut Self {
        self.put(tag, vr, &number.map(|number| number.to_string()).unwrap_or_default())
    }

    /// Only where there is one: the attribute belongs to some objects alone.
    fn known_number(&mut self, tag: Tag, vr: VR, number: Option<i64>) -> &mut Self {
        if number.is_some() { self.number(tag, vr, number) } else { self }
    }

    fn known_text(&mut self, tag: Tag, vr: VR, text: Option<&str>) -> &mut Self {
        if text.is_some() { self.text(tag, vr, text) } else { self }
    }

    fn begun(timezone_offset: Option<&str>) -> Self {
        let mut attributes = Self(Vec::with_capacity(24));
        attributes
            .text(tags::SPECIFIC_CHARACTER_SET, VR::CS, Some("ISO_IR 192"))
            .text(tags::INSTANCE_AVAILABILITY, VR::CS, Some("ONLINE"))
            .known_text(tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, timezone_offset);
        attributes
    }

    /// Adds an attribute that is none of the columns, as it stands in a data set.
    pub(super) fn add(&mut self, tag: Tag, attribute: &Value) {
        if !self.0.iter().any(|(it, _)| *it == tag) {
            self.0.push((tag, attribute.to_string()));
        }
    }

    /// Adds what is known of a level above; where both say something, the lower level stays.
    pub(super) fn add_above(&mut self, above: &Self) {
        let own = self.0.len();
        for (tag, text) in &above.0 {
            if !self.0[..own].iter().any(|(it, _)| it == tag) {
                self.0.push((*tag, text.clone()));
            }
        }
    }

    /// Appends them to `out`, in the order of their tags, as one object.
    pub(super) fn write(mut self, out: &mut String) {
        self.0.sort_unstable_by_key(|(tag, _)| *tag);
        out.push('{');
        for (index, (Tag(group, element), text)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(out, r#"{comma}"{group:04X}{element:04X}":{text}"#)
                .expect("a text takes what is written to it");
        }
        out.push('}');
    }
}

/// A UID needs no escapes, and most texts need none.
fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| (0x20..0x7F).contains(&byte) && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) { format!(r#""{text}""#) } else { Value::from(text).to_string() }
}

/// A study (table 10.6.3-3).
pub(super) fn study(study: &FoundStudy, base: &BaseUrl) -> Attributes {
    let url = format!("{}/studies/{}", base.0, study.study_uid);
    let modalities = study.modalities.join("\\");
    let classes: Vec<&str> = study.sop_classes.iter().map(|class| class.as_str()).collect();
    let classes = Some(classes.join("\\")).filter(|classes| !classes.is_empty());
    let mut attributes = Attributes::begun(study.timezone_offset.as_deref());
    attributes
        .known_text(tags::SOP_CLASSES_IN_STUDY, VR::UI, classes.as_deref())
        .text(tags::STUDY_DATE, VR::DA, study.study_date.as_deref())
        .text(tags::STUDY_TIME, VR::TM, study.study_time.as_deref())
        .text(tags::ACCESSION_NUMBER, VR::SH, study.accession_number.as_deref())
        .text(tags::MODALITIES_IN_STUDY, VR::CS, Some(&modalities))
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
        .number(tags::NUMBER_OF_STUDY_RELATED_INSTANCES, VR::IS, Some(study.instance_count));
    attributes
}

/// A series (table 10.6.3-4).
pub(super) fn series(series: &FoundSeries, base: &BaseUrl) -> Attributes {
    let url = format!("{}/studies/{}/series/{}", base.0, series.study_uid, series.series_uid);
    let mut attributes = Attributes::begun(series.timezone_offset.as_deref());
    attributes
        .text(tags::MODALITY, VR::CS, series.modality.as_deref())
        .text(tags::SERIES_DESCRIPTION, VR::LO, series.description.as_deref())
        .text(tags::RETRIEVE_URL, VR::UR, Some(&url))
        .text(tags::BODY_PART_EXAMINED, VR::CS, series.body_part.as_deref())
        .text(tags::STUDY_INSTANCE_UID, VR::UI, Some(series.study_uid.as_str()))
        .text(tags::SERIES_INSTANCE_UID, VR::UI, Some(series.series_uid.as_str()))
        .number(tags::SERIES_NUMBER, VR::IS, series.series_number)
        .number(tags::NUMBER_OF_SERIES_RELATED_INSTANCES, VR::IS, Some(series.instance_count))
        .text(tags::PERFORMED_PROCEDURE_STEP_START_DATE, VR::DA, series.started_date.as_deref())
        .text(tags::PERFORMED_PROCEDURE_STEP_START_TIME, VR::TM, series.started_time.as_deref());
    if !series.requests.is_empty() {
        attributes.put(tags::REQUEST_ATTRIBUTES_SEQUENCE, VR::SQ, &requests(&series.requests));
    }
    attributes
}

fn requests(requests: &[(String, String)]) -> String {
    let items = requests.iter().map(|(step, procedure)| {
        let mut item = Attributes::default();
        item.text(tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH, Some(step)).text(
            tags::REQUESTED_PROCEDURE_ID,
            VR::SH,
            Some(procedure),
        );
        let mut text = String::new();
        item.write(&mut text);
        text
    });
    items.collect::<Vec<_>>().join(",")
}

/// An instance (table 10.6.3-5).
pub(super) fn instance(instance: &FoundInstance, base: &BaseUrl) -> Attributes {
    let mut attributes = Attributes::begun(instance.timezone_offset.as_deref());
    attributes
        .text(tags::SOP_CLASS_UID, VR::UI, Some(instance.sop_class_uid.as_str()))
        .text(tags::SOP_INSTANCE_UID, VR::UI, Some(instance.sop_uid.as_str()))
        .text(tags::RETRIEVE_URL, VR::UR, Some(&url_of(instance, base)))
        .text(tags::AVAILABLE_TRANSFER_SYNTAX_UID, VR::UI, Some(instance.transfer_syntax_uid.as_str()))
        .text(tags::STUDY_INSTANCE_UID, VR::UI, Some(instance.study_uid.as_str()))
        .text(tags::SERIES_INSTANCE_UID, VR::UI, Some(instance.series_uid.as_str()))
        .number(tags::INSTANCE_NUMBER, VR::IS, instance.instance_number)
        .known_number(tags::NUMBER_OF_FRAMES, VR::IS, instance.frame_count)
        .known_number(tags::ROWS, VR::US, instance.rows)
        .known_number(tags::COLUMNS, VR::US, instance.columns)
        .known_number(tags::BITS_ALLOCATED, VR::US, instance.bits_allocated);
    attributes
}

/// The URL of an instance.
pub(super) fn url_of(instance: &FoundInstance, base: &BaseUrl) -> String {
    let FoundInstance { study_uid, series_uid, sop_uid, .. } = instance;
    format!("{}/studies/{study_uid}/series/{series_uid}/instances/{sop_uid}", base.0)
}
