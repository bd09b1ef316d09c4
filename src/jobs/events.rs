//! Events on their way: to their positions, to other processes, to whoever cares.

use std::sync::Arc;

use analytics::Counter;
use futures::future::{join, join_all, join3};
use hub::dispatch;
use hub::nats::Nats;
use hub::webhooks::Webhooks;
use notifications::triggers::Triggers;
use storage::outbox::{self, Listener};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::wiring::House;

/// Gives events and what people are told their positions, and hears and wakes other processes, until `stop`: in every
/// process.
pub async fn relay(house: Arc<House>, stop: CancellationToken) {
    let relay = dispatch::relay(house.db.clone(), stop.clone());
    let relay_live = dispatch::relay_live(house.db.clone(), stop.clone());
    join3(relay, relay_live, dispatch::hear_others(house.db.clone(), stop)).await;
}

/// Lets every listener hear, until `stop`: in each process that works, of which one at a time hears for a listener.
pub async fn listen(house: Arc<House>, stop: CancellationToken) {
    let (db, clock) = (house.db.clone(), Arc::clone(&house.clock));
    let mut listeners: Vec<Arc<dyn Listener>> = vec![
        Arc::new(Webhooks::new(db.clone(), Arc::clone(&clock))),
        Arc::new(Counter::new(db.clone())),
        Arc::new(Triggers::new(db.clone(), Arc::clone(&clock))),
    ];
    if !house.config.nats_url.is_empty() {
        match Nats::connect(&house.config.nats_url).await {
            Ok(nats) => listeners.push(Arc::new(nats)),
            Err(error) => error!(error = %hub::Chain(&error), "events are not published to NATS"),
        }
    }
    let hearing = listeners
        .into_iter()
        .map(|listener| dispatch::listen(db.clone(), Arc::clone(&clock), listener, stop.clone()));
    // A listener hears what is told from its first day on; what was told before is in the numbers, too.
    let before = async {
        outbox::expect(&db, analytics::LISTENER).await?;
        analytics::catch_up(&db).await
    };
    let counted = async {
        tokio::select! {
            counted = before => {
                if let Err(error) = counted {
                    error!(error = %hub::Chain(&error), "what was told before is not counted yet");
                }
            }
            () = stop.cancelled() => {}
        }
    };
    join(counted, join_all(hearing)).await;
}
