//! Where application entities are reached: those that a clinic has named, then those of the settings.

use std::sync::Arc;

use clinical::ae_title::AeTitle;
use clinical::id::{ClinicId, PeerId};
use storage::db::{Db, DbError};
use storage::records::peer::DicomPeer;

use crate::scu::Peer;
use crate::tls::TlsClient;

/// Why a peer cannot be called.
#[derive(Debug, thiserror::Error)]
pub enum PeersError {
    /// It wants TLS, and nobody is known to vouch for its certificate.
    #[error("the peer is called over TLS, and dicom_tls_peer_ca names no authority")]
    NoAuthority,
    /// The database failed.
    #[error("the database failed")]
    Database(#[from] DbError),
}

/// Knows whom titles mean; cheap to clone.
#[derive(Clone)]
pub struct Peers {
    db: Db,
    named: Arc<[Peer]>,
    tls: Option<TlsClient>,
}

impl Peers {
    /// Those of the clinics in `db`, and for every clinic those that the settings name; `tls` greets the former where
    /// they want it.
    pub fn new(db: Db, named: Vec<Peer>, tls: Option<TlsClient>) -> Self {
        Self { db, named: named.into(), tls }
    }

    /// Where the clinic reaches this title; `None` for a stranger.
    ///
    /// # Errors
    ///
    /// [`PeersError`]: it is known and cannot be called.
    pub async fn of_title(&self, clinic: ClinicId, title: &AeTitle) -> Result<Option<Peer>, PeersError> {
        let row = DicomPeer::of_title(&mut self.db.of(clinic).read().await?, clinic, title).await?;
        match row {
            Some(row) => self.callable(row).map(Some),
            None => Ok(self.named.iter().find(|peer| peer.ae_title == *title).cloned()),
        }
    }

    /// Where the clinic's peer is reached.
    ///
    /// # Errors
    ///
    /// [`PeersError`]: it is gone ([`DbError::NotFound`]), or cannot be called.
    pub async fn of_id(&self, clinic: ClinicId, id: PeerId) -> Result<Peer, PeersError> {
        let row = DicomPeer::find(&mut self.db.of(clinic).read().await?, clinic, id).await?;
        self.callable(row)
    }

    fn callable(&self, row: DicomPeer) -> Result<Peer, PeersError> {
        let facts = row.facts;
        let tls = match (facts.uses_tls, &self.tls) {
            (false, _) => None,
            (true, Some(tls)) => Some(tls.clone()),
            (true, None) => return Err(PeersError::NoAuthority),
        };
        Ok(Peer { ae_title: facts.ae_title, host: facts.host, port: facts.port, tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::records::peer::PeerFacts;
    use storage::testing::{now, on_both};

    #[tokio::test]
    async fn what_a_clinic_names_goes_before_the_settings_and_counts_there_alone() {
        on_both(async |db| {
            let peers = Peers::new(db.clone(), vec!["PACS=settings:104".parse().unwrap()], None);
            let facts = |title: &str, uses_tls| PeerFacts {
                ae_title: title.parse().unwrap(),
                host: "clinic".into(),
                port: 11112,
                uses_tls,
            };
            let mut tx = db.begin().await.unwrap();
            let ours = ClinicId::DEFAULT;
            let named = DicomPeer::create(&mut tx, ours, facts("PACS", false), now()).await.unwrap();
            DicomPeer::create(&mut tx, ours, facts("SECURE", true), now()).await.unwrap();
            tx.commit().await.unwrap();
            let place = async |clinic, title: &str| {
                let found = peers.of_title(clinic, &title.parse().unwrap()).await;
                found.map(|peer| peer.map(|peer| (peer.host, peer.port)))
            };
            assert_eq!(place(ours, "PACS").await.unwrap(), Some(("clinic".into(), 11112)));
            assert_eq!(place(ClinicId::new(), "PACS").await.unwrap(), Some(("settings".into(), 104)));
            assert_eq!(place(ours, "STRANGER").await.unwrap(), None);
            assert!(matches!(place(ours, "SECURE").await, Err(PeersError::NoAuthority)));
            assert_eq!(peers.of_id(ours, named.peer_id).await.unwrap().host, "clinic");
            let gone = peers.of_id(ClinicId::new(), named.peer_id).await;
            assert!(matches!(gone, Err(PeersError::Database(DbError::NotFound))));
        })
        .await;
    }
}
