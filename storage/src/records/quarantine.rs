//! Objects that are held back until a person has judged them.

use chrono::{DateTime, Utc};
use clinical::ae_title::AeTitle;
use clinical::id::{ClinicId, HeldId};
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};
use crate::records::instance::Origin;

/// Why an object is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldReason {
    /// The scanner found something in it.
    Infected,
    /// The scanner could not say.
    NotScanned,
    /// It would be refused, and the clinic wants to see it first.
    Refused,
}

impl HeldReason {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Infected => "infected",
            Self::NotScanned => "not_scanned",
            Self::Refused => "refused",
        }
    }

    fn read(text: &str) -> Result<Self> {
        match text {
            "infected" => Ok(Self::Infected),
            "not_scanned" => Ok(Self::NotScanned),
            "refused" => Ok(Self::Refused),
            _ => Err(DbError::Corrupt("quarantine.reason".to_owned())),
        }
    }
}

/// What is known of an object that is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldFacts {
    /// Why.
    pub reason: HeldReason,
    /// The name of what was found, or the code of the refusal.
    pub detail: String,
    /// Who made the bytes.
    pub origin: Origin,
    /// The name under which a person uploaded the file.
    pub file_name: Option<String>,
    /// The title of the sender, where it came over DIMSE.
    pub calling_ae: Option<AeTitle>,
    /// Study Instance UID, where it could be read.
    pub study_uid: Option<String>,
    /// SOP Instance UID, where it could be read.
    pub sop_uid: Option<String>,
    /// SHA-256 of the bytes, in hexadecimal.
    pub sha256: String,
    /// How many bytes.
    pub size_bytes: i64,
    /// The blob with the bytes.
    pub blob_key: String,
}

/// An object that is held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Our identifier.
    pub held_id: HeldId,
    /// What is known of it.
    pub facts: HeldFacts,
    /// Since when.
    pub held_at: DateTime<Utc>,
}

const SELECT: &str =
    "SELECT held_id, reason, detail, origin, file_name, calling_ae, study_uid, sop_uid, sha256, size_bytes,
                             blob_key, held_at FROM quarantine ";

impl FromRow for Held {
    fn from_row(row: &Row) -> Result<Self> {
        let calling_ae: Option<String> = row.get("calling_ae")?;
        let calling_ae = calling_ae.map(|text| text.parse()).transpose();
        Ok(Self {
            held_id: row.id("held_id")?,
            facts: HeldFacts {
                reason: HeldReason::read(&row.get::<String>("reason")?)?,
                detail: row.get("detail")?,
                origin: if row.get::<String>("origin")? == Origin::OwnResult.as_str() {
                    Origin::OwnResult
                } else {
                    Origin::Sender
                },
                file_name: row.get("file_name")?,
                calling_ae: calling_ae.map_err(|_| DbError::Corrupt("quarantine.calling_ae".to_owned()))?,
                study_uid: row.get("study_uid")?,
                sop_uid: row.get("sop_uid")?,
                sha256: row.get("sha256")?,
                size_bytes: row.get("size_bytes")?,
                blob_key: row.get("blob_key")?,
            },
            held_at: row.get("held_at")?,
        })
    }
}

impl Held {
    /// Holds an object back; `false` where the clinic holds the same bytes already.
    pub async fn keep(
        db: &mut Tx,
        clinic: ClinicId,
        id: HeldId,
        facts: &HeldFacts,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let insert =
            "INSERT INTO quarantine (held_id, clinic_id, reason, detail, origin, file_name, calling_ae,
                                              study_uid, sop_uid, sha256, size_bytes, blob_key, held_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
                      ON CONFLICT (clinic_id, sha256) DO NOTHING";
        let kept = sql(insert)
            .bind(id)
            .bind(clinic)
            .bind(facts.reason.as_str())
            .bind(&facts.detail)
            .bind(facts.origin.as_str())
            .bind(facts.file_name.clone())
            .bind(facts.calling_ae.clone().map(String::from))
            .bind(facts.study_uid.clone())
            .bind(facts.sop_uid.clone())
            .bind(&facts.sha256)
            .bind(facts.size_bytes)
            .bind(&facts.blob_key)
            .bind(now)
            .execute(db)
            .await?;
        Ok(kept > 0)
    }

