//! Access tokens: JWTs that our Ed25519 keys sign and nobody else's.
//!
//! Source: RFC 9068 (the profile of access tokens), RFC 8725 (best current
//! practices): one algorithm, fixed by our key and never by the header; the `kid`
//! names a key of our own set and leads nowhere else; every claim is required.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use clinical::id::{SessionId, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The type that the header must name (RFC 9068, section 2.1).
const TYPE: &str = "at+jwt";
/// Clocks of two processes differ by so much at most.
const LEEWAY: TimeDelta = TimeDelta::seconds(5);

/// How access tokens are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
    /// How long one counts.
    pub lives: TimeDelta,
}

impl Default for TokenSettings {
    fn default() -> Self {
        Self {
            issuer: "medilink".to_owned(),
            audience: "medilink-api".to_owned(),
            lives: TimeDelta::minutes(15),
        }
    }
}

/// A signed access token.
#[derive(Clone)]
pub struct AccessToken {
    /// The token.
    pub text: String,
    /// For how many seconds it counts.
    pub expires_in_s: i64,
}

/// What a token says. Anything else in it is refused, and so is any claim twice, missing or of another type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    pub sub: UserId,
    pub sid: SessionId,
    jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
}

impl Claims {
    pub fn new(settings: &TokenSettings, user: UserId, session: SessionId, now: DateTime<Utc>) -> Self {
        Self {
            iss: settings.issuer.clone(),
            aud: settings.audience.clone(),
            sub: user,
            sid: session,
            jti: Uuid::new_v4(),
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: (now + settings.lives).timestamp(),
        }
    }

    /// When it ends.
    pub fn ends(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.exp, 0).unwrap_or(DateTime::UNIX_EPOCH)
    }

    fn counts(&self, now: DateTime<Utc>) -> bool {
        let now_s = now.timestamp();
        now < self.ends() && self.nbf <= now_s + LEEWAY.num_seconds()
    }
}

/// The signed text; `None` when the key is none.
pub(super) fn sign(claims: &Claims, kid: &str, key: &EncodingKey) -> Option<String> {
    let header =
        Header { typ: Some(TYPE.to_owned()), kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, claims, key).ok()
}

/// The `kid` of a token that looks like ours; nothing of it is believed yet.
pub(super) fn key_named(token: &str) -> Option<String> {
    let header = jsonwebtoken::decode_header(token).ok()?;
    let is_ours =
        header.alg == Algorithm::EdDSA && header.typ.as_deref() == Some(TYPE) && header.crit.is_none();
    header.kid.filter(|_| is_ours)
}

/// What the token says, if `key` signed it and it counts at the moment.
pub(super) fn verify(
    token: &str,
    key: &DecodingKey,
    settings: &TokenSettings,
    now: DateTime<Utc>,
) -> Option<Claims> {
    let mut validation = Validation::new(Algorithm::EdDSA);
    // The times are held against our own clock, below: as claims they must be whole numbers.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.required_spec_claims = HashSet::from(["exp", "nbf", "aud", "iss", "sub"].map(str::to_owned));
    validation.set_audience(&[&settings.audience]);
    validation.set_issuer(&[&settings.issuer]);
    let claims = jsonwebtoken::decode::<Claims>(token, key, &validation).ok()?.claims;
    claims.counts(now).then_some(claims)
}
