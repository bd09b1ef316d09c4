//! Where an instance's bytes wait until they are whole: in memory, or in a file without a name.
//!
//! The file is unlinked from the start, so a killed process leaves nothing behind.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

use crate::hygiene::Space;

/// Pieces shorter than this are joined …
const SMALL_BYTES: usize = 4 << 10;
/// … up to about this.
const JOINED_BYTES: usize = 64 << 10;
/// A file is written in pieces of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// Why bytes were not spooled.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The instance is longer than allowed.
    #[error("the instance is larger than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: u64,
    },
    /// The disk is nearly full.
    #[error("there is no room left on the disk")]
    Full,
    /// The spool file failed.
    #[error("the spool file failed")]
    File(#[from] io::Error),
}

/// What all spools of a house share.
#[derive(Debug)]
pub(crate) struct SpoolRoom {
    pub(crate) folder: PathBuf,
    pub(crate) memory_bytes: u64,
    pub(crate) shared_memory_bytes: u64,
    pub(crate) in_memory: AtomicU64,
    /// Room on the disk of `folder`.
    pub(crate) space: Space,
}

/// Takes the bytes of one instance in order; dropping it discards them.
#[derive(Debug)]
pub struct Spool {
    room: Arc<SpoolRoom>,
    limit: u64,
    length: u64,
    digest: Sha256,
    chunks: Vec<Bytes>,
    /// Small pieces, joined: each would cost more to hold than it holds.
    tail: BytesMut,
    /// Bytes of `chunks`, which count against the room's shared memory.
    held: u64,
    file: Option<File>,
}

impl Spool {
    pub(crate) fn new(room: Arc<SpoolRoom>, limit: u64) -> Self {
        Self {
            room,
            limit,
            length: 0,
            digest: Sha256::new(),
            chunks: Vec::new(),
            tail: BytesMut::new(),
            held: 0,
            file: None,
        }
    }

    /// How many bytes it has taken.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// [`SpoolError::TooLarge`] past the limit; [`SpoolError::File`] when the disk fails.
    pub async fn write(&mut self, data: Bytes) -> Result<(), SpoolError> {
        let length = self.length + data.len() as u64;
        if length > self.limit {
            return Err(SpoolError::TooLarge { limit: self.limit });
        }
        self.length = length;
        self.digest.update(&data);
        self.hold(data);
        let wanted = if self.file.is_some() { self.held >= WRITE_BYTES as u64 } else { self.is_crowded() };
        if wanted { self.flush().await } else { Ok(()) }
    }

    fn is_crowded(&self) -> bool {
        self.held > self.room.memory_bytes
            || self.room.in_memory.load(Ordering::Relaxed) > self.room.shared_memory_bytes
    }

    fn hold(&mut self, data: Bytes) {
        self.held += data.len() as u64;
        self.room.in_memory.fetch_add(data.len() as u64, Ordering::Relaxed);
        if data.len() < SMALL_BYTES {
            self.tail.extend_from_slice(&data);
        } else {
            self.close_tail();
            self.chunks.push(data);
        }
        if self.tail.len() >= JOINED_BYTES {
            self.close_tail();
        }
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push(self.tail.split().freeze());
        }
    }

    fn release(&mut self) -> Vec<Bytes> {
        self.room.in_memory.fetch_sub(self.held, Ordering::Relaxed);
        self.held = 0;
        self.close_tail();
        std::mem::take(&mut self.chunks)
    }

    /// Moves what is held in memory to the file.
    async fn flush(&mut self) -> Result<(), SpoolError> {
        if !self.room.space.has_room(self.held) {
            return Err(SpoolError::Full);
        }
        let chunks = self.release();
        let (file, folder) = (self.file.take(), self.room.folder.clone());
        let written = tokio::task::spawn_blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => tempfile::tempfile_in(folder)?,
            };
            for chunk in &chunks {
                file.write_all(chunk)?;
            }
            Ok::<_, io::Error>(file)
        });
        self.file = Some(written.await.map_err(io::Error::other)??);
        Ok(())
    }

    /// The bytes, now whole, with their SHA-256 in hexadecimal.
    pub(crate) async fn finish(mut self) -> Result<(Spooled, String), SpoolError> {
        if self.file.is_some() {
            self.flush().await?;
        }
        self.close_tail();
        let digest = std::mem::take(&mut self.digest).finalize();
        let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let length = self.length;
        let body = match self.file.take() {
            Some(mut file) => {
                file.seek(SeekFrom::Start(0))?;
                Body::File(file)
            }
            // The memory stays counted until the receipt is done with it.
            None => Body::Memory { chunks: self.chunks.clone(), _held: Box::new(self) },
        };
        Ok((Spooled { body, length }, sha256))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.release();
    }
}

