//! `/api/status`: each part of the service, asked for real, for people and dashboards.
//!
//! The seeds' `ServiceStatus` has one yes-or-no a part and `overall`; beside them stands what each part said. A part
//! that is not built or not configured says so and leaves `overall` alone: it is no failure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use billing::BillingState;
use chrono::{DateTime, TimeDelta, Utc};
use clinical::imaging::NetworkState;
use gate::socket::Sockets;
use gate::{App, Json, Routes, Rule, get};
use notifications::channel::{Channel, Switchboard};
use serde::Serialize;
use storage::archive::{Archive, ArchiveError};
use storage::queue;
use storage::records::network::NetworkName;
use tokio::sync::Mutex;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::{Doors, Street};

/// An answer is given again for so long: however many ask, the parts are asked once.
const FRESH: Duration = Duration::from_secs(5);
/// A part that says nothing for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// A worker looks five times a second: a job that waits so long past its time has none.
const LATE: TimeDelta = TimeDelta::minutes(1);
/// What is written to the archive and read again.
const PROBE: &[u8] = b"Medilink looks whether the archive keeps what it is given.";
/// The seeds' parts that are not built yet, by the seeds' names.
const NOT_BUILT: [&str; 2] = ["offlineSync", "webrtc"];

/// How the service is, part by part.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServiceStatus {
    /// Video calls.
    webrtc: bool,
    /// The live connection.
    websocket: bool,
    /// Word to phones and browsers.
    push_notifications: bool,
    /// Work without a connection, joined later.
    offline_sync: bool,
    /// Money.
    payments: bool,
    /// The networks, and a worker that runs them.
    ml_optimization: bool,
    /// Whether nothing that is built and configured fails.
    overall: bool,
    /// When the parts were asked.
    checked_at: DateTime<Utc>,
    /// What each part said.
    parts: BTreeMap<String, Part>,
}

/// What a part said.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Part {
    state: PartState,
    /// What it counts.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    numbers: BTreeMap<String, i64>,
}

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PartState {
    /// It does what it is there for.
    Ok,
    /// It answers, and refuses or fails.
    Failed,
    /// It said nothing in time.
    NoAnswer,
    /// It is behind with its work.
    Late,
    /// It takes nothing in: the service starts or stops.
    Closed,
    /// It works once somebody sets it up.
    NotConfigured,
    /// This version does not have it.
    NotBuilt,
}

impl PartState {
    fn is_well(self) -> bool {
        matches!(self, Self::Ok | Self::NotConfigured | Self::NotBuilt)
    }
}

impl From<PartState> for Part {
    fn from(state: PartState) -> Self {
        Self { state, numbers: BTreeMap::new() }
    }
}

