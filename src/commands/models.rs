//! `medilink models`: which networks there are, who sees what of each, and how one comes in.

mod add;
mod bench;
mod calibrate;
mod list;
mod states;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use clinical::id::ClinicId;
use clinical::imaging::NetworkState;
use inference::{BlockedBackend, InferenceBackend, LoadedNetwork};
use models::{Card, Registry};
use storage::db::Db;
use storage::records::network::{Proof, States, StoredNetwork};

use crate::config::Config;
use crate::networks;
use crate::reader::Reader;
use crate::wiring::{self, House};

/// Who changes networks from the command line, as rows name them.
const OPERATOR: &str = "operator";

/// What to do with the networks.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Every network: name, version, state, modality, size
    List {
        /// The states that count for this clinic
        #[arg(long)]
        clinic: Option<ClinicId>,
        /// Print JSON, an object a network
        #[arg(long)]
        json: bool,
    },
    /// One network's card, its proof and what was changed of it
    Show {
        /// Its name
        name: String,
        /// This version of it
        #[arg(long)]
        version: Option<String>,
    },
    /// Add a network as a draft, once it has proved whole and runs as its card says
    Add {
        /// The weights
        onnx: PathBuf,
        /// The card
        #[arg(long)]
        card: PathBuf,
        /// Reference vectors, as models/reference has them: NAME.toml, and its images beside it as NAME.u8
        #[arg(long)]
        reference: Option<PathBuf>,
    },
    /// Show a network's findings from now on; another version of its name that was active is retired
    Activate(Change),
    /// Run a network without showing its findings to anybody
    Shadow(Change),
    /// Run a network no more; its findings stay
    Retire(Change),
    /// Undo the last change of a network's state
    Rollback {
        /// Its name
        name: String,
        /// Only for this clinic
        #[arg(long)]
        clinic: Option<ClinicId>,
    },
    /// What a network in the shadow says beside those that are shown
    Compare {
        /// Its name
        name: String,
        /// This version of it
        #[arg(long)]
        version: Option<String>,
        /// Only over images of this clinic
        #[arg(long)]
        clinic: Option<ClinicId>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Fit a network's calibration to the reviews of its primary label, as a new draft with the same weights
    Calibrate {
        /// Its name
        name: String,
        /// This version of it
        #[arg(long)]
        version: Option<String>,
        /// The fewest reviews that will do
        #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(50..))]
        min_reviews: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Time a network that needs no card: an ONNX file on one backend
    Bench(bench::Bench),
    /// Check weights against cards, and answers against reference vectors
    Verify {
        /// Only this network
        name: Option<String>,
    },
}

/// Which network changes, and for whom.
#[derive(Debug, clap::Args)]
pub struct Change {
    /// Its name
    name: String,
    /// This version of it; else the one that was added last
    #[arg(long)]
    version: Option<String>,
    /// Only for this clinic, whose word counts more than that for all
    #[arg(long)]
    clinic: Option<ClinicId>,
}

/// Does it.
pub async fn run(config: &Config, environment: &BTreeMap<String, String>, action: &Action) -> Result<()> {
    match action {
        Action::List { clinic, json } => list::run(config, environment, *clinic, *json).await,
        Action::Show { name, version } => {
            let reader = at_hand(config, environment).await?;
            let registry = reader.registry();
            let card = find(&registry, name, version.as_deref())?;
            show(card)?;
            show_coverage(&reader, card);
            match db(config).await? {
                Some(db) => show_history(&db, card).await,
                None => Ok(()),
            }
        }
        Action::Add { onnx, card, reference } => {
            let house = open(config, environment).await?;
            add::run(&house, onnx, card, reference.as_deref()).await
        }
        Action::Activate(change) => {
            let house = open(config, environment).await?;
            states::change(&house, change, NetworkState::Active).await
        }
        Action::Shadow(change) => {
            let house = open(config, environment).await?;
            states::change(&house, change, NetworkState::Shadow).await
        }
        Action::Retire(change) => {
            let house = open(config, environment).await?;
            states::change(&house, change, NetworkState::Retired).await
        }
        Action::Rollback { name, clinic } => {
            let house = open(config, environment).await?;
            states::roll_back(&house, name, *clinic).await
        }
        Action::Compare { name, version, clinic, json } => {
            let house = open(config, environment).await?;
            states::compare(&house, name, version.as_deref(), *clinic, *json).await
        }
        Action::Calibrate { name, version, min_reviews, json } => {
            let house = open(config, environment).await?;
            calibrate::run(&house, name, version.as_deref(), *min_reviews as usize, *json).await
        }
        Action::Bench(bench) => bench::run(config, bench),
        Action::Verify { name } => {
            let reader = at_hand(config, environment).await?;
            let registry = reader.registry();
            let cards: Vec<&Card> = match name {
                Some(name) => vec![find(&registry, name, None)?],
                None => registry.iter().collect(),
            };
            verify(&reader, &cards)
        }
    }
}

/// The house, whose reader holds every network that was added.
async fn open(config: &Config, environment: &BTreeMap<String, String>) -> Result<Arc<House>> {
    let house = House::open(config.clone(), environment).await?;
    networks::hold_all(&house.db, &house.archive, &house.config.data_dir, &house.reader).await?;
    Ok(house)
}

/// A reader that holds every network: those that were added, too, where there is a database.
async fn at_hand(config: &Config, environment: &BTreeMap<String, String>) -> Result<Arc<Reader>> {
    match db(config).await? {
        Some(_) => Ok(Arc::clone(&open(config, environment).await?.reader)),
        None => Ok(Arc::new(wiring::reader(config)?)),
    }
}

/// The database; `None` where none was made yet, for to look makes none.
async fn db(config: &Config) -> Result<Option<Db>> {
    if config.sqlite_path().is_some_and(|path| !path.is_file()) {
        return Ok(None);
    }
    Ok(Some(Db::open(&config.database_url()).await.context("the database cannot be opened")?))
}

/// The card that a name means: this version, else the one that was added last, else the active one.
fn find<'r>(registry: &'r Registry, name: &str, version: Option<&str>) -> Result<&'r Card> {
    let card = match version {
        Some(version) => registry.get_version(name, version),
        None => registry.get(name),
    };
    card.with_context(|| {
        let version = version.map(|version| format!(" {version}")).unwrap_or_default();
        format!("there is no network {name:?}{version} that has proved itself; see medilink models list")
    })
}

