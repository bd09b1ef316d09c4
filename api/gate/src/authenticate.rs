//! Who stands behind a token.
//!
//! Three kinds are known: the administrator's, of which only a digest is kept;
//! keys of machines (`mlk_…`), looked up by their digest; and access tokens, JWTs
//! that our own keys sign. A token that was seen before is known by its digest
//! until it ends; what its bearer is where is asked of the database again after
//! [`RECHECK`], so that what another process revokes counts soon. What this process
//! revokes counts at once ([`Authenticator::forget_session`] and its kin).

mod cache;
mod jwt;
mod keys;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::audit::Actor;
use clinical::clock::Clock;
use clinical::id::{ApiKeyId, ClinicId, PatientId, SessionId, UserId};
use clinical::role::{Permission, Role};
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};
use storage::db::{Db, DbError, Tx};
use storage::records::api_key::ApiKey;
pub use storage::records::api_key::PREFIX as API_KEY_PREFIX;
use storage::records::session::{Session, Standing};
use storage::secret::Keyring;
use subtle::ConstantTimeEq;

use crate::Problem;
use cache::{Cache, Seen, Subject};
pub use jwt::{AccessToken, TokenSettings};
use keys::Keys;

/// What a session or key lets in is looked up again when the last look is older.
pub const RECHECK: Duration = Duration::from_secs(5);
/// That a key was seen is written down when the last note is older.
const SEEN_AGAIN: TimeDelta = TimeDelta::minutes(10);
/// No token of ours is longer.
const TOKEN_BYTES: usize = 4 << 10;

/// Who shows a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Whoever has the service's own token.
    Administrator,
    /// A person who signed in.
    User {
        /// The person.
        user_id: UserId,
        /// The sign-in.
        session_id: SessionId,
    },
    /// A machine.
    Key {
        /// Its key.
        api_key_id: ApiKeyId,
    },
}

impl Who {
    /// As the audit trail names them.
    pub fn actor(self) -> Actor {
        match self {
            Self::Administrator => Actor::Administrator,
            Self::User { user_id, .. } => Actor::User(user_id),
            Self::Key { api_key_id } => Actor::Key(api_key_id),
        }
    }
}

/// What somebody is in one clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The clinic.
    pub clinic_id: ClinicId,
    /// The role there; a machine has none, its scopes say what it may.
    pub role: Option<Role>,
    /// A physician's specialty.
    pub specialty: Option<String>,
    /// Whose records are the person's own.
    pub patient_id: Option<PatientId>,
}

/// Who stands behind a token, and what they are where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who.
    pub who: Who,
    /// Under which name a change is written down: an identifier, never an address.
    pub name: String,
    /// The clinics they belong to, the longest-standing first.
    pub memberships: Vec<Membership>,
    /// What a machine may do in its clinic; `None` for people.
    pub scopes: Option<Vec<Permission>>,
}

impl Principal {
    fn administrator() -> Self {
        let membership = Membership {
            clinic_id: ClinicId::DEFAULT,
            role: Some(Role::SuperAdmin),
            specialty: None,
            patient_id: None,
        };
        let who = Who::Administrator;
        Self { who, name: who.actor().to_string(), memberships: vec![membership], scopes: None }
    }

    fn of_session(session_id: SessionId, standing: Standing) -> Self {
        let who = Who::User { user_id: standing.user_id, session_id };
        let memberships = standing.places.into_iter().map(|place| Membership {
            clinic_id: place.clinic_id,
            role: Some(place.role),
            specialty: place.specialty,
            patient_id: place.patient_id,
        });
        Self { who, name: who.actor().to_string(), memberships: memberships.collect(), scopes: None }
    }

    fn of_key(key: ApiKey) -> Self {
        let who = Who::Key { api_key_id: key.api_key_id };
        let membership =
            Membership { clinic_id: key.clinic_id, role: None, specialty: None, patient_id: None };
        Self { who, name: who.actor().to_string(), memberships: vec![membership], scopes: Some(key.scopes) }
    }
}

/// What keeps a connection open: the session or the key behind it, long after the token that opened it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pass(Option<Subject>);

/// Knows every token.
pub struct Authenticator {
    token_sha256: [u8; 32],
    administrator: Arc<Principal>,
    db: Db,
    clock: Arc<dyn Clock>,
    keys: Keys,
    cache: Cache,
}

impl Authenticator {
    /// Knows the administrator's `token`, and those whose sessions and keys stand in `db`; the private parts of the
    /// keys that sign are sealed by `keyring`.
    pub fn new(
        token: &str,
        db: Db,
        clock: Arc<dyn Clock>,
        keyring: Keyring,
        settings: TokenSettings,
    ) -> Self {
        Self {
            token_sha256: digest(token),
            administrator: Arc::new(Principal::administrator()),
            keys: Keys::new(db.clone(), Arc::clone(&clock), keyring, settings),
            db,
            clock,
            cache: Cache::default(),
        }
    }

    /// Who shows `token`; how long the answer takes tells nothing about the administrator's.
    ///
    /// # Errors
    ///
    /// 401 `token-invalid`; 500 when the database failed.
    pub async fn principal(&self, token: &str) -> Result<Arc<Principal>, Problem> {
        if token.len() > TOKEN_BYTES {
            return Err(Self::unknown());
        }
        let digest = digest(token);
        if bool::from(digest.ct_eq(&self.token_sha256)) {
            return Ok(Arc::clone(&self.administrator));
        }
        let now = self.clock.now();
        let seen = match self.cache.seen(&digest) {
            Some(seen) => seen,
            None => self.look_at(token, digest, now).await?,
        };
        if seen.until.is_some_and(|until| until <= now) {
            return Err(Self::unknown());
        }
        let principal = match self.cache.principal(&seen.subject, now) {
            Some(principal) => principal,
            None => self.look_up(seen.subject, now).await?,
        };
        if !seen.is_of(&principal) {
            return Err(Self::unknown());
        }
        self.cache.keep_seen(digest, seen);
        Ok(principal)
    }

