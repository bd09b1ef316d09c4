//! What a search returns of a study, counts included.

use clinical::id::{ClinicId, StudyId};
use clinical::uid::{SopClassUid, StudyInstanceUid};
use uuid::Uuid;

use super::{Level, Search, in_order, these};
use crate::db::{Conn, FromRow, Result, Row};

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
    /// Timezone Offset From UTC (0008,0201).
    pub timezone_offset: Option<String>,
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
    /// SOP Classes in Study (0008,0062); empty until [`FoundStudy::add_sop_classes`] has looked.
    pub sop_classes: Vec<SopClassUid>,
    /// Number of Study Related Series (0020,1206).
    pub series_count: i64,
    /// Number of Study Related Instances (0020,1208).
    pub instance_count: i64,
}

/// The rows of one page: what is counted is counted for it alone; `$1` is the clinic.
const SELECT: &str = r"SELECT studies.study_id, studies.study_uid, studies.study_date, studies.study_time,
           studies.timezone_offset, studies.accession_number, studies.study_number, studies.description,
           studies.referring_physician, patients.name, patients.mrn, patients.issuer,
           patients.birth_date, patients.sex,
           (SELECT string_agg(named.modality, '\') FROM
              (SELECT DISTINCT among.modality FROM series AS among
                WHERE among.study_id = studies.study_id AND among.hidden_at IS NULL
                  AND among.modality IS NOT NULL
                ORDER BY among.modality) AS named) AS modalities,
           (SELECT count(*) FROM series AS among
             WHERE among.study_id = studies.study_id AND among.hidden_at IS NULL) AS series_count,
           (SELECT count(*) FROM instances AS among
             WHERE among.study_id = studies.study_id AND among.hidden_at IS NULL) AS instance_count
      FROM studies JOIN patients ON patients.patient_id = studies.patient_id
     WHERE studies.clinic_id = $1 AND studies.hidden_at IS NULL AND studies.study_id IN (";

impl FromRow for FoundStudy {
    fn from_row(row: &Row) -> Result<Self> {
        let modalities: Option<String> = row.get("modalities")?;
        Ok(Self {
            study_id: row.id("study_id")?,
            study_uid: row.parse("study_uid")?,
            study_date: row.get("study_date")?,
            study_time: row.get("study_time")?,
            timezone_offset: row.get("timezone_offset")?,
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
            sop_classes: Vec::new(),
            series_count: row.get("series_count")?,
            instance_count: row.get("instance_count")?,
        })
    }
}

impl FoundStudy {
    /// The studies that match: newest first, or in the order of the name or number whose beginning is asked for.
    pub async fn search(db: &mut Conn, clinic: ClinicId, search: &Search) -> Result<Vec<Self>> {
        let page = search.page(clinic, Level::Study, "SELECT studies.study_id").fetch_all::<Uuid>(db).await?;
        if page.is_empty() {
            return Ok(Vec::new());
        }
        let rows = these(SELECT, clinic, &page).fetch_all(db).await?;
        Ok(in_order(&page, rows, |study: &Self| study.study_id.0))
    }

    /// These studies, as far as the clinic shows them.
    pub async fn of(db: &mut Conn, clinic: ClinicId, ids: &[StudyId]) -> Result<Vec<Self>> {
        these(SELECT, clinic, ids).fetch_all(db).await
    }
}
