//! The socket: what people are told reaches them at once, at `/ws` and `/api/ws` (RFC 6455).
//!
//! A client shows its token within [`SocketLimits::authenticate`], in the header
//! `Authorization` or in a first message `{"type":"authenticate","token":…}`. From
//! then on it gets every message that is told to the person, in the order of their
//! positions (`eventId`), whichever process told it. Who comes back says the last
//! one that it has seen (`lastEventId`) and gets what was told meanwhile, nothing
//! lost and nothing twice: the messages lie in the database, and a connection
//! holds no more than a short queue of them. What clients may say is in
//! [`Kinds`]; houses plug themselves in there.

mod allowance;
mod connection;
mod hub;
mod incoming;
mod kinds;
mod outgoing;
mod presence;
mod upgrade;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use storage::bell::Bell;
use storage::db::DbError;
use storage::live;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{App, Routes, Rule, get};
use hub::Hub;
pub use kinds::{Hears, Kinds};
use presence::Presence;

/// So many messages are read at a time.
const BATCH: i64 = 500;
/// How often it is looked for messages where nobody rings: those of other processes over SQLite.
const LOOK: Duration = Duration::from_millis(250);
/// The pause when the database does not answer.
const TROUBLE: Duration = Duration::from_secs(1);
/// Connections have so long to hear that the service ends.
const FAREWELL: Duration = Duration::from_secs(2);

/// The bounds of the socket; the settings fill them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketLimits {
    /// Most connections at a time; further ones are refused.
    pub connections: usize,
    /// Most of them of one person.
    pub connections_per_person: usize,
    /// Most bytes of a client's message.
    pub message_bytes: usize,
    /// A client has so long to show its token.
    pub authenticate: Duration,
    /// How often a client is asked whether it is still there; after two and a half of it without a word it is not.
    pub heartbeat: Duration,
    /// Most messages that wait for a slow client; with one more it is dropped.
    pub queue: usize,
    /// So many messages a client may send in a second, and twice as many at once.
    pub messages_per_second: u32,
}

impl Default for SocketLimits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_person: 1_000,
            message_bytes: 64 << 10,
            authenticate: Duration::from_secs(5),
            heartbeat: Duration::from_secs(30),
            queue: 256,
            messages_per_second: 20,
        }
    }
}

/// The connections of this process; cheap to clone.
#[derive(Clone)]
pub struct Sockets(Arc<Room>);

/// What every connection reaches.
pub(crate) struct Room {
    pub app: App,
    pub limits: SocketLimits,
    pub kinds: Kinds,
    hub: Hub,
    presence: Presence,
    places: Arc<Semaphore>,
    process: Uuid,
}

impl FromRef<Sockets> for App {
    fn from_ref(sockets: &Sockets) -> Self {
        sockets.0.app.clone()
    }
}

impl Sockets {
    /// No connection yet; nobody is let in before [`Sockets::run`] runs.
    pub fn new(app: App, limits: SocketLimits, kinds: Kinds) -> Self {
        Self(Arc::new(Room {
            hub: Hub::new(limits.queue, limits.connections_per_person),
            presence: Presence::default(),
            places: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            process: Uuid::now_v7(),
            app,
            limits,
            kinds,
        }))
    }

    /// Whether people are let in.
    pub fn is_open(&self) -> bool {
        self.0.hub.position().is_some()
    }

    /// How many connections there are.
    pub fn count(&self) -> usize {
        self.0.hub.count()
    }

    /// Brings what is told to those who are connected here, until `stop`; then every connection is ended.
    pub async fn run(&self, stop: impl Future<Output = ()> + Send) {
        let room = &self.0;
        let work = async {
            tokio::join!(bring(room), presence::keep(room));
        };
        tokio::select! {
            () = work => {}
            () = stop => {}
        }
        room.hub.close_all();
        let farewell = async {
            while room.hub.count() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        // Who does not hear it in time is cut off with the process.
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        if let Err(error) = presence::end(room).await {
            tracing::warn!(%error, "who was connected here counts as connected for a minute more");
        }
    }
}

/// Reads on, for ever.
async fn bring(room: &Room) {
    let mut ear = room.app.db.bells().ear(Bell::Live);
    loop {
        let pause = match step(room).await {
            Ok(more) if more => continue,
            Ok(_) => LOOK,
            Err(error) => {
                tracing::warn!(%error, "messages to people are not read for a moment");
                TROUBLE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = ear.rung(), if pause == LOOK => {}
        }
    }
}

/// Brings one batch; whether there may be more.
async fn step(room: &Room) -> Result<bool, DbError> {
    let mut read = room.app.db.read().await?;
    let Some(position) = room.hub.position() else {
        let last = live::last(&mut read).await?;
        room.hub.open(last);
        return Ok(false);
    };
    let batch = live::after(&mut read, position, BATCH).await?;
    drop(read);
    let has_more = batch.len() as i64 == BATCH;
    for message in &batch {
        // What is told in a suspended clinic waits in the lists, which open with the clinic.
        if room.app.suspensions.contain(message.clinic_id).await? {
            room.hub.pass_by(message);
        } else {
            room.hub.bring(message);
        }
    }
    Ok(has_more)
}

/// The socket's two paths.
pub fn routes(sockets: Sockets) -> Routes {
    let path = |path: &'static str| {
        get(path, Rule::PUBLIC)
            .says("Open a WebSocket over which messages come at once; the token is shown in a header or in its first message.")
            .answers_nothing(101, "The protocol is switched to WebSocket (RFC 6455).")
            .refuses(400, "not-a-websocket: the request asks for no switch to WebSocket, version 13")
            .refuses(401, "token-invalid: the header Authorization holds a token that is not known here")
            .refuses(503, "too-many-connections, not-ready: try again")
    };
    Routes::new("socket")
        .add(path("/ws"), upgrade::connect)
        .add(path("/api/ws"), upgrade::connect)
        .with_state(sockets)
}
