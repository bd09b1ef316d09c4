//! Every setting, with its default: a TOML file, then the environment, then flags.
//!
//! An unknown key is an error, wherever it stands. (Own code instead of the
//! crate `figment`, which guesses the type of an environment value from its
//! text: a token of digits would not be a text.)

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ingest::limits::IngestLimits;
use ingest::pixels::{PixelLimits, PoolSettings};
use ingest::receive::{OnConflict, ReceiveSettings};
use ingest::scp::{AeTitle, CallingAe, ScpSettings};
use serde::{Deserialize, Serialize};
use storage::queue::QueueLimits;

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
    /// The token of the administrator; empty: made at the first start and kept in the data folder.
    pub token: String,
    /// Our AE title.
    pub ae_title: String,
    /// AE titles that may send.
    pub allowed_ae: Vec<String>,
    /// Whether every AE title may send.
    pub any_ae: bool,
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
    /// DIMSE associations at a time.
    pub associations: usize,
    /// HTTP connections at a time.
    pub http_connections: usize,
    /// The longest page of a list.
    pub page_size_max: u32,
    /// Processes that decode compressed frames; 0 decodes in the service itself.
    pub decode_children: usize,
    /// Memory of all of them together.
    pub decode_memory_bytes: u64,
    /// The longest that one frame may take.
    pub decode_timeout_seconds: u64,
    /// Frames of one instance that are analysed; more are thinned out evenly.
    pub frames_per_instance: u32,
    /// A job is dead after so many failed tries.
    pub job_tries: i64,
    /// A blob without a row is removed when it is older.
    pub sweep_after_seconds: i64,
    /// How long a shutdown waits for what is under way.
    pub shutdown_seconds: u64,
    /// `text` or `json`.
    pub log_format: String,
    /// What is logged, as `tracing` filters say it.
    pub log: String,
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
            token: String::new(),
            ae_title: "MEDILINK".into(),
            allowed_ae: Vec::new(),
            any_ae: false,
            on_conflict: "keep".into(),
            analyze_after_seconds: 5,
            analysis_wait_seconds: 30,
            upload_bytes: 10_485_760,
            instance_bytes: 4 << 30,
            instance_memory_bytes: 16 << 20,
            receive_memory_bytes: 128 << 20,
            associations: 512,
            http_connections: 4096,
            page_size_max: 1000,
            decode_children: 2,
            decode_memory_bytes: 2 << 30,
            decode_timeout_seconds: 20,
            frames_per_instance: 64,
            job_tries: 5,
            sweep_after_seconds: 3600,
            shutdown_seconds: 30,
            log_format: "text".into(),
            log: "info".into(),
        }
    }
}

/// A token of fewer characters is warned of.
const STRONG_TOKEN_CHARACTERS: usize = 16;

/// Whether a variable that begins as ours do is no setting.
fn is_no_setting(name: &str) -> bool {
    name == "MEDILINK_CONFIG" || name.starts_with("MEDILINK_TEST_")
}

/// A receipt ends long before its blob is so old.
const LEAST_SWEEP_AGE_SECONDS: i64 = 600;

