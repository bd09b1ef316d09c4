//! A Segmentation object (PS3.3, section A.51): where a network saw what, frame by frame of its source.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use clinical::uid::{SeriesInstanceUid, SopInstanceUid};
use dicom_core::{DataElement, PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

use super::code::Code;
use super::element::{decimal, item, line, sequence, short, text};
use super::object::{ImageReference, ObjectHead, ReportError, derived_uid, pixel_attributes};
use crate::Mask;

/// What a probability of 1 becomes in a fractional segmentation.
const FULL: u8 = u8::MAX;
/// The most bytes of one object's pixels: two labels over 512 slices of 512 by 512, fractional.
const MOST_BYTES: usize = 256 << 20;

/// Whether a pixel is in or out, or how surely it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentationType {
    /// One bit a pixel.
    Binary,
    /// Eight bits a pixel: 255 times the probability.
    Fractional,
}

/// Something that is segmented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its name, for people.
    pub label: String,
    /// Its category, such as an anatomical structure (PS3.16, CID 7150).
    pub category: Code,
    /// What it is.
    pub property: Code,
}

/// Where a frame lies in the patient (PS3.3, section C.7.6.2).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane {
    /// Image Position (Patient), in mm.
    pub position_mm: [f64; 3],
    /// Image Orientation (Patient).
    pub orientation: [f64; 6],
    /// Pixel Spacing: between rows, between columns, in mm.
    pub spacing_mm: [f64; 2],
    /// Slice Thickness in mm.
    pub thickness_mm: f64,
}

/// The pixels of masks as the file has them, one mask behind the other.
///
/// Bits run on from mask to mask, the first in the lowest bit (PS3.5, section 8.1.1).
#[derive(Debug, Clone)]
pub struct MaskPixels {
    kind: SegmentationType,
    /// Rows and columns of every mask.
    size: (u16, u16),
    /// How many masks there are.
    masks: usize,
    bytes: Vec<u8>,
}

impl MaskPixels {
    /// Room for masks of so many rows and columns.
    pub fn new(kind: SegmentationType, (rows, columns): (u16, u16)) -> Self {
        Self { kind, size: (rows, columns), masks: 0, bytes: Vec::new() }
    }

    /// Puts a mask behind the others, each pixel as the one of the mask that lies nearest; says whether it did: a mask
    /// that nothing would be seen of is left out.
    ///
    /// # Errors
    ///
    /// [`ReportError::Unfit`] for a mask that is none, and for more than 256 MiB.
    pub fn push(&mut self, mask: &Mask) -> Result<bool, ReportError> {
        let (rows, columns) = (usize::from(self.size.0), usize::from(self.size.1));
        let (high, wide) = (mask.fractions.rows as usize, mask.fractions.columns as usize);
        if rows * columns * high * wide == 0
            || mask.fractions.values.len() != high * wide
            || mask.is_set.len() != high * wide
        {
            return Err(ReportError::Unfit("a mask has no pixels, or not one for each place"));
        }
        let part = |at: usize| (u32::from(mask.fractions.values[at]) + 128) / 257;
        let is_seen = match self.kind {
            SegmentationType::Binary => mask.is_set.iter().any(|is_set| *is_set),
            SegmentationType::Fractional => (0..high * wide).any(|at| part(at) > 0),
        };
        if !is_seen {
            return Ok(false);
        }
        let (before, pixels) = (self.masks * rows * columns, rows * columns);
        let length = match self.kind {
            SegmentationType::Binary => (before + pixels).div_ceil(8),
            SegmentationType::Fractional => before + pixels,
        };
        if length > MOST_BYTES {
            return Err(ReportError::Unfit("the masks together are too large"));
        }
        self.bytes.resize(length, 0);
        let nearest = (0..rows).flat_map(|row| {
            (0..columns).map(move |column| row * high / rows * wide + column * wide / columns)
        });
        for (place, at) in (before..).zip(nearest) {
            match self.kind {
                SegmentationType::Binary => self.bytes[place / 8] |= u8::from(mask.is_set[at]) << (place % 8),
                SegmentationType::Fractional => self.bytes[place] = part(at) as u8,
            }
        }
        self.masks += 1;
        Ok(true)
    }
}

