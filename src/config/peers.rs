//! The application entities that the settings name.

use anyhow::{Context, Result, bail};
use ingest::scu::Peer;

use super::Config;

impl Config {
    /// Whom we call, by title.
    pub fn peers(&self) -> Result<Vec<Peer>> {
        let read = |text: &String| text.parse::<Peer>().with_context(|| format!("peers: {text:?}"));
        let peers = self.peers.iter().map(read).collect::<Result<Vec<Peer>>>()?;
        for (index, peer) in peers.iter().enumerate() {
            if peers[..index].iter().any(|other| other.ae_title == peer.ae_title) {
                bail!("peers: {} is named twice", peer.ae_title);
            }
        }
        Ok(peers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_peers_reads() {
        let peers = vec!["PACS=10.0.0.7:104".to_owned(), "VIEWER=viewer.example:11112".to_owned()];
        let peers = Config { peers, ..Config::default() }.peers().unwrap();
        let shown: Vec<_> = peers.iter().map(|peer| format!("{peer:?}")).collect();
        assert_eq!(shown, ["PACS=10.0.0.7:104", "VIEWER=viewer.example:11112"]);
    }
}
