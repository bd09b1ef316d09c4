//! From rows to the values that `inference::report` makes objects of.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, FixedOffset, NaiveDateTime, Utc};
use chrono_tz::Tz;
use clinical::id::{InstanceId, StudyId};
use clinical::imaging::{ResultKind, ReviewState};
use clinical::uid::{SeriesInstanceUid, SopInstanceUid};
use inference::report::{
    Annotation, Capture, Code, DeviceObserver, ImageReference, Maker, ObjectHead, PresentationState,
    ReportError, ReportedFinding, ReportedImage, Reviewed, Said, SecondaryCapture, StructuredReport, Subject,
    Verification, derived_uid,
};
use ingest::part10::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};
use ingest::pixels::Picture;
use models::Registry;
use storage::records::analysis::Analysis;
use storage::records::clinic::Clinic;
use storage::records::finding::Finding;
use storage::records::instance::Instance;
use storage::records::report;

/// One network's word on a study, with what its objects need.
pub(super) struct Network<'a> {
    pub(super) clinic: &'a Clinic,
    pub(super) study_id: StudyId,
    /// At least one.
    pub(super) analyses: &'a [&'a Analysis],
    pub(super) images: &'a BTreeMap<InstanceId, Instance>,
    pub(super) subject: &'a Subject,
    pub(super) maker: &'a Maker,
}

/// This program.
pub(super) fn maker() -> Maker {
    Maker {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        implementation_class_uid: IMPLEMENTATION_CLASS_UID.to_owned(),
        implementation_version_name: IMPLEMENTATION_VERSION_NAME.to_owned(),
    }
}

impl<'a> Network<'a> {
    /// SHA-256 of the weights; empty where no network was meant for the images.
    pub(super) fn sha256(&self) -> &'a str {
        self.analyses.first().map_or("", |analysis| &analysis.network_sha256)
    }

    /// The network's name and version.
    fn title(&self) -> String {
        let title = self.analyses.first().map(|it| format!("{} {}", it.network_name, it.network_version));
        title.unwrap_or_default().trim().to_owned()
    }

    /// The UID of what is made of `analyses` as they stand.
    pub(super) fn sop_uid(&self, kind: ResultKind, analyses: &[&Analysis]) -> Result<SopInstanceUid> {
        let (study, state) = (self.study_id.to_string(), report::state_of(analyses.iter().copied()));
        Ok(derived_uid(&["instance", kind.as_str(), &study, self.sha256(), &state]).parse()?)
    }

    /// The UID of what is made of an analysis alone, whatever physicians say of it.
    pub(super) fn lasting_uid(&self, kind: ResultKind, analysis: &Analysis) -> Result<SopInstanceUid> {
        let (study, analysis) = (self.study_id.to_string(), analysis.analysis_id.to_string());
        Ok(derived_uid(&["instance", kind.as_str(), &study, self.sha256(), &analysis]).parse()?)
    }

    /// `at` by the clocks of the study: as its images tell their offset, else where the clinic is.
    pub(super) fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        if let Some(offset) = self.subject.utc_offset().and_then(|text| text.parse::<FixedOffset>().ok()) {
            return at.with_timezone(&offset).naive_local();
        }
        let zone: Tz = self.clinic.time_zone.parse().unwrap_or(Tz::UTC);
        at.with_timezone(&zone).naive_local()
    }

    pub(super) fn head(
        &self,
        kind: ResultKind,
        series_uid: &SeriesInstanceUid,
        sop_uid: SopInstanceUid,
        instance_number: u32,
        analyses: &[&Analysis],
    ) -> ObjectHead<'a> {
        let (series_number, words) = match kind {
            ResultKind::StructuredReport | ResultKind::AbstentionReport => (9_901, "Findings"),
            ResultKind::SecondaryCapture => (9_902, "Findings, captured"),
            ResultKind::PresentationState => (9_903, "Findings, over the image"),
            ResultKind::Segmentation => (9_904, "Segmentation"),
            ResultKind::FractionalSegmentation => (9_905, "Probabilities"),
        };
        let at = report::said_at(analyses.iter().copied()).unwrap_or_default();
        ObjectHead {
            subject: self.subject,
            maker: self.maker,
            model: self.title(),
            serial: self.sha256().to_owned(),
            series_uid: series_uid.clone(),
            series_number,
            series_description: format!("{words}: {}", self.title()),
            sop_uid,
            instance_number,
            at: self.local(at),
        }
    }

    pub(super) fn structured_report(
        &self,
        registry: &Registry,
        head: ObjectHead<'_>,
        predecessor: Option<SopInstanceUid>,
    ) -> Result<Vec<u8>, ReportError> {
        let first = self.analyses.first();
        let device = DeviceObserver {
            uid: derived_uid(&["network", self.sha256()]),
            name: first.map(|it| it.network_name.clone()).unwrap_or_default(),
            version: first.map(|it| it.network_version.clone()).unwrap_or_default(),
            sha256: self.sha256().to_owned(),
        };
        let images: Vec<ReportedImage> =
            self.analyses.iter().filter_map(|analysis| self.reported(registry, analysis)).collect();
        let verification = self.verification();
        StructuredReport { head, device: &device, images: &images, verification, predecessor }.file()
    }

    fn reported(&self, registry: &Registry, analysis: &Analysis) -> Option<ReportedImage> {
        let image = self.images.get(&analysis.instance_id)?;
        let said = match &analysis.abstention {
            Some(why) => Said::Abstained { tracking_id: analysis.analysis_id.to_string(), why: why.clone() },
            None => Said::Findings(
                analysis.findings.iter().map(|it| self.finding(registry, analysis, it)).collect(),
            ),
        };
        Some(ReportedImage {
            image: reference(image),
            modality: image.modality.clone(),
            size: size(image),
            said,
        })
    }

    fn finding(&self, registry: &Registry, analysis: &Analysis, finding: &Finding) -> ReportedFinding {
        let review = finding.reviewed_at.filter(|_| finding.review_state != ReviewState::Open);
        let review = review.map(|at| Reviewed {
            state: finding.review_state,
            reviewer: finding.reviewed_by.clone().unwrap_or_default(),
            at: self.local(at),
            comment: finding.comment.clone(),
        });
        ReportedFinding {
            tracking_id: finding.finding_id.to_string(),
            label: code(registry, analysis, finding),
            probability: finding.probability,
            threshold: finding.threshold,
            frame: frame(finding),
            region: finding.region,
            review,
        }
    }

    /// Verified as soon as physicians have judged all that the network has scored.
    fn verification(&self) -> Verification {
        let mut scored = self.analyses.iter().filter(|it| it.abstention.is_none()).peekable();
        if scored.peek().is_none() || !scored.all(|analysis| analysis.is_judged()) {
            return Verification::Unverified;
        }
        let findings = self.analyses.iter().flat_map(|analysis| &analysis.findings);
        let last = findings.filter_map(|it| Some((it.reviewed_at?, it.reviewed_by.clone()?))).max();
        let Some((at, by)) = last else { return Verification::Unverified };
        Verification::Verified { by, at: self.local(at), organization: self.clinic.name.clone() }
    }
}

