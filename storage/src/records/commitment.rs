//! What peers ask us to commit to (storage commitment, PS3.4, annex J).

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use clinical::ae_title::AeTitle;
use clinical::id::{ClinicId, CommitmentId};
use clinical::imaging::SopReference;
use clinical::uid::{SopClassUid, SopInstanceUid, TransactionUid};

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// So many instances are looked up at a time.
const AT_A_TIME: usize = 500;
/// Failure Reason (0008,1197): no such object instance (PS3.3, section C.14.1.1).
pub const NO_SUCH_INSTANCE: u16 = 0x0112;
/// Failure Reason: the instance is held under another SOP class.
pub const CLASS_CONFLICT: u16 = 0x0119;

/// A request as it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommitment {
    /// Transaction UID (0008,1195).
    pub transaction_uid: TransactionUid,
    /// Who asks, and is told.
    pub calling_ae: AeTitle,
    /// Under which of our titles.
    pub called_ae: AeTitle,
    /// For which instances.
    pub asked: Vec<SopReference>,
}

/// A stored request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commitment {
    /// Our identifier.
    pub commitment_id: CommitmentId,
    /// What was asked.
    pub request: NewCommitment,
    /// When the peer acknowledged our report.
    pub reported_at: Option<DateTime<Utc>>,
}

impl FromRow for SopReference {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { sop_class_uid: row.parse("sop_class_uid")?, sop_uid: row.parse("sop_uid")? })
    }
}

impl FromRow for Commitment {
    fn from_row(row: &Row) -> Result<Self> {
        let corrupt = || DbError::Corrupt("commitments.asked".to_owned());
        let asked: serde_json::Value = row.get("asked")?;
        let asked: Vec<(SopClassUid, SopInstanceUid)> =
            serde_json::from_value(asked).map_err(|_| corrupt())?;
        let reference = |(sop_class_uid, sop_uid)| SopReference { sop_class_uid, sop_uid };
        Ok(Self {
            commitment_id: row.id("commitment_id")?,
            request: NewCommitment {
                transaction_uid: row.parse("transaction_uid")?,
                calling_ae: row.parse("calling_ae")?,
                called_ae: row.parse("called_ae")?,
                asked: asked.into_iter().map(reference).collect(),
            },
            reported_at: row.get("reported_at")?,
        })
    }
}

