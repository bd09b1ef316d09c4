//! The data set of a file, written again: in little-endian order, with or without VRs, with other elements.
//!
//! Values are copied as bytes, so that no text changes its characters and no number its digits.

mod out;

use std::iter::Peekable;
use std::vec;

use dicom_core::VR;
use dicom_core::header::Tag;
use dicom_dictionary_std::tags;

use crate::element::{
    Content, Element, ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, UNDEFINED,
    follows_pixel_representation, is_private_creator,
};
use crate::syntax::Encoding;
use crate::{Part10, Part10Error};
use out::Out;

/// Whether element headers name their VR (PS3.5, sections 7.1.2 and 7.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VrForm {
    /// Implicit VR Little Endian.
    Implicit,
    /// Explicit VR Little Endian.
    Explicit,
}

/// What an element of the outermost data set becomes.
#[derive(Debug, Clone)]
pub struct NewElement {
    /// Which element.
    pub tag: Tag,
    /// Its VR, written where VRs are.
    pub vr: VR,
    /// Its value.
    pub value: NewValue,
}

/// The value of a [`NewElement`].
#[derive(Debug, Clone)]
pub enum NewValue {
    /// The element is left out.
    Absent,
    /// Bytes in little-endian order; padded to even length.
    Bytes(Vec<u8>),
    /// Encapsulated frames, a fragment each, behind a Basic Offset Table (PS3.5, section A.4).
    Frames(Vec<Vec<u8>>),
}

impl Part10 {
    /// The whole data set in little-endian order, with `changes` instead of the elements of their tags.
    ///
    /// Group lengths are left out, sequences and items end by delimiters. A sequence inside which compressed pixels
    /// stand (an icon) is left out: they would be of the former transfer syntax.
    ///
    /// # Errors
    ///
    /// [`Part10Error::TooLarge`] where a frame or value is longer than 4 GiB.
    pub fn rewritten(&self, form: VrForm, mut changes: Vec<NewElement>) -> Result<Vec<u8>, Part10Error> {
        changes.sort_by_key(|change| change.tag);
        let scan = self.scan();
        let bytes = self.bytes(scan.data_set_start()..scan.data_set_end);
        let mut writer = Rewriter { bytes: &bytes, at: 0, out: Out::new(form, bytes.len() + 1_024) };
        let mut context = Context::default();
        writer.root(scan.encoding, changes.into_iter().peekable(), &mut context)?;
        Ok(writer.out.bytes)
    }
}

/// What earlier elements say about later ones.
#[derive(Debug, Clone, Copy, Default)]
struct Context {
    is_signed: bool,
    bits_allocated: u16,
}

/// Whether a data set could be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Whole,
    /// Compressed pixels stand in it.
    HasFragments,
}

struct Rewriter<'b> {
    bytes: &'b [u8],
    at: usize,
    out: Out,
}

