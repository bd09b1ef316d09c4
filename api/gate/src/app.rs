//! What every handler may reach: database, archive, clock, limits.

use std::ops::Deref;
use std::sync::Arc;

use clinical::clock::Clock;
use storage::archive::Archive;
use storage::audit::Trail;
use storage::db::Db;
use storage::records::clinic::Suspensions;

use crate::{Authenticator, HttpLimits, InFlight, RateLimits};

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
    /// Who stands behind a token.
    pub authenticator: Authenticator,
    /// Where reads are written down.
    pub trail: Trail,
    /// Which clinics are suspended.
    pub suspensions: Suspensions,
    pub(crate) rates: RateLimits,
    pub(crate) in_flight: InFlight,
    pub(crate) streams: InFlight,
}

impl App {
    /// Joins the rooms; to be called where tokio runs.
    pub fn new(
        db: Db,
        archive: Archive,
        clock: Arc<dyn Clock>,
        limits: HttpLimits,
        authenticator: Authenticator,
    ) -> Self {
        Self(Arc::new(Rooms {
            trail: Trail::new(db.clone()),
            suspensions: Suspensions::new(db.clone()),
            rates: RateLimits::new(&limits.rates),
            in_flight: InFlight::new(limits.in_flight),
            streams: InFlight::new(limits.streams),
            db,
            archive,
            clock,
            limits,
            authenticator,
        }))
    }
}

impl Deref for App {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.0
    }
}
