//! `medilink doctor`: what is configured, what answers, what is wrong and how to mend it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use ::models::Precision;
use anyhow::{Context, Result, bail};
use inference::{BackendChoice, Candidate, Runtime};
use notifications::channel::Channel;
use storage::db::Db;
use storage::queue;
use storage::records::credential::Credential;
use storage::secret::SYSTEM;

use super::models;
use crate::config::Config;
use crate::loader::Loader;
use crate::wiring;

/// A limit on open files below this one is worth a note.
const ENOUGH_FILES: u64 = 4096;

/// What one check found.
enum Verdict {
    Ok(String),
    /// It works, and yet someone should know.
    Note(String, &'static str),
    Wrong(String, &'static str),
}

/// Checks everything; fails when anything is wrong.
pub async fn run(
    config: &Config,
    settings: Option<&Path>,
    environment: &BTreeMap<String, String>,
) -> Result<()> {
    println!("medilink {}\n", env!("CARGO_PKG_VERSION"));
    println!("settings     {}", settings.map_or("no file".to_owned(), |file| file.display().to_string()));
    println!("data folder  {}", config.data_dir.display());
    println!("database     {}", without_secret(&config.database_url()));
    println!("archive      {}", without_secret(&config.archive_url()));
    println!("HTTP         {}", config.http_listen);
    println!("DIMSE        {} as {}\n", config.dicom_listen, config.ae_title);

    let mut wrong = 0;
    let mut tell = |name: &str, verdict: Verdict| match verdict {
        Verdict::Ok(word) => println!("ok     {name}: {word}"),
        Verdict::Note(word, mend) => println!("note   {name}: {word}\n       {mend}"),
        Verdict::Wrong(word, mend) => {
            wrong += 1;
            println!("WRONG  {name}: {word}\n       mend: {mend}");
        }
    };
    tell("data folder", data_folder(config));
    tell("token", token(config));
    tell("secrets", secrets(config));
    tell("senders", senders(config));
    tell("readers", readers(config));
    tell("open files", open_files(config));
    for verdict in database(config).await {
        tell("database", verdict);
    }
    tell("e-mail", mail(config).await);
    tell("archive", archive(config, environment).await);
    match wiring::reader(config) {
        Ok(reader) => {
            for (name, verdict) in runtimes(reader.loader()) {
                tell(&name, verdict);
            }
            for card in reader.registry().iter() {
                tell(&format!("network {}", card.title()), network(&reader, card));
            }
        }
        Err(error) => {
            let mend = "repair or remove the card that is named, or run medilink models verify";
            tell("networks", Verdict::Wrong(format!("{error:#}"), mend));
        }
    }
    tell("decoders", decoders(config));
    for (name, address) in [("HTTP port", &config.http_listen), ("DIMSE port", &config.dicom_listen)] {
        tell(name, port(address));
    }
    if wrong > 0 {
        bail!("{wrong} things are wrong");
    }
    println!("\nall is well");
    Ok(())
}

/// A URL without user and password.
fn without_secret(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

fn data_folder(config: &Config) -> Verdict {
    let mend = "make the folder, or give its owner's right to write to the user who runs medilink";
    let timed = || -> std::io::Result<f64> {
        std::fs::create_dir_all(&config.data_dir)?;
        let mut file = tempfile::tempfile_in(&config.data_dir)?;
        file.write_all(&[0; 4096])?;
        let started = Instant::now();
        file.sync_all()?;
        Ok(started.elapsed().as_secs_f64() * 1e3)
    };
    match timed() {
        Ok(ms) if ms > 20.0 => {
            let mend = "every acknowledged instance waits for it: put the data folder on a faster disk";
            Verdict::Note(format!("writable; an fsync takes {ms:.1} ms"), mend)
        }
        Ok(ms) => Verdict::Ok(format!("writable; an fsync takes {ms:.2} ms")),
        Err(error) => Verdict::Wrong(error.to_string(), mend),
    }
}

fn token(config: &Config) -> Verdict {
    if config.has_weak_token() {
        let mend = "who can reach the HTTP port might guess it: choose a longer one";
        return Verdict::Note("set by the settings, with fewer than 16 characters".to_owned(), mend);
    }
    if !config.token.is_empty() {
        return Verdict::Ok("set by the settings".to_owned());
    }
    let path = config.data_dir.join("token");
    if path.exists() {
        return Verdict::Ok(format!("kept in {}", path.display()));
    }
    Verdict::Note("none yet".to_owned(), "the first start makes one and prints it; or set MEDILINK_TOKEN")
}

fn secrets(config: &Config) -> Verdict {
    let is_kept_here = config.kek.is_empty() && config.key_file.is_empty();
    if is_kept_here && !config.data_dir.join("kek").exists() {
        return Verdict::Note("no key yet".to_owned(), "the first start makes one; or set MEDILINK_KEK");
    }
    let blobs = if config.seal_blobs { "blobs are sealed too" } else { "blobs are stored plain" };
    match config.keyring() {
        Ok(keys) if is_kept_here => {
            let mend =
                "whoever takes the data folder has both: keep it elsewhere by key_file or MEDILINK_KEK";
            Verdict::Note(format!("under the key {}, kept beside them; {blobs}", keys.current_id()), mend)
        }
        Ok(keys) => Verdict::Ok(format!("under the key {}; {blobs}", keys.current_id())),
        Err(error) => Verdict::Wrong(format!("{error:#}"), "put back the keys: without them no secret opens"),
    }
}

fn senders(config: &Config) -> Verdict {
    if config.any_ae {
        let mend = "anyone who reaches the port can send: name the senders in allowed_ae instead";
        return Verdict::Note("every AE title may send".to_owned(), mend);
    }
    if config.allowed_ae.is_empty() {
        let mend = "name the modalities' AE titles in allowed_ae, or start with --any-ae";
        return Verdict::Note("no AE title may send by DIMSE".to_owned(), mend);
    }
    Verdict::Ok(config.allowed_ae.join(", "))
}

/// Who may query and retrieve by DIMSE without a key.
fn readers(config: &Config) -> Verdict {
    if config.any_query_ae {
        let mend = "whoever may call reads every image of the clinic: name the readers in query_ae instead";
        return Verdict::Note("every AE title that may call may query and retrieve".to_owned(), mend);
    }
    Verdict::Ok(match config.query_ae.as_slice() {
        [] => "keys, and titles that are registered to their clinic".to_owned(),
        named => named.join(", "),
    })
}

/// `serve` raises its own limit as far as the system allows.
fn open_files(config: &Config) -> Verdict {
    let wanted = (config.http_connections + config.associations) as u64;
    match rlimit::Resource::NOFILE.get() {
        Ok((_, hard)) if hard < ENOUGH_FILES => {
            let mend =
                "raise it (ulimit -Hn, or LimitNOFILE= of the systemd unit): each connection needs one";
            Verdict::Note(format!("at most {hard}, for up to {wanted} connections"), mend)
        }
        Ok((_, hard)) => Verdict::Ok(format!("at most {hard}")),
        Err(error) => Verdict::Note(error.to_string(), "the limit on open files cannot be read"),
    }
}

async fn database(config: &Config) -> Vec<Verdict> {
    let mend = "check database_url, and that the server runs and lets this user in";
    if has_no_database_yet(config) {
        return vec![Verdict::Note("none yet".to_owned(), "the first start makes it")];
    }
    let url = config.database_url();
    let asked = async {
        let db = Db::open(&url).await?;
        let pending = db.pending_migrations().await?;
        let mut conn = db.read().await?;
        let depth = queue::depth(&mut conn).await;
        let dead = queue::dead(&mut conn, 5).await;
        let sees_all = db.bypasses_row_security().await?;
        Ok::<_, storage::db::DbError>((db.engine(), pending, depth, dead, sees_all))
    };
    let (engine, pending, depth, dead, sees_all) = match asked.await {
        Ok(answers) => answers,
        Err(error) => return vec![Verdict::Wrong(format!("{:#}", anyhow::Error::new(error)), mend)],
    };
    let up = "run medilink migrate, or start medilink serve";
    if !pending.is_empty() {
        let word = format!("{engine} answers, and its schema lacks {}", pending.join(", "));
        return vec![Verdict::Wrong(word, up)];
    }
    let Ok(depth) = depth else {
        let word = format!("{engine} answers, and its schema is not what it should be");
        return vec![Verdict::Wrong(word, up)];
    };
    let counts = format!(
        "{engine} answers; {} jobs wait, {} run, {} are dead",
        depth.queued, depth.running, depth.dead
    );
    let mut verdicts = vec![Verdict::Ok(counts)];
    if sees_all {
        let word =
            "this role is a superuser or has BYPASSRLS: row-level security does not hold for it".to_owned();
        let mend = "connect as a plain role, which migrations/README.md says how to make";
        verdicts.push(Verdict::Note(word, mend));
    }
    for job in dead.unwrap_or_default() {
        let word = format!("dead job {} {} after {} tries: {}", job.kind, job.key, job.tries, job.last_error);
        let mend = "mend the cause; POST /api/dicom/analyze/{dicomId} asks for the work anew";
        verdicts.push(Verdict::Note(word, mend));
    }
    verdicts
}

/// To ask it would make it.
fn has_no_database_yet(config: &Config) -> bool {
    config.database_url.is_empty() && !config.data_dir.join("medilink.sqlite").exists()
}

/// Who carries e-mail for clinics that have set nobody of their own.
async fn mail(config: &Config) -> Verdict {
    let settings = &config.channels;
    if settings.serve(Channel::Email) && settings.from_email.is_empty() {
        let word = "the settings name who carries it and no sender, so that nothing is sent";
        return Verdict::Wrong(
            word.to_owned(),
            "set from_email in [channels], or MEDILINK_CHANNELS_FROM_EMAIL",
        );
    }
    if settings.serve(Channel::Email) {
        return Verdict::Ok("carried by whom the settings name".to_owned());
    }
    let stored = async {
        let db = Db::open(&config.database_url()).await?;
        Credential::of(&mut db.read().await?, SYSTEM, Channel::Email.name()).await
    };
    if !has_no_database_yet(config) && stored.await.is_ok_and(|stored| !stored.is_empty()) {
        return Verdict::Ok("carried by whom PUT /api/v1/communication/config has named".to_owned());
    }
    let word = "nobody carries it: who forgets a password gets no link, a payer without an account no invoice, \
                and nobody a notice by e-mail, but in clinics with providers of their own";
    let mend = "set MEDILINK_SMTP_HOST, ZEPTOMAIL_TOKEN or the aws_ keys of [channels], and its from_email; or PUT \
                /api/v1/communication/config";
    Verdict::Note(word.to_owned(), mend)
}

async fn archive(config: &Config, environment: &BTreeMap<String, String>) -> Verdict {
    let mend = "check archive_url, the bucket's name, region and credentials, or the folder's rights";
    let checked = async { wiring::archive(config, environment)?.check().await.context("it does not answer") };
    match checked.await {
        Ok(()) => Verdict::Ok("answers".to_owned()),
        Err(error) => Verdict::Wrong(format!("{error:#}"), mend),
    }
}

/// Which runtimes for networks are there; only one that is wanted must be.
fn runtimes(loader: &Loader) -> Vec<(String, Verdict)> {
    let choice = loader.choice();
    let verdict = |runtime: Runtime| {
        let opened = loader.runtimes().open(Candidate { runtime, precision: Precision::F32 });
        let library = loader.runtimes().library(runtime);
        match (opened, library) {
            (Ok(backend), Ok(Some(path))) => {
                Verdict::Ok(format!("{} in {}", backend.version(), path.display()))
            }
            (Ok(backend), _) => Verdict::Ok(format!("{}, in the program itself", backend.version())),
            (Err(error), _) if choice == BackendChoice::Only(runtime) => {
                let mend =
                    "name its library in onnxruntime_library or openvino_library, or set backend to tract";
                Verdict::Wrong(error.to_string(), mend)
            }
            (Err(error), Ok(_)) => {
                let mend = "networks run without it: mend or remove the library";
                Verdict::Note(error.to_string(), mend)
            }
            (Err(error), Err(_)) => Verdict::Ok(error.to_string()),
        }
    };
    let mut told: Vec<(String, Verdict)> = Runtime::ALL
        .into_iter()
        .map(|runtime| (format!("runtime {}", runtime.as_str()), verdict(runtime)))
        .collect();
    let word = match choice {
        BackendChoice::Auto => {
            "auto: each network runs on the fastest that it has proved itself on".to_owned()
        }
        BackendChoice::Only(runtime) => format!("{} alone", runtime.as_str()),
    };
    told.push(("backend".to_owned(), Verdict::Ok(word)));
    told
}

fn network(reader: &crate::reader::Reader, card: &::models::Card) -> Verdict {
    match models::check(reader, card) {
        Ok(word) => Verdict::Ok(format!("{}; {word}", card.state.as_str())),
        Err(error) => {
            Verdict::Wrong(format!("{error:#}"), "put back the weights of its card, or remove both")
        }
    }
}

/// A child is really started and decodes a JPEG made here.
fn decoders(config: &Config) -> Verdict {
    if config.decode_children == 0 {
        let mend = "a codec that fails takes the service with it: set decode_children to 1 or more";
        return Verdict::Note("compressed frames are decoded in the service itself".to_owned(), mend);
    }
    let mend = "the program must be able to start itself: check its path, and the limit on processes";
    let decoded = crate::samples::jpeg_instance().and_then(|bytes| {
        let reader = wiring::reader(config)?;
        let object = ::ingest::part10::Part10::read(bytes.into(), &::ingest::part10::Limits::default())?;
        let request = clinical::imaging::DecodeRequest::everything();
        Ok(::ingest::pixels::decode(&object, &request, &config.pixels(), reader.pool())?.len())
    });
    match decoded {
        Ok(_) => {
            Verdict::Ok(format!("{} processes at most; one was started and decoded", config.decode_children))
        }
        Err(error) => Verdict::Wrong(format!("{error:#}"), mend),
    }
}

fn port(address: &str) -> Verdict {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Verdict::Ok(format!("{address} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let mend = "well if that is medilink; else choose another port";
            Verdict::Note(format!("{address} is in use"), mend)
        }
        Err(error) => Verdict::Wrong(format!("{address}: {error}"), "choose an address of this machine"),
    }
}
