//! A file, planned anew: its File Meta Information made new, its data set written again, its pixels left in place.

use std::io::{Cursor, Read, Seek, Write};
use std::ops::Range;

use clinical::uid::{SopClassUid, SopInstanceUid};
use dicom_core::VR;
use dicom_core::header::Tag;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use part10::{Content, Element, Encoding, Limits, Scan, file_with_meta, text};

use crate::codestream::Comments;
use crate::flag::{Flag, flags_of, holds_bytes_behind_frames};
use crate::report::{Changes, Report};
use crate::source::{Headers, InMemory, InReader, content, end_of};
use crate::table::{self, Action};
use crate::write::Output;
use crate::{BurnedIn, Dates, DeidentifyError, Profile, ProfileOption, Project, value};

mod data_set;
mod marks;
mod private;

pub(crate) use data_set::DataSet;

/// A piece of the new file.
pub(crate) enum Piece {
    /// Bytes that were written.
    New(Vec<u8>),
    /// Bytes of the old file that stay.
    Kept(Range<u64>),
    /// So many zeros in the place of what stood there.
    Blank(u16),
}

static ZEROS: [u8; u16::MAX as usize] = [0; u16::MAX as usize];

/// The bytes of [`Piece::Blank`].
pub(crate) fn zeros(length: u16) -> &'static [u8] {
    &ZEROS[..usize::from(length)]
}

/// The new file.
pub(crate) struct Plan {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) report: Report,
}

impl Plan {
    /// Reads the file and writes all of it anew but its pixels.
    pub(crate) fn make<R: Read + Seek>(
        reader: &mut R,
        limits: &Limits,
        profile: &Profile,
        project: &Project,
    ) -> Result<Self, DeidentifyError> {
        let scan = Scan::read(reader, limits)?;
        let class = scan.meta().media_storage_sop_class_uid().trim_end_matches('\0');
        if class == uids::MEDIA_STORAGE_DIRECTORY_STORAGE {
            return Err(DeidentifyError::Dicomdir);
        }
        let mut flags = flags_of(scan.header(), scan.pixel_data().is_some() || scan.float_pixels().is_some());
        let declared = flags.iter().find(|flag| flag.is_declared());
        if let (Some(flag), BurnedIn::Refused) = (declared, profile.burned_in) {
            return Err(DeidentifyError::Refused(*flag));
        }
        if holds_bytes_behind_frames(&scan) {
            flags.push(Flag::BytesBehindFrames);
        }
        let comments = match scan.inflated() {
            Some(inflated) => Comments::find(&mut Cursor::new(inflated), &scan)?,
            None => Comments::find(reader, &scan)?,
        };
        if comments.is_partial {
            flags.push(Flag::UnreadCodestream);
        }
        let mut data_set = DataSet::new(scan.header(), comments.places, profile, project)?;
        let class: SopClassUid = parsed(scan.header(), tags::SOP_CLASS_UID, "SOP Class UID")?;
        let former: SopInstanceUid = parsed(scan.header(), tags::SOP_INSTANCE_UID, "SOP Instance UID")?;
        let fresh = data_set.uid(former.as_str());
        let fresh: SopInstanceUid =
            fresh.parse().map_err(|_| DeidentifyError::MissingUid("SOP Instance UID"))?;
        let mut pieces = vec![Piece::New(file_with_meta(&class, &fresh, scan.transfer_syntax(), None))];
        let span = scan.data_set();
        match scan.inflated() {
            Some(inflated) => {
                let mut inner = Vec::new();
                data_set.outermost(&mut Cursor::new(inflated), &scan, span, limits, &mut inner)?;
                pieces.push(Piece::New(deflated(inner, inflated)?));
            }
            None => data_set.outermost(reader, &scan, span, limits, &mut pieces)?,
        }
        let report = Report {
            former_sop_uid: former,
            sop_uid: fresh,
            pseudonym: data_set.pseudonym().to_owned(),
            changes: data_set.changes(),
            flags,
        };
        Ok(Self { pieces, report })
    }
}

fn parsed<T: std::str::FromStr>(
    header: &InMemDicomObject,
    tag: Tag,
    name: &'static str,
) -> Result<T, DeidentifyError> {
    text(header, tag).and_then(|text| text.parse().ok()).ok_or(DeidentifyError::MissingUid(name))
}

/// The pieces of an inflated data set, deflated again (PS3.5, section A.5).
fn deflated(pieces: Vec<Piece>, inflated: &[u8]) -> Result<Vec<u8>, DeidentifyError> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    for piece in pieces {
        match piece {
            Piece::New(new) => encoder.write_all(&new)?,
            Piece::Blank(length) => encoder.write_all(zeros(length))?,
            Piece::Kept(range) => {
                encoder.write_all(InMemory(inflated).take(range.start, range.end)?)?;
            }
        }
    }
    let mut bytes = encoder.finish()?;
    // a data set has even length, a DEFLATE stream any
    if !bytes.len().is_multiple_of(2) {
        bytes.push(0);
    }
    Ok(bytes)
}
