//! One door to every codec: a codestream and what it must hold, and its samples.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use crate::decoded::{CodecError, Decoded, Expected, narrowed};
use crate::jpeg_header::{declared_colours, is_lossless};
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
            Self::Jpeg => !is_lossless(stream),
            Self::Jpeg2000 | Self::JpegXl => true,
        }
    }

    /// Decodes within this process; a panic of the codec is an error.
    ///
    /// The codestream's header is checked against `expected` before anything is decoded.
    pub(crate) fn decode(self, stream: &[u8], expected: &Expected) -> Result<Decoded, CodecError> {
        let decoded = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Jpeg if is_lossless(stream) => jpeg_lossless::decode(stream, expected),
            Self::Jpeg => jpeg::decode(stream, expected),
            Self::JpegLs => decode_jpegls(stream, expected),
            Self::Jpeg2000 => jpeg2000::decode(stream, expected),
            Self::JpegXl => jpegxl::decode(stream, expected),
        }));
        decoded.unwrap_or_else(|_| Err(CodecError::Failed("the codec panicked".into())))
    }
}

fn decode_jpegls(stream: &[u8], expected: &Expected) -> Result<Decoded, CodecError> {
    let header = jpegls::header(stream)?;
    let (components, precision) = (header.components.into(), header.precision.into());
    expected.check(header.rows, header.columns, components, precision)?;
    let samples = narrowed(jpegls::decode(stream, &header)?, header.precision);
    let colours = declared_colours(stream);
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
