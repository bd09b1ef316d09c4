//! A Measurement Report (PS3.16, TID 1500) as an Enhanced SR: what a network said of each image, and who has judged it.
//!
//! Enhanced SR is the simplest class that TID 1500 may stand in, and the one that most readers know.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use clinical::imaging::{Abstention, Region, ReviewState};
use clinical::uid::{SeriesInstanceUid, SopInstanceUid};
use dicom_core::VR;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::code::Code;
use super::content::{Content, Relation};
use super::element::{item, line, person, sequence, text};
use super::object::{ImageReference, ObjectHead, ReportError, derived_uid};

/// The network as the observer (PS3.16, TID 1004).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceObserver {
    /// Device Observer UID: of these weights and no others.
    pub uid: String,
    /// The network's name.
    pub name: String,
    /// The network's version.
    pub version: String,
    /// SHA-256 of its weights.
    pub sha256: String,
}

/// A physician's word on a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reviewed {
    /// Accepted or rejected.
    pub state: ReviewState,
    /// Who.
    pub reviewer: String,
    /// When, by the clocks of the study.
    pub at: NaiveDateTime,
    /// What they wrote.
    pub comment: Option<String>,
}

/// One label of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedFinding {
    /// Our identifier of the finding.
    pub tracking_id: String,
    /// What was looked for.
    pub label: Code,
    /// Calibrated probability, 0.0 to 1.0.
    pub probability: f64,
    /// At or above it the label counts as present; absent for one that is only shown.
    pub threshold: Option<f64>,
    /// The frame that gave it, counted from 0.
    pub frame: u32,
    /// Where it was seen, as parts of the image's width and height.
    pub region: Option<Region>,
    /// A physician's word; `None` until there is one.
    pub review: Option<Reviewed>,
}

/// What the network said of an image.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// How surely it saw each label.
    Findings(Vec<ReportedFinding>),
    /// Nothing, and why.
    Abstained {
        /// Our identifier of the analysis.
        tracking_id: String,
        /// Why.
        why: Abstention,
    },
}

/// An image, and what the network said of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportedImage {
    /// The image.
    pub image: ImageReference,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Rows and columns.
    pub size: (u32, u32),
    /// What was said.
    pub said: Said,
}

/// Whether physicians have judged all that the report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verification {
    /// Not yet.
    Unverified,
    /// They have.
    Verified {
        /// The last of them.
        by: String,
        /// When, by the clocks of the study.
        at: NaiveDateTime,
        /// Of which organisation.
        organization: String,
    },
}

/// What a report is made of.
#[derive(Debug, Clone)]
pub struct StructuredReport<'a> {
    /// What every object begins with.
    pub head: ObjectHead<'a>,
    /// The network.
    pub device: &'a DeviceObserver,
    /// The images, with what was said of each.
    pub images: &'a [ReportedImage],
    /// Whether physicians have judged it.
    pub verification: Verification,
    /// The report of the same series that this one replaces.
    pub predecessor: Option<SopInstanceUid>,
}

