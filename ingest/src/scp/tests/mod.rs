//! The listener against peers of our own making, dicom-ul's client, and dcmtk's tools.

mod dcmtk;
mod fake;
mod hostile;
mod journeys;
mod limits;
mod peer;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{CallingAe, ScpEvents, ScpSettings};
use fake::FakeStore;

/// A listener on a free port of this machine.
struct Running {
    address: SocketAddr,
    store: Arc<FakeStore>,
    events: Arc<ScpEvents>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    async fn start() -> Self {
        Self::with(open_to_all(), FakeStore::default()).await
    }

    async fn with(settings: ScpSettings, store: FakeStore) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (store, events) = (Arc::new(store), Arc::new(ScpEvents::default()));
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { drop(stopped.await) };
        let task = tokio::spawn(super::serve(listener, settings, store.clone(), events.clone(), shutdown));
        Self { address, store, events, stop, task }
    }

    /// Shuts down and waits until every task has ended.
    async fn stop(self) -> Arc<FakeStore> {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("no task hangs").unwrap();
        assert_eq!(self.events.connections_open.load(Relaxed), 0);
        assert_eq!(self.events.associations_open.load(Relaxed), 0);
        assert_eq!(
            self.store.begun() - self.store.stored().len(),
            self.store.dropped(),
            "no sink is left open"
        );
        self.store
    }
}

fn open_to_all() -> ScpSettings {
    ScpSettings { allowed_calling: CallingAe::Any, query_calling: CallingAe::Any, ..ScpSettings::default() }
}

/// Waits until `condition` holds; a test that waits in vain fails here.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..5000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("never happened: {what}");
}

/// Bytes that look like nothing in particular, the same for the same seed.
fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}
