//! Stored files on their way out: the 128 bytes before `DICM` may be the head of another file format.
//!
//! Nothing in DICOM reads them, so that a file can be an image and a program at once: what begins as something that a
//! machine would run begins so no longer when it is given away. Any other preamble stays, as the head of a TIFF, which
//! whole-slide images have there on purpose.
//!
//! Source: DICOM PS3.10, section 7.1, and PS3.15, annex H.

use std::ops::Range;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};

use super::{Archive, Result};

/// Bytes before `DICM`.
const PREAMBLE: usize = 128;
/// With `DICM` behind them.
const HEAD: u64 = PREAMBLE as u64 + 4;
/// A preamble that says nothing.
static NOTHING: [u8; PREAMBLE] = [0; PREAMBLE];

/// Heads of what is run where it is opened: PE, ELF, Mach-O in both byte orders and for several processors (a Java
/// class, too), Android's programs, scripts, pages with scripts, PDF.
const PROGRAMS: [&[u8]; 11] = [
    b"MZ",
    b"\x7FELF",
    b"\xFE\xED\xFA\xCE",
    b"\xFE\xED\xFA\xCF",
    b"\xCE\xFA\xED\xFE",
    b"\xCF\xFA\xED\xFE",
    b"\xCA\xFE\xBA\xBE",
    b"dex\n",
    b"#!",
    b"<",
    b"%PDF",
];

/// Splits the beginning of a file (or all of it) behind its preamble, and clears a preamble that is the head of a
/// program. Nothing is copied.
///
/// Bytes that do not begin as a DICOM file come back as they are, behind an empty preamble.
fn clean(mut file: Bytes) -> (Bytes, Bytes) {
    let is_dicom = file.get(PREAMBLE..PREAMBLE + 4) == Some(b"DICM");
    if !is_dicom {
        return (Bytes::new(), file);
    }
    let preamble = file.split_to(PREAMBLE);
    let is_program = PROGRAMS.iter().any(|head| preamble.starts_with(head));
    (if is_program { Bytes::from_static(&NOTHING) } else { preamble }, file)
}

fn joined(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() { second } else { [first, second].concat().into() }
}

impl Archive {
    /// A stored file as it is given away, piece by piece: as [`Archive::stream`], behind a preamble that is no program's.
    ///
    /// # Errors
    ///
    /// As [`Archive::stream`].
    pub async fn stream_out(&self, key: &str) -> Result<BoxStream<'static, Result<Bytes>>> {
        let mut pieces = self.stream(key).await?;
        let mut head = Bytes::new();
        while (head.len() as u64) < HEAD
            && let Some(piece) = pieces.try_next().await?
        {
            head = joined(head, piece);
        }
        let (preamble, rest) = clean(head);
        let here = [preamble, rest].into_iter().filter(|bytes| !bytes.is_empty()).map(Ok);
        Ok(stream::iter(here).chain(pieces).boxed())
    }

    /// A range of the same.
    ///
    /// # Errors
    ///
    /// As [`Archive::stream_range`].
    pub async fn stream_range_out(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let Range { start, end } = range;
        if start >= PREAMBLE as u64 {
            return self.stream_range(key, range).await;
        }
        // which preamble it is, and whether it is one, is told by all of it
        let (preamble, rest) = clean(self.get_range(key, 0..HEAD).await?);
        let head = joined(preamble, rest);
        let until = (end as usize).min(head.len());
        let here = head.slice((start as usize).min(until)..until);
        let here = stream::once(async { Ok(here) });
        if end <= HEAD {
            return Ok(here.boxed());
        }
        Ok(here.chain(self.stream_range(key, HEAD..end).await?).boxed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(head: &[u8]) -> Bytes {
        let mut bytes = vec![b'x'; PREAMBLE];
        bytes[..head.len()].copy_from_slice(head);
        bytes.extend_from_slice(b"DICM and what follows");
        bytes.into()
    }

    /// PE begins with `MZ`, ELF with 7F `ELF`, a script with `#!`.
    #[test]
    fn a_program_ends_to_be_one_and_all_else_stays() {
        for head in [&b"MZ\x90\0"[..], b"\x7FELF", b"#!/bin/sh\n", b"\xCF\xFA\xED\xFE", b"<script>"] {
            let file = file(head);
            let (preamble, rest) = clean(file.clone());
            assert_eq!((preamble.len(), preamble.iter().all(|byte| *byte == 0)), (PREAMBLE, true));
            assert_eq!(rest.as_ptr(), file[PREAMBLE..].as_ptr(), "nothing is copied");
        }
        for head in [&b"II*\0"[..], b"MM\0*", b"", b"a maker's name"] {
            let file = file(head);
            let (preamble, rest) = clean(file.clone());
            assert_eq!([preamble, rest].concat(), file);
        }
        assert_eq!(clean(Bytes::from_static(b"MZ")), (Bytes::new(), Bytes::from_static(b"MZ")));
    }
}
