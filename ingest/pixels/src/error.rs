//! Why there are no frames.

use part10::Part10Error;

use crate::decoded::CodecError;

/// Why the pixels of an object did not become frames, or a frame no picture.
#[derive(Debug, thiserror::Error)]
pub enum PixelError {
    /// The object holds no Pixel Data (7FE0,0010).
    #[error("the object holds no pixels")]
    NoPixels,
    /// Nothing here reads the object's transfer syntax.
    #[error("pixels in transfer syntax {0} cannot be decoded")]
    UnsupportedTransferSyntax(String),
    /// The pixels are stored in a form that is not decoded.
    #[error("the pixel format is not supported: {0}")]
    UnsupportedPixelFormat(String),
    /// The pixels, or what describes them, contradict the standard or one another.
    #[error("the pixels are malformed: {0}")]
    MalformedPixels(String),
    /// The image is larger than the limits allow.
    #[error("the image is too large: {0}")]
    TooLarge(&'static str),
    /// The decoder gave up, crashed or answered nonsense.
    #[error("the decoder failed: {0}")]
    CodecFailed(String),
    /// The decoder did not answer in time.
    #[error("the decoder did not answer in time")]
    CodecTimeout,
    /// No decoder could be started: the frame is not to blame.
    #[error("no decoder could be started: {0}")]
    NoDecoder(String),
}

impl PixelError {
    /// The stable code, as problem documents and abstentions show it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPixels => "no-pixels",
            Self::UnsupportedTransferSyntax(_) => "unsupported-transfer-syntax",
            Self::UnsupportedPixelFormat(_) => "unsupported-pixel-format",
            Self::MalformedPixels(_) => "malformed-pixels",
            Self::TooLarge(_) => "too-large",
            Self::CodecFailed(_) => "codec-failed",
            Self::CodecTimeout => "codec-timeout",
            Self::NoDecoder(_) => "no-decoder",
        }
    }

    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self::MalformedPixels(what.into())
    }

    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::UnsupportedPixelFormat(what.into())
    }
}

impl From<CodecError> for PixelError {
    fn from(error: CodecError) -> Self {
        match error {
            CodecError::Unsupported(what) => Self::UnsupportedPixelFormat(what),
            CodecError::Malformed(what) => Self::MalformedPixels(what),
            CodecError::Failed(what) => Self::CodecFailed(what),
        }
    }
}

impl From<Part10Error> for PixelError {
    fn from(error: Part10Error) -> Self {
        Self::MalformedPixels(error.to_string())
    }
}
