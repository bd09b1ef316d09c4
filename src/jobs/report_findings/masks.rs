//! Segmentation objects: where a network saw what it found, and how surely.
//!
//! Masks are not kept: the network runs once more over an analysis whose objects are not stored yet. Reviews change
//! nothing in them, so that each analysis has its objects made once.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clinical::imaging::{DecodeRequest, ResultKind, SlicePosition};
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
use storage::records::analysis::Analysis;
use storage::records::finding::Finding;
use storage::records::instance::Instance;
use tokio::sync::Semaphore;
use tracing::warn;

use super::objects::{Network, reference, size};
use super::{Shelf, read, store};
use crate::jobs::analyze_study::HELD_MIB;
use crate::jobs::analyze_volumes::{Series, frame_of_reference, series};
use crate::networks;
use crate::wiring::House;

/// The kinds of objects that are made of masks.
const KINDS: [ResultKind; 2] = [ResultKind::Segmentation, ResultKind::FractionalSegmentation];
/// From here on something of a label without a threshold is seen.
const HALF: f64 = 0.5;

/// The objects that the clinic wants of a segmentation network's masks, and has not.
pub(super) async fn of_network(
    house: &Arc<House>,
    network: &Network<'_>,
    wanted: &[ResultKind],
) -> Result<()> {
    let mut shelves = Vec::new();
    for kind in KINDS.into_iter().filter(|kind| wanted.contains(kind)) {
        shelves.push((kind, Shelf::of(house, network, kind).await?, 0));
    }
    let is_marked = |analysis: &&&Analysis| analysis.findings.iter().any(is_seen);
    for analysis in network.analyses.iter().filter(is_marked) {
        let mut missing = Vec::new();
        for (at, (kind, shelf, _)) in shelves.iter().enumerate() {
            let sop_uid = network.lasting_uid(*kind, analysis)?;
            if !shelf.holds(&sop_uid) {
                missing.push((at, sop_uid));
            }
        }
        if missing.is_empty() {
            continue;
        }
        let Some(card) = card(house, network, analysis).await? else { continue };
        let kinds = missing.iter().map(|(at, _)| kind_of(shelves[*at].0)).collect();
        let made = match card.task {
            Task::Segmentation => of_image(house, network, analysis, &card, kinds).await,
            Task::Segmentation3d => of_series(house, network, analysis, &card, kinds).await,
            _ => return Ok(()),
        };
        let masks = match made {
            Ok(masks) => masks,
            // Another try would end as this one: what was found stands without masks.
            Err(error) => {
                let error = format!("{error:#}");
                warn!(analysis.id = %analysis.analysis_id, error, "an analysis stays without masks");
                continue;
            }
        };
        let frame_of_reference_uid = masks.frame_of_reference_uid;
        for ((at, sop_uid), made) in missing.into_iter().zip(masks.made) {
            let (kind, shelf, others) = &mut shelves[at];
            let head = head(shelf, network, analysis, (*kind, sop_uid, *others));
            let file = made.file(head, &card, &masks.sources, frame_of_reference_uid.as_deref());
            store(house, network.clinic.clinic_id, *kind, file).await?;
            *others += 1;
        }
    }
    Ok(())
}

/// Whether the network called anything of it present: there is a mask to show.
fn is_seen(finding: &Finding) -> bool {
    finding.region.is_some() || finding.probability >= finding.threshold.unwrap_or(HALF)
}

fn kind_of(kind: ResultKind) -> SegmentationType {
    match kind {
        ResultKind::FractionalSegmentation => SegmentationType::Fractional,
        _ => SegmentationType::Binary,
    }
}

/// The card of an analysis's network; `None` where it is not at hand any more.
async fn card(house: &House, network: &Network<'_>, analysis: &Analysis) -> Result<Option<Card>> {
    let find = || {
        let registry = house.reader.registry();
        let card = registry.get_version(&analysis.network_name, &analysis.network_version)?;
        (card.sha256 == analysis.network_sha256).then(|| card.clone())
    };
    if let Some(card) = find() {
        return Ok(Some(card));
    }
    // Another worker has analysed the study.
    networks::at_hand(house, network.clinic.clinic_id).await?;
    Ok(find())
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
) -> Result<Masks> {
    let image = network.images.get(&analysis.instance_id).context("the image is gone")?;
    let object = read(house, image).await?.context("the image cannot be read")?;
    let (size, source) = (size_of(image)?, reference(image));
    let (house, card) = (Arc::clone(house), card.clone());
    let blocking = move || {
        let network = house.reader.network(&card)?;
        let frames = network.decode_request().frames.of(object.frame_count());
        // All have a place in the patient, or none has.
        let planes: Option<Vec<Plane>> = frames.iter().map(|frame| plane(&object, *frame)).collect();
        let mut made: Vec<Made> = kinds.into_iter().map(|kind| Made::new(kind, size)).collect();
        for (at, index) in frames.into_iter().enumerate() {
            let request = DecodeRequest::frame(index);
            let decoded = pixels::decode(&object, &request, &house.config.pixels(), house.reader.pool())?;
            let Some(frame) = decoded.first() else { continue };
            let plane = planes.as_ref().and_then(|planes| planes.get(at)).copied();
            inference::segment(&network, frame, &mut |mask| {
                made.iter_mut().for_each(|made| made.push(&mask, 0, index, plane));
            })?;
        }
        let frame_of_reference_uid = frame_of_reference(&object);
        anyhow::Ok(Masks { sources: vec![source], frame_of_reference_uid, made })
    };
    tokio::task::spawn_blocking(blocking).await?
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
) -> Result<Masks> {
    let last = network.images.get(&analysis.instance_id).context("the last slice is gone")?;
    let is_of_it = |slice: &&Instance| {
        slice.series_id == last.series_id
            && slice.frame_count.is_some()
            && slice.instance_id <= last.instance_id
    };
    let slices: Vec<&Instance> = network.images.values().filter(is_of_it).collect();
    let size = size_of(last)?;
    let sources = slices.iter().map(|slice| reference(slice)).collect();
    let held = Semaphore::new(HELD_MIB as usize);
    let read = series(house, card, &held, &slices).await?;
    let Series { network, volume, places, frame_of_reference_uid } =
        read.map_err(|(code, reason)| anyhow!("{}: {reason}", code.as_str()))?;
    let depths: Vec<f64> = places.iter().map(|place| place.position.along_normal_mm()).collect();
    let gap_mm = match depths.as_slice() {
        [first, .., last] => (last - first) / (depths.len() - 1) as f64,
        _ => return Err(anyhow!("a volume has slices")),
    };
    let blocking = move || {
        let mut made: Vec<Made> = kinds.into_iter().map(|kind| Made::new(kind, size)).collect();
        let segmented = volume.segment(&network)?;
        for label in segmented.labels() {
            for (mask, place) in label.slices().zip(&places) {
                let plane = Some(lying(place.position, gap_mm));
                made.iter_mut().for_each(|made| made.push(&mask, place.slice, place.frame, plane));
            }
        }
        anyhow::Ok(Masks { sources, frame_of_reference_uid, made })
    };
    tokio::task::spawn_blocking(blocking).await?
}
