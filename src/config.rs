//! Every setting, with its default: a TOML file, then the environment, then flags.
//!
//! An unknown key is an error, wherever it stands. (Own code instead of the
//! crate `figment`, which guesses the type of an environment value from its
//! text: a token of digits would not be a text.)

mod peers;
mod queues;
mod rooms;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use billing::{PayPalAccount, PhonePeAccount, RazorpayAccount, StripeAccount};
use identity::OidcProvider;
use notifications::channel::ChannelSettings;
use serde::{Deserialize, Serialize};

pub use queues::Queues;

/// All settings. In the environment a key is written `MEDILINK_KEY`, in upper case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where everything lives that has no other place.
    pub data_dir: PathBuf,
    /// `sqlite:PATH` or `postgres://…`; empty: `medilink.sqlite` in the data folder.
    pub database_url: String,
    /// A folder or `s3://…`, `gs://…`, `az://…`; empty: `archive` in the data folder.
    pub archive_url: String,
    /// Networks beside those in the box; empty: `networks` in the data folder.
    pub networks_dir: String,
    /// Where HTTP is served.
    pub http_listen: String,
    /// Where DIMSE is served.
    pub dicom_listen: String,
    /// Where DIMSE is served over TLS; empty: nowhere.
    pub dicom_tls_listen: String,
    /// Our certificate for DIMSE over TLS, with those that lead to its authority: a PEM file.
    pub dicom_tls_cert: String,
    /// Its private key: a PEM file.
    pub dicom_tls_key: String,
    /// The authorities (PEM) of the clients that may call over TLS; empty: a client needs no certificate.
    pub dicom_tls_client_ca: String,
    /// The authorities (PEM) of the peers that we call over TLS; empty: those of `dicom_tls_client_ca`.
    pub dicom_tls_peer_ca: String,
    /// The token of the administrator; empty: made at the first start and kept in the data folder.
    pub token: String,
    /// Where browsers reach this service, without a slash at the end.
    pub public_url: String,
    /// Pages of these origins (`https://HOST[:PORT]`, or `*`) may read DICOMweb in a browser, with a token; empty: none.
    pub cors_origins: Vec<String>,
    /// Where people may sign in instead of here: `[[oidc]]` with name, issuer, client_id and client_secret.
    pub oidc: Vec<OidcProvider>,
    /// The key-encryption keys, `id:base64` of 32 bytes each, the current one first; empty: those of `key_file`.
    pub kek: String,
    /// The file of the key-encryption keys; empty: `kek` in the data folder, made at the first start.
    pub key_file: String,
    /// Whether blobs are sealed before they are stored; to be the same in every process over one archive.
    pub seal_blobs: bool,
    /// Our AE title.
    pub ae_title: String,
    /// AE titles that may send.
    pub allowed_ae: Vec<String>,
    /// Whether every AE title may send.
    pub any_ae: bool,
    /// AE titles that may query and retrieve from any clinic without a user identity; a clinic's own titles may from
    /// that clinic.
    pub query_ae: Vec<String>,
    /// Whether every AE title that may send may query and retrieve too, from any clinic.
    pub any_query_ae: bool,
    /// Addresses (`10.1.2.3`) and networks (`10.1.0.0/16`) from where DIMSE is taken; empty: from everywhere.
    pub allowed_addresses: Vec<String>,
    /// Whether every DIMSE association needs a user identity that is an API key of its clinic.
    pub dicom_needs_identity: bool,
    /// Application entities that C-MOVE may send to and that we call, `AE=HOST:PORT`, for every clinic.
    pub peers: Vec<String>,
    /// `keep`, `replace` or `reject` other bytes under a stored SOP Instance UID.
    pub on_conflict: String,
    /// A study is analysed when no instance has come for so long.
    pub analyze_after_seconds: i64,
    /// How long `POST /api/dicom/analyze/{dicomId}` waits before it answers 202.
    pub analysis_wait_seconds: u64,
    /// The longest file of `POST /api/dicom/upload`.
    pub upload_bytes: u64,
    /// The longest instance through any door.
    pub instance_bytes: u64,
    /// The longest instance that is held in memory while it comes in.
    pub instance_memory_bytes: u64,
    /// What all instances coming in may hold in memory together.
    pub receive_memory_bytes: u64,
    /// So many bytes stay free on the disks of spool, database and local archive: what would use them is refused.
    pub disk_watermark_bytes: u64,
    /// So many bytes a clinic may keep that has no number of its own; 0: without limit.
    pub clinic_quota_bytes: u64,
    /// The clamd that scans what comes in, `tcp:host:port` or `unix:/path`; empty: nothing is scanned.
    pub clamd_address: String,
    /// What it has not judged after so long is held back.
    pub clamd_timeout_seconds: u64,
    /// DIMSE associations at a time.
    pub associations: usize,
    /// HTTP connections at a time.
    pub http_connections: usize,
    /// WebSocket connections at a time, beside those of HTTP.
    pub socket_connections: usize,
    /// Most of them of one person.
    pub socket_connections_per_person: usize,
    /// The longest page of a list.
    pub page_size_max: u32,
    /// Addresses of our own proxies, which are believed about whom they speak for (`X-Forwarded-For`).
    pub trusted_proxies: Vec<String>,
    /// So often a person may ask in a minute; 0: without limit, as with those below. Each process counts for itself.
    pub person_requests_per_minute: u32,
    /// So often a machine may ask in a second.
    pub machine_requests_per_second: u32,
    /// So often all callers of a clinic together may ask in a second.
    pub clinic_requests_per_second: u32,
    /// So often an address may ask in a minute what is open to everybody.
    pub address_requests_per_minute: u32,
    /// So often an address may try passwords and other secrets in a minute.
    pub sign_ins_per_minute: u32,
    /// Processes that decode compressed frames; 0 decodes in the service itself.
    pub decode_children: usize,
    /// Memory of all frames that they decode at one time, together.
    pub decode_memory_bytes: u64,
    /// The longest that one frame may take.
    pub decode_timeout_seconds: u64,
    /// What runs networks: `blocked` (our own kernels), `tract`, `onnxruntime`, `openvino`, or `auto`, the fastest of those that are there and answer
    /// as a network's reference vectors say.
    pub backend: String,
    /// ONNX Runtime's shared library, or a folder that holds it, such as Python's `site-packages`; empty: the system's.
    pub onnxruntime_library: String,
    /// OpenVINO's shared library, likewise.
    pub openvino_library: String,
    /// So many images are analysed at a time; 0: as many as there are processors.
    pub analysis_threads: usize,
    /// Frames of one instance that are analysed; more are thinned out evenly.
    pub frames_per_instance: u32,
    /// A job is dead after so many failed tries.
    pub job_tries: i64,
    /// The same for jobs that call other application entities: what is forwarded, what is reported.
    pub dicom_tries: i64,
    /// The wait after the first of those failures; each further one doubles it, up to an hour.
    pub dicom_first_wait_seconds: i64,
    /// How many jobs of each queue run together.
    pub queues: Queues,
    /// Who carries messages for the clinics without providers of their own; in the environment
    /// `MEDILINK_CHANNELS_SES_BASE_URL` or, for what begins with a provider's name, `MEDILINK_SES_BASE_URL`.
    pub channels: ChannelSettings,
    /// The account at Stripe of the clinics without accounts of their own.
    pub stripe: StripeAccount,
    /// That at PayPal.
    pub paypal: PayPalAccount,
    /// That at Razorpay.
    pub razorpay: RazorpayAccount,
    /// That at PhonePe.
    pub phonepe: PhonePeAccount,
    /// A NATS server with JetStream, `nats://…` or `tls://…`, to which every event is published; empty: none is.
    pub nats_url: String,
    /// Whether webhooks may point at this machine and its network.
    pub webhooks_private_addresses: bool,
    /// A delivery to a webhook is dead after so many failed tries.
    pub webhook_tries: i64,
    /// The wait after the first of them, give or take a fifth; each further one is four times as long, up to a day.
    pub webhook_first_wait_seconds: i64,
    /// A webhook where nothing has arrived for so many days is disabled.
    pub webhook_disable_after_days: i64,
    /// A blob without a row is removed when it is older.
    pub sweep_after_seconds: i64,
    /// How long a shutdown waits for what is under way.
    pub shutdown_seconds: u64,
    /// `text` or `json`.
    pub log_format: String,
    /// What is logged, as `tracing` filters say it.
    pub log: String,
    /// The collector that takes traces over OTLP (http/protobuf), such as `http://localhost:4318`; empty: none are sent.
    pub otlp_endpoint: String,
    /// The DSN of a Sentry-compatible server that takes error reports; empty: none are sent.
    pub sentry_dsn: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "medilink-data".into(),
            database_url: String::new(),
            archive_url: String::new(),
            networks_dir: String::new(),
            http_listen: "127.0.0.1:8080".into(),
            dicom_listen: "127.0.0.1:11112".into(),
            dicom_tls_listen: String::new(),
            dicom_tls_cert: String::new(),
            dicom_tls_key: String::new(),
            dicom_tls_client_ca: String::new(),
            dicom_tls_peer_ca: String::new(),
            token: String::new(),
            public_url: "http://127.0.0.1:8080".into(),
            cors_origins: Vec::new(),
            oidc: Vec::new(),
            kek: String::new(),
            key_file: String::new(),
            seal_blobs: false,
            ae_title: "MEDILINK".into(),
            allowed_ae: Vec::new(),
            any_ae: false,
            query_ae: Vec::new(),
            any_query_ae: false,
            peers: Vec::new(),
            allowed_addresses: Vec::new(),
            dicom_needs_identity: false,
            on_conflict: "keep".into(),
            analyze_after_seconds: 5,
            analysis_wait_seconds: 30,
            upload_bytes: 10_485_760,
            instance_bytes: 4 << 30,
            instance_memory_bytes: 16 << 20,
            receive_memory_bytes: 128 << 20,
            disk_watermark_bytes: 256 << 20,
            clinic_quota_bytes: 0,
            clamd_address: String::new(),
            clamd_timeout_seconds: 60,
            associations: 1024,
            http_connections: 4096,
            socket_connections: 20_000,
            socket_connections_per_person: 1_000,
            page_size_max: 1000,
            trusted_proxies: Vec::new(),
            person_requests_per_minute: 6_000,
            machine_requests_per_second: 10_000,
            clinic_requests_per_second: 20_000,
            address_requests_per_minute: 6_000,
            sign_ins_per_minute: 60,
            decode_children: 2,
            decode_memory_bytes: 768 << 20,
            decode_timeout_seconds: 10,
            backend: "auto".into(),
            onnxruntime_library: String::new(),
            openvino_library: String::new(),
            analysis_threads: 0,
            frames_per_instance: 64,
            job_tries: 5,
            dicom_tries: 20,
            dicom_first_wait_seconds: 15,
            queues: Queues::default(),
            channels: ChannelSettings::default(),
            stripe: StripeAccount::default(),
            paypal: PayPalAccount::default(),
            razorpay: RazorpayAccount::default(),
            phonepe: PhonePeAccount::default(),
            nats_url: String::new(),
            webhooks_private_addresses: false,
            webhook_tries: 10,
            webhook_first_wait_seconds: 5,
            webhook_disable_after_days: 5,
            sweep_after_seconds: 3600,
            shutdown_seconds: 30,
            log_format: "text".into(),
            log: "info".into(),
            otlp_endpoint: String::new(),
            sentry_dsn: String::new(),
        }
    }
}

