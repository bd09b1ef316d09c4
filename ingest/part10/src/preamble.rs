//! The 128 bytes before `DICM`, which may be the head of another file format.
//!
//! Nothing in DICOM reads them, so that a file can be an image and a program at once: what begins as something that a
//! machine would run begins so no longer when it is given away. Any other preamble stays, as the head of a TIFF, which
//! whole-slide images have there on purpose.
//!
//! Source: DICOM PS3.10, section 7.1, and PS3.15, annex H.

use bytes::Bytes;

/// Bytes before `DICM`.
const PREAMBLE: usize = 128;
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
pub fn clean_preamble(mut file: Bytes) -> (Bytes, Bytes) {
    let is_dicom = file.get(PREAMBLE..PREAMBLE + 4) == Some(b"DICM");
    if !is_dicom {
        return (Bytes::new(), file);
    }
    let preamble = file.split_to(PREAMBLE);
    let is_program = PROGRAMS.iter().any(|head| preamble.starts_with(head));
    (if is_program { Bytes::from_static(&NOTHING) } else { preamble }, file)
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
            let (preamble, rest) = clean_preamble(file.clone());
            assert_eq!((preamble.len(), preamble.iter().all(|byte| *byte == 0)), (PREAMBLE, true));
            assert_eq!(rest.as_ptr(), file[PREAMBLE..].as_ptr(), "nothing is copied");
        }
        for head in [&b"II*\0"[..], b"MM\0*", b"", b"a maker's name"] {
            let file = file(head);
            let (preamble, rest) = clean_preamble(file.clone());
            assert_eq!([preamble, rest].concat(), file);
        }
        assert_eq!(clean_preamble(Bytes::from_static(b"MZ")), (Bytes::new(), Bytes::from_static(b"MZ")));
    }
}
