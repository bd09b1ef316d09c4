//! The DIMSE listener's way into the hall.

mod answer;
mod clinics;
pub mod commitment;
mod find;
#[cfg(test)]
mod journeys;
mod keys;
mod matching;
mod queries;
mod retrieve;

use std::sync::Arc;

use bytes::Bytes;
use clinical::clock::Clock;
use clinical::id::{ApiKeyId, ClinicId};
use clinical::role::{Action, Permission, Resource};
use clinical::uid::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use storage::audit::Trail;
use storage::db::{Db, DbError};

use crate::peers::Peers;
use crate::receive::{Disposition, Fault, Receipt, ReceiveError, Received, Receiver};
use crate::scp::{AeTitle, AssociationInfo, InstanceSink, Judged, KnownTitles, StoreScp, StoreStatus};
use crate::spool::Spool;

use clinics::{Clinics, NoClinic};
#[cfg(test)]
pub(crate) use matching::key_rows;

pub use find::HallMatches;
pub use retrieve::{Body, HallRetrieval, Shelves};

/// Hands what C-STORE brings to the hall, for the clinic that the titles of its association mean: the called
/// one, else the calling one, else the default clinic.
pub struct DimseDoor {
    receiver: Receiver,
    db: Db,
    clinics: Clinics,
    trail: Trail,
    clock: Arc<dyn Clock>,
    shelves: Shelves,
    peers: Peers,
}

impl DimseDoor {
    /// A door into `receiver`; `db` says which titles mean which clinic, what is held, and keeps the trail; what is
    /// asked for is read from `shelves` and moved to `peers`. Where tokio runs.
    pub fn new(receiver: Receiver, db: Db, clock: Arc<dyn Clock>, shelves: Shelves, peers: Peers) -> Self {
        Self {
            receiver,
            clinics: Clinics::new(db.clone()),
            trail: Trail::new(db.clone()),
            db,
            clock,
            shelves,
            peers,
        }
    }
}

impl StoreScp for DimseDoor {
    type Sink = HallSink;

    async fn known_titles(&self, called: &AeTitle, calling: &AeTitle) -> KnownTitles {
        self.clinics.known(called, calling).await
    }

    async fn judge(&self, association: &AssociationInfo, text: &str) -> Judged {
        match self.clinics.of(&association.called_ae, &association.calling_ae).await {
            Ok(clinic) => keys::judge(&self.db, clinic, text, self.clock.now()).await,
            Err(NoClinic::Unknown) => Judged::Unanswered,
            Err(NoClinic::Suspended | NoClinic::Divided) => Judged::Wrong,
        }
    }

    async fn judge_again(&self, association: &AssociationInfo) -> Judged {
        let Some(identified) = &association.identified else { return Judged::Foreign };
        match self.clinics.of(&association.called_ae, &association.calling_ae).await {
            Ok(clinic) => keys::judge_again(&self.db, clinic, identified, self.clock.now()).await,
            Err(NoClinic::Unknown) => Judged::Unanswered,
            Err(NoClinic::Suspended | NoClinic::Divided) => Judged::Wrong,
        }
    }

    async fn begin(
        &self,
        association: &AssociationInfo,
        sop_class: &SopClassUid,
        sop_instance: &SopInstanceUid,
        transfer_syntax: &TransferSyntaxUid,
    ) -> Result<HallSink, StoreStatus> {
        let clinic = self.clinics.of(&association.called_ae, &association.calling_ae).await;
        let clinic = clinic.map_err(refused)?;
        let calling = association.calling_ae.as_str();
        let head = part10::file_with_meta(sop_class, sop_instance, transfer_syntax, Some(calling));
        let mut spool = self.receiver.spool();
        spool.write(head.into()).await.map_err(|error| status_of(&error.into()))?;
        let rejecting = Permission { resource: Resource::Study, action: Action::Delete };
        let receipt = Receipt {
            may_reject: association.identified.as_ref().is_none_or(|it| it.scopes.contains(&rejecting)),
            calling_ae: Some(association.calling_ae.clone()),
            expected_sop: Some((sop_class.clone(), sop_instance.clone())),
            ..Receipt::from_sender(clinic)
        };
        let sender = Sender {
            calling: calling.to_owned(),
            api_key_id: association.identified.as_ref().map(|it| it.api_key_id),
            address: association.peer.ip().to_string(),
            trail: self.trail.clone(),
            clock: Arc::clone(&self.clock),
        };
        Ok(HallSink { receiver: self.receiver.clone(), receipt, spool, sender })
    }
}

fn refused(why: NoClinic) -> StoreStatus {
    let code = match why {
        NoClinic::Suspended | NoClinic::Divided => StoreStatus::NOT_AUTHORIZED,
        NoClinic::Unknown => StoreStatus::OUT_OF_RESOURCES,
    };
    StoreStatus::new(code, why.to_string())
}

