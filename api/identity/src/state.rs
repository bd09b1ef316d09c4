//! What the handlers of this house share.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use chrono::TimeDelta;
use gate::App;

use crate::attempts::Attempts;
use crate::oidc::{Client, OidcProvider};
use crate::password::{Hasher, PasswordCost};

/// How sign-in works here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentitySettings {
    /// What a guess of a password costs.
    pub password_cost: PasswordCost,
    /// A session ends when it is not refreshed for so long.
    pub session_idle: TimeDelta,
    /// A session ends so long after the sign-in, however often it is refreshed.
    pub session_longest: TimeDelta,
    /// Where browsers reach this service: `https://medilink.example.org`.
    pub public_url: String,
    /// Where people may sign in instead of here.
    pub providers: Vec<OidcProvider>,
}

impl Default for IdentitySettings {
    /// A week without use, a month at most.
    fn default() -> Self {
        Self {
            password_cost: PasswordCost::default(),
            session_idle: TimeDelta::days(7),
            session_longest: TimeDelta::days(30),
            public_url: "http://127.0.0.1:8080".to_owned(),
            providers: Vec::new(),
        }
    }
}

/// The state of this house; cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Parts>);

/// What an [`Identity`] gives access to.
pub struct Parts {
    /// The rooms behind the street.
    pub app: App,
    pub(crate) settings: IdentitySettings,
    pub(crate) hasher: Hasher,
    pub(crate) attempts: Attempts,
    pub(crate) providers: Vec<Client>,
}

impl Identity {
    /// Joins the house to the street.
    pub fn new(app: App, settings: IdentitySettings) -> Self {
        let hasher = Hasher::new(settings.password_cost);
        let client = |provider: &OidcProvider| Client::new(provider.clone(), &settings.public_url);
        let providers = settings.providers.iter().map(client).collect();
        Self(Arc::new(Parts { app, settings, hasher, attempts: Attempts::default(), providers }))
    }
}

impl Deref for Identity {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<Identity> for App {
    fn from_ref(identity: &Identity) -> Self {
        identity.app.clone()
    }
}
