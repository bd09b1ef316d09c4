//! What each room gets of the settings, in the room's own words.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use billing::ServiceSettings;
use clinical::job::Queue;
use gate::Origins;
use hub::courier::CourierSettings;
use identity::IdentitySettings;
use inference::{BackendChoice, Runtimes};
use ingest::hygiene::HygieneSettings;
use ingest::hygiene::clamd::ClamdSettings;
use ingest::limits::IngestLimits;
use ingest::pixels::{PixelLimits, PoolSettings};
use ingest::receive::{OnConflict, ReceiveSettings};
use ingest::scp::{AeTitle, AllowedAddresses, CallingAe, ScpSettings};
use ingest::tls::{OwnCertificate, TlsClient, TlsServer};
use storage::archive::{DataKeys, NewBlobs};
use storage::queue::QueueLimits;
use storage::records::webhook::target::Targets;
use storage::secret::Keyring;

use super::Config;
use crate::proof::Prover;

/// A token of fewer characters is warned of.
const STRONG_TOKEN_CHARACTERS: usize = 16;

/// More images at a time are no help on any machine.
const MOST_THREADS: usize = 512;

impl Config {
    /// Whether the settings' token is so short that it could be guessed; it is taken all the same.
    pub fn has_weak_token(&self) -> bool {
        !self.token.is_empty() && self.token.chars().count() < STRONG_TOKEN_CHARACTERS
    }

    /// Where the rows are.
    pub fn database_url(&self) -> String {
        if self.database_url.is_empty() {
            return format!("sqlite:{}", self.data_dir.join("medilink.sqlite").display());
        }
        self.database_url.clone()
    }

    /// Where the bytes are.
    pub fn archive_url(&self) -> String {
        if self.archive_url.is_empty() {
            return self.data_dir.join("archive").display().to_string();
        }
        self.archive_url.clone()
    }

    /// The file of the rows, where SQLite keeps them.
    pub fn sqlite_path(&self) -> Option<PathBuf> {
        let url = self.database_url();
        let path = url.strip_prefix("sqlite:")?;
        Some(path.strip_prefix("//").unwrap_or(path).into())
    }

    /// The folder of the bytes, where they are in one.
    pub fn archive_folder(&self) -> Option<PathBuf> {
        let url = self.archive_url();
        let path = url.strip_prefix("file://").unwrap_or(&url);
        (!path.contains("://")).then(|| path.into())
    }

    /// Where added networks are.
    pub fn networks_dir(&self) -> PathBuf {
        if self.networks_dir.is_empty() {
            self.data_dir.join("networks")
        } else {
            (&self.networks_dir).into()
        }
    }

    /// What becomes of new blobs.
    pub fn new_blobs(&self) -> NewBlobs {
        if self.seal_blobs { NewBlobs::Sealed } else { NewBlobs::Plain }
    }

    /// How people sign in.
    pub fn identity(&self) -> IdentitySettings {
        IdentitySettings {
            public_url: self.public_url.clone(),
            providers: self.oidc.clone(),
            ..IdentitySettings::default()
        }
    }

    /// The key-encryption keys; without any in the settings, a file with one is made in the data folder.
    pub fn keyring(&self) -> Result<Keyring> {
        match (self.kek.is_empty(), self.key_file.is_empty()) {
            (false, false) => bail!("kek and key_file are both set: one of them holds the keys"),
            (false, true) => Keyring::from_text(&self.kek).context("kek does not read"),
            (true, false) => Keyring::from_file(Path::new(&self.key_file))
                .with_context(|| format!("the key file {} cannot be used", self.key_file)),
            (true, true) => {
                let path = self.data_dir.join("kek");
                Keyring::from_file_or_new(&path)
                    .with_context(|| format!("the key file {} cannot be used", path.display()))
            }
        }
    }

