//! `SegmentFindings`: where a network saw what it found, and how surely, as Segmentation objects.
//!
//! Masks are not kept: the network runs once more. Reviews change nothing in them, so that each analysis has its
//! objects made once: after it was told, or at a review where the clinic has wanted them only since.

use std::sync::Arc;

use anyhow::{Context, Result};
use clinical::id::StudyId;
use clinical::imaging::{DecodeRequest, ResultKind, SlicePosition};
use clinical::job::Queue;
use clinical::uid::SopInstanceUid;
use dicom_dictionary_std::tags;
use inference::Mask;
use inference::report::{
    Code, ImageReference, MaskFrame, MaskPixels, ObjectHead, Plane, ReportError, Segment, Segmentation,
    SegmentationType,
};
use ingest::part10::Part10;
use ingest::pixels;
use models::{Card, Task};
use storage::queue;
use storage::records::analysis::Analysis;
use storage::records::finding::Finding;
use storage::records::instance::Instance;
use storage::records::report;
use tokio::sync::Semaphore;
use tracing::warn;

use super::objects::{Network, reference, size};
use super::{Shelf, Told, read, store, subject};
use crate::compute;
use crate::jobs::analyze_study::HELD_MIB;
use crate::jobs::analyze_volumes::{Series, series};
use crate::networks;
use crate::reader::NetworkError;
use crate::series::frame_of_reference;
use crate::wiring::House;

/// The kinds of objects that are made of masks.
const KINDS: [ResultKind; 2] = [ResultKind::Segmentation, ResultKind::FractionalSegmentation];

/// Makes the objects that the clinic wants of masks, and has not; run twice, it leaves the same objects.
pub async fn run(house: &Arc<House>, claimed: &queue::Claimed, study_id: StudyId) -> Result<()> {
    let mut kinds = report::wanted(&mut house.db.read().await?, claimed.clinic_id).await?;
    kinds.retain(|kind| KINDS.contains(kind));
    let is_wanted = |told: &Told| !kinds.is_empty() && told.analyses.iter().any(is_marked);
    let told = Told::of(house, claimed.clinic_id, study_id, is_wanted).await?;
    if !told.images.is_empty() {
        // The reader holds every network of the clinic from here on.
        networks::at_hand(house, claimed.clinic_id).await?;
    }
    for analyses in told.by_network() {
        let Some(marked) = analyses.iter().find(|analysis| is_marked(analysis)) else { continue };
        let Some(card) = networks::card_of_analysis(&house.reader, marked) else {
            let (name, version) = (&marked.network_name, &marked.network_version);
            warn!(study.id = %study_id, name, version, "masks are not made: the network is no longer at hand");
            continue;
        };
        if !matches!(card.task, Task::Segmentation | Task::Segmentation3d) {
            continue;
        }
        let Some(subject) = subject(house, &analyses, &told.images).await? else { continue };
        let network = told.network(&analyses, &subject);
        let mut shelves = Vec::new();
        for kind in &kinds {
            shelves.push((*kind, Shelf::of(house, &network, *kind).await?, 0));
        }
        for analysis in analyses.iter().filter(|analysis| is_marked(analysis)) {
            if !queue::is_held(&mut house.db.read().await?, claimed).await?
                || queue::give_way(&house.db, Queue::Imaging, claimed, house.clock.now()).await?
            {
                return Ok(());
            }
            of_analysis(house, &network, &card, analysis, &mut shelves).await?;
        }
    }
    let mut tx = house.db.begin().await?;
    queue::finish(&mut tx, claimed).await?;
    Ok(tx.commit().await?)
}

