//! `medilink deidentify PATH… --out DIR`: files without what tells who the patient is, beside the originals.

use std::fs::{self, DirBuilder};
use std::io::{self, BufReader, BufWriter, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use ingest::deidentify::{BurnedIn, DeidentifyError, Profile, Project, Report, deidentify_to};
use rayon::prelude::*;
use serde_json::json;
use tempfile::NamedTempFile;

use super::progress;
use crate::config::Config;
use crate::inputs::{self, Input, InputError};

/// Up to this length an input is held in memory.
const IN_MEMORY_BYTES: usize = 16 << 20;

/// What to de-identify, and how.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// DICOM files, folders and zip archives
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Folder for the new files, a folder in it for each patient; nothing there is ever written over
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A file with the project's key, or a name, whose key is kept in the data folder
    ///
    /// Within a project the same UID, patient and shift of dates stand for the same; without one, this run is its
    /// own project, and nobody keeps its key.
    #[arg(long, value_name = "KEY-FILE|NAME")]
    project: Option<String>,
    /// What stays of what the Basic Profile removes: uids, device, institution, patient-characteristics, safe-private,
    /// full-dates or modified-dates
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    retain: Vec<String>,
    /// What is cleaned instead of removed: descriptors, structured-content, graphics
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    clean: Vec<String>,
    /// Let images pass that are said to show who the patient is; they are named in the report
    #[arg(long)]
    allow_burned_in: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
enum ItemError {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Deidentify(#[from] DeidentifyError),
    #[error("another file of that name is there already")]
    Exists,
    #[error("the new file cannot be written: {0}")]
    Out(#[from] io::Error),
}

impl ItemError {
    fn code(&self) -> &'static str {
        match self {
            Self::Input(error) => error.code(),
            Self::Deidentify(error) => error.code(),
            Self::Exists => "output-exists",
            Self::Out(_) => "output-failed",
        }
    }
}

/// De-identifies every file; fails when any was refused.
pub fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    let mut profile = Profile::default();
    for word in arguments.retain.iter().chain(&arguments.clean) {
        profile.choose(word).with_context(|| format!("{word:?}"))?;
    }
    if arguments.allow_burned_in {
        profile.burned_in = BurnedIn::Flagged;
    }
    let project = project(config, arguments.project.as_deref())?;
    let (inputs, unseen) = inputs::collect(&arguments.paths);
    if inputs.is_empty() && unseen.is_empty() {
        bail!("there is no file to de-identify");
    }
    fs::create_dir_all(&arguments.out)
        .with_context(|| format!("the folder {} cannot be made", arguments.out.display()))?;
    let bar = progress::bar(inputs.len());
    let (done, flagged, refused) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let tell = |name: &str, outcome: Result<(PathBuf, Report), ItemError>| {
        let count = match &outcome {
            Ok((_, report)) if report.flags.is_empty() => &done,
            Ok(_) => &flagged,
            Err(_) => &refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
        bar.suspend(|| tell(name, &outcome, arguments.json));
        bar.inc(1);
    };
    for (name, error) in unseen {
        tell(&name, Err(error.into()));
    }
    let limit = config.instance_bytes;
    inputs.par_iter().for_each(|input| {
        tell(&input.name, de_identified(input, limit, &arguments.out, &profile, &project));
    });
    bar.finish_and_clear();
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    eprintln!(
        "{} de-identified, {} of them to be looked at, {} refused",
        count(&done) + count(&flagged),
        count(&flagged),
        count(&refused)
    );
    if count(&refused) > 0 {
        bail!("some files were refused");
    }
    Ok(())
}

/// One line about one input.
fn tell(name: &str, outcome: &Result<(PathBuf, Report), ItemError>, as_json: bool) {
    let line = match outcome {
        Ok((path, report)) if as_json => json!({
            "input": name,
            "output": path.display().to_string(),
            "patient": report.pseudonym,
            "sopInstanceUid": report.sop_uid,
            "changes": report.changes,
            "flags": report.flags,
        })
        .to_string(),
        Err(error) if as_json => {
            json!({ "input": name, "error": error.code(), "detail": error.to_string() }).to_string()
        }
        Ok((path, report)) => {
            let flags: Vec<_> = report.flags.iter().map(|flag| flag.as_str()).collect();
            let flags =
                if flags.is_empty() { String::new() } else { format!("  look at: {}", flags.join(", ")) };
            format!("{name}: {}{flags}", path.display())
        }
        Err(error) => format!("{name}: refused: {error} ({})", error.code()),
    };
    // Whoever reads the lines may have left; the files are what counts.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes the new file apart and gives it its name when it is whole.
fn de_identified(
    input: &Input,
    limit: u64,
    out: &Path,
    profile: &Profile,
    project: &Project,
) -> Result<(PathBuf, Report), ItemError> {
    let mut held = tempfile::spooled_tempfile_in(IN_MEMORY_BYTES, out);
    let mut failed = None;
    input.pieces(limit, |piece| {
        failed = held.write_all(&piece).err();
        failed.is_none()
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    held.rewind()?;
    let mut apart = NamedTempFile::new_in(out)?;
    let mut writer = BufWriter::new(&mut apart);
    let limits = ingest::part10::Limits::default();
    let report = deidentify_to(&mut BufReader::new(held), &mut writer, &limits, profile, project)?;
    writer.flush()?;
    drop(writer);
    let folder = out.join(&report.pseudonym);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}.dcm", report.sop_uid));
    match apart.persist_noclobber(&path) {
        Ok(_) => Ok((path, report)),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            // the same file twice, or a run that is repeated
            let is_same = fs::read(error.file.path())? == fs::read(&path)?;
            if is_same { Ok((path, report)) } else { Err(ItemError::Exists) }
        }
        Err(error) => Err(error.error.into()),
    }
}

/// The project that is asked for; without one, one of its own.
fn project(config: &Config, asked: Option<&str>) -> Result<Project> {
    let Some(asked) = asked else { return Ok(Project::once()?) };
    if Path::new(asked).is_file() {
        let key = fs::read(asked).with_context(|| format!("the key file {asked} cannot be read"))?;
        return Project::from_key(&key).with_context(|| format!("the key file {asked}"));
    }
    let is_name = (1..=64).contains(&asked.len())
        && !asked.starts_with('.')
        && asked.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it));
    if !is_name {
        bail!(
            "there is no key file {asked:?}; a project's name has 1 to 64 letters, digits, '-', '_' and '.'"
        );
    }
    let folder = config.data_dir.join("projects");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("the folder {} cannot be made", folder.display()))?;
    let path = folder.join(format!("{asked}.key"));
    if !path.exists() {
        // Written apart and linked whole: whoever comes second leaves the first one's key.
        let mut apart = NamedTempFile::new_in(&folder).context("the project's key cannot be kept")?;
        apart.write_all(&*Project::new_key()?).context("the project's key cannot be kept")?;
        apart.as_file().sync_all().context("the project's key cannot be kept")?;
        if let Err(error) = apart.persist_noclobber(&path)
            && error.error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error.error).with_context(|| format!("{} cannot be written", path.display()));
        }
    }
    let key = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    Project::from_key(&key).with_context(|| format!("the key file {}", path.display()))
}
