//! The guard: a linear walk over every element header of a data set, before anything of it is parsed.
//!
//! It allocates nothing that a file merely declares: a stack of at most [`Limits::depth`] levels, and one
//! range for each fragment that it has seen.

use std::io::{Cursor, Read, Seek};
use std::ops::Range;

use dicom_core::header::Tag;
use dicom_dictionary_std::tags;

use crate::element::{
    Content, Element, ITEM, ITEM_DELIMITATION, LONGEST, SEQUENCE_DELIMITATION, UNDEFINED, unit,
};
use crate::syntax::Encoding;
use crate::window::Window;
use crate::{Limits, Part10Error};

/// Zero bytes that may trail a data set, as padding of media and of DEFLATE.
const TRAILING_ZEROS: u64 = 64 << 10;

/// Elements that an item counts for: even one element costs the memory of a tree's node.
const ITEM_COUNTS: u32 = 4;

/// Where Pixel Data (7FE0,0010) lies, in bytes from the start of the file; for deflated transfer syntaxes
/// from the start of the inflated data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PixelDataAt {
    /// Frames one behind the other (PS3.5, section 8.2).
    Native {
        /// The first byte of the value.
        offset: u64,
        /// Bytes of the value.
        length: u64,
    },
    /// Compressed frames in fragments (PS3.5, section A.4).
    Encapsulated {
        /// The Basic Offset Table: for each frame the distance of its first fragment's item; often empty.
        offset_table: Vec<u32>,
        /// The bytes of each fragment, without item headers, in order.
        fragments: Vec<Range<u64>>,
    },
}

/// Where Float (7FE0,0008) or Double Float Pixel Data (7FE0,0009) lies, counted as [`PixelDataAt`] is.
///
/// Frames stand one behind the other, one number a pixel (PS3.3, sections C.7.6.24 and C.7.6.25).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloatPixelDataAt {
    /// Which of the two it is.
    pub tag: Tag,
    /// The first byte of the value.
    pub offset: u64,
    /// Bytes of the value.
    pub length: u64,
}

/// What the walk found.
#[derive(Debug)]
pub(crate) struct Layout {
    /// How the data set is really written.
    pub(crate) encoding: Encoding,
    /// Where the parsed part ends: at the first pixel data, or with the data set.
    pub(crate) header_end: u64,
    pub(crate) pixel_data: Option<PixelDataAt>,
    /// The first of the floating-point ones.
    pub(crate) float_pixels: Option<FloatPixelDataAt>,
    /// Where the last element ends; zeros may follow.
    pub(crate) end: u64,
}

/// A sequence or item that is open where the walk stands.
#[derive(Debug, Clone, Copy)]
struct Open {
    is_item: bool,
    /// Where it ends by its own length; `None` where a delimiter closes it.
    end: Option<u64>,
    /// Where the innermost enclosing length ends.
    bound: u64,
    encoding: Encoding,
}

struct Walk<'w, 'r, R> {
    window: &'w mut Window<'r, R>,
    limits: &'w Limits,
    at: u64,
    file_end: u64,
    counted: u32,
    open: Vec<Open>,
}

/// Walks the data set that starts at `start` and ends with the reader.
///
/// # Errors
///
/// [`Part10Error::Truncated`], [`Part10Error::Malformed`], [`Part10Error::TooDeep`], [`Part10Error::TooLarge`].
pub(crate) fn walk<R: Read + Seek>(
    window: &mut Window<'_, R>,
    start: u64,
    encoding: Encoding,
    limits: &Limits,
) -> Result<Layout, Part10Error> {
    let encoding = window.peek(start, 8)?.map_or(encoding, |header| encoding.as_seen(header));
    let file_end = window.length();
    let mut walk = Walk { window, limits, at: start, file_end, counted: 0, open: Vec::new() };
    let (mut header_end, mut pixel_data, mut float_pixels) = (None, None, None);
    while let Some(element) = walk.next(encoding)? {
        let element_start = walk.at;
        if walk.open.is_empty() && is_pixels(element.tag) {
            header_end.get_or_insert(element_start);
        }
        let found = walk.enter(&element)?;
        if found.is_some() && walk.open.is_empty() && element.tag == tags::PIXEL_DATA {
            if pixel_data.is_some() {
                return Err(Part10Error::Malformed { at: element_start, what: "Pixel Data stands twice" });
            }
            pixel_data = found;
        } else if let Some(PixelDataAt::Native { offset, length }) = found
            && walk.open.is_empty()
            && is_pixels(element.tag)
        {
            float_pixels.get_or_insert(FloatPixelDataAt { tag: element.tag, offset, length });
        }
        if header_end.is_none() && walk.at - start > limits.header_bytes {
            return Err(Part10Error::TooLarge { what: "bytes before Pixel Data" });
        }
    }
    let header_end = header_end.unwrap_or(walk.at);
    Ok(Layout { encoding, header_end, pixel_data, float_pixels, end: walk.at })
}

