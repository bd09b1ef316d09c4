//! Instances on their way to peers: what waits, what has arrived, and what the peer says it keeps.

use chrono::{DateTime, Utc};
use clinical::ae_title::AeTitle;
use clinical::id::{ClinicId, InstanceId, PeerId, StudyId};
use clinical::imaging::SopReference;
use clinical::uid::{SopInstanceUid, TransactionUid};
use uuid::Uuid;

use super::Destination;
use crate::db::{Conn, FromRow, Result, Row, Tx, built_sql, sql};
use crate::records::search::HeldInstance;

/// An instance that waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Our identifier.
    pub instance_id: InstanceId,
    /// What it is, and where its bytes are.
    pub held: HeldInstance,
    /// Since when it waits.
    pub since: DateTime<Utc>,
}

impl FromRow for Waiting {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self {
            instance_id: row.id("instance_id")?,
            held: HeldInstance::from_row(row)?,
            since: row.get("changed_at")?,
        })
    }
}

/// Lets an instance wait for its way to a peer, also one that was there before: its bytes have changed. For a peer that
/// is gone nothing waits.
pub async fn ask(
    db: &mut Tx,
    clinic: ClinicId,
    to: Destination,
    study: StudyId,
    instance: InstanceId,
    now: DateTime<Utc>,
) -> Result<()> {
    let insert = "INSERT INTO forwards (peer_id, instance_id, clinic_id, study_id, wants_commitment, state, changed_at)
                  SELECT peer_id, $2, $3, $4, $5, 'waiting', $6 FROM dicom_peers
                   WHERE clinic_id = $3 AND peer_id = $1
                  ON CONFLICT (peer_id, instance_id) DO UPDATE
                     SET wants_commitment = $5, state = 'waiting', status = NULL, transaction_uid = NULL,
                         changed_at = $6";
    sql(insert)
        .bind(to.peer_id)
        .bind(instance)
        .bind(clinic)
        .bind(study)
        .bind(to.wants_commitment)
        .bind(now)
        .execute(db)
        .await
        .map(|_| ())
}

