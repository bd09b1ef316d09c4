//! A series within a study.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, SeriesId, StudyId};
use clinical::uid::SeriesInstanceUid;

use crate::db::{Result, Tx, sql};

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
    /// Manufacturer (0008,0070).
    pub manufacturer: Option<String>,
    /// Manufacturer's Model Name (0008,1090).
    pub model: Option<String>,
    /// Performed Procedure Step Start Date (0040,0244).
    pub started_date: Option<String>,
    /// Performed Procedure Step Start Time (0040,0245).
    pub started_time: Option<String>,
    /// Of each item of Request Attributes Sequence (0040,0275): Scheduled Procedure Step ID (0040,0009) and Requested
    /// Procedure ID (0040,1001), empty where absent.
    pub requests: Vec<(String, String)>,
}

/// A series; its rows are read by search and with their instances.
#[derive(Debug)]
pub struct Series;

impl Series {
    /// Makes the series under this UID in its study where it is unknown; the first instance tells its facts.
    pub async fn ensure(
        db: &mut Tx,
        clinic: ClinicId,
        study_id: StudyId,
        uid: &SeriesInstanceUid,
        facts: &SeriesFacts,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let insert =
            "INSERT INTO series (series_id, clinic_id, study_id, series_uid, modality, series_number,
                                          description, body_part, started_date, started_time, stored_at,
                                          step_ids, procedure_ids, manufacturer, model)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
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
            .bind(listed(facts.requests.iter().map(|(step, _)| step.as_str())))
            .bind(listed(facts.requests.iter().map(|(_, procedure)| procedure.as_str())))
            .bind(facts.manufacturer.clone())
            .bind(facts.model.clone())
            .execute(db)
            .await?;
        Ok(())
    }
}

/// The values parted by backslashes, which none of them holds (PS3.5, section 6.4); `None` for none.
fn listed<'a>(values: impl Iterator<Item = &'a str>) -> Option<String> {
    let values: Vec<&str> = values.collect();
    (!values.is_empty()).then(|| values.join("\\"))
}