/// Makes the objects of one analysis that no shelf holds; a shelf has a count of those that were made now.
async fn of_analysis(
    house: &Arc<House>,
    network: &Network<'_>,
    card: &Card,
    analysis: &Analysis,
    shelves: &mut [(ResultKind, Shelf, usize)],
) -> Result<()> {
    let mut missing = Vec::new();
    for (kind, shelf, others) in shelves {
        let sop_uid = network.lasting_uid(*kind, analysis)?;
        if !shelf.holds(&sop_uid) {
            missing.push((sop_uid, *kind, shelf, others));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let kinds = missing.iter().map(|(_, kind, ..)| kind_of(*kind)).collect();
    let made = match card.task {
        Task::Segmentation3d => of_series(house, network, analysis, card, kinds).await?,
        _ => of_image(house, network, analysis, card, kinds).await?,
    };
    let masks = match made {
        Ok(masks) => masks,
        Err(Refused(reason)) => {
            warn!(analysis.id = %analysis.analysis_id, reason, "an analysis stays without masks");
            return Ok(());
        }
    };
    let frame_of_reference_uid = masks.frame_of_reference_uid;
    for ((sop_uid, kind, shelf, others), made) in missing.into_iter().zip(masks.made) {
        let head = head(shelf, network, analysis, (kind, sop_uid, *others));
        let file = made.file(head, card, &masks.sources, frame_of_reference_uid.as_deref());
        store(house, network.clinic.clinic_id, kind, file).await?;
        *others += 1;
    }
    Ok(())
}

/// Whether the network may have called anything present: of a label without a threshold only its masks tell.
fn is_marked(analysis: &Analysis) -> bool {
    let is_seen = |finding: &Finding| {
        finding.region.is_some() || finding.threshold.is_none_or(|threshold| finding.probability >= threshold)
    };
    analysis.findings.iter().any(is_seen)
}

/// Why there are no masks, which another try would not change.
struct Refused(String);

fn kind_of(kind: ResultKind) -> SegmentationType {
    match kind {
        ResultKind::FractionalSegmentation => SegmentationType::Fractional,
        _ => SegmentationType::Binary,
    }
}

/// What the object begins with; its time is the analysis's own, whatever physicians have said since.
fn head<'a>(
    shelf: &Shelf,
    network: &Network<'a>,
    analysis: &Analysis,
    (kind, sop_uid, others): (ResultKind, SopInstanceUid, usize),
) -> ObjectHead<'a> {
    let head = shelf.head(network, kind, sop_uid, &[analysis], others);
    ObjectHead { at: network.local(analysis.analyzed_at), ..head }
}

/// The masks of one analysis.
struct Masks {
    sources: Vec<ImageReference>,
    frame_of_reference_uid: Option<String>,
    /// One for each kind that was asked for.
    made: Vec<Made>,
}

/// The masks of one object.
struct Made {
    pixels: MaskPixels,
    /// The labels that have a mask, each once.
    labels: Vec<String>,
    places: Vec<Place>,
    refused: Option<ReportError>,
}

/// Where a mask lies.
struct Place {
    /// Its image, by its place among the sources.
    source: usize,
    frame: u32,
    plane: Option<Plane>,
    /// Its label, by its place among those that have a mask.
    segment: usize,
}

impl Made {
    fn new(kind: SegmentationType, size: (u16, u16)) -> Self {
        let pixels = MaskPixels::new(kind, size);
        Self { pixels, labels: Vec::new(), places: Vec::new(), refused: None }
    }

    fn push(&mut self, mask: &Mask, source: usize, frame: u32, plane: Option<Plane>) {
        if self.refused.is_some() {
            return;
        }
        match self.pixels.push(mask) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                self.refused = Some(error);
                return;
            }
        }
        let known = self.labels.iter().position(|label| *label == mask.label);
        let segment = known.unwrap_or_else(|| {
            self.labels.push(mask.label.clone());
            self.labels.len() - 1
        });
        self.places.push(Place { source, frame, plane, segment });
    }

    fn file(
        self,
        head: ObjectHead<'_>,
        card: &Card,
        sources: &[ImageReference],
        frame_of_reference_uid: Option<&str>,
    ) -> Result<Vec<u8>, ReportError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let segments: Vec<Segment> = self.labels.iter().map(|label| segment(card, label)).collect();
        let masks: Vec<MaskFrame<'_>> = self
            .places
            .iter()
            .map(|place| MaskFrame {
                source: &sources[place.source],
                frame: place.frame,
                plane: place.plane,
                segment: place.segment,
            })
            .collect();
        let algorithm = card.title();
        Segmentation {
            head,
            algorithm: &algorithm,
            frame_of_reference_uid,
            segments: &segments,
            masks: &masks,
            pixels: self.pixels,
        }
        .file()
    }
}

/// The label as the card's terminology says it, else as we do. Of its category a card says nothing: it is a place.
fn segment(card: &Card, code: &str) -> Segment {
    let label = card.label(code);
    let meaning = label.map_or(code, |label| label.meaning.as_str());
    let property = match label.and_then(|label| label.coding.as_ref()) {
        Some(coding) => Code::of_terminology(&coding.system, &coding.code, &coding.meaning),
        None => Code::own(code, meaning),
    };
    let category = Code::new("309825002", "SCT", "Spatial and Relational Concept");
    Segment { label: meaning.to_owned(), category, property }
}

/// Rows and columns of an image, as its masks have them.
fn size_of(image: &Instance) -> Result<(u16, u16)> {
    let (rows, columns) = size(image);
    Ok((u16::try_from(rows)?, u16::try_from(columns)?))
}