impl StructuredReport<'_> {
    /// The file.
    ///
    /// # Errors
    ///
    /// [`ReportError::Unfit`] for a report about no image, [`ReportError::Write`].
    pub fn file(&self) -> Result<Vec<u8>, ReportError> {
        if self.images.is_empty() {
            return Err(ReportError::Unfit("a report is about at least one image"));
        }
        let mut object = self.head.begin(uids::ENHANCED_SR_STORAGE, "SR");
        let is_final = self.verification != Verification::Unverified;
        for (tag, word) in [
            (tags::COMPLETION_FLAG, "COMPLETE"),
            (tags::PRELIMINARY_FLAG, if is_final { "FINAL" } else { "PRELIMINARY" }),
            (tags::VERIFICATION_FLAG, if is_final { "VERIFIED" } else { "UNVERIFIED" }),
        ] {
            object.put(text(tag, VR::CS, word));
        }
        object.put(sequence(tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, Vec::new()));
        object.put(sequence(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new()));
        object.put(sequence(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, vec![self.evidence()]));
        if let Verification::Verified { by, at, organization } = &self.verification {
            object.put(sequence(tags::VERIFYING_OBSERVER_SEQUENCE, vec![verifier(by, *at, organization)]));
        }
        if let Some(predecessor) = &self.predecessor {
            let report = item([
                text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, uids::ENHANCED_SR_STORAGE),
                text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, predecessor.as_str()),
            ]);
            let series = vec![series_item(&self.head.series_uid, vec![report])];
            object.put(sequence(tags::PREDECESSOR_DOCUMENTS_SEQUENCE, vec![self.study_item(series)]));
        }
        for element in self.content().root() {
            object.put(element);
        }
        self.head.file(object)
    }

    fn study_item(&self, series: Vec<InMemDicomObject>) -> InMemDicomObject {
        item([
            text(tags::STUDY_INSTANCE_UID, VR::UI, self.head.subject.study_uid.as_str()),
            sequence(tags::REFERENCED_SERIES_SEQUENCE, series),
        ])
    }

    /// Every image, by study and series (PS3.3, section C.17.2.3).
    fn evidence(&self) -> InMemDicomObject {
        let mut by_series: BTreeMap<&SeriesInstanceUid, Vec<InMemDicomObject>> = BTreeMap::new();
        for reported in self.images {
            by_series.entry(&reported.image.series_uid).or_default().push(reported.image.item(None));
        }
        self.study_item(by_series.into_iter().map(|(uid, images)| series_item(uid, images)).collect())
    }

    fn content(&self) -> Content {
        use Relation::{Contains, HasConceptMod};
        let english = Content::code(
            HasConceptMod,
            &Code::dcm("121049", "Language of Content Item and Descendants"),
            &Code::new("en-US", "RFC5646", "English (United States)"),
        );
        let procedure = Content::code(
            HasConceptMod,
            &Code::dcm("121058", "Procedure reported"),
            &Code::sct("363679005", "Imaging procedure"),
        );
        let measurements = Content::container(Contains, &Code::dcm("126010", "Imaging Measurements"), None)
            .with(self.images.iter().flat_map(|reported| self.groups(reported)));
        Content::container(Contains, &Code::dcm("126000", "Imaging Measurement Report"), Some("1500"))
            .with([english])
            .with(self.device_context())
            .with(self.reviewers().into_iter().flat_map(person_context))
            .with([procedure, self.image_library(), measurements])
    }

    /// TID 1004.
    fn device_context(&self) -> Vec<Content> {
        let DeviceObserver { uid, name, version, sha256 } = self.device;
        let context = Relation::HasObsContext;
        let text =
            |code: &str, meaning: &str, value: &str| Content::text(context, &Code::dcm(code, meaning), value);
        vec![
            Content::code(context, &Code::dcm("121005", "Observer Type"), &Code::dcm("121007", "Device")),
            Content::uid(context, &Code::dcm("121012", "Device Observer UID"), uid),
            text("121013", "Device Observer Name", name),
            text("121014", "Device Observer Manufacturer", "Medilink"),
            text("121015", "Device Observer Model Name", &format!("{name} {version}")),
            text("121016", "Device Observer Serial Number", sha256),
        ]
    }

    /// The names of those who have judged, each once.
    fn reviewers(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for reported in self.images {
            let Said::Findings(findings) = &reported.said else { continue };
            for review in findings.iter().filter_map(|finding| finding.review.as_ref()) {
                if !names.contains(&&*review.reviewer) {
                    names.push(&review.reviewer);
                }
            }
        }
        names
    }

    /// TID 1600: the images, a group a modality.
    fn image_library(&self) -> Content {
        let mut by_modality: BTreeMap<&str, Vec<&ReportedImage>> = BTreeMap::new();
        for reported in self.images {
            by_modality.entry(reported.modality.as_deref().unwrap_or_default()).or_default().push(reported);
        }
        let groups = by_modality.into_iter().map(|(modality, images)| {
            let modality = meaning_of(modality).map(|meaning| {
                let value = Code::dcm(modality, meaning);
                Content::code(Relation::HasAcqContext, &Code::dcm("121139", "Modality"), &value)
            });
            let images =
                images.into_iter().map(|it| Content::image(Relation::Contains, None, &it.image, None));
            Content::container(Relation::Contains, &Code::dcm("126200", "Image Library Group"), None)
                .with(modality)
                .with(images)
        });
        Content::container(Relation::Contains, &Code::dcm("111028", "Image Library"), Some("1600"))
            .with(groups)
    }

    fn groups(&self, reported: &ReportedImage) -> Vec<Content> {
        match &reported.said {
            Said::Findings(findings) => {
                findings.iter().map(|finding| self.finding_group(reported, finding)).collect()
            }
            Said::Abstained { tracking_id, why } => vec![self.abstention_group(reported, tracking_id, why)],
        }
    }

    /// TID 1501: tracking, then `below`, then which algorithm, and the image (or a frame of it).
    fn group(
        &self,
        reported: &ReportedImage,
        tracking_id: &str,
        frame: Option<u32>,
        below: Vec<Content>,
    ) -> Content {
        use Relation::{Contains, HasConceptMod, HasObsContext};
        let source = Code::dcm("121112", "Source of Measurement");
        let group = Content::container(Contains, &Code::dcm("125007", "Measurement Group"), Some("1501"))
            .with([
                Content::text(HasObsContext, &Code::dcm("112039", "Tracking Identifier"), tracking_id),
                Content::uid(
                    HasObsContext,
                    &Code::dcm("112040", "Tracking Unique Identifier"),
                    &derived_uid(&["tracking", tracking_id]),
                ),
                Content::text(HasConceptMod, &Code::dcm("111001", "Algorithm Name"), &self.device.name),
                Content::text(HasConceptMod, &Code::dcm("111003", "Algorithm Version"), &self.device.version),
            ]);
        group.with(below).with([Content::image(Contains, Some(&source), &reported.image, frame)])
    }

    fn finding_group(&self, reported: &ReportedImage, finding: &ReportedFinding) -> Content {
        use Relation::{Contains, InferredFrom};
        let percent = Code::unit("%", "Percent");
        let mut certainty = Content::number(
            Contains,
            &Code::dcm("111012", "Certainty of Finding"),
            finding.probability * 100.0,
            &percent,
        );
        if let Some(region) = &finding.region {
            let image = Content::image(Relation::SelectedFrom, None, &reported.image, Some(region.frame));
            let outline = Content::polyline(
                InferredFrom,
                &Code::dcm("111030", "Image Region"),
                &outline(region, reported.size),
            );
            certainty = certainty.with([outline.with([image])]);
        }
        let mut below =
            vec![Content::code(Contains, &Code::dcm("121071", "Finding"), &finding.label), certainty];
        if let Some(threshold) = finding.threshold {
            let is_present = finding.probability >= threshold;
            let call = if is_present { ("52101004", "Present") } else { ("272519000", "Absent") };
            below.push(Content::number(
                Contains,
                &Code::own("threshold", "Operating threshold"),
                threshold * 100.0,
                &percent,
            ));
            below.push(Content::code(
                Contains,
                &Code::own("call", "Call at the operating threshold"),
                &Code::sct(call.0, call.1),
            ));
        }
        below.extend(review_items(finding.review.as_ref()));
        self.group(reported, &finding.tracking_id, Some(finding.frame), below)
    }

    fn abstention_group(&self, reported: &ReportedImage, tracking_id: &str, why: &Abstention) -> Content {
        let code = why.code.as_str();
        let below = vec![
            Content::code(
                Relation::Contains,
                &Code::own("abstention", "Abstention"),
                &Code::own(code, &code.replace('-', " ")),
            ),
            Content::text(
                Relation::Contains,
                &Code::own("abstention-why", "Reason of the abstention"),
                &why.reason,
            ),
        ];
        self.group(reported, tracking_id, None, below)
    }
}

