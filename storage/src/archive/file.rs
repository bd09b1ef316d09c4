//! A blob of a local folder, read in large pieces and one piece ahead of whoever takes them.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{ArchiveError, Result};

/// Bytes of one piece: they stay in the processor's cache until the socket has taken them.
const PIECE_BYTES: u64 = 256 << 10;

/// A file that is being read.
struct Reading {
    file: File,
    /// Bytes that are still wanted.
    left: u64,
}

/// A piece, and what follows it.
type Piece = (Bytes, Option<Reading>);

impl Reading {
    fn open(path: &PathBuf, range: Option<Range<u64>>) -> Result<Self> {
        let missing = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => ArchiveError::NotFound,
            _ => error.into(),
        };
        let mut file = File::open(path).map_err(missing)?;
        let length = file.metadata()?.len();
        let Range { start, end } = range.unwrap_or(0..length);
        if start > 0 {
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(Self { file, left: end.min(length).saturating_sub(start) })
    }

    fn next(mut self) -> Result<Piece> {
        let length = self.left.min(PIECE_BYTES);
        let mut piece = vec![0; length as usize];
        self.file.read_exact(&mut piece)?;
        self.left -= length;
        Ok((piece.into(), (self.left > 0).then_some(self)))
    }
}

/// What is read already, and what is on its way.
struct Ahead {
    ready: Option<Bytes>,
    reading: Option<JoinHandle<Result<Piece>>>,
}

impl Ahead {
    fn of((piece, rest): Piece) -> Self {
        Self { ready: Some(piece), reading: rest.map(|rest| spawn_blocking(|| rest.next())) }
    }

    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        if let Some(piece) = self.ready.take() {
            return Ok(Some((piece, self)));
        }
        let Some(reading) = self.reading.take() else { return Ok(None) };
        let mut following = Self::of(reading.await.map_err(std::io::Error::other)??);
        Ok(following.ready.take().map(|piece| (piece, following)))
    }
}

/// The file at `path`, or the part of `range` that it has, whose first piece is read.
///
/// # Errors
///
/// [`ArchiveError::NotFound`] when there is none; each later piece may fail.
pub(super) async fn pieces(
    path: PathBuf,
    range: Option<Range<u64>>,
) -> Result<BoxStream<'static, Result<Bytes>>> {
    let first = spawn_blocking(move || Reading::open(&path, range)?.next());
    let first = first.await.map_err(std::io::Error::other)??;
    Ok(stream::try_unfold(Ahead::of(first), Ahead::next).boxed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;

    #[tokio::test]
    async fn a_file_comes_whole_or_in_part_whatever_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob");
        for length in [0, 1, PIECE_BYTES, 3 * PIECE_BYTES + 7] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let cut = length.min(5)..length;
            for (range, expected) in
                [(None, bytes.as_slice()), (Some(cut.clone()), &bytes[cut.start as usize..])]
            {
                let pieces: Vec<Bytes> =
                    pieces(path.clone(), range).await.unwrap().try_collect().await.unwrap();
                assert!(pieces.concat() == expected, "{length}");
            }
        }
        let none = pieces(folder.path().join("none"), None).await;
        assert!(matches!(none.err(), Some(ArchiveError::NotFound)));
    }
}
