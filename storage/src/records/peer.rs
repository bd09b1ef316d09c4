//! Application entities to which a clinic sends.

use chrono::{DateTime, Utc};
use clinical::ae_title::AeTitle;
use clinical::id::{ClinicId, PeerId};
use uuid::Uuid;

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// Where an application entity is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerFacts {
    /// Its title; no two peers of a clinic share one.
    pub ae_title: AeTitle,
    /// A DNS name or an address; a private one is the usual case.
    pub host: String,
    /// The port where it listens.
    pub port: u16,
    /// Whether it is called over TLS.
    pub uses_tls: bool,
}

/// A stored peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DicomPeer {
    /// Our identifier.
    pub peer_id: PeerId,
    /// Where it is reached.
    pub facts: PeerFacts,
    /// When it was named.
    pub created_at: DateTime<Utc>,
}

const SELECT: &str = "SELECT peer_id, ae_title, host, port, uses_tls, created_at FROM dicom_peers ";

impl FromRow for DicomPeer {
    fn from_row(row: &Row) -> Result<Self> {
        let port: i64 = row.get("port")?;
        Ok(Self {
            peer_id: row.id("peer_id")?,
            facts: PeerFacts {
                ae_title: row.parse("ae_title")?,
                host: row.get("host")?,
                port: u16::try_from(port).map_err(|_| DbError::Corrupt("dicom_peers.port".to_owned()))?,
                uses_tls: row.get("uses_tls")?,
            },
            created_at: row.get("created_at")?,
        })
    }
}

impl DicomPeer {
    /// A new peer.
    ///
    /// # Errors
    ///
    /// [`DbError::Conflict`] when the clinic has one of that title.
    pub async fn create(db: &mut Tx, clinic: ClinicId, facts: PeerFacts, now: DateTime<Utc>) -> Result<Self> {
        let insert =
            "INSERT INTO dicom_peers (peer_id, clinic_id, ae_title, host, port, uses_tls, created_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (clinic_id, ae_title) DO NOTHING";
        let peer = Self { peer_id: PeerId::new(), facts, created_at: now };
        let made = sql(insert)
            .bind(peer.peer_id)
            .bind(clinic)
            .bind(peer.facts.ae_title.as_str())
            .bind(&peer.facts.host)
            .bind(i64::from(peer.facts.port))
            .bind(peer.facts.uses_tls)
            .bind(now)
            .execute(db)
            .await?;
        if made == 0 { Err(DbError::Conflict) } else { Ok(peer) }
    }

    /// One peer of one clinic.
    pub async fn find(db: &mut Conn, clinic: ClinicId, id: PeerId) -> Result<Self> {
        built_sql(format!("{SELECT} WHERE clinic_id = $1 AND peer_id = $2"))
            .bind(clinic)
            .bind(id)
            .fetch_one(db)
            .await
    }

    /// The clinic's peer of this title, if it has one.
    pub async fn of_title(db: &mut Conn, clinic: ClinicId, title: &AeTitle) -> Result<Option<Self>> {
        built_sql(format!("{SELECT} WHERE clinic_id = $1 AND ae_title = $2"))
            .bind(clinic)
            .bind(title.as_str())
            .fetch_optional(db)
            .await
    }

    /// The clinic's peers, newest first, from before `after` on.
    pub async fn list(db: &mut Conn, clinic: ClinicId, after: Option<Uuid>, limit: i64) -> Result<Vec<Self>> {
        let from = if after.is_some() { "AND peer_id < $3" } else { "" };
        let text = format!("{SELECT} WHERE clinic_id = $1 {from} ORDER BY peer_id DESC LIMIT $2");
        let statement = built_sql(text).bind(clinic).bind(limit);
        match after {
            Some(after) => statement.bind(after).fetch_all(db).await,
            None => statement.fetch_all(db).await,
        }
    }

