//! Element headers and values, from memory or from a file.

use std::io::{Read, Seek, SeekFrom};

use part10::{Content, Element, Encoding, ITEM, LONGEST, Part10Error, UNDEFINED};

use crate::DeidentifyError;

/// Open sequences and items at a time; the walk of `part10` has refused more.
const MOST_OPEN: usize = 1_024;

/// Something with element headers in it.
pub(crate) trait Headers {
    /// The header at `at`.
    fn header(&mut self, at: u64, encoding: Encoding) -> Result<Element, DeidentifyError>;
}

/// A data set, or a part of one, in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InMemory<'b>(pub(crate) &'b [u8]);

impl Headers for InMemory<'_> {
    fn header(&mut self, at: u64, encoding: Encoding) -> Result<Element, DeidentifyError> {
        let rest = self.0.get(at as usize..).unwrap_or_default();
        Element::read(rest, encoding).map_err(|_| disagrees(at))
    }
}

impl<'b> InMemory<'b> {
    /// The bytes from `at` to `end`.
    pub(crate) fn take(&self, at: u64, end: u64) -> Result<&'b [u8], DeidentifyError> {
        self.0.get(at as usize..end as usize).ok_or_else(|| disagrees(at))
    }
}

/// Bytes of one look into a reader for headers.
const LOOK_BYTES: u64 = 8 << 10;

/// A data set in a reader, up to `end`.
pub(crate) struct InReader<'r, R> {
    reader: &'r mut R,
    end: u64,
    /// The bytes last looked at, and where they start.
    seen: Vec<u8>,
    seen_at: u64,
}

impl<'r, R: Read + Seek> InReader<'r, R> {
    pub(crate) fn new(reader: &'r mut R, end: u64) -> Self {
        Self { reader, end, seen: Vec::new(), seen_at: 0 }
    }

    /// The bytes from `at` to `end`, at most `limit`.
    pub(crate) fn take(&mut self, at: u64, end: u64, limit: u64) -> Result<Vec<u8>, DeidentifyError> {
        let length = end.checked_sub(at).filter(|_| end <= self.end).ok_or_else(|| disagrees(at))?;
        if length > limit {
            return Err(Part10Error::TooLarge { what: "bytes of one element" }.into());
        }
        self.reader.seek(SeekFrom::Start(at))?;
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl<R: Read + Seek> Headers for InReader<'_, R> {
    fn header(&mut self, at: u64, encoding: Encoding) -> Result<Element, DeidentifyError> {
        let wanted = self.end.saturating_sub(at).min(LONGEST as u64);
        let is_seen = at >= self.seen_at && at + wanted <= self.seen_at + self.seen.len() as u64;
        if !is_seen {
            self.seen = self.take(at, self.end.min(at.saturating_add(LOOK_BYTES)), LOOK_BYTES)?;
            self.seen_at = at;
        }
        let from = (at - self.seen_at) as usize;
        Element::read(&self.seen[from..], encoding).map_err(|_| disagrees(at))
    }
}

/// Where the value, items or fragments end that `element` heads, which start at `at`.
pub(crate) fn end_of(source: &mut impl Headers, at: u64, element: &Element) -> Result<u64, DeidentifyError> {
    if element.length != UNDEFINED {
        return Ok(at + u64::from(element.length));
    }
    let mut at = at;
    let mut open = vec![element.inside];
    while let Some(encoding) = open.last().copied() {
        let next = source.header(at, encoding)?;
        at += next.header_bytes;
        match (next.tag, next.length) {
            (ITEM, UNDEFINED) => open.push(encoding),
            (tag, _) if tag.group() == 0xFFFE && tag != ITEM => {
                open.pop();
            }
            (_, UNDEFINED) => open.push(next.inside),
            (_, length) => at += u64::from(length),
        }
        if open.len() > MOST_OPEN {
            return Err(Part10Error::TooDeep.into());
        }
    }
    Ok(at)
}

/// What `element` heads.
pub(crate) fn content(element: &Element, at: u64) -> Result<Content, DeidentifyError> {
    element.content().ok_or_else(|| disagrees(at))
}

/// The walk of `part10` would have refused this.
pub(crate) fn disagrees(at: u64) -> DeidentifyError {
    Part10Error::Malformed { at, what: "the data set cannot be written again" }.into()
}
