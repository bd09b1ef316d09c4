//! The data keys: each clinic's own, sealed under the key-encryption keys, by which its blobs are sealed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use clinical::clock::Clock;
use clinical::id::ClinicId;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::db::{Db, DbError, FromRow, Result, Row, sql};
use crate::secret::{KEY_BYTES, Keyring, Plain, Sealed, SecretError};

/// What a data key is sealed for; `secret::rotate` says the same in SQL.
const PURPOSE: &str = "data_key";
/// So many opened keys are kept at hand.
const KEYS: usize = 1024;

/// Why there is no data key to use.
#[derive(Debug, thiserror::Error)]
pub enum DataKeyError {
    /// The clinic has no such key.
    #[error("the clinic has no such data key")]
    Unknown,
    /// The database failed.
    #[error(transparent)]
    Database(DbError),
    /// The key does not open.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

impl From<DbError> for DataKeyError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::NotFound => Self::Unknown,
            error => Self::Database(error),
        }
    }
}

/// An opened data key.
#[derive(Clone)]
pub(crate) struct DataKey {
    pub(crate) id: Uuid,
    pub(crate) key: Arc<Plain>,
}

/// The data keys of every clinic; cheap to clone.
#[derive(Clone)]
pub struct DataKeys(Arc<Store>);

struct Store {
    db: Db,
    keyring: Keyring,
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By clinic and identifier.
    opened: HashMap<(ClinicId, Uuid), DataKey>,
    /// Which one seals the clinic's new blobs.
    latest: HashMap<ClinicId, Uuid>,
}

struct Kept {
    id: Uuid,
    sealed: Sealed,
}

impl FromRow for Kept {
    fn from_row(row: &Row) -> Result<Self> {
        Ok(Self { id: row.get("data_key_id")?, sealed: row.parse("sealed")? })
    }
}

impl DataKeys {
    /// Those that `db` keeps, the system's handle, under the keys of `keyring`.
    pub fn new(db: Db, keyring: Keyring, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Store { db, keyring, clock, known: Mutex::default() }))
    }

    /// The key that seals the clinic's new blobs, made when it has none.
    pub(crate) async fn latest(&self, clinic: ClinicId) -> Result<DataKey, DataKeyError> {
        if let Some(known) = self.known(|known| {
            let id = known.latest.get(&clinic)?;
            known.opened.get(&(clinic, *id)).cloned()
        }) {
            return Ok(known);
        }
        let find = "SELECT data_key_id, sealed FROM data_keys WHERE clinic_id = $1 ORDER BY data_key_id DESC LIMIT 1";
        let kept: Option<Kept> = sql(find).bind(clinic).fetch_optional(&mut self.0.db.read().await?).await?;
        let key = match kept {
            Some(kept) => self.open(clinic, &kept)?,
            None => self.make(clinic).await?,
        };
        self.known(|known| known.latest.insert(clinic, key.id));
        Ok(key)
    }

    /// A key of the clinic for another purpose, the same for as long as the clinic has its first data key: 32 bytes.
    ///
    /// # Errors
    ///
    /// [`DataKeyError`] when there is no data key to derive it from.
    pub async fn derived(
        &self,
        clinic: ClinicId,
        purpose: &str,
    ) -> Result<Zeroizing<[u8; 32]>, DataKeyError> {
        self.latest(clinic).await?;
        let first =
            "SELECT data_key_id, sealed FROM data_keys WHERE clinic_id = $1 ORDER BY data_key_id LIMIT 1";
        let kept: Kept = sql(first).bind(clinic).fetch_one(&mut self.0.db.read().await?).await?;
        let key = self.open(clinic, &kept)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key.key);
        let mut derived = Zeroizing::new([0; 32]);
        derived.copy_from_slice(hmac::sign(&key, purpose.as_bytes()).as_ref());
        Ok(derived)
    }

    /// The clinic's key of this identifier.
    pub(crate) async fn find(&self, clinic: ClinicId, id: Uuid) -> Result<DataKey, DataKeyError> {
        if let Some(known) = self.known(|known| known.opened.get(&(clinic, id)).cloned()) {
            return Ok(known);
        }
        let find = "SELECT data_key_id, sealed FROM data_keys WHERE clinic_id = $1 AND data_key_id = $2";
        let kept: Kept = sql(find).bind(clinic).bind(id).fetch_one(&mut self.0.db.read().await?).await?;
        self.open(clinic, &kept)
    }

    /// Two processes that make the first key at once make two, and both count.
    async fn make(&self, clinic: ClinicId) -> Result<DataKey, DataKeyError> {
        let (id, key) = (Uuid::now_v7(), Plain::random(KEY_BYTES)?);
        let sealed = self.0.keyring.seal(clinic, PURPOSE, &key)?;
        let mut tx = self.0.db.begin().await?;
        sql("INSERT INTO data_keys (data_key_id, clinic_id, sealed, created_at) VALUES ($1, $2, $3, $4)")
            .bind(id)
            .bind(clinic)
            .bind(&sealed)
            .bind(self.0.clock.now())
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        Ok(self.keep(clinic, DataKey { id, key: Arc::new(key) }))
    }

    fn open(&self, clinic: ClinicId, kept: &Kept) -> Result<DataKey, DataKeyError> {
        let key = self.0.keyring.open(clinic, PURPOSE, &kept.sealed)?;
        Ok(self.keep(clinic, DataKey { id: kept.id, key: Arc::new(key) }))
    }

    fn keep(&self, clinic: ClinicId, key: DataKey) -> DataKey {
        self.known(|known| {
            if known.opened.len() >= KEYS {
                *known = Known::default();
            }
            known.opened.insert((clinic, key.id), key.clone());
        });
        key
    }

    fn known<T>(&self, ask: impl FnOnce(&mut Known) -> T) -> T {
        ask(&mut self.0.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataKeys({:?})", self.0.keyring)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::clinic::Clinic;
    use crate::secret::rotate;
    use crate::testing::{keyring, now, on_both};
    use clinical::clock::SystemClock;

    fn keys(db: &Db, names: &str) -> DataKeys {
        DataKeys::new(db.clone(), keyring(names), Arc::new(SystemClock))
    }

    #[tokio::test]
    async fn a_clinic_keeps_its_key_through_restarts_and_a_rotation_and_no_other_clinic_has_it() {
        on_both(async |db| {
            let mut tx = db.begin().await.unwrap();
            let other = Clinic::create(&mut tx, "Other", "UTC", now()).await.unwrap().clinic_id;
            tx.commit().await.unwrap();
            let clinic = ClinicId::DEFAULT;
            let first = keys(&db, "old");
            let made = first.latest(clinic).await.unwrap();
            assert_eq!(first.latest(clinic).await.unwrap().id, made.id);
            assert_ne!(&**first.latest(other).await.unwrap().key, &**made.key);
            let foreign = keys(&db, "old").find(other, made.id).await;
            assert!(matches!(foreign, Err(DataKeyError::Unknown)));

            assert_eq!(rotate(&db, &keyring("new,old")).await.unwrap().sealed, 2);
            let after = keys(&db, "new").find(clinic, made.id).await.unwrap();
            assert_eq!(&**after.key, &**made.key);
            assert_eq!(&**keys(&db, "new").latest(clinic).await.unwrap().key, &**made.key);
            let without = keys(&db, "old").latest(clinic).await;
            assert!(matches!(without, Err(DataKeyError::Secret(SecretError::UnknownKey(_)))));
        })
        .await;
    }
}