    /// Writes where a peer is reached now.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has no such peer, [`DbError::Conflict`] when another has the title.
    pub async fn change(db: &mut Tx, clinic: ClinicId, id: PeerId, facts: &PeerFacts) -> Result<()> {
        let other = Self::of_title(db, clinic, &facts.ae_title).await?;
        if other.is_some_and(|other| other.peer_id != id) {
            return Err(DbError::Conflict);
        }
        let update = "UPDATE dicom_peers SET ae_title = $3, host = $4, port = $5, uses_tls = $6
                       WHERE clinic_id = $1 AND peer_id = $2";
        let changed = sql(update)
            .bind(clinic)
            .bind(id)
            .bind(facts.ae_title.as_str())
            .bind(&facts.host)
            .bind(i64::from(facts.port))
            .bind(facts.uses_tls)
            .execute(db)
            .await?;
        if changed == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }

    /// Removes a peer that no rule names; what was on its way there is forgotten.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when the clinic has no such peer, [`DbError::Conflict`] when a rule names it.
    pub async fn remove(db: &mut Tx, clinic: ClinicId, id: PeerId) -> Result<()> {
        let named = "SELECT rule_id FROM forward_rules WHERE clinic_id = $1 AND peer_id = $2 LIMIT 1";
        if sql(named).bind(clinic).bind(id).fetch_optional::<Uuid>(db).await?.is_some() {
            return Err(DbError::Conflict);
        }
        let delete =
            sql("DELETE FROM dicom_peers WHERE clinic_id = $1 AND peer_id = $2").bind(clinic).bind(id);
        if delete.execute(db).await? == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{now, on_both};

    fn facts(title: &str) -> PeerFacts {
        PeerFacts { ae_title: title.parse().unwrap(), host: "10.0.0.7".into(), port: 11112, uses_tls: true }
    }

    #[tokio::test]
    async fn a_peer_is_made_found_changed_and_removed_in_its_clinic_alone() {
        on_both(async |db| {
            let (ours, theirs) = (ClinicId::DEFAULT, ClinicId::new());
            let mut tx = db.begin().await.unwrap();
            let peer = DicomPeer::create(&mut tx, ours, facts("PACS"), now()).await.unwrap();
            let again = DicomPeer::create(&mut tx, ours, facts("PACS"), now()).await;
            assert!(matches!(again, Err(DbError::Conflict)));
            let other = DicomPeer::create(&mut tx, ours, facts("OTHER"), now()).await.unwrap();
            assert_eq!(DicomPeer::find(&mut tx, ours, peer.peer_id).await.unwrap(), peer);
            assert!(matches!(DicomPeer::find(&mut tx, theirs, peer.peer_id).await, Err(DbError::NotFound)));
            let title = "PACS".parse().unwrap();
            assert_eq!(DicomPeer::of_title(&mut tx, ours, &title).await.unwrap(), Some(peer.clone()));
            assert_eq!(DicomPeer::of_title(&mut tx, theirs, &title).await.unwrap(), None);

            let taken = DicomPeer::change(&mut tx, ours, other.peer_id, &facts("PACS")).await;
            assert!(matches!(taken, Err(DbError::Conflict)));
            let moved = PeerFacts { host: "pacs.example".into(), ..facts("PACS") };
            DicomPeer::change(&mut tx, ours, peer.peer_id, &moved).await.unwrap();
            assert_eq!(DicomPeer::find(&mut tx, ours, peer.peer_id).await.unwrap().facts, moved);

            let listed = DicomPeer::list(&mut tx, ours, None, 1).await.unwrap();
            assert_eq!(listed, std::slice::from_ref(&other));
            let rest = DicomPeer::list(&mut tx, ours, Some(other.peer_id.0), 9).await.unwrap();
            assert_eq!(rest[0].peer_id, peer.peer_id);
            let stranger = DicomPeer::remove(&mut tx, theirs, peer.peer_id).await;
            assert!(matches!(stranger, Err(DbError::NotFound)));
            DicomPeer::remove(&mut tx, ours, peer.peer_id).await.unwrap();
            assert_eq!(DicomPeer::list(&mut tx, ours, None, 9).await.unwrap(), [other]);
        })
        .await;
    }
}