impl Part {
    fn counting(mut self, numbers: impl IntoIterator<Item = (&'static str, i64)>) -> Self {
        self.numbers.extend(numbers.into_iter().map(|(name, number)| (name.to_owned(), number)));
        self
    }
}

/// What is asked, and what it said last.
#[derive(Clone)]
pub(crate) struct Board {
    app: App,
    doors: Doors,
    networks: usize,
    sockets: Sockets,
    switchboard: Switchboard,
    billing: BillingState,
    last: Arc<Mutex<Option<(Instant, ServiceStatus)>>>,
}

/// The route of the status page.
pub(crate) fn routes(street: &Street) -> Routes {
    let is_active = |network: &&NetworkName| network.by_card == NetworkState::Active;
    let board = Board {
        app: street.app.clone(),
        doors: street.doors.clone(),
        networks: street.dicom.networks().iter().filter(is_active).count(),
        sockets: street.sockets.clone(),
        switchboard: street.notifications.switchboard.clone(),
        billing: street.billing.clone(),
        last: Arc::default(),
    };
    Routes::new("service")
        .add(
            get("/api/status", Rule::PUBLIC)
                .says("How each part of the service is.")
                .answers::<ServiceStatus>(200, "The parts, as they were within the last seconds."),
            status,
        )
        .with_state(board)
}

/// `GET /api/status`
async fn status(State(board): State<Board>) -> Json<ServiceStatus> {
    // Held while the parts are asked: who comes meanwhile waits for the same answer.
    let mut last = board.last.lock().await;
    if let Some((asked, status)) = last.as_ref()
        && asked.elapsed() < FRESH
    {
        return Json(status.clone());
    }
    let status = ask(&board).await;
    *last = Some((Instant::now(), status.clone()));
    Json(status)
}

async fn ask(board: &Board) -> ServiceStatus {
    let now = board.app.clock.now();
    let (database, archive, (queue, worker), pushes, payments) = tokio::join!(
        database(&board.app),
        archive(&board.app.archive),
        work(&board.app, now),
        pushes(&board.switchboard),
        payments(&board.billing),
    );
    let mut parts: BTreeMap<String, Part> =
        NOT_BUILT.iter().map(|name| ((*name).to_owned(), PartState::NotBuilt.into())).collect();
    let doors = if board.doors.are_open() { PartState::Ok } else { PartState::Closed };
    let networks = networks(board.networks);
    let learned = if networks.state == PartState::Ok { worker.state } else { networks.state };
    let built = [
        ("database", database),
        ("archive", archive),
        ("doors", doors.into()),
        ("queue", queue),
        ("worker", worker),
        ("networks", networks),
        ("websocket", websocket(&board.sockets)),
        ("pushNotifications", pushes),
        ("payments", payments),
        ("mlOptimization", learned.into()),
    ];
    parts.extend(built.map(|(name, part)| (name.to_owned(), part)));
    let is_ok = |name: &str| parts.get(name).is_some_and(|part| part.state == PartState::Ok);
    ServiceStatus {
        webrtc: is_ok("webrtc"),
        websocket: is_ok("websocket"),
        push_notifications: is_ok("pushNotifications"),
        offline_sync: is_ok("offlineSync"),
        payments: is_ok("payments"),
        ml_optimization: is_ok("mlOptimization"),
        overall: parts.values().all(|part| part.state.is_well()),
        checked_at: now,
        parts,
    }
}

fn networks(count: usize) -> Part {
    let state = if count == 0 { PartState::NotConfigured } else { PartState::Ok };
    Part::from(state).counting([("active", number(count))])
}

fn websocket(sockets: &Sockets) -> Part {
    let state = if sockets.is_open() { PartState::Ok } else { PartState::Closed };
    Part::from(state).counting([("connections", number(sockets.count()))])
}

/// Whether anybody carries pushes, as the providers were when they were last asked.
async fn pushes(switchboard: &Switchboard) -> Part {
    match within("pushNotifications", switchboard.standing(Channel::Push)).await {
        Ok((0, _)) => PartState::NotConfigured.into(),
        Ok((providers, failed)) => {
            let state = if failed < providers { PartState::Ok } else { PartState::Failed };
            Part::from(state).counting([("providers", number(providers)), ("failed", number(failed))])
        }
        Err(state) => state.into(),
    }
}

async fn payments(billing: &BillingState) -> Part {
    match within("payments", billing.account_count()).await {
        Ok(0) => PartState::NotConfigured.into(),
        Ok(accounts) => Part::from(PartState::Ok).counting([("accounts", number(accounts))]),
        Err(state) => state.into(),
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

async fn database(app: &App) -> Part {
    let asked = async {
        let pending = app.db.pending_migrations().await?;
        let mut rows = app.db.read().await?;
        queue::is_due(&mut rows, app.clock.now()).await?;
        Ok::<_, storage::db::DbError>(pending.len())
    };
    match within("database", asked).await {
        Ok(0) => PartState::Ok.into(),
        Ok(pending) => Part::from(PartState::Failed).counting([("pendingMigrations", number(pending))]),
        Err(state) => state.into(),
    }
}

/// Writes a blob of its own, reads it and removes it.
async fn archive(archive: &Archive) -> Part {
    let key = format!("probes/{}", uuid::Uuid::new_v4());
    let asked = async {
        archive.put(&key, [PROBE.into()]).await?;
        let read = archive.get(&key).await?;
        archive.delete(&key).await?;
        Ok::<_, ArchiveError>(read == PROBE)
    };
    match within("archive", asked).await {
        Ok(true) => PartState::Ok,
        Ok(false) => PartState::Failed,
        Err(state) => state,
    }
    .into()
}

/// The queue, and whether somebody works at it, here or in another process.
async fn work(app: &App, now: DateTime<Utc>) -> (Part, Part) {
    let asked = async {
        let mut rows = app.db.read().await?;
        let depth = queue::depth(&mut rows).await?;
        Ok::<_, storage::db::DbError>((depth, queue::neglected_since(&mut rows, now).await?))
    };
    let (depth, since) = match within("queue", asked).await {
        Ok(answers) => answers,
        Err(state) => return (state.into(), state.into()),
    };
    let counts = [("queued", depth.queued), ("running", depth.running), ("dead", depth.dead)];
    let waited = since.map_or(TimeDelta::zero(), |since| now - since);
    let worker = if waited > LATE {
        Part::from(PartState::Late).counting([("waitedSeconds", waited.num_seconds())])
    } else {
        PartState::Ok.into()
    };
    (Part::from(PartState::Ok).counting(counts), worker)
}

/// What a part answers in time; why it does not is for the log alone.
async fn within<T, E: std::error::Error>(
    part: &'static str,
    asked: impl Future<Output = Result<T, E>>,
) -> Result<T, PartState> {
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            tracing::warn!(part, %error, "a part of the service failed");
            Err(PartState::Failed)
        }
        Err(_) => Err(PartState::NoAnswer),
    }
}
