//! `ProveNetwork`: runs a network that was sent in over its reference images, before anybody may have it run.

use std::sync::Arc;

use anyhow::{Context, Result};
use clinical::id::NetworkId;
use storage::db::DbError;
use storage::queue;
use storage::records::network::StoredNetwork;
use tracing::{info, warn};

use crate::compute;
use crate::networks::{self, Refusal};
use crate::wiring::House;

/// Proves the network and writes down what came of it; one that is gone meanwhile needs no proof.
pub async fn run(house: &Arc<House>, claimed: &queue::Claimed, network_id: NetworkId) -> Result<()> {
    let mut rows = house.db.read().await?;
    let network = match StoredNetwork::find(&mut rows, network_id).await {
        Ok(network) => network,
        Err(DbError::NotFound) => {
            drop(rows);
            let mut tx = house.db.begin().await?;
            queue::finish(&mut tx, claimed).await?;
            return Ok(tx.commit().await?);
        }
        Err(error) => return Err(error.into()),
    };
    let reference = StoredNetwork::reference(&mut rows, network_id).await?;
    drop(rows);
    let key = network.blob_key.as_deref().context("the network's weights have not come")?;
    let weights = house.archive.get(key).await.context("the network's weights")?;
    let (reader, card) = (Arc::clone(&house.reader), network.card.clone());
    let judged = compute::spawn(move || {
        let card = models::Card::parse(&card).map_err(|error| Refusal::of(error.code(), &error))?;
        let reference = networks::reference_of(reference.as_deref())?;
        networks::prove(reader.loader(), &card, &weights, reference.as_ref())
    })
    .await?;
    if let Err(refusal) = &judged
        && refusal.code == "runtime-missing"
    {
        anyhow::bail!("{refusal}");
    }
    let verdict = judged
        .as_ref()
        .map(String::as_str)
        .map_err(|refusal| (refusal.code.as_str(), refusal.reason.as_str()));
    match verdict {
        Ok(word) => {
            info!(network = network.name, version = network.version, word, "a network has proved itself")
        }
        Err((code, reason)) => {
            warn!(network = network.name, version = network.version, code, reason, "a network is refused");
        }
    }
    let mut tx = house.db.begin().await?;
    StoredNetwork::judged(&mut tx, network_id, verdict, house.clock.now()).await?;
    queue::finish(&mut tx, claimed).await?;
    Ok(tx.commit().await?)
}
