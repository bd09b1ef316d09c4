//! Joins the rooms: database, archive, hall, networks, decoders.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result, bail};
use api::{Doors, Street};
use assessments::AssessmentsState;
use billing::provider::Wire;
use billing::{Accounts, BillingState, Cashier};
use cds_hooks::CdsHooksState;
use clinical::clock::{Clock, SystemClock};
use dicom_house::DicomState;
use dicomweb::DicomWebState;
use gate::socket::{Kinds, Sockets};
use gate::{App, Authenticator, TokenSettings};
use identity::Identity;
use ingest::dimse_door::Shelves;
use ingest::peers::Peers;
use ingest::pixels::DecodePool;
use ingest::receive::Receiver;
use ingest::scp::ScpEvents;
use models::Registry;
use networks_house::NetworksState;
use notifications::channel::Switchboard;
use notifications::{Deliverer, NotificationsState};
use storage::archive::{Archive, DataKeys};
use storage::db::Db;
use storage::secret::Keyring;
use triage::Advisor;

use crate::config::Config;
use crate::loader::Loader;
use crate::networks;
use crate::reader::Reader;

/// Everything a command needs that touches rows or bytes.
pub struct House {
    /// The settings.
    pub config: Config,
    /// Rows.
    pub db: Db,
    /// Bytes.
    pub archive: Archive,
    /// What seals secrets.
    pub keyring: Keyring,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The hall behind the doors.
    pub receiver: Receiver,
    /// The networks and decoders.
    pub reader: Arc<Reader>,
    /// Who carries messages; made when it is first asked for.
    switchboard: OnceLock<Switchboard>,
}

impl House {
    /// Opens the data folder, the database (brought up to date) and the archive.
    pub async fn open(config: Config, environment: &BTreeMap<String, String>) -> Result<Arc<Self>> {
        make_private_folder(&config.data_dir)?;
        let receive = config.receive()?;
        make_private_folder(&receive.spool_folder)?;
        let db = Db::open(&config.database_url()).await.context("the database cannot be opened")?;
        db.migrate().await.context("the database cannot be brought up to date")?;
        let keyring = config.keyring()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let data_keys = DataKeys::new(db.clone(), keyring.clone(), Arc::clone(&clock));
        let hygiene = config.hygiene(data_keys.clone())?;
        let archive = archive(&config, environment)?.with_keys(data_keys, config.new_blobs());
        let receiver =
            Receiver::kept_clean(db.clone(), archive.clone(), Arc::clone(&clock), receive, hygiene);
        let reader = Arc::new(reader(&config)?);
        let switchboard = OnceLock::new();
        Ok(Arc::new(Self { config, db, archive, keyring, clock, receiver, reader, switchboard }))
    }
}

impl House {
    /// Where instances are read that are to be sent.
    pub fn shelves(&self) -> Result<Shelves> {
        let limits = self.config.receive()?.limits.part10;
        let pool = Arc::clone(self.reader.pool());
        Ok(Shelves::new(self.archive.clone(), pool, self.config.pixels(), limits))
    }

    /// Who carries messages to people: one in the process, which knows how every provider is.
    pub fn switchboard(&self) -> Result<Switchboard> {
        if let Some(made) = self.switchboard.get() {
            return Ok(made.clone());
        }
        let (db, clock, keys) = (self.db.clone(), Arc::clone(&self.clock), self.keyring.clone());
        let (settings, targets) = (self.config.channels.clone(), self.config.webhook_targets());
        let made = Switchboard::new(db, clock, keys, settings, targets).context("no message can be sent")?;
        Ok(self.switchboard.get_or_init(|| made).clone())
    }

    /// What brings messages to people.
    pub fn deliverer(&self) -> Result<Deliverer> {
        let (db, clock, keys) = (self.db.clone(), Arc::clone(&self.clock), self.keyring.clone());
        Ok(Deliverer::new(db, clock, keys, self.switchboard()?, &self.config.public_url))
    }

    /// What takes money in.
    pub fn cashier(&self) -> Result<Cashier> {
        let settings = self.config.payment_providers();
        let wire = Wire::new().context("no payment provider can be asked")?;
        let common = settings.accounts(&wire);
        let accounts = Accounts::new(self.db.clone(), self.keyring.clone(), common, settings.maker(wire));
        Ok(Cashier::new(self.db.clone(), Arc::clone(&self.clock), accounts, &self.config.public_url))
    }

