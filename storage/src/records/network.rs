//! Networks that were added beside those of the box: card, weights, and whether they have proved themselves.
//!
//! A network is no clinic's; the states in which it runs are ([`States`]).

pub mod comparison;
pub mod quality;
mod states;

use chrono::{DateTime, Utc};
use clinical::id::NetworkId;

pub use states::{Change, NetworkName, States};

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, built_sql, sql};

/// The most networks that are listed; more than anybody has.
const MOST: i64 = 1000;

/// A network that is to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNetwork {
    /// The card's name.
    pub name: String,
    /// The card's version.
    pub version: String,
    /// SHA-256 of the weights, by the card.
    pub sha256: String,
    /// The card as it was given.
    pub card: String,
    /// Images and what the network must answer to them, as JSON.
    pub reference: Option<String>,
    /// Who adds it.
    pub added_by: String,
}

/// How far a network has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// Its weights have not come yet.
    NoWeights,
    /// It has not been run yet.
    Waiting,
    /// It ran as its card says.
    Proved {
        /// When.
        at: DateTime<Utc>,
        /// What was seen, in words.
        word: String,
    },
    /// It did not.
    Refused {
        /// The stable code of the reason.
        code: String,
        /// What to mend.
        reason: String,
    },
}

impl Proof {
    /// The word for it: `no-weights`, `waiting`, `proved` or `refused`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoWeights => "no-weights",
            Self::Waiting => "waiting",
            Self::Proved { .. } => "proved",
            Self::Refused { .. } => "refused",
        }
    }
}

/// An added network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNetwork {
    /// Our identifier.
    pub network_id: NetworkId,
    /// The card's name.
    pub name: String,
    /// The card's version.
    pub version: String,
    /// SHA-256 of the weights, by the card.
    pub sha256: String,
    /// The card as it was given.
    pub card: String,
    /// Where the weights lie; absent until they have come.
    pub blob_key: Option<String>,
    /// Their size.
    pub size_bytes: Option<i64>,
    /// Who added it.
    pub added_by: String,
    /// When.
    pub added_at: DateTime<Utc>,
    /// How far it has come.
    pub proof: Proof,
}

const SELECT: &str = "SELECT network_id, name, version, sha256, card, blob_key, size_bytes, added_by,
           added_at, proved_at, proved_word, refusal_code, refusal FROM networks ";

impl FromRow for StoredNetwork {
    fn from_row(row: &Row) -> Result<Self> {
        let blob_key: Option<String> = row.get("blob_key")?;
        let refusal: Option<String> = row.get("refusal_code")?;
        let proof = match (row.get("proved_at")?, refusal, &blob_key) {
            (Some(at), ..) => {
                Proof::Proved { at, word: row.get::<Option<String>>("proved_word")?.unwrap_or_default() }
            }
            (None, Some(code), _) => {
                Proof::Refused { code, reason: row.get::<Option<String>>("refusal")?.unwrap_or_default() }
            }
            (None, None, Some(_)) => Proof::Waiting,
            (None, None, None) => Proof::NoWeights,
        };
        Ok(Self {
            network_id: row.id("network_id")?,
            name: row.get("name")?,
            version: row.get("version")?,
            sha256: row.get("sha256")?,
            card: row.get("card")?,
            blob_key,
            size_bytes: row.get("size_bytes")?,
            added_by: row.get("added_by")?,
            added_at: row.get("added_at")?,
            proof,
        })
    }
}

struct Reference(Option<String>);

impl FromRow for Reference {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self(row.get("reference")?))
    }
}

/// Where a network's weights lie in the archive: outside the clinics, for they are nobody's.
pub fn weights_key(sha256: &str) -> String {
    format!("networks/{sha256}.onnx")
}

impl StoredNetwork {
    /// Writes a network that has no weights yet; one that was refused makes room for the new one.
    ///
    /// # Errors
    ///
    /// [`DbError::Conflict`] when there is one of this name and version.
    pub async fn add(db: &mut Tx, new: &NewNetwork, now: DateTime<Utc>) -> Result<NetworkId> {
        sql("DELETE FROM networks WHERE name = $1 AND version = $2 AND refusal_code IS NOT NULL")
            .bind(&new.name)
            .bind(&new.version)
            .execute(db)
            .await?;
        let insert =
            "INSERT INTO networks (network_id, name, version, sha256, card, reference, added_by, added_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (name, version) DO NOTHING";
        let id = NetworkId::new();
        let written = sql(insert)
            .bind(id)
            .bind(&new.name)
            .bind(&new.version)
            .bind(&new.sha256)
            .bind(&new.card)
            .bind(new.reference.clone())
            .bind(&new.added_by)
            .bind(now)
            .execute(db)
            .await?;
        if written == 0 { Err(DbError::Conflict) } else { Ok(id) }
    }

