//! Which providers carry a clinic's messages: its own, else the global ones, else those of the settings; the first
//! to try first, and the next where it fails.

mod health;
mod station;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use clinical::clock::Clock;
use clinical::id::ClinicId;
use storage::db::{Db, DbError};
use storage::records::credential::{Credential, CredentialError, NewCredential, NewSecret};
use storage::records::webhook::target::Targets;
use storage::secret::{Keyring, Plain, SYSTEM};
use tracing::warn;

pub use health::{ChannelHealth, ProviderHealth};

use self::station::{Key, Station};
use super::line::Line;
use super::parts::{Parts, PartsError};
use super::settings::ChannelSettings;
use super::web_push::Vapid;
use super::webhook::Certificates;
use super::{Channel, Outgoing, Provider, SendError, Sent, reach};

/// What a clinic has set is asked for again after so long.
const FRESH: Duration = Duration::from_secs(5);
/// What nobody has used for so long is forgotten, its connections with it.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// What the key of Web Push is kept for.
const VAPID_PURPOSE: &str = "web_push";

/// Why a message was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum Undelivered {
    /// Nobody carries messages to such an address for the clinic.
    #[error("no provider carries messages to such an address")]
    NoProvider,
    /// Nobody took it; this is what the first said that may take it later, else what the last said.
    #[error(transparent)]
    Refused(#[from] SendError),
    /// It is not known who would: ask again.
    #[error("the database failed")]
    Database(#[from] DbError),
}

impl Undelivered {
    /// When a provider has said so: not to be tried again before.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(SendError::Throttled { retry_after }) => *retry_after,
            _ => None,
        }
    }

    /// Whether the address takes nothing, from anybody.
    pub fn is_bad_address(&self) -> bool {
        matches!(self, Self::Refused(SendError::BadAddress(_)))
    }

    /// Whether the same message may go through later. Credentials that are refused are mended by people, too.
    pub fn is_worth_another_try(&self) -> bool {
        match self {
            Self::NoProvider => false,
            Self::Refused(error) => error.is_providers(),
            Self::Database(_) => true,
        }
    }
}

