//! What a search returns of a series, its count included.

use clinical::id::{ClinicId, SeriesId, StudyId};
use clinical::uid::{SeriesInstanceUid, StudyInstanceUid};
use uuid::Uuid;

use super::{Level, Search, in_order, these};
use crate::db::{Conn, FromRow, Result, Row};

/// A series with what a search returns of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSeries {
    /// Our identifier.
    pub series_id: SeriesId,
    /// Its study.
    pub study_id: StudyId,
    /// Study Instance UID (0020,000D).
    pub study_uid: StudyInstanceUid,
    /// Series Instance UID (0020,000E).
    pub series_uid: SeriesInstanceUid,
    /// Timezone Offset From UTC (0008,0201), as the study has it.
    pub timezone_offset: Option<String>,
    /// Modality (0008,0060).
    pub modality: Option<String>,
    /// Series Number (0020,0011).
    pub series_number: Option<i64>,
    /// Series Description (0008,103E).
    pub description: Option<String>,
    /// Body Part Examined (0018,0015).
    pub body_part: Option<String>,
    /// Performed Procedure Step Start Date (0040,0244).
    pub started_date: Option<String>,
    /// Performed Procedure Step Start Time (0040,0245).
    pub started_time: Option<String>,
    /// Request Attributes Sequence (0040,0275): of each item Scheduled Procedure Step ID (0040,0009) and Requested
    /// Procedure ID (0040,1001), empty where absent.
    pub requests: Vec<(String, String)>,
    /// Number of Series Related Instances (0020,1209).
    pub instance_count: i64,
}

/// The rows of one page: what is counted is counted for it alone; `$1` is the clinic.
const SELECT: &str = "SELECT series.series_id, series.study_id, studies.study_uid, series.series_uid,
           studies.timezone_offset, series.modality, series.series_number, series.description, series.body_part,
           series.started_date, series.started_time, series.step_ids, series.procedure_ids,
           (SELECT count(*) FROM instances AS among
             WHERE among.series_id = series.series_id AND among.hidden_at IS NULL) AS instance_count
      FROM series JOIN studies ON studies.study_id = series.study_id
     WHERE series.clinic_id = $1 AND series.hidden_at IS NULL AND series.series_id IN (";

impl FromRow for FoundSeries {
    fn from_row(row: &Row) -> Result<Self> {
        let (steps, procedures): (Option<String>, Option<String>) =
            (row.get("step_ids")?, row.get("procedure_ids")?);
        let items = steps.as_deref().zip(procedures.as_deref()).into_iter();
        let requests = items.flat_map(|(steps, procedures)| steps.split('\\').zip(procedures.split('\\')));
        Ok(Self {
            series_id: row.id("series_id")?,
            study_id: row.id("study_id")?,
            study_uid: row.parse("study_uid")?,
            series_uid: row.parse("series_uid")?,
            timezone_offset: row.get("timezone_offset")?,
            modality: row.get("modality")?,
            series_number: row.get("series_number")?,
            description: row.get("description")?,
            body_part: row.get("body_part")?,
            started_date: row.get("started_date")?,
            started_time: row.get("started_time")?,
            requests: requests.map(|(step, procedure)| (step.to_owned(), procedure.to_owned())).collect(),
            instance_count: row.get("instance_count")?,
        })
    }
}

impl FoundSeries {
    /// The series that match: within a study by Series Number, of many studies the last stored first.
    pub async fn search(db: &mut Conn, clinic: ClinicId, search: &Search) -> Result<Vec<Self>> {
        let page =
            search.page(clinic, Level::Series, "SELECT series.series_id").fetch_all::<Uuid>(db).await?;
        if page.is_empty() {
            return Ok(Vec::new());
        }
        let rows = these(SELECT, clinic, &page).fetch_all(db).await?;
        Ok(in_order(&page, rows, |series: &Self| series.series_id.0))
    }

    /// These series, as far as the clinic shows them.
    pub async fn of(db: &mut Conn, clinic: ClinicId, ids: &[SeriesId]) -> Result<Vec<Self>> {
        these(SELECT, clinic, ids).fetch_all(db).await
    }
}