/// The masks over one image, frame by frame as the network looked at it.
async fn of_image(
    house: &Arc<House>,
    network: &Network<'_>,
    analysis: &Analysis,
    card: &Card,
    kinds: Vec<SegmentationType>,
) -> Result<Result<Masks, Refused>> {
    let image =
        network.images.get(&analysis.instance_id).context("an analysis is of an image that is there")?;
    let Some(object) = read(house, image).await? else {
        return Ok(Err(Refused("the image cannot be read".to_owned())));
    };
    let (size, source) = (size_of(image)?, reference(image));
    let (house, card) = (Arc::clone(house), card.clone());
    let blocking = move || {
        let network = match house.reader.network(&card) {
            Ok(network) => network,
            Err(NetworkError::Unhealthy(reason)) => return Ok(Err(Refused(reason))),
            Err(NetworkError::NotReady(error)) => return Err(error),
        };
        let frames = network.decode_request().frames.of(object.frame_count());
        // All have a place in the patient, or none has.
        let planes: Option<Vec<Plane>> = frames.iter().map(|frame| plane(&object, *frame)).collect();
        let mut made: Vec<Made> = kinds.into_iter().map(|kind| Made::new(kind, size)).collect();
        for (at, index) in frames.into_iter().enumerate() {
            let request = DecodeRequest::frame(index);
            let decoded = match house.reader.decode(&object, &request) {
                Ok(decoded) => decoded,
                Err(error) => return Ok(Err(Refused(format!("{}: {error}", error.code())))),
            };
            let Some(frame) = decoded.first() else { continue };
            let plane = planes.as_ref().and_then(|planes| planes.get(at)).copied();
            let segmented = inference::segment(&network, frame, &mut |mask| {
                if is_there(&mask) {
                    made.iter_mut().for_each(|made| made.push(&mask, 0, index, plane));
                }
            });
            if let Err(error) = segmented {
                return Ok(Err(Refused(error.to_string())));
            }
        }
        let frame_of_reference_uid = frame_of_reference(&object);
        Ok(Ok(Masks { sources: vec![source], frame_of_reference_uid, made }))
    };
    compute::spawn(blocking).await?
}

/// Whether anything is called part of it.
fn is_there(mask: &Mask) -> bool {
    mask.is_set.contains(&true)
}

/// Where a frame lies in the patient, where its object says so.
fn plane(object: &Part10, frame: u32) -> Option<Plane> {
    let position = pixels::slice_position(object.header(), frame)?;
    let said = object.header().get(tags::SLICE_THICKNESS).and_then(|it| it.to_float64().ok());
    let thickness_mm = said.filter(|said| said.is_finite() && *said > 0.0).unwrap_or(position.spacing_mm[0]);
    Some(lying(position, thickness_mm))
}

fn lying(position: SlicePosition, thickness_mm: f64) -> Plane {
    let SlicePosition { position_mm, orientation, spacing_mm } = position;
    Plane { position_mm, orientation, spacing_mm, thickness_mm }
}

/// The masks over the series that the analysis is of: the slices that were there when it was made.
async fn of_series(
    house: &Arc<House>,
    network: &Network<'_>,
    analysis: &Analysis,
    card: &Card,
    kinds: Vec<SegmentationType>,
) -> Result<Result<Masks, Refused>> {
    let last =
        network.images.get(&analysis.instance_id).context("an analysis is of an image that is there")?;
    let is_of_it = |slice: &&Instance| {
        slice.series_id == last.series_id
            && slice.frame_count.is_some()
            && slice.instance_id <= last.instance_id
    };
    let slices: Vec<&Instance> = network.images.values().filter(is_of_it).collect();
    let size = size_of(last)?;
    let sources = slices.iter().map(|slice| reference(slice)).collect();
    let held = Semaphore::new(HELD_MIB as usize);
    let Series { network, volume, places, frame_of_reference_uid } =
        match series(house, card, &held, &slices).await? {
            Ok(series) => series,
            Err((code, reason)) => return Ok(Err(Refused(format!("{}: {reason}", code.as_str())))),
        };
    let depths: Vec<f64> = places.iter().map(|place| place.position.along_normal_mm()).collect();
    let gap_mm = match depths.as_slice() {
        [first, .., last] => (last - first) / (depths.len() - 1) as f64,
        _ => return Ok(Err(Refused("a volume has slices".to_owned()))),
    };
    let blocking = move || {
        let mut made: Vec<Made> = kinds.into_iter().map(|kind| Made::new(kind, size)).collect();
        let segmented = match volume.segment(&network) {
            Ok(segmented) => segmented,
            Err(error) => return Err(Refused(error.to_string())),
        };
        for label in segmented.labels() {
            // The tails of a label that is nowhere are no mask of it.
            if !label.slices().any(|mask| is_there(&mask)) {
                continue;
            }
            for (mask, place) in label.slices().zip(&places) {
                let plane = Some(lying(place.position, gap_mm));
                made.iter_mut().for_each(|made| made.push(&mask, place.slice, place.frame, plane));
            }
        }
        Ok(Masks { sources, frame_of_reference_uid, made })
    };
    Ok(compute::spawn(blocking).await?)
}