/// The seeds' names and the usual one, in rising precedence below `MEDILINK_…`.
const OTHER_NAMES: [(&str, &str); 4] = [
    ("CONNECTION_STRING", "database_url"),
    ("DATABASE_URL", "database_url"),
    ("DICOM_STORAGE_PATH", "archive_url"),
    ("MAX_FILE_SIZE", "upload_bytes"),
];

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
            set(&mut table, &defaults, &key.to_lowercase(), value).with_context(|| name.clone())?;
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
        self.on_conflict()?;
        self.http_address()?;
        self.dicom_address()?;
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

    /// Where added networks are.
    pub fn networks_dir(&self) -> PathBuf {
        if self.networks_dir.is_empty() {
            self.data_dir.join("networks")
        } else {
            (&self.networks_dir).into()
        }
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

    fn on_conflict(&self) -> Result<OnConflict> {
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

    /// The DIMSE listener's settings.
    pub fn scp(&self) -> Result<ScpSettings> {
        let title =
            |text: &String| text.parse::<AeTitle>().with_context(|| format!("{text:?} is no AE title"));
        let allowed = self.allowed_ae.iter().map(title).collect::<Result<_>>()?;
        Ok(ScpSettings {
            ae_title: title(&self.ae_title)?,
            allowed_calling: if self.any_ae { CallingAe::Any } else { CallingAe::Only(allowed) },
            associations: self.associations,
            shutdown_wait: Duration::from_secs(self.shutdown_seconds),
            ..ScpSettings::default()
        })
    }

    /// The door's limits over HTTP.
    pub fn http(&self) -> gate::HttpLimits {
        gate::HttpLimits {
            upload_bytes: self.upload_bytes,
            page_size_max: self.page_size_max,
            analysis_wait: Duration::from_secs(self.analysis_wait_seconds),
            connections: self.http_connections,
            shutdown: Duration::from_secs(self.shutdown_seconds),
            ..gate::HttpLimits::default()
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

    /// How patiently jobs are tried.
    pub fn queue(&self) -> QueueLimits {
        QueueLimits { tries: self.job_tries, ..QueueLimits::default() }
    }
}

/// Puts `value` under `key`, in the type that the key's default has.
fn set(table: &mut toml::Table, defaults: &toml::Table, key: &str, value: &str) -> Result<()> {
    let value = match defaults.get(key) {
        None => bail!("there is no setting {key:?}"),
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
        Some(_) => toml::Value::String(value.to_owned()),
    };
    table.insert(key.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "ae_title = 'FILE'\nhttp_listen = '127.0.0.1:1'\nallowed_ae = ['A']")
            .unwrap();
        let environment =
            environment(&[("MEDILINK_AE_TITLE", "ENV"), ("MEDILINK_HTTP_LISTEN", "127.0.0.1:2")]);
        let flags = [("http_listen", "127.0.0.1:3".to_owned())];
        let config = Config::load(Some(file.path()), &environment, &flags).unwrap();
        assert_eq!((config.ae_title.as_str(), config.http_listen.as_str()), ("ENV", "127.0.0.1:3"));
        assert_eq!(config.allowed_ae, ["A"]);
    }

    #[test]
    fn the_seeds_names_are_understood() {
        let environment = environment(&[
            ("CONNECTION_STRING", "postgres://a"),
            ("DICOM_STORAGE_PATH", "/uploads/dicom"),
            ("MAX_FILE_SIZE", "1234"),
        ]);
        let config = Config::load(None, &environment, &[]).unwrap();
        assert_eq!(config.database_url(), "postgres://a");
        assert_eq!((config.archive_url().as_str(), config.upload_bytes), ("/uploads/dicom", 1234));
        assert_eq!(Config::default().instance_bytes, config.instance_bytes, "it binds the upload alone");
    }

    #[test]
    fn an_unknown_key_is_an_error_wherever_it_stands() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "ae_titel = 'X'").unwrap();
        let in_file = Config::load(Some(file.path()), &BTreeMap::new(), &[]).unwrap_err();
        assert!(format!("{in_file:#}").contains("ae_titel"), "{in_file:#}");
        let in_environment =
            Config::load(None, &environment(&[("MEDILINK_AE_TITEL", "X")]), &[]).unwrap_err();
        assert!(format!("{in_environment:#}").contains("MEDILINK_AE_TITEL"), "{in_environment:#}");
    }

    #[test]
    fn a_token_of_digits_is_a_text() {
        let digits = "12345678901234567890";
        let config = Config::load(None, &environment(&[("MEDILINK_TOKEN", digits)]), &[]).unwrap();
        assert_eq!(config.token, digits);
    }

    #[test]
    fn a_short_token_is_taken_and_known_as_weak_and_a_blank_one_is_none() {
        for (token, is_weak) in
            [("short", true), (" fifteen-letters\n", true), ("sixteen-letters!", false), (" \n", false)]
        {
            let config = Config::load(None, &environment(&[("MEDILINK_TOKEN", token)]), &[]).unwrap();
            assert_eq!((config.token.as_str(), config.has_weak_token()), (token.trim(), is_weak));
        }
    }

    #[test]
    fn the_settings_file_and_what_tests_tell_are_no_settings() {
        let names = environment(&[("MEDILINK_CONFIG", "a.toml"), ("MEDILINK_TEST_S3_URL", "s3://a")]);
        assert_eq!(Config::load(None, &names, &[]).unwrap(), Config::default());
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused_with_its_name() {
        for (name, value) in [
            ("MEDILINK_UPLOAD_BYTES", "ten"),
            ("MEDILINK_ON_CONFLICT", "overwrite"),
            ("MEDILINK_AE_TITLE", "SEVENTEEN_LETTERS"),
            ("MEDILINK_HTTP_LISTEN", "here"),
            ("MEDILINK_CONFIGURATION", "x"),
        ] {
            let refused = Config::load(None, &environment(&[(name, value)]), &[]);
            assert!(refused.is_err(), "{name}={value}");
        }
    }
}
