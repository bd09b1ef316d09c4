//! One door to every codec: a codestream and what it must hold, and its samples.

use std::panic::{AssertUnwindSafe, catch_unwind};

use clinical::imaging::Samples;
use serde::{Deserialize, Serialize};

use crate::{jpeg, jpeg_lossless, jpeg2000, jpegls, jpegxl};

/// A family of codestreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Codec {
    /// JPEG, all processes that DICOM has kept.
    Jpeg,
    /// JPEG-LS.
    JpegLs,
    /// JPEG 2000 and High-Throughput JPEG 2000.
    Jpeg2000,
    /// JPEG XL.
    JpegXl,
}

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

impl Codec {
    /// The codec of an encapsulated transfer syntax, but for RLE.
    ///
    /// Source: PS3.5, section 10 and annex A.4.
    pub(crate) fn of(transfer_syntax: &str) -> Option<Self> {
        let last = transfer_syntax.strip_prefix("1.2.840.10008.1.2.4.")?;
        match last {
            "50" | "51" | "57" | "70" => Some(Self::Jpeg),
            "80" | "81" => Some(Self::JpegLs),
            "90" | "91" | "92" | "93" | "201" | "202" | "203" => Some(Self::Jpeg2000),
            "110" | "111" | "112" => Some(Self::JpegXl),
            _ => None,
        }
    }

    /// Whether decoding belongs into a child process: the codec is foreign code.
    pub(crate) fn needs_child(self, stream: &[u8]) -> bool {
        match self {
            Self::JpegLs => false,
            Self::Jpeg => !jpeg::is_lossless(stream),
            Self::Jpeg2000 | Self::JpegXl => true,
        }
    }

    /// Decodes within this process; a panic of the codec is an error.
    ///
    /// The codestream's header is checked against `expected` before anything is decoded.
    pub(crate) fn decode(self, stream: &[u8], expected: &Expected) -> Result<Decoded, CodecError> {
        let decoded = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Jpeg if jpeg::is_lossless(stream) => jpeg_lossless::decode(stream, expected),
            Self::Jpeg => jpeg::decode(stream, expected),
            Self::JpegLs => decode_jpegls(stream, expected),
            Self::Jpeg2000 => jpeg2000::decode(stream, expected),
            Self::JpegXl => jpegxl::decode(stream, expected),
        }));
        decoded.unwrap_or_else(|_| Err(CodecError::Failed("the codec panicked".into())))
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

fn decode_jpegls(stream: &[u8], expected: &Expected) -> Result<Decoded, CodecError> {
    let header = jpegls::header(stream)?;
    let (components, precision) = (header.components.into(), header.precision.into());
    expected.check(header.rows, header.columns, components, precision)?;
    let samples = narrowed(jpegls::decode(stream, &header)?, header.precision);
    let colours = jpeg::declared_colours(stream);
    Ok(Decoded { rows: header.rows, columns: header.columns, precision: header.precision, colours, samples })
}

impl From<jpegls::JpegLsError> for CodecError {
    fn from(error: jpegls::JpegLsError) -> Self {
        match error {
            jpegls::JpegLsError::Unsupported(_) => Self::Unsupported(error.to_string()),
            _ => Self::Malformed(error.to_string()),
        }
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