    /// Whose pages may read DICOMweb.
    pub fn origins(&self) -> Result<Origins> {
        Origins::read(&self.cors_origins).context("cors_origins does not read")
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> Result<SocketAddr> {
        self.http_listen
            .parse()
            .with_context(|| format!("http_listen {:?} is no address:port", self.http_listen))
    }

    /// Where DIMSE is served.
    pub fn dicom_address(&self) -> Result<SocketAddr> {
        self.dicom_listen
            .parse()
            .with_context(|| format!("dicom_listen {:?} is no address:port", self.dicom_listen))
    }

    /// Where DIMSE is served over TLS; `None`: nowhere.
    pub fn dicom_tls_address(&self) -> Result<Option<SocketAddr>> {
        if self.dicom_tls_listen.is_empty() {
            return Ok(None);
        }
        if self.dicom_tls_cert.is_empty() || self.dicom_tls_key.is_empty() {
            bail!("dicom_tls_listen needs dicom_tls_cert and dicom_tls_key");
        }
        let address = self.dicom_tls_listen.parse();
        address
            .map(Some)
            .with_context(|| format!("dicom_tls_listen {:?} is no address:port", self.dicom_tls_listen))
    }

    /// The side of DIMSE over TLS that is called.
    pub fn tls_server(&self) -> Result<TlsServer> {
        let own =
            OwnCertificate { chain: Path::new(&self.dicom_tls_cert), key: Path::new(&self.dicom_tls_key) };
        let clients = (!self.dicom_tls_client_ca.is_empty()).then(|| Path::new(&self.dicom_tls_client_ca));
        TlsServer::new(own, clients).context("DIMSE cannot be served over TLS")
    }

    /// The side of DIMSE over TLS that calls; `None` where no authority of peers is named.
    pub fn tls_client(&self) -> Result<Option<TlsClient>> {
        let authorities = [&self.dicom_tls_peer_ca, &self.dicom_tls_client_ca];
        let Some(authorities) = authorities.into_iter().find(|path| !path.is_empty()) else {
            return Ok(None);
        };
        let (chain, key) = (Path::new(&self.dicom_tls_cert), Path::new(&self.dicom_tls_key));
        let own = (!self.dicom_tls_cert.is_empty()).then_some(OwnCertificate { chain, key });
        let client = TlsClient::new(Path::new(authorities), own);
        client.map(Some).context("no peer can be called over TLS")
    }

    pub(super) fn on_conflict(&self) -> Result<OnConflict> {
        Ok(match self.on_conflict.as_str() {
            "keep" => OnConflict::Keep,
            "replace" => OnConflict::Replace,
            "reject" => OnConflict::Reject,
            other => bail!("on_conflict is keep, replace or reject, not {other:?}"),
        })
    }

    /// The hall's settings.
    pub fn receive(&self) -> Result<ReceiveSettings> {
        Ok(ReceiveSettings {
            limits: IngestLimits {
                instance_bytes: self.instance_bytes,
                memory_bytes: self.instance_memory_bytes,
                shared_memory_bytes: self.receive_memory_bytes,
                ..IngestLimits::default()
            },
            on_conflict: self.on_conflict()?,
            quiet: chrono::TimeDelta::seconds(self.analyze_after_seconds),
            spool_folder: self.data_dir.join("spool"),
        })
    }

    /// Who scans what comes in.
    pub(super) fn clamd(&self) -> Result<Option<ClamdSettings>> {
        if self.clamd_address.is_empty() {
            return Ok(None);
        }
        let address = self.clamd_address.parse().context("clamd_address")?;
        let patience = Duration::from_secs(self.clamd_timeout_seconds.clamp(1, 3_600));
        Ok(Some(ClamdSettings { address, patience }))
    }

    /// How clean the hall is kept.
    pub fn hygiene(&self, data_keys: DataKeys) -> Result<HygieneSettings> {
        let mut folders = vec![self.data_dir.clone()];
        folders.extend(self.archive_folder());
        folders.extend(self.sqlite_path().and_then(|path| path.parent().map(Path::to_owned)));
        Ok(HygieneSettings {
            disk_watermark_bytes: self.disk_watermark_bytes,
            folders,
            clinic_quota_bytes: self.clinic_quota_bytes,
            clamd: self.clamd()?,
            data_keys: Some(data_keys),
        })
    }

    /// The DIMSE listener's settings.
    pub fn scp(&self) -> Result<ScpSettings> {
        let title =
            |text: &String| text.parse::<AeTitle>().with_context(|| format!("{text:?} is no AE title"));
        let named = |is_any: bool, titles: &[String]| -> Result<CallingAe> {
            let titles = titles.iter().map(title).collect::<Result<_>>()?;
            Ok(if is_any { CallingAe::Any } else { CallingAe::Only(titles) })
        };
        Ok(ScpSettings {
            ae_title: title(&self.ae_title)?,
            allowed_calling: named(self.any_ae, &self.allowed_ae)?,
            query_calling: named(self.any_query_ae, &self.query_ae)?,
            allowed_addresses: AllowedAddresses::named(&self.allowed_addresses)
                .context("allowed_addresses")?,
            needs_identity: self.dicom_needs_identity,
            associations: self.associations,
            shutdown_wait: Duration::from_secs(self.shutdown_seconds),
            ..ScpSettings::default()
        })
    }

    /// The door's limits over HTTP.
    pub fn http(&self) -> Result<gate::HttpLimits> {
        let proxies = self.trusted_proxies.iter().map(|text| {
            text.parse().with_context(|| format!("trusted_proxies: {text:?} is not an IP address"))
        });
        Ok(gate::HttpLimits {
            upload_bytes: self.upload_bytes,
            page_size_max: self.page_size_max,
            analysis_wait: Duration::from_secs(self.analysis_wait_seconds),
            connections: self.http_connections,
            trusted_proxies: proxies.collect::<Result<_>>()?,
            rates: gate::Rates {
                person: gate::Rate::new(self.person_requests_per_minute, 60),
                machine: gate::Rate::new(self.machine_requests_per_second.saturating_mul(10), 10),
                clinic: gate::Rate::new(self.clinic_requests_per_second.saturating_mul(10), 10),
                stranger: gate::Rate::new(self.address_requests_per_minute, 60),
                sign_in: gate::Rate::new(self.sign_ins_per_minute.saturating_mul(2), 120),
            },
            shutdown: Duration::from_secs(self.shutdown_seconds),
            ..gate::HttpLimits::default()
        })
    }

    /// The socket's limits.
    pub fn sockets(&self) -> gate::socket::SocketLimits {
        gate::socket::SocketLimits {
            connections: self.socket_connections,
            connections_per_person: self.socket_connections_per_person,
            ..gate::socket::SocketLimits::default()
        }
    }

    /// Bounds on decoding.
    pub fn pixels(&self) -> PixelLimits {
        PixelLimits::default()
    }

    /// The processes that decode compressed frames; `None` decodes in the service itself.
    pub fn pool(&self) -> Result<Option<PoolSettings>> {
        if self.decode_children == 0 {
            return Ok(None);
        }
        Ok(Some(PoolSettings {
            program: std::env::current_exe().context("the program's own path is not known")?,
            arguments: vec!["decode-child".to_owned()],
            children: self.decode_children,
            memory_bytes: self.decode_memory_bytes,
            frame_timeout: Duration::from_secs(self.decode_timeout_seconds),
            idle: Duration::from_secs(30),
        }))
    }

    /// What runs networks.
    pub fn backend(&self) -> Result<BackendChoice> {
        self.backend.parse().with_context(|| format!("backend is {:?}", self.backend))
    }

    /// Where the runtimes for networks are.
    pub fn runtimes(&self) -> Runtimes {
        let path = |text: &String| (!text.is_empty()).then(|| PathBuf::from(text));
        Runtimes {
            onnxruntime_library: path(&self.onnxruntime_library),
            openvino_library: path(&self.openvino_library),
            packed_weights: Some(self.data_dir.join("packed-weights")),
            threads: self.analysis_threads(),
        }
    }

    /// How many images are analysed at a time.
    pub fn analysis_threads(&self) -> usize {
        match self.analysis_threads {
            0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            threads => threads.min(MOST_THREADS),
        }
    }

    /// How networks prove themselves before they are run here.
    pub fn prover(&self) -> Result<Prover> {
        Ok(Prover {
            program: std::env::current_exe().context("the program's own path is not known")?,
            arguments: vec!["prove-network".to_owned()],
            data_dir: Some(self.data_dir.clone()),
        })
    }

    /// Which machines webhooks may point at.
    pub fn webhook_targets(&self) -> Targets {
        if self.webhooks_private_addresses { Targets::PrivateToo } else { Targets::PublicOnly }
    }

    /// How patiently events are brought to webhooks.
    pub fn courier(&self) -> CourierSettings {
        CourierSettings {
            targets: self.webhook_targets(),
            tries: self.webhook_tries,
            first_wait: chrono::TimeDelta::seconds(self.webhook_first_wait_seconds.min(86_400)),
            disable_after: chrono::TimeDelta::days(self.webhook_disable_after_days.min(3_650)),
            ..CourierSettings::default()
        }
    }

    /// The accounts at payment providers that serve every clinic without its own.
    pub fn payment_providers(&self) -> ServiceSettings {
        ServiceSettings {
            stripe: self.stripe.clone(),
            paypal: self.paypal.clone(),
            razorpay: self.razorpay.clone(),
            phonepe: self.phonepe.clone(),
        }
    }

    /// How patiently the jobs of a queue are tried: those that call other application entities outlast their night.
    pub fn queue(&self, queue: Queue) -> QueueLimits {
        match queue {
            Queue::Dicom => QueueLimits {
                tries: self.dicom_tries,
                first_wait: chrono::TimeDelta::seconds(self.dicom_first_wait_seconds.min(3_600)),
                ..QueueLimits::default()
            },
            _ => QueueLimits { tries: self.job_tries, ..QueueLimits::default() },
        }
    }
}
