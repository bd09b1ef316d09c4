//! What a search returns of each level, counts included.

use clinical::id::{ClinicId, InstanceId, SeriesId, StudyId};
use clinical::uid::{SeriesInstanceUid, SopClassUid, SopInstanceUid, StudyInstanceUid, TransferSyntaxUid};

use super::Search;
use crate::db::{Conn, FromRow, Result, Row, Statement, built_sql};

/// A study with what a search returns of it; texts absent in the objects are `None` or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundStudy {
    /// Our identifier.
    pub study_id: StudyId,
    /// Study Instance UID (0020,000D).
    pub study_uid: StudyInstanceUid,
    /// Study Date (0008,0020).
    pub study_date: Option<String>,
    /// Study Time (0008,0030).
    pub study_time: Option<String>,
    /// Accession Number (0008,0050).
    pub accession_number: Option<String>,
    /// Study ID (0020,0010).
    pub study_number: Option<String>,
    /// Study Description (0008,1030).
    pub description: Option<String>,
    /// Referring Physician's Name (0008,0090).
    pub referring_physician: Option<String>,
    /// Patient's Name (0010,0010).
    pub patient_name: String,
    /// Patient ID (0010,0020).
    pub mrn: String,
    /// Issuer of Patient ID (0010,0021).
    pub issuer: String,
    /// Patient's Birth Date (0010,0030).
    pub birth_date: Option<String>,
    /// Patient's Sex (0010,0040).
    pub sex: Option<String>,
    /// Modalities in Study (0008,0061), in alphabetical order.
    pub modalities: Vec<String>,
    /// Number of Study Related Series (0020,1206).
    pub series_count: i64,
    /// Number of Study Related Instances (0020,1208).
    pub instance_count: i64,
}

/// Every query of [`FoundStudy`] begins so; `$1` is the clinic.
const STUDY: &str = r"SELECT studies.study_id, studies.study_uid, studies.study_date, studies.study_time,
           studies.accession_number, studies.study_number, studies.description,
           studies.referring_physician, patients.name, patients.mrn, patients.issuer,
           patients.birth_date, patients.sex,
           (SELECT string_agg(named.modality, '\') FROM
              (SELECT DISTINCT among.modality FROM series AS among
                WHERE among.study_id = studies.study_id AND among.modality IS NOT NULL
                ORDER BY among.modality) AS named) AS modalities,
           (SELECT count(*) FROM series AS among WHERE among.study_id = studies.study_id) AS series_count,
           (SELECT count(*) FROM instances AS among
             WHERE among.study_id = studies.study_id) AS instance_count
      FROM studies JOIN patients ON patients.patient_id = studies.patient_id
     WHERE studies.clinic_id = $1 AND studies.study_id IN (";
const STUDY_ORDER: &str =
    " ORDER BY studies.study_date DESC NULLS LAST, studies.study_time DESC NULLS LAST, studies.study_uid";

impl FromRow for FoundStudy {
    fn from_row(row: &Row) -> Result<Self> {
        let modalities: Option<String> = row.get("modalities")?;
        Ok(Self {
            study_id: row.id("study_id")?,
            study_uid: row.parse("study_uid")?,
            study_date: row.get("study_date")?,
            study_time: row.get("study_time")?,
            accession_number: row.get("accession_number")?,
            study_number: row.get("study_number")?,
            description: row.get("description")?,
            referring_physician: row.get("referring_physician")?,
            patient_name: row.get("name")?,
            mrn: row.get("mrn")?,
            issuer: row.get("issuer")?,
            birth_date: row.get("birth_date")?,
            sex: row.get("sex")?,
            modalities: modalities.iter().flat_map(|all| all.split('\\')).map(str::to_owned).collect(),
            series_count: row.get("series_count")?,
            instance_count: row.get("instance_count")?,
        })
    }
}

impl FoundStudy {
    /// The studies that match, newest first.
    pub async fn search(db: &mut Conn, clinic: ClinicId, search: &Search) -> Result<Vec<Self>> {
        let page = "SELECT studies.study_id FROM studies";
        search.statement(clinic, STUDY, page, "studies", STUDY_ORDER).fetch_all(db).await
    }

    /// These studies, as far as the clinic has them.
    pub async fn of(db: &mut Conn, clinic: ClinicId, ids: &[StudyId]) -> Result<Vec<Self>> {
        these(STUDY, clinic, ids).fetch_all(db).await
    }
}

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
    /// Number of Series Related Instances (0020,1209).
    pub instance_count: i64,
}

/// Every query of [`FoundSeries`] begins so; `$1` is the clinic.
const SERIES: &str = "SELECT series.series_id, series.study_id, studies.study_uid, series.series_uid,
           series.modality, series.series_number, series.description, series.body_part,
           series.started_date, series.started_time,
           (SELECT count(*) FROM instances AS among
             WHERE among.series_id = series.series_id) AS instance_count
      FROM series JOIN studies ON studies.study_id = series.study_id
     WHERE series.clinic_id = $1 AND series.series_id IN (";
const SERIES_ORDER: &str = " ORDER BY studies.study_date DESC NULLS LAST, studies.study_time DESC NULLS LAST,
           studies.study_uid, series.series_number ASC NULLS LAST, series.series_uid";

impl FromRow for FoundSeries {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            series_id: row.id("series_id")?,
            study_id: row.id("study_id")?,
            study_uid: row.parse("study_uid")?,
            series_uid: row.parse("series_uid")?,
            modality: row.get("modality")?,
            series_number: row.get("series_number")?,
            description: row.get("description")?,
            body_part: row.get("body_part")?,
            started_date: row.get("started_date")?,
            started_time: row.get("started_time")?,
            instance_count: row.get("instance_count")?,
        })
    }
}

