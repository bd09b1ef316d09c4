//! A network whose large tensors lie in files beside it, brought into one piece.
//!
//! ONNX calls it external data: a tensor names a file, where its numbers begin there and how many bytes they take. Here, where
//! a network comes in from a folder, such a name is followed, to a file within that folder and nowhere else. What comes out
//! stands alone, so that its SHA-256, its proof and its blob are of all its numbers; no runtime is shown a path. The
//! numbers of fields are onnx.proto's.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::path::{Component, Path};

use crate::protobuf::{Field, Value, push, push_start};

/// `TensorProto.DataLocation.EXTERNAL`
const EXTERNAL: u64 = 1;
/// The longest name that a message repeats, in characters.
const MAX_SHOWN: usize = 80;

/// Why a tensor was not brought in.
#[derive(Debug, thiserror::Error)]
#[error("its tensor {tensor:?} lies in another file, {file:?}, {why}")]
pub struct ExternalDataError {
    /// The tensor.
    pub tensor: String,
    /// The file as the network says it.
    pub file: String,
    /// What to mend.
    pub why: String,
}

/// Where a tensor's numbers lie.
#[derive(Debug, Default)]
struct Elsewhere {
    tensor: String,
    file: String,
    offset: u64,
    /// None: to the end of the file.
    len: Option<u64>,
}

/// A stretch of the file that is made.
enum Piece<'a> {
    /// Of the network's own file.
    Own(&'a [u8]),
    Made(Vec<u8>),
    /// So many bytes of a file beside it.
    Beside {
        of: Elsewhere,
        len: u64,
    },
}

/// The network in one piece: as it is, where all of its main graph's tensors lie in it already or it is none.
///
/// # Errors
///
/// [`ExternalDataError`]: a path out of the folder, a file that is not there or too short, more than `most` bytes together.
pub(crate) fn gathered(onnx: Vec<u8>, folder: &Path, most: u64) -> Result<Vec<u8>, ExternalDataError> {
    match pieces(&onnx, folder)? {
        None => Ok(onnx),
        Some(pieces) => joined(&pieces, folder, most),
    }
}

/// The pieces of the network; `None` where nothing has to be brought in.
fn pieces<'a>(onnx: &'a [u8], folder: &Path) -> Result<Option<Vec<Piece<'a>>>, ExternalDataError> {
    let (mut left, mut pieces, mut is_in_pieces) = (onnx, Vec::new(), false);
    while !left.is_empty() {
        let Some(field) = Field::next(&mut left) else { return Ok(None) };
        match field.value {
            Value::Bytes(graph) if field.number == 7 => {
                let Some((within, has_others)) = pieces_of_graph(graph, folder)? else { return Ok(None) };
                is_in_pieces |= has_others;
                pieces.push(start(7, &within));
                pieces.extend(within);
            }
            _ => pieces.push(Piece::Own(field.whole)),
        }
    }
    Ok(is_in_pieces.then_some(pieces))
}

/// The pieces of a graph, and whether some lie beside it; `None` for what is no graph.
fn pieces_of_graph<'a>(
    graph: &'a [u8],
    folder: &Path,
) -> Result<Option<(Vec<Piece<'a>>, bool)>, ExternalDataError> {
    let (mut left, mut pieces, mut has_others) = (graph, Vec::new(), false);
    while !left.is_empty() {
        let Some(field) = Field::next(&mut left) else { return Ok(None) };
        let outside = match field.value {
            Value::Bytes(tensor) if field.number == 5 => elsewhere(tensor),
            _ => None,
        };
        let Some((of, mut rest)) = outside else {
            pieces.push(Piece::Own(field.whole));
            continue;
        };
        has_others = true;
        let beside = found(of, folder)?;
        // the numbers come last in their tensor, as its field 9
        push_start(&mut rest, 9, beside.len());
        let tensor = [Piece::Made(rest), beside];
        pieces.push(start(5, &tensor));
        pieces.extend(tensor);
    }
    Ok(Some((pieces, has_others)))
}

/// The beginning of a message that these pieces are.
fn start<'a>(number: u64, pieces: &[Piece<'_>]) -> Piece<'a> {
    let mut start = Vec::new();
    push_start(&mut start, number, pieces.iter().map(Piece::len).fold(0, u64::saturating_add));
    Piece::Made(start)
}

/// Where the numbers of a tensor lie and the tensor without them; `None` where they lie in it.
fn elsewhere(tensor: &[u8]) -> Option<(Elsewhere, Vec<u8>)> {
    let (mut left, mut rest) = (tensor, Vec::new());
    let (mut of, mut is_external) = (Elsewhere::default(), false);
    while !left.is_empty() {
        let field = Field::next(&mut left)?;
        match (field.number, field.value) {
            (14, Value::Whole(place)) => is_external = place == EXTERNAL,
            (13, Value::Bytes(entry)) => of.read(entry)?,
            (9, Value::Bytes(_)) => {}
            (8, Value::Bytes(name)) => {
                of.tensor = text(name)?;
                push(&mut rest, 8, name);
            }
            _ => rest.extend_from_slice(field.whole),
        }
    }
    is_external.then_some((of, rest))
}