/// One segment over one frame of the source; its pixels stand at the same place among [`MaskPixels`].
#[derive(Debug, Clone)]
pub struct MaskFrame<'a> {
    /// The source image.
    pub source: &'a ImageReference,
    /// The frame of it, counted from 0.
    pub frame: u32,
    /// Where it lies; all masks have a plane or none has.
    pub plane: Option<Plane>,
    /// Which segment, counted from 0.
    pub segment: usize,
}

/// What a segmentation is made of.
#[derive(Debug, Clone)]
pub struct Segmentation<'a> {
    /// What every object begins with.
    pub head: ObjectHead<'a>,
    /// The network's name.
    pub algorithm: &'a str,
    /// Frame of Reference UID (0020,0052) of the source; made of the series where it has none.
    pub frame_of_reference_uid: Option<&'a str>,
    /// What is segmented.
    pub segments: &'a [Segment],
    /// The masks, in order.
    pub masks: &'a [MaskFrame<'a>],
    /// Their pixels, in the same order.
    pub pixels: MaskPixels,
}

impl Segmentation<'_> {
    /// The file.
    ///
    /// # Errors
    ///
    /// [`ReportError::Unfit`] where there is no mask, there are not as many as have pixels, one names no segment, or
    /// some have a plane and some have none; [`ReportError::Write`].
    pub fn file(mut self) -> Result<Vec<u8>, ReportError> {
        self.check()?;
        let mut object = self.head.begin(uids::SEGMENTATION_STORAGE, "SEG");
        let (rows, columns) = self.pixels.size;
        let is_binary = self.pixels.kind == SegmentationType::Binary;
        for (tag, word) in [
            (tags::IMAGE_TYPE, "DERIVED\\PRIMARY"),
            (tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME2"),
            (tags::LOSSY_IMAGE_COMPRESSION, "00"),
            (tags::SEGMENTATION_TYPE, if is_binary { "BINARY" } else { "FRACTIONAL" }),
            (tags::SEGMENTS_OVERLAP, "UNDEFINED"),
            (tags::CONTENT_LABEL, "SEGMENTATION"),
            (tags::PATIENT_ORIENTATION, ""),
            (tags::BURNED_IN_ANNOTATION, "NO"),
        ] {
            object.put(text(tag, VR::CS, word));
        }
        if !is_binary {
            object.put(text(tags::SEGMENTATION_FRACTIONAL_TYPE, VR::CS, "PROBABILITY"));
            object.put(short(tags::MAXIMUM_FRACTIONAL_VALUE, u16::from(FULL)));
        }
        object.put(text(tags::CONTENT_DESCRIPTION, VR::LO, line(&self.head.series_description, 64)));
        object.put(text(tags::CONTENT_CREATOR_NAME, VR::PN, "Medilink"));
        object.put(short(tags::SAMPLES_PER_PIXEL, 1));
        pixel_attributes(&mut object, rows, columns, if is_binary { 1 } else { 8 });
        object.put(text(tags::NUMBER_OF_FRAMES, VR::IS, self.masks.len().to_string()));
        let made = derived_uid(&["frame of reference", self.head.series_uid.as_str()]);
        object.put(text(tags::FRAME_OF_REFERENCE_UID, VR::UI, self.frame_of_reference_uid.unwrap_or(&made)));
        object.put(text(tags::POSITION_REFERENCE_INDICATOR, VR::LO, ""));
        let segments =
            self.segments.iter().zip(1_u16..).map(|(segment, number)| self.segment(segment, number));
        object.put(sequence(tags::SEGMENT_SEQUENCE, segments.collect()));
        object.put(sequence(tags::REFERENCED_SERIES_SEQUENCE, self.referenced_series()));
        for element in self.dimensions() {
            object.put(element);
        }
        object.put(sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![self.shared()]));
        let frames = self.masks.iter().zip(self.places()).map(|(mask, place)| per_frame(mask, place));
        object.put(sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames.collect()));
        let mut pixels = std::mem::take(&mut self.pixels.bytes);
        if pixels.len() % 2 == 1 {
            pixels.push(0);
        }
        object.put(DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(pixels)));
        self.head.file(object)
    }

    fn check(&self) -> Result<(), ReportError> {
        let has_planes = self.masks.first().is_some_and(|mask| mask.plane.is_some());
        let fits = |mask: &MaskFrame<'_>| mask.segment < self.segments.len();
        match () {
            () if self.masks.is_empty() => Err(ReportError::Unfit("there is no mask")),
            () if self.segments.len() >= usize::from(u16::MAX) => {
                Err(ReportError::Unfit("there are too many segments"))
            }
            () if self.masks.len() != self.pixels.masks || !self.masks.iter().all(fits) => {
                Err(ReportError::Unfit("a mask has no pixels or names no segment"))
            }
            () if self.masks.iter().any(|mask| mask.plane.is_some() != has_planes) => {
                Err(ReportError::Unfit("all masks have a plane, or none has"))
            }
            () => Ok(()),
        }
    }

    fn segment(&self, segment: &Segment, number: u16) -> InMemDicomObject {
        item([
            short(tags::SEGMENT_NUMBER, number),
            text(tags::SEGMENT_LABEL, VR::LO, line(&segment.label, 64)),
            text(tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "AUTOMATIC"),
            text(tags::SEGMENT_ALGORITHM_NAME, VR::LO, line(self.algorithm, 64)),
            sequence(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, vec![segment.category.item()]),
            sequence(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, vec![segment.property.item()]),
        ])
    }

    /// Common Instance Reference (PS3.3, section C.12.2): every source image once.
    fn referenced_series(&self) -> Vec<InMemDicomObject> {
        let mut by_series: BTreeMap<&SeriesInstanceUid, Vec<&ImageReference>> = BTreeMap::new();
        let mut seen: BTreeSet<&SopInstanceUid> = BTreeSet::new();
        for mask in self.masks.iter().filter(|mask| seen.insert(&mask.source.sop_uid)) {
            by_series.entry(&mask.source.series_uid).or_default().push(mask.source);
        }
        let series = by_series.into_iter().map(|(uid, images)| {
            let images = images.into_iter().map(|image| image.item(None)).collect();
            item([
                text(tags::SERIES_INSTANCE_UID, VR::UI, uid.as_str()),
                sequence(tags::REFERENCED_INSTANCE_SEQUENCE, images),
            ])
        });
        series.collect()
    }

    /// Multi-frame Dimension (PS3.3, section C.7.6.17): by segment, then by place in the sources.
    fn dimensions(&self) -> [InMemElement; 2] {
        let organization = derived_uid(&["dimensions", self.head.sop_uid.as_str()]);
        let uid = || text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, organization.clone());
        let pointer =
            |tag, at| DataElement::new(tag, VR::AT, PrimitiveValue::Tags([at].into_iter().collect()));
        let index = |to, group, label: &str| {
            item([
                uid(),
                pointer(tags::DIMENSION_INDEX_POINTER, to),
                pointer(tags::FUNCTIONAL_GROUP_POINTER, group),
                text(tags::DIMENSION_DESCRIPTION_LABEL, VR::LO, label),
            ])
        };
        let place = if self.masks[0].plane.is_some() {
            index(tags::IMAGE_POSITION_PATIENT, tags::PLANE_POSITION_SEQUENCE, "Place")
        } else {
            index(tags::IN_STACK_POSITION_NUMBER, tags::FRAME_CONTENT_SEQUENCE, "Place")
        };
        let segment =
            index(tags::REFERENCED_SEGMENT_NUMBER, tags::SEGMENT_IDENTIFICATION_SEQUENCE, "Segment");
        [
            sequence(tags::DIMENSION_ORGANIZATION_SEQUENCE, vec![item([uid()])]),
            sequence(tags::DIMENSION_INDEX_SEQUENCE, vec![segment, place]),
        ]
    }

    /// What all frames have in common.
    fn shared(&self) -> InMemDicomObject {
        let Some(plane) = self.masks[0].plane else { return item([]) };
        let measures = item([
            text(tags::SLICE_THICKNESS, VR::DS, decimal(plane.thickness_mm)),
            text(tags::SPACING_BETWEEN_SLICES, VR::DS, decimal(plane.thickness_mm)),
            text(tags::PIXEL_SPACING, VR::DS, decimals(&plane.spacing_mm)),
        ]);
        let orientation = item([text(tags::IMAGE_ORIENTATION_PATIENT, VR::DS, decimals(&plane.orientation))]);
        item([
            sequence(tags::PIXEL_MEASURES_SEQUENCE, vec![measures]),
            sequence(tags::PLANE_ORIENTATION_SEQUENCE, vec![orientation]),
        ])
    }

    /// The how-manieth place each mask's is, counted from 1: masks of one source frame share theirs.
    fn places(&self) -> Vec<u32> {
        let mut known: HashMap<(&SopInstanceUid, u32), u32> = HashMap::new();
        let mut places = Vec::with_capacity(self.masks.len());
        for mask in self.masks {
            let next = known.len() as u32 + 1;
            places.push(*known.entry((&mask.source.sop_uid, mask.frame)).or_insert(next));
        }
        places
    }
}

