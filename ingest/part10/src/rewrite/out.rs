//! Little-endian elements under construction.

use dicom_core::VR;
use dicom_core::header::Tag;

use super::{NewElement, NewValue, VrForm};
use crate::Part10Error;
use crate::element::{ITEM, SEQUENCE_DELIMITATION, UNDEFINED, has_long_header};

/// A data set that grows.
pub(super) struct Out {
    pub(super) bytes: Vec<u8>,
    form: VrForm,
}

impl Out {
    pub(super) fn new(form: VrForm, capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), form }
    }

    pub(super) fn change(&mut self, change: NewElement) -> Result<(), Part10Error> {
        match change.value {
            NewValue::Absent => Ok(()),
            NewValue::Bytes(value) => self.value(change.tag, change.vr, value),
            NewValue::Frames(frames) => self.frames(change.tag, frames),
        }
    }

    fn frames(&mut self, tag: Tag, frames: Vec<Vec<u8>>) -> Result<(), Part10Error> {
        let mut offsets = Vec::with_capacity(frames.len() * 4);
        let mut at = 0_usize;
        for frame in &frames {
            let Ok(offset) = u32::try_from(at) else {
                // an empty table says nothing; with a fragment a frame nothing is missing
                offsets.clear();
                break;
            };
            offsets.extend_from_slice(&offset.to_le_bytes());
            at += 8 + frame.len().next_multiple_of(2);
        }
        self.head(tag, VR::OB, UNDEFINED);
        self.item_head(ITEM, offsets.len() as u32);
        self.bytes.append(&mut offsets);
        for mut frame in frames {
            let length = even_length(frame.len())?;
            self.item_head(ITEM, length);
            frame.resize(length as usize, 0);
            self.bytes.append(&mut frame);
        }
        self.item_head(SEQUENCE_DELIMITATION, 0);
        Ok(())
    }

    pub(super) fn value(&mut self, tag: Tag, vr: VR, mut value: Vec<u8>) -> Result<(), Part10Error> {
        let length = even_length(value.len())?;
        value.resize(length as usize, padding(vr));
        self.head(tag, vr, length);
        self.bytes.append(&mut value);
        Ok(())
    }

    pub(super) fn head(&mut self, tag: Tag, vr: VR, length: u32) {
        self.tag(tag);
        if self.form == VrForm::Implicit {
            self.bytes.extend_from_slice(&length.to_le_bytes());
            return;
        }
        // a value too long for its VR's header goes as UN (PS3.5, section 6.2.2, note 3)
        let vr = if !has_long_header(vr) && length > u16::MAX.into() { VR::UN } else { vr };
        self.bytes.extend_from_slice(&vr.to_bytes());
        if has_long_header(vr) {
            self.bytes.extend_from_slice(&[0, 0]);
            self.bytes.extend_from_slice(&length.to_le_bytes());
        } else {
            self.bytes.extend_from_slice(&(length as u16).to_le_bytes());
        }
    }

    pub(super) fn item_head(&mut self, tag: Tag, length: u32) {
        self.tag(tag);
        self.bytes.extend_from_slice(&length.to_le_bytes());
    }

    fn tag(&mut self, tag: Tag) {
        self.bytes.extend_from_slice(&tag.group().to_le_bytes());
        self.bytes.extend_from_slice(&tag.element().to_le_bytes());
    }
}

fn even_length(length: usize) -> Result<u32, Part10Error> {
    let even = u32::try_from(length.next_multiple_of(2)).ok().filter(|length| *length != UNDEFINED);
    even.ok_or(Part10Error::TooLarge { what: "bytes of one value" })
}

/// What fills a value to even length (PS3.5, section 6.2).
fn padding(vr: VR) -> u8 {
    match vr {
        VR::AE | VR::AS | VR::CS | VR::DA | VR::DS | VR::DT | VR::IS | VR::LO | VR::LT => b' ',
        VR::PN | VR::SH | VR::ST | VR::TM | VR::UC | VR::UR | VR::UT => b' ',
        _ => 0,
    }
}
