//! `medilink backup TARGET`: rows and bytes of the embedded size as one folder, while `serve` goes on.
//!
//! The order is what makes it whole: first the small files (a signed head of the audit trail must not be newer
//! than the trail), then the rows as they stand at one instant, then every blob that these rows name. A blob
//! is written before its row and never overwritten, so it is there, unless its rows were erased meanwhile: then
//! the rows are copied anew. The folder gets its name when all of it is on disk.

pub mod manifest;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clinical::clock::{Clock, SystemClock};
use indicatif::ProgressBar;
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use storage::audit::heads::{HEADS_FILE, KEY_FILE};
use storage::backup::{RowsCopy, copy_rows};
use storage::db::Db;
use storage::records::instance::named_among;
use tokio::task::spawn_blocking;

use self::manifest::{ARCHIVE, About, MANIFEST, ROWS, Sum, stays_inside};
use super::progress;
use crate::config::Config;

/// The files of the data folder without which what is sealed cannot be read and nobody signs in as before.
const KEYS: [&str; 3] = ["token", "kek", KEY_FILE];
/// The small files and the rows are copied anew so often, when keys changed or records were erased meanwhile.
const ROUNDS: usize = 5;
/// So long a signed head may come after the row that it is signed for.
const HEADS_COME_WITHIN: Duration = Duration::from_millis(500);
/// So many names of blobs are read at a time.
const PAGE: u32 = 500;
/// What is read of a file at a time.
const PIECE_BYTES: usize = 256 << 10;
/// Folders within folders that are followed below the data folder.
const DEPTH: usize = 16;

/// Where the backup goes.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Folder to make; one that is there must be empty
    target: PathBuf,
    /// Leave token and keys out, to be kept elsewhere: without the keys nobody reads what is sealed
    #[arg(long)]
    without_keys: bool,
}

/// Makes the backup; fails in the end when a blob that rows name was not in the archive.
pub async fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    let source = Source::of(config, !arguments.without_keys)?;
    let (parent, name) = place(&arguments.target)?;
    if parent.canonicalize()?.starts_with(&source.data) {
        bail!("the backup would lie in the data folder, and the next one in itself: choose another place");
    }
    let partial = tempfile::Builder::new()
        .prefix(&format!("{name}.partial-"))
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(&parent)
        .with_context(|| format!("nothing can be written in {}", parent.display()))?;
    let db =
        Db::open(&format!("sqlite:{}", source.rows.display())).await.context("the rows cannot be read")?;
    let mut copy = Copy { source, folder: partial.path().to_owned(), files: BTreeMap::new(), about: None };
    let copied = copy.all(&db).await;
    db.close().await;
    copied?;
    let about = copy.about.take().context("the rows were copied")?;
    let files = std::mem::take(&mut copy.files);
    let folder = copy.folder.clone();
    let header = spawn_blocking(move || -> Result<_> {
        let header = manifest::write(&folder, about, &files)?;
        sync_folders(&folder, files.keys().filter_map(|path| Path::new(path).parent()))?;
        Ok(header)
    })
    .await??;
    std::fs::rename(partial.path(), &arguments.target)
        .with_context(|| format!("{} cannot get its name", arguments.target.display()))?;
    File::open(&parent)?.sync_all()?;

    println!("{} files, {} bytes in {}", header.files, header.bytes, arguments.target.display());
    if header.has_keys {
        println!("It holds the token and the keys: keep it as safe as the data folder itself.");
    } else {
        println!("It holds no keys: keep them elsewhere, what is sealed cannot be read without them.");
    }
    if !header.missing.is_empty() {
        for key in &header.missing {
            eprintln!("not in the archive: {key}");
        }
        bail!("the backup is made, but {} blobs that rows name are lost", header.missing.len());
    }
    Ok(())
}

/// The folder in which `target` is to be made, and its name there.
fn place(target: &Path) -> Result<(PathBuf, String)> {
    match std::fs::read_dir(target) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                bail!("{} is there already and not empty", target.display());
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("{} is no folder", target.display())),
    }
    let name = target.file_name().context("the target has no name")?.to_string_lossy().into_owned();
    let parent = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    Ok((parent.to_owned(), name))
}

/// What a backup is made of.
#[derive(Clone)]
struct Source {
    data: PathBuf,
    rows: PathBuf,
    archive: PathBuf,
    /// The files of keys, by their paths in the data folder.
    keys: Vec<String>,
    with_keys: bool,
}

