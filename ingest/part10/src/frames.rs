//! Which fragments belong to which frame of encapsulated Pixel Data.

use std::ops::Range;

use crate::Part10Error;

/// Extended Offset Table (7FE0,0001) and its lengths (7FE0,0002), in bytes; empty where the file has none.
#[derive(Debug, Default)]
pub(crate) struct Extended {
    pub(crate) offsets: Vec<u64>,
    pub(crate) lengths: Vec<u64>,
}

/// The byte ranges of frame `index` of `frames`.
///
/// Source: DICOM PS3.5, section A.4, and PS3.3, section C.7.6.3.1.8.
///
/// # Errors
///
/// [`Part10Error::NoSuchFrame`] beyond the last frame; [`Part10Error::FramesUnclear`] where fragments and tables
/// contradict each other or do not tell.
pub(crate) fn of_frame(
    index: u32,
    frames: u32,
    fragments: &[Range<u64>],
    offset_table: &[u32],
    extended: &Extended,
) -> Result<Vec<Range<u64>>, Part10Error> {
    if index >= frames {
        return Err(Part10Error::NoSuchFrame);
    }
    let (at, count) = (index as usize, frames as usize);
    if fragments.is_empty() || fragments.len() < count {
        return Err(Part10Error::FramesUnclear);
    }
    if count == 1 {
        return Ok(fragments.to_vec());
    }
    if fragments.len() == count {
        return Ok(vec![fragments[at].clone()]);
    }
    if extended.offsets.len() == count {
        return by_extended(at, fragments, extended);
    }
    if offset_table.len() == count {
        return by_basic(at, fragments, offset_table);
    }
    Err(Part10Error::FramesUnclear)
}

/// A frame is one fragment here, and its length is known without padding.
fn by_extended(at: usize, fragments: &[Range<u64>], by: &Extended) -> Result<Vec<Range<u64>>, Part10Error> {
    let (offset, length) = (by.offsets[at], by.lengths.get(at));
    let fragment = fragment_at(offset, fragments).and_then(|found| fragments.get(found));
    match (fragment, length) {
        (Some(fragment), Some(length)) if *length <= fragment.end - fragment.start => {
            let unpadded = fragment.start..fragment.start + length;
            Ok(vec![unpadded])
        }
        _ => Err(Part10Error::FramesUnclear),
    }
}

/// A frame goes from its own offset to the next one's, or to the end.
fn by_basic(at: usize, fragments: &[Range<u64>], table: &[u32]) -> Result<Vec<Range<u64>>, Part10Error> {
    let begins_at_first = table.first() == Some(&0);
    let first = fragment_at(u64::from(table[at]), fragments);
    let end = match table.get(at + 1) {
        Some(offset) => fragment_at(u64::from(*offset), fragments),
        None => Some(fragments.len()),
    };
    match (first, end) {
        (Some(first), Some(end)) if begins_at_first && first < end => Ok(fragments[first..end].to_vec()),
        _ => Err(Part10Error::FramesUnclear),
    }
}

/// The fragment whose item starts `offset` bytes behind the first fragment's item.
fn fragment_at(offset: u64, fragments: &[Range<u64>]) -> Option<usize> {
    let base = fragments.first()?.start;
    let start = base.checked_add(offset)?;
    fragments.binary_search_by_key(&start, |fragment| fragment.start).ok()
}
