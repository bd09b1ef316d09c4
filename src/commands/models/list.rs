//! `medilink models list`

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clinical::id::ClinicId;
use clinical::imaging::NetworkState;
use models::{Card, Registry};
use serde_json::{Value, json};
use storage::records::network::{States, StoredNetwork};

use super::{db, open};
use crate::config::Config;
use crate::networks::{card_of, name_of};
use crate::wiring;

/// A network with what there is to say of it.
struct Row {
    card: Card,
    state: NetworkState,
    source: &'static str,
    proof: String,
    size_bytes: Option<u64>,
}

/// Prints every network.
pub async fn run(
    config: &Config,
    environment: &BTreeMap<String, String>,
    clinic: Option<ClinicId>,
    as_json: bool,
) -> Result<()> {
    let (stored, states) = match db(config).await? {
        None => (Vec::new(), States::default()),
        Some(_) => {
            let house = open(config, environment).await?;
            let mut rows = house.db.read().await?;
            (StoredNetwork::all(&mut rows).await?, States::of(&mut rows, clinic).await?)
        }
    };
    let own = wiring::reader(config)?.registry();
    let rows = rows(&own, &stored, &states);
    if as_json {
        let list: Vec<Value> = rows.iter().map(as_value).collect();
        println!("{}", serde_json::to_string_pretty(&list).context("rows are plain values")?);
        return Ok(());
    }
    println!(
        "{:<16}  {:<8}  {:<8}  {:<10}  {:>6}  {:<10}  intended use",
        "network", "version", "state", "modality", "KiB", "proof"
    );
    for Row { card, state, proof, size_bytes, .. } in &rows {
        let kib = size_bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.div_ceil(1024).to_string());
        let modality = card.eligibility.modality.join(",");
        println!(
            "{:<16}  {:<8}  {:<8}  {modality:<10}  {kib:>6}  {proof:<10}  {}",
            card.name,
            card.version,
            state.as_str(),
            card.intended_use
        );
    }
    Ok(())
}

fn rows(own: &Registry, stored: &[StoredNetwork], states: &States) -> Vec<Row> {
    let built_in = Registry::built_in();
    let in_box = |card: &Card| built_in.get_version(&card.name, &card.version).is_some();
    let mut rows: Vec<Row> = own
        .iter()
        .map(|card| Row {
            source: if in_box(card) { "built-in" } else { "folder" },
            proof: "shipped".to_owned(),
            size_bytes: own.weights(card).ok().map(|weights| weights.len() as u64),
            state: card.state,
            card: card.clone(),
        })
        .collect();
    for network in stored {
        // What does not read any more is another release's; the proof would say so.
        let Ok(card) = card_of(network) else { continue };
        rows.push(Row {
            source: "added",
            proof: network.proof.as_str().to_owned(),
            size_bytes: network.size_bytes.map(i64::unsigned_abs),
            state: card.state,
            card,
        });
    }
    let names: Vec<_> = rows.iter().map(|row| name_of(&row.card)).collect();
    for (row, state) in rows.iter_mut().zip(states.resolve(&names)) {
        row.state = state;
    }
    rows
}

fn as_value(row: &Row) -> Value {
    let Row { card, state, source, proof, size_bytes } = row;
    json!({
        "name": card.name,
        "version": card.version,
        "state": state.as_str(),
        "task": card.task.as_str(),
        "modality": card.eligibility.modality,
        "sha256": card.sha256,
        "size_bytes": size_bytes,
        "source": source,
        "proof": proof,
        "intended_use": card.intended_use,
        "licence": card.licence,
    })
}