impl FoundSeries {
    /// The series that match: those of the newest study first, within a study by Series Number.
    pub async fn search(db: &mut Conn, clinic: ClinicId, search: &Search) -> Result<Vec<Self>> {
        let page = "SELECT series.series_id FROM series
                      JOIN studies ON studies.study_id = series.study_id";
        search.statement(clinic, SERIES, page, "series", SERIES_ORDER).fetch_all(db).await
    }

    /// These series, as far as the clinic has them.
    pub async fn of(db: &mut Conn, clinic: ClinicId, ids: &[SeriesId]) -> Result<Vec<Self>> {
        these(SERIES, clinic, ids).fetch_all(db).await
    }
}

/// An instance with what a search returns of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundInstance {
    /// Our identifier.
    pub instance_id: InstanceId,
    /// Its series.
    pub series_id: SeriesId,
    /// Its study.
    pub study_id: StudyId,
    /// Study Instance UID (0020,000D).
    pub study_uid: StudyInstanceUid,
    /// Series Instance UID (0020,000E).
    pub series_uid: SeriesInstanceUid,
    /// SOP Instance UID (0008,0018).
    pub sop_uid: SopInstanceUid,
    /// SOP Class UID (0008,0016).
    pub sop_class_uid: SopClassUid,
    /// Transfer Syntax UID (0002,0010), as Available Transfer Syntax UID (0008,3002).
    pub transfer_syntax_uid: TransferSyntaxUid,
    /// Instance Number (0020,0013).
    pub instance_number: Option<i64>,
    /// Rows (0028,0010).
    pub rows: Option<i64>,
    /// Columns (0028,0011).
    pub columns: Option<i64>,
    /// Bits Allocated (0028,0100).
    pub bits_allocated: Option<i64>,
    /// Number of Frames (0028,0008); `None` where there are no pixels.
    pub frame_count: Option<i64>,
}

const INSTANCE: &str = "SELECT instances.instance_id, instances.series_id, instances.study_id,
           studies.study_uid, series.series_uid, instances.sop_uid, instances.sop_class_uid,
           instances.transfer_syntax_uid, instances.instance_number, instances.image_rows,
           instances.image_columns, instances.bits_allocated, instances.frame_count
      FROM instances JOIN series ON series.series_id = instances.series_id
      JOIN studies ON studies.study_id = instances.study_id
     WHERE instances.clinic_id = $1 AND instances.instance_id IN (";
const INSTANCE_ORDER: &str = " ORDER BY studies.study_date DESC NULLS LAST,
           studies.study_time DESC NULLS LAST, studies.study_uid, series.series_number ASC NULLS LAST,
           series.series_uid, instances.instance_number ASC NULLS LAST, instances.sop_uid";

impl FromRow for FoundInstance {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            instance_id: row.id("instance_id")?,
            series_id: row.id("series_id")?,
            study_id: row.id("study_id")?,
            study_uid: row.parse("study_uid")?,
            series_uid: row.parse("series_uid")?,
            sop_uid: row.parse("sop_uid")?,
            sop_class_uid: row.parse("sop_class_uid")?,
            transfer_syntax_uid: row.parse("transfer_syntax_uid")?,
            instance_number: row.get("instance_number")?,
            rows: row.get("image_rows")?,
            columns: row.get("image_columns")?,
            bits_allocated: row.get("bits_allocated")?,
            frame_count: row.get("frame_count")?,
        })
    }
}

impl FoundInstance {
    /// The instances that match, within a series by Instance Number.
    pub async fn search(db: &mut Conn, clinic: ClinicId, search: &Search) -> Result<Vec<Self>> {
        let page = "SELECT instances.instance_id FROM instances
                      JOIN series ON series.series_id = instances.series_id
                      JOIN studies ON studies.study_id = instances.study_id";
        search.statement(clinic, INSTANCE, page, "instances", INSTANCE_ORDER).fetch_all(db).await
    }
}

/// The rows of `select` under these identifiers; none for none.
fn these<T: Copy + Into<uuid::Uuid>>(select: &str, clinic: ClinicId, ids: &[T]) -> Statement {
    let places: Vec<String> = (0..ids.len()).map(|index| format!("${}", index + 2)).collect();
    let text = format!("{select}{})", if ids.is_empty() { "NULL".to_owned() } else { places.join(", ") });
    ids.iter().fold(built_sql(text).bind(clinic), |statement, id| statement.bind((*id).into()))
}
