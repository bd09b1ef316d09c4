//! What every handler may reach: database, archive, clock, limits.

use std::ops::Deref;
use std::sync::Arc;

use clinical::clock::Clock;
use sha2::{Digest, Sha256};
use storage::archive::Archive;
use storage::db::Db;
use subtle::ConstantTimeEq;

use crate::HttpLimits;

/// The rooms behind the street; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Rooms>);

/// What an [`App`] gives access to.
pub struct Rooms {
    /// Rows.
    pub db: Db,
    /// Bytes.
    pub archive: Archive,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What one client may take.
    pub limits: HttpLimits,
    token_sha256: [u8; 32],
}

impl App {
    /// Joins the rooms; `token` is what callers must show, of which only a digest is kept.
    pub fn new(db: Db, archive: Archive, clock: Arc<dyn Clock>, limits: HttpLimits, token: &str) -> Self {
        Self(Arc::new(Rooms { db, archive, clock, limits, token_sha256: digest(token) }))
    }

    /// Whether `shown` is the token; how long the answer takes tells nothing about it.
    pub(crate) fn admits(&self, shown: &str) -> bool {
        digest(shown).ct_eq(&self.token_sha256).into()
    }
}

impl Deref for App {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.0
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
