//! The DIMSE door: an SCP of verification, storage, query, retrieval and storage commitment over TCP and TLS.
//!
//! Each connection is one task. A slow or silent peer costs that task and
//! little memory, nothing else. Instances go to the house behind the door
//! through [`StoreScp`], piece by piece as they come, without a copy here.
//!
//! Source: DICOM PS3.7 (messages), PS3.8 (upper layer), PS3.4, annexes A, B, C and J (services).

mod addresses;
mod association;
mod c_echo;
mod c_find;
mod c_get;
mod c_move;
mod c_store;
pub(crate) mod commitment_message;
pub(crate) mod dimse;
mod events;
pub(crate) mod identifier;
pub(crate) mod message;
pub(crate) mod negotiation;
pub(crate) mod offer;
pub(crate) mod pdu;
pub mod query;
mod query_retrieve;
mod rights;
mod status;
pub(crate) mod storage_commitment;
mod sub_operations;
#[cfg(test)]
mod tests;
mod user_identity;
pub(crate) mod wire;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use clinical::uid::{SopClassUid, SopInstanceUid, TransferSyntaxUid};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::tls::TlsServer;

pub use addresses::{AllowedAddresses, NoAddress};
pub use clinical::ae_title::{AeTitle, AeTitleError};
pub use commitment_message::{CommitmentReport, CommitmentRequest};
pub use events::ScpEvents;
pub use negotiation::AssociationInfo;
pub use query::QueryScp;
pub use status::StoreStatus;
pub use storage_commitment::CommitmentScp;
pub use user_identity::{Identified, Judged};

/// What the listener asks of the house behind it.
pub trait StoreScp: QueryScp + CommitmentScp {
    /// Where an instance's bytes go.
    type Sink: InstanceSink;

    /// Which of an association's titles the house knows, beside those of the settings: these are accepted too.
    fn known_titles(&self, called: &AeTitle, calling: &AeTitle) -> impl Future<Output = KnownTitles> + Send {
        let _ = (called, calling);
        std::future::ready(KnownTitles::default())
    }

    /// Whose key a peer shows by user identity negotiation; `text` is what may be one.
    fn judge(&self, association: &AssociationInfo, text: &str) -> impl Future<Output = Judged> + Send {
        let _ = (association, text);
        std::future::ready(Judged::Foreign)
    }

    /// What the key with which an association was opened is by now: it may have been revoked meanwhile.
    fn judge_again(&self, association: &AssociationInfo) -> impl Future<Output = Judged> + Send {
        std::future::ready(association.identified.clone().map_or(Judged::Foreign, Judged::Known))
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
    /// The calling title is one of the clinic that the association is for: it may send, query and retrieve.
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

impl CallingAe {
    /// Whether this title is one of them.
    pub(crate) fn contains(&self, title: &AeTitle) -> bool {
        match self {
            Self::Any => true,
            Self::Only(titles) => titles.contains(title),
        }
    }
}

/// The listener's settings and limits.
#[derive(Debug, Clone)]
pub struct ScpSettings {
    /// Our title.
    pub ae_title: AeTitle,
    /// Whether a call to another title is answered too.
    pub any_called: bool,
    /// Whose associations are accepted, and who may send.
    pub allowed_calling: CallingAe,
    /// Whose are accepted, too, and who may query and retrieve without a user identity, from whichever clinic they call; who calls the
    /// clinic that knows its title ([`KnownTitles::calling`]) may anyway.
    pub query_calling: CallingAe,
    /// From where connections are taken; others are closed at once.
    pub allowed_addresses: AllowedAddresses,
    /// Whether every association needs a user identity that is one of our keys.
    pub needs_identity: bool,
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
            query_calling: CallingAe::Only(Vec::new()),
            allowed_addresses: AllowedAddresses::default(),
            needs_identity: false,
            max_pdu_bytes: 131_072,
            associations: 1024,
            connections: 2048,
            artim: Duration::from_secs(30),
            idle: Duration::from_secs(600),
            transfer_wait: Duration::from_secs(60),
            shutdown_wait: Duration::from_secs(30),
        }
    }
}

/// Where DIMSE is served: over TCP, and over TLS where that is wanted. The limits are those of both together.
pub struct Listeners {
    plain: TcpListener,
    tls: Option<(TcpListener, TlsServer)>,
}

impl From<TcpListener> for Listeners {
    /// Over TCP alone.
    fn from(plain: TcpListener) -> Self {
        Self { plain, tls: None }
    }
}

impl Listeners {
    /// Over TLS on `listener` too.
    pub fn and_tls(self, listener: TcpListener, tls: TlsServer) -> Self {
        Self { tls: Some((listener, tls)), ..self }
    }

    /// The next connection, and how to greet it where it is to be TLS.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, Option<TlsServer>)> {
        let Some((secure, tls)) = &self.tls else {
            return self.plain.accept().await.map(|(stream, peer)| (stream, peer, None));
        };
        tokio::select! {
            accepted = self.plain.accept() => accepted.map(|(stream, peer)| (stream, peer, None)),
            accepted = secure.accept() => accepted.map(|(stream, peer)| (stream, peer, Some(tls.clone()))),
        }
    }
}

/// Serves DIMSE on `listeners` until `shutdown` completes, then returns when the last association is gone.
///
/// At shutdown no connection is accepted any more, a C-STORE under way is
/// finished and answered within `settings.shutdown_wait`, and all else is aborted.
pub async fn serve<S: StoreScp>(
    listeners: impl Into<Listeners> + Send,
    settings: ScpSettings,
    store: Arc<S>,
    events: Arc<ScpEvents>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let listeners = listeners.into();
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
        () = accept(&listeners, &house, &mut tasks) => {}
        () = shutdown => {}
    }
    drop(listeners);
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
    listeners: &Listeners,
    house: &Arc<association::House<S>>,
    tasks: &mut JoinSet<()>,
) {
    /// How long to wait when the process has no file descriptor left.
    const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);
    let mut number = 0;
    loop {
        let (stream, peer, tls) = match listeners.accept().await {
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
        if !house.settings.allowed_addresses.contain(peer.ip()) {
            warn!(%peer, "a connection from an address that is not allowed was closed");
            house.events.connections_refused.fetch_add(1, Relaxed);
            continue;
        }
        if tasks.len() >= house.settings.connections {
            house.events.connections_dropped.fetch_add(1, Relaxed);
            continue;
        }
        if let Err(error) = stream.set_nodelay(true) {
            warn!(%error, "TCP_NODELAY was not set");
        }
        number += 1;
        tasks.spawn(association::serve(house.clone(), stream, tls, peer, number));
    }
}
