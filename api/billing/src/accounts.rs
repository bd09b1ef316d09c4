//! Which account at which provider serves a clinic: its own, else the service's.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use clinical::id::{ClinicId, CredentialId};
use storage::db::{Db, DbError};
use storage::records::credential::Credential;
use storage::secret::{Keyring, SYSTEM, SecretError};

use crate::provider::{PaymentProvider, ProviderName};

/// The purpose that credentials of payment providers are kept for.
pub(crate) const PURPOSE: &str = "billing";
/// So many accounts stay ready.
const READY: usize = 1_000;

/// An account that is ready to be asked.
pub type Account = Arc<dyn PaymentProvider>;

/// What an account is made from: its parts by the names that each adapter gives them.
pub type Parts = BTreeMap<String, String>;

/// Makes an account of its parts; `None` where one is missing.
pub type Maker = Arc<dyn Fn(ProviderName, &Parts) -> Option<Account> + Send + Sync>;

/// Why an account could not be made ready.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// Its secret does not open.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// Nobody has set it up.
    #[error("{0} is not set up")]
    NotSetUp(ProviderName),
}

/// The accounts of all clinics; cheap to clone.
#[derive(Clone)]
pub struct Accounts(Arc<Inner>);

struct Inner {
    db: Db,
    keyring: Keyring,
    /// Those of the settings, which serve every clinic without its own.
    common: BTreeMap<ProviderName, Account>,
    maker: Maker,
    ready: Mutex<HashMap<CredentialId, Account>>,
}

impl Accounts {
    /// `common` serve every clinic that has none of its own.
    pub fn new(db: Db, keyring: Keyring, common: impl IntoIterator<Item = Account>, maker: Maker) -> Self {
        let common = common.into_iter().map(|account| (account.name(), account)).collect();
        Self(Arc::new(Inner { db, keyring, common, maker, ready: Mutex::default() }))
    }

    /// What makes accounts of what clinics have set.
    pub(crate) fn keyring(&self) -> &Keyring {
        &self.0.keyring
    }

    /// Whether an account can be made of `parts`.
    pub(crate) fn can_be_made(&self, name: ProviderName, parts: &Parts) -> bool {
        (self.0.maker)(name, parts).is_some()
    }

    /// The clinic's account at `name`; those of [`SYSTEM`] are the service's.
    ///
    /// # Errors
    ///
    /// [`AccountError::NotSetUp`] where there is none.
    pub async fn of(&self, clinic: ClinicId, name: ProviderName) -> Result<Account, AccountError> {
        let stored = Credential::serving(&mut self.0.db.read().await?, clinic, PURPOSE).await?;
        if stored.is_empty() {
            return self.0.common.get(&name).cloned().ok_or(AccountError::NotSetUp(name));
        }
        let found = stored.iter().find(|credential| credential.provider == name.as_str());
        let credential = found.ok_or(AccountError::NotSetUp(name))?;
        if let Some(ready) = self.ready().get(&credential.credential_id) {
            return Ok(Arc::clone(ready));
        }
        let secret = credential.open(&self.0.keyring)?.ok_or(AccountError::NotSetUp(name))?;
        let parts: Parts = serde_json::from_slice(&secret).map_err(|_| SecretError::Malformed)?;
        let made = (self.0.maker)(name, &parts).ok_or(AccountError::NotSetUp(name))?;
        let mut ready = self.ready();
        if ready.len() >= READY {
            ready.clear();
        }
        ready.insert(credential.credential_id, Arc::clone(&made));
        Ok(made)
    }

    /// The service's own account, of the settings or set for every clinic.
    ///
    /// # Errors
    ///
    /// As [`Accounts::of`].
    pub async fn common(&self, name: ProviderName) -> Result<Account, AccountError> {
        self.of(SYSTEM, name).await
    }

    /// The providers where the clinic has an account, and whether they are its own.
    pub(crate) async fn names(&self, clinic: ClinicId) -> Result<(Vec<ProviderName>, bool), DbError> {
        let stored = Credential::serving(&mut self.0.db.read().await?, clinic, PURPOSE).await?;
        if stored.is_empty() {
            return Ok((self.0.common.keys().copied().collect(), false));
        }
        let is_own = stored.iter().any(|credential| credential.clinic_id == clinic && clinic != SYSTEM);
        Ok((stored.iter().filter_map(|credential| credential.provider.parse().ok()).collect(), is_own))
    }

    /// How many accounts there are: of the settings, of every clinic and of each.
    pub(crate) async fn count(&self) -> Result<usize, DbError> {
        let stored = Credential::every(&mut self.0.db.read().await?, PURPOSE).await?;
        Ok(self.0.common.len() + stored.len())
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, HashMap<CredentialId, Account>> {
        self.0.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
