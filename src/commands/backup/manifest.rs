//! What a backup holds: a line of JSON about the whole, then one for each file, in the order of their paths.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Component, Path};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// The manifest's own name.
pub const MANIFEST: &str = "manifest.jsonl";
/// The rows.
pub const ROWS: &str = "medilink.sqlite";
/// The folder of the blobs.
pub const ARCHIVE: &str = "archive";
/// What these lines are called in their first.
const FORMAT: u32 = 1;
/// No path in a backup, and so no line, is nearly as long.
const LINE_BYTES: u64 = 16 << 10;
/// The first line names also what was not there.
const HEADER_BYTES: u64 = 64 << 20;

/// Why a manifest is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read or written.
    #[error("{MANIFEST} cannot be read or written")]
    Io(#[from] std::io::Error),
    /// A line is none of ours.
    #[error("line {0} of {MANIFEST} is damaged")]
    Line(u64),
    /// It was made in another form.
    #[error("the backup has form {0}, which this medilink does not read")]
    Format(u32),
    /// A line leads out of the backup.
    #[error("line {0} of {MANIFEST} names a path that leads elsewhere")]
    Path(u64),
    /// Lines are missing or too many.
    #[error("{MANIFEST} lists {listed} files and says {told}: it was cut off")]
    Count {
        /// As the first line says.
        told: u64,
        /// As there are.
        listed: u64,
    },
}

type Result<T, E = ManifestError> = std::result::Result<T, E>;

/// About the whole backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The form of these lines.
    pub medilink_backup: u32,
    /// The version of the program that made it.
    pub program: String,
    /// When the rows were copied.
    pub made_at: DateTime<Utc>,
    /// The newest step of the schema in the rows.
    pub schema: i64,
    /// Whether token and keys are in it.
    pub has_keys: bool,
    /// How many lines follow.
    pub files: u64,
    /// What these files hold together.
    pub bytes: u64,
    /// Blobs that rows name and that were in no archive any more.
    pub missing: Vec<String>,
}

/// Length and digest of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Where it lies in the backup, and in the data folder, with `/` between the parts.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

/// What a backup is known by before its files are counted.
#[derive(Debug)]
pub struct About {
    /// When the rows were copied.
    pub made_at: DateTime<Utc>,
    /// The newest step of the schema in the rows.
    pub schema: i64,
    /// Whether token and keys are in it.
    pub has_keys: bool,
    /// Blobs that rows name and that were in no archive any more.
    pub missing: Vec<String>,
}

/// Writes the manifest of `files` into `folder`, durably; its first line.
pub fn write(folder: &Path, about: About, files: &BTreeMap<String, Sum>) -> Result<Header> {
    let header = Header {
        medilink_backup: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: about.made_at,
        schema: about.schema,
        has_keys: about.has_keys,
        files: files.len() as u64,
        bytes: files.values().map(|sum| sum.bytes).sum(),
        missing: about.missing,
    };
    let mut out = BufWriter::new(super::new_file(&folder.join(MANIFEST))?);
    write_line(&mut out, &header)?;
    for (path, sum) in files {
        let entry = Entry { path: path.clone(), bytes: sum.bytes, sha256: sum.sha256.clone() };
        write_line(&mut out, &entry)?;
    }
    out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    Ok(header)
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Reads a manifest line by line.
pub struct Manifest {
    lines: BufReader<File>,
    header: Header,
    listed: u64,
}

impl Manifest {
    /// Opens the manifest in `folder` and reads its first line.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut lines = BufReader::new(File::open(folder.join(MANIFEST))?);
        let text = line(&mut lines, HEADER_BYTES)?.ok_or(ManifestError::Line(1))?;
        let form: serde_json::Value = serde_json::from_str(&text).map_err(|_| ManifestError::Line(1))?;
        match form["medilink_backup"].as_u64() {
            Some(form) if form == u64::from(FORMAT) => {}
            Some(form) => return Err(ManifestError::Format(u32::try_from(form).unwrap_or(u32::MAX))),
            None => return Err(ManifestError::Line(1)),
        }
        let header = serde_json::from_value(form).map_err(|_| ManifestError::Line(1))?;
        Ok(Self { lines, header, listed: 0 })
    }

    /// About the whole.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Up to `limit` further files; none at the end, when as many were read as the first line says.
    pub fn next(&mut self, limit: usize) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        while entries.len() < limit {
            let Some(text) = line(&mut self.lines, LINE_BYTES)? else { break };
            self.listed += 1;
            let number = self.listed + 1;
            let entry: Entry = serde_json::from_str(&text).map_err(|_| ManifestError::Line(number))?;
            if !stays_inside(&entry.path) {
                return Err(ManifestError::Path(number));
            }
            entries.push(entry);
        }
        if entries.is_empty() && self.listed != self.header.files {
            return Err(ManifestError::Count { told: self.header.files, listed: self.listed });
        }
        Ok(entries)
    }
}

