//! Who knocks at a route that is open to everybody: nobody known, but from somewhere.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, MatchedPath};
use chrono::{DateTime, Utc};
use clinical::audit::{Actor, Entry, Outcome};
use clinical::id::ClinicId;
use http::header;
use http::request::Parts;

use crate::address::{self, Peer};
use crate::{App, Problem, RequestId};

/// The longest name of a client's program that is kept, in characters.
const DEVICE_CHARACTERS: usize = 120;

/// A request without a caller, as the audit trail tells of it; where a public route writes its row itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// When.
    pub at: DateTime<Utc>,
    /// From where.
    pub address: Option<IpAddr>,
    /// `POST /api/v1/auth/login`
    pub route: String,
    /// The request, as its answer and the log name it.
    pub request_id: Option<String>,
    /// What the client's program calls itself (`User-Agent`), cut short.
    pub device: Option<String>,
}

impl Visitor {
    /// A row for the trail that says no more than who did what, and what came of it.
    pub fn entry(&self, clinic: ClinicId, actor: Actor, action: &str, outcome: Outcome) -> Entry {
        Entry {
            clinic_id: clinic,
            at: self.at,
            actor,
            role: None,
            session: None,
            action: action.to_owned(),
            record_id: None,
            patient_id: None,
            route: self.route.clone(),
            address: self.address.map(|address| address.to_string()),
            request_id: self.request_id.clone(),
            outcome,
            detail: None,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let app = parts.extensions.get::<App>().ok_or_else(|| Problem::failed("internal"))?;
        let peer = parts.extensions.get::<Peer>();
        let address =
            peer.map(|Peer(peer)| address::client(*peer, &parts.headers, &app.limits.trusted_proxies));
        let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
        let device = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Ok(Self {
            at: app.clock.now(),
            address,
            route: format!("{} {path}", parts.method),
            request_id: parts.extensions.get::<RequestId>().map(ToString::to_string),
            device: device.map(|text| text.chars().take(DEVICE_CHARACTERS).collect()),
        })
    }
}
