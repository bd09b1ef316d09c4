//! Which networks there are for a clinic, and which of them are shown: cards of the box and the folder, rows, states.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clinical::id::ClinicId;
use clinical::imaging::{ImageContext, NetworkState};
use models::{Card, CardError, Eligibility, ReferenceVectors, Task};
use storage::archive::Archive;
use storage::db::{Conn, Db, DbError};
use storage::records::analysis::{Analysis, NetworkKey};
use storage::records::network::{NetworkName, Proof, States, StoredNetwork};
use tokio::task::spawn_blocking;

use crate::config::Config;
use crate::loader::Loader;
use crate::reader::{Added, Reader};
use crate::wiring::House;

/// Where weights are kept that the archive does not hold as files of this machine, in the data folder.
pub const KEPT: &str = "network-cache";

/// The networks that run for a clinic.
#[derive(Debug, Clone, Default)]
pub struct AtHand {
    /// Those whose findings are shown.
    pub active: Vec<Card>,
    /// Those whose findings nobody is shown.
    pub shadow: Vec<Card>,
}

impl AtHand {
    /// Those of them that are meant for a modality.
    pub fn meant_for(&self, modality: Option<&str>) -> Self {
        let image = ImageContext { modality: modality.map(str::to_owned), ..ImageContext::default() };
        let meant = |cards: &[Card]| {
            let fits = |card: &&Card| card.eligibility(&image) != Eligibility::NotForModality;
            cards.iter().filter(fits).cloned().collect()
        };
        Self { active: meant(&self.active), shadow: meant(&self.shadow) }
    }

    /// Those that take single images, and those that take the slices of a series together.
    pub fn parted(self) -> (Self, Self) {
        let part = |cards: Vec<Card>| cards.into_iter().partition(|card| card.task != Task::Segmentation3d);
        let ((active, volume_active), (shadow, volume_shadow)) = (part(self.active), part(self.shadow));
        (Self { active, shadow }, Self { active: volume_active, shadow: volume_shadow })
    }

    /// Whether nobody is shown what this network says.
    pub fn is_shadow(&self, card: &Card) -> bool {
        self.shadow.iter().any(|shadow| shadow.name == card.name && shadow.version == card.version)
    }
}

/// The networks that run for a clinic; the reader holds them all when this returns.
///
/// # Errors
///
/// Those of the database. Weights that cannot be brought leave their network out, and are told of.
pub async fn at_hand(house: &House, clinic: ClinicId) -> Result<AtHand> {
    let mut rows = house.db.read().await?;
    let stored = StoredNetwork::all(&mut rows).await?;
    let states = States::of(&mut rows, Some(clinic)).await?;
    let mut held = Vec::new();
    for network in stored.iter().filter(|network| matches!(network.proof, Proof::Proved { .. })) {
        let path = weights_file(&house.archive, &house.config.data_dir, network);
        held.extend(added(&mut rows, &house.reader, network, path).await?);
    }
    drop(rows);
    house.reader.hold(&held);
    let cards: Vec<Card> = house.reader.registry().iter().cloned().collect();
    let names: Vec<NetworkName> = cards.iter().map(name_of).collect();
    let mut at_hand = AtHand::default();
    for (card, state) in cards.into_iter().zip(states.resolve(&names)) {
        if !state.runs() {
            continue;
        }
        let row = stored.iter().find(|row| row.name == card.name && row.version == card.version);
        if let Some(row) = row
            && let Err(error) = bring(house, row).await
        {
            tracing::error!(network = card.title(), error = format!("{error:#}"), "a network has no weights");
            continue;
        }
        match state {
            NetworkState::Active => at_hand.active.push(card),
            _ => at_hand.shadow.push(card),
        }
    }
    Ok(at_hand)
}

/// A stored network as the reader holds it, with what it must answer; `None`, which is told of, where it does not read.
async fn added(
    db: &mut Conn,
    reader: &Reader,
    network: &StoredNetwork,
    weights: PathBuf,
) -> Result<Option<Added>, DbError> {
    let card = match card_of(network) {
        Ok(card) => card,
        Err(error) => {
            tracing::error!(network = network.name, %error, "a stored card does not read");
            return Ok(None);
        }
    };
    // Vectors hold images, and stay as they came: they are read once.
    let reference = if reader.registry().get_version(&card.name, &card.version) == Some(&card) {
        reader.reference(&card).map_err(|error| Refusal::of("reference-misfit", &error))
    } else {
        let given = StoredNetwork::reference(db, network.network_id).await?;
        reference_of(given.as_deref()).map(|given| given.map(Arc::new))
    };
    match reference {
        Ok(reference) => Ok(Some(Added { card, weights, reference })),
        Err(error) => {
            tracing::error!(network = network.name, %error, "stored reference vectors do not read");
            Ok(None)
        }
    }
}

/// The card of a stored network, which is a draft until somebody says otherwise, whatever it says itself.
pub fn card_of(network: &StoredNetwork) -> Result<Card, CardError> {
    Ok(Card { state: NetworkState::Draft, ..Card::parse(&network.card)? })
}