/// What of a study waits for a peer, by instance identifier from behind `after` on, up to `limit`.
pub async fn waiting(
    db: &mut Conn,
    clinic: ClinicId,
    study: StudyId,
    peer: PeerId,
    after: Option<InstanceId>,
    limit: i64,
) -> Result<Vec<Waiting>> {
    sql("SELECT instances.instance_id, sop_uid, sop_class_uid, transfer_syntax_uid, blob_key, size_bytes,
                studies.study_id, studies.patient_id, changed_at
           FROM forwards JOIN instances ON instances.instance_id = forwards.instance_id
           JOIN studies ON studies.study_id = instances.study_id
          WHERE forwards.clinic_id = $1 AND forwards.study_id = $2 AND forwards.peer_id = $3
            AND forwards.state = 'waiting' AND instances.hidden_at IS NULL
            AND forwards.instance_id > $5
          ORDER BY forwards.instance_id LIMIT $4")
    .bind(clinic)
    .bind(study)
    .bind(peer)
    .bind(limit)
    .bind(after.unwrap_or(InstanceId(Uuid::nil())))
    .fetch_all(db)
    .await
}

/// Writes down that the peer has taken it, with this status; where its bytes have changed meanwhile, it waits on.
pub async fn sent(
    db: &mut Tx,
    clinic: ClinicId,
    peer: PeerId,
    waiting: &Waiting,
    status: u16,
    now: DateTime<Utc>,
) -> Result<()> {
    sql("UPDATE forwards SET state = 'sent', status = $1, changed_at = $2
          WHERE clinic_id = $3 AND peer_id = $4 AND instance_id = $5 AND state = 'waiting' AND changed_at = $6")
    .bind(i64::from(status))
    .bind(now)
    .bind(clinic)
    .bind(peer)
    .bind(waiting.instance_id)
    .bind(waiting.since)
    .execute(db)
    .await
    .map(|_| ())
}

/// Writes down why the peer has not taken it; it waits on.
pub async fn refused(
    db: &mut Tx,
    clinic: ClinicId,
    peer: PeerId,
    instance: InstanceId,
    status: u16,
) -> Result<()> {
    sql("UPDATE forwards SET status = $1 WHERE clinic_id = $2 AND peer_id = $3 AND instance_id = $4")
        .bind(i64::from(status))
        .bind(clinic)
        .bind(peer)
        .bind(instance)
        .execute(db)
        .await
        .map(|_| ())
}

/// What of a study was sent, and the peer was not asked yet to vouch for although it shall be, up to `limit`.
pub async fn to_commit(
    db: &mut Conn,
    clinic: ClinicId,
    study: StudyId,
    peer: PeerId,
    limit: i64,
) -> Result<Vec<SopReference>> {
    sql("SELECT sop_class_uid, sop_uid
           FROM forwards JOIN instances ON instances.instance_id = forwards.instance_id
          WHERE forwards.clinic_id = $1 AND forwards.study_id = $2 AND forwards.peer_id = $3
            AND forwards.state = 'sent' AND wants_commitment AND transaction_uid IS NULL
          ORDER BY instances.instance_id LIMIT $4")
    .bind(clinic)
    .bind(study)
    .bind(peer)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// So many instances at most one call of [`asked_to_commit`] or [`told`] is about: callers commit after each, so that
/// nobody waits long for their turn at writing.
pub const AT_A_TIME: usize = 500;

/// Writes down under which transaction the peer is asked to vouch for these, up to [`AT_A_TIME`]; before it is asked,
/// so that an answer always finds its question.
pub async fn asked_to_commit(
    db: &mut Tx,
    clinic: ClinicId,
    peer: PeerId,
    transaction: &TransactionUid,
    asked: &[SopReference],
) -> Result<()> {
    debug_assert!(asked.len() <= AT_A_TIME);
    let update = format!(
        "UPDATE forwards SET transaction_uid = $1
          WHERE clinic_id = $2 AND peer_id = $3 AND state = 'sent' AND instance_id IN
                (SELECT instance_id FROM instances WHERE clinic_id = $2 AND sop_uid IN ({}))",
        places(4, asked.len())
    );
    let update = built_sql(update).bind(transaction).bind(clinic).bind(peer);
    let update = asked.iter().fold(update, |update, reference| update.bind(&reference.sop_uid));
    update.execute(db).await.map(|_| ())
}

/// `count` arguments from `$first` on, as SQL lists them; `NULL` where there are none.
fn places(first: usize, count: usize) -> String {
    let places: Vec<_> = (first..first + count).map(|number| format!("${number}")).collect();
    if places.is_empty() { "NULL".to_owned() } else { places.join(", ") }
}

/// What the peer was asked for under a transaction and has said nothing of yet, up to `limit`.
pub async fn unanswered(
    db: &mut Conn,
    clinic: ClinicId,
    peer: PeerId,
    transaction: &TransactionUid,
    limit: i64,
) -> Result<Vec<SopReference>> {
    sql("SELECT sop_class_uid, sop_uid
           FROM forwards JOIN instances ON instances.instance_id = forwards.instance_id
          WHERE forwards.transaction_uid = $1 AND forwards.clinic_id = $2 AND forwards.peer_id = $3
            AND forwards.state = 'sent'
          ORDER BY instances.instance_id LIMIT $4")
    .bind(transaction)
    .bind(clinic)
    .bind(peer)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// The peer has refused the question itself, so that it is to be asked again.
pub async fn not_asked(db: &mut Tx, clinic: ClinicId, transaction: &TransactionUid) -> Result<()> {
    sql("UPDATE forwards SET transaction_uid = NULL
          WHERE transaction_uid = $1 AND clinic_id = $2 AND state = 'sent'")
    .bind(transaction)
    .bind(clinic)
    .execute(db)
    .await
    .map(|_| ())
}

/// Whether anything was asked under this transaction.
pub async fn is_asked(db: &mut Conn, clinic: ClinicId, transaction: &TransactionUid) -> Result<bool> {
    let find =
        "SELECT EXISTS (SELECT 1 FROM forwards WHERE transaction_uid = $1 AND clinic_id = $2) AS is_asked";
    sql(find).bind(transaction).bind(clinic).fetch_one::<IsAsked>(db).await.map(|it| it.0)
}

struct IsAsked(bool);

impl FromRow for IsAsked {
    fn from_row(row: &Row) -> Result<Self> {
        row.get("is_asked").map(Self)
    }
}

/// Who has asked under a transaction, and whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The clinic that has asked.
    pub clinic_id: ClinicId,
    /// The title of the peer that was asked.
    pub peer_title: AeTitle,
}

impl FromRow for Question {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { clinic_id: row.id("clinic_id")?, peer_title: row.parse("ae_title")? })
    }
}

/// Which clinic has asked under this transaction, looked up over all of them: its UID is ours and nobody guesses it.
pub async fn question(db: &mut Conn, transaction: &TransactionUid) -> Result<Option<Question>> {
    sql("SELECT forwards.clinic_id, dicom_peers.ae_title
           FROM forwards JOIN dicom_peers ON dicom_peers.peer_id = forwards.peer_id
          WHERE forwards.transaction_uid = $1 LIMIT 1")
    .bind(transaction)
    .fetch_optional(db)
    .await
}

/// Writes down for which instances of a transaction, up to [`AT_A_TIME`], its peer vouches (`None`), or why it does not
/// (the failure reason of PS3.3, section C.14); how many were asked for and are not vouched for already.
pub async fn told(
    db: &mut Tx,
    clinic: ClinicId,
    transaction: &TransactionUid,
    instances: &[&SopInstanceUid],
    failure_reason: Option<u16>,
    now: DateTime<Utc>,
) -> Result<u64> {
    debug_assert!(instances.len() <= AT_A_TIME);
    let state = if failure_reason.is_none() { "committed" } else { "not_committed" };
    let update = format!(
        "UPDATE forwards SET state = $1, status = $2, changed_at = $3
          WHERE transaction_uid = $4 AND clinic_id = $5 AND state IN ('sent', 'not_committed')
            AND instance_id IN (SELECT instance_id FROM instances WHERE clinic_id = $5 AND sop_uid IN ({}))",
        places(6, instances.len())
    );
    let update = built_sql(update)
        .bind(state)
        .bind(i64::from(failure_reason.unwrap_or(0)))
        .bind(now)
        .bind(transaction)
        .bind(clinic);
    instances.iter().fold(update, |update, uid| update.bind(*uid)).execute(db).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::peer::{DicomPeer, PeerFacts};
    use crate::testing::{count, instance_facts, now, on_both, place_of, stored_image};
    use chrono::TimeDelta;

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    #[tokio::test]
    async fn for_a_peer_that_is_gone_nothing_waits() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let (study, instance) = stored_image(&mut tx).await;
            // Rules are remembered for seconds: the peer may be gone by then.
            let to = Destination { peer_id: PeerId::new(), wants_commitment: false };
            ask(&mut tx, CLINIC, to, study, instance, now()).await.unwrap();
            tx.commit().await.unwrap();
            assert_eq!(count(&db, "forwards").await, 0);
            assert_eq!(count(&db, "instances").await, 1, "the receipt stands");
        })
        .await;
    }

    #[tokio::test]
    async fn an_instance_waits_is_sent_and_vouched_for_once_and_again_when_its_bytes_change() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let facts = PeerFacts {
                ae_title: "PACS".parse().unwrap(),
                host: "10.0.0.7".into(),
                port: 104,
                uses_tls: false,
            };
            let peer = DicomPeer::create(&mut tx, CLINIC, facts, now()).await.unwrap().peer_id;
            let to = Destination { peer_id: peer, wants_commitment: true };
            let place = place_of(&mut tx, "1.2", "1.2.1").await;
            let study = place.study_id;
            let mut ids = Vec::new();
            for uid in ["1.2.3", "1.2.4"] {
                let id = place.insert(&mut tx, &instance_facts(uid, uid), now()).await.unwrap();
                ask(&mut tx, CLINIC, to, study, id, now()).await.unwrap();
                ids.push(id);
            }
            let queue = waiting(&mut tx, CLINIC, study, peer, None, 9).await.unwrap();
            assert_eq!(
                queue.iter().map(|it| it.held.sop_uid.as_str()).collect::<Vec<_>>(),
                ["1.2.3", "1.2.4"]
            );
            let behind = waiting(&mut tx, CLINIC, study, peer, Some(ids[0]), 9).await.unwrap();
            assert_eq!(behind, queue[1..]);
            assert_eq!(waiting(&mut tx, ClinicId::new(), study, peer, None, 9).await.unwrap(), []);

            sent(&mut tx, CLINIC, peer, &queue[0], 0, now()).await.unwrap();
            refused(&mut tx, CLINIC, peer, ids[1], 0xA700).await.unwrap();
            assert_eq!(waiting(&mut tx, CLINIC, study, peer, None, 9).await.unwrap(), queue[1..]);
            let asked = to_commit(&mut tx, CLINIC, study, peer, 9).await.unwrap();
            assert_eq!(asked.len(), 1);
            let transaction = "2.25.1".parse().unwrap();
            asked_to_commit(&mut tx, CLINIC, peer, &transaction, &asked).await.unwrap();
            assert_eq!(to_commit(&mut tx, CLINIC, study, peer, 9).await.unwrap(), []);
            not_asked(&mut tx, CLINIC, &transaction).await.unwrap();
            assert_eq!(to_commit(&mut tx, CLINIC, study, peer, 9).await.unwrap(), asked);
            asked_to_commit(&mut tx, CLINIC, peer, &transaction, &asked).await.unwrap();

            let left = unanswered(&mut tx, CLINIC, peer, &transaction, 9).await.unwrap();
            assert_eq!(left, asked, "until the peer has said something");
            let found = question(&mut tx, &transaction).await.unwrap().unwrap();
            assert_eq!((found.clinic_id, found.peer_title.as_str()), (CLINIC, "PACS"));
            let uids = [&asked[0].sop_uid];
            for (clinic, transaction, is_known) in
                [(ClinicId::new(), "2.25.1", false), (CLINIC, "2.25.2", false), (CLINIC, "2.25.1", true)]
            {
                let transaction = transaction.parse().unwrap();
                assert_eq!(is_asked(&mut tx, clinic, &transaction).await.unwrap(), is_known);
                let heard = told(&mut tx, clinic, &transaction, &uids, None, now()).await.unwrap();
                assert_eq!(heard, u64::from(is_known));
            }
            assert_eq!(unanswered(&mut tx, CLINIC, peer, &transaction, 9).await.unwrap(), []);
            let again = told(&mut tx, CLINIC, &transaction, &uids, Some(0x0112), now()).await.unwrap();
            assert_eq!(again, 0, "what was vouched for stays so");

            let later = now() + TimeDelta::seconds(1);
            ask(&mut tx, CLINIC, to, study, ids[0], later).await.unwrap();
            sent(&mut tx, CLINIC, peer, &queue[0], 0, later).await.unwrap();
            let again = waiting(&mut tx, CLINIC, study, peer, None, 9).await.unwrap();
            assert_eq!(again.len(), 2, "bytes that have changed since are not taken for sent");
        })
        .await;
    }
}