/// TID 1003.
fn person_context(name: &str) -> [Content; 2] {
    let context = Relation::HasObsContext;
    [
        Content::code(context, &Code::dcm("121005", "Observer Type"), &Code::dcm("121006", "Person")),
        Content::name(context, &Code::dcm("121008", "Person Observer Name"), name),
    ]
}

/// Where a finding stands with the physicians, and their words.
fn review_items(review: Option<&Reviewed>) -> Vec<Content> {
    use Relation::Contains;
    let (code, meaning) = match review.map_or(ReviewState::Open, |review| review.state) {
        ReviewState::Open => ("open", "Not reviewed yet"),
        ReviewState::Accepted => ("accepted", "A physician agrees"),
        ReviewState::Rejected => ("rejected", "A physician disagrees"),
    };
    let state =
        Content::code(Contains, &Code::own("review-state", "Review state"), &Code::own(code, meaning));
    let mut items = vec![state];
    if let Some(review) = review {
        let reviewer = format!("{}, {}", review.reviewer, review.at.format("%Y-%m-%d %H:%M:%S"));
        items.push(Content::text(Contains, &Code::own("reviewer", "Reviewed by"), &reviewer));
        let comment =
            review.comment.as_deref().map(|it| Content::text(Contains, &Code::dcm("121106", "Comment"), it));
        items.extend(comment);
    }
    items
}

/// The region's corners, closed, in columns and rows of the image.
fn outline(region: &Region, (rows, columns): (u32, u32)) -> [f32; 10] {
    let (left, top) = (region.left * columns as f32, region.top * rows as f32);
    let (right, bottom) = (left + region.width * columns as f32, top + region.height * rows as f32);
    [left, top, right, top, right, bottom, left, bottom, left, top]
}

fn series_item(series: &SeriesInstanceUid, instances: Vec<InMemDicomObject>) -> InMemDicomObject {
    item([
        text(tags::SERIES_INSTANCE_UID, VR::UI, series.as_str()),
        sequence(tags::REFERENCED_SOP_SEQUENCE, instances),
    ])
}

fn verifier(by: &str, at: NaiveDateTime, organization: &str) -> InMemDicomObject {
    item([
        text(tags::VERIFYING_ORGANIZATION, VR::LO, line(organization, 64)),
        text(tags::VERIFICATION_DATE_TIME, VR::DT, at.format("%Y%m%d%H%M%S%.6f").to_string()),
        text(tags::VERIFYING_OBSERVER_NAME, VR::PN, person(by)),
        sequence(tags::VERIFYING_OBSERVER_IDENTIFICATION_CODE_SEQUENCE, Vec::new()),
    ])
}

/// What a modality's code means (PS3.16, CID 29); `None` for one that we do not know the words of.
fn meaning_of(modality: &str) -> Option<&'static str> {
    Some(match modality {
        "CR" => "Computed Radiography",
        "CT" => "Computed Tomography",
        "DX" => "Digital Radiography",
        "MG" => "Mammography",
        "MR" => "Magnetic Resonance",
        "NM" => "Nuclear Medicine",
        "OP" => "Ophthalmic Photography",
        "PT" => "Positron emission tomography",
        "RF" => "Radiofluoroscopy",
        "SM" => "Slide Microscopy",
        "US" => "Ultrasound",
        "XA" => "X-Ray Angiography",
        _ => return None,
    })
}

#[cfg(test)]
#[path = "structured_report_tests.rs"]
mod tests;
