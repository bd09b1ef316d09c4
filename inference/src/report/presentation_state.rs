//! A Grayscale Softcopy Presentation State (PS3.3, section A.33): the image as it is, with boxes and words over it that
//! a viewer can take away.

use clinical::imaging::Region;
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::element::{item, line, sequence, short, text};
use super::object::{ImageReference, ObjectHead, ReportError};

/// The layer that all words and boxes lie in.
const LAYER: &str = "FINDINGS";

/// Words over an image, with the box that they speak of.
#[derive(Debug, Clone, PartialEq)]
pub struct Annotation {
    /// The words.
    pub words: String,
    /// The frame, counted from 0.
    pub frame: u32,
    /// The box; words without one stand at the upper edge.
    pub region: Option<Region>,
}

/// What a presentation state is made of.
#[derive(Debug, Clone)]
pub struct PresentationState<'a> {
    /// What every object begins with.
    pub head: ObjectHead<'a>,
    /// The image.
    pub source: &'a ImageReference,
    /// Its rows and columns.
    pub size: (u32, u32),
    /// Whether its least values are white (MONOCHROME1).
    pub is_inverted: bool,
    /// What stands over it.
    pub annotations: &'a [Annotation],
}

impl PresentationState<'_> {
    /// The file.
    ///
    /// # Errors
    ///
    /// [`ReportError::Unfit`] without annotations or for an image without a size, [`ReportError::Write`].
    pub fn file(&self) -> Result<Vec<u8>, ReportError> {
        let (rows, columns) = self.size;
        if self.annotations.is_empty() || rows == 0 || columns == 0 {
            return Err(ReportError::Unfit("a presentation state has words and an image with a size"));
        }
        let sop_class = uids::GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE;
        let mut object = self.head.begin(sop_class, "PR");
        // It has a creation date and time of its own, and shows what may be paired or not.
        object.remove_element(tags::CONTENT_DATE);
        object.remove_element(tags::CONTENT_TIME);
        for (tag, vr, word) in [
            (tags::LATERALITY, VR::CS, String::new()),
            (tags::CONTENT_LABEL, VR::CS, LAYER.to_owned()),
            (tags::CONTENT_DESCRIPTION, VR::LO, line(&self.head.series_description, 64)),
            (tags::PRESENTATION_CREATION_DATE, VR::DA, self.head.date()),
            (tags::PRESENTATION_CREATION_TIME, VR::TM, self.head.time()),
            (tags::CONTENT_CREATOR_NAME, VR::PN, "Medilink".to_owned()),
            (
                tags::PRESENTATION_LUT_SHAPE,
                VR::CS,
                if self.is_inverted { "INVERSE" } else { "IDENTITY" }.to_owned(),
            ),
        ] {
            object.put(text(tag, vr, word));
        }
        let series = item([
            text(tags::SERIES_INSTANCE_UID, VR::UI, self.source.series_uid.as_str()),
            sequence(tags::REFERENCED_IMAGE_SEQUENCE, vec![self.source.item(None)]),
        ]);
        object.put(sequence(tags::REFERENCED_SERIES_SEQUENCE, vec![series]));
        let corner = |tag, values: [u32; 2]| {
            let values = values.map(|value| value as i32);
            DataElement::new(tag, VR::SL, PrimitiveValue::I32(values.into_iter().collect()))
        };
        let area = item([
            corner(tags::DISPLAYED_AREA_TOP_LEFT_HAND_CORNER, [1, 1]),
            corner(tags::DISPLAYED_AREA_BOTTOM_RIGHT_HAND_CORNER, [columns, rows]),
            text(tags::PRESENTATION_SIZE_MODE, VR::CS, "SCALE TO FIT"),
            text(tags::PRESENTATION_PIXEL_ASPECT_RATIO, VR::IS, "1\\1"),
        ]);
        object.put(sequence(tags::DISPLAYED_AREA_SELECTION_SEQUENCE, vec![area]));
        let layer = item([
            text(tags::GRAPHIC_LAYER, VR::CS, LAYER),
            text(tags::GRAPHIC_LAYER_ORDER, VR::IS, "1"),
            text(tags::GRAPHIC_LAYER_DESCRIPTION, VR::LO, "What a network saw"),
        ]);
        object.put(sequence(tags::GRAPHIC_LAYER_SEQUENCE, vec![layer]));
        let annotations = self.annotations.iter().zip(0_u16..).map(|(it, index)| self.annotation(it, index));
        object.put(sequence(tags::GRAPHIC_ANNOTATION_SEQUENCE, annotations.collect()));
        self.head.file(object)
    }

    fn annotation(&self, annotation: &Annotation, index: u16) -> InMemDicomObject {
        let mut all = item([
            sequence(tags::REFERENCED_IMAGE_SEQUENCE, vec![self.source.item(Some(annotation.frame))]),
            text(tags::GRAPHIC_LAYER, VR::CS, LAYER),
        ]);
        // Words at the upper edge stand one under the other, each in a twentieth of the height.
        let top = (f32::from(index) * 0.05).min(0.95);
        let (left, top, right, bottom) = match &annotation.region {
            Some(it) => (it.left, it.top, it.left + it.width, it.top + it.height),
            None => (0.0, top, 1.0, top + 0.05),
        };
        let points = |values: &[f32]| PrimitiveValue::F32(values.iter().copied().collect());
        let words = item([
            text(tags::BOUNDING_BOX_ANNOTATION_UNITS, VR::CS, "DISPLAY"),
            text(tags::UNFORMATTED_TEXT_VALUE, VR::ST, line(&annotation.words, 1_024)),
            DataElement::new(tags::BOUNDING_BOX_TOP_LEFT_HAND_CORNER, VR::FL, points(&[left, top])),
            DataElement::new(tags::BOUNDING_BOX_BOTTOM_RIGHT_HAND_CORNER, VR::FL, points(&[right, bottom])),
            text(tags::BOUNDING_BOX_TEXT_HORIZONTAL_JUSTIFICATION, VR::CS, "LEFT"),
        ]);
        all.put(sequence(tags::TEXT_OBJECT_SEQUENCE, vec![words]));
        if annotation.region.is_some() {
            let (rows, columns) = (self.size.0 as f32, self.size.1 as f32);
            // In pixels, the upper left one is 1\1 (PS3.3, section C.10.5).
            let (left, right) = (left * columns + 1.0, (right * columns).max(1.0));
            let (top, bottom) = (top * rows + 1.0, (bottom * rows).max(1.0));
            let outline = [left, top, right, top, right, bottom, left, bottom, left, top];
            let outline = item([
                text(tags::GRAPHIC_ANNOTATION_UNITS, VR::CS, "PIXEL"),
                short(tags::GRAPHIC_DIMENSIONS, 2),
                short(tags::NUMBER_OF_GRAPHIC_POINTS, 5),
                DataElement::new(tags::GRAPHIC_DATA, VR::FL, points(&outline)),
                text(tags::GRAPHIC_TYPE, VR::CS, "POLYLINE"),
                text(tags::GRAPHIC_FILLED, VR::CS, "N"),
            ]);
            all.put(sequence(tags::GRAPHIC_OBJECT_SEQUENCE, vec![outline]));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::tests::{head, image, maker, subject};
    use super::*;

    #[test]
    fn a_box_is_drawn_in_pixels_counted_from_one_and_words_stand_in_it() {
        let (subject, maker, source) = (subject(), maker(), image());
        let region = Some(Region { frame: 0, left: 0.25, top: 0.5, width: 0.5, height: 0.25 });
        let annotations = [Annotation { words: "pneumonia 50%".to_owned(), frame: 0, region }];
        let state = PresentationState {
            head: head(&subject, &maker),
            source: &source,
            size: (200, 100),
            is_inverted: false,
            annotations: &annotations,
        };
        let object = dicom_object::from_reader(&*state.file().unwrap()).unwrap();
        let all = &object.get(tags::GRAPHIC_ANNOTATION_SEQUENCE).unwrap().items().unwrap()[0];
        let drawn = &all.get(tags::GRAPHIC_OBJECT_SEQUENCE).unwrap().items().unwrap()[0];
        let points = drawn.element(tags::GRAPHIC_DATA).unwrap().to_multi_float32().unwrap();
        assert_eq!(points[..6], [26.0, 101.0, 75.0, 101.0, 75.0, 150.0]);
        let empty = PresentationState { annotations: &[], ..state };
        assert!(matches!(empty.file(), Err(ReportError::Unfit(_))));
    }
}
