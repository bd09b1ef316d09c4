//! JPEG Baseline (ITU-T T.81, process 1), through `image`.

use clinical::imaging::Samples;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

use super::{EncodeError, Encoded};
use crate::image_pixel::{ImagePixel, Interpretation};
use crate::photometric::{self, Ybr};

/// The quality on the scale of the IJG: differences are hard to see.
const QUALITY: u8 = 95;

/// One frame of 8 bits; colours are coded as luminance and colour differences.
///
/// These are called `YBR_FULL_422` however the stream samples them (PS3.3, section C.7.6.3.1.2).
///
/// # Errors
///
/// [`EncodeError::NotRepresentable`] for anything but unsigned grey or colours of 8 bits.
pub(super) fn encode(containers: Vec<u8>, form: &ImagePixel) -> Result<Encoded, EncodeError> {
    if (form.bits_allocated, form.bits_stored, form.is_signed) != (8, 8, false) {
        return Err(EncodeError::NotRepresentable("JPEG Baseline holds 8 unsigned bits"));
    }
    let failed = |what: String| EncodeError::Failed(format!("JPEG: {what}"));
    let (pixels, colours, interpretation) = match form.interpretation {
        Interpretation::Rgb => (containers, ExtendedColorType::Rgb8, "YBR_FULL_422"),
        Interpretation::YbrFull => {
            let rgb = photometric::rgb(Samples::U8(containers), Ybr::Full, 8);
            let Ok(Samples::U8(pixels)) = rgb else { return Err(failed("other colours".into())) };
            (pixels, ExtendedColorType::Rgb8, "YBR_FULL_422")
        }
        grey if grey.is_grey() => (containers, ExtendedColorType::L8, grey.name()),
        _ => return Err(EncodeError::NotRepresentable("a lossy palette index is another colour")),
    };
    let mut stream = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut stream, QUALITY);
    let encoded = encoder.encode(&pixels, form.columns, form.rows, colours);
    encoded.map_err(|error| failed(error.to_string()))?;
    Ok(Encoded { stream, interpretation })
}
