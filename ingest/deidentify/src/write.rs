//! Elements as bytes, in the data set's own encoding.

use dicom_core::VR;
use dicom_core::header::Tag;
use part10::{Element, Encoding, ITEM, ITEM_DELIMITATION, SEQUENCE_DELIMITATION, UNDEFINED};

/// What is written so far.
#[derive(Debug, Default)]
pub(crate) struct Output(pub(crate) Vec<u8>);

impl Output {
    fn u16(&mut self, number: u16, encoding: Encoding) {
        let bytes =
            if encoding == Encoding::ExplicitBe { number.to_be_bytes() } else { number.to_le_bytes() };
        self.0.extend_from_slice(&bytes);
    }

    fn u32(&mut self, number: u32, encoding: Encoding) {
        let bytes =
            if encoding == Encoding::ExplicitBe { number.to_be_bytes() } else { number.to_le_bytes() };
        self.0.extend_from_slice(&bytes);
    }

    fn tag(&mut self, tag: Tag, encoding: Encoding) {
        self.u16(tag.group(), encoding);
        self.u16(tag.element(), encoding);
    }

    /// Item, or a delimiter.
    fn mark(&mut self, tag: Tag, length: u32, encoding: Encoding) {
        self.tag(tag, encoding);
        self.u32(length, encoding);
    }

    pub(crate) fn open_item(&mut self, encoding: Encoding) {
        self.mark(ITEM, UNDEFINED, encoding);
    }

    pub(crate) fn close_item(&mut self, encoding: Encoding) {
        self.mark(ITEM_DELIMITATION, 0, encoding);
    }

    pub(crate) fn close_sequence(&mut self, encoding: Encoding) {
        self.mark(SEQUENCE_DELIMITATION, 0, encoding);
    }

    /// The header of a sequence, as it was written but for its length, which becomes `length`: 0 or undefined.
    ///
    /// In each form of header the length is what stands last.
    pub(crate) fn sequence(&mut self, header: &[u8], length: u32) {
        let tail = header.len().saturating_sub(4);
        self.0.extend_from_slice(&header[..tail]);
        self.0.extend_from_slice(&length.to_le_bytes());
    }

    /// A whole element in the place of `former`, with another value.
    pub(crate) fn instead(&mut self, former: &Element, outside: Encoding, value: Vec<u8>) {
        let encoding = if former.is_implicit && outside != Encoding::ExplicitBe {
            Encoding::ImplicitLe
        } else {
            outside
        };
        self.element(former.tag, former.vr, encoding, value);
    }

    /// A whole element, padded to even length (PS3.5, section 6.2).
    pub(crate) fn element(&mut self, tag: Tag, vr: VR, encoding: Encoding, mut value: Vec<u8>) {
        if !value.len().is_multiple_of(2) {
            value.push(if matches!(vr, VR::UI | VR::OB | VR::UN) { 0 } else { b' ' });
        }
        self.tag(tag, encoding);
        let length = value.len() as u32;
        if encoding == Encoding::ImplicitLe {
            self.u32(length, encoding);
        } else {
            // a value too long for its VR's header goes as UN (PS3.5, section 6.2.2, note 3)
            let vr = if is_short(vr) && length > u32::from(u16::MAX) { VR::UN } else { vr };
            self.0.extend_from_slice(&vr.to_bytes());
            if is_short(vr) {
                self.u16(length as u16, encoding);
            } else {
                self.0.extend_from_slice(&[0, 0]);
                self.u32(length, encoding);
            }
        }
        self.0.append(&mut value);
    }

    /// The header of a sequence of undefined length.
    pub(crate) fn open_sequence(&mut self, tag: Tag, encoding: Encoding) {
        self.tag(tag, encoding);
        if encoding != Encoding::ImplicitLe {
            self.0.extend_from_slice(b"SQ\0\0");
        }
        self.u32(UNDEFINED, encoding);
    }
}

/// VRs whose header has 8 bytes (PS3.5, table 7.1-2).
fn is_short(vr: VR) -> bool {
    matches!(
        vr,
        VR::AE
            | VR::AS
            | VR::AT
            | VR::CS
            | VR::DA
            | VR::DS
            | VR::DT
            | VR::FD
            | VR::FL
            | VR::IS
            | VR::LO
            | VR::LT
            | VR::PN
            | VR::SH
            | VR::SL
            | VR::SS
            | VR::ST
            | VR::TM
            | VR::UI
            | VR::UL
            | VR::US
    )
}
