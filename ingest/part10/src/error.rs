//! Why a file is not read.

use std::io;

/// Why a DICOM file is not read. No variant carries a value of the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Part10Error {
    /// There are no bytes at all.
    #[error("the file is empty")]
    Empty,
    /// No 128-byte preamble with `DICM` behind it (PS3.10, section 7.1): HTML, an image, anything else.
    #[error("the file is not DICOM: it has no preamble with DICM")]
    NotDicom,
    /// The file ends inside an element, an item or a sequence.
    #[error("the file ends too early, inside an element that starts at byte {at}")]
    Truncated {
        /// Where the element starts that is not whole, in bytes from the start of the file or the inflated data set.
        at: u64,
    },
    /// The bytes are not DICOM elements as PS3.5, chapter 7 orders them.
    #[error("the file is malformed at byte {at}: {what}")]
    Malformed {
        /// Where, in bytes from the start of the file or of the inflated data set.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Sequences stand in sequences deeper than [`Limits::depth`](crate::Limits::depth).
    #[error("sequences are nested too deeply")]
    TooDeep,
    /// A bound of [`Limits`](crate::Limits) is passed.
    #[error("the file holds too much: {what}")]
    TooLarge {
        /// Which bound.
        what: &'static str,
    },
    /// A deflated data set grows beyond [`Limits::inflated_bytes`](crate::Limits::inflated_bytes) or
    /// [`Limits::inflate_ratio`](crate::Limits::inflate_ratio).
    #[error("the deflated data set grows too large")]
    InflateBomb,
    /// The pixel data is not encapsulated, or has no frame of that number.
    #[error("there is no such encapsulated frame")]
    NoSuchFrame,
    /// Fragments and offset tables do not say which fragments a frame owns.
    #[error("the fragments of the frame cannot be told apart")]
    FramesUnclear,
    /// The reader failed.
    #[error("the file cannot be read")]
    Io(#[from] io::Error),
}

impl Part10Error {
    /// The stable code of the problem, for HTTP answers and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotDicom => "not-dicom",
            Self::Truncated { .. } => "truncated",
            Self::Malformed { .. } => "malformed",
            Self::TooDeep => "too-deep",
            Self::TooLarge { .. } => "too-large",
            Self::InflateBomb => "inflate-bomb",
            Self::NoSuchFrame => "no-such-frame",
            Self::FramesUnclear => "frames-unclear",
            Self::Io(_) => "unreadable",
        }
    }
}