/// Walks the items of `sequence`, whose value `bytes` are; gives how many elements they count for.
///
/// # Errors
///
/// As [`walk`].
pub(crate) fn items(bytes: &[u8], sequence: &Element, limits: &Limits) -> Result<u32, Part10Error> {
    let mut reader = Cursor::new(bytes);
    let mut window = Window::open(&mut reader)?;
    let file_end = window.length();
    let root = Open { is_item: false, end: Some(file_end), bound: file_end, encoding: sequence.inside };
    let mut walk = Walk { window: &mut window, limits, at: 0, file_end, counted: 0, open: vec![root] };
    while let Some(element) = walk.next(sequence.inside)? {
        walk.enter(&element)?;
    }
    Ok(walk.counted)
}

/// Float, Double Float and integer Pixel Data (PS3.3, section C.7.6.24): never parsed into memory.
fn is_pixels(tag: Tag) -> bool {
    [tags::FLOAT_PIXEL_DATA, tags::DOUBLE_FLOAT_PIXEL_DATA, tags::PIXEL_DATA].contains(&tag)
}

impl<R: Read + Seek> Walk<'_, '_, R> {
    /// The next element of a data set, all items and sequences before it opened and closed; `None` at the end.
    fn next(&mut self, root: Encoding) -> Result<Option<Element>, Part10Error> {
        loop {
            let Some(top) = self.open.last().copied() else {
                if self.at == self.file_end || self.only_zeros_follow()? {
                    return Ok(None);
                }
                let element = self.header(root, self.file_end)?;
                if element.tag.group() == 0xFFFE {
                    return self.malformed("an item stands outside a sequence");
                }
                self.count(1)?;
                return Ok(Some(element));
            };
            if top.end == Some(self.at) {
                self.open.pop();
                continue;
            }
            let element = self.header(top.encoding, top.bound)?;
            match (top.is_item, element.tag) {
                (true, ITEM_DELIMITATION) | (false, SEQUENCE_DELIMITATION) => {
                    self.at += element.header_bytes;
                    self.open.pop();
                    if top.end.is_some_and(|end| end != self.at) {
                        return self.malformed("a delimiter stands before the declared end");
                    }
                }
                (false, ITEM) => {
                    self.count(ITEM_COUNTS)?;
                    self.open(true, &element, top.encoding, top.bound)?;
                }
                (false, _) => return self.malformed("a sequence holds something that is no item"),
                (true, tag) if tag.group() == 0xFFFE => {
                    return self.malformed("a delimiter stands in a wrong place");
                }
                (true, _) => {
                    self.count(1)?;
                    return Ok(Some(element));
                }
            }
        }
    }

    /// Passes over the value of `element` or opens its sequence; gives its place where it is a value or fragments.
    fn enter(&mut self, element: &Element) -> Result<Option<PixelDataAt>, Part10Error> {
        let bound = self.open.last().map_or(self.file_end, |top| top.bound);
        match element.content() {
            None => self.malformed("the length is undefined where it must not be"),
            Some(Content::Sequence) => {
                // a level is a sequence and its item
                if self.open.len() >= 2 * self.limits.depth as usize {
                    return Err(Part10Error::TooDeep);
                }
                self.open(false, element, element.inside, bound)?;
                Ok(None)
            }
            Some(Content::Fragments) => {
                let start = self.at;
                self.at += element.header_bytes;
                self.fragments(start, element.inside, bound).map(Some)
            }
            Some(Content::Value) => {
                if !element.length.is_multiple_of(unit(element.vr)) {
                    return self.malformed("the length is no multiple of its VR's size");
                }
                let offset = self.at + element.header_bytes;
                let length = u64::from(element.length);
                self.at = self.end_of(offset, length, bound)?;
                Ok(Some(PixelDataAt::Native { offset, length }))
            }
        }
    }

