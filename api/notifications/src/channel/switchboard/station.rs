//! One set of credentials of one provider, shared by all clinics that it serves: its connections and its health.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use clinical::id::{ClinicId, CredentialId};
use storage::records::credential::Credential;
use storage::records::webhook::target::Targets;
use storage::secret::SYSTEM;

use super::Switchboard;
use crate::channel::fcm::Fcm;
use crate::channel::parts::{Parts, PartsError};
use crate::channel::ses::Ses;
use crate::channel::smtp::Smtp;
use crate::channel::sns::Sns;
use crate::channel::twilio::Twilio;
use crate::channel::web_push::{Vapid, WebPush};
use crate::channel::whatsapp::Whatsapp;
use crate::channel::zeptomail::Zeptomail;
use crate::channel::{Channel, Health, Notifier, Provider};

/// Which credentials a station speaks with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Stored ones; each time that they are written they get a new identifier.
    Stored(CredentialId),
    /// Those of the settings.
    Settings(Channel, Provider),
    /// None: pushes to browsers.
    Browsers,
}

/// A provider with its credentials.
pub(super) struct Station {
    pub(super) provider: Provider,
    /// Whose credentials they are; `None` where they serve every clinic.
    pub(super) clinic: Option<ClinicId>,
    /// Who sends, or why nobody can.
    pub(super) notifier: Result<Arc<dyn Notifier>, String>,
    health: Mutex<(Health, Option<DateTime<Utc>>)>,
}

impl Station {
    fn new(provider: Provider, clinic: Option<ClinicId>, made: Result<Arc<dyn Notifier>, String>) -> Self {
        let health = if made.is_ok() { Health::Unknown } else { Health::Refusing };
        Self { provider, clinic, notifier: made, health: Mutex::new((health, None)) }
    }

    /// With stored credentials.
    pub(super) fn stored(board: &Switchboard, credential: &Credential) -> Self {
        let clinic = (credential.clinic_id != SYSTEM).then_some(credential.clinic_id);
        // A name that this version does not know was written by a newer one.
        let provider = Provider::named(&credential.provider).unwrap_or(Provider::Smtp);
        let made = Parts::open(credential, &board.0.keys).and_then(|parts| {
            // What a clinic names may not lie inside; the global providers are the operator's.
            let targets = if clinic.is_some() { board.0.targets } else { Targets::PrivateToo };
            Provider::named(&credential.provider)
                .ok_or(PartsError::Malformed("provider", "nobody knows it"))
                .and_then(|provider| make(board, provider, &parts, targets))
        });
        Self::new(provider, clinic, made.map_err(|error| error.to_string()))
    }

    /// With what the operator has set.
    pub(super) fn set(board: &Switchboard, provider: Provider, parts: &Parts) -> Self {
        let made = make(board, provider, parts, Targets::PrivateToo);
        Self::new(provider, None, made.map_err(|error| error.to_string()))
    }

    /// To browsers.
    pub(super) fn browsers(board: &Switchboard, vapid: Result<Arc<Vapid>, String>) -> Self {
        let made = vapid.map(|vapid| {
            let (http, clock) = (board.0.strangers.clone(), Arc::clone(&board.0.clock));
            Arc::new(WebPush::new(vapid, http, clock)) as Arc<dyn Notifier>
        });
        Self::new(Provider::WebPush, None, made)
    }

    /// Why nothing can be sent; `None` where something can.
    pub(super) fn fault(&self) -> Option<&str> {
        self.notifier.as_ref().err().map(String::as_str)
    }

    /// How it was when it was last asked, and when that was.
    pub(super) fn health(&self) -> (Health, Option<DateTime<Utc>>) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the provider how it is.
    pub(super) async fn probe(&self, now: DateTime<Utc>) -> Health {
        let Ok(notifier) = &self.notifier else { return Health::Refusing };
        let health = notifier.probe().await;
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = (health, Some(now));
        health
    }
}

fn make(
    board: &Switchboard,
    provider: Provider,
    parts: &Parts,
    targets: Targets,
) -> Result<Arc<dyn Notifier>, PartsError> {
    let (settings, http, clock) = (&board.0.settings, board.0.http.clone(), Arc::clone(&board.0.clock));
    Ok(match provider {
        Provider::Zeptomail => Arc::new(Zeptomail::new(parts, &settings.zeptomail_base_url, http)?),
        Provider::AwsSes => Arc::new(Ses::new(parts, &settings.ses_base_url, http, clock)?),
        Provider::Smtp => Arc::new(Smtp::new(parts, &settings.smtp_authority, targets, clock)?),
        Provider::MetaBusiness => Arc::new(Whatsapp::new(parts, &settings.whatsapp_base_url, http)?),
        Provider::AwsSns => Arc::new(Sns::new(parts, &settings.sns_base_url, http, clock)?),
        Provider::Twilio => Arc::new(Twilio::new(parts, &settings.twilio_base_url, http)?),
        Provider::FirebaseFcm => {
            Arc::new(Fcm::new(parts, &settings.fcm_base_url, &settings.fcm_token_url, http, clock)?)
        }
        Provider::WebPush => return Err(PartsError::Malformed("provider", "browsers need no credentials")),
    })
}
