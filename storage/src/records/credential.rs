//! What opens the door of a provider: sealed, for one clinic, or for every one that has none of its own.

use std::fmt;

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, CredentialId};

use crate::db::{Conn, DbError, FromRow, Result, Row, Tx, sql};
use crate::secret::{Keyring, Plain, SYSTEM, Sealed, SecretError};

/// A stored credential; its secret is opened by [`Credential::open`] alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    /// Our identifier.
    pub credential_id: CredentialId,
    /// Whose it is; [`SYSTEM`] where it serves every clinic that has none.
    pub clinic_id: ClinicId,
    /// What it is for: `email`, `sms`, `billing` …
    pub purpose: String,
    /// 0 is tried first.
    pub place: i64,
    /// Whose door it opens.
    pub provider: String,
    /// What may be shown.
    pub public: serde_json::Value,
    /// The secret; `None` where the provider needs none.
    pub sealed: Option<Sealed>,
    /// Since when it is so.
    pub changed_at: DateTime<Utc>,
}

impl FromRow for Credential {
    fn from_row(row: &Row) -> Result<Self> {
        let sealed: Option<String> = row.get("sealed")?;
        let corrupt = |_| DbError::Corrupt("credentials.sealed".to_owned());
        Ok(Self {
            credential_id: row.id("credential_id")?,
            clinic_id: row.id("clinic_id")?,
            purpose: row.get("purpose")?,
            place: row.get("place")?,
            provider: row.get("provider")?,
            public: row.get("public")?,
            sealed: sealed.map(|text| text.parse().map_err(corrupt)).transpose()?,
            changed_at: row.get("changed_at")?,
        })
    }
}

/// What becomes of a provider's secret.
pub enum NewSecret {
    /// This is it from now on.
    Set(Plain),
    /// There is none.
    None,
    /// It stays as it was stored for the same purpose and provider.
    Keep,
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Set(_) => "Set(…)",
            Self::None => "None",
            Self::Keep => "Keep",
        })
    }
}

/// A provider as a clinic names it.
#[derive(Debug)]
pub struct NewCredential {
    /// Whose door it opens.
    pub provider: String,
    /// What may be shown.
    pub public: serde_json::Value,
    /// What must not.
    pub secret: NewSecret,
}

/// Why credentials were not written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The secret could not be sealed.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

const SELECT: &str = "SELECT credential_id, clinic_id, purpose, place, provider, public, sealed, changed_at
                        FROM credentials WHERE clinic_id = $1 AND purpose = $2 ORDER BY place";

impl Credential {
    /// The clinic's own providers for `purpose`, the first to try first.
    pub async fn of(db: &mut Conn, clinic: ClinicId, purpose: &str) -> Result<Vec<Self>> {
        sql(SELECT).bind(clinic).bind(purpose).fetch_all(db).await
    }

    /// The providers that serve the clinic for `purpose`: its own, else those of the system.
    ///
    /// `db` must be the system's handle: a clinic's sees its own alone.
    pub async fn serving(db: &mut Conn, clinic: ClinicId, purpose: &str) -> Result<Vec<Self>> {
        match Self::of(db, clinic, purpose).await? {
            own if own.is_empty() => Self::of(db, SYSTEM, purpose).await,
            own => Ok(own),
        }
    }

    /// The providers of every clinic and of the system for `purpose`, to ask each how it is.
    ///
    /// `db` must be the system's handle: a clinic's sees its own alone.
    pub async fn every(db: &mut Conn, purpose: &str) -> Result<Vec<Self>> {
        let select = "SELECT credential_id, clinic_id, purpose, place, provider, public, sealed, changed_at
                        FROM credentials WHERE purpose = $1 ORDER BY clinic_id, place";
        sql(select).bind(purpose).fetch_all(db).await
    }

    /// Writes the clinic's providers for `purpose`, the first to try first, in place of what it had; none removes
    /// all of them, and those of the system serve it.
    ///
    /// # Errors
    ///
    /// [`CredentialError`].
    pub async fn replace(
        db: &mut Tx,
        keys: &Keyring,
        clinic: ClinicId,
        purpose: &str,
        providers: Vec<NewCredential>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Self>, CredentialError> {
        let before = Self::of(db, clinic, purpose).await?;
        let delete = "DELETE FROM credentials WHERE clinic_id = $1 AND purpose = $2";
        sql(delete).bind(clinic).bind(purpose).execute(db).await?;
        let mut written = Vec::with_capacity(providers.len());
        for (place, new) in (0_i64..).zip(providers) {
            let sealed = match &new.secret {
                NewSecret::Set(plain) => Some(keys.seal(clinic, &sealed_for(purpose), plain)?),
                NewSecret::None => None,
                NewSecret::Keep => kept(&before, &new.provider, place),
            };
            let credential = Self {
                credential_id: CredentialId::new(),
                clinic_id: clinic,
                purpose: purpose.to_owned(),
                place,
                provider: new.provider,
                public: new.public,
                sealed,
                changed_at: now,
            };
            credential.insert(db).await?;
            written.push(credential);
        }
        Ok(written)
    }

    async fn insert(&self, db: &mut Tx) -> Result<()> {
        let insert =
            "INSERT INTO credentials (credential_id, clinic_id, purpose, place, provider, public, sealed,
                                               changed_at)
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        sql(insert)
            .bind(self.credential_id)
            .bind(self.clinic_id)
            .bind(&self.purpose)
            .bind(self.place)
            .bind(&self.provider)
            .bind(self.public.clone())
            .bind(self.sealed.as_ref().map(ToString::to_string))
            .bind(self.changed_at)
            .execute(db)
            .await
            .map(|_| ())
    }

