//! `medilink models`: the networks at hand.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use inference::{Network, TractBackend};
use models::{Candidate, Card, ReferenceVectors, Registry};

use crate::config::Config;

/// What to do with the networks.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Every network: name, version, state, modality, size
    List,
    /// One network's card
    Show {
        /// Its name
        name: String,
    },
    /// Add a network to the networks folder, once it has proved whole and runs
    Add {
        /// The weights
        onnx: PathBuf,
        /// The card
        #[arg(long)]
        card: PathBuf,
    },
    /// Check weights against cards, and answers against reference vectors
    Verify {
        /// Only this network
        name: Option<String>,
    },
}

/// Does it.
pub fn run(config: &Config, action: &Action) -> Result<()> {
    let folder = config.networks_dir();
    let registry = Registry::built_in().with_folder(&folder)?;
    match action {
        Action::List => list(&registry),
        Action::Show { name } => show(find(&registry, name)?),
        Action::Add { onnx, card } => {
            let candidate = Candidate::read(onnx, card)?;
            Network::load(&TractBackend, &candidate.card, &candidate.weights)
                .context("the network does not run")?;
            registry.add(&folder, &candidate)?;
            println!("{} added to {}", candidate.card.title(), folder.display());
            Ok(())
        }
        Action::Verify { name } => {
            let cards: Vec<&Card> = match name {
                Some(name) => vec![find(&registry, name)?],
                None => registry.iter().collect(),
            };
            verify(&registry, &cards)
        }
    }
}

fn find<'r>(registry: &'r Registry, name: &str) -> Result<&'r Card> {
    registry.get(name).with_context(|| format!("there is no network {name:?}; see medilink models list"))
}

fn list(registry: &Registry) -> Result<()> {
    println!(
        "{:<16}  {:<8}  {:<8}  {:<10}  {:>6}  intended use",
        "network", "version", "state", "modality", "KiB"
    );
    for card in registry.iter() {
        let modality = card.eligibility.modality.join(",");
        let kib = registry
            .weights(card)
            .map_or_else(|_| "-".to_owned(), |weights| weights.len().div_ceil(1024).to_string());
        println!(
            "{:<16}  {:<8}  {:<8}  {modality:<10}  {kib:>6}  {}",
            card.name,
            card.version,
            card.state.as_str(),
            card.intended_use
        );
    }
    Ok(())
}

fn show(card: &Card) -> Result<()> {
    print!("{}", toml::to_string_pretty(card).context("a card is plain values")?);
    Ok(())
}

fn verify(registry: &Registry, cards: &[&Card]) -> Result<()> {
    let mut failed = 0;
    for card in cards {
        match check(registry, card) {
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

/// The network loads, and answers as its reference vectors say; in words what was checked.
pub fn check(registry: &Registry, card: &Card) -> Result<String> {
    let weights = registry.weights(card)?;
    let network = Network::load(&TractBackend, card, &weights)?;
    Ok(match ReferenceVectors::of(card)? {
        Some(reference) => {
            let difference = network.self_check(&reference)?;
            format!("weights whole; at most {difference:.1e} away from its reference vectors")
        }
        None => "weights whole; runs; no reference vectors: answers not checked".to_owned(),
    })
}
