//! The header of a file as a data set in memory.
//!
//! The walk has proved every length before; this builder reads the same headers by the same function, so that
//! the two cannot disagree. It makes of each value what dicom-object makes of it.

use dicom_core::VR;
use dicom_core::header::{DataElement, Header, Length};
use dicom_core::value::{DataSetSequence, PrimitiveValue, Value};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_object::mem::InMemElement;

use crate::charset::Charset;
use crate::element::{
    Content, Element, ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, UNDEFINED,
    follows_pixel_representation, implied_vr, unit,
};
use crate::syntax::Encoding;
use crate::{Limits, Part10Error, value, walk};

/// Builds the data set of `bytes`, which the walk has passed over without an error.
///
/// As many texts are split at their backslashes as there may be elements; beyond it a text stays whole. The same
/// number again bounds what stands in sequences whose VR is UN.
pub(crate) fn build(
    bytes: &[u8],
    encoding: Encoding,
    limits: &Limits,
) -> Result<InMemDicomObject, Part10Error> {
    let unknown = Limits { depth: UNKNOWN_DEPTH, ..*limits };
    let mut builder = Builder { bytes, at: 0, split_values: limits.elements, unknown, unknown_within: 0 };
    builder.data_set(encoding, Some(bytes.len()), &mut Context::default())
}

/// Sequences within a sequence whose VR is UN, and such ones within one another.
const UNKNOWN_DEPTH: u32 = 16;
const UNKNOWN_WITHIN: u32 = 2;

/// What outer data sets say about inner ones.
#[derive(Debug, Clone, Default)]
struct Context {
    charset: Charset,
    /// Pixel Representation (0028,0103) is 1.
    is_signed: bool,
}

struct Builder<'b> {
    bytes: &'b [u8],
    at: usize,
    split_values: u32,
    /// What may yet stand in sequences whose VR is UN.
    unknown: Limits,
    unknown_within: u32,
}

impl<'b> Builder<'b> {
    /// The elements up to `end`, or up to an Item Delimitation. Recursion is as deep as the walk has allowed.
    fn data_set(
        &mut self,
        encoding: Encoding,
        end: Option<usize>,
        context: &mut Context,
    ) -> Result<InMemDicomObject, Part10Error> {
        let mut elements: Vec<InMemElement> = Vec::with_capacity(16);
        while end.is_none_or(|end| self.at < end) {
            let element = self.header(encoding)?;
            if element.tag == ITEM_DELIMITATION {
                break;
            }
            let element = self.element(&element, context)?;
            match element.tag() {
                tags::SPECIFIC_CHARACTER_SET => {
                    context.charset = Charset::named(&element.to_str().unwrap_or_default());
                }
                tags::PIXEL_REPRESENTATION => {
                    context.is_signed = element.to_int::<u16>().is_ok_and(|it| it == 1)
                }
                _ => {}
            }
            elements.push(element);
        }
        Ok(InMemDicomObject::from_element_iter(elements))
    }

    fn element(&mut self, element: &Element, context: &Context) -> Result<InMemElement, Part10Error> {
        let undefined = Length::UNDEFINED;
        match element.content() {
            Some(Content::Sequence) => {
                let items = self.items(element, context)?;
                let sequence = DataSetSequence::new(items, undefined);
                Ok(DataElement::new_with_len(element.tag, VR::SQ, undefined, Value::Sequence(sequence)))
            }
            Some(Content::Fragments) => {
                // compressed pixel data inside an item, such as an icon: its bytes stay in the file
                self.pass_fragments(element.inside)?;
                Ok(DataElement::empty(element.tag, element.vr))
            }
            Some(Content::Value) if element.vr == VR::UN && implied_vr(element.tag) == VR::SQ => {
                let value = self.take(element.length as usize)?;
                let items = self.unknown_items(value, context);
                Ok(match items {
                    Some(items) => DataElement::new(element.tag, VR::SQ, DataSetSequence::from(items)),
                    None => DataElement::new(element.tag, VR::UN, PrimitiveValue::U8(value.into())),
                })
            }
            Some(Content::Value) => {
                let vr = read_as(element, context);
                let value = self.value(element, vr, &context.charset)?;
                Ok(DataElement::new_with_len(element.tag, vr, Length(element.length), value))
            }
            None => self.disagrees(),
        }
    }