/// The whole bytes of one instance.
pub(crate) struct Spooled {
    body: Body,
    length: u64,
}

enum Body {
    Memory { chunks: Vec<Bytes>, _held: Box<Spool> },
    File(File),
}

impl Spooled {
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.body, Body::Memory { .. })
    }

    /// The chunks, where the bytes are in memory.
    pub(crate) fn chunks(&self) -> Option<&[Bytes]> {
        match &self.body {
            Body::Memory { chunks, .. } => Some(chunks),
            Body::File(_) => None,
        }
    }

    /// A handle on the file, at its start, where the bytes are in one.
    pub(crate) fn file(&self) -> io::Result<Option<File>> {
        match &self.body {
            Body::Memory { .. } => Ok(None),
            Body::File(file) => {
                let mut file = file.try_clone()?;
                file.seek(SeekFrom::Start(0))?;
                Ok(Some(file))
            }
        }
    }

    /// The bytes from their start, to be read and sought in.
    pub(crate) fn reader(&self) -> io::Result<Box<dyn ReadSeek + Send + '_>> {
        Ok(match self.file()? {
            Some(file) => Box::new(file),
            None => Box::new(ChunkReader::new(self.chunks().unwrap_or_default(), self.length)),
        })
    }

    /// The bytes from `start` on.
    pub(crate) fn tail(&self, start: u64) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match self.file()? {
            Some(mut file) => {
                file.seek(SeekFrom::Start(start))?;
                Box::new(BufReader::with_capacity(WRITE_BYTES, file))
            }
            None => {
                let mut reader = ChunkReader::new(self.chunks().unwrap_or_default(), self.length);
                reader.seek(SeekFrom::Start(start))?;
                Box::new(reader)
            }
        })
    }

    /// Runs `read` over the bytes from their start.
    pub(crate) fn read<T>(
        &self,
        read: impl Fn(&mut dyn ReadSeek) -> Result<T, part10::Part10Error>,
    ) -> Result<T, part10::Part10Error> {
        match self.file()? {
            Some(file) => read(&mut BufReader::with_capacity(64 << 10, file)),
            None => read(&mut ChunkReader::new(self.chunks().unwrap_or_default(), self.length)),
        }
    }
}

/// What a scan needs of its source.
pub(crate) trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// Reads over chunks as over one file.
struct ChunkReader<'a> {
    chunks: &'a [Bytes],
    length: u64,
    position: u64,
    /// The chunk that holds `position`, and where that chunk starts.
    chunk: usize,
    chunk_start: u64,
}

impl<'a> ChunkReader<'a> {
    fn new(chunks: &'a [Bytes], length: u64) -> Self {
        Self { chunks, length, position: 0, chunk: 0, chunk_start: 0 }
    }

    /// Moves `chunk` to the one that holds `position`.
    fn settle(&mut self) {
        while self.position < self.chunk_start {
            self.chunk -= 1;
            self.chunk_start -= self.chunks[self.chunk].len() as u64;
        }
        while let Some(chunk) = self.chunks.get(self.chunk) {
            let end = self.chunk_start + chunk.len() as u64;
            if self.position < end {
                break;
            }
            self.chunk_start = end;
            self.chunk += 1;
        }
    }
}