/// Why there is no switchboard, or no key for browsers.
#[derive(Debug, thiserror::Error)]
pub enum SwitchboardError {
    /// There is no client of HTTP.
    #[error("there is no client of HTTP")]
    Client(#[from] reqwest::Error),
    /// The key does not read.
    #[error(transparent)]
    Key(#[from] PartsError),
    /// The key cannot be kept.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// Hands messages to providers; cheap to clone.
#[derive(Clone)]
pub struct Switchboard(Arc<Board>);

struct Board {
    /// The system's handle: a clinic's does not see what serves every clinic.
    db: Db,
    clock: Arc<dyn Clock>,
    keys: Keyring,
    settings: ChannelSettings,
    targets: Targets,
    /// To addresses that are fixed or the operator's.
    http: reqwest::Client,
    /// To addresses that strangers have named.
    strangers: reqwest::Client,
    vapid: OnceLock<Arc<Vapid>>,
    certificates: Certificates,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    stations: HashMap<Key, Arc<Station>>,
    serving: HashMap<(ClinicId, Channel), Serving>,
}

/// The providers of a clinic's channel, as they were when the clinic was last asked.
#[derive(Clone)]
struct Serving {
    read_at: Instant,
    desks: Arc<[Desk]>,
}

/// A provider in its place.
#[derive(Clone)]
struct Desk {
    station: Arc<Station>,
    /// `None` where nothing can be sent with its credentials.
    line: Option<Arc<Line>>,
}

impl Switchboard {
    /// Needs a process-wide crypto provider of `rustls`. `targets` are the machines that clinics and browsers may
    /// name; `db` is the system's handle.
    ///
    /// # Errors
    ///
    /// [`SwitchboardError::Client`] when the machine's roots of trust cannot be read.
    pub fn new(
        db: Db,
        clock: Arc<dyn Clock>,
        keys: Keyring,
        settings: ChannelSettings,
        targets: Targets,
    ) -> Result<Self, SwitchboardError> {
        Ok(Self(Arc::new(Board {
            db,
            clock,
            keys,
            settings,
            targets,
            http: reach::to_providers()?,
            strangers: reach::to_strangers(targets)?,
            vapid: OnceLock::new(),
            certificates: Certificates::default(),
            kept: Mutex::default(),
        })))
    }

    /// Which machines clinics and browsers may name.
    pub fn targets(&self) -> Targets {
        self.0.targets
    }

    /// Hands a message to the first provider that takes it.
    ///
    /// # Errors
    ///
    /// [`Undelivered`] when none has: a bad address ends the round at once, since no other provider would help.
    pub async fn send(&self, clinic: ClinicId, message: &Outgoing) -> Result<Sent, Undelivered> {
        let serving = self.serving(clinic, message.to.channel()).await?;
        let mut missed: Option<SendError> = None;
        for desk in serving.desks.iter() {
            let error = match &desk.line {
                Some(line) if !line.notifier.takes(&message.to) => continue,
                Some(line) => match line.send(message).await {
                    Ok(sent) => return Ok(sent),
                    Err(error @ SendError::BadAddress(_)) => return Err(error.into()),
                    Err(error) => error,
                },
                None => SendError::Authentication(desk.station.fault().unwrap_or_default().to_owned()),
            };
            warn!(provider = desk.station.provider.name(), clinic.id = %clinic, code = error.code(), "not handed over");
            let keeps = missed.as_ref().is_some_and(SendError::is_transient);
            if !keeps {
                missed = Some(error);
            }
        }
        Err(missed.map_or(Undelivered::NoProvider, Undelivered::from))
    }

    /// The public key that pages subscribe to pushes with: base64url of 65 bytes, the same in every process over one
    /// database.
    ///
    /// # Errors
    ///
    /// [`SwitchboardError`] when nobody has made it ([`Switchboard::make_push_key`]), or it does not open.
    pub async fn vapid_public_key(&self) -> Result<String, SwitchboardError> {
        let vapid = self.vapid().await?.ok_or(PartsError::Missing("vapid_private_key"))?;
        Ok(vapid.public_key().to_owned())
    }

    /// Makes the key of pushes to browsers where there is none, and keeps it sealed. For the start: who only asks for
    /// something writes nothing.
    ///
    /// # Errors
    ///
    /// [`SwitchboardError`] when it cannot be made or does not open.
    pub async fn make_push_key(&self) -> Result<(), SwitchboardError> {
        if self.vapid().await?.is_some() {
            return Ok(());
        }
        match self.generate_key().await {
            // Another process has just made it.
            Err(SwitchboardError::Credential(CredentialError::Database(DbError::Conflict))) => Ok(()),
            result => result,
        }
    }

    /// The key of pushes to browsers; `None` while nobody has made one.
    async fn vapid(&self) -> Result<Option<Arc<Vapid>>, SwitchboardError> {
        let board = &self.0;
        if let Some(known) = board.vapid.get() {
            return Ok(Some(Arc::clone(known)));
        }
        let private = match board.settings.vapid_private_key.as_str() {
            "" => self.kept_key().await?,
            set => Some(set.to_owned()),
        };
        let Some(private) = private else { return Ok(None) };
        let vapid = Arc::new(Vapid::new(&private, &board.settings.contact)?);
        Ok(Some(Arc::clone(board.vapid.get_or_init(|| vapid))))
    }

    async fn kept_key(&self) -> Result<Option<String>, SwitchboardError> {
        let mut rows = self.0.db.read().await?;
        let stored = Credential::of(&mut rows, SYSTEM, VAPID_PURPOSE).await?;
        let Some(stored) = stored.first() else { return Ok(None) };
        Ok(Some(Parts::open(stored, &self.0.keys)?.need("privateKey")?.to_owned()))
    }

    async fn generate_key(&self) -> Result<(), SwitchboardError> {
        let board = &self.0;
        let mut tx = board.db.begin().await?;
        if !Credential::of(&mut tx, SYSTEM, VAPID_PURPOSE).await?.is_empty() {
            return Ok(());
        }
        let secret = serde_json::json!({"privateKey": Vapid::generate()?}).to_string();
        let new = NewCredential {
            provider: Provider::WebPush.name().to_owned(),
            public: serde_json::json!({}),
            secret: NewSecret::Set(Plain::new(secret)),
        };
        let now = board.clock.now();
        Credential::replace(&mut tx, &board.keys, SYSTEM, VAPID_PURPOSE, vec![new], now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What opens the doors of `provider` for a clinic alone, or for all of them: for the webhooks.
    pub(super) async fn parts_of(
        &self,
        clinic: Option<ClinicId>,
        provider: Provider,
    ) -> Result<Vec<Parts>, DbError> {
        let board = &self.0;
        let mut found = Vec::new();
        for channel in Channel::ALL {
            let stored = {
                let mut rows = board.db.read().await?;
                Credential::of(&mut rows, clinic.unwrap_or(SYSTEM), channel.name()).await?
            };
            let of_provider = stored.iter().filter(|it| it.provider == provider.name());
            // Credentials that do not open verify nothing.
            found.extend(of_provider.filter_map(|it| Parts::open(it, &board.keys).ok()));
            if clinic.is_none() {
                let set = board.settings.serving(channel).into_iter();
                found.extend(set.filter(|(whose, _)| *whose == provider).map(|(_, parts)| parts));
            }
        }
        Ok(found)
    }

    /// The certificates of those who sign webhooks.
    pub(super) fn certificates(&self) -> &Certificates {
        &self.0.certificates
    }

    /// The client to fixed addresses.
    pub(super) fn http(&self) -> &reqwest::Client {
        &self.0.http
    }

    /// The providers of a clinic's channel, not older than a few seconds.
    async fn serving(&self, clinic: ClinicId, channel: Channel) -> Result<Serving, DbError> {
        let board = &self.0;
        if let Some(kept) = board.kept().serving.get(&(clinic, channel))
            && kept.read_at.elapsed() < FRESH
        {
            return Ok(kept.clone());
        }
        let stored = {
            let mut rows = board.db.read().await?;
            Credential::serving(&mut rows, clinic, channel.name()).await?
        };
        let mut stations = Vec::new();
        for credential in &stored {
            stations.push(
                self.station(Key::Stored(credential.credential_id), || Station::stored(self, credential)),
            );
        }
        if stored.is_empty() {
            for (provider, parts) in board.settings.serving(channel) {
                let key = Key::Settings(channel, provider);
                stations.push(self.station(key, || Station::set(self, provider, &parts)));
            }
        }
        if channel == Channel::Push && !stations.iter().any(|it| it.provider == Provider::WebPush) {
            stations.extend(self.browsers().await);
        }
        let mut kept = board.kept();
        let before = kept.serving.get(&(clinic, channel)).map(|serving| Arc::clone(&serving.desks));
        let desks = stations.into_iter().map(|station| {
            let before = before.iter().flat_map(|desks| desks.iter());
            let same = before.into_iter().find(|desk| Arc::ptr_eq(&desk.station, &station)).cloned();
            same.unwrap_or_else(|| Desk { line: self.line(&station), station })
        });
        let serving = Serving { read_at: Instant::now(), desks: desks.collect() };
        kept.serving.insert((clinic, channel), serving.clone());
        Ok(serving)
    }

    /// Asks again who serves a clinic, or every clinic, because that was changed here.
    pub(super) fn forget(&self, clinic: Option<ClinicId>) {
        let is_other = |(of, _): &(ClinicId, Channel)| clinic.is_some_and(|clinic| clinic != *of);
        self.0.kept().serving.retain(|key, _| is_other(key));
    }

    fn line(&self, station: &Station) -> Option<Arc<Line>> {
        let board = &self.0;
        let notifier = Arc::clone(station.notifier.as_ref().ok()?);
        let rate = board.settings.messages_per_second;
        Some(Arc::new(Line::new(notifier, rate, Arc::clone(&board.clock))))
    }

    fn station(&self, key: Key, make: impl FnOnce() -> Station) -> Arc<Station> {
        let mut kept = self.0.kept();
        Arc::clone(kept.stations.entry(key).or_insert_with(|| Arc::new(make())))
    }

    /// Pushes to browsers, which need no account: their station stands at the end of every clinic's list. Without a key
    /// nobody can have subscribed.
    async fn browsers(&self) -> Option<Arc<Station>> {
        match self.vapid().await {
            Ok(vapid) => {
                let vapid = vapid?;
                Some(self.station(Key::Browsers, || Station::browsers(self, Ok(vapid))))
            }
            Err(error) => {
                warn!(%error, "no pushes to browsers");
                // It is tried again the next time.
                Some(Arc::new(Station::browsers(self, Err(error.to_string()))))
            }
        }
    }

    /// Forgets what nobody has used for long, and credentials that are no more; `asked` are those that there are.
    fn tidy(&self, asked: &[Arc<Station>]) {
        let mut kept = self.0.kept();
        kept.serving.retain(|_, serving| serving.read_at.elapsed() < FORGOTTEN);
        let serving = kept.serving.values().flat_map(|serving| serving.desks.iter());
        let mut used: HashSet<*const Station> = serving.map(|desk| Arc::as_ptr(&desk.station)).collect();
        used.extend(asked.iter().map(Arc::as_ptr));
        kept.stations.retain(|_, station| used.contains(&Arc::as_ptr(station)));
    }
}

impl Board {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
