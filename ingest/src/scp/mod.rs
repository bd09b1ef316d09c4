//! The DIMSE door: a storage SCP that answers C-ECHO and C-STORE over TCP.
//!
//! Each connection is one task. A slow or silent peer costs that task and
//! little memory, nothing else. Instances go to the house behind the door
//! through [`StoreScp`], piece by piece as they come, without a copy here.
//!
//! Source: DICOM PS3.7 (messages), PS3.8 (upper layer), PS3.4, annexes A and B (services).

mod association;
mod c_echo;
mod c_store;
mod dimse;
mod events;
mod negotiation;
mod pdu;
mod status;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use clinical::uid::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

pub use clinical::ae_title::{AeTitle, AeTitleError};
pub use events::ScpEvents;
pub use negotiation::AssociationInfo;
pub use status::StoreStatus;

/// What the listener asks of the house behind it.
pub trait StoreScp: Send + Sync + 'static {
    /// Where an instance's bytes go.
    type Sink: InstanceSink;

    /// Which of an association's titles the house knows, beside those of the settings: these are accepted too.
    fn known_titles(&self, called: &AeTitle, calling: &AeTitle) -> impl Future<Output = KnownTitles> + Send {
        let _ = (called, calling);
        std::future::ready(KnownTitles::default())
    }

    /// Prepares a place for one instance; its data set follows in `transfer_syntax`, without a Part 10 header.
    ///
    /// A status refuses the instance; its data set is then read and dropped.
    fn begin(
        &self,
        association: &AssociationInfo,
        sop_class: &SopClassUid,
        sop_instance: &SopInstanceUid,
        transfer_syntax: &TransferSyntaxUid,
    ) -> impl Future<Output = Result<Self::Sink, StoreStatus>> + Send;
}

/// Which titles of an association the house knows by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownTitles {
    /// The title that is called is one of ours.
    pub called: bool,
    /// The calling title may send.
    pub calling: bool,
}

/// Takes the data set of one instance. Dropping it before [`InstanceSink::finish`] discards everything.
pub trait InstanceSink: Send {
    /// Takes the next bytes. After an error the sink is dropped and the status answered.
    fn write(&mut self, data: Bytes) -> impl Future<Output = Result<(), StoreStatus>> + Send;

    /// Makes the instance durable; success is answered only after this returned `Ok`.
    ///
    /// A status that is a warning ([`StoreStatus::is_stored`]) counts as stored.
    fn finish(self) -> impl Future<Output = Result<(), StoreStatus>> + Send;
}

/// Whose associations are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallingAe {
    /// Everyone's.
    Any,
    /// Those of these titles.
    Only(Vec<AeTitle>),
}

/// The listener's settings and limits.
#[derive(Debug, Clone)]
pub struct ScpSettings {
    /// Our title.
    pub ae_title: AeTitle,
    /// Whether a call to another title is answered too.
    pub any_called: bool,
    /// Whose associations are accepted.
    pub allowed_calling: CallingAe,
    /// The longest P-DATA-TF that we announce to receive, bytes; dcmtk sends at most 131072.
    pub max_pdu_bytes: u32,
    /// Associations open at a time; more are rejected for now.
    pub associations: usize,
    /// Connections open at a time, negotiated or not; more are dropped at once.
    pub connections: usize,
    /// The longest wait for the whole A-ASSOCIATE-RQ (PS3.8, section 9.1.5).
    pub artim: Duration,
    /// The longest silence between two messages.
    pub idle: Duration,
    /// The longest silence inside a message, and the longest wait for a peer that does not read.
    pub transfer_wait: Duration,
    /// How long a shutdown waits for the C-STORE operations under way.
    pub shutdown_wait: Duration,
}

impl Default for ScpSettings {
    /// Nobody may call until titles are configured.
    fn default() -> Self {
        Self {
            ae_title: AeTitle::MEDILINK,
            any_called: false,
            allowed_calling: CallingAe::Only(Vec::new()),
            max_pdu_bytes: 131_072,
            associations: 512,
            connections: 2048,
            artim: Duration::from_secs(30),
            idle: Duration::from_secs(600),
            transfer_wait: Duration::from_secs(60),
            shutdown_wait: Duration::from_secs(30),
        }
    }
}

/// Serves DIMSE on `listener` until `shutdown` completes, then returns when the last association is gone.
///
/// At shutdown no connection is accepted any more, a C-STORE under way is
/// finished and answered within `settings.shutdown_wait`, and all else is aborted.
pub async fn serve<S: StoreScp>(
    listener: TcpListener,
    settings: ScpSettings,
    store: Arc<S>,
    events: Arc<ScpEvents>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (close, closing) = watch::channel(false);
    let house = Arc::new(association::House {
        associations: Semaphore::new(settings.associations.min(Semaphore::MAX_PERMITS)),
        settings,
        store,
        events,
        closing,
    });
    let mut tasks = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &house, &mut tasks) => {}
        () = shutdown => {}
    }
    drop(listener);
    close.send_replace(true);
    let under_way = house.events.connections_open.load(Relaxed);
    info!(connections = under_way, "the DIMSE listener is shutting down");
    let finished =
        timeout(house.settings.shutdown_wait, async { while tasks.join_next().await.is_some() {} });
    if finished.await.is_err() {
        warn!(connections = tasks.len(), "associations were cut off by the shutdown");
        tasks.shutdown().await;
    }
}

/// Accepts connections for ever, each into a task of its own.
async fn accept<S: StoreScp>(
    listener: &TcpListener,
    house: &Arc<association::House<S>>,
    tasks: &mut JoinSet<()>,
) {
    /// How long to wait when the process has no file descriptor left.
    const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
    let mut number = 0;
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(%error, "a connection was not accepted");
                sleep(OUT_OF_DESCRIPTORS).await;
                continue;
            }
        };
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                error!(%error, "an association ended by a defect of ours");
            }
        }
        if tasks.len() >= house.settings.connections {
            house.events.connections_dropped.fetch_add(1, Relaxed);
            continue;
        }
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%error, "TCP_NODELAY was not set");
        }
        number += 1;
        tasks.spawn(association::serve(house.clone(), stream, peer, number));
    }
}
