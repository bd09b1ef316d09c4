//! Storage commitment: we ask whom we have forwarded to whether they keep it, and report to those who have asked us
//! (PS3.4, annex J).

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{ClinicId, CommitmentId, PeerId, StudyId};
use clinical::imaging::SopReference;
use clinical::job::Job;
use clinical::uid::TransactionUid;
use storage::db::DbError;
use storage::queue::{self, Claimed};
use storage::records::commitment::Commitment;
use storage::records::forward::on_the_way;
use tracing::{info, warn};
use uuid::Uuid;

use super::{ForwardError, Forwarder};
use crate::dimse_door::commitment;
use crate::peers::PeersError;
use crate::scp::{CommitmentRequest, StoreStatus};
use crate::scu::{Association, Peer, Proposal};

/// For so many instances a peer is asked to vouch in one transaction.
const PER_TRANSACTION: i64 = 5_000;
/// A peer that was asked and has not reported is asked again after this …
const FIRST_PATIENCE: TimeDelta = TimeDelta::minutes(1);
/// … then after twice as long each time, up to this, …
const MOST_PATIENCE: TimeDelta = TimeDelta::hours(6);
/// … until so long after it was asked first; then a person is told, by a job that is dead.
const ASKED_FOR: TimeDelta = TimeDelta::days(3);
/// So long the report of a peer that was asked is waited for where it was asked; later it calls us.
const REPORT_WAIT: Duration = Duration::from_secs(3);

impl Forwarder {
    /// Asks a peer whether it keeps what it has taken; its answer may come over an association of its own.
    pub(super) async fn ask_commitment(
        &self,
        clinic: ClinicId,
        study: StudyId,
        peer_id: PeerId,
        peer: &Peer,
    ) -> Result<(), ForwardError> {
        loop {
            let mut rows = self.db.of(clinic).read().await?;
            let asked = on_the_way::to_commit(&mut rows, clinic, study, peer_id, PER_TRANSACTION).await?;
            drop(rows);
            if asked.is_empty() {
                return Ok(());
            }
            let association = self.open_to_ask(peer).await?;
            let request = CommitmentRequest { transaction_uid: new_transaction_uid()?, asked };
            self.note_question(clinic, peer_id, &request).await?;
            if let Err(error) = self.put_question(clinic, association, &request).await {
                let mut tx = self.db.of(clinic).begin().await?;
                on_the_way::not_asked(&mut tx, clinic, &request.transaction_uid).await?;
                tx.commit().await?;
                return Err(error);
            }
        }
    }

    async fn open_to_ask(&self, peer: &Peer) -> Result<Association, ForwardError> {
        Ok(Association::open(peer, &self.settings(&self.ae_title), &Proposal::commitment()).await?)
    }

