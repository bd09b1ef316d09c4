//! From native containers to codestreams.

mod jpeg;
mod jpeg2000;
mod jpeg_lossless;
mod rle;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::image_pixel::{ImagePixel, Interpretation};
use crate::jpegls;

/// Why a frame was not encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EncodeError {
    /// The transfer syntax has no place for such pixels.
    #[error("{0}")]
    NotRepresentable(&'static str),
    /// The encoder gave up.
    #[error("{0}")]
    Failed(String),
}

/// What writes codestreams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoder {
    /// RLE Lossless.
    Rle,
    /// JPEG Baseline (process 1), 8 bits, lossy.
    JpegBaseline,
    /// JPEG Lossless (process 14), first-order prediction.
    JpegLossless,
    /// JPEG-LS, lossless.
    JpegLs,
    /// JPEG 2000, reversible.
    Jpeg2000,
}

/// A frame in its new form.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) stream: Vec<u8>,
    /// Photometric Interpretation of what is coded.
    pub(crate) interpretation: &'static str,
}

impl Encoder {
    /// The encoder of a transfer syntax.
    pub(crate) fn of(transfer_syntax: &str) -> Option<Self> {
        match transfer_syntax {
            "1.2.840.10008.1.2.5" => Some(Self::Rle),
            "1.2.840.10008.1.2.4.50" => Some(Self::JpegBaseline),
            "1.2.840.10008.1.2.4.70" => Some(Self::JpegLossless),
            "1.2.840.10008.1.2.4.80" => Some(Self::JpegLs),
            "1.2.840.10008.1.2.4.90" => Some(Self::Jpeg2000),
            _ => None,
        }
    }

    /// Whether what comes back by decoding may differ.
    pub(crate) fn loses(self) -> bool {
        self == Self::JpegBaseline
    }

    /// Encodes one frame of containers, colours together; a panic of a foreign encoder is an error.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NotRepresentable`] where PS3.5, section 8.2 has no place for such pixels.
    pub(crate) fn encode(self, containers: Vec<u8>, form: &ImagePixel) -> Result<Encoded, EncodeError> {
        if form.bits_allocated < 8 {
            return Err(EncodeError::NotRepresentable("pixels of one bit"));
        }
        let encoded = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Rle => {
                let stream = rle::encode(&containers, form)?;
                Ok(Encoded { stream, interpretation: form.interpretation.name() })
            }
            Self::JpegBaseline => jpeg::encode(containers, form),
            Self::JpegLossless => {
                let words = Words::of(&containers, form)?;
                let stream = jpeg_lossless::encode(&words, form)?;
                Ok(Encoded { stream, interpretation: form.interpretation.name() })
            }
            Self::JpegLs => {
                let Words { precision, samples } = Words::of(&containers, form)?;
                let header = jpegls::JpegLsHeader {
                    precision: precision.max(2),
                    rows: form.rows,
                    columns: form.columns,
                    components: form.samples_per_pixel,
                };
                let stream = jpegls::encode(&samples, &header)
                    .map_err(|error| EncodeError::Failed(error.to_string()))?;
                Ok(Encoded { stream, interpretation: form.interpretation.name() })
            }
            Self::Jpeg2000 => {
                let words = Words::of(&containers, form)?;
                let stream = jpeg2000::encode(&words, form)?;
                let is_rgb = form.interpretation == Interpretation::Rgb;
                Ok(Encoded {
                    stream,
                    interpretation: if is_rgb { "YBR_RCT" } else { form.interpretation.name() },
                })
            }
        }));
        encoded.unwrap_or_else(|_| Err(EncodeError::Failed("the encoder panicked".into())))
    }
}

/// Samples of at most 16 bits as unsigned words of Bits Stored, which is the codestream's precision too (PS3.5,
/// section 8.2); what stands beside the sample is left out.
#[derive(Debug)]
pub(crate) struct Words {
    pub(crate) precision: u8,
    pub(crate) samples: Vec<u16>,
}

impl Words {
    fn of(containers: &[u8], form: &ImagePixel) -> Result<Self, EncodeError> {
        let shift = form.high_bit + 1 - form.bits_stored;
        let sample = |container: u16| container >> shift & u16::MAX >> (16 - form.bits_stored);
        let samples = match form.bits_allocated {
            8 => containers.iter().map(|byte| sample(u16::from(*byte))).collect(),
            16 => containers.as_chunks().0.iter().map(|pair| sample(u16::from_le_bytes(*pair))).collect(),
            _ => return Err(EncodeError::NotRepresentable("more than 16 bits allocated")),
        };
        Ok(Self { precision: form.bits_stored, samples })
    }

    /// The samples as numbers, with the sign that the object gives them.
    pub(crate) fn numbers(&self, form: &ImagePixel) -> impl Iterator<Item = i32> {
        let lost = 32 - u32::from(self.precision);
        let is_signed = form.is_signed;
        self.samples.iter().map(move |value| {
            let value = u32::from(*value);
            if is_signed { (value << lost).cast_signed() >> lost } else { value.cast_signed() }
        })
    }
}
