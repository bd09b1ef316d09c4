//! What a response says: the status codes of DIMSE and a short comment.

use std::borrow::Cow;

/// The longest Error Comment (0000,0902): VR LO, 64 characters (PS3.5, section 6.2).
const COMMENT_CHARACTERS: usize = 64;

/// A DIMSE status other than plain success, with a comment for whoever reads the sender's log.
///
/// Source: DICOM PS3.4, sections B.2.3, C.4.1.1.4, C.4.2.1.5 and C.4.3.1.4, and PS3.7, annex C.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatus {
    code: u16,
    comment: Cow<'static, str>,
}

impl StoreStatus {
    /// Success (0000): the instance is durable.
    pub const SUCCESS: u16 = 0x0000;
    /// Processing failure (0110).
    pub const PROCESSING_FAILURE: u16 = 0x0110;
    /// Duplicate SOP Instance (0111).
    pub const DUPLICATE_INSTANCE: u16 = 0x0111;
    /// No such SOP Instance (0112).
    pub const NO_SUCH_INSTANCE: u16 = 0x0112;
    /// No such event type (0113).
    pub const NO_SUCH_EVENT: u16 = 0x0113;
    /// Invalid argument value (0115).
    pub const INVALID_ARGUMENT: u16 = 0x0115;
    /// Invalid SOP Instance: its UID breaks the rules for UIDs (0117).
    pub const INVALID_INSTANCE: u16 = 0x0117;
    /// Refused: SOP Class not supported (0122).
    pub const CLASS_NOT_SUPPORTED: u16 = 0x0122;
    /// No such action type (0123).
    pub const NO_SUCH_ACTION: u16 = 0x0123;
    /// Refused: not authorized (0124).
    pub const NOT_AUTHORIZED: u16 = 0x0124;
    /// Unrecognized operation (0211).
    pub const UNRECOGNIZED_OPERATION: u16 = 0x0211;
    /// Refused: out of resources (A700).
    pub const OUT_OF_RESOURCES: u16 = 0xA700;
    /// Refused: the study is locked, or the instance was rejected before; of the range A7xx (A770).
    pub const STUDY_CLOSED: u16 = 0xA770;
    /// Refused: the object is held back until a person has judged it; of the range A7xx (A771).
    pub const HELD_BACK: u16 = 0xA771;
    /// Error: data set does not match SOP Class (A900).
    pub const DATA_SET_MISMATCH: u16 = 0xA900;
    /// Error: cannot understand (C000).
    pub const CANNOT_UNDERSTAND: u16 = 0xC000;

    /// Pending: a match, or sub-operations go on (FF00).
    pub const PENDING: u16 = 0xFF00;
    /// Pending: a match, without some optional keys that are not supported (FF01).
    pub const PENDING_WITHOUT_SOME_KEYS: u16 = 0xFF01;
    /// Cancel (FE00): ended by a C-CANCEL.
    pub const CANCELLED: u16 = 0xFE00;
    /// Refused: out of resources, unable to perform sub-operations (A702).
    pub const SUB_OPERATIONS_IMPOSSIBLE: u16 = 0xA702;
    /// Refused: out of resources, unable to calculate the number of matches (A701).
    pub const MATCHES_UNCOUNTABLE: u16 = 0xA701;
    /// Refused: move destination unknown (A801).
    pub const MOVE_DESTINATION_UNKNOWN: u16 = 0xA801;
    /// Warning: sub-operations complete, one or more failures or warnings (B000).
    pub const SUB_OPERATIONS_FAILED: u16 = 0xB000;

    /// A status of any code; the comment is cut to 64 printable ASCII characters.
    pub fn new(code: u16, comment: impl Into<Cow<'static, str>>) -> Self {
        let comment = comment.into();
        let fits = comment.len() <= COMMENT_CHARACTERS && comment.bytes().all(is_comment_byte);
        if fits {
            return Self { code, comment };
        }
        let cut = comment.chars().take(COMMENT_CHARACTERS);
        let plain = cut.map(|c| if c.is_ascii() && is_comment_byte(c as u8) { c } else { '?' });
        Self { code, comment: plain.collect::<String>().into() }
    }

    /// The Status (0000,0900).
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The Error Comment (0000,0902), at most 64 characters; may be empty.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// Whether the instance was kept: success, or a warning (0001, 0107, 0116, Bxxx).
    ///
    /// Source: PS3.7, annex C.
    pub fn is_stored(&self) -> bool {
        matches!(self.code, 0x0000 | 0x0001 | 0x0107 | 0x0116 | 0xB000..=0xBFFF)
    }
}

/// Printable ASCII except the backslash, which parts values (PS3.5, section 6.2).
fn is_comment_byte(byte: u8) -> bool {
    (0x20..=0x7E).contains(&byte) && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PS3.5, section 6.2: LO holds 64 characters, no control characters, no backslash.
    #[test]
    fn a_comment_is_cut_to_what_the_value_representation_holds() {
        let status = StoreStatus::new(StoreStatus::CANNOT_UNDERSTAND, "tab\there\\and é".repeat(20));
        assert_eq!(status.comment().len(), 64);
        assert!(status.comment().starts_with("tab?here?and ?"));
    }

    /// PS3.4, table B.2-1: B000, B006 and B007 are warnings, A7xx, A9xx and Cxxx are not.
    #[test]
    fn a_warning_means_that_the_instance_was_kept() {
        for code in [0x0000, 0xB000, 0xB006, 0xB007] {
            assert!(StoreStatus::new(code, "").is_stored(), "{code:04X}");
        }
        for code in [0xA700, 0xA900, 0xC000, 0x0110, 0x0111, 0x0122] {
            assert!(!StoreStatus::new(code, "").is_stored(), "{code:04X}");
        }
    }
}
