//! Why a file was not de-identified.

use std::io;

use part10::Part10Error;

use crate::Flag;

/// Why a file was not de-identified. No variant carries a value of the file.
#[derive(Debug, thiserror::Error)]
pub enum DeidentifyError {
    /// The bytes are no whole, well-formed DICOM file.
    #[error(transparent)]
    Part10(#[from] Part10Error),
    /// A media directory names patients and files; it is no instance.
    #[error("a DICOMDIR lists files and is not de-identified")]
    Dicomdir,
    /// Without it the new object could not be told from others.
    #[error("the object has no valid {0}")]
    MissingUid(&'static str),
    /// The pixels are said to show who the patient is, and the profile does not let that pass.
    #[error("the pixels may identify the patient: {}", .0.as_str())]
    Refused(Flag),
    /// Reading or writing failed.
    #[error("the file cannot be read or written")]
    Io(#[from] io::Error),
}

impl DeidentifyError {
    /// The stable code of the problem.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Part10(error) => error.code(),
            Self::Dicomdir => "dicomdir",
            Self::MissingUid(_) => "missing-uid",
            Self::Refused(flag) => flag.as_str(),
            Self::Io(_) => "unreadable",
        }
    }
}