impl Source {
    fn of(config: &Config, with_keys: bool) -> Result<Self> {
        let rows = config.sqlite_path().context(
            "rows in PostgreSQL are backed up by its own programs: docs/backup.md has the commands",
        )?;
        let archive = config.archive_folder().context(
            "blobs in an object store are backed up by its own programs: docs/backup.md has the commands",
        )?;
        if !rows.is_file() {
            bail!("there is no database {}", rows.display());
        }
        // Nothing was ever stored where the folder is not there.
        let archive = archive.canonicalize().unwrap_or(archive);
        let data = config.data_dir.canonicalize()?;
        let mut keys = KEYS.map(str::to_owned).to_vec();
        match Path::new(&config.key_file).canonicalize() {
            Ok(file) => match file.strip_prefix(&data) {
                Ok(inside) => keys.push(inside.display().to_string()),
                Err(_) => println!(
                    "key_file lies outside the data folder, and is not part of the backup: keep it too"
                ),
            },
            Err(_) if !config.kek.is_empty() => {
                println!("the keys that the settings give (kek) are not part of the backup: keep them too");
            }
            Err(_) => {}
        }
        Ok(Self { data, rows: rows.canonicalize()?, archive, keys, with_keys })
    }

    /// The files of the data folder beside rows, blobs and what is only on its way, by their paths there.
    fn small_files(&self) -> Result<Vec<String>> {
        let rows = |suffix: &str| PathBuf::from(format!("{}{suffix}", self.rows.display()));
        let mut left_out = vec![self.archive.clone(), self.rows.with_extension("lock")];
        left_out.extend(
            ["spool", crate::networks::KEPT, ARCHIVE, ROWS, MANIFEST].map(|name| self.data.join(name)),
        );
        left_out.extend(["", "-wal", "-shm", "-journal"].map(rows));
        let mut found = Vec::new();
        let mut folders = vec![(self.data.clone(), String::new(), 0)];
        while let Some((folder, prefix, depth)) = folders.pop() {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = format!("{prefix}{name}");
                let is_key = self.keys.contains(&path);
                // `.tmp…` is how a file is called before it gets its name.
                if left_out.contains(&entry.path()) || name.starts_with(".tmp") || (is_key && !self.with_keys)
                {
                    continue;
                }
                let kind = entry.file_type()?;
                if kind.is_dir() && depth < DEPTH {
                    folders.push((entry.path(), format!("{path}/"), depth + 1));
                } else if kind.is_file() && stays_inside(&path) {
                    found.push(path);
                } else {
                    eprintln!("left out, for it is no plain file: {path}");
                }
            }
        }
        Ok(found)
    }
}

/// A backup on its way.
struct Copy {
    source: Source,
    folder: PathBuf,
    files: BTreeMap<String, Sum>,
    about: Option<About>,
}

impl Copy {
    async fn all(&mut self, db: &Db) -> Result<()> {
        for round in 1..=ROUNDS {
            self.small_files().await?;
            self.rows(db).await?;
            let blobs = self.blobs(db).await?;
            let is_whole = blobs == Blobs::Whole && !self.keys_changed()?;
            if is_whole && self.lacks_heads().await? && round < ROUNDS {
                // They are signed right after the rows are sealed; where they are lost, waiting brings none.
                tokio::time::sleep(HEADS_COME_WITHIN).await;
            } else if is_whole {
                return Ok(());
            }
        }
        bail!("keys or records were changed in each of {ROUNDS} rounds: try again at a quieter hour")
    }

    async fn small_files(&mut self) -> Result<()> {
        self.files.retain(|path, _| path.starts_with(&format!("{ARCHIVE}/")));
        let (source, folder) = (self.source.clone(), self.folder.clone());
        let copied = spawn_blocking(move || -> Result<Vec<(String, Sum)>> {
            let mut copied = Vec::new();
            for path in source.small_files()? {
                let (from, to) = (source.data.join(&path), folder.join(&path));
                match copy_file(&from, &to) {
                    Ok(sum) => copied.push((path, sum)),
                    // It was there a moment ago.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error).with_context(|| format!("{path} cannot be copied")),
                }
            }
            Ok(copied)
        });
        self.files.extend(copied.await??);
        Ok(())
    }

