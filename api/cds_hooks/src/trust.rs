//! Whose tokens are believed: those that a key of a named program has signed, for this service, not long ago, and once.
//!
//! Source: CDS Hooks 2.0, «Trusting CDS Clients»; RFC 7519 and 8725. The key fixes the algorithm and never the header; the
//! address of keys that a header names (`jku`) is not followed, for keys are registered.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use clinical::id::ClinicId;
use gate::Problem;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use quick_cache::sync::Cache;
use serde::Deserialize;
use storage::records::cds_client::CdsClient;

use crate::CdsHooksState;

/// The longest token, in bytes.
const LONG: usize = 8_192;
/// Clocks of two houses differ by so many seconds at most.
const LEEWAY_S: i64 = 60;
/// A token lives no longer than so many seconds.
const LIVES_S: i64 = 3_600;
/// So many tokens are remembered.
const REMEMBERED: usize = 100_000;

/// Tokens that were shown, by issuer and `jti`, each until it ends: none counts twice in this process.
pub(crate) struct Seen(Cache<(String, String), i64>);

impl Default for Seen {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Seen {
    /// Whether it is shown for the first time.
    fn is_new(&self, claims: &Claims, now_s: i64) -> bool {
        let key = (claims.iss.clone(), claims.jti.clone());
        if self.0.get(&key).is_some_and(|ends| ends + LEEWAY_S >= now_s) {
            return false;
        }
        self.0.insert(key, claims.exp);
        true
    }
}

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

/// The program whose token the request shows.
///
/// # Errors
///
/// 401 `client-untrusted`, whatever is wrong: the detail says which rule is broken, and nothing of any clinic.
pub(crate) async fn trusted(
    state: &CdsHooksState,
    headers: &HeaderMap,
    service: &str,
) -> Result<CdsClient, Problem> {
    let token = bearer(headers).ok_or_else(|| untrusted("the header Authorization has no bearer token"))?;
    let unread = |_| untrusted("the token is no signed JWT with iss, aud, exp, iat and jti");
    let told: Claims = jsonwebtoken::dangerous::insecure_decode(token).map_err(unread)?.claims;
    let kid = jsonwebtoken::decode_header(token).map_err(unread)?.kid;

    let mut rows = state.app.db.read().await?;
    let of_issuer = CdsClient::of_issuer(&mut rows, &told.iss).await?;
    drop(rows);
    let mut signed: Vec<(CdsClient, Claims)> = Vec::new();
    for client in of_issuer {
        if let Some(claims) = verified(token, kid.as_deref(), &client) {
            signed.push((client, claims));
        }
    }
    if let Some(tenant) = told.tenant.as_deref().and_then(|tenant| tenant.parse::<ClinicId>().ok()) {
        signed.retain(|(client, _)| client.clinic_id == tenant);
    }
    let (client, claims) = match signed.len() {
        0 => return Err(untrusted("no clinic has named this issuer with this key")),
        1 => signed.remove(0),
        _ => {
            return Err(untrusted(
                "several clinics have named this issuer: the claim tenant says which is meant",
            ));
        }
    };
    let now = state.app.clock.now();
    claims.hold(now, host(headers).as_deref(), service)?;
    if state.app.suspensions.contain(client.clinic_id).await? {
        return Err(untrusted("the clinic is suspended"));
    }
    if !state.seen.is_new(&claims, now.timestamp()) {
        return Err(untrusted("the token was shown before: each has a jti of its own"));
    }
    Ok(client)
}

impl Claims {
    fn hold(&self, now: DateTime<Utc>, host: Option<&str>, service: &str) -> Result<(), Problem> {
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
            let Ok(url) = url::Url::parse(name) else { return false };
            let path = url.path().trim_end_matches('/');
            let named = url.host_str().map(|name| match url.port() {
                Some(port) => format!("{name}:{port}"),
                None => name.to_owned(),
            });
            let is_path = path == "/cds-services"
                || path == format!("/cds-services/{service}")
                || path == format!("/cds-services/{service}/feedback");
            is_path && named.as_deref() == host
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

/// The host that the client has named, in lower case.
fn host(headers: &HeaderMap) -> Option<String> {
    let forwarded = headers.get("x-forwarded-host").or_else(|| headers.get(header::HOST))?;
    let host = forwarded.to_str().ok()?.trim().to_ascii_lowercase();
    let host = host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(&host);
    Some(host.to_owned())
}

fn untrusted(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "client-untrusted", detail)
        .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""))
}