    /// Who shows `token`, and what they are asked for again for as long as a connection of theirs is open.
    ///
    /// # Errors
    ///
    /// As [`Authenticator::principal`].
    pub(crate) async fn admit(&self, token: &str) -> Result<(Arc<Principal>, Pass), Problem> {
        let principal = self.principal(token).await?;
        let subject = match principal.who {
            Who::Administrator => None,
            Who::User { session_id, .. } => Some(Subject::Session(session_id)),
            Who::Key { .. } => Some(Subject::Key(digest(token))),
        };
        Ok((principal, Pass(subject)))
    }

    /// Who has the pass at the moment: a session or a key that was revoked has none.
    ///
    /// # Errors
    ///
    /// As [`Authenticator::principal`].
    pub(crate) async fn readmit(&self, pass: Pass) -> Result<Arc<Principal>, Problem> {
        let Some(subject) = pass.0 else { return Ok(Arc::clone(&self.administrator)) };
        let now = self.clock.now();
        match self.cache.principal(&subject, now) {
            Some(principal) => Ok(principal),
            None => self.look_up(subject, now).await,
        }
    }

    /// What a token says that was not seen before; nothing is believed but what our keys have signed.
    async fn look_at(&self, token: &str, digest: [u8; 32], now: DateTime<Utc>) -> Result<Seen, Problem> {
        if token.starts_with(API_KEY_PREFIX) {
            return Ok(Seen { subject: Subject::Key(digest), user: None, until: None });
        }
        let claims = self.keys.verify(token, now).await?.ok_or_else(Self::unknown)?;
        Ok(Seen { subject: Subject::Session(claims.sid), user: Some(claims.sub), until: Some(claims.ends()) })
    }

    /// Who stands behind it at the moment.
    async fn look_up(&self, subject: Subject, now: DateTime<Utc>) -> Result<Arc<Principal>, Problem> {
        let found = match subject {
            Subject::Session(id) => {
                let standing = Session::standing(&mut self.db.read().await?, id, now).await?;
                standing.map(|standing| (Principal::of_session(id, standing), None))
            }
            Subject::Key(digest) => {
                let key = self.key(digest, now).await?;
                key.map(|key| {
                    let until = key.expires_at;
                    (Principal::of_key(key), until)
                })
            }
        };
        let Some((principal, until)) = found else {
            self.cache.forget(&subject);
            return Err(Self::unknown());
        };
        let principal = Arc::new(principal);
        self.cache.keep(subject, Arc::clone(&principal), until);
        Ok(principal)
    }

    async fn key(&self, digest: [u8; 32], now: DateTime<Utc>) -> Result<Option<ApiKey>, DbError> {
        let Some(key) = ApiKey::with_digest(&mut self.db.read().await?, &hex(&digest), now).await? else {
            return Ok(None);
        };
        if key.used_at.is_none_or(|used_at| now - used_at > SEEN_AGAIN) {
            let mut tx = self.db.begin().await?;
            ApiKey::seen(&mut tx, key.clinic_id, key.api_key_id, now).await?;
            tx.commit().await?;
        }
        Ok(Some(key))
    }

    /// An access token for a session, as RFC 9068 has it.
    ///
    /// # Errors
    ///
    /// 500 when there is no key to sign with and none could be made.
    pub async fn issue(&self, user: UserId, session: SessionId) -> Result<AccessToken, Problem> {
        self.keys.issue(user, session, self.clock.now()).await
    }

    /// Puts a new key in the place of the one that signs; its `kid`. Tokens that the old one has signed count to
    /// their end, and the new one signs once every process has had the time to hear of it.
    ///
    /// # Errors
    ///
    /// 500 when it could not be made or kept.
    pub async fn rotate_keys(&self, tx: &mut Tx) -> Result<String, Problem> {
        self.keys.rotate(tx, self.clock.now()).await
    }

    /// The public keys, as RFC 7517 has them.
    ///
    /// # Errors
    ///
    /// 500 when the database failed.
    pub async fn jwks(&self) -> Result<serde_json::Value, Problem> {
        Ok(self.keys.jwks(self.clock.now()).await?)
    }

    /// What seals the secrets of sign-in.
    pub fn keyring(&self) -> &Keyring {
        self.keys.keyring()
    }

    /// Looks a session up again at its next request: it was revoked.
    pub fn forget_session(&self, id: SessionId) {
        self.cache.forget(&Subject::Session(id));
    }

    /// Looks a person's sessions up again: they were revoked, or what the person is somewhere has changed.
    pub fn forget_user(&self, id: UserId) {
        self.cache.forget_those(|who| matches!(who, Who::User { user_id, .. } if user_id == id));
    }

    /// Looks a key up again: it was revoked.
    pub fn forget_key(&self, id: ApiKeyId) {
        self.cache.forget_those(|who| matches!(who, Who::Key { api_key_id } if api_key_id == id));
    }

    /// Looks everybody up again: a clinic was suspended, or goes on.
    pub fn forget_all(&self) {
        self.cache.forget_those(|_| true);
    }

    /// 401 `token-invalid`, the same for whatever is wrong with it.
    pub(crate) fn unknown() -> Problem {
        Problem::new(StatusCode::UNAUTHORIZED, "token-invalid", "the token is not known here").with_header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(r#"Bearer error="invalid_token""#),
        )
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// SHA-256 of a token in hexadecimal digits: what is kept of it.
pub fn token_sha256(token: &str) -> String {
    hex(&digest(token))
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
