//! JPEG 2000 (ITU-T T.800), reversible, through `openjp2`.

use openjp2::openjpeg::{CODEC_FORMAT, OPJ_CLRSPC_GRAY, OPJ_CLRSPC_SRGB, OPJ_CODEC_J2K};
use openjp2::{Codec, Stream, opj_cparameters_t, opj_image, opj_image_comptparm};
use part10::IMPLEMENTATION_VERSION_NAME;
use tempfile::NamedTempFile;

use super::{EncodeError, Words};
use crate::image_pixel::{ImagePixel, Interpretation};

const FORMAT: CODEC_FORMAT = OPJ_CODEC_J2K;
const BUFFER_BYTES: usize = 1 << 20;
/// How often the size is halved, at most: the least resolution keeps 32 pixels.
const MOST_LEVELS: u32 = 5;

/// One frame as a codestream without JP2 boxes; red, green and blue go through the reversible transform.
///
/// The encoder writes to a file or by unsafe callbacks: it gets a temporary file.
///
/// # Errors
///
/// [`EncodeError::Failed`] where the encoder gives up.
#[expect(
    clippy::field_reassign_with_default,
    reason = "a type that drops cannot be made from its default's rest"
)]
pub(super) fn encode(words: &Words, form: &ImagePixel) -> Result<Vec<u8>, EncodeError> {
    let failed = |what: &str| EncodeError::Failed(format!("JPEG 2000: {what}"));
    let components = usize::from(form.samples_per_pixel);
    let component = opj_image_comptparm {
        dx: 1,
        dy: 1,
        w: form.columns,
        h: form.rows,
        x0: 0,
        y0: 0,
        prec: words.precision.into(),
        bpp: words.precision.into(),
        sgnd: form.is_signed.into(),
    };
    let colours = if components == 1 { OPJ_CLRSPC_GRAY } else { OPJ_CLRSPC_SRGB };
    let mut image =
        opj_image::create(&vec![component; components], colours).ok_or_else(|| failed("no memory"))?;
    (image.x1, image.y1) = (form.columns, form.rows);
    let numbers: Vec<i32> = words.numbers(form).collect();
    let planes = image.comps_data_mut_iter().ok_or_else(|| failed("no components"))?;
    for (place, plane) in planes.enumerate() {
        for (value, number) in plane.iter_mut().zip(numbers.iter().skip(place).step_by(components)) {
            *value = *number;
        }
    }
    let mut parameters = opj_cparameters_t::default();
    parameters.tcp_numlayers = 1;
    parameters.cp_disto_alloc = 1;
    parameters.tcp_mct = (form.interpretation == Interpretation::Rgb).into();
    let halvings = form.rows.min(form.columns).ilog2().saturating_sub(5).min(MOST_LEVELS);
    parameters.numresolution = halvings as i32 + 1;
    // Its own comment it takes from Rust's allocator and gives back to the C library's: where they are two, as in the
    // program, that ends the process.
    parameters.set_comment(IMPLEMENTATION_VERSION_NAME);

    let file = NamedTempFile::new().map_err(|_| failed("no temporary file"))?;
    let mut stream =
        Stream::new_file(file.path(), BUFFER_BYTES, false).map_err(|_| failed("no temporary file"))?;
    let mut codec = Codec::new_encoder(FORMAT).ok_or_else(|| failed("no encoder"))?;
    let is_done = codec.setup_encoder(&mut parameters, &mut image) == 1
        && codec.start_compress(&mut image, &mut stream) == 1
        && codec.encode(&mut stream) == 1
        && codec.end_compress(&mut stream) == 1;
    drop(stream);
    if !is_done {
        return Err(failed("the encoder gave up"));
    }
    std::fs::read(file.path()).map_err(|_| failed("the temporary file cannot be read"))
}
