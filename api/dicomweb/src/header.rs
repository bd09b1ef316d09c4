//! The data set of a stored instance without its pixels, read without reading the pixels.

use std::io::Cursor;

use bytes::Bytes;
use dicom_object::InMemDicomObject;
use gate::Problem;
use ingest::part10::{Limits, Part10Error, Scan};
use storage::archive::ArchiveError;
use storage::db::DbError;
use storage::records::instance::Instance;

use crate::multipart::Refusal;
use crate::state::{DicomWebState, HELD_MIB};

/// The first look at an instance with pixels whose place is not known, and at one without pixels.
const FIRST_BYTES: u64 = 128 << 10;
const FIRST_BYTES_WITHOUT_PIXELS: u64 = 1 << 20;
/// Each further look is longer by this.
const GROWTH: u64 = 4;
/// A longer look counts against the bound of what the house holds in memory.
const SMALL_LOOK_BYTES: u64 = 8 << 20;
/// At most so many places of one look are tried as the beginning of pixel data.
const TRIES: usize = 16;

/// Why a stored header was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Part10(#[from] Part10Error),
    #[error("the reading was cut short")]
    Cut(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Database(#[from] DbError),
}

/// What was stored was read before, so a failure is ours.
impl From<HeaderError> for Problem {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::Archive(error) => error.into(),
            HeaderError::Database(error) => error.into(),
            HeaderError::Refused(Refusal(problem)) => problem,
            error => Self::internal("instance-unreadable", &error),
        }
    }
}

/// The data set of `instance` up to its pixels.
///
/// # Errors
///
/// [`HeaderError`] when the archive fails or the bytes do not read any more.
pub(crate) async fn read(
    state: &DicomWebState,
    instance: &Instance,
) -> Result<InMemDicomObject, HeaderError> {
    let size = u64::try_from(instance.size_bytes).unwrap_or_default();
    let mut length = match (instance.pixels_at, instance.frame_count) {
        (Some((offset, _)), _) => u64::try_from(offset).unwrap_or_default(),
        (None, Some(_)) => FIRST_BYTES,
        (None, None) => FIRST_BYTES_WITHOUT_PIXELS,
    };
    loop {
        length = length.min(size);
        let is_whole = length == size;
        let mib = u32::try_from(length >> 20).ok().filter(|mib| *mib < HELD_MIB);
        let mib = mib.ok_or(Part10Error::TooLarge { what: "bytes before Pixel Data" })? + 1;
        let _room = match length {
            ..=SMALL_LOOK_BYTES => None,
            _ => Some(state.decoding_room(mib).await.map_err(Refusal)?),
        };
        let bytes = state.app.archive.get_range(&instance.blob_key, 0..length).await?;
        let header = tokio::task::spawn_blocking(move || {
            if is_whole { scan(&bytes).map(Some) } else { Ok(up_to_pixels(&bytes)) }
        });
        if let Some(header) = header.await?? {
            return Ok(header);
        }
        length = length.max(FIRST_BYTES) * GROWTH;
    }
}

fn scan(bytes: &Bytes) -> Result<InMemDicomObject, Part10Error> {
    Scan::read(&mut Cursor::new(bytes), &Limits::default()).map(|scan| scan.header().clone())
}

/// The data set of a file whose beginning is `bytes`, when the pixel data begins among them.
///
/// Cut where the pixel element of the data set begins, a file reads as whole; cut
/// anywhere else that looks like it, inside a value or a sequence, it does not.
fn up_to_pixels(bytes: &Bytes) -> Option<InMemDicomObject> {
    // where the value's place is known, the bytes end with the element's header of 12 or 8 bytes
    let ends = [12, 8].into_iter().filter_map(|header| bytes.len().checked_sub(header));
    let ends = ends.filter(|place| is_pixels(&bytes[*place..]));
    // else the element is compressed or of floating point, and always names its VR: OB, OW, OF, OD or UN
    let named = |five: &[u8]| is_pixels(five) && matches!(five, [.., b'O' | b'U']);
    let inside = bytes.windows(5).enumerate().filter(|(_, five)| named(five)).map(|(place, _)| place);
    ends.chain(inside).take(TRIES).find_map(|place| scan(&bytes.slice(..place)).ok())
}

/// Whether the tag is (7FE0,0008), (7FE0,0009) or (7FE0,0010), in either byte order.
fn is_pixels(header: &[u8]) -> bool {
    matches!(header, [0xE0, 0x7F, 0x08 | 0x09 | 0x10, 0x00, ..] | [0x7F, 0xE0, 0x00, 0x08 | 0x09 | 0x10, ..])
}
