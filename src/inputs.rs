//! The files that a person names on the command line: files, folders, zip archives.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use zip::ZipArchive;

/// So many files at most are taken from what is named.
const MOST_FILES: usize = 10_000_000;
/// A zip entry may grow to so many times its packed size, or to the floor, whichever is more.
const ZIP_RATIO: u64 = 200;
const ZIP_FLOOR_BYTES: u64 = 64 << 20;
/// Folders within folders.
const FOLDER_DEPTH: usize = 64;
/// So many buffers wait to be used again, and none that is longer.
const BUFFERS_KEPT: usize = 4;
const BUFFER_BYTES: u64 = 64 << 20;
/// A file is handed on in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// Buffers for files, used again: the kernel clears the pages of a fresh one before anything is read into them, which
/// cost more than to read the file from its cache.
#[derive(Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer that goes back when nobody holds its bytes any more.
struct Lent {
    bytes: Vec<u8>,
    from: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.from.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < BUFFERS_KEPT && self.bytes.capacity() as u64 <= BUFFER_BYTES {
            kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl Buffers {
    /// An empty one for so many bytes.
    fn take(&self, bytes: usize) -> Lent {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut buffer = kept.unwrap_or_default();
        buffer.clear();
        buffer.reserve(bytes);
        Lent { bytes: buffer, from: self.clone() }
    }
}

/// One file to read.
#[derive(Clone)]
pub struct Input {
    /// How it is called in answers: its path, or `archive.zip!entry`.
    pub name: String,
    source: Source,
}

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Entry { archive: Arc<Mutex<ZipArchive<BufReader<File>>>>, index: usize },
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The system refused.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The zip archive is broken, or encrypted, or packed in a way that is not supported.
    #[error("the zip archive cannot be read: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// Too long, or growing out of proportion.
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    /// A pipe, a socket or a device.
    #[error("it is neither a file nor a folder")]
    NotAFile,
    /// Too many files, or folders nested too deeply.
    #[error("there are too many files or folders")]
    TooMany,
}

impl InputError {
    /// The stable code of the problem.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "unreadable",
            Self::Zip(_) => "zip-unreadable",
            Self::TooLarge(_) => "too-large",
            Self::NotAFile => "not-a-file",
            Self::TooMany => "too-many-files",
        }
    }
}

/// The files under `paths`, in the order of their names, and those that could not be looked into.
///
/// In folders, hidden files, DICOMDIR, links to folders (which may lead in a circle) and what is no file are
/// passed over.
pub fn collect(paths: &[PathBuf]) -> (Vec<Input>, Vec<(String, InputError)>) {
    let (mut inputs, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        add(path, 0, &mut inputs, &mut errors);
    }
    (inputs, errors)
}

fn add(path: &Path, depth: usize, inputs: &mut Vec<Input>, errors: &mut Vec<(String, InputError)>) {
    let name = path.display().to_string();
    let kind = std::fs::metadata(path);
    let is_named = depth == 0;
    let added = if kind.as_ref().is_ok_and(|it| it.is_dir()) {
        if is_named || !path.is_symlink() { add_folder(path, depth, inputs, errors) } else { Ok(()) }
    } else if kind.is_ok_and(|it| !it.is_file()) {
        // To open a pipe would be to wait for its other end.
        if is_named { Err(InputError::NotAFile) } else { Ok(()) }
    } else if is_zip(path) {
        add_zip(path, inputs)
    } else if inputs.len() >= MOST_FILES {
        Err(InputError::TooMany)
    } else {
        inputs.push(Input { name: name.clone(), source: Source::File(path.to_owned()) });
        Ok(())
    };
    if let Err(error) = added {
        errors.push((name, error));
    }
}

