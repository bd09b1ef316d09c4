//! A patient of one clinic, as the images tell of them.

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, PatientId};
use clinical::uid::StudyInstanceUid;

use crate::db::{Conn, FromRow, Result, Row, Tx, sql};

/// What an object says about its patient; texts decoded and trimmed, empty where absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatientFacts {
    /// Patient ID (0010,0020).
    pub mrn: String,
    /// Issuer of Patient ID (0010,0021).
    pub issuer: String,
    /// Patient's Name (0010,0010).
    pub name: String,
    /// Patient's Birth Date (0010,0030).
    pub birth_date: Option<String>,
    /// Patient's Sex (0010,0040).
    pub sex: Option<String>,
}

/// A stored patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patient {
    /// Our identifier.
    pub patient_id: PatientId,
    /// Patient ID (0010,0020); empty where the objects have none.
    pub mrn: String,
    /// Patient's Name (0010,0010).
    pub name: String,
    /// Patient's Birth Date (0010,0030), `YYYYMMDD`.
    pub birth_date: Option<String>,
    /// Patient's Sex (0010,0040).
    pub sex: Option<String>,
}

impl FromRow for Patient {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            patient_id: row.id("patient_id")?,
            mrn: row.get("mrn")?,
            name: row.get("name")?,
            birth_date: row.get("birth_date")?,
            sex: row.get("sex")?,
        })
    }
}

/// A person name as it is searched: case and the parting of components do not count (PS3.4, C.2.2.2.1).
pub fn name_key(name: &str) -> String {
    name.trim_end_matches(['^', '=', ' ']).to_lowercase()
}

impl Patient {
    /// The patient that `facts` mean, made when unknown.
    ///
    /// Without a Patient ID nobody can tell whether two studies show the same
    /// person, so each such study has a patient of its own.
    pub async fn ensure(
        db: &mut Tx,
        clinic: ClinicId,
        facts: &PatientFacts,
        study: &StudyInstanceUid,
        now: DateTime<Utc>,
    ) -> Result<PatientId> {
        let key = if facts.mrn.is_empty() {
            format!("study:{study}")
        } else {
            format!("id:{}:{}|{}", facts.issuer.len(), facts.issuer, facts.mrn)
        };
        let insert = "INSERT INTO patients (patient_id, clinic_id, patient_key, mrn, issuer, name, name_key,
                                            birth_date, sex, created_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                      ON CONFLICT (clinic_id, patient_key) DO NOTHING";
        sql(insert)
            .bind(PatientId::new())
            .bind(clinic)
            .bind(&key)
            .bind(&facts.mrn)
            .bind(&facts.issuer)
            .bind(&facts.name)
            .bind(name_key(&facts.name))
            .bind(facts.birth_date.clone())
            .bind(facts.sex.clone())
            .bind(now)
            .execute(db)
            .await?;
        sql("SELECT patient_id FROM patients WHERE clinic_id = $1 AND patient_key = $2")
            .bind(clinic)
            .bind(key)
            .fetch_one::<uuid::Uuid>(db)
            .await
            .map(PatientId::from)
    }

    /// One patient of one clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: PatientId) -> Result<Self> {
        sql("SELECT patient_id, mrn, name, birth_date, sex FROM patients
              WHERE clinic_id = $1 AND patient_id = $2")
        .bind(clinic)
        .bind(id)
        .fetch_one(db)
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_both;

    fn facts(mrn: &str) -> PatientFacts {
        PatientFacts { mrn: mrn.into(), name: "Test^Ada".into(), ..PatientFacts::default() }
    }

    #[tokio::test]
    async fn the_same_patient_id_is_the_same_patient() {
        on_both(async |db| {
            let (clinic, study, now) = (ClinicId::DEFAULT, "1.2.3".parse().unwrap(), crate::testing::now());
            let mut tx = db.begin().await.unwrap();
            let first = Patient::ensure(&mut tx, clinic, &facts("P1"), &study, now).await.unwrap();
            let again = Patient::ensure(&mut tx, clinic, &facts("P1"), &study, now).await.unwrap();
            let other = Patient::ensure(&mut tx, clinic, &facts("P2"), &study, now).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(first, again);
            assert_ne!(first, other);
            let mut read = db.read().await.unwrap();
            assert_eq!(Patient::find(&mut read, clinic, first).await.unwrap().mrn, "P1");
            let elsewhere = Patient::find(&mut read, ClinicId::new(), first).await;
            assert!(matches!(elsewhere, Err(crate::db::DbError::NotFound)));
        })
        .await;
    }

    #[tokio::test]
    async fn an_issuer_and_an_id_do_not_run_into_one_another() {
        on_both(async |db| {
            let (clinic, study, now) = (ClinicId::DEFAULT, "1.2.3".parse().unwrap(), crate::testing::now());
            let mut tx = db.begin().await.unwrap();
            let one = PatientFacts { issuer: "A".into(), ..facts("B|C") };
            let two = PatientFacts { issuer: "A|B".into(), ..facts("C") };
            let one = Patient::ensure(&mut tx, clinic, &one, &study, now).await.unwrap();
            assert_ne!(Patient::ensure(&mut tx, clinic, &two, &study, now).await.unwrap(), one);
        })
        .await;
    }

    #[tokio::test]
    async fn without_a_patient_id_two_studies_have_two_patients() {
        on_both(async |db| {
            let (clinic, now) = (ClinicId::DEFAULT, crate::testing::now());
            let mut tx = db.begin().await.unwrap();
            let one =
                Patient::ensure(&mut tx, clinic, &facts(""), &"1.2.3".parse().unwrap(), now).await.unwrap();
            let two =
                Patient::ensure(&mut tx, clinic, &facts(""), &"1.2.4".parse().unwrap(), now).await.unwrap();
            assert_ne!(one, two);
        })
        .await;
    }
}