impl Commitment {
    /// Keeps a request; the same transaction of the same peer, asked again, is to be reported again.
    pub async fn take(
        db: &mut Tx,
        clinic: ClinicId,
        new: &NewCommitment,
        now: DateTime<Utc>,
    ) -> Result<CommitmentId> {
        let asked: Vec<_> = new.asked.iter().map(|it| (&it.sop_class_uid, &it.sop_uid)).collect();
        sql("INSERT INTO commitments (commitment_id, clinic_id, transaction_uid, calling_ae, called_ae, asked, asked_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (clinic_id, calling_ae, transaction_uid) DO UPDATE
                SET called_ae = $5, asked = $6, asked_at = $7, reported_at = NULL
             RETURNING commitment_id")
        .bind(CommitmentId::new())
        .bind(clinic)
        .bind(&new.transaction_uid)
        .bind(new.calling_ae.as_str())
        .bind(new.called_ae.as_str())
        .bind(serde_json::json!(asked))
        .bind(now)
        .fetch_one::<uuid::Uuid>(db)
        .await
        .map(CommitmentId)
    }

    /// One request of one clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: CommitmentId) -> Result<Self> {
        sql("SELECT commitment_id, transaction_uid, calling_ae, called_ae, asked, reported_at
               FROM commitments WHERE clinic_id = $1 AND commitment_id = $2")
        .bind(clinic)
        .bind(id)
        .fetch_one(db)
        .await
    }

    /// The peer has acknowledged the report.
    pub async fn reported(db: &mut Tx, clinic: ClinicId, id: CommitmentId, now: DateTime<Utc>) -> Result<()> {
        sql("UPDATE commitments SET reported_at = $3 WHERE clinic_id = $1 AND commitment_id = $2")
            .bind(clinic)
            .bind(id)
            .bind(now)
            .execute(db)
            .await
            .map(|_| ())
    }

    /// Removes up to `limit` requests that were made before `before`; how many there were.
    pub async fn forget(db: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<u64> {
        sql("DELETE FROM commitments WHERE commitment_id IN
               (SELECT commitment_id FROM commitments WHERE asked_at < $1 LIMIT $2)")
        .bind(before)
        .bind(limit)
        .execute(db)
        .await
    }
}

/// For each instance, in order, why we do not vouch for it; `None`: it is held, its bytes are durable.
pub async fn judge(db: &mut Conn, clinic: ClinicId, asked: &[SopReference]) -> Result<Vec<Option<u16>>> {
    let mut held: HashMap<SopInstanceUid, SopClassUid> = HashMap::new();
    for part in asked.chunks(AT_A_TIME) {
        let places: Vec<_> = (0..part.len()).map(|number| format!("${}", number + 2)).collect();
        let select = format!(
            "SELECT sop_class_uid, sop_uid FROM instances
              WHERE clinic_id = $1 AND hidden_at IS NULL AND sop_uid IN ({})",
            places.join(", ")
        );
        let statement = built_sql(select).bind(clinic);
        let statement = part.iter().fold(statement, |statement, it| statement.bind(&it.sop_uid));
        let found: Vec<SopReference> = statement.fetch_all(db).await?;
        held.extend(found.into_iter().map(|it| (it.sop_uid, it.sop_class_uid)));
    }
    let verdict = |reference: &SopReference| match held.get(&reference.sop_uid) {
        Some(class) if *class == reference.sop_class_uid => None,
        Some(_) => Some(CLASS_CONFLICT),
        None => Some(NO_SUCH_INSTANCE),
    };
    Ok(asked.iter().map(verdict).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{instance_facts, now, on_both, place_of};
    use chrono::TimeDelta;

    const CLINIC: ClinicId = ClinicId::DEFAULT;
    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

    fn reference(class: &str, instance: &str) -> SopReference {
        SopReference { sop_class_uid: class.parse().unwrap(), sop_uid: instance.parse().unwrap() }
    }

    fn request(asked: Vec<SopReference>) -> NewCommitment {
        NewCommitment {
            transaction_uid: "2.25.7".parse().unwrap(),
            calling_ae: "CT1".parse().unwrap(),
            called_ae: AeTitle::MEDILINK,
            asked,
        }
    }

    #[tokio::test]
    async fn a_request_is_kept_until_it_was_reported_and_reported_again_when_asked_again() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let new = request(vec![reference(CT, "1.2.3")]);
            let id = Commitment::take(&mut tx, CLINIC, &new, now()).await.unwrap();
            let kept = Commitment::find(&mut tx, CLINIC, id).await.unwrap();
            assert_eq!(kept, Commitment { commitment_id: id, request: new, reported_at: None });
            let stranger = Commitment::find(&mut tx, ClinicId::new(), id).await;
            assert!(matches!(stranger, Err(DbError::NotFound)));

            Commitment::reported(&mut tx, CLINIC, id, now()).await.unwrap();
            let kept = Commitment::find(&mut tx, CLINIC, id).await.unwrap();
            assert_eq!(kept.reported_at, Some(now()));
            let more = request(vec![reference(CT, "1.2.3"), reference(CT, "1.2.4")]);
            assert_eq!(Commitment::take(&mut tx, CLINIC, &more, now()).await.unwrap(), id);
            let again = Commitment::find(&mut tx, CLINIC, id).await.unwrap();
            assert_eq!((again.request, again.reported_at), (more, None));

            assert_eq!(Commitment::forget(&mut tx, now(), 9).await.unwrap(), 0);
            assert_eq!(Commitment::forget(&mut tx, now() + TimeDelta::days(1), 9).await.unwrap(), 1);
        })
        .await;
    }

    /// PS3.3, section C.14.1.1: 0112 is "no such object instance", 0119 "class / instance conflict".
    #[tokio::test]
    async fn only_what_the_clinic_holds_under_the_asked_class_is_vouched_for() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let place = place_of(&mut tx, "1.2", "1.2.1").await;
            place.insert(&mut tx, &instance_facts("1.2.3", "aa"), now()).await.unwrap();
            let mut asked = vec![
                reference(CT, "1.2.3"),
                reference("1.2.840.10008.5.1.4.1.1.4", "1.2.3"),
                reference(CT, "1.2.4"),
            ];
            let verdicts = judge(&mut tx, CLINIC, &asked).await.unwrap();
            assert_eq!(verdicts, [None, Some(CLASS_CONFLICT), Some(NO_SUCH_INSTANCE)]);
            let elsewhere = judge(&mut tx, ClinicId::new(), &asked[..1]).await.unwrap();
            assert_eq!(elsewhere, [Some(NO_SUCH_INSTANCE)]);
            assert_eq!(judge(&mut tx, CLINIC, &[]).await.unwrap(), []);

            asked.extend((0..1200).map(|number| reference(CT, &format!("1.3.{number}"))));
            asked.push(reference(CT, "1.2.3"));
            let verdicts = judge(&mut tx, CLINIC, &asked).await.unwrap();
            assert_eq!((verdicts.len(), verdicts.iter().filter(|it| it.is_none()).count()), (1204, 2));
        })
        .await;
    }
}
