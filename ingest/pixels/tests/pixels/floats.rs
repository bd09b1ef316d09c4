//! Images of real numbers, decoded and shown. pydicom reads the same in `ingest/tests/foreign_files`.

use clinical::imaging::{DecodeRequest, VoiFunction, Window};
use part10::Part10;
use pixels::{
    DecodePool, FloatFrame, Picture, PixelLimits, RenderFormat, RenderOptions, decode_floats, transcode,
};

use crate::support::{ObjectBuilder, frames};

/// Two frames of one row, of 32 bits; `before` are elements that stand between Rows and the pixels.
fn floats(is_big: bool, numbers: &[f32], columns: u16, before: &[(u16, &str, &[u8])]) -> Part10 {
    let object = if is_big { ObjectBuilder::big() } else { ObjectBuilder::little() };
    let count = (numbers.len() / usize::from(columns)).to_string();
    let mut object = object
        .number(0x28, 0x02, 1)
        .element(0x28, 0x04, "CS", b"MONOCHROME2")
        .element(0x28, 0x08, "IS", count.as_bytes())
        .number(0x28, 0x10, 1)
        .number(0x28, 0x11, columns)
        .number(0x28, 0x0100, 32);
    for (element, vr, value) in before {
        object = object.element(0x28, *element, vr, value);
    }
    let bytes = |number: &f32| if is_big { number.to_be_bytes() } else { number.to_le_bytes() };
    object.pixels_at(0x0008, "OF", &numbers.iter().flat_map(bytes).collect::<Vec<u8>>())
}

fn decoded(object: &Part10) -> Vec<FloatFrame> {
    decode_floats(object, &DecodeRequest::everything(), &PixelLimits::default()).unwrap()
}

fn shades(frame: &FloatFrame, window: Option<Window>) -> Vec<u8> {
    let options = RenderOptions { window, viewport: None, format: RenderFormat::Png };
    Picture::of_floats(frame, &options).unwrap().samples().0.to_vec()
}

#[test]
fn real_numbers_come_back_in_either_byte_order_frame_by_frame() {
    for is_big in [false, true] {
        let object = floats(is_big, &[0.5, -1e30, f32::MIN_POSITIVE, 3.25], 2, &[]);
        let found = decoded(&object);
        let values: Vec<&[f64]> = found.iter().map(|frame| frame.values.as_slice()).collect();
        assert_eq!(values, [[0.5, f64::from(-1e30_f32)], [f64::from(f32::MIN_POSITIVE), 3.25]]);
    }
}

#[test]
fn what_integers_are_asked_of_real_numbers_is_refused() {
    let object = floats(false, &[0.5, 1.5], 2, &[]);
    assert_eq!(frames(&object).unwrap_err().code(), "unsupported-pixel-format");
    let (limits, pool) = (PixelLimits::default(), DecodePool::inline());
    let rle = transcode(&object, &"1.2.840.10008.1.2.5".parse().unwrap(), &limits, &pool);
    assert_eq!(rle.unwrap_err().code(), "not-representable");
    let implicit = transcode(&object, &"1.2.840.10008.1.2".parse().unwrap(), &limits, &pool).unwrap();
    assert_eq!(decoded(&crate::support::read(implicit.to_vec()))[0].values, [0.5, 1.5]);
}

#[test]
fn pixels_that_end_early_and_frames_beyond_the_limit_are_errors() {
    let object = floats(false, &[0.5, 1.5, 2.5, 3.5], 4, &[]);
    let short = floats(false, &[0.5, 1.5], 2, &[(0x0008, "IS", b"3")]);
    let code = |object: &Part10, limits: PixelLimits| {
        decode_floats(object, &DecodeRequest::everything(), &limits).map_err(|error| error.code())
    };
    let limits = PixelLimits::default();
    assert_eq!(code(&short, limits).unwrap_err(), "malformed-pixels");
    assert_eq!(code(&object, PixelLimits { decoded_bytes: 31, ..limits }).unwrap_err(), "too-large");
    assert!(code(&object, PixelLimits { decoded_bytes: 32, ..limits }).is_ok());
}

/// PS3.3, C.11.2.1.3.2: of LINEAR_EXACT, centre 0.5 and width 1 map 0.25 to a quarter.
#[test]
fn a_window_is_laid_over_the_numbers_themselves() {
    let window: &[(u16, &str, &[u8])] =
        &[(0x1050, "DS", b"0.5"), (0x1051, "DS", b"1"), (0x1056, "CS", b"LINEAR_EXACT")];
    let object = floats(false, &[-7.0, 0.25, 0.5, f32::INFINITY], 4, window);
    assert_eq!(shades(&decoded(&object)[0], None), [0, 64, 128, 255]);
    let narrow = Window { center: 0.375, width: 0.25, function: VoiFunction::LinearExact };
    assert_eq!(shades(&decoded(&object)[0], Some(narrow)), [0, 0, 255, 255]);
}

/// Without a window the least and the greatest number become black and white; padding and what is no number are black.
#[test]
fn without_a_window_the_numbers_span_black_to_white() {
    let padding = (-1.0_f32).to_le_bytes();
    let object = floats(false, &[-1.0, 1e-3, 2e-3, f32::NAN, 3e-3], 5, &[(0x0122, "FL", &padding)]);
    let frame = &decoded(&object)[0];
    assert_eq!(frame.padding, Some((-1.0, -1.0)));
    assert_eq!(shades(frame, None), [0, 0, 128, 0, 255]);
}
