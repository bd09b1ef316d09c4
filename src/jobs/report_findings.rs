//! `ReportFindings`: what was found in a study becomes DICOM objects of the same study.
//!
//! The UIDs are derived from the analyses and from what physicians have said of them, so that a job that runs twice
//! stores nothing twice, and a review makes a new object beside the former one.

pub mod masks;
mod objects;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use clinical::id::{ClinicId, InstanceId, StudyId};
use clinical::imaging::{DecodeRequest, ResultKind};
use clinical::uid::{SeriesInstanceUid, SopInstanceUid};
use inference::report::{Maker, ObjectHead, ReportError, Subject, derived_uid};
use ingest::part10::Part10;
use ingest::pixels::{self, Picture, RenderFormat, RenderOptions};
use ingest::receive::{Fault, Origin, Receipt};
use storage::archive::ArchiveError;
use storage::queue;
use storage::records::analysis::Analysis;
use storage::records::clinic::Clinic;
use storage::records::instance::Instance;
use storage::records::report;
use tracing::{info, warn};

use crate::compute;
use crate::wiring::House;
use objects::{Network, Sheet};

/// How a frame looks in a capture; it is put into no file format.
const AS_IT_LOOKS: RenderOptions = RenderOptions { window: None, viewport: None, format: RenderFormat::Png };

/// Makes what the clinic wants and has not; run twice, it leaves the same objects.
pub async fn run(house: &Arc<House>, claimed: &queue::Claimed, study_id: StudyId) -> Result<()> {
    let wanted = report::wanted(&mut house.db.read().await?, claimed.clinic_id).await?;
    let is_wanted = |told: &Told| {
        wanted.contains(&ResultKind::AbstentionReport)
            || (!wanted.is_empty() && told.analyses.iter().any(is_scored))
    };
    let told = Told::of(house, claimed.clinic_id, study_id, is_wanted).await?;
    for analyses in told.by_network() {
        let has_scored = analyses.iter().any(|analysis| is_scored(analysis));
        let is_reported = match has_scored {
            true => wanted.contains(&ResultKind::StructuredReport),
            false => wanted.contains(&ResultKind::AbstentionReport),
        };
        if !has_scored && !is_reported {
            continue;
        }
        let Some(subject) = subject(house, &analyses, &told.images).await? else { continue };
        let network = told.network(&analyses, &subject);
        if is_reported {
            structured_report(house, &network).await?;
        }
        for kind in [ResultKind::SecondaryCapture, ResultKind::PresentationState] {
            if wanted.contains(&kind) {
                over_each_image(house, &network, kind).await?;
            }
        }
    }
    let mut tx = house.db.begin().await?;
    queue::finish(&mut tx, claimed).await?;
    Ok(tx.commit().await?)
}

fn is_scored(analysis: &Analysis) -> bool {
    analysis.abstention.is_none()
}

/// What networks have said of a study.
struct Told {
    place: Clinic,
    study_id: StudyId,
    analyses: Vec<Analysis>,
    images: BTreeMap<InstanceId, Instance>,
    maker: Maker,
}

impl Told {
    /// The images are there only where something `is_wanted`, and without them no network.
    async fn of(
        house: &House,
        clinic: ClinicId,
        study_id: StudyId,
        is_wanted: impl Fn(&Self) -> bool,
    ) -> Result<Self> {
        let mut rows = house.db.read().await?;
        let place = Clinic::find(&mut rows, clinic).await?;
        let analyses = Analysis::of_study(&mut rows, clinic, study_id).await?;
        let mut told = Self { place, study_id, analyses, images: BTreeMap::new(), maker: objects::maker() };
        if is_wanted(&told) {
            let images = Instance::to_analyze(&mut rows, clinic, study_id).await?;
            told.images = images.into_iter().map(|image| (image.instance_id, image)).collect();
        }
        Ok(told)
    }

    /// The analyses of images that are there, network by network.
    fn by_network(&self) -> Vec<Vec<&Analysis>> {
        let mut networks: BTreeMap<[&str; 2], Vec<&Analysis>> = BTreeMap::new();
        for analysis in self.analyses.iter().filter(|it| self.images.contains_key(&it.instance_id)) {
            let network = [analysis.network_name.as_str(), analysis.network_version.as_str()];
            networks.entry(network).or_default().push(analysis);
        }
        networks.into_values().collect()
    }

    fn network<'a>(&'a self, analyses: &'a [&'a Analysis], subject: &'a Subject) -> Network<'a> {
        let Self { place, study_id, images, maker, .. } = self;
        Network { clinic: place, study_id: *study_id, analyses, images, subject, maker }
    }
}

/// Patient and study, as the first image that can be read says them; `None` where none can.
async fn subject(
    house: &House,
    analyses: &[&Analysis],
    images: &BTreeMap<InstanceId, Instance>,
) -> Result<Option<Subject>> {
    for image in analyses.iter().filter_map(|analysis| images.get(&analysis.instance_id)) {
        let Some(object) = read(house, image).await? else { continue };
        match Subject::of(object.header()) {
            Ok(subject) => return Ok(Some(subject)),
            Err(error) => warn!(instance.id = %image.instance_id, %error, "an image tells of no study"),
        }
    }
    Ok(None)
}

/// The stored object; `None` where its bytes are lost or damaged, which is no reason to report nothing else.
async fn read(house: &House, image: &Instance) -> Result<Option<Part10>> {
    let bytes = match house.archive.get(&image.blob_key).await {
        Ok(bytes) => bytes,
        Err(error @ (ArchiveError::NotFound | ArchiveError::Damaged(_))) => {
            warn!(instance.id = %image.instance_id, %error, "an image cannot be reported");
            return Ok(None);
        }
        Err(error) => return Err(error).context("the instance's bytes"),
    };
    let limits = house.config.receive()?.limits.part10;
    Ok(Part10::read(bytes, &limits).ok())
}