    /// The secret; `None` where the provider needs none.
    ///
    /// # Errors
    ///
    /// [`SecretError`] when it does not open.
    pub fn open(&self, keys: &Keyring) -> Result<Option<Plain>, SecretError> {
        let purpose = sealed_for(&self.purpose);
        self.sealed.as_ref().map(|sealed| keys.open(self.clinic_id, &purpose, sealed)).transpose()
    }
}

/// What a secret of this purpose is sealed for; `secret::rotate` says the same in SQL.
fn sealed_for(purpose: &str) -> String {
    format!("credential:{purpose}")
}

/// The provider's secret as it was stored, at the same place if it stands at several.
fn kept(before: &[Credential], provider: &str, place: i64) -> Option<Sealed> {
    let theirs = || before.iter().filter(|it| it.provider == provider);
    let found = theirs().find(|it| it.place == place).or_else(|| theirs().next());
    found.and_then(|it| it.sealed.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::rotate;
    use crate::testing::{keyring, now, on_both};
    use serde_json::json;

    const CLINIC: ClinicId = ClinicId::DEFAULT;

    fn new(provider: &str, secret: NewSecret) -> NewCredential {
        NewCredential { provider: provider.into(), public: json!({"from": "a@b.org"}), secret }
    }

    fn set(secret: &str) -> NewSecret {
        NewSecret::Set(Plain::new(secret))
    }

    #[tokio::test]
    async fn a_secret_opens_for_its_clinic_and_stays_when_only_the_rest_is_changed() {
        on_both(async |db| {
            let keys = keyring("a");
            let mut tx = db.begin().await.unwrap();
            let providers = vec![new("smtp", set("one")), new("aws_ses", set("two"))];
            let written =
                Credential::replace(&mut tx, &keys, CLINIC, "email", providers, now()).await.unwrap();
            assert_eq!(Credential::of(&mut tx, CLINIC, "email").await.unwrap(), written);
            let swapped = vec![new("aws_ses", NewSecret::Keep), new("zeptomail", NewSecret::Keep)];
            let written = Credential::replace(&mut tx, &keys, CLINIC, "email", swapped, now()).await.unwrap();
            assert_eq!(&*written[0].open(&keys).unwrap().unwrap(), b"two");
            assert!(written[1].open(&keys).unwrap().is_none(), "it never had one");
            let moved = Credential { clinic_id: ClinicId::new(), ..written[0].clone() };
            assert!(matches!(moved.open(&keys), Err(SecretError::Damaged)));
            let relabelled = Credential { purpose: "billing".into(), ..written[0].clone() };
            assert!(matches!(relabelled.open(&keys), Err(SecretError::Damaged)));
        })
        .await;
    }

    #[tokio::test]
    async fn a_clinic_without_providers_of_its_own_is_served_by_the_systems() {
        on_both(async |db| {
            let keys = keyring("a");
            let mut tx = db.begin().await.unwrap();
            let write = async |tx: &mut Tx, clinic, providers| {
                Credential::replace(tx, &keys, clinic, "sms", providers, now()).await.unwrap()
            };
            write(&mut tx, SYSTEM, vec![new("twilio", set("all"))]).await;
            let serving = Credential::serving(&mut tx, CLINIC, "sms").await.unwrap();
            assert_eq!(serving[0].clinic_id, SYSTEM);
            assert_eq!(&*serving[0].open(&keys).unwrap().unwrap(), b"all");
            write(&mut tx, CLINIC, vec![new("aws_sns", set("own"))]).await;
            let serving = Credential::serving(&mut tx, CLINIC, "sms").await.unwrap();
            assert_eq!((serving[0].provider.as_str(), serving.len()), ("aws_sns", 1));
            let every = Credential::every(&mut tx, "sms").await.unwrap();
            assert_eq!(every.iter().map(|it| it.clinic_id).collect::<Vec<_>>(), [SYSTEM, CLINIC]);
            write(&mut tx, CLINIC, vec![]).await;
            assert_eq!(Credential::serving(&mut tx, CLINIC, "sms").await.unwrap()[0].provider, "twilio");
        })
        .await;
    }

    #[tokio::test]
    async fn a_rotation_seals_everything_under_the_new_key_and_may_be_run_again() {
        on_both(async |db| {
            let old = keyring("old");
            let mut tx = db.begin().await.unwrap();
            for number in 0..230 {
                let purpose = format!("p{number:03}");
                let providers = vec![new("smtp", set(&purpose))];
                Credential::replace(&mut tx, &old, CLINIC, &purpose, providers, now()).await.unwrap();
            }
            let system = vec![new("smtp", set("system"))];
            Credential::replace(&mut tx, &old, SYSTEM, "email", system, now()).await.unwrap();
            tx.commit().await.unwrap();
            let both = keyring("new,old");
            let rotated = rotate(&db, &both).await.unwrap();
            assert_eq!((rotated.sealed, rotated.passed), (231, 0), "three pages");
            assert_eq!(rotate(&db, &both).await.unwrap().sealed, 0);
            let new = keyring("new");
            let mut read = db.read().await.unwrap();
            for (clinic, purpose, secret) in [(CLINIC, "p229", "p229"), (SYSTEM, "email", "system")] {
                let found = Credential::of(&mut read, clinic, purpose).await.unwrap();
                assert_eq!(&*found[0].open(&new).unwrap().unwrap(), secret.as_bytes());
            }
            let refused = rotate(&db, &keyring("third")).await.unwrap_err().to_string();
            assert!(refused.starts_with("credentials ") && refused.contains("\"new\""), "{refused}");
        })
        .await;
    }
}
