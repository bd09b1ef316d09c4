//! What is to be removed, and how long the law keeps it.

use chrono::{DateTime, Months, NaiveDate, Utc};
use clinical::id::{ClinicId, PatientId, StudyId};
use clinical::uid::{SeriesInstanceUid, SopInstanceUid, StudyInstanceUid};

use crate::db::{Conn, FromRow, Result, Row, Statement, built_sql};
use crate::records::patient::{day_of, retention_years};

/// What is to be removed.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The study.
    pub study: &'a StudyInstanceUid,
    /// This series of it alone.
    pub series: Option<&'a SeriesInstanceUid>,
    /// This instance of it alone.
    pub instance: Option<&'a SopInstanceUid>,
}

/// What stands behind a target: whose it is, and how long it must be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standed {
    /// The study.
    pub study_id: StudyId,
    /// Whose study it is.
    pub patient_id: PatientId,
    /// On this day the law lets it go.
    pub kept_until: NaiveDate,
    /// The clinic's setting `recordRetentionYears`.
    pub retention_years: i64,
}

/// A study, and what says how long it must be kept.
pub(crate) struct Found {
    pub(crate) study_id: StudyId,
    patient_id: PatientId,
    study_date: Option<String>,
    stored_at: DateTime<Utc>,
}

impl FromRow for Found {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            study_id: row.id("study_id")?,
            patient_id: row.id("patient_id")?,
            study_date: row.get("study_date")?,
            stored_at: row.get("stored_at")?,
        })
    }
}

impl Target<'_> {
    /// What stands behind it; `None` where nothing visible does.
    pub async fn look(&self, db: &mut Conn, clinic: ClinicId) -> Result<Option<Standed>> {
        let find = "SELECT studies.study_id, studies.patient_id, studies.study_date, studies.stored_at ";
        let found = self.visible(find, clinic, " LIMIT 1").fetch_optional::<Found>(db).await?;
        match found {
            Some(found) => Ok(Some(found.kept(db, clinic).await?)),
            None => Ok(None),
        }
    }

    /// `select` from what is visible of it; `$1` is the clinic, the last three arguments are the UIDs.
    pub(super) fn visible(&self, select: &str, clinic: ClinicId, end: &str) -> Statement {
        let mut text = format!(
            "{select} FROM studies CROSS JOIN series CROSS JOIN instances
              WHERE studies.clinic_id = $1 AND studies.study_uid = $2 AND series.study_id = studies.study_id
                AND instances.series_id = series.series_id AND instances.hidden_at IS NULL"
        );
        let mut values = Vec::new();
        let uids = [
            ("series.series_uid", self.series.map(ToString::to_string)),
            ("instances.sop_uid", self.instance.map(ToString::to_string)),
        ];
        for (column, uid) in uids {
            if let Some(uid) = uid {
                values.push(uid);
                text += &format!(" AND {column} = ${}", values.len() + 2);
            }
        }
        text += end;
        let statement = built_sql(text).bind(clinic).bind(self.study);
        values.into_iter().fold(statement, Statement::bind)
    }
}

impl Found {
    pub(super) async fn kept(self, db: &mut Conn, clinic: ClinicId) -> Result<Standed> {
        let retention_years = retention_years(db, clinic).await?;
        Ok(Standed {
            study_id: self.study_id,
            patient_id: self.patient_id,
            kept_until: kept_until(self.since(), retention_years),
            retention_years,
        })
    }

    /// The day from which its time counts.
    pub(crate) fn since(&self) -> NaiveDate {
        // The sender chose the Study Date: it may lengthen the time, never shorten it.
        let stored_on = self.stored_at.date_naive();
        self.study_date.as_deref().and_then(day_of).map_or(stored_on, |day| day.max(stored_on))
    }
}

/// The day on which the law lets go what has come on a day.
pub(crate) fn kept_until(since: NaiveDate, retention_years: i64) -> NaiveDate {
    // At most 100 years: the product fits.
    let retention = Months::new(retention_years as u32 * 12);
    since.checked_add_months(retention).unwrap_or(NaiveDate::MAX)
}
