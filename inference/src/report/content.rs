//! Content items of a structured report (PS3.3, section C.17.3).

use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::code::Code;
use super::element::{decimal, item, person, sequence, text};
use super::object::ImageReference;

/// How an item belongs to the one above it (PS3.3, table C.17.3.2.4-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Contains,
    HasConceptMod,
    HasObsContext,
    HasAcqContext,
    InferredFrom,
    SelectedFrom,
}

impl Relation {
    fn as_str(self) -> &'static str {
        match self {
            Self::Contains => "CONTAINS",
            Self::HasConceptMod => "HAS CONCEPT MOD",
            Self::HasObsContext => "HAS OBS CONTEXT",
            Self::HasAcqContext => "HAS ACQ CONTEXT",
            Self::InferredFrom => "INFERRED FROM",
            Self::SelectedFrom => "SELECTED FROM",
        }
    }
}

/// A content item with those below it.
pub(super) struct Content(InMemDicomObject, Vec<InMemDicomObject>);

impl Content {
    fn of(relation: Relation, kind: &str, concept: Option<&Code>) -> Self {
        let mut item = item([
            text(tags::RELATIONSHIP_TYPE, VR::CS, relation.as_str()),
            text(tags::VALUE_TYPE, VR::CS, kind),
        ]);
        if let Some(concept) = concept {
            item.put(sequence(tags::CONCEPT_NAME_CODE_SEQUENCE, vec![concept.item()]));
        }
        Self(item, Vec::new())
    }

    /// A container, of a template of PS3.16 where one is named.
    pub(super) fn container(relation: Relation, concept: &Code, template: Option<&str>) -> Self {
        let mut content = Self::of(relation, "CONTAINER", Some(concept));
        content.0.put(text(tags::CONTINUITY_OF_CONTENT, VR::CS, "SEPARATE"));
        if let Some(template) = template {
            content.0.put(template_sequence(template));
        }
        content
    }

    pub(super) fn code(relation: Relation, concept: &Code, value: &Code) -> Self {
        let mut content = Self::of(relation, "CODE", Some(concept));
        content.0.put(sequence(tags::CONCEPT_CODE_SEQUENCE, vec![value.item()]));
        content
    }

    /// A text; control characters but the ends of lines are left out.
    pub(super) fn text(relation: Relation, concept: &Code, value: &str) -> Self {
        let value: String = value.chars().filter(|it| !it.is_control() || *it == '\n').collect();
        let value = value.replace('\n', "\r\n");
        let value = if value.trim().is_empty() { "-" } else { value.trim_end() };
        let mut content = Self::of(relation, "TEXT", Some(concept));
        content.0.put(text(tags::TEXT_VALUE, VR::UT, value));
        content
    }

    pub(super) fn name(relation: Relation, concept: &Code, value: &str) -> Self {
        let mut content = Self::of(relation, "PNAME", Some(concept));
        content.0.put(text(tags::PERSON_NAME, VR::PN, person(value)));
        content
    }

    pub(super) fn uid(relation: Relation, concept: &Code, value: &str) -> Self {
        let mut content = Self::of(relation, "UIDREF", Some(concept));
        content.0.put(text(tags::UID, VR::UI, value));
        content
    }

    /// A number as decimal text and, exactly, as a 64-bit value.
    pub(super) fn number(relation: Relation, concept: &Code, value: f64, unit: &Code) -> Self {
        let mut content = Self::of(relation, "NUM", Some(concept));
        let measured = item([
            sequence(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, vec![unit.item()]),
            DataElement::new(tags::FLOATING_POINT_VALUE, VR::FD, PrimitiveValue::from(value)),
            text(tags::NUMERIC_VALUE, VR::DS, decimal(value)),
        ]);
        content.0.put(sequence(tags::MEASURED_VALUE_SEQUENCE, vec![measured]));
        content
    }

    /// An image, or a frame of it counted from 0.
    pub(super) fn image(
        relation: Relation,
        concept: Option<&Code>,
        image: &ImageReference,
        frame: Option<u32>,
    ) -> Self {
        let mut content = Self::of(relation, "IMAGE", concept);
        content.0.put(sequence(tags::REFERENCED_SOP_SEQUENCE, vec![image.item(frame)]));
        content
    }

    /// A closed line through points of an image, column and row each.
    pub(super) fn polyline(relation: Relation, concept: &Code, points: &[f32]) -> Self {
        let mut content = Self::of(relation, "SCOORD", Some(concept));
        content.0.put(text(tags::GRAPHIC_TYPE, VR::CS, "POLYLINE"));
        let points = PrimitiveValue::F32(points.iter().copied().collect());
        content.0.put(DataElement::new(tags::GRAPHIC_DATA, VR::FL, points));
        content
    }

    /// The item with `below` under it, behind what is there.
    pub(super) fn with(mut self, below: impl IntoIterator<Item = Self>) -> Self {
        self.1.extend(below.into_iter().map(Self::finish));
        self
    }

    fn finish(self) -> InMemDicomObject {
        let Self(mut item, below) = self;
        if !below.is_empty() {
            item.put(sequence(tags::CONTENT_SEQUENCE, below));
        }
        item
    }

    /// The root: its elements stand in the data set itself, and it belongs to nothing.
    pub(super) fn root(self) -> InMemDicomObject {
        let mut object = self.finish();
        object.remove_element(tags::RELATIONSHIP_TYPE);
        object
    }
}

fn template_sequence(template: &str) -> dicom_object::mem::InMemElement {
    let named = item([
        text(tags::MAPPING_RESOURCE, VR::CS, "DCMR"),
        text(tags::MAPPING_RESOURCE_UID, VR::UI, "1.2.840.10008.8.1.1"),
        text(tags::TEMPLATE_IDENTIFIER, VR::CS, template),
    ]);
    sequence(tags::CONTENT_TEMPLATE_SEQUENCE, vec![named])
}
