//! What a codec is told of an image, and what it gives.

use clinical::imaging::Samples;
use serde::{Deserialize, Serialize};

/// What the object says about the image in a codestream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Expected {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) components: u8,
    pub(crate) bits_allocated: u8,
    /// Rows and columns below which the image must not be reduced; `None` asks for full size.
    pub(crate) least_size: Option<(u32, u32)>,
}

/// Whose colours the samples are in, where the codestream settles it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Colours {
    /// The codestream leaves it to the object.
    AsDeclared,
    /// Red, green, blue: stored so, or turned by the codec.
    Rgb,
    /// Luminance and two colour differences, full range.
    Ybr,
}

/// What a codec gave: samples with the codestream's own precision and sign, colours together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) rows: u32,
    pub(crate) columns: u32,
    pub(crate) precision: u8,
    pub(crate) colours: Colours,
    pub(crate) samples: Samples,
}

/// Why a codec gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub(crate) enum CodecError {
    #[error("{0}")]
    Unsupported(String),
    #[error("{0}")]
    Malformed(String),
    #[error("{0}")]
    Failed(String),
}

impl CodecError {
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported(what.into())
    }
}

impl Expected {
    /// Whether a codestream's header describes the expected image.
    pub(crate) fn check(
        &self,
        rows: u32,
        columns: u32,
        components: u32,
        precision: u32,
    ) -> Result<(), CodecError> {
        if (rows, columns) != (self.rows, self.columns) {
            return Err(CodecError::malformed("the compressed image has other dimensions than the object"));
        }
        if components != u32::from(self.components) {
            return Err(CodecError::malformed("the compressed image has other components than the object"));
        }
        if precision == 0 || precision > u32::from(self.bits_allocated) {
            return Err(CodecError::malformed("the compressed image has more bits than the object"));
        }
        Ok(())
    }
}

/// Samples of at most 8 bits as bytes.
pub(crate) fn narrowed(samples: Vec<u16>, precision: u8) -> Samples {
    if precision <= 8 {
        Samples::U8(samples.into_iter().map(|sample| sample as u8).collect())
    } else {
        Samples::U16(samples)
    }
}
