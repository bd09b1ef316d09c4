//! Sample studies for `medilink demo`, made here: no patient ever had them.
//!
//! The two chest images are reference vectors of the network in the box
//! (credited there); everything else about them, names and ages too, is made up.

use anyhow::{Context, Result};
use clinical::imaging::{Frame, Photometric, Samples};
use dicom_core::value::{PixelFragmentSequence, Value};
use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use ingest::pixels::{RenderFormat, RenderOptions};
use models::{ReferenceVectors, Registry};

/// A root under which we make UIDs from names (PS3.5, annex B.2), so that the demo stores nothing twice.
fn uid(name: &str) -> String {
    format!("2.25.{}", uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).as_u128())
}

/// What tells one sample from another.
struct Sample<'s> {
    patient: &'s str,
    age: &'s str,
    study: &'s str,
    number: u32,
    sop_class: &'s str,
    modality: &'s str,
    body_part: &'s str,
    view: Option<&'s str>,
}

/// Every sample as a file: its name and its bytes.
pub fn all() -> Result<Vec<(String, Vec<u8>)>> {
    let registry = Registry::built_in();
    let card = registry.get("pneumonia224").context("the network is in the box")?;
    let reference = ReferenceVectors::of(card)?.context("its reference vectors are in the box")?;
    let mut files = Vec::new();
    for vector in &reference.vectors {
        let patient = format!("Child^{}", vector.class);
        let child = chest(&patient, "003Y", &vector.class);
        let pixels = Grey { rows: reference.rows, columns: reference.columns, shades: &vector.image };
        files.push((format!("child-chest-{}.dcm", vector.class), child.file(&pixels)?));
    }
    let vector = reference.vectors.first().context("there are reference vectors")?;
    let pixels = Grey { rows: reference.rows, columns: reference.columns, shades: &vector.image };
    files.push(("adult-chest.dcm".to_owned(), chest("Adult^Sample", "044Y", "adult").file(&pixels)?));
    for number in 1..=8 {
        let shades = phantom(128, number);
        let slice = Sample {
            patient: "Phantom^Head",
            age: "044Y",
            study: "phantom",
            number,
            sop_class: uids::CT_IMAGE_STORAGE,
            modality: "CT",
            body_part: "HEAD",
            view: None,
        };
        files.push((
            format!("ct-head-{number}.dcm"),
            slice.file(&Grey { rows: 128, columns: 128, shades: &shades })?,
        ));
    }
    Ok(files)
}

/// A JPEG-compressed instance, for those who want to see a decoder at work.
pub fn jpeg_instance() -> Result<Vec<u8>> {
    let shades = phantom(64, 1);
    let frame = Frame {
        index: 0,
        rows: 64,
        columns: 64,
        samples_per_pixel: 1,
        bits_stored: 8,
        samples: Samples::U8(shades.clone()),
        photometric: Photometric::Monochrome2,
        modality_lut: None,
        voi_lut: None,
        padding: None,
    };
    let options = RenderOptions { window: None, viewport: None, format: RenderFormat::Jpeg { quality: 90 } };
    let mut jpeg = ingest::pixels::render(&frame, &options)?;
    if jpeg.len() % 2 == 1 {
        jpeg.push(0);
    }
    let mut object =
        chest("Jpeg^Sample", "003Y", "jpeg").object(&Grey { rows: 64, columns: 64, shades: &shades });
    let fragments: PixelFragmentSequence<Vec<u8>> = PixelFragmentSequence::new_fragments(vec![jpeg]);
    object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, Value::PixelSequence(fragments)));
    written(object, uids::JPEG_BASELINE8_BIT)
}

fn chest<'s>(patient: &'s str, age: &'s str, study: &'s str) -> Sample<'s> {
    Sample {
        patient,
        age,
        study,
        number: 1,
        sop_class: uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE,
        modality: "CR",
        body_part: "CHEST",
        view: Some("AP"),
    }
}

struct Grey<'p> {
    rows: u32,
    columns: u32,
    shades: &'p [u8],
}