/// The card of an analysis's network; `None` where the reader does not hold it.
pub fn card_of_analysis(reader: &Reader, analysis: &Analysis) -> Option<Card> {
    let registry = reader.registry();
    let card = registry.get_version(&analysis.network_name, &analysis.network_version)?;
    (card.sha256 == analysis.network_sha256).then(|| card.clone())
}

/// A card's name, as states know it.
pub fn name_of(card: &Card) -> NetworkName {
    NetworkName { name: card.name.clone(), version: card.version.clone(), by_card: card.state }
}

/// A card's network, as analyses know it.
pub fn key_of(card: &Card) -> NetworkKey {
    NetworkKey { name: card.name.clone(), version: card.version.clone(), sha256: card.sha256.clone() }
}

/// The file in which the weights of a stored network lie on this machine, or will.
pub fn weights_file(archive: &Archive, data_dir: &Path, network: &StoredNetwork) -> PathBuf {
    let in_archive = network.blob_key.as_deref().and_then(|key| archive.local_file(key));
    in_archive.unwrap_or_else(|| data_dir.join(KEPT).join(format!("{}.onnx", network.sha256)))
}

/// Brings the weights of a stored network to this machine, where they are not there yet.
async fn bring(house: &House, network: &StoredNetwork) -> Result<()> {
    let path = weights_file(&house.archive, &house.config.data_dir, network);
    if path.is_file() {
        return Ok(());
    }
    let key = network.blob_key.as_deref().context("its weights have not come")?;
    let bytes = house.archive.get(key).await?;
    spawn_blocking(move || keep(&path, &bytes)).await??;
    Ok(())
}

/// Writes a file whole or not at all.
fn keep(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("the file has a folder")?;
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

/// Has the reader hold every network that was added and has proved itself; for commands that ask by name.
///
/// # Errors
///
/// Those of the database and of the archive.
pub async fn hold_all(db: &Db, archive: &Archive, data_dir: &Path, reader: &Reader) -> Result<()> {
    let mut held = Vec::new();
    let mut rows = db.read().await?;
    for network in StoredNetwork::all(&mut rows).await? {
        if !matches!(network.proof, Proof::Proved { .. }) {
            continue;
        }
        let path = weights_file(archive, data_dir, &network);
        if let (false, Some(key)) = (path.is_file(), &network.blob_key) {
            let bytes = archive.get(key).await?;
            keep(&path, &bytes)?;
        }
        held.extend(added(&mut rows, reader, &network, path).await?);
    }
    drop(rows);
    reader.hold(&held);
    Ok(())
}

/// As [`hold_all`], where rows and blobs lie in files of this machine; elsewhere, and where there are none, nothing.
///
/// # Errors
///
/// Those of the database and of the archive.
pub fn hold_those_of_files(config: &Config, reader: &Reader) -> Result<()> {
    let (Some(rows), Some(folder)) = (config.sqlite_path(), config.archive_folder()) else { return Ok(()) };
    if !rows.is_file() || !folder.is_dir() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let db = Db::open(&config.database_url()).await?;
        // Another release's rows are not for this program to change, nor to fail on, when it only looks.
        if db.pending_migrations().await?.is_empty() {
            hold_all(&db, &Archive::folder(&folder)?, &config.data_dir, reader).await?;
        }
        db.close().await;
        Ok(())
    })
}

/// Why a network was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// The stable code.
    pub code: String,
    /// What to mend.
    pub reason: String,
}

impl Refusal {
    /// A refusal of this code, by what an error says.
    pub fn of(code: &str, error: &dyn std::fmt::Display) -> Self {
        Self { code: code.to_owned(), reason: error.to_string() }
    }
}

/// Runs a network once, in a process of its own, over its reference vectors where it has some; in words what was seen.
///
/// # Errors
///
/// [`Refusal`], with what to mend.
pub fn prove(
    loader: &Loader,
    card: &Card,
    weights: &[u8],
    reference: Option<&ReferenceVectors>,
) -> Result<String, Refusal> {
    card.verify_weights(weights).map_err(|error| Refusal::of(error.code(), &error))?;
    if let Some(reference) = reference {
        reference.check(card).map_err(|error| Refusal::of("reference-misfit", &error))?;
    }
    let network = loader.load(card, weights, reference).map_err(|error| Refusal::of(error.code(), &error))?;
    let backend = network.backend();
    Ok(match reference {
        Some(reference) => {
            let count = reference.vectors.len();
            format!("runs on {backend}, and answers {count} reference images as it must")
        }
        None => format!("runs on {backend}; no reference images: its answers are not checked"),
    })
}

/// The reference vectors that were given with a network.
///
/// # Errors
///
/// [`Refusal`] where they do not read.
pub fn reference_of(json: Option<&str>) -> Result<Option<ReferenceVectors>, Refusal> {
    let read = |json| serde_json::from_str(json).map_err(|error| Refusal::of("reference-misfit", &error));
    json.map(read).transpose()
}
