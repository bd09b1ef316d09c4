//! Studies: how many of what, how soon they were read and judged, and how often physicians agree.

use axum::extract::State;
use chrono::NaiveDate;
use gate::{Caller, Json, Problem, Query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::House;
use crate::desk::{Asked, Desk, Usual};
use crate::small::share_percent;
use crate::table::{Cell, Kind, Table, Tabled, text};
use crate::within::{Step, TurnaroundView};

/// The modality of a study that says none.
const NONE: &str = "unknown";

/// The studies that were received within a period, and what has become of them since. `null` in place of a number: too
/// few to be shown; in place of a percentage also: of nothing.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImagingView {
    /// The first day of the period.
    pub from: NaiveDate,
    /// Its last day.
    pub to: NaiveDate,
    /// Where these days are days.
    pub time_zone: String,
    /// So many studies were received.
    pub studies: Option<i64>,
    /// So many of them did a network read.
    pub read: Option<i64>,
    /// In so many of these a network saw something.
    pub positive: Option<i64>,
    /// The share of the studies that were read.
    pub positive_percent: Option<f64>,
    /// So many did a physician judge.
    pub reviewed: Option<i64>,
    /// By modality, the most frequent first.
    pub by_modality: Vec<ModalityView>,
    /// How long it took.
    pub turnaround: StepsView,
    /// What physicians said within the period, whenever the study was received.
    pub agreement: AgreementView,
}

/// The studies of one modality.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModalityView {
    /// Modality (0008,0060) of the study's first series, as `CT`; `unknown` where it says none.
    pub modality: String,
    /// So many were received.
    pub studies: Option<i64>,
    /// So many of them did a network read.
    pub read: Option<i64>,
    /// In so many of these a network saw something.
    pub positive: Option<i64>,
    /// The share of the studies that were read.
    pub positive_percent: Option<f64>,
}

/// How long the steps of a study took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepsView {
    /// From its first instance to the first reading.
    pub receipt_to_finding: TurnaroundView,
    /// From there to the first word of a physician.
    pub finding_to_review: TurnaroundView,
    /// From its first instance to the first word of a physician.
    pub receipt_to_review: TurnaroundView,
}

/// What physicians said of findings; of each the last word counts.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgreementView {
    /// So many findings were judged.
    pub reviewed: Option<i64>,
    /// They agreed with so many.
    pub accepted: Option<i64>,
    /// They disagreed with so many.
    pub rejected: Option<i64>,
    /// The share with which they agreed.
    pub agreement_percent: Option<f64>,
}

impl ImagingView {
    pub(crate) async fn of(desk: &mut Desk) -> Result<Self, Problem> {
        const METRICS: [&str; 11] = [
            "studies",
            "studies_read",
            "studies_positive",
            "studies_reviewed",
            "found",
            "found_seconds",
            "reviewed",
            "reviewed_seconds",
            "closed",
            "closed_seconds",
            "reviews",
        ];
        let (period, sight) = (desk.period, desk.sight);
        let sums = desk.within(&METRICS, period.span()).await?;
        let share = |part: i64, whole: i64| {
            sight.count(part).and(sight.count(whole)).and_then(|_| share_percent(part, whole))
        };
        let mut modalities: Vec<(&str, i64)> = sums.kinds("studies").collect();
        modalities.sort_by(|(name, count), (other, others)| others.cmp(count).then_with(|| name.cmp(other)));
        let parts = |metric| {
            sight.parts(&modalities.iter().map(|(name, _)| sums.of_kind(metric, name)).collect::<Vec<_>>())
        };
        let (studies, read, positive) = (parts("studies"), parts("studies_read"), parts("studies_positive"));
        let by_modality = modalities.iter().zip(studies).zip(read.into_iter().zip(positive)).map(
            |(((name, _), studies), (read, positive))| ModalityView {
                modality: if name.is_empty() { NONE.to_owned() } else { (*name).to_owned() },
                studies,
                read,
                positive,
                positive_percent: positive
                    .zip(read)
                    .and_then(|(positive, read)| share_percent(positive, read)),
            },
        );
        let (accepted, rejected) = (sums.of_kind("reviews", "accepted"), sums.of_kind("reviews", "rejected"));
        let words = sight.parts(&[accepted, rejected]);
        let at = |place: usize| words.get(place).copied().flatten();
        let (read, positive) = (sums.of("studies_read"), sums.of("studies_positive"));
        Ok(Self {
            from: period.from,
            to: period.to,
            time_zone: period.zone.name().to_owned(),
            studies: sight.count(sums.of("studies")),
            read: sight.count(read),
            positive: sight.count(positive),
            positive_percent: share(positive, read),
            reviewed: sight.count(sums.of("studies_reviewed")),
            by_modality: by_modality.collect(),
            turnaround: StepsView {
                receipt_to_finding: TurnaroundView::of(&sums, Step::Found, sight),
                finding_to_review: TurnaroundView::of(&sums, Step::Reviewed, sight),
                receipt_to_review: TurnaroundView::of(&sums, Step::Closed, sight),
            },
            agreement: AgreementView {
                reviewed: sight.count(accepted + rejected),
                accepted: at(0),
                rejected: at(1),
                agreement_percent: at(0)
                    .and(at(1))
                    .and_then(|_| share_percent(accepted, accepted + rejected)),
            },
        })
    }
}

impl Tabled for ImagingView {
    fn table(&self) -> Table {
        let row = |line: &ModalityView| {
            vec![
                text(&line.modality),
                Cell::Whole(line.studies),
                Cell::Whole(line.read),
                Cell::Whole(line.positive),
                Cell::Number(line.positive_percent),
            ]
        };
        Table {
            columns: &[
                ("modality", Kind::Text),
                ("studies", Kind::Whole),
                ("read", Kind::Whole),
                ("positive", Kind::Whole),
                ("positivePercent", Kind::Number),
            ],
            rows: self.by_modality.iter().map(row).collect(),
        }
    }
}

/// `GET /api/analytics/imaging`
pub(crate) async fn imaging(
    State(house): State<House>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<ImagingView>, Problem> {
    let mut desk = Desk::open(&house, &caller, &asked, Usual::ThisMonth).await?;
    Ok(Json(ImagingView::of(&mut desk).await?))
}