impl Sample<'_> {
    fn file(&self, pixels: &Grey<'_>) -> Result<Vec<u8>> {
        written(self.object(pixels), uids::EXPLICIT_VR_LITTLE_ENDIAN)
    }

    fn object(&self, pixels: &Grey<'_>) -> InMemDicomObject {
        let study = uid(&format!("medilink demo study {}", self.study));
        let text = |tag: Tag, vr: VR, text: &str| DataElement::new(tag, vr, PrimitiveValue::from(text));
        let short = |tag: Tag, value: u32| DataElement::new(tag, VR::US, PrimitiveValue::from(value as u16));
        let mut object = InMemDicomObject::from_element_iter([
            text(tags::SOP_CLASS_UID, VR::UI, self.sop_class),
            text(tags::SOP_INSTANCE_UID, VR::UI, &uid(&format!("{study} {}", self.number))),
            text(tags::STUDY_DATE, VR::DA, "20260102"),
            text(tags::STUDY_TIME, VR::TM, "101500"),
            text(tags::ACCESSION_NUMBER, VR::SH, "DEMO"),
            text(tags::MODALITY, VR::CS, self.modality),
            text(tags::MANUFACTURER, VR::LO, "Medilink demo"),
            text(tags::STUDY_DESCRIPTION, VR::LO, &format!("Demo {}", self.study)),
            text(tags::PATIENT_NAME, VR::PN, self.patient),
            text(tags::PATIENT_ID, VR::LO, &format!("DEMO-{}", self.study)),
            text(tags::PATIENT_SEX, VR::CS, "O"),
            text(tags::PATIENT_AGE, VR::AS, self.age),
            text(tags::BODY_PART_EXAMINED, VR::CS, self.body_part),
            text(tags::STUDY_INSTANCE_UID, VR::UI, &study),
            text(tags::SERIES_INSTANCE_UID, VR::UI, &uid(&format!("{study} series"))),
            text(tags::SERIES_NUMBER, VR::IS, "1"),
            text(tags::INSTANCE_NUMBER, VR::IS, &self.number.to_string()),
            text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
            short(tags::SAMPLES_PER_PIXEL, 1),
            short(tags::ROWS, pixels.rows),
            short(tags::COLUMNS, pixels.columns),
            short(tags::BITS_ALLOCATED, 8),
            short(tags::BITS_STORED, 8),
            short(tags::HIGH_BIT, 7),
            short(tags::PIXEL_REPRESENTATION, 0),
            text(tags::WINDOW_CENTER, VR::DS, "128"),
            text(tags::WINDOW_WIDTH, VR::DS, "256"),
            DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(pixels.shades)),
        ]);
        if let Some(view) = self.view {
            object.put(text(tags::VIEW_POSITION, VR::CS, view));
        }
        object
    }
}

fn written(object: InMemDicomObject, transfer_syntax: &str) -> Result<Vec<u8>> {
    let meta = FileMetaTableBuilder::new().transfer_syntax(transfer_syntax);
    let mut bytes = Vec::new();
    object
        .with_meta(meta)
        .context("the sample is whole")?
        .write_all(&mut bytes)
        .context("the sample is written")?;
    Ok(bytes)
}

/// A bright ring with a spot that moves from slice to slice.
fn phantom(size: u32, number: u32) -> Vec<u8> {
    let middle = size as f32 / 2.0;
    let shade = |row: u32, column: u32| {
        let (y, x) = (row as f32 - middle, column as f32 - middle);
        let radius = (x * x + y * y).sqrt() / middle;
        let spot = (x - 6.0 * (number as f32 - 4.0)).hypot(y) < middle / 8.0;
        match radius {
            r if r > 0.92 => 0,
            r if r > 0.84 => 230,
            _ if spot => 160,
            _ => 90,
        }
    };
    (0..size).flat_map(|row| (0..size).map(move |column| shade(row, column))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ingest::part10::{Limits, Part10};

    #[test]
    fn every_sample_is_a_whole_file_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for (name, bytes) in all().unwrap() {
            let file = Part10::read(bytes.into(), &Limits::default()).unwrap();
            let identity = ingest::identity::Identity::of(file.scan()).unwrap();
            assert!(seen.insert(identity.sop_uid), "{name}");
        }
        assert_eq!(seen.len(), 11);
    }

    #[test]
    fn the_jpeg_sample_decodes_to_its_phantom() {
        let file = Part10::read(jpeg_instance().unwrap().into(), &Limits::default()).unwrap();
        let request = clinical::imaging::DecodeRequest::everything();
        let (limits, pool) = (ingest::pixels::PixelLimits::default(), ingest::pixels::DecodePool::inline());
        let frames = ingest::pixels::decode(&file, &request, &limits, &pool).unwrap();
        let (found, expected) = (frames[0].samples.at(64 * 32 + 60), i64::from(phantom(64, 1)[64 * 32 + 60]));
        assert!((found - expected).abs() < 25, "{found} for {expected}: JPEG is lossy, not wild");
    }
}