/// Whether a variable that begins as ours do is no setting.
fn is_no_setting(name: &str) -> bool {
    name == "MEDILINK_CONFIG" || name.starts_with("MEDILINK_TEST_")
}

/// A receipt ends long before its blob is so old.
const LEAST_SWEEP_AGE_SECONDS: i64 = 600;

/// The seeds' names and the usual ones, in rising precedence below `MEDILINK_…`.
const OTHER_NAMES: [(&str, &str); 27] = [
    ("CONNECTION_STRING", "database_url"),
    ("DATABASE_URL", "database_url"),
    ("DICOM_STORAGE_PATH", "archive_url"),
    ("MAX_FILE_SIZE", "upload_bytes"),
    ("OPENVINO_INSTALL_DIR", "openvino_library"),
    ("ORT_DYLIB_PATH", "onnxruntime_library"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp_endpoint"),
    ("SENTRY_DSN", "sentry_dsn"),
    ("STRIPE_SECRET_KEY", "stripe_secret_key"),
    ("STRIPE_WEBHOOK_SECRET", "stripe_webhook_secret"),
    ("PAYPAL_CLIENT_ID", "paypal_client_id"),
    ("PAYPAL_CLIENT_SECRET", "paypal_client_secret"),
    ("PAYPAL_WEBHOOK_ID", "paypal_webhook_id"),
    ("RAZORPAY_KEY_ID", "razorpay_key_id"),
    ("RAZORPAY_KEY_SECRET", "razorpay_key_secret"),
    ("RAZORPAY_WEBHOOK_SECRET", "razorpay_webhook_secret"),
    ("PHONEPE_MERCHANT_ID", "phonepe_merchant_id"),
    ("PHONEPE_SALT_KEY", "phonepe_salt_key"),
    ("PHONEPE_SALT_INDEX", "phonepe_salt_index"),
    ("ZEPTOMAIL_TOKEN", "channels_zeptomail_token"),
    ("ZEPTOMAIL_WEBHOOK_KEY", "channels_zeptomail_webhook_key"),
    ("WHATSAPP_TOKEN", "channels_whatsapp_token"),
    ("WHATSAPP_APP_SECRET", "channels_whatsapp_app_secret"),
    ("WHATSAPP_VERIFY_TOKEN", "channels_whatsapp_verify_token"),
    ("TWILIO_ACCOUNT_SID", "channels_twilio_account_sid"),
    ("TWILIO_AUTH_TOKEN", "channels_twilio_auth_token"),
    ("VAPID_PRIVATE_KEY", "channels_vapid_private_key"),
];

/// How the keys of `[channels]` begin that the environment may name without their table: `MEDILINK_SES_BASE_URL`.
const OF_CHANNELS: [&str; 8] =
    ["zeptomail_", "ses_", "sns_", "smtp_", "fcm_", "whatsapp_", "twilio_", "vapid_"];

impl Config {
    /// The settings of a file (if one is named), the environment and the flags, the later over the earlier.
    pub fn load(
        file: Option<&Path>,
        environment: &BTreeMap<String, String>,
        flags: &[(&str, String)],
    ) -> Result<Self> {
        let mut table = match file {
            Some(file) => std::fs::read_to_string(file)
                .with_context(|| format!("the settings file {} cannot be read", file.display()))?
                .parse::<toml::Table>()
                .with_context(|| format!("the settings file {} is not TOML", file.display()))?,
            None => toml::Table::new(),
        };
        let defaults = toml::Table::try_from(Self::default()).context("the defaults are plain values")?;
        for (name, key) in OTHER_NAMES {
            if let Some(value) = environment.get(name) {
                set(&mut table, &defaults, key, value).with_context(|| name.to_owned())?;
            }
        }
        for (name, value) in environment {
            let Some(key) = name.strip_prefix("MEDILINK_") else { continue };
            if is_no_setting(name) {
                continue;
            }
            let mut key = key.to_lowercase();
            if OF_CHANNELS.iter().any(|beginning| key.starts_with(beginning)) {
                key.insert_str(0, "channels_");
            }
            set(&mut table, &defaults, &key, value).with_context(|| name.clone())?;
        }
        for (key, value) in flags {
            set(&mut table, &defaults, key, value).with_context(|| format!("--{}", key.replace('_', "-")))?;
        }
        let mut config: Self = table.try_into().context("the settings do not fit")?;
        config.token = config.token.trim().to_owned();
        config.check()
    }

    fn check(self) -> Result<Self> {
        self.scp()?;
        self.backend()?;
        self.on_conflict()?;
        self.clamd()?;
        self.http_address()?;
        self.dicom_address()?;
        self.dicom_tls_address()?;
        self.peers()?;
        self.queues.check()?;
        if !self.nats_url.is_empty() && !["nats://", "tls://"].iter().any(|it| self.nats_url.starts_with(it))
        {
            bail!("nats_url begins with nats:// or tls://");
        }
        if self.dicom_tries < 1 || self.dicom_first_wait_seconds < 0 {
            bail!("dicom_tries is at least 1, dicom_first_wait_seconds at least 0");
        }
        if self.webhook_tries < 1
            || self.webhook_first_wait_seconds < 0
            || self.webhook_disable_after_days < 1
        {
            bail!(
                "webhook_tries and webhook_disable_after_days are at least 1, webhook_first_wait_seconds at least 0"
            );
        }
        if self.sweep_after_seconds < LEAST_SWEEP_AGE_SECONDS {
            bail!(
                "sweep_after_seconds is at least {LEAST_SWEEP_AGE_SECONDS}: younger blobs may still get their row"
            );
        }
        if !["text", "json"].contains(&self.log_format.as_str()) {
            bail!("log_format is text or json, not {:?}", self.log_format);
        }
        Ok(self)
    }
}

/// Puts `value` under `key`, in the type that the key's default has.
fn set(table: &mut toml::Table, defaults: &toml::Table, key: &str, value: &str) -> Result<()> {
    let value = match defaults.get(key) {
        None => {
            // A key of a table: QUEUES_IMAGING is queues.imaging.
            let Some((outer, inner, defaults)) = key
                .split_once('_')
                .and_then(|(outer, inner)| Some((outer, inner, defaults.get(outer)?.as_table()?)))
            else {
                bail!("there is no setting {key:?}");
            };
            let table = table.entry(outer).or_insert_with(|| toml::Table::new().into());
            let table = table.as_table_mut().with_context(|| format!("{outer} is a table"))?;
            return set(table, defaults, inner, value);
        }
        Some(toml::Value::Integer(_)) => {
            toml::Value::Integer(value.parse().context("a whole number is meant")?)
        }
        Some(toml::Value::Boolean(_)) => {
            toml::Value::Boolean(value.parse().context("true or false is meant")?)
        }
        Some(toml::Value::Array(_)) => value
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(|item| toml::Value::String(item.to_owned()))
            .collect::<Vec<_>>()
            .into(),
        Some(toml::Value::Table(_)) => bail!("{key} is a table: name what in it is meant"),
        Some(_) => toml::Value::String(value.to_owned()),
    };
    table.insert(key.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests;