    /// Where application entities are reached.
    pub fn peers(&self) -> Result<Peers> {
        Ok(Peers::new(self.db.clone(), self.config.peers()?, self.config.tls_client()?))
    }
}

/// The archive that the settings name; it opens no sealed blob.
pub fn archive(config: &Config, environment: &BTreeMap<String, String>) -> Result<Archive> {
    let options = environment.iter().map(|(name, value)| (name.clone(), value.clone()));
    Archive::open(&config.archive_url(), options).context("the archive cannot be opened")
}

/// What makes networks ready by the settings.
fn loader(config: &Config) -> Result<Loader> {
    Ok(Loader::new(config.runtimes(), config.backend()?, config.prover()?))
}

/// The networks of the box and of the settings' folder.
fn own_registry(config: &Config) -> Result<Registry> {
    let folder = config.networks_dir();
    Registry::built_in()
        .with_folder(&folder)
        .with_context(|| format!("the networks in {} cannot be read", folder.display()))
}

/// The networks of the box and of the settings' folder, with the decoders they need.
pub fn reader(config: &Config) -> Result<Reader> {
    let registry = own_registry(config)?;
    let pool = config.pool()?.map_or_else(DecodePool::inline, DecodePool::new);
    let limits = config.receive()?.limits.part10;
    Ok(Reader::new(
        registry,
        loader(config)?,
        Arc::new(pool),
        config.pixels(),
        limits,
        config.frames_per_instance,
    ))
}

/// The street over this house, for callers who show `token`.
pub fn street(house: &House, token: &str, doors: Doors, dimse: Arc<ScpEvents>) -> Result<Street> {
    let authenticator = Authenticator::new(
        token,
        house.db.clone(),
        Arc::clone(&house.clock),
        house.keyring.clone(),
        TokenSettings::default(),
    );
    let app = App::new(
        house.db.clone(),
        house.archive.clone(),
        Arc::clone(&house.clock),
        house.config.http()?,
        authenticator,
    );
    ScpEvents::describe();
    let advisor = Arc::new(Advisor::built_in().context("the program's own knowledge does not read")?);
    let own_networks = Arc::new(own_registry(&house.config)?);
    let kinds = notifications::plug(Kinds::default(), &app);
    Ok(Street {
        notifications: NotificationsState::new(app.clone(), house.switchboard()?, &house.config.public_url),
        sockets: Sockets::new(app.clone(), house.config.sockets(), kinds),
        identity: Identity::new(app.clone(), house.config.identity()),
        webhook_targets: house.config.webhook_targets(),
        dicom: DicomState::new(
            app.clone(),
            house.receiver.clone(),
            own_networks.iter().map(networks::name_of),
        ),
        dicomweb: DicomWebState::new(
            app.clone(),
            house.receiver.clone(),
            Arc::clone(house.reader.pool()),
            house.config.pixels(),
        ),
        billing: BillingState::new(app.clone(), house.cashier()?),
        assessments: AssessmentsState::new(app.clone(), Arc::clone(&advisor)),
        cds_hooks: CdsHooksState::new(app.clone(), advisor, &house.config.public_url),
        networks: NetworksState::new(app.clone(), own_networks, house.config.receive()?.spool_folder),
        app,
        doors,
        gauges: Arc::new(move || dimse.publish()),
    })
}

/// The administrator's token, and whether it was made just now.
///
/// Without one in the settings it is made once and kept in the data folder,
/// readable by its owner alone.
pub fn token(config: &Config) -> Result<(String, bool)> {
    if !config.token.is_empty() {
        return Ok((config.token.clone(), false));
    }
    make_private_folder(&config.data_dir)?;
    let path = config.data_dir.join("token");
    let made = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
    // Written apart and linked whole: whoever is killed or comes second leaves no half token.
    let mut apart = tempfile::NamedTempFile::new_in(&config.data_dir).context("the token cannot be kept")?;
    apart
        .write_all(made.as_bytes())
        .and_then(|()| apart.as_file().sync_all())
        .context("the token cannot be kept")?;
    match apart.persist_noclobber(&path) {
        Ok(_) => Ok((made, true)),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
            let kept =
                fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            match kept.trim() {
                "" => bail!("{} is empty: remove it, and a new token is made", path.display()),
                token => Ok((token.to_owned(), false)),
            }
        }
        Err(error) => Err(error.error).with_context(|| format!("{} cannot be written", path.display())),
    }
}

fn make_private_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("the folder {} cannot be made", path.display()))
}
