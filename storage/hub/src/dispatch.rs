//! What runs beside the doors: the relay of every process, the ear for other processes, and the listeners.

use std::sync::Arc;
use std::time::Duration;

use clinical::clock::Clock;
use metrics::counter;
use storage::bell::{self, Bell};
use storage::db::Db;
use storage::live;
use storage::outbox::relay::{self, Work};
use storage::outbox::{Hearing, Listener, Step};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::Chain;

/// What comes within this time shares a batch: under load one notification and one written position for many.
const GATHER: Duration = Duration::from_millis(10);
/// The same for what people are told, who wait for it.
const GATHER_LIVE: Duration = Duration::from_millis(4);
/// How often a listener looks where nobody rings.
const LOOK: Duration = Duration::from_millis(500);
/// How often the relay looks for what a process left behind that ended before it was relayed.
const RELAY_LOOK: Duration = Duration::from_secs(1);
/// How often it is tried to take over a listener that another process has.
const ELSEWHERE: Duration = Duration::from_secs(3);
/// The first pause when something fails; it doubles up to [`MOST_TROUBLE`].
const TROUBLE: Duration = Duration::from_millis(500);
const MOST_TROUBLE: Duration = Duration::from_secs(30);

/// Places what is told, and tells other processes of events and work, until `stop`. Every process that commits runs
/// one; over SQLite there is nothing to do.
pub async fn relay(db: Db, stop: CancellationToken) {
    if !db.needs_relay() {
        return stop.cancelled().await;
    }
    let (mut told, mut asked) = (db.bells().ear(Bell::Told), db.bells().ear(Bell::Asked));
    let mut trouble = TROUBLE;
    while !stop.is_cancelled() {
        let mut work = Work::None;
        tokio::select! {
            () = told.rung() => {}
            () = asked.rung() => work = Work::Asked,
            () = tokio::time::sleep(RELAY_LOOK) => {}
            () = stop.cancelled() => break,
        }
        tokio::time::sleep(GATHER).await;
        if asked.has_rung() {
            work = Work::Asked;
        }
        match relay::place_all(&db, work).await {
            Ok(()) => trouble = TROUBLE,
            Err(error) => {
                warn!(error = %Chain(&error), "events could not be relayed and are tried again");
                rest(&stop, &mut trouble).await;
            }
        }
    }
    // What was committed last is not left to the others' next look.
    if let Err(error) = relay::place_all(&db, Work::None).await {
        warn!(error = %Chain(&error), "the last events are left to another process");
    }
}

/// Places what people are told and wakes the processes that they are connected to, until `stop`. Every process that
/// commits runs one; over SQLite there is nothing to do.
pub async fn relay_live(db: Db, stop: CancellationToken) {
    if !db.needs_relay() {
        return stop.cancelled().await;
    }
    let mut said = db.bells().ear(Bell::Said);
    let mut trouble = TROUBLE;
    while !stop.is_cancelled() {
        tokio::select! {
            () = said.rung() => {}
            () = tokio::time::sleep(RELAY_LOOK) => {}
            () = stop.cancelled() => break,
        }
        tokio::time::sleep(GATHER_LIVE).await;
        match live::relay::place_all(&db).await {
            Ok(()) => trouble = TROUBLE,
            Err(error) => {
                warn!(error = %Chain(&error), "messages to people could not be relayed and are tried again");
                rest(&stop, &mut trouble).await;
            }
        }
    }
    if let Err(error) = live::relay::place_all(&db).await {
        warn!(error = %Chain(&error), "the last messages to people are left to another process");
    }
}

/// Hears what other processes notify, until `stop`.
pub async fn hear_others(db: Db, stop: CancellationToken) {
    let mut trouble = TROUBLE;
    while !stop.is_cancelled() {
        tokio::select! {
            Err(error) = bell::listen(&db) => {
                warn!(error = %Chain(&error), "other processes are not heard for a while");
                rest(&stop, &mut trouble).await;
            }
            () = stop.cancelled() => {}
        }
    }
}

/// Lets a listener hear, where no other process does, until `stop`. One that fails is told the same again, after a
/// growing pause; the others go on.
pub async fn listen(db: Db, clock: Arc<dyn Clock>, listener: Arc<dyn Listener>, stop: CancellationToken) {
    let mut ear = db.bells().ear(Bell::Events);
    let mut hearing = Hearing::new(db, listener);
    let name = hearing.name();
    let mut trouble = TROUBLE;
    let mut was_elsewhere = true;
    while !stop.is_cancelled() {
        let step = hearing.step(clock.now()).await;
        let pause = match step {
            Ok(Step::Heard) => {
                trouble = TROUBLE;
                GATHER
            }
            Ok(Step::Idle) => LOOK,
            Ok(Step::Elsewhere) => ELSEWHERE,
            Err(error) => {
                counter!("event_listener_failures_total", "listener" => name).increment(1);
                warn!(listener = name, error = %Chain(&error), "events were not heard and are told again");
                rest(&stop, &mut trouble).await;
                continue;
            }
        };
        if was_elsewhere && pause != ELSEWHERE {
            info!(listener = name, "hearing events");
        }
        was_elsewhere = pause == ELSEWHERE;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = ear.rung(), if pause == LOOK => {}
            () = stop.cancelled() => {}
        }
    }
    if let Err(error) = hearing.release().await {
        warn!(listener = name, error = %Chain(&error), "a listener is taken over only when its lease ends");
    }
}

async fn rest(stop: &CancellationToken, trouble: &mut Duration) {
    tokio::select! {
        () = tokio::time::sleep(*trouble) => {}
        () = stop.cancelled() => {}
    }
    *trouble = (*trouble * 2).min(MOST_TROUBLE);
}