/// What is stored of one series of ours.
struct Shelf {
    series_uid: SeriesInstanceUid,
    stored: Vec<Instance>,
}

impl Shelf {
    async fn of(house: &House, network: &Network<'_>, kind: ResultKind) -> Result<Self> {
        let (study, sha256) = (network.study_id.to_string(), network.sha256());
        let series_uid = derived_uid(&["series", kind.as_str(), &study, sha256]).parse()?;
        let mut rows = house.db.read().await?;
        let (clinic, study_uid) = (network.clinic.clinic_id, &network.subject.study_uid);
        let stored = Instance::of(&mut rows, clinic, study_uid, Some(&series_uid), None).await?;
        Ok(Self { series_uid, stored })
    }

    fn holds(&self, sop_uid: &SopInstanceUid) -> bool {
        self.stored.iter().any(|instance| instance.sop_uid == *sop_uid)
    }

    /// The one that was stored last.
    fn newest(&self) -> Option<&Instance> {
        self.stored.iter().max_by_key(|instance| (instance.stored_at, instance.instance_id))
    }

    fn head<'a>(
        &self,
        network: &Network<'a>,
        kind: ResultKind,
        sop_uid: SopInstanceUid,
        analyses: &[&Analysis],
        others: usize,
    ) -> ObjectHead<'a> {
        let number = self.stored.len() + others + 1;
        network.head(kind, &self.series_uid, sop_uid, u32::try_from(number).unwrap_or(u32::MAX), analyses)
    }
}

/// The report of all that one network said of the study, unless it is there.
async fn structured_report(house: &House, network: &Network<'_>) -> Result<()> {
    let kind = ResultKind::StructuredReport;
    let shelf = Shelf::of(house, network, kind).await?;
    let sop_uid = network.sop_uid(kind, network.analyses)?;
    if shelf.holds(&sop_uid) {
        return Ok(());
    }
    let head = shelf.head(network, kind, sop_uid, network.analyses, 0);
    let predecessor = shelf.newest().map(|instance| instance.sop_uid.clone());
    let file = network.structured_report(&house.reader.registry(), head, predecessor);
    store(house, network.clinic.clinic_id, kind, file).await
}

/// An object for each image that the network has scored, unless it is there.
async fn over_each_image(house: &Arc<House>, network: &Network<'_>, kind: ResultKind) -> Result<()> {
    let shelf = Shelf::of(house, network, kind).await?;
    let scored = network.analyses.iter().filter(|analysis| !analysis.findings.is_empty());
    let mut made = 0;
    for analysis in scored {
        let sop_uid = network.sop_uid(kind, &[analysis])?;
        let Some(image) = network.images.get(&analysis.instance_id).filter(|_| !shelf.holds(&sop_uid)) else {
            continue;
        };
        let Some(object) = read(house, image).await? else { continue };
        let head = shelf.head(network, kind, sop_uid, &[analysis], made);
        let sheet = Sheet { head, analysis, image };
        let file = match kind {
            ResultKind::SecondaryCapture => {
                let Some(picture) = picture(house, object, sheet.frame()).await? else { continue };
                sheet.capture(&picture)
            }
            _ => {
                let photometric = pixels::image_context(object.header()).photometric_interpretation;
                sheet.presentation_state(photometric.as_deref() == Some("MONOCHROME1"))
            }
        };
        store(house, network.clinic.clinic_id, kind, file).await?;
        made += 1;
    }
    Ok(())
}

/// The frame as it looks; `None` where it cannot be decoded any more.
async fn picture(house: &Arc<House>, object: Part10, frame: u32) -> Result<Option<Picture>> {
    let house = Arc::clone(house);
    let decoded = compute::spawn(move || {
        let request = DecodeRequest::frame(frame);
        let frames = pixels::decode(&object, &request, &house.config.pixels(), house.reader.pool())?;
        frames.first().map(|frame| Picture::of(frame, &AS_IT_LOOKS)).transpose()
    });
    match decoded.await? {
        Ok(picture) => Ok(picture),
        Err(error) => {
            warn!(code = error.code(), "a frame cannot be captured");
            Ok(None)
        }
    }
}

/// Stores an object of ours; what stands in its way for good is logged and left.
async fn store(
    house: &House,
    clinic: ClinicId,
    kind: ResultKind,
    file: Result<Vec<u8>, ReportError>,
) -> Result<()> {
    let file = match file {
        Ok(file) => file,
        Err(error @ ReportError::Unfit(_)) => {
            warn!(kind = kind.as_str(), %error, "a result is not made");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let mut spool = house.receiver.spool();
    spool.write(Bytes::from(file)).await?;
    let receipt = Receipt { origin: Origin::OwnResult, may_reject: false, ..Receipt::from_sender(clinic) };
    match house.receiver.receive(receipt, spool).await {
        Ok(received) => {
            info!(
                study.id = %received.study_id, instance.id = %received.instance_id, kind = kind.as_str(),
                "a result is {}", received.disposition.as_str()
            );
            Ok(())
        }
        Err(error) if matches!(error.fault(), Fault::House | Fault::Full) => Err(error.into()),
        Err(error) => {
            warn!(kind = kind.as_str(), code = error.code(), "a result is not stored");
            Ok(())
        }
    }
}