    async fn rows(&mut self, db: &Db) -> Result<()> {
        let to = self.folder.join(ROWS);
        remove_if_there(&to)?;
        let made_at = SystemClock.now();
        copy_rows(db, &to).await.context("the rows cannot be copied")?;
        let mut rows = RowsCopy::open(&to).await?;
        let schema = rows.schema().await?;
        rows.close().await?;
        let sum = spawn_blocking(move || sum_and_sync(&to)).await??;
        self.files.insert(ROWS.to_owned(), sum);
        let has_keys = self.source.with_keys;
        self.about = Some(About { made_at, schema, has_keys, missing: Vec::new() });
        Ok(())
    }

    /// Copies each blob that the copied rows name, and drops those that an earlier round's rows named.
    async fn blobs(&mut self, db: &Db) -> Result<Blobs> {
        let mut rows = RowsCopy::open(&self.folder.join(ROWS)).await?;
        let bar = progress::bar(usize::try_from(rows.blob_count().await?).unwrap_or(usize::MAX));
        let earlier: Vec<String> =
            self.files.keys().filter(|path| path.starts_with(&format!("{ARCHIVE}/"))).cloned().collect();
        let mut former: BTreeSet<String> = earlier.into_iter().collect();
        let (mut after, mut lost, mut erased) = (String::new(), Vec::new(), false);
        loop {
            let keys = rows.blob_keys(&after, PAGE).await?;
            let Some(last) = keys.last() else { break };
            after.clone_from(last);
            let (kept, new): (Vec<_>, Vec<_>) =
                keys.into_iter().partition(|key| former.remove(&format!("{ARCHIVE}/{key}")));
            bar.inc(kept.len() as u64);
            let (source, folder, counted) = (self.source.archive.clone(), self.folder.clone(), bar.clone());
            let copied = spawn_blocking(move || copy_blobs(&source, &folder, new, &counted)).await??;
            let mut gone = Vec::new();
            for (key, sum) in copied {
                match sum {
                    Some(sum) => drop(self.files.insert(format!("{ARCHIVE}/{key}"), sum)),
                    None => gone.push(key),
                }
            }
            let named = named_among(&mut db.read().await?, &gone).await?;
            erased |= named.len() < gone.len();
            lost.extend(named);
        }
        rows.close().await?;
        bar.finish_and_clear();
        for path in former {
            remove_if_there(&self.folder.join(&path))?;
            self.files.remove(&path);
        }
        if let Some(about) = &mut self.about {
            lost.sort_unstable();
            about.missing = lost;
        }
        Ok(if erased { Blobs::Erased } else { Blobs::Whole })
    }

    /// Whether the copied rows are sealed, and no signed head in the backup says so: the first ones were not written
    /// yet when the small files were copied.
    async fn lacks_heads(&self) -> Result<bool> {
        if self.files.contains_key(HEADS_FILE) {
            return Ok(false);
        }
        let mut rows = RowsCopy::open(&self.folder.join(ROWS)).await?;
        let is_sealed = rows.is_sealed().await?;
        rows.close().await?;
        Ok(is_sealed)
    }

    /// Whether the keys are others by now: rows may be sealed by one that was not copied.
    fn keys_changed(&self) -> Result<bool> {
        let path = |key: &String| self.source.data.join(key);
        for key in self.source.keys.iter().filter(|key| self.source.with_keys && path(key).exists()) {
            if self.files.get(key) != Some(&sum_of(File::open(path(key))?, std::io::sink())?) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What became of the blobs that the copied rows name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blobs {
    /// They are copied, or lost for good.
    Whole,
    /// Some were erased, with their rows, since the rows were copied.
    Erased,
}

type Copied = Vec<(String, Option<Sum>)>;

/// Copies the blobs of these names; those that are not there have no sum.
fn copy_blobs(archive: &Path, folder: &Path, keys: Vec<String>, bar: &ProgressBar) -> Result<Copied> {
    let copy = |key: String| {
        if !stays_inside(&key) {
            bail!("a row names a blob by a path that leads elsewhere");
        }
        let to = folder.join(ARCHIVE).join(&key);
        let sum = match copy_file(&archive.join(&key), &to) {
            Ok(sum) => Some(sum),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("{key} cannot be copied")),
        };
        bar.inc(1);
        Ok((key, sum))
    };
    keys.into_par_iter().map(copy).collect()
}

/// Copies a file to where none is, or over one of an earlier round, durably; its length and digest.
pub fn copy_file(from: &Path, to: &Path) -> std::io::Result<Sum> {
    let source = File::open(from)?;
    if let Some(folder) = to.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    remove_if_there(to)?;
    let mut out = new_file(to)?;
    let sum = sum_of(source, &mut out)?;
    out.sync_all()?;
    Ok(sum)
}

/// A new file that only its owner reads.
fn new_file(path: &Path) -> std::io::Result<File> {
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

fn sum_and_sync(path: &Path) -> std::io::Result<Sum> {
    let file = File::open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.sync_all()?;
    sum_of(file, std::io::sink())
}

/// Length and digest of what is read and written on.
fn sum_of(mut from: impl Read, mut to: impl Write) -> std::io::Result<Sum> {
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            break;
        }
        digest.update(&piece[..read]);
        to.write_all(&piece[..read])?;
        bytes += read as u64;
    }
    let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Sum { bytes, sha256 })
}

