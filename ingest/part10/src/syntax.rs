//! How the elements of a data set are written, by transfer syntax.

use clinical::uid::TransferSyntaxUid;
use dicom_core::VR;
use dicom_core::header::Tag;

/// The three ways to write element headers (PS3.5, sections 7.1 and 7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// 1.2.840.10008.1.2.
    ImplicitLe,
    /// 1.2.840.10008.1.2.1, and all that is compressed.
    ExplicitLe,
    /// Retired, 1.2.840.10008.1.2.2.
    ExplicitBe,
}

impl Encoding {
    /// What `transfer_syntax` says: all but two are Explicit VR Little Endian (PS3.5, section A.4).
    pub fn of(transfer_syntax: &TransferSyntaxUid) -> Self {
        match transfer_syntax.as_str() {
            "1.2.840.10008.1.2" => Self::ImplicitLe,
            "1.2.840.10008.1.2.2" => Self::ExplicitBe,
            _ => Self::ExplicitLe,
        }
    }

    /// What the first element header of a data set shows, where nothing says how it is written.
    pub(crate) fn guessed(header: &[u8]) -> Self {
        let Some(&[g0, g1, _, _, v0, v1, _, _]) = header.first_chunk::<8>() else { return Self::ImplicitLe };
        match VR::from_binary([v0, v1]) {
            Some(_) if g0 == 0 && g1 != 0 => Self::ExplicitBe,
            Some(_) => Self::ExplicitLe,
            None => Self::ImplicitLe,
        }
    }

    /// The transfer syntax that writes so and does nothing else.
    pub(crate) fn transfer_syntax(self) -> &'static str {
        match self {
            Self::ImplicitLe => "1.2.840.10008.1.2",
            Self::ExplicitLe => "1.2.840.10008.1.2.1",
            Self::ExplicitBe => "1.2.840.10008.1.2.2",
        }
    }

    /// What the first element header of the data set shows, where a writer lied about implicit and explicit VR,
    /// as pydicom and dcmtk do; `self` when nothing speaks against it.
    pub fn as_seen(self, header: &[u8]) -> Self {
        let Some(&[g0, g1, _, _, v0, v1, _, _]) = header.first_chunk::<8>() else { return self };
        let explicit = VR::from_binary([v0, v1]).is_some();
        match self {
            // as an implicit length these letters would mean more than 16,000 bytes
            Self::ImplicitLe if explicit => Self::ExplicitLe,
            Self::ExplicitLe if !(v0.is_ascii_uppercase() && v1.is_ascii_uppercase()) => Self::ImplicitLe,
            // group 0008 written the other way round reads as 0800
            Self::ExplicitBe if g0 != 0 && g1 == 0 => Self::ExplicitLe,
            _ => self,
        }
    }

    /// Two bytes as a number.
    pub fn u16(self, bytes: [u8; 2]) -> u16 {
        if self == Self::ExplicitBe { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    /// Four bytes as a number.
    pub fn u32(self, bytes: [u8; 4]) -> u32 {
        if self == Self::ExplicitBe { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }

    /// Four bytes as a tag.
    pub fn tag(self, bytes: [u8; 4]) -> Tag {
        let [a, b, c, d] = bytes;
        Tag(self.u16([a, b]), self.u16([c, d]))
    }
}

/// True where everything behind the File Meta Information is a raw DEFLATE stream (PS3.5, section A.5).
pub(crate) fn is_deflated(transfer_syntax: &TransferSyntaxUid) -> bool {
    // deflated explicit, JPIP referenced deflate, HTJ2K JPIP referenced deflate
    let deflated = ["1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"];
    deflated.contains(&transfer_syntax.as_str())
}
