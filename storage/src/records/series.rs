//! A series within a study.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, PatientId, SeriesId, StudyId};
use clinical::uid::{SeriesInstanceUid, StudyInstanceUid};

use crate::db::{Conn, FromRow, Result, Row, Tx, sql};

/// What an object says about its series; `None` where absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesFacts {
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
}

/// Where an instance belongs, once its series is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesPlace {
    /// The study.
    pub study_id: StudyId,
    /// The series.
    pub series_id: SeriesId,
    /// Whose study it is.
    pub patient_id: PatientId,
}

impl FromRow for SeriesPlace {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            study_id: row.id("study_id")?,
            series_id: row.id("series_id")?,
            patient_id: row.id("patient_id")?,
        })
    }
}

impl SeriesPlace {
    /// The place of a known series; `None` before its first instance.
    pub async fn known(
        db: &mut Conn,
        clinic: ClinicId,
        study: &StudyInstanceUid,
        series: &SeriesInstanceUid,
    ) -> Result<Option<Self>> {
        sql("SELECT studies.study_id, series.series_id, studies.patient_id FROM studies
               JOIN series ON series.study_id = studies.study_id
              WHERE studies.clinic_id = $1 AND studies.study_uid = $2 AND series.series_uid = $3")
        .bind(clinic)
        .bind(study)
        .bind(series)
        .fetch_optional(db)
        .await
    }

    /// The series under this UID in its study, made when unknown; the first instance tells its facts.
    pub async fn ensure(
        db: &mut Tx,
        clinic: ClinicId,
        study_id: StudyId,
        uid: &SeriesInstanceUid,
        facts: &SeriesFacts,
        now: DateTime<Utc>,
    ) -> Result<Self> {
        let insert =
            "INSERT INTO series (series_id, clinic_id, study_id, series_uid, modality, series_number,
                                          description, body_part, started_date, started_time, stored_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
                      ON CONFLICT (study_id, series_uid) DO NOTHING";
        sql(insert)
            .bind(SeriesId::new())
            .bind(clinic)
            .bind(study_id)
            .bind(uid)
            .bind(facts.modality.clone())
            .bind(facts.series_number)
            .bind(facts.description.clone())
            .bind(facts.body_part.clone())
            .bind(facts.started_date.clone())
            .bind(facts.started_time.clone())
            .bind(now)
            .execute(db)
            .await?;
        sql("SELECT series.study_id, series.series_id, studies.patient_id FROM series
               JOIN studies ON studies.study_id = series.study_id
              WHERE series.clinic_id = $1 AND series.study_id = $2 AND series.series_uid = $3")
        .bind(clinic)
        .bind(study_id)
        .bind(uid)
        .fetch_one(db)
        .await
    }
}
