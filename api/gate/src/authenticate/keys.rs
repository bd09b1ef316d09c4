//! The keys that sign access tokens: read from the database, held in memory, replaced without a sign-out.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use aws_lc_rs::encoding::{AsDer, Pkcs8V2Der};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use clinical::clock::Clock;
use clinical::id::{SessionId, UserId};
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::{Value, json};
use storage::db::{Db, DbError, Tx};
use storage::records::signing_key::{PRIVATE_KEY_PURPOSE, SigningKey};
use storage::secret::{Keyring, SYSTEM};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::jwt::{self, AccessToken, Claims, TokenSettings};
use crate::Problem;

/// The keys are read again for an unknown `kid` no more often than this, however many ask.
const REREAD_AT_MOST: Duration = Duration::from_secs(2);
/// They are read again, at the next token that was not seen before, when they are older.
const REREAD_AT_LEAST: Duration = Duration::from_secs(20);
/// A new key signs so long after it was made: twice as long as others may take to read it.
const HEARD_OF: TimeDelta = TimeDelta::seconds(40);
/// An old key verifies so much longer than its last token may count.
const SLACK: TimeDelta = TimeDelta::minutes(5);

/// A key could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the machine made no key")]
struct NoKey;

/// One key at hand.
struct Known {
    kid: String,
    x: String,
    decoding: DecodingKey,
    /// `None` where the key-encryption key is not at hand: it verifies, and others sign.
    encoding: Option<EncodingKey>,
    signs_from: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
}

/// The keys as they were read, youngest first.
#[derive(Default)]
struct Set {
    keys: Vec<Known>,
    read_at: Option<Instant>,
}

impl Set {
    fn is_older_than(&self, age: Duration) -> bool {
        self.read_at.is_none_or(|read_at| read_at.elapsed() >= age)
    }

    fn find(&self, kid: &str, now: DateTime<Utc>) -> Option<&Known> {
        self.keys.iter().find(|key| key.kid == kid && key.expires_at.is_none_or(|end| now < end))
    }

    fn signer(&self, now: DateTime<Utc>) -> Option<(&Known, &EncodingKey)> {
        let ready = self
            .keys
            .iter()
            .filter(|key| key.signs_from <= now && key.expires_at.is_none_or(|end| now < end));
        ready.into_iter().find_map(|key| Some((key, key.encoding.as_ref()?)))
    }
}

/// The keys, and where they are kept.
pub(super) struct Keys {
    db: Db,
    clock: Arc<dyn Clock>,
    keyring: Keyring,
    settings: TokenSettings,
    set: RwLock<Arc<Set>>,
    /// One reads or makes keys at a time.
    turn: Mutex<()>,
}

impl Keys {
    pub fn new(db: Db, clock: Arc<dyn Clock>, keyring: Keyring, settings: TokenSettings) -> Self {
        Self { db, clock, keyring, settings, set: RwLock::default(), turn: Mutex::new(()) }
    }

    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// What the token says, if one of our keys signed it and it counts.
    pub async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Option<Claims>, DbError> {
        let Some(kid) = jwt::key_named(token) else { return Ok(None) };
        let mut set = self.set_younger_than(REREAD_AT_LEAST).await?;
        if set.find(&kid, now).is_none() {
            set = self.set_younger_than(REREAD_AT_MOST).await?;
        }
        let Some(key) = set.find(&kid, now) else { return Ok(None) };
        Ok(jwt::verify(token, &key.decoding, &self.settings, now))
    }

    pub async fn issue(
        &self,
        user: UserId,
        session: SessionId,
        now: DateTime<Utc>,
    ) -> Result<AccessToken, Problem> {
        let claims = Claims::new(&self.settings, user, session, now);
        let mut set = self.set_younger_than(REREAD_AT_LEAST).await?;
        if set.signer(now).is_none() {
            set = self.first_key(now).await?;
        }
        let signed = set.signer(now).and_then(|(key, encoding)| jwt::sign(&claims, &key.kid, encoding));
        let text = signed.ok_or_else(|| Problem::internal("signing-failed", &NoKey))?;
        Ok(AccessToken { text, expires_in_s: self.settings.lives.num_seconds() })
    }