fn add_folder(
    path: &Path,
    depth: usize,
    inputs: &mut Vec<Input>,
    errors: &mut Vec<(String, InputError)>,
) -> Result<(), InputError> {
    if depth >= FOLDER_DEPTH {
        return Err(InputError::TooMany);
    }
    let mut entries =
        std::fs::read_dir(path)?.map(|entry| entry.map(|it| it.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        if !is_passed_over(&name) {
            add(&entry, depth + 1, inputs, errors);
        }
    }
    Ok(())
}

fn is_passed_over(file_name: &str) -> bool {
    file_name.starts_with('.') || file_name.eq_ignore_ascii_case("DICOMDIR")
}

/// A zip archive begins with a local file header, or, when empty, with the end of its directory (APPNOTE.TXT, 4.3).
fn is_zip(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && (magic == *b"PK\x03\x04" || magic == *b"PK\x05\x06")
}

fn add_zip(path: &Path, inputs: &mut Vec<Input>) -> Result<(), InputError> {
    let archive = ZipArchive::new(BufReader::new(File::open(path)?))?;
    let count = archive.len();
    if inputs.len() + count > MOST_FILES {
        return Err(InputError::TooMany);
    }
    let name_of = |index| Ok(archive.name_for_index(index).transpose()?.unwrap_or_default().into_owned());
    let names = (0..count).map(name_of).collect::<Result<Vec<_>, InputError>>()?;
    let archive = Arc::new(Mutex::new(archive));
    for (index, entry) in names.into_iter().enumerate() {
        let is_folder = entry.ends_with('/');
        if is_folder || is_passed_over(entry.rsplit('/').next().unwrap_or_default()) {
            continue;
        }
        let name = format!("{}!{entry}", path.display());
        inputs.push(Input { name, source: Source::Entry { archive: Arc::clone(&archive), index } });
    }
    Ok(())
}

impl Input {
    /// How many bytes it will have, as far as that is known before it is read.
    pub fn size(&self) -> u64 {
        match &self.source {
            Source::File(path) => std::fs::metadata(path).map_or(0, |it| it.len()),
            Source::Entry { archive, index } => {
                let mut archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
                archive.by_index_raw(*index).map_or(0, |entry| entry.size())
            }
        }
    }

    /// The whole file, up to `limit` bytes, in one of `buffers`.
    ///
    /// # Errors
    ///
    /// [`InputError`] when it is longer, or cannot be read.
    pub fn read(&self, limit: u64, buffers: &Buffers) -> Result<Bytes, InputError> {
        self.open(limit, |source, limit, expected| {
            // What a source merely claims of its length sizes the first buffer, within reason.
            let mut lent = buffers.take(expected.min(limit).min(BUFFER_BYTES) as usize);
            source.take(limit.saturating_add(1)).read_to_end(&mut lent.bytes)?;
            if lent.bytes.len() as u64 > limit {
                Err(InputError::TooLarge(limit))
            } else {
                Ok(Bytes::from_owner(lent))
            }
        })
    }

    /// Hands the file on piece by piece, up to `limit` bytes, as long as `give` takes them.
    ///
    /// # Errors
    ///
    /// [`InputError`] when it is longer, or cannot be read: the pieces given are not the whole file.
    pub fn pieces(&self, limit: u64, mut give: impl FnMut(Bytes) -> bool) -> Result<(), InputError> {
        self.open(limit, |source, limit, expected| {
            let mut given = 0;
            loop {
                // One more byte, so that the end of a small file is seen in the same piece.
                let rest =
                    (expected.saturating_sub(given).min(PIECE_BYTES as u64) as usize).max(PIECE_BYTES / 16);
                let mut piece = Vec::with_capacity(rest + 1);
                let count = Read::take(&mut *source, rest as u64 + 1).read_to_end(&mut piece)? as u64;
                given += count;
                if given > limit {
                    return Err(InputError::TooLarge(limit));
                }
                if count == 0 || !give(piece.into()) || count <= rest as u64 {
                    return Ok(());
                }
            }
        })
    }

    /// Runs `read` over the source, with its own limit and the length that it claims.
    fn open<T>(
        &self,
        limit: u64,
        read: impl FnOnce(&mut dyn Read, u64, u64) -> Result<T, InputError>,
    ) -> Result<T, InputError> {
        match &self.source {
            Source::File(path) => {
                let mut file = File::open(path)?;
                let expected = file.metadata()?.len();
                if expected > limit {
                    return Err(InputError::TooLarge(limit));
                }
                read(&mut file, limit, expected)
            }
            Source::Entry { archive, index } => {
                let mut archive = archive.lock().unwrap_or_else(PoisonError::into_inner);
                let mut entry = archive.by_index(*index)?;
                let limit = limit.min(ZIP_FLOOR_BYTES.max(entry.compressed_size().saturating_mul(ZIP_RATIO)));
                let expected = entry.size().min(limit);
                read(&mut entry, limit, expected)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    fn zip_of(path: &Path, entries: &[(&str, &[u8])]) {
        let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
        for (name, bytes) in entries {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    #[test]
    fn files_folders_and_zips_are_walked_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("b")).unwrap();
        for (name, text) in [("b/2.dcm", "two"), ("a.dcm", "one"), ("b/DICOMDIR", "x"), (".hidden", "x")] {
            std::fs::write(at(name), text).unwrap();
        }
        zip_of(&at("c.zip"), &[("in/3.dcm", b"three"), ("DICOMDIR", b"x")]);
        let (inputs, errors) = collect(&[folder.path().to_owned(), at("missing")]);
        let texts: Vec<_> =
            inputs.iter().filter_map(|input| input.read(100, &Buffers::default()).ok()).collect();
        assert_eq!(texts, ["one", "two", "three"]);
        assert_eq!(errors.len(), 0, "a missing file is told when it is read");
        assert!(matches!(inputs.last().unwrap().read(100, &Buffers::default()), Err(InputError::Io(_))));
    }

    #[test]
    fn a_zip_bomb_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.zip");
        zip_of(&path, &[("zeros", &vec![0; (ZIP_FLOOR_BYTES + 1) as usize])]);
        let (inputs, _) = collect(&[path]);
        assert!(matches!(
            inputs[0].read(u64::MAX - 1, &Buffers::default()),
            Err(InputError::TooLarge(ZIP_FLOOR_BYTES))
        ));
    }

    #[test]
    fn pieces_are_the_file_and_none_is_long() {
        let folder = tempfile::tempdir().unwrap();
        let (plain, packed) = (folder.path().join("a.dcm"), folder.path().join("b.zip"));
        for length in [0, 1, PIECE_BYTES / 16, PIECE_BYTES / 16 + 1, PIECE_BYTES, 5 * PIECE_BYTES + 7] {
            let bytes: Vec<u8> = (0..length).map(|index| (index * 31 / 7) as u8).collect();
            std::fs::write(&plain, &bytes).unwrap();
            zip_of(&packed, &[("b.dcm", &bytes)]);
            for input in collect(&[plain.clone(), packed.clone()]).0 {
                let mut pieces = Vec::new();
                let give = |piece: Bytes| {
                    pieces.push(piece);
                    true
                };
                input.pieces(length as u64, give).unwrap();
                assert!(pieces.concat() == bytes, "{} of {length}", input.name);
                assert!(pieces.iter().all(|piece| piece.len() <= PIECE_BYTES + 1));
                if length > 0 {
                    let cut = input.pieces(length as u64 - 1, |_| true);
                    assert!(matches!(cut, Err(InputError::TooLarge(_))));
                }
            }
        }
    }

    #[test]
    fn a_zip_bomb_is_cut_off_before_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bomb.zip");
        zip_of(&path, &[("zeros", &vec![0; (ZIP_FLOOR_BYTES + 1) as usize])]);
        let mut given = 0;
        let give = |piece: Bytes| {
            given += piece.len() as u64;
            true
        };
        let cut = collect(&[path]).0[0].pieces(u64::MAX, give);
        assert!(matches!(cut, Err(InputError::TooLarge(ZIP_FLOOR_BYTES))));
        assert!(given <= ZIP_FLOOR_BYTES);
    }

    #[test]
    fn links_in_a_circle_and_pipes_are_not_walked_into() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("in")).unwrap();
        std::fs::write(at("in/a.dcm"), "one").unwrap();
        std::os::unix::fs::symlink(folder.path(), at("in/circle")).unwrap();
        std::os::unix::fs::symlink(at("in/a.dcm"), at("in/link.dcm")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("in/socket")).unwrap();
        let names = |path: &Path| {
            let (inputs, errors) = collect(&[path.to_owned()]);
            let ends = inputs.iter().map(|it| it.name.rsplit('/').next().unwrap().to_owned());
            (ends.collect::<Vec<_>>(), errors.into_iter().map(|(_, error)| error.code()).collect::<Vec<_>>())
        };
        let both = vec!["a.dcm".to_owned(), "link.dcm".to_owned()];
        assert_eq!(names(&at("in")), (both.clone(), vec![]));
        assert_eq!(names(&at("in/circle")), (both, vec![]), "a link that is named is followed");
        assert_eq!(names(&at("in/socket")), (vec![], vec!["not-a-file"]));
    }

    #[test]
    fn a_file_over_the_limit_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "123456").unwrap();
        let (inputs, _) = collect(&[file.path().to_owned()]);
        assert!(matches!(inputs[0].read(5, &Buffers::default()), Err(InputError::TooLarge(5))));
        assert_eq!(inputs[0].read(6, &Buffers::default()).unwrap(), "123456");
    }

    #[test]
    fn a_buffer_is_used_again_once_nobody_holds_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.dcm"), "first").unwrap();
        std::fs::write(folder.path().join("b.dcm"), "2nd").unwrap();
        let (inputs, _) = collect(&[folder.path().to_owned()]);
        let buffers = Buffers::default();
        let first = inputs[0].read(100, &buffers).unwrap();
        let place = first.as_ptr();
        let meanwhile = inputs[1].read(100, &buffers).unwrap();
        assert_ne!(meanwhile.as_ptr(), place);
        drop(first);
        let again = inputs[1].read(100, &buffers).unwrap();
        assert_eq!((again.as_ptr(), &again[..]), (place, &b"2nd"[..]));
    }
}
