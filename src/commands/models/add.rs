//! `medilink models add`: a network comes in, once it has proved itself.

use std::path::Path;

use anyhow::{Context, Result, bail};
use models::{Candidate, ReferenceVectors};
use storage::db::DbError;
use storage::records::network::{NewNetwork, StoredNetwork, weights_key};
use tokio::task::spawn_blocking;

use super::OPERATOR;
use crate::networks;
use crate::wiring::House;

/// Verifies card and weights, runs the network over its reference vectors, and stores it as a draft.
pub async fn run(house: &House, onnx: &Path, card: &Path, reference: Option<&Path>) -> Result<()> {
    let candidate = Candidate::read(onnx, card).map_err(|error| coded(error.code(), &error))?;
    let title = candidate.card.title();
    if house.reader.registry().get_version(&candidate.card.name, &candidate.card.version).is_some() {
        bail!("network-exists: there is a network {title} already; give the new one another version");
    }
    let reference = match reference {
        Some(path) => Some(
            ReferenceVectors::read(path, &candidate.card)
                .map_err(|error| coded("reference-misfit", &error))?,
        ),
        None => ReferenceVectors::of(&candidate.card)?,
    };
    let json =
        reference.as_ref().map(serde_json::to_string).transpose().context("vectors are plain values")?;
    let (reader, vectors) = (house.reader.clone(), reference);
    let (candidate, proof) = spawn_blocking(move || {
        let proof = networks::prove(reader.loader(), &candidate.card, &candidate.weights, vectors.as_ref());
        (candidate, proof)
    })
    .await?;
    let word = proof.map_err(|refusal| coded(&refusal.code, &refusal))?;

    let new = NewNetwork {
        name: candidate.card.name.clone(),
        version: candidate.card.version.clone(),
        sha256: candidate.card.sha256.clone(),
        card: candidate.card_text,
        reference: json,
        added_by: OPERATOR.to_owned(),
    };
    store(house, &new, candidate.weights, &word).await?;
    println!("{title} is added as a draft: it {word}");
    println!("medilink models shadow {} has it run without being shown", new.name);
    Ok(())
}

/// Writes a network that has proved itself, with its weights and in words what was seen.
pub(super) async fn store(house: &House, new: &NewNetwork, weights: Vec<u8>, word: &str) -> Result<()> {
    let size_bytes = i64::try_from(weights.len())?;
    // Under the hash of the bytes: whoever writes it twice writes the same.
    house.archive.put(&weights_key(&new.sha256), [weights.into()]).await?;
    let mut tx = house.db.begin().await?;
    let id = match StoredNetwork::add(&mut tx, new, house.clock.now()).await {
        Err(DbError::Conflict) => bail!(
            "network-exists: there is a network {} {} already; give the new one another version",
            new.name,
            new.version
        ),
        added => added?,
    };
    StoredNetwork::weights_came(&mut tx, id, size_bytes).await?;
    StoredNetwork::judged(&mut tx, id, Ok(word), house.clock.now()).await?;
    Ok(tx.commit().await?)
}

/// An error that begins with its stable code.
pub(super) fn coded(code: &str, error: &dyn std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{code}: {error}")
}
