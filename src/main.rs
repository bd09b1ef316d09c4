//! `medilink`: imaging and clinical-decision compute service. DICOM studies go in, findings come out.

mod commands;
mod compute;
mod config;
mod inputs;
mod jobs;
mod loader;
mod networks;
mod pipeline;
mod proof;
mod reader;
mod samples;
mod series;
mod tasks;
mod telemetry;
mod wiring;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::wiring::House;

/// It gives back more of what large images have left free than glibc's, which has arenas for each thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Imaging and clinical-decision compute: DICOM studies go in, findings come out.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Line {
    /// Settings file (TOML); also MEDILINK_CONFIG
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for everything that has no other place [default: medilink-data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// `sqlite:PATH` or `postgres://…` [default: medilink.sqlite in the data folder]
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Folder or `s3://…`, `gs://…`, `az://…` [default: archive in the data folder]
    #[arg(long, global = true, value_name = "URL")]
    archive_url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start on sample studies, show what is found and where to look, and keep serving
    Demo {
        #[command(flatten)]
        doors: Doors,
        #[command(subcommand)]
        action: Option<DemoAction>,
    },
    /// Serve HTTP and DIMSE, and run the work that follows
    Serve {
        #[command(flatten)]
        doors: Doors,
        /// Leave the work to `medilink worker` processes
        #[arg(long)]
        no_worker: bool,
    },
    /// Run the work that follows from storing, without serving
    Worker,
    /// Take files, folders or zip archives in
    Ingest(commands::ingest::Arguments),
    /// Tell what the networks see in files, without a server
    ///
    /// The lines come in the order of the files. An image that a network does not read gets a line with an
    /// abstention and its code: pixels that cannot be decoded are `not-decodable`. A file that cannot be read,
    /// or is no whole DICOM file, gets a line with an error, and the command fails in the end. The last line sums up:
    /// images, failed ones, seconds of wall clock and of processors, memory, and what ran the networks.
    Analyze(commands::analyze::Arguments),
    /// Write files anew without what tells who the patient is
    ///
    /// By the Basic Application Level Confidentiality Profile (PS3.15, annex E) with the options that are asked for.
    /// Pixels are not looked at: an image that says of itself that it shows the patient's identity is refused, one
    /// that may is named. A line for each file; the command fails in the end where any was refused.
    Deidentify(commands::deidentify::Arguments),
    /// Ask another DICOM application entity whether it is there (C-ECHO)
    Echo(commands::echo::Arguments),
    /// The numbers of the clinics
    Analytics {
        #[command(subcommand)]
        action: commands::analytics::Action,
    },
    /// The trail of who did what
    Audit {
        #[command(subcommand)]
        action: commands::audit::Action,
    },
    /// The money of the clinics
    Billing {
        #[command(subcommand)]
        action: commands::billing::Action,
    },
    /// Copy rows and bytes to a folder, while `serve` goes on
    ///
    /// For SQLite with a local archive. The folder gets its name when all of it is on disk. It holds the token and
    /// the keys unless they are left out: keep it as safe as the data folder itself.
    Backup(commands::backup::Arguments),
    /// Put a backup into an empty data folder, once every file has proved whole
    Restore(commands::restore::Arguments),
    /// Bring the database up to date
    Migrate,
    /// The networks at hand
    Models {
        #[command(subcommand)]
        action: commands::models::Action,
    },
    /// From symptoms to an urgency, a differential and drug advice, without a server
    ///
    /// Without an action it asks, question by question.
    Triage(commands::triage::Arguments),
    /// The keys that seal provider credentials and other secrets
    Secrets {
        #[command(subcommand)]
        action: commands::secrets::Action,
    },
    /// Say what is configured, what answers, what is wrong and how to mend it
    Doctor(Doors),
    /// Decode frames for a parent process
    #[command(hide = true)]
    DecodeChild,
    /// Have a network prove itself for a parent process
    #[command(hide = true)]
    ProveNetwork,
}

/// What else the demo does.
#[derive(Debug, Subcommand)]
enum DemoAction {
    /// Make two clinics with a user for every role, a patient and a study in each, and print how to sign in
    ///
    /// Refused where real people are kept. Run again, it prints new passwords for the same users.
    Users(commands::demo_users::Arguments),
    /// Fill the default clinic with months of invented patients, studies, invoices and visits, and print the numbers
    ///
    /// Patients and studies get rows; findings, invoices, payments and visits are told as events. With --json the
    /// answers of /api/analytics are printed by their paths, counted from what was invented. Refused where there is
    /// something to count already.
    Activity(commands::demo_activity::Arguments),
}

/// Where the doors are, and for whom they open.
#[derive(Debug, Clone, clap::Args)]
struct Doors {
    /// Address and port of HTTP [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    http_listen: Option<String>,
    /// Address and port of DIMSE [default: 127.0.0.1:11112]
    #[arg(long, value_name = "ADDR")]
    dicom_listen: Option<String>,
    /// Our AE title [default: MEDILINK]
    #[arg(long, value_name = "TITLE")]
    ae_title: Option<String>,
    /// AE title that may send (may be repeated)
    #[arg(long = "allow-ae", value_name = "TITLE")]
    allowed_ae: Vec<String>,
    /// Let every AE title send
    #[arg(long)]
    any_ae: bool,
    /// AE title that may query and retrieve without a key (may be repeated)
    #[arg(long = "query-ae", value_name = "TITLE")]
    query_ae: Vec<String>,
    /// Let every AE title query and retrieve
    #[arg(long)]
    any_query_ae: bool,
    /// Where an application entity is reached, for C-MOVE and storage commitment (may be repeated)
    #[arg(long = "peer", value_name = "AE=HOST:PORT")]
    peers: Vec<String>,
}