    /// The items of a sequence whose VR is UN and whose length is known: in implicit VR (PS3.5, section 6.2.2, note 4),
    /// from some writers in explicit VR. `None` where they cannot be read, or are too many.
    fn unknown_items(&mut self, value: &[u8], context: &Context) -> Option<Vec<InMemDicomObject>> {
        if self.unknown_within == UNKNOWN_WITHIN {
            return None;
        }
        [Encoding::ImplicitLe, Encoding::ExplicitLe].into_iter().find_map(|encoding| {
            let sequence = Element {
                tag: tags::REFERENCED_IMAGE_SEQUENCE,
                vr: VR::SQ,
                length: value.len() as u32,
                header_bytes: 12,
                is_implicit: false,
                inside: encoding,
            };
            let counted = walk::items(value, &sequence, &self.unknown).ok()?;
            let (split_values, unknown_within) = (self.split_values, self.unknown_within + 1);
            let mut inner =
                Builder { bytes: value, at: 0, split_values, unknown: self.unknown, unknown_within };
            let items = inner.items(&sequence, context).ok()?;
            self.split_values = inner.split_values;
            self.unknown.elements = inner.unknown.elements.saturating_sub(counted);
            Some(items)
        })
    }

    fn items(&mut self, sequence: &Element, context: &Context) -> Result<Vec<InMemDicomObject>, Part10Error> {
        let end = self.end_of(sequence);
        let mut items = Vec::new();
        while end.is_none_or(|end| self.at < end) {
            let item = self.header(sequence.inside)?;
            match item.tag {
                SEQUENCE_DELIMITATION => break,
                ITEM => {
                    let end = self.end_of(&item);
                    items.push(self.data_set(sequence.inside, end, &mut context.clone())?);
                }
                _ => return self.disagrees(),
            }
        }
        Ok(items)
    }

    fn pass_fragments(&mut self, encoding: Encoding) -> Result<(), Part10Error> {
        loop {
            let item = self.header(encoding)?;
            if item.tag == SEQUENCE_DELIMITATION {
                return Ok(());
            }
            self.take(item.length as usize)?;
        }
    }

    /// Where the value behind the header just read ends, where its length says so.
    fn end_of(&self, element: &Element) -> Option<usize> {
        (element.length != UNDEFINED).then(|| self.at + element.length as usize)
    }

    fn header(&mut self, encoding: Encoding) -> Result<Element, Part10Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match Element::read(rest, encoding) {
            Ok(element) => {
                self.at += element.header_bytes as usize;
                Ok(element)
            }
            Err(_) => self.disagrees(),
        }
    }

    fn value(&mut self, element: &Element, vr: VR, charset: &Charset) -> Result<PrimitiveValue, Part10Error> {
        let bytes = self.take(element.length as usize)?;
        Ok(value::read(bytes, vr, element.inside, charset, &mut self.split_values))
    }

    /// The next `length` bytes.
    fn take(&mut self, length: usize) -> Result<&'b [u8], Part10Error> {
        let (from, end) = (self.at, self.at.saturating_add(length));
        match self.bytes.get(from..end) {
            Some(value) => {
                self.at = end;
                Ok(value)
            }
            None => self.disagrees(),
        }
    }

    /// The walk would have refused this.
    fn disagrees<T>(&self) -> Result<T, Part10Error> {
        Err(Part10Error::Malformed { at: self.at as u64, what: "the header cannot be parsed" })
    }
}

/// The VR of a plain value. UN of a known tag is what the dictionary says (PS3.5, section 6.2.2, note 2).
fn read_as(element: &Element, context: &Context) -> VR {
    match element.vr {
        VR::UN => match implied_vr(element.tag) {
            VR::SQ => VR::UN,
            vr if element.length.is_multiple_of(unit(vr)) => vr,
            _ => VR::UN,
        },
        VR::US if element.is_implicit && context.is_signed && follows_pixel_representation(element.tag) => {
            VR::SS
        }
        vr => vr,
    }
}
