//! A file read forward through a small buffer: headers are looked at, values are passed over by a seek.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use crate::Part10Error;

/// Fewest and most bytes of one read.
const FILL: std::ops::RangeInclusive<usize> = 512..=32 << 10;

/// A reader with its length and the bytes last read.
pub(crate) struct Window<'r, R> {
    reader: &'r mut R,
    length: u64,
    start: u64,
    buffer: Vec<u8>,
    next_fill: usize,
}

impl<'r, R: Read + Seek> Window<'r, R> {
    /// Looks at `reader` from its start.
    pub(crate) fn open(reader: &'r mut R) -> Result<Self, Part10Error> {
        let length = reader.seek(SeekFrom::End(0))?;
        Ok(Self { reader, length, start: 0, buffer: Vec::new(), next_fill: 4 << 10 })
    }

    /// The length of the file in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes from `at` on, at least `wanted` of them (at most 512); `None` where the file ends before.
    pub(crate) fn peek(&mut self, at: u64, wanted: usize) -> Result<Option<&[u8]>, Part10Error> {
        debug_assert!(wanted <= *FILL.start());
        if self.length.saturating_sub(at) < wanted as u64 {
            return Ok(None);
        }
        let held_to = self.start + self.buffer.len() as u64;
        if at < self.start || at + wanted as u64 > held_to {
            self.fill(at, held_to)?;
        }
        let from = (at - self.start) as usize;
        if self.buffer.len() - from < wanted {
            return Ok(None);
        }
        Ok(Some(&self.buffer[from..]))
    }

    /// Refills the buffer from `at`; reads grow while they follow one another and shrink after a jump.
    fn fill(&mut self, at: u64, held_to: u64) -> Result<(), Part10Error> {
        let follows = (self.start..=held_to).contains(&at);
        self.next_fill = if follows { (self.next_fill * 2).min(*FILL.end()) } else { *FILL.start() };
        let size = (self.next_fill as u64).min(self.length - at);
        self.reader.seek(SeekFrom::Start(at))?;
        self.buffer.clear();
        self.start = at;
        self.reader.by_ref().take(size).read_to_end(&mut self.buffer)?;
        Ok(())
    }

    /// Copies `length` bytes from `at` on; the caller has checked `length` against a limit and the file.
    pub(crate) fn copy(&mut self, at: u64, length: u64) -> Result<Vec<u8>, Part10Error> {
        let end = at.checked_add(length).filter(|end| *end <= self.length);
        if end.is_none() {
            return Err(Part10Error::Truncated { at });
        }
        let mut bytes = vec![0; length as usize];
        self.reader.seek(SeekFrom::Start(at))?;
        match self.reader.read_exact(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Part10Error::Truncated { at }),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(bytes),
        }
    }

    /// The reader itself, placed at `at`.
    pub(crate) fn reader_at(&mut self, at: u64) -> Result<&mut R, Part10Error> {
        self.reader.seek(SeekFrom::Start(at))?;
        Ok(self.reader)
    }
}
