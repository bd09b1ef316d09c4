//! A study of one clinic.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, PatientId, StudyId};
use clinical::uid::StudyInstanceUid;

use super::patient::{name_key, name_words};
use crate::db::{Conn, FromRow, Result, Row, Tx, sql};

/// What an object says about its study; `None` where absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StudyFacts {
    /// Study Date (0008,0020), `YYYYMMDD`.
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
    /// Timezone Offset From UTC (0008,0201), `&HHMM`.
    pub timezone_offset: Option<String>,
}

/// A stored study.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Study {
    /// Our identifier.
    pub study_id: StudyId,
    /// Study Instance UID (0020,000D).
    pub study_uid: StudyInstanceUid,
    /// Whose study it is.
    pub patient_id: PatientId,
    /// When its first instance was stored.
    pub stored_at: DateTime<Utc>,
}

impl FromRow for Study {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            study_id: row.id("study_id")?,
            study_uid: row.parse("study_uid")?,
            patient_id: row.id("patient_id")?,
            stored_at: row.get("stored_at")?,
        })
    }
}

impl Study {
    /// The study under this UID, made when unknown; the first instance tells its facts.
    pub async fn ensure(
        db: &mut Tx,
        clinic: ClinicId,
        patient: PatientId,
        uid: &StudyInstanceUid,
        facts: &StudyFacts,
        now: DateTime<Utc>,
    ) -> Result<StudyId> {
        let insert =
            "INSERT INTO studies (study_id, clinic_id, patient_id, study_uid, study_date, study_time,
                                           accession_number, study_number, description, referring_physician,
                                           referring_key, stored_at, referring_words, timezone_offset)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
                      ON CONFLICT (clinic_id, study_uid) DO NOTHING";
        sql(insert)
            .bind(StudyId::new())
            .bind(clinic)
            .bind(patient)
            .bind(uid)
            .bind(facts.study_date.clone())
            .bind(facts.study_time.clone())
            .bind(facts.accession_number.clone())
            .bind(facts.study_number.clone())
            .bind(facts.description.clone())
            .bind(facts.referring_physician.clone())
            .bind(facts.referring_physician.as_deref().map(name_key))
            .bind(now)
            .bind(facts.referring_physician.as_deref().map(|name| name_words(name).join(" ")))
            .bind(facts.timezone_offset.clone())
            .execute(db)
            .await?;
        sql("SELECT study_id FROM studies WHERE clinic_id = $1 AND study_uid = $2")
            .bind(clinic)
            .bind(uid)
            .fetch_one::<uuid::Uuid>(db)
            .await
            .map(StudyId::from)
    }

    /// Whether nothing may be stored into the study.
    pub async fn is_locked(db: &mut Conn, clinic: ClinicId, uid: &StudyInstanceUid) -> Result<bool> {
        let count = "SELECT count(*) FROM studies
                      WHERE clinic_id = $1 AND study_uid = $2 AND locked_at IS NOT NULL";
        sql(count).bind(clinic).bind(uid).fetch_one::<i64>(db).await.map(|count| count > 0)
    }

    /// Locks a study, so that nothing is stored into it, or opens it again; `false` where it was so already.
    ///
    /// # Errors
    ///
    /// [`crate::db::DbError::NotFound`] when the clinic has none, or all of it is hidden.
    pub async fn lock(
        db: &mut Tx,
        clinic: ClinicId,
        uid: &StudyInstanceUid,
        since: Option<DateTime<Utc>>,
    ) -> Result<bool> {
        Self::by_uid(db, clinic, uid).await?;
        let update = "UPDATE studies SET locked_at = $3
                       WHERE clinic_id = $1 AND study_uid = $2 AND (locked_at IS NULL) <> ($4)";
        let changed =
            sql(update).bind(clinic).bind(uid).bind(since).bind(since.is_none()).execute(db).await?;
        Ok(changed > 0)
    }

    /// One study of one clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: StudyId) -> Result<Self> {
        sql("SELECT study_id, study_uid, patient_id, stored_at FROM studies
              WHERE clinic_id = $1 AND study_id = $2")
        .bind(clinic)
        .bind(id)
        .fetch_one(db)
        .await
    }

    /// One study of one clinic, by its UID, where anything of it is visible.
    pub async fn by_uid(db: &mut Conn, clinic: ClinicId, uid: &StudyInstanceUid) -> Result<Self> {
        sql("SELECT study_id, study_uid, patient_id, stored_at FROM studies
              WHERE clinic_id = $1 AND study_uid = $2 AND hidden_at IS NULL")
        .bind(clinic)
        .bind(uid)
        .fetch_one(db)
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::patient::{Patient, PatientFacts};
    use crate::testing::{now, on_both};

    #[tokio::test]
    async fn a_study_is_found_by_its_uid_in_its_clinic_alone() {
        on_both(async |db| {
            let (clinic, uid) = (ClinicId::DEFAULT, "1.2.3".parse().unwrap());
            let mut tx = db.begin().await.unwrap();
            let patient =
                Patient::ensure(&mut tx, clinic, &PatientFacts::default(), &uid, now()).await.unwrap();
            let facts = StudyFacts { study_date: Some("20260102".into()), ..StudyFacts::default() };
            let id = Study::ensure(&mut tx, clinic, patient, &uid, &facts, now()).await.unwrap();
            assert_eq!(Study::ensure(&mut tx, clinic, patient, &uid, &facts, now()).await.unwrap(), id);
            tx.commit().await.unwrap();
            let mut read = db.read().await.unwrap();
            let found = Study::by_uid(&mut read, clinic, &uid).await.unwrap();
            assert_eq!((found.study_id, found.stored_at), (id, now()));
            assert_eq!(Study::find(&mut read, clinic, id).await.unwrap(), found);
            assert!(Study::by_uid(&mut read, ClinicId::new(), &uid).await.is_err());
        })
        .await;
    }
}
