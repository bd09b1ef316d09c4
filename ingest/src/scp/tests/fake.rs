//! A house that keeps instances in memory.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use clinical::uid::{SopClassUid, SopInstanceUid, TransferSyntaxUid};

use crate::scp::query::{DataSetBody, Match, Matches, Outgoing, Query, Retrieval, Towards};
use crate::scp::{AeTitle, AssociationInfo, CommitmentScp, InstanceSink, QueryScp, StoreScp, StoreStatus};
use crate::scu::Peer;

/// An instance that was finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) calling_ae: String,
    pub(super) sop_class: String,
    pub(super) sop_instance: String,
    pub(super) transfer_syntax: String,
    pub(super) data: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Shelf {
    stored: Mutex<Vec<Stored>>,
    begun: AtomicUsize,
    dropped: AtomicUsize,
}

#[derive(Default)]
pub(super) struct FakeStore {
    pub(super) shelf: Arc<Shelf>,
    /// Longer data sets are refused with A700.
    pub(super) limit_bytes: Option<usize>,
    /// How long a commit takes.
    pub(super) commit_wait: Duration,
    /// What `begin` answers instead of a sink.
    pub(super) refuse: Option<StoreStatus>,
    /// What `finish` answers for an instance that it keeps.
    pub(super) warn: Option<StoreStatus>,
}

impl FakeStore {
    pub(super) fn stored(&self) -> Vec<Stored> {
        self.shelf.stored.lock().unwrap().clone()
    }

    pub(super) fn begun(&self) -> usize {
        self.shelf.begun.load(SeqCst)
    }

    pub(super) fn dropped(&self) -> usize {
        self.shelf.dropped.load(SeqCst)
    }
}

impl CommitmentScp for FakeStore {}

/// It keeps for the tests of C-STORE alone: what is asked of it, it does not hold.
impl QueryScp for FakeStore {
    type Matches = Nothing;
    type Retrieval = Nothing;

    async fn find(&self, _: &AssociationInfo, _: &Query) -> Result<Nothing, StoreStatus> {
        Ok(Nothing)
    }

    async fn retrieve(&self, _: &AssociationInfo, _: &Query, _: &Towards) -> Result<Nothing, StoreStatus> {
        Ok(Nothing)
    }

    async fn peer(&self, _: &AssociationInfo, _: &AeTitle) -> Option<Peer> {
        None
    }
}

pub(super) struct Nothing;

impl Matches for Nothing {
    async fn next_page(&mut self) -> Result<Vec<Match>, StoreStatus> {
        Ok(Vec::new())
    }
}

impl Retrieval for Nothing {
    type Body = Self;

    fn instances(&self) -> &[Outgoing] {
        &[]
    }

    fn can_give(&self, _: &Outgoing, _: &TransferSyntaxUid) -> bool {
        false
    }

    async fn open(&self, _: usize, _: &TransferSyntaxUid) -> Result<Self, StoreStatus> {
        Err(StoreStatus::new(StoreStatus::OUT_OF_RESOURCES, ""))
    }
}

impl DataSetBody for Nothing {
    async fn next(&mut self) -> Result<Option<Bytes>, StoreStatus> {
        Ok(None)
    }
}

impl StoreScp for FakeStore {
    type Sink = FakeSink;

    async fn begin(
        &self,
        association: &AssociationInfo,
        sop_class: &SopClassUid,
        sop_instance: &SopInstanceUid,
        transfer_syntax: &TransferSyntaxUid,
    ) -> Result<FakeSink, StoreStatus> {
        if let Some(status) = &self.refuse {
            return Err(status.clone());
        }
        self.shelf.begun.fetch_add(1, SeqCst);
        Ok(FakeSink {
            shelf: self.shelf.clone(),
            limit_bytes: self.limit_bytes.unwrap_or(usize::MAX),
            commit_wait: self.commit_wait,
            warn: self.warn.clone(),
            finished: false,
            instance: Stored {
                calling_ae: association.calling_ae.to_string(),
                sop_class: sop_class.to_string(),
                sop_instance: sop_instance.to_string(),
                transfer_syntax: transfer_syntax.to_string(),
                data: Vec::new(),
            },
        })
    }
}

pub(super) struct FakeSink {
    shelf: Arc<Shelf>,
    limit_bytes: usize,
    commit_wait: Duration,
    warn: Option<StoreStatus>,
    finished: bool,
    instance: Stored,
}

impl InstanceSink for FakeSink {
    async fn write(&mut self, data: Bytes) -> Result<(), StoreStatus> {
        if self.instance.data.len() + data.len() > self.limit_bytes {
            return Err(StoreStatus::new(StoreStatus::OUT_OF_RESOURCES, "the instance is beyond the limit"));
        }
        self.instance.data.extend_from_slice(&data);
        Ok(())
    }

    async fn finish(mut self) -> Result<(), StoreStatus> {
        tokio::time::sleep(self.commit_wait).await;
        self.finished = true;
        self.shelf.stored.lock().unwrap().push(self.instance.clone());
        self.warn.take().map_or(Ok(()), Err)
    }
}

impl Drop for FakeSink {
    fn drop(&mut self) {
        if !self.finished {
            self.shelf.dropped.fetch_add(1, SeqCst);
        }
    }
}
