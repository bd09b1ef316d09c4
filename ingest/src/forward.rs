//! What we tell others by ourselves: instances forwarded by rule, and storage commitment.
//!
//! Both are jobs: what is asked for stands in rows, and a try that fails comes back.

mod commitment;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::ae_title::AeTitle;
use clinical::audit::{Actor, Entry, Outcome};
use clinical::clock::Clock;
use clinical::id::{ClinicId, InstanceId, PeerId, StudyId};
use clinical::job::Job;
use serde_json::json;
use storage::audit::Trail;
use storage::db::{Db, DbError, Tx};
use storage::queue::{self, Claimed};
use storage::records::forward::Destination;
use storage::records::forward::on_the_way::{self, Waiting};
use tracing::{info, warn};

use crate::dimse_door::{HallRetrieval, Shelves};
use crate::peers::{Peers, PeersError};
use crate::scp::StoreStatus;
use crate::scp::query::Retrieval;
use crate::scu::{Association, NotSent, Peer, Proposal, ScuError, ScuSettings};

/// So many instances go over one association.
const PER_ASSOCIATION: i64 = 1_000;
/// After so many it is written down what has arrived.
const PER_COMMIT: usize = 20;
/// Of so many instances it is said why they were not sent.
const MOST_LOGGED: usize = 10;

/// Why a job is not done yet.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// Whom to call is not known, or cannot be called.
    #[error(transparent)]
    Peer(#[from] PeersError),
    /// Nobody is known under the title that asked.
    #[error("no peer is known under the AE title {0}: name it as a DICOM peer of the clinic, or in peers")]
    UnknownPeer(AeTitle),
    /// The peer was not reached or broke off.
    #[error(transparent)]
    Scu(#[from] ScuError),
    /// The peer has not taken some instances.
    #[error("{0} instances were not taken; the first with {1}")]
    NotTaken(usize, String),
    /// The peer has refused to be asked, or told, about storage commitment.
    #[error("the peer answered storage commitment with status {0:04X}")]
    Commitment(u16),
    /// The peer was asked for storage commitment again and again, and has never reported.
    #[error("the peer {0} was asked for storage commitment for three days and has not reported")]
    NotReported(AeTitle),
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] DbError),
}

/// Sends and reports; cheap to clone.
#[derive(Clone)]
pub struct Forwarder {
    db: Db,
    clock: Arc<dyn Clock>,
    trail: Trail,
    peers: Peers,
    shelves: Shelves,
    ae_title: AeTitle,
}

impl Forwarder {
    /// Sends what lies in `shelves` under our title. Where tokio runs.
    pub fn new(db: Db, clock: Arc<dyn Clock>, peers: Peers, shelves: Shelves, ae_title: AeTitle) -> Self {
        Self { trail: Trail::new(db.clone()), db, clock, peers, shelves, ae_title }
    }

    /// Sends what waits of a study to a peer, asks it to vouch where the rules say so, and ends the job.
    ///
    /// # Errors
    ///
    /// [`ForwardError`]: something still waits.
    pub async fn forward(
        &self,
        claimed: &Claimed,
        study: StudyId,
        peer_id: PeerId,
    ) -> Result<(), ForwardError> {
        let clinic = claimed.clinic_id;
        let peer = match self.peers.of_id(clinic, peer_id).await {
            // What was on its way to it went with it.
            Err(PeersError::Database(DbError::NotFound)) => return self.finish(claimed).await,
            found => found?,
        };
        let (mut after, mut not_taken) = (None, None::<(usize, String)>);
        loop {
            let mut rows = self.db.of(clinic).read().await?;
            let waiting =
                on_the_way::waiting(&mut rows, clinic, study, peer_id, after, PER_ASSOCIATION).await?;
            drop(rows);
            let Some(last) = waiting.last() else {
                // Bytes that have changed meanwhile wait again, before where we are.
                if after.take().is_some() && not_taken.is_none() {
                    continue;
                }
                break;
            };
            after = Some(last.instance_id);
            self.write_down(clinic, &peer, &waiting).await?;
            // What one batch leaves behind stands in the way of no other.
            match self.send(clinic, study, peer_id, &peer, &waiting).await {
                Err(ForwardError::NotTaken(count, why)) => {
                    not_taken.get_or_insert((0, why)).0 += count;
                }
                sent => sent?,
            }
        }
        self.ask_commitment(clinic, study, peer_id, &peer).await?;
        match not_taken {
            Some((count, why)) => Err(ForwardError::NotTaken(count, why)),
            None => self.finish(claimed).await,
        }
    }

