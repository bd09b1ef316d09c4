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

use crate::Part10Error;
use crate::charset::Charset;
use crate::element::{
    Content, Element, ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, UNDEFINED,
    follows_pixel_representation, implied_vr, unit,
};
use crate::syntax::Encoding;
use crate::value;

/// Builds the data set of `bytes`, which the walk has passed over without an error.
///
/// `split_values` is how many texts may be split at their backslashes; beyond it a text stays whole.
pub(crate) fn build(
    bytes: &[u8],
    encoding: Encoding,
    split_values: u32,
) -> Result<InMemDicomObject, Part10Error> {
    let mut builder = Builder { bytes, at: 0, split_values };
    builder.data_set(encoding, Some(bytes.len()), &mut Context::default())
}

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
            Some(Content::Value) => {
                let vr = read_as(element, context);
                let value = self.value(element, vr, &context.charset)?;
                Ok(DataElement::new_with_len(element.tag, vr, Length(element.length), value))
            }
            None => self.disagrees(),
        }
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