impl Line {
    /// What the flags set, by the settings' keys.
    fn flags(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let mut flags = vec![
            ("data_dir", path(&self.data_dir)),
            ("database_url", self.database_url.clone()),
            ("archive_url", self.archive_url.clone()),
        ];
        if let Command::Demo { doors, .. } | Command::Doctor(doors) | Command::Serve { doors, .. } =
            &self.command
        {
            flags.extend([
                ("http_listen", doors.http_listen.clone()),
                ("dicom_listen", doors.dicom_listen.clone()),
                ("ae_title", doors.ae_title.clone()),
                ("allowed_ae", (!doors.allowed_ae.is_empty()).then(|| doors.allowed_ae.join(","))),
                ("any_ae", doors.any_ae.then(|| "true".to_owned())),
                ("query_ae", (!doors.query_ae.is_empty()).then(|| doors.query_ae.join(","))),
                ("any_query_ae", doors.any_query_ae.then(|| "true".to_owned())),
                ("peers", (!doors.peers.is_empty()).then(|| doors.peers.join(","))),
            ]);
        }
        if let Command::Analyze(arguments) = &self.command {
            flags.extend(arguments.flags());
        }
        flags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

/// Where the kernel gives memory in pieces of 2 MiB, a few used KiB keep each of them resident: the service stood at twice
/// the memory (benches/README.md). A kernel that cannot be told so goes on as it is.
fn keep_to_small_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// `medilink doctor | head` closes our output early: that is no fault to report. (SIGPIPE stays ignored: its default
/// would end the service when a decoding child goes.)
fn leave_quietly_when_nobody_reads() {
    /// As a shell tells an end by SIGPIPE.
    const ENDED_BY_SIGPIPE: i32 = 128 + 13;
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to stdout") && said.contains("Broken pipe") {
            std::process::exit(ENDED_BY_SIGPIPE);
        }
        report(panic);
    }));
}

fn main() -> ExitCode {
    // The children read frames and networks of strangers: they need no settings and get none.
    let as_child: Option<fn() -> std::io::Result<()>> = match std::env::args().nth(1).as_deref() {
        Some("decode-child") => Some(ingest::pixels::run_child),
        Some("prove-network") => Some(proof::run_child),
        _ => None,
    };
    if let Some(run) = as_child {
        return if run().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    keep_to_small_pages();
    leave_quietly_when_nobody_reads();
    match run(Line::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("medilink: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(line: Line) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment, for Config")]
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let file = line.config.clone().or_else(|| environment.get("MEDILINK_CONFIG").map(PathBuf::from));
    let config = Config::load(file.as_deref(), &environment, &line.flags())?;
    // Object stores and the database speak TLS through this one provider.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a crypto provider is installed already"))?;
    let _telemetry = telemetry::start(&config)?;
    let open = || House::open(config.clone(), &environment);
    match &line.command {
        Command::Demo { action: None, .. } => wait(commands::demo::run(config, &environment)),
        Command::Demo { action: Some(DemoAction::Users(arguments)), .. } => {
            wait(commands::demo_users::run(config, &environment, arguments))
        }
        Command::Demo { action: Some(DemoAction::Activity(arguments)), .. } => {
            wait(commands::demo_activity::run(config, &environment, arguments))
        }
        Command::Serve { no_worker, .. } => {
            wait(async { commands::serve::run(open().await?, !no_worker).await })
        }
        Command::Worker => wait(async { commands::worker::run(open().await?).await }),
        Command::Ingest(arguments) => wait(async { commands::ingest::run(open().await?, arguments).await }),
        Command::Analyze(arguments) => commands::analyze::run(&config, arguments),
        Command::Deidentify(arguments) => commands::deidentify::run(&config, arguments),
        Command::Echo(arguments) => wait(commands::echo::run(&config, arguments)),
        Command::Analytics { action } => wait(commands::analytics::run(&config, action)),
        Command::Audit { action } => wait(commands::audit::run(&config, action)),
        Command::Billing { action } => wait(async { commands::billing::run(&*open().await?, action).await }),
        Command::Backup(arguments) => wait(commands::backup::run(&config, arguments)),
        Command::Restore(arguments) => wait(commands::restore::run(&config, arguments)),
        Command::Migrate => wait(commands::migrate::run(&config)),
        Command::Models { action } => wait(commands::models::run(&config, &environment, action)),
        Command::Triage(arguments) => commands::triage::run(arguments),
        Command::Secrets { action } => wait(commands::secrets::run(&config, action)),
        Command::Doctor(_) => wait(commands::doctor::run(&config, file.as_deref(), &environment)),
        Command::DecodeChild => Ok(ingest::pixels::run_child()?),
        Command::ProveNetwork => Ok(proof::run_child()?),
    }
}

fn wait(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    let outcome = runtime.block_on(work);
    // What is acknowledged is on disk; a thread still busy with anything else is not waited for.
    runtime.shutdown_background();
    outcome
}
