//! Synthetic objects, made in code.

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use models::{ReferenceVectors, Registry};

/// What tells one image from another.
#[derive(Clone)]
pub struct Image {
    pub study: String,
    pub series: String,
    pub sop: String,
    pub sop_class: &'static str,
    pub modality: &'static str,
    pub age: Option<&'static str>,
    pub view: Option<&'static str>,
    pub size: (u16, u16),
    pub pixels: Vec<u8>,
}

/// A UID that nothing else in the world has.
pub fn fresh_uid() -> String {
    format!("2.25.{}", uuid::Uuid::new_v4().as_u128())
}

impl Image {
    /// A small CT slice with pixels that depend on `seed`.
    pub fn ct(seed: u32) -> Self {
        let pixels = (0..64_u32 * 64).map(|index| (index.wrapping_mul(seed | 1) >> 3) as u8).collect();
        let study = fresh_uid();
        Self {
            series: format!("{study}.1"),
            study,
            sop: fresh_uid(),
            sop_class: uids::CT_IMAGE_STORAGE,
            modality: "CT",
            age: Some("044Y"),
            view: None,
            size: (64, 64),
            pixels,
        }
    }

    /// A chest radiograph of a child, from the default network's reference vectors, with the class they give it.
    pub fn child_chest(class: &str) -> Self {
        let registry = Registry::built_in();
        let reference = ReferenceVectors::of(registry.get("pneumonia224").unwrap()).unwrap().unwrap();
        let vector = reference.vectors.iter().find(|vector| vector.class == class).unwrap();
        Self {
            sop_class: uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE,
            modality: "CR",
            age: Some("003Y"),
            view: Some("AP"),
            size: (reference.rows as u16, reference.columns as u16),
            pixels: vector.image.clone(),
            ..Self::ct(1)
        }
    }

    /// The data set.
    pub fn object(&self) -> InMemDicomObject {
        let text = |tag: Tag, vr: VR, text: &str| DataElement::new(tag, vr, PrimitiveValue::from(text));
        let short = |tag: Tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
        let mut object = InMemDicomObject::from_element_iter([
            text(tags::SOP_CLASS_UID, VR::UI, self.sop_class),
            text(tags::SOP_INSTANCE_UID, VR::UI, &self.sop),
            text(tags::STUDY_DATE, VR::DA, "20260102"),
            text(tags::ACCESSION_NUMBER, VR::SH, "A1"),
            text(tags::MODALITY, VR::CS, self.modality),
            text(tags::PATIENT_NAME, VR::PN, "Test^Ada"),
            text(tags::PATIENT_ID, VR::LO, "P1"),
            text(tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
            text(tags::STUDY_INSTANCE_UID, VR::UI, &self.study),
            text(tags::SERIES_INSTANCE_UID, VR::UI, &self.series),
            text(tags::INSTANCE_NUMBER, VR::IS, "1"),
            text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            short(tags::SAMPLES_PER_PIXEL, 1),
            short(tags::ROWS, self.size.0),
            short(tags::COLUMNS, self.size.1),
            short(tags::BITS_ALLOCATED, 8),
            short(tags::BITS_STORED, 8),
            short(tags::HIGH_BIT, 7),
            short(tags::PIXEL_REPRESENTATION, 0),
            text(tags::WINDOW_CENTER, VR::DS, "128"),
            text(tags::WINDOW_WIDTH, VR::DS, "256"),
            DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(self.pixels.as_slice())),
        ]);
        if let Some(age) = self.age {
            object.put(text(tags::PATIENT_AGE, VR::AS, age));
        }
        if let Some(view) = self.view {
            object.put(text(tags::VIEW_POSITION, VR::CS, view));
        }
        object
    }

    /// The file, in Explicit VR Little Endian.
    pub fn file(&self) -> Vec<u8> {
        let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
        let mut bytes = Vec::new();
        self.object().with_meta(meta).unwrap().write_all(&mut bytes).unwrap();
        bytes
    }

    /// Where WADO-RS finds it.
    pub fn wado(&self) -> String {
        format!("/dicom-web/studies/{}/series/{}/instances/{}", self.study, self.series, self.sop)
    }
}
