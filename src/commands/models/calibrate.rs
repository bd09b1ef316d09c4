//! `medilink models calibrate`: a card with a calibration that physicians' reviews bear out.

use anyhow::{Context, Result};
use clinical::imaging::NetworkState;
use models::{CalibrateError, Calibration, Card, Judged, ReferenceVectors, Refit, calibrated_version};
use serde_json::json;
use storage::records::network::quality::{Which, samples};
use storage::records::network::{NetworkName, NewNetwork, States, StoredNetwork};
use tokio::task::spawn_blocking;

use super::add::{coded, store};
use super::{OPERATOR, find};
use crate::networks;
use crate::wiring::House;

/// The most reviews that are read, the newest first.
const MOST_REVIEWS: i64 = 100_000;
/// The most calibrated versions of one version.
const MOST_VERSIONS: usize = 1_000;

/// Fits the network's calibration to the reviews of its primary label, and adds the card with it as a draft; where it is
/// no better on patients it was not fitted on, says so and changes nothing.
pub async fn run(
    house: &House,
    name: &str,
    version: Option<&str>,
    least: usize,
    as_json: bool,
) -> Result<()> {
    let registry = house.reader.registry();
    let active = active(house, name).await?;
    let card = find(&registry, name, version.or(active.as_deref()))?;
    let refit = match Refit::of(card, &judged(house, card).await?, least) {
        Ok(refit) => refit,
        Err(error @ CalibrateError::NoBetter { .. }) => {
            if as_json {
                let report = json!({"name": card.name, "version": card.version, "changed": false, "reason": error.to_string()});
                println!("{}", serde_json::to_string_pretty(&report).context("words are plain values")?);
            } else {
                println!("{} keeps its calibration: {error}", card.title());
            }
            return Ok(());
        }
        Err(error) => return Err(coded(error.code(), &error)),
    };
    let is_free = |version: &String| registry.get_version(name, version).is_none();
    let version = (1..=MOST_VERSIONS).map(|number| calibrated_version(&card.version, number)).find(is_free);
    let new = refit.card(card, &version.context("there are too many calibrated versions")?);
    let word = add(house, card, &new).await?;
    print(card, &new, &refit, &word, as_json)
}

/// The version of a name that is active where no clinic says otherwise.
async fn active(house: &House, name: &str) -> Result<Option<String>> {
    let names: Vec<NetworkName> = house.reader.registry().iter().map(networks::name_of).collect();
    let states = States::of(&mut house.db.read().await?, None).await?.resolve(&names);
    let is_it = |(it, state): &(NetworkName, NetworkState)| it.name == name && *state == NetworkState::Active;
    Ok(names.into_iter().zip(states).find(is_it).map(|(it, _)| it.version))
}

/// What physicians said of the network's primary label, in every clinic.
async fn judged(house: &House, card: &Card) -> Result<Vec<Judged>> {
    let (version, label) = ((card.name.as_str(), card.version.as_str()), &card.texts.label);
    let mut rows = house.db.read().await?;
    let reviewed = samples(&mut rows, None, version, label, Which::NewestReviewed, MOST_REVIEWS).await?;
    let judged = reviewed.into_iter().filter_map(|sample| {
        let said = sample.said?;
        Some(Judged {
            patient: sample.patient_id.to_string().into_bytes(),
            probability: said.probability,
            is_present: said.is_present()?,
        })
    });
    Ok(judged.collect())
}

/// Stores the card as a draft with the weights of the one before, once it has proved itself; in words what was seen.
async fn add(house: &House, before: &Card, card: &Card) -> Result<String> {
    let text = toml::to_string_pretty(card).context("a card is plain values")?;
    Card::parse(&text).map_err(|error| coded(error.code(), &error))?;
    let weights = house.reader.registry().weights(before)?.into_owned();
    let reference = match card.calibration {
        // Platt's curve belongs to labels: the classes' answers stay as they were.
        Some(Calibration::Platt(_)) => reference(house, before).await?,
        _ => None,
    };
    let json =
        reference.as_ref().map(serde_json::to_string).transpose().context("vectors are plain values")?;
    let (reader, own) = (house.reader.clone(), card.clone());
    let (weights, proof) = spawn_blocking(move || {
        let proof = networks::prove(reader.loader(), &own, &weights, reference.as_ref());
        (weights, proof)
    })
    .await?;
    let word = proof.map_err(|refusal| coded(&refusal.code, &refusal))?;
    let new = NewNetwork {
        name: card.name.clone(),
        version: card.version.clone(),
        sha256: card.sha256.clone(),
        card: text,
        reference: json,
        added_by: OPERATOR.to_owned(),
    };
    store(house, &new, weights, &word).await?;
    Ok(word)
}

/// The reference vectors of a network: those that were given with it, else those of the box.
async fn reference(house: &House, card: &Card) -> Result<Option<ReferenceVectors>> {
    let mut rows = house.db.read().await?;
    let Some(row) = StoredNetwork::named(&mut rows, &card.name, &card.version).await? else {
        return Ok(ReferenceVectors::of(card)?);
    };
    let given = StoredNetwork::reference(&mut rows, row.network_id).await?;
    Ok(networks::reference_of(given.as_deref())?)
}

fn print(before: &Card, card: &Card, refit: &Refit, word: &str, as_json: bool) -> Result<()> {
    let Refit { calibration, fitted_on, held_out, before: was, after: is } = refit;
    if as_json {
        let report = json!({
            "name": card.name,
            "version": card.version,
            "from_version": before.version,
            "changed": true,
            "state": NetworkState::Draft.as_str(),
            "calibration": calibration,
            "fitted_on": fitted_on,
            "held_out": held_out,
            "log_loss": {"before": was.log_loss, "after": is.log_loss},
            "ece": {"before": was.ece, "after": is.ece},
        });
        println!("{}", serde_json::to_string_pretty(&report).context("numbers are plain values")?);
        return Ok(());
    }
    println!("{} is added as a draft: it {word}", card.title());
    println!(
        "fitted on {fitted_on} reviews; on {held_out} of other patients log loss {:.4} before, {:.4} after, \
         calibration error {:.4} before, {:.4} after",
        was.log_loss, is.log_loss, was.ece, is.ece
    );
    println!("medilink models shadow {} has it run without being shown", card.name);
    Ok(())
}