/// The next line without its end, if there is one; `limit` bytes at most.
fn line(lines: &mut BufReader<File>, limit: u64) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    let read = lines.by_ref().take(limit).read_line(&mut text)?;
    text.truncate(text.trim_end().len());
    Ok((read > 0).then_some(text))
}

/// Whether a path of a backup names a file below its folder, and not the manifest.
pub fn stays_inside(path: &str) -> bool {
    let parts = || path.split('/');
    let is_plain = |part: &str| {
        !part.contains('\0') && matches!(Path::new(part).components().next(), Some(Component::Normal(_)))
    };
    path != MANIFEST && parts().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> BTreeMap<String, Sum> {
        let sum = |bytes| Sum { bytes, sha256: format!("{bytes:064x}") };
        [("medilink.sqlite".to_owned(), sum(10)), ("archive/clinics/a.dcm".to_owned(), sum(7))].into()
    }

    fn written(folder: &Path) -> Header {
        let about = About { made_at: DateTime::UNIX_EPOCH, schema: 3, has_keys: true, missing: Vec::new() };
        write(folder, about, &files()).unwrap()
    }

    fn read(folder: &Path) -> Result<Vec<Entry>> {
        let mut manifest = Manifest::open(folder)?;
        let mut all = Vec::new();
        loop {
            match manifest.next(1)? {
                some if some.is_empty() => return Ok(all),
                some => all.extend(some),
            }
        }
    }

    #[test]
    fn a_manifest_reads_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let header = written(folder.path());
        assert_eq!((header.files, header.bytes), (2, 17));
        assert_eq!(Manifest::open(folder.path()).unwrap().header(), &header);
        let paths: Vec<_> = read(folder.path()).unwrap().into_iter().map(|entry| entry.path).collect();
        assert_eq!(paths, ["archive/clinics/a.dcm", "medilink.sqlite"]);
    }

    #[test]
    fn a_manifest_that_was_cut_changed_or_made_otherwise_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |change: &dyn Fn(&str) -> String| {
            written_anew(folder.path());
            let path = folder.path().join(MANIFEST);
            let text = std::fs::read_to_string(&path).unwrap();
            let changed = change(&text);
            assert_ne!(text, changed);
            std::fs::write(&path, changed).unwrap();
            read(folder.path()).unwrap_err()
        };
        fn written_anew(folder: &Path) {
            // There is none the first time.
            let _ = std::fs::remove_file(folder.join(MANIFEST));
            written(folder);
        }
        let cut = refused(&|text| text.lines().take(2).map(|line| format!("{line}\n")).collect());
        assert!(matches!(cut, ManifestError::Count { told: 2, listed: 1 }));
        assert!(matches!(refused(&|text| text[..text.len() - 9].to_owned()), ManifestError::Line(3)));
        let newer = refused(&|text| text.replacen("backup\":1", "backup\":2", 1));
        assert!(matches!(newer, ManifestError::Format(2)));
        let elsewhere = refused(&|text| text.replacen("archive/clinics", "archive/../..", 1));
        assert!(matches!(elsewhere, ManifestError::Path(2)));
        let long = refused(&|text| text.replacen("clinics", &"c".repeat(LINE_BYTES as usize), 1));
        assert!(matches!(long, ManifestError::Line(2)));
    }

    #[test]
    fn only_paths_below_the_folder_are_taken() {
        for path in ["token", "archive/clinics/x/1.2.3.dcm", "networks/.hidden"] {
            assert!(stays_inside(path), "{path}");
        }
        for path in ["", "/etc/passwd", "a//b", "a/./b", "../token", "a/..", "manifest.jsonl", "a/\0"] {
            assert!(!stays_inside(path), "{path}");
        }
    }
}
