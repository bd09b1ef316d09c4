//! How the providers are: asked all the time, shown, and counted for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use clinical::id::ClinicId;
use futures::StreamExt;
use metrics::gauge;
use serde::Serialize;
use storage::db::DbError;
use storage::records::credential::Credential;
use storage::secret::SYSTEM;
use tracing::warn;
use utoipa::ToSchema;

use super::{Desk, Key, Station, Switchboard};
use crate::channel::{Channel, Health, Provider};

/// Every provider is asked so often.
const ROUND: Duration = Duration::from_secs(30);
/// So many are asked at a time.
const AT_ONCE: usize = 8;

/// How the providers of a channel are.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChannelHealth {
    /// The channel.
    channel: Channel,
    /// Its providers, the first to try first.
    providers: Vec<ProviderHealth>,
}

/// How a provider is, as this process knows it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderHealth {
    /// Who it is.
    provider: Provider,
    /// Whether the clinic itself has set it, or it serves every clinic.
    is_own: bool,
    /// What it answered when it was last asked.
    health: Health,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    checked_at: Option<DateTime<Utc>>,
    /// Whether the clinic's messages are kept from it for a while, because too many have failed.
    is_left_in_peace: bool,
    /// The last failure, unless a message has gone through since: `throttled`, `unreachable` or `authentication`.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<DateTime<Utc>>,
    /// What is wrong with its credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

impl Switchboard {
    /// How the providers are that serve a clinic; [`SYSTEM`] for those that serve all.
    ///
    /// # Errors
    ///
    /// [`DbError`].
    pub async fn health(&self, clinic: ClinicId) -> Result<Vec<ChannelHealth>, DbError> {
        let mut shown = Vec::new();
        for channel in Channel::ALL.into_iter().filter(|channel| *channel != Channel::InApp) {
            let serving = self.serving(clinic, channel).await?;
            let providers = serving.desks.iter().map(|desk| {
                let (health, checked_at) = desk.station.health();
                let failed = desk.line.as_ref().and_then(|line| line.failed());
                ProviderHealth {
                    provider: desk.station.provider,
                    is_own: desk.station.clinic.is_some(),
                    health,
                    checked_at,
                    is_left_in_peace: desk.line.as_ref().is_some_and(|line| line.is_shut()),
                    last_failure: failed.map(|(code, _)| code.to_owned()),
                    failed_at: failed.map(|(_, at)| at),
                    fault: desk.station.fault().map(str::to_owned),
                }
            });
            shown.push(ChannelHealth { channel, providers: providers.collect() });
        }
        Ok(shown)
    }

    /// How many providers carry the messages of every clinic without its own by a channel, and how many of them failed
    /// when they were last asked.
    ///
    /// # Errors
    ///
    /// [`DbError`].
    pub async fn standing(&self, channel: Channel) -> Result<(usize, usize), DbError> {
        let serving = self.serving(SYSTEM, channel).await?;
        let has_failed = |desk: &&Desk| matches!(desk.station.health().0, Health::Refusing | Health::Down);
        Ok((serving.desks.len(), serving.desks.iter().filter(has_failed).count()))
    }

    /// Asks every provider how it is, again and again; never ends.
    pub async fn watch(self) {
        loop {
            match self.stations().await {
                Ok(stations) => {
                    self.probe(&stations).await;
                    self.tidy(&stations);
                }
                Err(error) => warn!(%error, "the providers could not be asked how they are"),
            }
            tokio::time::sleep(ROUND).await;
        }
    }

    /// Asks every provider once how it is: those that are stored for any clinic, and those of the settings.
    ///
    /// # Errors
    ///
    /// [`DbError`].
    pub async fn probe_all(&self) -> Result<(), DbError> {
        self.probe(&self.stations().await?).await;
        Ok(())
    }

    /// Every set of credentials: what is stored for any clinic, and what the settings name.
    async fn stations(&self) -> Result<Vec<Arc<Station>>, DbError> {
        let mut stations = Vec::new();
        for channel in Channel::ALL {
            let stored = {
                let mut rows = self.0.db.read().await?;
                Credential::every(&mut rows, channel.name()).await?
            };
            for credential in &stored {
                let key = Key::Stored(credential.credential_id);
                stations.push(self.station(key, || Station::stored(self, credential)));
            }
            for (provider, parts) in self.0.settings.serving(channel) {
                let key = Key::Settings(channel, provider);
                stations.push(self.station(key, || Station::set(self, provider, &parts)));
            }
        }
        Ok(stations)
    }

    async fn probe(&self, stations: &[Arc<Station>]) {
        let now = self.0.clock.now();
        futures::stream::iter(stations)
            .for_each_concurrent(AT_ONCE, |station| async move {
                let health = station.probe(now).await;
                let whose = station.clinic.map_or_else(|| "global".to_owned(), |clinic| clinic.to_string());
                let value = match health {
                    Health::Unknown | Health::Healthy => 1.0,
                    Health::Refusing | Health::Down => 0.0,
                };
                gauge!("notification_provider_up", "provider" => station.provider.name(), "clinic" => whose)
                    .set(value);
            })
            .await;
    }
}