    /// Writes that the weights lie in the archive; the network waits for its proof then.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when there is no such network.
    pub async fn weights_came(db: &mut Tx, id: NetworkId, size_bytes: i64) -> Result<()> {
        let key = weights_key(&Self::find(db, id).await?.sha256);
        let update = "UPDATE networks SET blob_key = $2, size_bytes = $3, refusal_code = NULL, refusal = NULL
                       WHERE network_id = $1";
        sql(update).bind(id).bind(key).bind(size_bytes).execute(db).await?;
        Ok(())
    }

    /// Writes what the proof gave: in words what was seen, or the code and the reason of a refusal.
    ///
    /// # Errors
    ///
    /// [`DbError::NotFound`] when there is no such network.
    pub async fn judged(
        db: &mut Tx,
        id: NetworkId,
        verdict: Result<&str, (&str, &str)>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let (proved_at, word, code, reason) = match verdict {
            Ok(word) => (Some(now), Some(word), None, None),
            Err((code, reason)) => (None, None, Some(code), Some(reason)),
        };
        let update = "UPDATE networks SET proved_at = $2, proved_word = $3, refusal_code = $4, refusal = $5
                       WHERE network_id = $1";
        let changed =
            sql(update).bind(id).bind(proved_at).bind(word).bind(code).bind(reason).execute(db).await?;
        if changed == 0 { Err(DbError::NotFound) } else { Ok(()) }
    }

    /// One network.
    pub async fn find(db: &mut Conn, id: NetworkId) -> Result<Self> {
        built_sql(format!("{SELECT} WHERE network_id = $1")).bind(id).fetch_one(db).await
    }

    /// Images and what a network must answer to them, as JSON; `None` where none were given.
    pub async fn reference(db: &mut Conn, id: NetworkId) -> Result<Option<String>> {
        let row = sql("SELECT reference FROM networks WHERE network_id = $1").bind(id);
        Ok(row.fetch_one::<Reference>(db).await?.0)
    }

    /// The network of this name and version, if it was added.
    pub async fn named(db: &mut Conn, name: &str, version: &str) -> Result<Option<Self>> {
        built_sql(format!("{SELECT} WHERE name = $1 AND version = $2"))
            .bind(name)
            .bind(version)
            .fetch_optional(db)
            .await
    }

    /// Every network, in the order in which they were added.
    pub async fn all(db: &mut Conn) -> Result<Vec<Self>> {
        built_sql(format!("{SELECT} ORDER BY network_id LIMIT $1")).bind(MOST).fetch_all(db).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{now, on_both};

    fn new(version: &str) -> NewNetwork {
        NewNetwork {
            name: "lungs".to_owned(),
            version: version.to_owned(),
            sha256: "ab".repeat(32),
            card: "schema = 2".to_owned(),
            reference: Some("{}".to_owned()),
            added_by: "test".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_network_gets_its_weights_and_then_its_proof() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let id = StoredNetwork::add(&mut tx, &new("1.0.0"), now()).await.unwrap();
            assert_eq!(StoredNetwork::find(&mut tx, id).await.unwrap().proof, Proof::NoWeights);
            assert_eq!(StoredNetwork::reference(&mut tx, id).await.unwrap().as_deref(), Some("{}"));
            StoredNetwork::weights_came(&mut tx, id, 42).await.unwrap();
            let waiting = StoredNetwork::find(&mut tx, id).await.unwrap();
            assert_eq!(waiting.proof, Proof::Waiting);
            assert_eq!(waiting.blob_key, Some(weights_key(&waiting.sha256)));
            StoredNetwork::judged(&mut tx, id, Ok("runs"), now()).await.unwrap();
            tx.commit().await.unwrap();
            let mut read = db.read().await.unwrap();
            let proved = StoredNetwork::named(&mut read, "lungs", "1.0.0").await.unwrap().unwrap();
            assert_eq!(proved.proof, Proof::Proved { at: now(), word: "runs".to_owned() });
            assert_eq!(proved.size_bytes, Some(42));
            assert_eq!(StoredNetwork::all(&mut read).await.unwrap(), [proved]);
        })
        .await;
    }

    #[tokio::test]
    async fn a_name_and_version_stand_once_unless_the_first_was_refused() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let id = StoredNetwork::add(&mut tx, &new("1.0.0"), now()).await.unwrap();
            StoredNetwork::add(&mut tx, &new("1.1.0"), now()).await.unwrap();
            let again = StoredNetwork::add(&mut tx, &new("1.0.0"), now()).await;
            assert!(matches!(again, Err(DbError::Conflict)));
            StoredNetwork::weights_came(&mut tx, id, 1).await.unwrap();
            StoredNetwork::judged(&mut tx, id, Err(("unsupported-operator", "Foo")), now()).await.unwrap();
            let refused = StoredNetwork::find(&mut tx, id).await.unwrap();
            assert_eq!(
                refused.proof,
                Proof::Refused { code: "unsupported-operator".to_owned(), reason: "Foo".to_owned() }
            );
            StoredNetwork::add(&mut tx, &new("1.0.0"), now()).await.unwrap();
            assert!(matches!(StoredNetwork::find(&mut tx, id).await, Err(DbError::NotFound)));
        })
        .await;
    }
}
