//! Whose tokens are believed: those that a key of a named program has signed, for this service, not long ago, and once, whichever
//! process they are shown to.
//!
//! Source: CDS Hooks 2.0, «Trusting CDS Clients»; RFC 7519 and 8725. The key fixes the algorithm and never the header; the
//! address of keys that a header names (`jku`) is not followed, for keys are registered.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use clinical::audit::{Actor, Outcome};
use clinical::id::ClinicId;
use gate::{Problem, Visitor};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use storage::records::cds_client::CdsClient;
use url::Url;

use crate::CdsHooksState;

/// The code of every refusal here.
const UNTRUSTED: &str = "client-untrusted";
/// The longest token, in bytes.
const LONG: usize = 8_192;
/// Clocks of two houses differ by so many seconds at most.
const LEEWAY_S: i64 = 60;
/// A token lives no longer than so many seconds.
const LIVES_S: i64 = 3_600;

/// The claims that the specification demands, and `tenant`.
#[derive(Debug, Clone, Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: i64,
    iat: i64,
    jti: String,
    #[serde(default)]
    tenant: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// The program whose token the request shows; a token that is refused gets its row in the trail, one an address and minute.
///
/// # Errors
///
/// 401 `client-untrusted`, whatever is wrong: the detail says which rule is broken, and nothing of any clinic.
pub(crate) async fn trusted(
    state: &CdsHooksState,
    visitor: &Visitor,
    headers: &HeaderMap,
    service: &str,
    action: &str,
) -> Result<CdsClient, Problem> {
    // Who shows no token has tried nothing.
    let token = bearer(headers).ok_or_else(|| untrusted("the header Authorization has no bearer token"))?;
    let refused = match of_token(state, token, service).await {
        Err(refused) if refused.code() == UNTRUSTED => refused,
        other => return other,
    };
    let entry = visitor.entry(ClinicId::DEFAULT, Actor::Unknown, action, Outcome::Denied);
    let key = entry.address.clone().unwrap_or_default();
    match state.app.trail.record_once(entry, key).await {
        Ok(()) => Err(refused),
        Err(error) => Err(Problem::internal("audit-failed", &error)),
    }
}

async fn of_token(state: &CdsHooksState, token: &str, service: &str) -> Result<CdsClient, Problem> {
    let unread = |_| untrusted("the token is no signed JWT with iss, aud, exp, iat and jti");
    let told: Claims = jsonwebtoken::dangerous::insecure_decode(token).map_err(unread)?.claims;
    let kid = jsonwebtoken::decode_header(token).map_err(unread)?.kid;

    // What costs nothing comes first: whoever is not meant for here makes nobody compute a signature.
    let now = state.app.clock.now();
    told.hold(now, state.public_url.as_deref(), service)?;
    let mut rows = state.app.db.read().await?;
    let candidates = CdsClient::of_issuer(&mut rows, &told.iss, told.tenant.as_deref()).await?;
    drop(rows);
    if candidates.is_empty() {
        return Err(untrusted("no clinic has named this issuer with this tenant"));
    }
    // Several clinics may have named the issuer: the key says which of them is meant.
    let mut signed = candidates.into_iter().filter_map(|client| {
        let claims = verified(token, kid.as_deref(), &client)?;
        Some((client, claims))
    });
    let (client, claims) =
        signed.next().ok_or_else(|| untrusted("no key of this issuer has signed the token"))?;
    if signed.next().is_some() {
        return Err(untrusted("two clinics have named the key that has signed the token"));
    }
    if state.app.suspensions.contain(client.clinic_id).await? {
        return Err(untrusted("the clinic is suspended"));
    }
    let ends_at = DateTime::from_timestamp(claims.exp.saturating_add(LEEWAY_S), 0)
        .ok_or_else(|| untrusted("the token ends beyond all time"))?;
    let mut tx = state.app.db.of(client.clinic_id).begin().await?;
    let is_first = client.is_first(&mut tx, &claims.jti, ends_at, now).await?;
    tx.commit().await?;
    if !is_first {
        return Err(untrusted("the token was shown before: each has a jti of its own"));
    }
    Ok(client)
}

impl Claims {
    fn hold(&self, now: DateTime<Utc>, here: Option<&Url>, service: &str) -> Result<(), Problem> {
        let now_s = now.timestamp();
        if self.exp <= now_s.saturating_sub(LEEWAY_S) {
            return Err(untrusted("the token has ended"));
        }
        if self.iat > now_s.saturating_add(LEEWAY_S) || self.exp.saturating_sub(self.iat) > LIVES_S {
            return Err(untrusted("the token was issued in the future, or lives longer than an hour"));
        }
        if self.jti.is_empty() || self.jti.len() > 256 {
            return Err(untrusted("jti is a text of 1 to 256 bytes"));
        }
        let is_here = |name: &String| {
            let (Some(here), Ok(url)) = (here, Url::parse(name)) else { return false };
            let below = url.path().strip_prefix(here.path().trim_end_matches('/'));
            let path = below.map(|path| path.trim_end_matches('/'));
            let is_path = path.is_some_and(|path| {
                path == "/cds-services"
                    || path == format!("/cds-services/{service}")
                    || path == format!("/cds-services/{service}/feedback")
            });
            is_path && url.origin() == here.origin()
        };
        if self.aud.names().iter().any(is_here) {
            return Ok(());
        }
        Err(untrusted("aud is not the URL of this service"))
    }
}

/// The claims, if one of the client's keys has signed the token.
fn verified(token: &str, kid: Option<&str>, client: &CdsClient) -> Option<Claims> {
    let keys: JwkSet = serde_json::from_value(client.keys.clone()).ok()?;
    keys.keys
        .iter()
        .filter(|key| kid.is_none() || key.common.key_id.is_none() || key.common.key_id.as_deref() == kid)
        .find_map(|key| {
            let decoding = DecodingKey::from_jwk(key).ok()?;
            algorithms(key).iter().find_map(|algorithm| {
                let mut validation = Validation::new(*algorithm);
                // The times and the audience are held against our own clock and name.
                validation.validate_exp = false;
                validation.validate_aud = false;
                validation.required_spec_claims = HashSet::new();
                Some(jsonwebtoken::decode::<Claims>(token, &decoding, &validation).ok()?.claims)
            })
        })
}

/// With what a key may sign; nothing for a key of another kind.
pub(crate) fn algorithms(key: &Jwk) -> &'static [Algorithm] {
    match &key.algorithm {
        AlgorithmParameters::EllipticCurve(curve) => match curve.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::RS384],
        _ => &[],
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= LONG).then_some(token)
}

fn untrusted(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, UNTRUSTED, detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""))
}