impl Elsewhere {
    /// Takes in a pair of texts, a key and its value; `None` for a number that is none.
    fn read(&mut self, entry: &[u8]) -> Option<()> {
        let (mut left, mut key, mut value) = (entry, String::new(), String::new());
        while !left.is_empty() {
            match Field::next(&mut left)? {
                Field { number: 1, value: Value::Bytes(bytes), .. } => key = text(bytes)?,
                Field { number: 2, value: Value::Bytes(bytes), .. } => value = text(bytes)?,
                _ => {}
            }
        }
        match key.as_str() {
            "location" => self.file = value,
            "offset" => self.offset = value.parse().ok()?,
            "length" => self.len = Some(value.parse().ok()?),
            // a checksum says nothing that the network's own SHA-256 does not
            _ => {}
        }
        Some(())
    }

    fn refused(&self, why: impl Into<String>) -> ExternalDataError {
        let shown = |text: &str| text.chars().take(MAX_SHOWN).collect();
        ExternalDataError { tensor: shown(&self.tensor), file: shown(&self.file), why: why.into() }
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    Some(std::str::from_utf8(bytes).ok()?.to_owned())
}

/// The stretch of the file that a tensor names.
fn found<'a>(of: Elsewhere, folder: &Path) -> Result<Piece<'a>, ExternalDataError> {
    let in_file = match opened(&of, folder)?.metadata() {
        Ok(about) => about.len(),
        Err(error) => return Err(of.refused(format!("which does not read: {error}"))),
    };
    let left = in_file.checked_sub(of.offset);
    let len = left.map(|left| of.len.unwrap_or(left)).filter(|len| Some(*len) <= left);
    let Some(len) = len else {
        let offset = of.offset;
        return Err(of.refused(format!("which has {in_file} bytes: too few from byte {offset} on")));
    };
    Ok(Piece::Beside { of, len })
}

/// The file that a tensor names, which has proved to lie in the folder.
fn opened(of: &Elsewhere, folder: &Path) -> Result<File, ExternalDataError> {
    let name = Path::new(&of.file);
    let is_downward = name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if of.file.is_empty() || !is_downward || of.file.contains(['\\', '\0']) {
        return Err(of.refused("which must be named from the network's own folder, without .. in its path"));
    }
    let open = |path: &Path| -> io::Result<(bool, File)> {
        // opening a pipe would wait for its writer
        if !path.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
        }
        let file = File::open(path)?;
        // the kernel is asked about the open file: what its path leads to may have been swapped since
        let lies_at = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        Ok((lies_at.starts_with(folder.canonicalize()?), file))
    };
    match open(&folder.join(name)) {
        Ok((true, file)) => Ok(file),
        Ok((false, _)) => Err(of.refused("and a link leads from there out of the network's folder")),
        Err(error) => Err(of.refused(format!("which does not read: {error}"))),
    }
}

impl Piece<'_> {
    fn len(&self) -> u64 {
        match self {
            Piece::Own(bytes) => bytes.len() as u64,
            Piece::Made(bytes) => bytes.len() as u64,
            Piece::Beside { len, .. } => *len,
        }
    }
}

/// The pieces one after another. Each file is opened and proved anew: a process may not hold one open for every tensor.
fn joined(pieces: &[Piece<'_>], folder: &Path, most: u64) -> Result<Vec<u8>, ExternalDataError> {
    let all = pieces.iter().map(Piece::len).fold(0, u64::saturating_add);
    for piece in pieces {
        if let (true, Piece::Beside { of, .. }) = (all > most, piece) {
            return Err(of.refused(format!("and together they are larger than {most} bytes")));
        }
    }
    let mut bytes = Vec::with_capacity(usize::try_from(all).unwrap_or_default());
    for piece in pieces {
        match piece {
            Piece::Own(own) => bytes.extend_from_slice(own),
            Piece::Made(made) => bytes.extend_from_slice(made),
            Piece::Beside { of, len } => {
                let mut file = opened(of, folder)?;
                let read = || -> io::Result<usize> {
                    file.seek(SeekFrom::Start(of.offset))?;
                    file.take(*len).read_to_end(&mut bytes)
                };
                match read() {
                    Ok(count) if count as u64 == *len => {}
                    Ok(_) => return Err(of.refused("which became shorter while it was read")),
                    Err(error) => return Err(of.refused(format!("which does not read: {error}"))),
                }
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