    /// One row of the audit trail a study and peer and minute: whose images go where.
    async fn write_down(
        &self,
        clinic: ClinicId,
        peer: &Peer,
        waiting: &[Waiting],
    ) -> Result<(), ForwardError> {
        let Some(first) = waiting.first() else { return Ok(()) };
        let entry = Entry {
            clinic_id: clinic,
            at: self.clock.now(),
            actor: Actor::System,
            role: None,
            session: None,
            action: "study:read".to_owned(),
            record_id: Some(first.held.study_id.to_string()),
            patient_id: Some(first.held.patient_id),
            route: "C-STORE forward".to_owned(),
            address: Some(peer.host.clone()),
            request_id: None,
            outcome: Outcome::Success,
            detail: Some(json!({ "destination": peer.ae_title })),
        };
        let key = format!("{}|forward|{}", peer.ae_title, first.held.study_id);
        Ok(self.trail.record_once(entry, key).await?)
    }

    /// Sends these over one association; what the peer does not take fails the try, once all were offered.
    async fn send(
        &self,
        clinic: ClinicId,
        study: StudyId,
        peer_id: PeerId,
        peer: &Peer,
        waiting: &[Waiting],
    ) -> Result<(), ForwardError> {
        let held = waiting.iter().map(|waiting| waiting.held.clone()).collect();
        let retrieval = HallRetrieval::new(self.shelves.clone(), held);
        let proposal = Proposal::of(retrieval.instances());
        let mut association = Association::open(peer, &self.settings(&self.ae_title), &proposal).await?;
        let (mut failed, mut why) = (0, String::new());
        let mut answered: Vec<(&Waiting, u16)> = Vec::new();
        for (index, one) in waiting.iter().enumerate() {
            match association.send(&retrieval, index, None).await {
                Ok(status) => {
                    answered.push((one, status));
                    if !StoreStatus::new(status, "").is_stored() {
                        failed += 1;
                        why = if why.is_empty() { format!("status {status:04X}") } else { why };
                    }
                }
                Err(error) => {
                    failed += 1;
                    if failed <= MOST_LOGGED {
                        warn!(instance.id = %one.instance_id, peer = %peer.ae_title, %error, "not forwarded");
                    }
                    why = if why.is_empty() { error.to_string() } else { why };
                    if let NotSent::Scu(_) = error {
                        failed += waiting.len() - index - 1;
                        break;
                    }
                }
            }
            if answered.len() >= PER_COMMIT {
                self.note(clinic, peer_id, &mut answered).await?;
            }
        }
        association.release().await;
        self.note(clinic, peer_id, &mut answered).await?;
        let sent = waiting.len() - failed;
        info!(study.id = %study, peer = %peer.ae_title, sent, failed, "instances forwarded");
        if failed > 0 { Err(ForwardError::NotTaken(failed, why)) } else { Ok(()) }
    }

    /// Writes down what the peer has answered.
    async fn note(
        &self,
        clinic: ClinicId,
        peer: PeerId,
        answered: &mut Vec<(&Waiting, u16)>,
    ) -> Result<(), DbError> {
        let mut tx = self.db.of(clinic).begin().await?;
        for (one, status) in answered.drain(..) {
            if StoreStatus::new(status, "").is_stored() {
                on_the_way::sent(&mut tx, clinic, peer, one, status, self.clock.now()).await?;
            } else {
                on_the_way::refused(&mut tx, clinic, peer, one.instance_id, status).await?;
            }
        }
        tx.commit().await
    }

    fn settings(&self, calling: &AeTitle) -> ScuSettings {
        ScuSettings { calling: calling.clone(), ..ScuSettings::default() }
    }

    async fn finish(&self, claimed: &Claimed) -> Result<(), ForwardError> {
        let mut tx = self.db.begin().await?;
        queue::finish(&mut tx, claimed).await?;
        Ok(tx.commit().await?)
    }
}

/// Lets an instance, by its clinic and study, wait for its way to these peers: they are called once the study is quiet.
pub(crate) async fn ask(
    tx: &mut Tx,
    (clinic, study_id, instance): (ClinicId, StudyId, InstanceId),
    destinations: &[Destination],
    now: DateTime<Utc>,
    quiet: TimeDelta,
) -> Result<(), DbError> {
    for destination in destinations {
        on_the_way::ask(tx, clinic, *destination, study_id, instance, now).await?;
        let job = Job::ForwardInstances { study_id, peer_id: destination.peer_id };
        queue::put_off(tx, clinic, &job, now, quiet).await?;
    }
    Ok(())
}