/// Makes the names in `folder`, and in those `below` it, last: each is told to the disk.
pub fn sync_folders<'p>(folder: &Path, below: impl Iterator<Item = &'p Path>) -> std::io::Result<()> {
    let mut folders = BTreeSet::from([Path::new("")]);
    folders.extend(below.flat_map(Path::ancestors));
    folders.into_iter().try_for_each(|below| File::open(folder.join(below))?.sync_all())
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::db::sql;
    use storage::testing::{instance_facts, now, place_of};

    /// Two instances with their blobs, and a backup that has copied nothing yet.
    async fn two_instances(folder: &Path) -> (Db, Copy) {
        let rows = folder.join("data/medilink.sqlite");
        std::fs::create_dir_all(folder.join("data/archive")).unwrap();
        let db = Db::open(&format!("sqlite:{}", rows.display())).await.unwrap();
        db.migrate().await.unwrap();
        let mut tx = db.begin().await.unwrap();
        let place = place_of(&mut tx, "1.2.3", "1.2.3.1").await;
        for name in ["1.2.4", "1.2.5"] {
            place.insert(&mut tx, &instance_facts(name, "aa"), now()).await.unwrap();
            let blob = folder.join("data/archive").join(name).join("aa.dcm");
            std::fs::create_dir_all(blob.parent().unwrap()).unwrap();
            std::fs::write(blob, name).unwrap();
        }
        tx.commit().await.unwrap();
        let (data, archive) = (folder.join("data"), folder.join("data/archive"));
        let source = Source { data, rows, archive, keys: vec!["kek".to_owned()], with_keys: true };
        std::fs::write(source.data.join("kek"), "a key").unwrap();
        let folder = folder.join("backup");
        std::fs::create_dir(&folder).unwrap();
        (db, Copy { source, folder, files: BTreeMap::new(), about: None })
    }

    async fn erase(db: &Db, folder: &Path, name: &'static str) {
        let mut tx = db.begin().await.unwrap();
        sql("DELETE FROM instances WHERE sop_uid = $1").bind(name).execute(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        std::fs::remove_dir_all(folder.join("data/archive").join(name)).unwrap();
    }

    #[tokio::test]
    async fn what_is_erased_between_rows_and_bytes_is_in_neither() {
        let folder = tempfile::tempdir().unwrap();
        let (db, mut copy) = two_instances(folder.path()).await;
        copy.rows(&db).await.unwrap();
        erase(&db, folder.path(), "1.2.5").await;
        assert_eq!(copy.blobs(&db).await.unwrap(), Blobs::Erased);
        copy.all(&db).await.unwrap();
        let paths: Vec<&String> = copy.files.keys().collect();
        assert_eq!(paths, ["archive/1.2.4/aa.dcm", "kek", "medilink.sqlite"]);
        assert_eq!(copy.about.unwrap().missing, [""; 0]);
    }

    #[tokio::test]
    async fn what_is_erased_after_its_bytes_were_copied_goes_with_the_next_round() {
        let folder = tempfile::tempdir().unwrap();
        let (db, mut copy) = two_instances(folder.path()).await;
        copy.rows(&db).await.unwrap();
        assert_eq!(copy.blobs(&db).await.unwrap(), Blobs::Whole);
        erase(&db, folder.path(), "1.2.4").await;
        copy.all(&db).await.unwrap();
        assert!(!copy.folder.join("archive/1.2.4/aa.dcm").exists());
        assert!(copy.folder.join("archive/1.2.5/aa.dcm").exists() && copy.files.len() == 3);
    }

    #[tokio::test]
    async fn a_key_that_changes_meanwhile_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (db, mut copy) = two_instances(folder.path()).await;
        copy.all(&db).await.unwrap();
        assert!(!copy.keys_changed().unwrap());
        std::fs::write(copy.source.data.join("kek"), "another key\na key").unwrap();
        assert!(copy.keys_changed().unwrap());
    }
}
