//! One element header, read the same way by the walk and by the parser.

use dicom_core::VR;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry, VirtualVr};
use dicom_core::header::Tag;
use dicom_dictionary_std::{StandardDataDictionary, tags};

use crate::syntax::Encoding;

/// Length of unknown size, closed by a delimiter (PS3.5, section 7.1.1).
pub const UNDEFINED: u32 = u32::MAX;

/// The longest element header in bytes.
pub const LONGEST: usize = 12;

/// Opens an item (PS3.5, section 7.5).
pub const ITEM: Tag = Tag(0xFFFE, 0xE000);
/// Closes an item of undefined length.
pub const ITEM_DELIMITATION: Tag = Tag(0xFFFE, 0xE00D);
/// Closes a sequence of undefined length, and fragments.
pub const SEQUENCE_DELIMITATION: Tag = Tag(0xFFFE, 0xE0DD);

/// Tag, value representation and length of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// Which element.
    pub tag: Tag,
    /// Its VR: as written, else as the dictionary says.
    pub vr: VR,
    /// `UNDEFINED` or bytes.
    pub length: u32,
    /// 8 or 12.
    pub header_bytes: u64,
    /// The header names no VR.
    pub is_implicit: bool,
    /// How the value is written: the data set's way, or implicit inside UN (PS3.5, section 6.2.2, note 4).
    pub inside: Encoding,
}

/// What follows a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// `length` bytes of a plain value.
    Value,
    /// Items of data sets.
    Sequence,
    /// An offset table and fragments (PS3.5, section A.4).
    Fragments,
}

impl Element {
    /// Reads a header from `bytes`.
    ///
    /// # Errors
    ///
    /// How many bytes it would need, where there are fewer.
    pub fn read(bytes: &[u8], encoding: Encoding) -> Result<Self, usize> {
        let head: [u8; 8] = *bytes.first_chunk().ok_or(8_usize)?;
        let [t0, t1, t2, t3, v0, v1, l0, l1] = head;
        let tag = encoding.tag([t0, t1, t2, t3]);
        let long = encoding.u32([v0, v1, l0, l1]);
        if tag.group() == 0xFFFE {
            return Ok(Self {
                tag,
                vr: VR::UN,
                length: long,
                header_bytes: 8,
                is_implicit: true,
                inside: encoding,
            });
        }
        // letters that are none: some writers slip implicit elements into explicit data sets
        let is_implicit = encoding == Encoding::ImplicitLe || !(is_letter(v0) && is_letter(v1));
        if is_implicit {
            let vr = implied_vr(tag);
            return Ok(Self { tag, vr, length: long, header_bytes: 8, is_implicit, inside: encoding });
        }
        let known = VR::from_binary([v0, v1]);
        let is_long = match known {
            Some(vr) => has_long_header(vr),
            // VRs to come have the long form, with two bytes reserved (PS3.5, section 7.1.2)
            None => [l0, l1] == [0, 0],
        };
        let vr = known.unwrap_or(VR::UN);
        if !is_long {
            let length = u32::from(encoding.u16([l0, l1]));
            return Ok(Self { tag, vr, length, header_bytes: 8, is_implicit, inside: encoding });
        }
        let &[_, _, _, _, _, _, _, _, a, b, c, d] = bytes.first_chunk::<12>().ok_or(12_usize)?;
        let length = encoding.u32([a, b, c, d]);
        let inside = if vr == VR::UN { Encoding::ImplicitLe } else { encoding };
        Ok(Self { tag, vr, length, header_bytes: 12, is_implicit, inside })
    }

    /// What follows this header; `None` where the length is undefined and may not be.
    pub fn content(&self) -> Option<Content> {
        match (self.vr, self.length) {
            (VR::SQ, _) => Some(Content::Sequence),
            (VR::OB | VR::OW, UNDEFINED) => Some(Content::Fragments),
            (_, UNDEFINED) if self.tag == tags::PIXEL_DATA => Some(Content::Fragments),
            (VR::UN, UNDEFINED) => Some(Content::Sequence),
            // an implicit element whose tag the dictionary does not know, or knows wrongly
            (_, UNDEFINED) if self.inside == Encoding::ImplicitLe => Some(Content::Sequence),
            (_, UNDEFINED) => None,
            _ => Some(Content::Value),
        }
    }
}

/// Bytes of one value where the VR fixes them, else 1; OW of odd length exists and is harmless.
pub(crate) fn unit(vr: VR) -> u32 {
    match vr {
        VR::US | VR::SS => 2,
        VR::UL | VR::SL | VR::FL | VR::OL | VR::OF | VR::AT => 4,
        VR::FD | VR::OD | VR::OV | VR::SV | VR::UV => 8,
        _ => 1,
    }
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_uppercase()
}

/// VRs whose header has 12 bytes (PS3.5, table 7.1-1).
pub(crate) fn has_long_header(vr: VR) -> bool {
    matches!(
        vr,
        VR::OB
            | VR::OD
            | VR::OF
            | VR::OL
            | VR::OV
            | VR::OW
            | VR::SQ
            | VR::SV
            | VR::UC
            | VR::UN
            | VR::UR
            | VR::UT
            | VR::UV
    )
}

/// The VR that the dictionary (PS3.6) gives a tag; UN where it has none.
pub fn implied_vr(tag: Tag) -> VR {
    if tag.element() == 0 {
        return VR::UL;
    }
    StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed())
}

/// True for the elements that name the owner of a block of private ones, always LO (PS3.5, section 7.8.1).
pub(crate) fn is_private_creator(tag: Tag) -> bool {
    !tag.group().is_multiple_of(2) && (0x10..=0xFF).contains(&tag.element())
}

/// True where the VR is US or SS by Pixel Representation (0028,0103).
pub(crate) fn follows_pixel_representation(tag: Tag) -> bool {
    StandardDataDictionary.by_tag(tag).is_some_and(|entry| entry.vr() == VirtualVr::Xs)
}
