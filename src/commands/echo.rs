//! `medilink echo`: asks another application entity whether it is there (C-ECHO).

use std::time::Instant;

use anyhow::{Context, Result, bail};
use clinical::ae_title::AeTitle;
use ingest::scu::{Association, Peer, Proposal, ScuSettings};

use crate::config::Config;

/// Whom to ask.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// One of the settings' `peers` by its AE title, or AE=HOST:PORT
    peer: String,
}

/// Asks once, and prints how long the answer took.
pub async fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    let peer = peer(config, &arguments.peer)?;
    let calling = config.scp()?.ae_title;
    let settings = ScuSettings { calling, ..ScuSettings::default() };
    let started = Instant::now();
    let association = Association::open(&peer, &settings, &Proposal::verification()).await;
    let mut association = association.with_context(|| format!("{peer:?} does not take our association"))?;
    let status = association.echo().await.with_context(|| format!("{peer:?} does not answer"))?;
    association.release().await;
    if status != 0 {
        bail!("{peer:?} answers with status {status:04X}");
    }
    println!("{peer:?} answers, after {:.1} ms", started.elapsed().as_secs_f64() * 1000.0);
    Ok(())
}

fn peer(config: &Config, text: &str) -> Result<Peer> {
    let known = config.peers()?;
    let title = text.parse::<AeTitle>().ok();
    match known.into_iter().find(|peer| Some(&peer.ae_title) == title.as_ref()) {
        Some(peer) => Ok(peer),
        None => {
            text.parse().with_context(|| format!("{text:?} is no peer of the settings, nor AE=HOST:PORT"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_found_by_its_title_or_told_whole() {
        let config = Config { peers: vec!["PACS=10.0.0.7:104".to_owned()], ..Config::default() };
        assert_eq!(format!("{:?}", peer(&config, "PACS").unwrap()), "PACS=10.0.0.7:104");
        assert_eq!(format!("{:?}", peer(&config, "OTHER=a:1").unwrap()), "OTHER=a:1");
        assert!(peer(&config, "OTHER").is_err());
    }
}
