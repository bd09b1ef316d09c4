//! Packed weights in files, one a network and way to compute it, which several processes map.
//!
//! A file is the packed weights of each convolution, then a table of them, then one line about the table. It is written under
//! another name, beside the work of the network that is ready by then, and renamed when it is whole. Numbers lie as this
//! processor has them: a file is no exchange format, and one that is cut, foreign or of another version is made anew.

use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kernels::PackedWeights;
use tempfile::NamedTempFile;
use twox_hash::XxHash64;

/// Counts up when another graph of operators is made of the same network, or the file changes.
const FORMAT: u64 = 1;
/// The first number of the last line, as this processor writes it.
const MAGIC: u64 = 0x4D45_4449_5041_434B;
/// Bytes of an entry, and of the last line.
const ENTRY: u64 = 32;
const LAST: u64 = 40;
/// Where the weights of a convolution begin.
const LINE: u64 = 64;
/// Convolutions beyond this are no network's.
const MOST_ENTRIES: u64 = 1 << 16;
/// Bytes of all files together; the oldest go.
const MOST_BYTES: u64 = 8 << 30;
/// A file that was not finished and is older than the newest one by this much was left by a process that ended.
const LEFT: Duration = Duration::from_secs(24 * 60 * 60);
const ENDING: &str = "packed";

/// A folder of packed weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shelf(PathBuf);

/// The packed weights of one convolution in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The checksum of the convolution's name.
    pub name: u64,
    pub first_byte: u64,
    /// Numbers.
    pub count: usize,
    pub checksum: u64,
    pub is_used: bool,
}

/// Tells bytes that were changed from those that were written: no secret, and nobody's signature.
pub(super) fn checksum(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(FORMAT, bytes)
}

impl Shelf {
    /// The folder; it is made when something is kept.
    pub fn at(folder: &Path) -> Shelf {
        Shelf(folder.to_owned())
    }

    fn path(&self, key: &str) -> PathBuf {
        let (one, other) = (checksum(key.as_bytes()), XxHash64::oneshot(!FORMAT, key.as_bytes()));
        self.0.join(format!("{one:016x}{other:016x}.{ENDING}"))
    }

    /// The file of this key and its table; `None` where there is none, or one that is not whole.
    pub fn read(&self, key: &str) -> Option<(File, Vec<Entry>)> {
        let mut file = File::open(self.path(key)).ok()?;
        let len = file.metadata().ok()?.len();
        let mut last = [0; LAST as usize];
        file.seek(SeekFrom::Start(len.checked_sub(LAST)?)).ok()?;
        file.read_exact(&mut last).ok()?;
        let [magic, format, whose, count, sum] = numbers(&last);
        let is_ours = magic == MAGIC && format == FORMAT && whose == checksum(key.as_bytes());
        if !is_ours || count > MOST_ENTRIES {
            return None;
        }
        let table_start = len.checked_sub(LAST + count * ENTRY)?;
        let mut table = vec![0; (count * ENTRY) as usize];
        file.seek(SeekFrom::Start(table_start)).ok()?;
        file.read_exact(&mut table).ok()?;
        if checksum(&table) != sum {
            return None;
        }
        let entry = |bytes: &[u8; ENTRY as usize]| {
            let [name, first_byte, count, checksum] = numbers(bytes);
            Some(Entry { name, first_byte, count: usize::try_from(count).ok()?, checksum, is_used: false })
        };
        let (table, _) = table.as_chunks();
        Some((file, table.iter().map(entry).collect::<Option<_>>()?))
    }

    /// Writes the file of this key: the packed weights of each convolution by the checksum of its name.
    ///
    /// # Errors
    ///
    /// Those of the system; nothing of the file stays behind then.
    pub fn write(&self, key: &str, packed: &[(u64, PackedWeights)]) -> io::Result<()> {
        // what it lies in is the data's folder: where there is none, none is made
        if !self.0.is_dir() {
            fs::create_dir(&self.0)?;
        }
        let mut file = BufWriter::new(NamedTempFile::new_in(&self.0)?);
        let (mut table, mut len) = (Vec::new(), 0_u64);
        for (name, packed) in packed {
            let numbers = (**packed).as_ref();
            let bytes = kernels::bytes_of(numbers);
            let first_byte = len.next_multiple_of(LINE);
            file.write_all(&[0; LINE as usize][..(first_byte - len) as usize])?;
            file.write_all(bytes)?;
            len = first_byte + bytes.len() as u64;
            let entry = [*name, first_byte, numbers.len() as u64, checksum(bytes)];
            table.extend(entry.into_iter().flat_map(u64::to_ne_bytes));
        }
        let last = [MAGIC, FORMAT, checksum(key.as_bytes()), packed.len() as u64, checksum(&table)];
        file.write_all(&table)?;
        file.write_all(&last.into_iter().flat_map(u64::to_ne_bytes).collect::<Vec<_>>())?;
        let path = self.path(key);
        // no fsync: what a power failure leaves of it has other checksums, and is made anew
        file.into_inner().map_err(io::IntoInnerError::into_error)?.persist(&path)?;
        self.sweep(&path)
    }

    /// Removes what was left unfinished, and the oldest files where all together are too large.
    fn sweep(&self, newest: &Path) -> io::Result<()> {
        let now = fs::metadata(newest)?.modified()?;
        let mut finished = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let Ok(about) = fs::metadata(&path) else { continue };
            let age = now.duration_since(about.modified()?).unwrap_or_default();
            if path.extension().is_some_and(|it| it == ENDING) {
                finished.push((age, about.len(), path));
            } else if about.is_file() && age > LEFT {
                fs::remove_file(path)?;
            }
        }
        finished.sort();
        let mut bytes = 0;
        for (_, len, path) in finished {
            bytes += len;
            if bytes > MOST_BYTES && path != newest {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Eight bytes each, as this processor writes them; as many as there are.
fn numbers<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let (numbers, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|index| numbers.get(index).copied().map_or(0, u64::from_ne_bytes))
}

/// What tells a network in a file from every other, together with its card's own hash.
pub(super) fn fingerprint(file: &[u8]) -> u64 {
    let mut hash = XxHash64::with_seed(FORMAT);
    hash.write(file);
    hash.write_u64(file.len() as u64);
    hash.finish()
}
