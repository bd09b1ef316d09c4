//! `medilink models activate`, `shadow`, `retire`, `rollback` and `compare`.

use anyhow::{Context, Result, bail};
use clinical::id::ClinicId;
use clinical::imaging::NetworkState;
use serde_json::json;
use storage::db::DbError;
use storage::records::clinic::Clinic;
use storage::records::network::comparison::{Comparison, compare as compared, shadow_runs};
use storage::records::network::{NetworkName, States};

use super::{Change, OPERATOR, find};
use crate::networks::name_of;
use crate::wiring::House;

/// Writes a network's new state.
pub async fn change(house: &House, change: &Change, state: NetworkState) -> Result<()> {
    let registry = house.reader.registry();
    let version = match &change.version {
        Some(version) => version.clone(),
        // The last one of the name: versions stand in the order in which they came.
        None => match registry.iter().rfind(|card| card.name == change.name) {
            Some(card) => card.version.clone(),
            None => find(&registry, &change.name, None)?.version.clone(),
        },
    };
    let card = find(&registry, &change.name, Some(&version))?;
    let names: Vec<NetworkName> = registry.iter().map(name_of).collect();
    let mut tx = house.db.begin().await?;
    known(&mut tx, change.clinic).await?;
    let changed = (card.name.as_str(), version.as_str(), state);
    States::change(&mut tx, change.clinic, &names, changed, OPERATOR, house.clock.now()).await?;
    tx.commit().await?;
    println!("{} is {} {}", card.title(), state.as_str(), for_whom(change.clinic));
    Ok(())
}

/// Undoes the last change of a name.
pub async fn roll_back(house: &House, name: &str, clinic: Option<ClinicId>) -> Result<()> {
    let mut tx = house.db.begin().await?;
    known(&mut tx, clinic).await?;
    let undone = match States::roll_back(&mut tx, clinic, name, OPERATOR, house.clock.now()).await {
        Err(DbError::NotFound) => bail!("nothing was changed of {name} {}", for_whom(clinic)),
        undone => undone?,
    };
    tx.commit().await?;
    let registry = house.reader.registry();
    let names: Vec<NetworkName> = registry.iter().map(name_of).collect();
    let states = States::of(&mut house.db.read().await?, clinic).await?.resolve(&names);
    for change in undone {
        let at = names.iter().position(|it| it.name == change.name && it.version == change.version);
        let now = at.map_or("unknown", |at| states[at].as_str());
        println!("{} {} is {now} again {}", change.name, change.version, for_whom(clinic));
    }
    Ok(())
}

/// Prints what a network in the shadow says beside those that are shown.
pub async fn compare(
    house: &House,
    name: &str,
    version: Option<&str>,
    clinic: Option<ClinicId>,
    as_json: bool,
) -> Result<()> {
    let registry = house.reader.registry();
    let newest = registry.iter().rfind(|card| card.name == name).map(|card| card.version.as_str());
    let card = find(&registry, name, version.or(newest))?;
    let mut rows = house.db.read().await?;
    let runs = shadow_runs(&mut rows, clinic, &card.name, &card.version).await?;
    let found = compared(&mut rows, clinic, &card.name, &card.version).await?;
    if as_json {
        let report = json!({
            "name": card.name,
            "version": card.version,
            "analyses": runs.analyses,
            "abstentions": runs.abstentions,
            "against": found.iter().map(as_value).collect::<Vec<_>>(),
        });
        println!("{}", serde_json::to_string_pretty(&report).context("numbers are plain values")?);
        return Ok(());
    }
    println!("{} in the shadow: {} analyses, {} abstentions", card.title(), runs.analyses, runs.abstentions);
    for row in &found {
        println!(
            "{} against {} {}: {} images, {:.1} % agreement, only in the shadow {}, only shown {}, \
             differences {:+.3} on average, {:.3} at most",
            row.label,
            row.against_name,
            row.against_version,
            row.images,
            row.agreement() * 100.0,
            row.shadow_only,
            row.shown_only,
            row.mean_difference,
            row.largest_difference
        );
    }
    Ok(())
}

fn as_value(row: &Comparison) -> serde_json::Value {
    json!({
        "name": row.against_name,
        "version": row.against_version,
        "label": row.label,
        "images": row.images,
        "agreement": row.agreement(),
        "both_positive": row.both_positive,
        "both_negative": row.both_negative,
        "shadow_only": row.shadow_only,
        "shown_only": row.shown_only,
        "mean_difference": row.mean_difference,
        "mean_absolute_difference": row.mean_absolute_difference,
        "largest_difference": row.largest_difference,
    })
}

/// Refuses a clinic that is not there.
async fn known(db: &mut storage::db::Conn, clinic: Option<ClinicId>) -> Result<()> {
    if let Some(clinic) = clinic {
        Clinic::find(db, clinic).await.with_context(|| format!("there is no clinic {clinic}"))?;
    }
    Ok(())
}

fn for_whom(clinic: Option<ClinicId>) -> String {
    clinic.map_or_else(|| "for every clinic".to_owned(), |clinic| format!("for clinic {clinic}"))
}