/// One instance on its way in.
pub struct HallSink {
    receiver: Receiver,
    receipt: Receipt,
    spool: Spool,
    sender: Sender,
}

/// Who sends it, for the audit trail.
struct Sender {
    calling: String,
    /// Whose key the association was opened with.
    api_key_id: Option<ApiKeyId>,
    address: String,
    trail: Trail,
    clock: Arc<dyn Clock>,
}

impl Sender {
    /// One row a sender, study and minute, however many instances come; a title alone makes no sender.
    async fn write_down(self, clinic: ClinicId, received: &Received) -> Result<(), StoreStatus> {
        let key = format!("{}|{}|{:?}|{}", self.calling, self.address, self.api_key_id, received.study_id);
        let mut detail = serde_json::json!({ "callingAe": self.calling });
        if let Some(api_key_id) = self.api_key_id {
            detail["apiKeyId"] = serde_json::json!(api_key_id);
        }
        let entry = received.entry(clinic, self.clock.now(), "C-STORE", Some(self.address), detail);
        self.trail.record_once(entry, key).await.map_err(|error| {
            tracing::error!(error = chain(&error), "an instance was stored and not written down");
            StoreStatus::new(StoreStatus::OUT_OF_RESOURCES, "audit-failed: send it again")
        })
    }
}

impl InstanceSink for HallSink {
    async fn write(&mut self, data: Bytes) -> Result<(), StoreStatus> {
        self.spool.write(data).await.map_err(|error| status_of(&error.into()))
    }

    async fn finish(self) -> Result<(), StoreStatus> {
        let clinic = self.receipt.clinic;
        match self.receiver.receive(self.receipt, self.spool).await {
            Ok(received) => {
                self.sender.write_down(clinic, &received).await?;
                success(received.disposition)
            }
            Err(error) => Err(status_of(&error)),
        }
    }
}

/// Success; where other bytes stood under the UID, with a comment that says what became of them.
fn success(disposition: Disposition) -> Result<(), StoreStatus> {
    let comment = match disposition {
        Disposition::Stored | Disposition::AlreadyStored => return Ok(()),
        Disposition::KeptAside => "UID is taken by other bytes; these were kept aside as a version",
        Disposition::Replaced => "UID was taken by other bytes; these replaced them",
    };
    Err(StoreStatus::new(StoreStatus::SUCCESS, comment))
}

/// The status of a request whose rows could not be read.
fn database_failed(error: &DbError) -> StoreStatus {
    tracing::error!(error = chain(error), "what was asked was not looked up");
    StoreStatus::new(StoreStatus::OUT_OF_RESOURCES, "database-failed: try again")
}

/// What the errors say for people, one after the other. Their `Debug` may hold rows, and so patients.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The status of PS3.4, section B.2.3, that tells the sender what to do.
fn status_of(error: &ReceiveError) -> StoreStatus {
    let code = match error.fault() {
        Fault::Sender => StoreStatus::CANNOT_UNDERSTAND,
        Fault::Mismatch => StoreStatus::DATA_SET_MISMATCH,
        Fault::Conflict => StoreStatus::DUPLICATE_INSTANCE,
        Fault::TooLarge | Fault::Full => StoreStatus::OUT_OF_RESOURCES,
        Fault::Held => StoreStatus::HELD_BACK,
        Fault::Closed => StoreStatus::STUDY_CLOSED,
        Fault::House => {
            tracing::error!(code = error.code(), error = chain(error), "an instance was not stored");
            StoreStatus::OUT_OF_RESOURCES
        }
    };
    StoreStatus::new(code, format!("{}: {error}", error.code()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_other_bytes_is_said_with_the_success() {
        assert_eq!(success(Disposition::Stored), Ok(()));
        assert_eq!(success(Disposition::AlreadyStored), Ok(()));
        for (disposition, word) in
            [(Disposition::KeptAside, "kept aside"), (Disposition::Replaced, "replaced")]
        {
            let status = success(disposition).unwrap_err();
            assert!(status.is_stored() && status.code() == 0x0000);
            assert!(status.comment().contains(word), "{status:?}");
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("the database failed")]
    struct Outer(#[source] Inner);

    #[derive(thiserror::Error)]
    #[error("a value is too long")]
    struct Inner;

    impl std::fmt::Debug for Inner {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("DETAIL: Failing row contains (Test^Ada)")
        }
    }

    #[test]
    fn an_error_is_logged_in_its_words_and_without_the_row_it_holds() {
        assert_eq!(chain(&Outer(Inner)), "the database failed: a value is too long");
    }
}