fn show(card: &Card) -> Result<()> {
    print!("{}", toml::to_string_pretty(card).context("a card is plain values")?);
    Ok(())
}

/// What our own kernels compute of a network, as comments: of one that may be loaded here.
fn show_coverage(reader: &Reader, card: &Card) {
    let Ok(weights) = reader.registry().weights(card) else { return };
    let loaded = match load_blocked(reader, card, &weights) {
        Ok(loaded) => loaded,
        Err(error) => {
            println!("\n# our own kernels do not run it: {}", on_one_line(&format!("{error:#}")));
            return;
        }
    };
    let Some(coverage) = loaded.coverage() else { return };
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let share = 100.0 * coverage.share();
    println!("\n# our own kernels compute {share:.1} % of {} multiplications", coverage.multiplications);
    for (index, region) in coverage.regions.iter().enumerate() {
        println!(
            "# region {}: {} steps, {} multiplications, {:.1} MiB for an image, {:.1} MiB of weights",
            index + 1,
            region.steps,
            region.multiplications,
            mib(region.memory_bytes),
            mib(region.weights_bytes)
        );
    }
    let ended_by: Vec<String> =
        coverage.ended_by.iter().map(|(operator, count)| format!("{operator} ({count})")).collect();
    if !ended_by.is_empty() {
        println!("# tract goes on at: {}", on_one_line(&ended_by.join(", ")));
    }
}

/// The network on our own kernels, in this process: a file that has not proved itself is tried in a child first.
fn load_blocked(reader: &Reader, card: &Card, weights: &[u8]) -> Result<Box<dyn LoadedNetwork>> {
    let reference = reader.reference(card)?;
    reader.loader().may_load_blocked(card, weights, reference.as_deref())?;
    Ok(BlockedBackend::default().load(card, weights)?)
}

/// What others have written, so that it ends no comment.
fn on_one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// The proof of an added network and the changes for all clinics, as comments: the whole still reads as a card.
async fn show_history(db: &Db, card: &Card) -> Result<()> {
    let mut rows = db.read().await?;
    if let Some(row) = StoredNetwork::named(&mut rows, &card.name, &card.version).await? {
        println!("\n# added by {} at {}", row.added_by, row.added_at);
        match row.proof {
            Proof::Proved { at, word } => println!("# proved at {at}: {}", on_one_line(&word)),
            Proof::Refused { code, reason } => {
                println!("# refused: {code}: {}", on_one_line(&reason))
            }
            Proof::Waiting | Proof::NoWeights => println!("# {}", row.proof.as_str()),
        }
    }
    for change in States::history(&mut rows, None, &card.name).await? {
        let undone = change.undone.map(|(by, at)| format!(", undone by {by} at {at}")).unwrap_or_default();
        let (version, state) = (&change.version, change.state.as_str());
        println!("# {version} {state} by {} at {}{undone}", change.changed_by, change.changed_at);
    }
    Ok(())
}

fn verify(reader: &Reader, cards: &[&Card]) -> Result<()> {
    let mut failed = 0;
    for card in cards {
        match check(reader, card) {
            Ok(word) => println!("{:<24} ok    {word}", card.title()),
            Err(error) => {
                failed += 1;
                println!("{:<24} WRONG {error:#}", card.title());
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} networks are not what their cards say", cards.len());
    }
    Ok(())
}

/// The network loads where it is to run, and answers as its reference vectors say; in words what was checked.
pub fn check(reader: &Reader, card: &Card) -> Result<String> {
    let weights = reader.registry().weights(card)?;
    let reference = reader.reference(card)?;
    let network = reader.loader().load(card, &weights, reference.as_deref())?;
    let backend = network.backend();
    Ok(match reference {
        Some(reference) => {
            let difference = network.self_check(&reference)?;
            format!("weights whole; on {backend} at most {difference:.1e} away from its reference vectors")
        }
        None => format!("weights whole; runs on {backend}; no reference vectors: answers not checked"),
    })
}