    /// Writes down what is about to be asked, in pieces; whatever happens from the first of them on, the job that is
    /// enqueued with it asks again.
    async fn note_question(
        &self,
        clinic: ClinicId,
        peer_id: PeerId,
        request: &CommitmentRequest,
    ) -> Result<(), DbError> {
        let (now, transaction_uid) = (self.clock.now(), &request.transaction_uid);
        let job = Job::AwaitCommitment { peer_id, transaction_uid: transaction_uid.clone(), since: now };
        for (index, piece) in request.asked.chunks(on_the_way::AT_A_TIME).enumerate() {
            let mut tx = self.db.of(clinic).begin().await?;
            on_the_way::asked_to_commit(&mut tx, clinic, peer_id, transaction_uid, piece).await?;
            if index == 0 {
                queue::put_off(&mut tx, clinic, &job, now, FIRST_PATIENCE).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Asks, and hears the report where it comes at once.
    ///
    /// # Errors
    ///
    /// [`ForwardError`]: the peer has not taken the question, or the database failed.
    async fn put_question(
        &self,
        clinic: ClinicId,
        mut association: Association,
        request: &CommitmentRequest,
    ) -> Result<(), ForwardError> {
        let status = association.ask_commitment(request).await?;
        if status != StoreStatus::SUCCESS {
            association.release().await;
            return Err(ForwardError::Commitment(status));
        }
        match association.await_report(REPORT_WAIT).await {
            // What was not written down of it is asked for again.
            Ok(Some(report)) => {
                if let Err(error) = commitment::hear(&self.db, clinic, &report, self.clock.now()).await {
                    warn!(%error, "a storage commitment will be asked for again");
                }
            }
            Ok(None) => {}
            Err(error) => info!(%error, "the peer is to report otherwise"),
        }
        association.release().await;
        Ok(())
    }

    /// Asks a peer again, under the same transaction, for what it has said nothing of since it was asked, and ends the
    /// job; it comes back until the peer has reported.
    ///
    /// # Errors
    ///
    /// [`ForwardError::NotReported`] after days; [`ForwardError::Peer`] and [`ForwardError::Database`].
    pub async fn await_report(
        &self,
        claimed: &Claimed,
        peer_id: PeerId,
        transaction_uid: &TransactionUid,
        since: DateTime<Utc>,
    ) -> Result<(), ForwardError> {
        let clinic = claimed.clinic_id;
        let peer = match self.peers.of_id(clinic, peer_id).await {
            // What it was asked for went with it.
            Err(PeersError::Database(DbError::NotFound)) => return self.finish(claimed).await,
            found => found?,
        };
        let asked = self.unanswered(clinic, peer_id, transaction_uid).await?;
        if asked.is_empty() {
            return self.finish(claimed).await;
        }
        let waited = self.clock.now() - since;
        if waited > ASKED_FOR {
            return Err(ForwardError::NotReported(peer.ae_title));
        }
        let request = CommitmentRequest { transaction_uid: transaction_uid.clone(), asked };
        let put = async {
            let association = self.open_to_ask(&peer).await?;
            self.put_question(clinic, association, &request).await
        };
        match put.await {
            Ok(()) => info!(peer = %peer.ae_title, "storage commitment asked for again"),
            Err(error) => warn!(peer = %peer.ae_title, %error, "storage commitment is asked for again later"),
        }
        let is_answered = self.unanswered(clinic, peer_id, transaction_uid).await?.is_empty();
        let mut tx = self.db.begin().await?;
        queue::finish(&mut tx, claimed).await?;
        if !is_answered {
            let patience = waited.clamp(FIRST_PATIENCE, MOST_PATIENCE);
            queue::put_off(&mut tx, clinic, &claimed.job, self.clock.now(), patience).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn unanswered(
        &self,
        clinic: ClinicId,
        peer_id: PeerId,
        transaction_uid: &TransactionUid,
    ) -> Result<Vec<SopReference>, DbError> {
        let mut rows = self.db.of(clinic).read().await?;
        on_the_way::unanswered(&mut rows, clinic, peer_id, transaction_uid, PER_TRANSACTION).await
    }

    /// Tells the peer what is kept of what it has asked, and ends the job.
    ///
    /// # Errors
    ///
    /// [`ForwardError`]: it does not know yet.
    pub async fn report(&self, claimed: &Claimed, id: CommitmentId) -> Result<(), ForwardError> {
        let clinic = claimed.clinic_id;
        let found = commitment::report_of(&self.db, clinic, id).await?;
        let Some((kept, report)) = found.filter(|(kept, _)| kept.reported_at.is_none()) else {
            return self.finish(claimed).await;
        };
        let title = kept.request.calling_ae;
        let peer = self.peers.of_title(clinic, &title).await?;
        let peer = peer.ok_or(ForwardError::UnknownPeer(title))?;
        let settings = self.settings(&kept.request.called_ae);
        let mut association = Association::open_to_report(&peer, &settings).await?;
        let status = association.report_commitment(&report).await?;
        association.release().await;
        if status != StoreStatus::SUCCESS {
            return Err(ForwardError::Commitment(status));
        }
        let (committed, failed) = (report.committed.len(), report.failed.len());
        info!(commitment.id = %id, peer = %peer.ae_title, committed, failed, "storage commitment reported");
        let mut tx = self.db.begin().await?;
        Commitment::reported(&mut tx, clinic, id, self.clock.now()).await?;
        queue::finish(&mut tx, claimed).await?;
        Ok(tx.commit().await?)
    }
}

/// A UID that nobody else has given out (PS3.5, annex B.2: 2.25 and a UUID as a number).
fn new_transaction_uid() -> Result<TransactionUid, DbError> {
    let text = format!("2.25.{}", Uuid::new_v4().as_u128());
    text.parse().map_err(|_| DbError::Corrupt("a UID of our own".to_owned()))
}