    /// A new key, kept once `tx` is committed; nobody needs to read it before it signs.
    pub async fn rotate(&self, tx: &mut Tx, now: DateTime<Utc>) -> Result<String, Problem> {
        let is_first = self.set_younger_than(Duration::ZERO).await?.signer(now).is_none();
        let key = self.make(tx, if is_first { now } else { now + HEARD_OF }, now).await?;
        Ok(key.signing_key_id.to_string())
    }

    pub async fn jwks(&self, now: DateTime<Utc>) -> Result<Value, DbError> {
        let set = self.set_younger_than(REREAD_AT_MOST).await?;
        let live = set.keys.iter().filter(|key| key.expires_at.is_none_or(|end| now < end));
        let keys: Vec<Value> = live
            .map(|key| {
                json!({"kty": "OKP", "crv": "Ed25519", "x": key.x, "kid": key.kid, "use": "sig", "alg": "EdDSA"})
            })
            .collect();
        Ok(json!({ "keys": keys }))
    }

    /// The keys as they were read not longer ago than `age`.
    async fn set_younger_than(&self, age: Duration) -> Result<Arc<Set>, DbError> {
        let set = self.set();
        if !set.is_older_than(age) {
            return Ok(set);
        }
        let _turn = self.turn.lock().await;
        let set = self.set();
        if !set.is_older_than(age) {
            return Ok(set);
        }
        self.read().await
    }

    /// Makes a key where none can sign, unless another was faster.
    async fn first_key(&self, now: DateTime<Utc>) -> Result<Arc<Set>, Problem> {
        let _turn = self.turn.lock().await;
        let set = self.read().await?;
        if set.signer(now).is_some() {
            return Ok(set);
        }
        let mut tx = self.db.begin().await?;
        self.make(&mut tx, now, now).await?;
        tx.commit().await?;
        Ok(self.read().await?)
    }

    async fn make(
        &self,
        tx: &mut Tx,
        signs_from: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<SigningKey, Problem> {
        let failed = |_| Problem::internal("signing-failed", &NoKey);
        let pair = Ed25519KeyPair::generate().map_err(failed)?;
        let private: Pkcs8V2Der<'_> = pair.as_der().map_err(failed)?;
        let sealed = self.keyring.seal(SYSTEM, PRIVATE_KEY_PURPOSE, private.as_ref());
        let key = SigningKey {
            signing_key_id: Uuid::now_v7(),
            public_key: URL_SAFE_NO_PAD.encode(pair.public_key()),
            private_key: sealed.map_err(|error| Problem::internal("signing-failed", &error))?,
            signs_from,
            expires_at: None,
            created_at: now,
        };
        SigningKey::succeed(tx, &key, signs_from + self.settings.lives + SLACK).await?;
        Ok(key)
    }

    /// Reads the keys; whoever calls has the turn.
    async fn read(&self) -> Result<Arc<Set>, DbError> {
        let rows = SigningKey::list(&mut self.db.read().await?, self.clock.now()).await?;
        let keys = rows.into_iter().filter_map(|row| self.known(row)).collect();
        let set = Arc::new(Set { keys, read_at: Some(Instant::now()) });
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&set);
        Ok(set)
    }

    fn known(&self, row: SigningKey) -> Option<Known> {
        let kid = row.signing_key_id.to_string();
        let private = self.keyring.open(SYSTEM, PRIVATE_KEY_PURPOSE, &row.private_key);
        if let Err(error) = &private {
            tracing::warn!(kid, %error, "key {kid} verifies and does not sign: its private part does not open");
        }
        Some(Known {
            decoding: DecodingKey::from_ed_components(&row.public_key).ok()?,
            encoding: private.ok().map(|der| EncodingKey::from_ed_der(&der)),
            x: row.public_key,
            kid,
            signs_from: row.signs_from,
            expires_at: row.expires_at,
        })
    }

    fn set(&self) -> Arc<Set> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }
}