    /// One object of one clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: HeldId) -> Result<Self> {
        let text = format!("{SELECT} WHERE clinic_id = $1 AND held_id = $2");
        built_sql(text).bind(clinic).bind(id).fetch_one(db).await
    }

    /// The clinic's, newest first, from before `after` on.
    pub async fn list(db: &mut Conn, clinic: ClinicId, after: Option<Uuid>, limit: i64) -> Result<Vec<Self>> {
        let from = if after.is_some() { "AND held_id < $3" } else { "" };
        let text = format!("{SELECT} WHERE clinic_id = $1 {from} ORDER BY held_id DESC LIMIT $2");
        let statement = built_sql(text).bind(clinic).bind(limit);
        match after {
            Some(after) => statement.bind(after).fetch_all(db).await,
            None => statement.fetch_all(db).await,
        }
    }

    /// Holds it back no longer: it was released or discarded. Its blob is then named by nothing.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic holds no such object.
    pub async fn forget(db: &mut Tx, clinic: ClinicId, id: HeldId) -> Result<()> {
        let delete = "DELETE FROM quarantine WHERE clinic_id = $1 AND held_id = $2";
        if sql(delete).bind(clinic).bind(id).execute(db).await? == 0 {
            Err(DbError::NotFound)
        } else {
            Ok(())
        }
    }
}

/// The bytes that a clinic keeps: of instances, of versions beside them, of what is held back.
pub async fn bytes_of(db: &mut Conn, clinic: ClinicId) -> Result<i64> {
    let sum = "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM (
                   SELECT size_bytes FROM instances WHERE clinic_id = $1
                   UNION ALL SELECT size_bytes FROM instance_versions WHERE clinic_id = $1
                   UNION ALL SELECT size_bytes FROM quarantine WHERE clinic_id = $1) AS kept";
    sql(sum).bind(clinic).fetch_one(db).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::instance::named_among;
    use crate::testing::{now, on_both};

    fn facts(sha256: &str, reason: HeldReason) -> HeldFacts {
        HeldFacts {
            reason,
            detail: "Eicar-Test-Signature".into(),
            origin: Origin::Sender,
            file_name: Some("a.dcm".into()),
            calling_ae: Some("CT1".parse().unwrap()),
            study_uid: None,
            sop_uid: Some("1.2.3".into()),
            sha256: sha256.into(),
            size_bytes: 68,
            blob_key: format!("clinics/{}/quarantine/{sha256}.dcm", ClinicId::DEFAULT),
        }
    }

    #[tokio::test]
    async fn what_is_held_is_listed_once_and_forgotten_when_judged() {
        on_both(async |db| {
            let clinic = ClinicId::DEFAULT;
            let mut tx = db.begin().await.unwrap();
            let (first, second) = (HeldId::new(), HeldId::new());
            let infected = facts("aa", HeldReason::Infected);
            assert!(Held::keep(&mut tx, clinic, first, &infected, now()).await.unwrap());
            assert!(
                !Held::keep(&mut tx, clinic, HeldId::new(), &infected, now()).await.unwrap(),
                "held once"
            );
            let unknown = HeldFacts { calling_ae: None, ..facts("bb", HeldReason::NotScanned) };
            assert!(Held::keep(&mut tx, clinic, second, &unknown, now()).await.unwrap());
            for (id, facts) in [(first, &infected), (second, &unknown)] {
                let found = Held::find(&mut tx, clinic, id).await.unwrap();
                assert_eq!((&found.facts, found.held_at), (facts, now()));
            }
            let ids = |held: Vec<Held>| held.into_iter().map(|it| it.held_id).collect::<Vec<_>>();
            assert_eq!(ids(Held::list(&mut tx, clinic, None, 10).await.unwrap()), [second, first]);
            assert_eq!(ids(Held::list(&mut tx, clinic, Some(second.0), 10).await.unwrap()), [first]);
            assert_eq!(Held::list(&mut tx, ClinicId::new(), None, 10).await.unwrap(), []);
            assert_eq!(bytes_of(&mut tx, clinic).await.unwrap(), 136);
            let named = named_among(&mut tx, &[infected.blob_key]).await.unwrap();
            assert_eq!(named.len(), 1, "its blob is not swept");
            Held::forget(&mut tx, clinic, first).await.unwrap();
            assert!(matches!(Held::forget(&mut tx, clinic, first).await, Err(DbError::NotFound)));
            assert!(matches!(Held::find(&mut tx, ClinicId::new(), second).await, Err(DbError::NotFound)));
        })
        .await;
    }
}
