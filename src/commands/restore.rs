//! `medilink restore BACKUP`: puts a backup into an empty data folder, once every file has proved whole.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use storage::backup::{RowsCopy, newest_schema};
use tokio::task::spawn_blocking;

use super::backup::manifest::{ARCHIVE, Entry, Header, MANIFEST, Manifest, ROWS};
use super::backup::{copy_file, sync_folders};
use super::progress;
use crate::config::Config;

/// Where files wait, inside the data folder, until all of them have proved whole.
const WAITING: &str = ".restoring";
/// So many files are read at a time.
const PAGE: usize = 500;
/// So many damaged files are named; the others are counted.
const NAMED: usize = 50;

/// Which backup.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder that `medilink backup` has made
    backup: PathBuf,
}

/// Restores into the data folder; where anything is damaged or missing, nothing is left there.
pub async fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    let data = config.data_dir.clone();
    let is_there = [(config.sqlite_path(), ROWS), (config.archive_folder(), ARCHIVE)]
        .into_iter()
        .all(|(path, name)| path == Some(data.join(name)));
    if !is_there {
        bail!(
            "the settings name other places than the data folder: restore without them, then move what lies there"
        );
    }
    let backup = arguments.backup.clone();
    let manifest = Manifest::open(&backup)
        .with_context(|| format!("{} is no whole backup", arguments.backup.display()))?;
    if manifest.header().schema > newest_schema() {
        bail!("a newer medilink ({}) made the backup: restore it with that one", manifest.header().program);
    }
    be_empty(&data)?;
    let waiting = data.join(WAITING);
    DirBuilder::new().recursive(true).mode(0o700).create(&waiting)?;
    let restored = put_in(manifest, backup, data.clone()).await;
    // What was moved is no longer here; what was refused goes.
    let cleaned = std::fs::remove_dir_all(&waiting);
    let header = restored?;
    cleaned?;

    println!("{} files, {} bytes, as they were at {}", header.files, header.bytes, header.made_at);
    if !header.has_keys {
        println!("The backup holds no keys: put them in place before medilink serve starts.");
    }
    for key in &header.missing {
        eprintln!("not in the backup, as it was lost before: {key}");
    }
    Ok(())
}

/// What a file system makes by itself does not count.
fn be_empty(data: &Path) -> Result<()> {
    match std::fs::read_dir(data) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", data.display())),
        Ok(entries) => {
            for entry in entries {
                if entry?.file_name() != "lost+found" {
                    bail!("{} is not empty: restore into a new place", data.display());
                }
            }
            Ok(())
        }
    }
}

async fn put_in(manifest: Manifest, backup: PathBuf, data: PathBuf) -> Result<Header> {
    let waiting = data.join(WAITING);
    let to = waiting.clone();
    let header = spawn_blocking(move || check_and_copy(manifest, &backup, &to)).await??;
    check_rows(&waiting, &header).await?;
    spawn_blocking(move || move_up(&data)).await??;
    Ok(header)
}

/// Copies every file that the manifest lists to `waiting`; fails, naming them, when any is not as it was.
fn check_and_copy(mut manifest: Manifest, backup: &Path, waiting: &Path) -> Result<Header> {
    let bar = progress::bar(usize::try_from(manifest.header().files).unwrap_or(usize::MAX));
    let (mut damaged, mut folders) = (0_usize, BTreeSet::new());
    loop {
        let entries = manifest.next(PAGE)?;
        if entries.is_empty() {
            break;
        }
        let copy = |entry: &Entry| copy_checked(entry, backup, waiting);
        let outcomes: Vec<_> = entries.par_iter().map(copy).collect();
        for (entry, outcome) in entries.iter().zip(outcomes) {
            bar.inc(1);
            if let Some((folder, _)) = entry.path.rsplit_once('/') {
                folders.insert(PathBuf::from(folder));
            }
            if let Err(why) = outcome {
                damaged += 1;
                if damaged <= NAMED {
                    bar.suspend(|| eprintln!("{}: {why:#}", entry.path));
                }
            }
        }
    }
    bar.finish_and_clear();
    if damaged > 0 {
        bail!("{damaged} of {} files are damaged or missing: nothing is restored", manifest.header().files);
    }
    sync_folders(waiting, folders.iter().map(PathBuf::as_path))?;
    Ok(manifest.header().clone())
}

fn copy_checked(entry: &Entry, backup: &Path, waiting: &Path) -> Result<()> {
    let sum = copy_file(&backup.join(&entry.path), &waiting.join(&entry.path))?;
    if sum.bytes != entry.bytes {
        bail!("it has {} bytes and had {}", sum.bytes, entry.bytes);
    }
    if sum.sha256 != entry.sha256 {
        bail!("its bytes are others: the SHA-256 is not that of {MANIFEST}");
    }
    Ok(())
}

/// Whether each blob that the rows name has come, but those that were lost before.
async fn check_rows(waiting: &Path, header: &Header) -> Result<()> {
    let mut rows = RowsCopy::open(&waiting.join(ROWS)).await.context("the backup has no rows")?;
    let lost: BTreeSet<&String> = header.missing.iter().collect();
    let mut after = String::new();
    loop {
        let keys = rows.blob_keys(&after, u32::try_from(PAGE)?).await?;
        let Some(last) = keys.last() else { break };
        after.clone_from(last);
        for key in keys {
            if !lost.contains(&key) && !waiting.join(ARCHIVE).join(&key).is_file() {
                bail!("the rows name {key}, which the backup lacks: nothing is restored");
            }
        }
    }
    Ok(rows.close().await?)
}

/// Moves everything to its place, the rows last: without them nothing would pass for a data folder.
fn move_up(data: &Path) -> Result<()> {
    let waiting = data.join(WAITING);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&waiting)? {
        names.push(entry?.file_name());
    }
    names.sort_by_key(|name| name == ROWS);
    for name in names {
        std::fs::rename(waiting.join(&name), data.join(&name))?;
    }
    Ok(File::open(data)?.sync_all()?)
}
