//! JPEG XL (ISO/IEC 18181), through `jxl-oxide`.

use clinical::imaging::Samples;
use jxl_oxide::image::BitDepth;
use jxl_oxide::{InitializeResult, JxlImage, JxlThreadPool, PixelFormat};

use crate::decoded::{CodecError, Colours, Decoded, Expected};

/// The first frame, with as many bits as the image header says.
pub(crate) fn decode(stream: &[u8], expected: &Expected) -> Result<Decoded, CodecError> {
    let mut uninitialized = JxlImage::builder().pool(JxlThreadPool::none()).build_uninit();
    uninitialized.feed_bytes(stream).map_err(failed)?;
    let InitializeResult::Initialized(image) = uninitialized.try_init().map_err(failed)? else {
        return Err(CodecError::malformed("the JPEG XL header ends too early"));
    };
    let metadata = &image.image_header().metadata;
    let BitDepth::IntegerSample { bits_per_sample } = metadata.bit_depth else {
        return Err(CodecError::unsupported("JPEG XL with floating-point samples"));
    };
    let components = match image.pixel_format() {
        PixelFormat::Gray => 1,
        PixelFormat::Rgb => 3,
        _ => return Err(CodecError::unsupported("JPEG XL with alpha or black")),
    };
    if metadata.orientation != 1 {
        return Err(CodecError::unsupported("JPEG XL with an orientation"));
    }
    expected.check(image.height(), image.width(), components, bits_per_sample)?;
    if bits_per_sample > 16 {
        return Err(CodecError::unsupported("JPEG XL with more than 16 bits"));
    }
    let is_xyb = metadata.xyb_encoded;
    let image = JxlImage::builder().pool(JxlThreadPool::none()).read(stream).map_err(failed)?;
    if !image.is_loading_done() {
        return Err(CodecError::malformed("the JPEG XL data end too early"));
    }
    let is_ybr = image.frame_header(0).is_some_and(|frame| frame.do_ycbcr);
    let render = image.render_frame(0).map_err(failed)?;
    let mut pixels = render.stream_no_alpha();
    let (rows, columns) = (pixels.height(), pixels.width());
    if (rows, columns, pixels.channels()) != (expected.rows, expected.columns, components) {
        return Err(CodecError::Failed("the JPEG XL decoder gave another image than the header says".into()));
    }
    let mut values = vec![0_f32; rows as usize * columns as usize * components as usize];
    if pixels.write_to_buffer(&mut values) != values.len() {
        return Err(CodecError::Failed("the JPEG XL decoder gave less than a whole image".into()));
    }
    let most = ((1_u32 << bits_per_sample) - 1) as f32;
    let whole = |value: &f32| (value * most).round().clamp(0.0, most);
    let samples = if bits_per_sample <= 8 {
        Samples::U8(values.iter().map(|value| whole(value) as u8).collect())
    } else {
        Samples::U16(values.iter().map(|value| whole(value) as u16).collect())
    };
    let colours = if is_xyb || is_ybr { Colours::Rgb } else { Colours::AsDeclared };
    Ok(Decoded { rows, columns, precision: bits_per_sample as u8, colours, samples })
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> CodecError {
    CodecError::Failed(format!("JPEG XL: {error}"))
}
