//! Storage commitment: what we keep of what a peer has sent, and what peers keep of what we have sent.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use clinical::id::{ClinicId, CommitmentId};
use clinical::job::Job;
use clinical::uid::{SopInstanceUid, TransactionUid};
use storage::db::{Db, DbError};
use storage::queue;
use storage::records::commitment::{self, Commitment, NewCommitment};
use storage::records::forward::on_the_way::{self, Question};

use super::{DimseDoor, chain};
use crate::scp::{AssociationInfo, CommitmentReport, CommitmentRequest, CommitmentScp, StoreStatus};

/// A request that was not reported on its own association by then is reported by calling the peer. Whatever happens
/// to this process, its row and its job stay.
const GRACE: TimeDelta = TimeDelta::seconds(30);

impl CommitmentScp for DimseDoor {
    async fn commit(
        &self,
        association: &AssociationInfo,
        request: &CommitmentRequest,
    ) -> Result<CommitmentId, StoreStatus> {
        let clinic = self.clinic_of(association).await?;
        let new = NewCommitment {
            transaction_uid: request.transaction_uid.clone(),
            calling_ae: association.calling_ae.clone(),
            called_ae: association.called_ae.clone(),
            asked: request.asked.clone(),
        };
        self.take(clinic, &new).await.map_err(|error| failed(&error))
    }

    async fn report(&self, association: &AssociationInfo, id: CommitmentId) -> Option<CommitmentReport> {
        let clinic = self.clinic_of(association).await.ok()?;
        match report_of(&self.db, clinic, id).await {
            Ok(found) => found.filter(|(kept, _)| kept.reported_at.is_none()).map(|(_, report)| report),
            Err(error) => {
                tracing::error!(error = chain(&error), "a storage commitment is reported later");
                None
            }
        }
    }

    async fn reported(&self, association: &AssociationInfo, id: CommitmentId) {
        let Ok(clinic) = self.clinic_of(association).await else { return };
        let noted = async {
            let mut tx = self.db.begin().await?;
            Commitment::reported(&mut tx, clinic, id, self.clock.now()).await?;
            tx.commit().await
        };
        if let Err(error) = noted.await {
            tracing::warn!(error = chain(&error), "a storage commitment will be reported twice");
        }
    }

    async fn unreported(&self, association: &AssociationInfo, id: CommitmentId) {
        let Ok(clinic) = self.clinic_of(association).await else { return };
        let asked = async {
            let mut tx = self.db.begin().await?;
            let job = Job::ReportCommitment { commitment_id: id };
            queue::pull_forward(&mut tx, clinic, &job, self.clock.now()).await?;
            tx.commit().await
        };
        if let Err(error) = asked.await {
            tracing::warn!(error = chain(&error), "a storage commitment is reported when its time has come");
        }
    }

    async fn hear(
        &self,
        association: &AssociationInfo,
        report: &CommitmentReport,
    ) -> Result<(), StoreStatus> {
        let clinic = match self.asker(association, &report.transaction_uid).await {
            Ok(Some(clinic)) => clinic,
            Ok(None) => self.clinic_of(association).await?,
            Err(error) => return Err(failed(&error)),
        };
        match hear(&self.db, clinic, report, self.clock.now()).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(StoreStatus::new(StoreStatus::PROCESSING_FAILURE, "the transaction is not ours"))
            }
            Err(error) => Err(failed(&error)),
        }
    }
}

impl DimseDoor {
    async fn take(&self, clinic: ClinicId, new: &NewCommitment) -> Result<CommitmentId, DbError> {
        let now = self.clock.now();
        let mut tx = self.db.begin().await?;
        let id = Commitment::take(&mut tx, clinic, new, now).await?;
        let job = Job::ReportCommitment { commitment_id: id };
        queue::put_off(&mut tx, clinic, &job, now, GRACE).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// The clinic that has asked the calling peer under a transaction, whatever clinic the titles mean: a peer calls the
    /// title that has asked it, which may be that of the house.
    async fn asker(
        &self,
        association: &AssociationInfo,
        transaction: &TransactionUid,
    ) -> Result<Option<ClinicId>, DbError> {
        let question = on_the_way::question(&mut self.db.read().await?, transaction).await?;
        let is_asked = |question: &Question| question.peer_title == association.calling_ae;
        Ok(question.filter(is_asked).map(|question| question.clinic_id))
    }
}

fn failed(error: &DbError) -> StoreStatus {
    tracing::error!(error = chain(error), "storage commitment failed");
    StoreStatus::new(StoreStatus::PROCESSING_FAILURE, "database-failed: try again")
}

/// A request with what can be said of it at this moment; `None` where it is gone.
///
/// # Errors
///
/// [`DbError`] when the database failed.
pub async fn report_of(
    db: &Db,
    clinic: ClinicId,
    id: CommitmentId,
) -> Result<Option<(Commitment, CommitmentReport)>, DbError> {
    let mut rows = db.of(clinic).read().await?;
    let kept = match Commitment::find(&mut rows, clinic, id).await {
        Ok(kept) => kept,
        Err(DbError::NotFound) => return Ok(None),
        Err(error) => return Err(error),
    };
    let verdicts = commitment::judge(&mut rows, clinic, &kept.request.asked).await?;
    let transaction_uid = kept.request.transaction_uid.clone();
    let mut report = CommitmentReport { transaction_uid, committed: Vec::new(), failed: Vec::new() };
    for (reference, failure_reason) in kept.request.asked.iter().cloned().zip(verdicts) {
        match failure_reason {
            None => report.committed.push(reference),
            Some(reason) => report.failed.push((reference, reason)),
        }
    }
    Ok(Some((kept, report)))
}

/// Writes down what a peer says it keeps, in pieces; whether that is about anything we have asked. Told twice, it is
/// heard twice and changes nothing.
///
/// # Errors
///
/// [`DbError`] when the database failed: what was not written down is to be told again.
pub async fn hear(
    db: &Db,
    clinic: ClinicId,
    report: &CommitmentReport,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<bool, DbError> {
    let transaction = &report.transaction_uid;
    // Strangers take no turn at writing.
    if !on_the_way::is_asked(&mut db.of(clinic).read().await?, clinic, transaction).await? {
        return Ok(false);
    }
    let mut verdicts: BTreeMap<Option<u16>, Vec<&SopInstanceUid>> = BTreeMap::new();
    verdicts.insert(None, report.committed.iter().map(|reference| &reference.sop_uid).collect());
    for (reference, reason) in &report.failed {
        verdicts.entry(Some(*reason)).or_default().push(&reference.sop_uid);
    }
    for (reason, instances) in verdicts {
        for piece in instances.chunks(on_the_way::AT_A_TIME) {
            let mut tx = db.of(clinic).begin().await?;
            on_the_way::told(&mut tx, clinic, transaction, piece, reason, now).await?;
            tx.commit().await?;
        }
    }
    Ok(true)
}