/// One analysis, and what is made of it alone.
pub(super) struct Sheet<'a> {
    pub(super) head: ObjectHead<'a>,
    pub(super) analysis: &'a Analysis,
    pub(super) image: &'a Instance,
}

impl Sheet<'_> {
    /// The frame that says most.
    pub(super) fn frame(&self) -> u32 {
        self.analysis.to_judge().next().map(frame).unwrap_or_default()
    }

    pub(super) fn capture(self, picture: &Picture) -> Result<Vec<u8>, ReportError> {
        let labels: Vec<_> = self
            .analysis
            .to_judge()
            .map(|finding| (finding.meaning.clone(), finding.probability, finding.review_state))
            .collect();
        let (columns, rows) = picture.size();
        let (pixels, channels) = picture.samples();
        let (frame, source) = (self.frame(), reference(self.image));
        let capture = Capture { rows, columns, channels, pixels };
        SecondaryCapture { head: self.head, source: &source, frame, capture, labels: &labels }.file()
    }

    pub(super) fn presentation_state(self, is_inverted: bool) -> Result<Vec<u8>, ReportError> {
        let (source, size) = (reference(self.image), size(self.image));
        let annotations: Vec<_> = self.analysis.to_judge().map(annotation).collect();
        let annotations = &annotations;
        PresentationState { head: self.head, source: &source, size, is_inverted, annotations }.file()
    }
}

fn annotation(finding: &Finding) -> Annotation {
    let word = match finding.review_state {
        ReviewState::Open => "not reviewed",
        ReviewState::Accepted => "a physician agrees",
        ReviewState::Rejected => "a physician disagrees",
    };
    let percent = finding.probability * 100.0;
    Annotation {
        words: format!("{} {percent:.0}% ({word})", finding.meaning),
        frame: frame(finding),
        region: finding.region,
    }
}

/// What the network's card says that the label means in a published terminology, else in our own words.
fn code(registry: &Registry, analysis: &Analysis, finding: &Finding) -> Code {
    let card = registry.get_version(&analysis.network_name, &analysis.network_version);
    let label = card.and_then(|card| card.label(&finding.label));
    match label.and_then(|label| label.coding.as_ref()) {
        Some(coding) => Code::of_terminology(&coding.system, &coding.code, &coding.meaning),
        None => Code::own(&finding.label, &finding.meaning),
    }
}

fn frame(finding: &Finding) -> u32 {
    u32::try_from(finding.frame).unwrap_or_default()
}

pub(super) fn size(image: &Instance) -> (u32, u32) {
    let side = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or_default();
    (side(image.rows), side(image.columns))
}

pub(super) fn reference(image: &Instance) -> ImageReference {
    ImageReference {
        series_uid: image.series_uid.clone(),
        sop_class_uid: image.sop_class_uid.clone(),
        sop_uid: image.sop_uid.clone(),
        frame_count: image.frame_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
    }
}