impl Rewriter<'_> {
    fn root(
        &mut self,
        encoding: Encoding,
        mut changes: Peekable<vec::IntoIter<NewElement>>,
        context: &mut Context,
    ) -> Result<(), Part10Error> {
        while self.at < self.bytes.len() {
            let element = self.header(encoding)?;
            while let Some(change) = changes.next_if(|change| change.tag < element.tag) {
                self.out.change(change)?;
            }
            let before = self.out.bytes.len();
            let changed = changes.next_if(|change| change.tag == element.tag);
            let is_meta = element.tag.group() <= 2;
            if element.tag == tags::PIXEL_DATA && element.content() == Some(Content::Fragments) {
                self.fragments(element.inside, changed.is_none().then_some(element.vr))?;
            } else if self.element(&element, context)? == Kept::HasFragments || is_meta {
                self.out.bytes.truncate(before);
            }
            if let Some(change) = changed {
                self.out.bytes.truncate(before);
                self.out.change(change)?;
            }
        }
        changes.try_for_each(|change| self.out.change(change))
    }

    /// The elements up to `end`, or up to an Item Delimitation. Recursion is as deep as the walk has allowed.
    fn data_set(
        &mut self,
        encoding: Encoding,
        end: Option<usize>,
        context: &mut Context,
    ) -> Result<Kept, Part10Error> {
        let mut kept = Kept::Whole;
        while end.is_none_or(|end| self.at < end) {
            let element = self.header(encoding)?;
            if element.tag == ITEM_DELIMITATION {
                break;
            }
            if self.element(&element, context)? == Kept::HasFragments {
                kept = Kept::HasFragments;
            }
        }
        Ok(kept)
    }

    /// One element whose header has been read.
    fn element(&mut self, element: &Element, context: &mut Context) -> Result<Kept, Part10Error> {
        match element.content() {
            Some(Content::Sequence) => {
                let before = self.out.bytes.len();
                if self.sequence(element, *context)? == Kept::HasFragments {
                    self.out.bytes.truncate(before);
                }
                Ok(Kept::Whole)
            }
            Some(Content::Fragments) => {
                self.fragments(element.inside, None)?;
                Ok(Kept::HasFragments)
            }
            Some(Content::Value) => {
                let value = self.take(element.length as usize)?;
                match (element.tag, value) {
                    (tags::PIXEL_REPRESENTATION, &[a, b]) => {
                        context.is_signed = element.inside.u16([a, b]) == 1;
                    }
                    (tags::BITS_ALLOCATED, &[a, b]) => context.bits_allocated = element.inside.u16([a, b]),
                    _ => {}
                }
                if element.tag.element() == 0 {
                    return Ok(Kept::Whole);
                }
                let mut value = value.to_vec();
                if element.inside == Encoding::ExplicitBe {
                    let width = word_bytes(element, context.bits_allocated);
                    value.chunks_exact_mut(width).for_each(<[u8]>::reverse);
                }
                self.out.value(element.tag, written_as(element, *context), value)?;
                Ok(Kept::Whole)
            }
            None => self.disagrees(),
        }
    }

    fn sequence(&mut self, sequence: &Element, context: Context) -> Result<Kept, Part10Error> {
        let end = self.end_of(sequence);
        let mut kept = Kept::Whole;
        self.out.head(sequence.tag, VR::SQ, UNDEFINED);
        while end.is_none_or(|end| self.at < end) {
            let item = self.header(sequence.inside)?;
            match item.tag {
                SEQUENCE_DELIMITATION => break,
                ITEM => {
                    let end = self.end_of(&item);
                    self.out.item_head(ITEM, UNDEFINED);
                    if self.data_set(sequence.inside, end, &mut context.clone())? == Kept::HasFragments {
                        kept = Kept::HasFragments;
                    }
                    self.out.item_head(ITEM_DELIMITATION, 0);
                }
                _ => return self.disagrees(),
            }
        }
        self.out.item_head(SEQUENCE_DELIMITATION, 0);
        Ok(kept)
    }

    /// Passes over fragments; copies them, offset table included, where they are `copied_as` a VR.
    fn fragments(&mut self, encoding: Encoding, copied_as: Option<VR>) -> Result<(), Part10Error> {
        if let Some(vr) = copied_as {
            self.out.head(tags::PIXEL_DATA, vr, UNDEFINED);
        }
        loop {
            let item = self.header(encoding)?;
            let is_end = item.tag == SEQUENCE_DELIMITATION;
            let length = if is_end { 0 } else { item.length };
            let value = self.take(length as usize)?;
            if copied_as.is_some() {
                self.out.item_head(item.tag, length);
                self.out.bytes.extend_from_slice(value);
            }
            if is_end {
                return Ok(());
            }
        }
    }

    /// Where the value behind the header just read ends, where its length says so.
    fn end_of(&self, element: &Element) -> Option<usize> {
        (element.length != UNDEFINED).then(|| self.at + element.length as usize)
    }

    fn header(&mut self, encoding: Encoding) -> Result<Element, Part10Error> {
        match Element::read(self.bytes.get(self.at..).unwrap_or_default(), encoding) {
            Ok(element) => {
                self.at += element.header_bytes as usize;
                Ok(element)
            }
            Err(_) => self.disagrees(),
        }
    }
}

impl<'b> Rewriter<'b> {
    /// The next `length` bytes.
    fn take(&mut self, length: usize) -> Result<&'b [u8], Part10Error> {
        let value = self.bytes.get(self.at..self.at.saturating_add(length));
        match value {
            Some(value) => {
                self.at += length;
                Ok(value)
            }
            None => self.disagrees(),
        }
    }

    /// The walk would have refused this.
    fn disagrees<T>(&self) -> Result<T, Part10Error> {
        Err(Part10Error::Malformed { at: self.at as u64, what: "the data set cannot be written again" })
    }
}

/// The VR of a plain value, where its header names none.
fn written_as(element: &Element, context: Context) -> VR {
    match element.vr {
        VR::US if element.is_implicit && context.is_signed && follows_pixel_representation(element.tag) => {
            VR::SS
        }
        VR::UN if element.is_implicit && is_private_creator(element.tag) => VR::LO,
        VR::SQ => VR::UN,
        vr => vr,
    }
}

/// Bytes of a word whose order is turned round; samples of more than 16 bits are words of their own size.
///
/// Source: PS3.5, section 7.3 and annex A.3.
fn word_bytes(element: &Element, bits_allocated: u16) -> usize {
    match element.vr {
        VR::OW if element.tag == tags::PIXEL_DATA => match bits_allocated {
            32 => 4,
            64 => 8,
            _ => 2,
        },
        VR::US | VR::SS | VR::OW | VR::AT => 2,
        VR::UL | VR::SL | VR::FL | VR::OL | VR::OF => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}
