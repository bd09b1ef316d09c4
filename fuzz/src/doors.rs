//! What the doors read before there is a file: bodies of STOW-RS and protocol data units.

use bytes::Bytes;
use dicom_ul::pdu::{DEFAULT_MAX_PDU, read_pdu};
use futures::{FutureExt, stream};

use super::stow::{Boundary, PartReader};

/// Name of a target, as its folder in `fuzz/corpus`, and what it reads by.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 2] = [("multipart", multipart), ("pdu", pdu)];

/// A body whose boundary is `b`; its first byte is the size of the pieces in which it comes.
pub fn multipart(bytes: &[u8]) {
    let Some((&size, body)) = bytes.split_first() else { return };
    let Ok((boundary, _)) = Boundary::from_content_type("multipart/related; boundary=b") else { return };
    let pieces =
        body.chunks(usize::from(size).max(1)).map(|it| Ok::<_, std::io::Error>(Bytes::copy_from_slice(it)));
    let pieces: Vec<_> = pieces.collect();
    let mut reader = PartReader::new(stream::iter(pieces), &boundary, None);
    let read = async {
        while let Ok(Some(_)) = reader.next_part().await {
            while let Ok(Some(_)) = reader.chunk().await {}
        }
    };
    // every piece is there at once
    let _ = read.now_or_never();
}

/// A protocol data unit as an association reads it.
pub fn pdu(bytes: &[u8]) {
    for is_strict in [true, false] {
        let _ = read_pdu(bytes, DEFAULT_MAX_PDU, is_strict);
    }
}
