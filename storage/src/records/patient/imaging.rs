//! A patient's studies down to their series, as FHIR's `ImagingStudy` tells of them.

use std::collections::HashMap;

use clinical::fhir::{ImagingSeriesRecord, ImagingStudyRecord};
use clinical::id::{ClinicId, PatientId, StudyId};
use uuid::Uuid;

use super::day_of;
use crate::db::{Conn, DbError, FromRow, Result, Row, Statement, built_sql};

/// Studies whose series are asked for in one query.
const BATCH: usize = 200;

struct Study(ImagingStudyRecord);

impl FromRow for Study {
    fn from_row(row: &Row) -> Result<Self> {
        let study_date: Option<String> = row.get("study_date")?;
        Ok(Self(ImagingStudyRecord {
            study_id: row.id("study_id")?,
            patient_id: row.id("patient_id")?,
            study_uid: row.parse("study_uid")?,
            started_on: study_date.as_deref().and_then(day_of),
            accession_number: row.get("accession_number")?,
            description: row.get("description")?,
            stored_at: row.get("stored_at")?,
            series: Vec::new(),
        }))
    }
}

struct Series(StudyId, ImagingSeriesRecord);

impl FromRow for Series {
    fn from_row(row: &Row) -> Result<Self> {
        let series = ImagingSeriesRecord {
            series_uid: row.parse("series_uid")?,
            modality: row.get("modality")?,
            number: row.get("series_number")?,
            description: row.get("description")?,
            instance_count: row.get("instance_count")?,
        };
        Ok(Self(row.id("study_id")?, series))
    }
}

const SELECT: &str =
    "SELECT study_id, patient_id, study_uid, study_date, accession_number, description, stored_at
                        FROM studies ";

/// The patient's studies, newest first, from before `after` on.
pub async fn studies_of(
    db: &mut Conn,
    clinic: ClinicId,
    patient: PatientId,
    after: Option<StudyId>,
    limit: i64,
) -> Result<Vec<ImagingStudyRecord>> {
    let statement = built_sql(format!(
        "{SELECT} WHERE clinic_id = $1 AND patient_id = $2 AND hidden_at IS NULL AND study_id < $3
          ORDER BY study_id DESC LIMIT $4"
    ))
    .bind(clinic)
    .bind(patient)
    .bind(after.unwrap_or(StudyId(Uuid::max())))
    .bind(limit);
    whole(db, clinic, statement).await
}

/// One study of one clinic.
///
/// # Errors
///
/// [`DbError::NotFound`] when the clinic has none of that identifier.
pub async fn study(db: &mut Conn, clinic: ClinicId, id: StudyId) -> Result<ImagingStudyRecord> {
    let statement =
        built_sql(format!("{SELECT} WHERE clinic_id = $1 AND study_id = $2 AND hidden_at IS NULL"))
            .bind(clinic)
            .bind(id);
    whole(db, clinic, statement).await?.pop().ok_or(DbError::NotFound)
}

/// The studies with their series.
async fn whole(db: &mut Conn, clinic: ClinicId, studies: Statement) -> Result<Vec<ImagingStudyRecord>> {
    let mut studies: Vec<ImagingStudyRecord> =
        studies.fetch_all::<Study>(db).await?.into_iter().map(|study| study.0).collect();
    let mut series: HashMap<StudyId, Vec<ImagingSeriesRecord>> = HashMap::new();
    for batch in studies.chunks(BATCH) {
        let places: Vec<String> = (2..batch.len() + 2).map(|place| format!("${place}")).collect();
        let statement = built_sql(format!(
            "SELECT study_id, series_uid, modality, series_number, description,
                    (SELECT count(*) FROM instances WHERE instances.series_id = series.series_id
                                                  AND instances.hidden_at IS NULL) AS instance_count
               FROM series WHERE clinic_id = $1 AND hidden_at IS NULL AND study_id IN ({}) ORDER BY series_number, series_uid",
            places.join(", ")
        ))
        .bind(clinic);
        let statement = batch.iter().fold(statement, |statement, study| statement.bind(study.study_id));
        for Series(study, found) in statement.fetch_all(db).await? {
            series.entry(study).or_default().push(found);
        }
    }
    for study in &mut studies {
        study.series = series.remove(&study.study_id).unwrap_or_default();
    }
    Ok(studies)
}
