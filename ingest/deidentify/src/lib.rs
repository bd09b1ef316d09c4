//! De-identification of DICOM files: the Basic Application Level Confidentiality Profile with its options.
//!
//! A file's data set is written again element by element, as the table of the profile says; pixel data is not copied,
//! and of it only the headers of codestreams are read, whose comments become zeros. What a combined action such as
//! X/Z/D becomes would depend on the type of the attribute in its IOD; here it is chosen so that the object conforms
//! whichever type that is: an attribute that came with a value keeps a dummy (D) or stays without a value (Z), one
//! that came empty stays empty, one that was absent stays absent. No former value stays either way.
//!
//! Source: DICOM PS3.15, annex E.

mod codestream;
mod error;
mod flag;
mod profile;
mod project;
mod report;
mod rewrite;
mod safe_private;
mod source;
mod table;
mod value;
mod words;
mod write;

use std::io::{Cursor, Read, Seek, SeekFrom, Write};

use bytes::Bytes;
use part10::Limits;

pub use error::DeidentifyError;
pub use flag::Flag;
pub use profile::{BurnedIn, Dates, Profile, ProfileError, ProfileOption};
pub use project::{Project, ProjectError};
pub use report::{Changes, Report};

use rewrite::{Piece, Plan, zeros};

/// A de-identified file in memory.
#[derive(Debug, Clone)]
pub struct Deidentified {
    /// The file's bytes in order; pixel data is a slice of what came in.
    pub chunks: Vec<Bytes>,
    /// What was changed, and what a person should look at.
    pub report: Report,
}

impl Deidentified {
    /// The whole file in one piece, which copies it.
    pub fn into_bytes(self) -> Bytes {
        self.chunks.concat().into()
    }
}

/// De-identifies a file that lies in memory.
///
/// # Errors
///
/// [`DeidentifyError`]: where the file is not whole, names no instance, or holds what the profile refuses.
pub fn deidentify(
    bytes: Bytes,
    profile: &Profile,
    project: &Project,
) -> Result<Deidentified, DeidentifyError> {
    let plan = Plan::make(&mut Cursor::new(&bytes), &Limits::default(), profile, project)?;
    let chunks = plan.pieces.into_iter().map(|piece| match piece {
        Piece::New(new) => new.into(),
        Piece::Blank(length) => Bytes::from_static(zeros(length)),
        Piece::Kept(range) => bytes.slice(range.start as usize..range.end as usize),
    });
    Ok(Deidentified { chunks: chunks.collect(), report: plan.report })
}

/// De-identifies a file from `reader` to `out`; of pixel data only a buffer is in memory at a time.
///
/// # Errors
///
/// As [`deidentify`]; [`DeidentifyError::Io`] where reading or writing fails: what was written is not whole then.
pub fn deidentify_to<R: Read + Seek, W: Write>(
    reader: &mut R,
    out: &mut W,
    limits: &Limits,
    profile: &Profile,
    project: &Project,
) -> Result<Report, DeidentifyError> {
    let plan = Plan::make(reader, limits, profile, project)?;
    for piece in plan.pieces {
        match piece {
            Piece::New(new) => out.write_all(&new)?,
            Piece::Blank(length) => out.write_all(zeros(length))?,
            Piece::Kept(range) => {
                reader.seek(SeekFrom::Start(range.start))?;
                let length = range.end - range.start;
                if std::io::copy(&mut reader.by_ref().take(length), out)? != length {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
                }
            }
        }
    }
    Ok(plan.report)
}