/// What one frame has of its own.
fn per_frame(mask: &MaskFrame<'_>, place: u32) -> InMemDicomObject {
    let number = |tag, values: &[u32]| {
        DataElement::new(tag, VR::UL, PrimitiveValue::U32(values.iter().copied().collect()))
    };
    let segment = mask.segment as u32 + 1;
    let mut content = item([number(tags::DIMENSION_INDEX_VALUES, &[segment, place])]);
    if mask.plane.is_none() {
        content.put(text(tags::STACK_ID, VR::SH, "1"));
        content.put(number(tags::IN_STACK_POSITION_NUMBER, &[place]));
    }
    let purpose = Code::dcm("121322", "Source image for image processing operation");
    let mut source = mask.source.item(Some(mask.frame));
    source.put(sequence(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, vec![purpose.item()]));
    source.put(text(tags::SPATIAL_LOCATIONS_PRESERVED, VR::CS, "YES"));
    let derivation = item([
        sequence(tags::SOURCE_IMAGE_SEQUENCE, vec![source]),
        sequence(tags::DERIVATION_CODE_SEQUENCE, vec![Code::dcm("113076", "Segmentation").item()]),
    ]);
    let named = item([short(tags::REFERENCED_SEGMENT_NUMBER, mask.segment as u16 + 1)]);
    let mut groups = item([
        sequence(tags::FRAME_CONTENT_SEQUENCE, vec![content]),
        sequence(tags::DERIVATION_IMAGE_SEQUENCE, vec![derivation]),
        sequence(tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![named]),
    ]);
    if let Some(plane) = mask.plane {
        let position = text(tags::IMAGE_POSITION_PATIENT, VR::DS, decimals(&plane.position_mm));
        groups.put(sequence(tags::PLANE_POSITION_SEQUENCE, vec![item([position])]));
    }
    groups
}

/// Several numbers as one DS.
fn decimals(values: &[f64]) -> String {
    values.iter().map(|value| decimal(*value)).collect::<Vec<_>>().join("\\")
}