impl Read for ChunkReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.settle();
        let Some(chunk) = self.chunks.get(self.chunk) else { return Ok(0) };
        let from = (self.position - self.chunk_start) as usize;
        let count = buffer.len().min(chunk.len() - from);
        buffer[..count].copy_from_slice(&chunk[from..from + count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for ChunkReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.length.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn room(memory_bytes: u64, shared_memory_bytes: u64) -> (tempfile::TempDir, Arc<SpoolRoom>) {
        let folder = tempfile::tempdir().unwrap();
        let room = SpoolRoom {
            folder: folder.path().to_owned(),
            memory_bytes,
            shared_memory_bytes,
            in_memory: AtomicU64::new(0),
            space: Space::new(0, Vec::new()),
        };
        (folder, Arc::new(room))
    }

    fn whole(spooled: &Spooled) -> Vec<u8> {
        let mut all = Vec::new();
        if let Some(mut file) = spooled.file().unwrap() {
            file.read_to_end(&mut all).unwrap();
        } else {
            all = spooled.chunks().unwrap().concat();
        }
        all
    }

    /// The digest of `abc` stands in FIPS 180-2, appendix B.1.
    #[tokio::test]
    async fn small_bytes_stay_in_memory_with_their_digest() {
        let (_folder, room) = room(100, 1_000);
        let mut spool = Spool::new(Arc::clone(&room), 100);
        for piece in ["a", "", "bc"] {
            spool.write(Bytes::from_static(piece.as_bytes())).await.unwrap();
        }
        let (spooled, sha256) = spool.finish().await.unwrap();
        assert_eq!(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((whole(&spooled), spooled.file().unwrap().is_none()), (b"abc".to_vec(), true));
        assert_eq!(room.in_memory.load(Ordering::Relaxed), 3);
        drop(spooled);
        assert_eq!(room.in_memory.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn long_bytes_and_a_crowded_room_go_to_a_nameless_file() {
        for (memory, shared) in [(10, 1_000_000), (1_000_000, 10)] {
            let (folder, room) = room(memory, shared);
            let mut spool = Spool::new(Arc::clone(&room), 1 << 30);
            let mut expected = Vec::new();
            for index in 0..50_u8 {
                let piece = vec![index; 100_000];
                expected.extend_from_slice(&piece);
                spool.write(piece.into()).await.unwrap();
            }
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no name to leave behind");
            let (spooled, _) = spool.finish().await.unwrap();
            assert!(whole(&spooled) == expected);
            assert_eq!(room.in_memory.load(Ordering::Relaxed), 0);
        }
    }

    #[tokio::test]
    async fn an_instance_over_the_limit_is_refused() {
        let (_folder, room) = room(100, 1_000);
        let mut spool = Spool::new(Arc::clone(&room), 5);
        spool.write(Bytes::from_static(b"12345")).await.unwrap();
        let refused = spool.write(Bytes::from_static(b"6")).await;
        assert!(matches!(refused, Err(SpoolError::TooLarge { limit: 5 })));
        drop(spool);
        assert_eq!(room.in_memory.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_disk_that_is_nearly_full_is_not_spooled_to() {
        let folder = tempfile::tempdir().unwrap();
        let room = Arc::new(SpoolRoom {
            folder: folder.path().to_owned(),
            memory_bytes: 10,
            shared_memory_bytes: 1_000,
            in_memory: AtomicU64::new(0),
            space: Space::new(u64::MAX, vec![folder.path().to_owned()]),
        });
        let mut spool = Spool::new(Arc::clone(&room), 1_000_000);
        spool.write(Bytes::from_static(b"small")).await.unwrap();
        let refused = spool.write(vec![0; 100_000].into()).await;
        assert!(matches!(refused, Err(SpoolError::Full)));
        drop(spool);
        assert_eq!(room.in_memory.load(Ordering::Relaxed), 0);
    }

    proptest! {
        /// However the bytes are cut, and wherever one jumps, the reader sees one file.
        #[test]
        fn chunks_read_like_one_file(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..9),
            jumps in prop::collection::vec((0_u64..80, 0_usize..9), 1..20),
        ) {
            let chunks: Vec<Bytes> = pieces.iter().cloned().map(Bytes::from).collect();
            let flat = pieces.concat();
            let mut ours = ChunkReader::new(&chunks, flat.len() as u64);
            let mut plain = io::Cursor::new(&flat);
            for (position, count) in jumps {
                ours.seek(SeekFrom::Start(position)).unwrap();
                plain.seek(SeekFrom::Start(position)).unwrap();
                let (mut a, mut b) = (Vec::new(), Vec::new());
                Read::by_ref(&mut ours).take(count as u64).read_to_end(&mut a).unwrap();
                Read::by_ref(&mut plain).take(count as u64).read_to_end(&mut b).unwrap();
                prop_assert_eq!(a, b);
            }
        }
    }
}