    /// Opens the sequence or item that `element` heads.
    fn open(
        &mut self,
        is_item: bool,
        element: &Element,
        encoding: Encoding,
        bound: u64,
    ) -> Result<(), Part10Error> {
        let inside = self.at + element.header_bytes;
        let end = match element.length {
            UNDEFINED => None,
            length => Some(self.end_of(inside, u64::from(length), bound)?),
        };
        self.at = inside;
        self.open.push(Open { is_item, end, bound: end.unwrap_or(bound), encoding });
        Ok(())
    }

    /// Passes over an offset table and fragments up to their delimiter.
    fn fragments(&mut self, start: u64, encoding: Encoding, bound: u64) -> Result<PixelDataAt, Part10Error> {
        let mut offset_table = None;
        let mut fragments: Vec<Range<u64>> = Vec::new();
        loop {
            let item = self.header(encoding, bound)?;
            let offset = self.at + item.header_bytes;
            match (item.tag, item.length) {
                (SEQUENCE_DELIMITATION, _) => {
                    self.at = offset;
                    return Ok(PixelDataAt::Encapsulated {
                        offset_table: offset_table.unwrap_or_default(),
                        fragments,
                    });
                }
                (ITEM, UNDEFINED) => return self.malformed("a fragment has no length"),
                (ITEM, length) => {
                    let end = self.end_of(offset, u64::from(length), bound)?;
                    if offset_table.is_none() {
                        offset_table = Some(self.offset_table(offset, length)?);
                    } else if fragments.len() == self.limits.fragments {
                        return Err(Part10Error::TooLarge { what: "fragments" });
                    } else {
                        fragments.push(offset..end);
                    }
                    self.at = end;
                }
                _ => {
                    return Err(Part10Error::Malformed {
                        at: start,
                        what: "something stands between fragments",
                    });
                }
            }
        }
    }

    /// The Basic Offset Table, whose bytes the file is known to have.
    fn offset_table(&mut self, at: u64, length: u32) -> Result<Vec<u32>, Part10Error> {
        if !length.is_multiple_of(4) {
            return self.malformed("the offset table is no multiple of four bytes");
        }
        if length as usize / 4 > self.limits.fragments {
            return Err(Part10Error::TooLarge { what: "offsets" });
        }
        let bytes = self.window.copy(at, u64::from(length))?;
        Ok(bytes.as_chunks().0.iter().map(|offset| u32::from_le_bytes(*offset)).collect())
    }

    fn count(&mut self, elements: u32) -> Result<(), Part10Error> {
        self.counted = self.counted.saturating_add(elements);
        if self.counted > self.limits.elements {
            return Err(Part10Error::TooLarge { what: "elements" });
        }
        Ok(())
    }

    /// The element header where the walk stands; it must end within `bound`.
    fn header(&mut self, encoding: Encoding, bound: u64) -> Result<Element, Part10Error> {
        let left = bound.saturating_sub(self.at).min(LONGEST as u64) as usize;
        let element = match self.window.peek(self.at, left)? {
            Some(bytes) => Element::read(&bytes[..left], encoding).ok(),
            None => None,
        };
        match element {
            Some(element) => Ok(element),
            None => self.out_of(bound),
        }
    }

    /// Where a value of `length` bytes from `offset` ends; an error beyond `bound`.
    fn end_of(&self, offset: u64, length: u64, bound: u64) -> Result<u64, Part10Error> {
        let end = offset + length;
        if end > bound { self.out_of(bound) } else { Ok(end) }
    }

    /// Beyond the file it is cut; beyond an item or sequence it is wrong.
    fn out_of<T>(&self, bound: u64) -> Result<T, Part10Error> {
        if bound == self.file_end {
            return Err(Part10Error::Truncated { at: self.at });
        }
        self.malformed("an element reaches beyond the item or sequence that holds it")
    }

    fn malformed<T>(&self, what: &'static str) -> Result<T, Part10Error> {
        Err(Part10Error::Malformed { at: self.at, what })
    }

    /// True where nothing but a bounded run of zeros is left, which cannot be an element of a data set.
    fn only_zeros_follow(&mut self) -> Result<bool, Part10Error> {
        let left = self.file_end - self.at;
        let first = self.window.peek(self.at, left.min(4) as usize)?;
        let begins = first.is_some_and(|bytes| bytes.iter().take(4).all(|byte| *byte == 0));
        if !begins || left > TRAILING_ZEROS {
            return Ok(false);
        }
        Ok(self.window.copy(self.at, left)?.iter().all(|byte| *byte == 0))
    }
}
