//! Frames out of every form of pixel data, compared with values that are known beforehand.

use crate::support::{ObjectBuilder, frames, golden, read};
use clinical::imaging::{DecodeRequest, FrameSelection, Photometric, Samples};
use pixels::{DecodePool, PixelLimits, decode, transcode};

const ROWS: i64 = 13;
const COLUMNS: i64 = 16;

/// The formula of `golden/README.md`.
fn known(bits: u32, is_signed: bool, components: i64) -> Vec<i64> {
    let (scale, modulus) = (1_i64 << (bits - 8), 1_i64 << bits);
    let mut values = Vec::new();
    for y in 0..ROWS {
        for x in 0..COLUMNS {
            for c in 0..components {
                let value = (31 * x + 17 * y + 59 * c + 5 * (x * y % 23)) * scale + x * y % scale;
                values.push(value.rem_euclid(modulus) - if is_signed { modulus / 2 } else { 0 });
            }
        }
    }
    values
}

fn values(samples: &Samples) -> Vec<i64> {
    (0..samples.len()).map(|index| samples.at(index)).collect()
}

fn decoded(name: &str) -> Vec<i64> {
    let frames = frames(&golden(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(frames.len(), 1);
    assert_eq!((i64::from(frames[0].rows), i64::from(frames[0].columns)), (ROWS, COLUMNS));
    values(&frames[0].samples)
}

/// Encoders and originals: `golden/README.md`.
#[test]
fn lossless_codecs_give_back_every_value() {
    for (name, bits, is_signed, components) in [
        ("jpeg_lossless_predictor_1", 8, false, 1),
        ("jpeg_lossless_predictor_2", 12, false, 1),
        ("jpeg_lossless_predictor_3", 12, true, 1),
        ("jpeg_lossless_predictor_4", 16, true, 1),
        ("jpeg_lossless_predictor_5", 16, false, 1),
        ("jpeg_lossless_predictor_6", 8, false, 3),
        ("jpeg_lossless_predictor_7", 12, false, 1),
        ("jpeg_lossless_first_order", 16, true, 1),
        ("jpegls_grey", 16, true, 1),
        ("jpegls_rgb", 8, false, 3),
        ("rle_16", 12, true, 1),
        ("rle_rgb", 8, false, 3),
        ("big_endian", 12, true, 1),
        ("deflated", 12, false, 1),
        ("implicit", 16, false, 1),
        ("jpeg2000_signed", 12, true, 1),
        ("jpeg2000_levels", 8, false, 1),
        ("jpeg2000_rct", 8, false, 3),
        ("htj2k_16", 16, false, 1),
        ("jpegxl_12", 12, false, 1),
        ("jpegxl_rgb", 8, false, 3),
    ] {
        assert!(decoded(name) == known(bits, is_signed, components), "{name}");
    }
}

/// T.81, section H.1.2.1: the point transform drops low bits, here two.
#[test]
fn the_point_transform_loses_just_its_bits() {
    let shifted: Vec<i64> = known(8, false, 1).into_iter().map(|value| value >> 2 << 2).collect();
    assert_eq!(decoded("jpeg_lossless_point_transform"), shifted);
}

/// What CharLS decodes, and T.87, section A.4.4: no value is off by more than NEAR, here 3.
#[test]
fn near_lossless_values_are_those_of_charls() {
    let raw = include_bytes!("../golden/jpegls_near.raw");
    let charls: Vec<i64> = raw.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair).into()).collect();
    let ours = decoded("jpegls_near");
    assert_eq!(ours, charls);
    assert!(ours.iter().zip(known(12, false, 1)).all(|(ours, known)| (ours - known).abs() <= 3));
}

/// At quality 100 the quantizer steps are 1: what is lost is rounding, for colours also that of the matrix.
#[test]
fn baseline_jpeg_comes_close_in_every_colour_form() {
    for (name, components, most) in
        [("jpeg_baseline_grey", 1, 1), ("jpeg_baseline_rgb", 3, 1), ("jpeg_baseline_ybr", 3, 3)]
    {
        let known = known(8, false, components);
        let furthest = decoded(name).iter().zip(known).map(|(ours, known)| (ours - known).abs()).max();
        assert!(furthest <= Some(most), "{name}: {furthest:?}");
    }
}

/// What dcmtk decodes from the same 12-bit stream, but for the rounding of the inverse transform.
#[test]
fn extended_jpeg_of_12_bits_comes_as_dcmtk_decodes_it() {
    let raw = include_bytes!("../golden/jpeg_extended_12.raw");
    let dcmtk = raw.as_chunks().0.iter().map(|pair| i64::from(u16::from_le_bytes(*pair)));
    let furthest =
        decoded("jpeg_extended_12").iter().zip(dcmtk).map(|(ours, dcmtk)| (ours - dcmtk).abs()).max();
    assert!(furthest <= Some(1), "{furthest:?}");
}

#[test]
fn what_no_codec_can_is_a_clear_error() {
    let without_transform = golden("jpeg2000_without_its_transform");
    assert_eq!(frames(&without_transform).unwrap_err().code(), "malformed-pixels");
    let object = ObjectBuilder::little()
        .number(0x28, 0x10, 1)
        .number(0x28, 0x11, 1)
        .number(0x28, 0x0100, 32)
        .pixels_at(8, "OF", &[0; 4]);
    assert_eq!(frames(&object).unwrap_err().code(), "unsupported-pixel-format");
    let object = ObjectBuilder::little().image("MONOCHROME2", 1, 1, (8, 8), 0).file();
    assert_eq!(frames(&object).unwrap_err().code(), "no-pixels");
}

/// The hostile files that hold pixels: `tests/hostile/README.md`.
#[test]
fn hostile_pixels_end_in_errors() {
    for name in
        ["rle_nseg_max", "rle_15seg_zero_offsets", "jpeg_dims", "lut_bits_stored_0", "jpegls_truncated_cpu"]
    {
        let path = format!("{}/../../tests/hostile/{name}.dcm", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).unwrap().into();
        if let Ok(object) = part10::Part10::read(bytes, &part10::Limits::default()) {
            assert_eq!(frames(&object).unwrap_err().code(), "malformed-pixels", "{name}");
        }
    }
}

/// Every codestream, cut at every length, also with its end marker put back (JPEG, JPEG-LS: FF D9): an error
/// or, where only padding is lost, the same image.
#[test]
fn a_cut_codestream_is_never_another_image() {
    for name in [
        "jpegls_grey",
        "jpeg_lossless_predictor_6",
        "jpeg_baseline_grey",
        "jpeg_extended_12",
        "rle_rgb",
        "jpeg2000_signed",
        "htj2k_16",
        "jpegxl_12",
    ] {
        let path = format!("{}/tests/golden/{name}.dcm", env!("CARGO_MANIFEST_DIR"));
        let file = std::fs::read(path).unwrap();
        let whole = decoded(name);
        // the item of the frame is the last but the delimiter (8 bytes), its length before its value
        let item = file.windows(4).rposition(|tag| tag == [0xFE, 0xFF, 0x00, 0xE0]).unwrap();
        let length = file.len() - 8 - (item + 8);
        for (kept, ending) in
            (0..length - 2).step_by(2).flat_map(|kept| [(kept, &[][..]), (kept, &[0xFF, 0xD9])])
        {
            let mut cut = file[..item + 8 + kept].to_vec();
            cut.extend_from_slice(ending);
            cut[item + 4..item + 8].copy_from_slice(&((kept + ending.len()) as u32).to_le_bytes());
            cut.extend_from_slice(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
            let object = read(cut);
            if let Ok(frames) = frames(&object) {
                assert!(values(&frames[0].samples) == whole, "{name} cut to {kept} of {length}");
            }
        }
    }
}

/// PS3.5, section 8.1.1: bits fill bytes from the least significant on, frames follow without padding.
#[test]
fn frames_of_single_bits_are_not_byte_aligned() {
    let object = ObjectBuilder::little()
        .multi_frame("MONOCHROME2", 3, 1, 5, (1, 1), 0, 0)
        .pixels("OB", &[0b0110_1001, 0b0000_0101]);
    let frames = frames(&object).unwrap();
    let rows: Vec<Vec<i64>> = frames.iter().map(|frame| values(&frame.samples)).collect();
    assert_eq!(rows, [[1, 0, 0, 1, 0], [1, 1, 0, 1, 0], [1, 0, 0, 0, 0]]);
}

/// PS3.5, annex A.3: 8-bit samples in OW lie in swapped pairs, in OB they do not.
#[test]
fn big_endian_bytes_in_words_are_swapped_back() {
    let object = |vr| {
        ObjectBuilder::big().multi_frame("MONOCHROME2", 2, 1, 3, (8, 8), 0, 0).pixels(vr, &[2, 1, 4, 3, 6, 5])
    };
    let rows = |vr| -> Vec<Vec<i64>> {
        frames(&object(vr)).unwrap().iter().map(|frame| values(&frame.samples)).collect()
    };
    assert_eq!(rows("OW"), [[1, 2, 3], [4, 5, 6]]);
    assert_eq!(rows("OB"), [[2, 1, 4], [3, 6, 5]]);
}

#[test]
fn wide_words_keep_their_order_and_sign() {
    let big =
        ObjectBuilder::big().image("MONOCHROME2", 1, 1, (32, 32), 1).pixels("OW", &[0xFF, 0xFF, 0xFF, 0xFE]);
    assert_eq!(frames(&big).unwrap()[0].samples, Samples::I32(vec![-2]));
    let little = ObjectBuilder::little().image("MONOCHROME2", 1, 1, (32, 32), 0).pixels("OW", &[1, 2, 3, 4]);
    assert_eq!(frames(&little).unwrap()[0].samples, Samples::U32(vec![0x0403_0201]));
}

#[test]
fn colour_planes_and_palettes_become_rgb() {
    let planes =
        ObjectBuilder::little().multi_frame("RGB", 1, 1, 2, (8, 8), 0, 1).pixels("OB", &[1, 2, 3, 4, 5, 6]);
    assert_eq!(frames(&planes).unwrap()[0].samples, Samples::U8(vec![1, 3, 5, 2, 4, 6]));

    let mut palette = ObjectBuilder::little().image("PALETTE COLOR", 1, 3, (8, 8), 0);
    for channel in 1..=3 {
        palette = palette.element(0x28, 0x1100 + channel, "US", &[2, 0, 4, 0, 8, 0]);
    }
    for (channel, entries) in [(1, [10, 11]), (2, [20, 21]), (3, [30, 31])] {
        palette = palette.words(0x28, 0x1200 + channel, &entries);
    }
    let frame = &frames(&palette.pixels("OB", &[3, 4, 5])).unwrap()[0];
    assert_eq!(frame.samples, Samples::U8(vec![10, 20, 30, 10, 20, 30, 11, 21, 31]));
    assert_eq!((frame.photometric, frame.bits_stored), (Photometric::Rgb, 8));
}

/// PS3.3, C.7.6.3.1.2: two luminances share a pair of differences; grey stays grey.
#[test]
fn subsampled_colours_become_rgb() {
    let object =
        ObjectBuilder::little().image("YBR_FULL_422", 1, 2, (8, 8), 0).pixels("OB", &[10, 20, 128, 128]);
    let frame = &frames(&object).unwrap()[0];
    assert_eq!(frame.samples, Samples::U8(vec![10, 10, 10, 20, 20, 20]));
    assert_eq!((frame.photometric, frame.samples_per_pixel), (Photometric::Rgb, 3));
}

#[test]
fn pixel_data_that_is_too_short_is_an_error() {
    let object = ObjectBuilder::little().image("MONOCHROME1", 2, 2, (16, 12), 0).pixels("OW", &[0; 6]);
    assert_eq!(frames(&object).unwrap_err().code(), "malformed-pixels");
}

#[test]
fn limits_hold_before_anything_is_decoded() {
    let object =
        ObjectBuilder::little().multi_frame("MONOCHROME2", 9, 2, 2, (8, 8), 0, 0).pixels("OB", &[0; 36]);
    let code = |frames, limits: PixelLimits| {
        let request = DecodeRequest { frames, least_size: None };
        decode(&object, &request, &limits, &DecodePool::inline())
            .map_err(|error| error.code())
            .map(|it| it.len())
    };
    let limits = PixelLimits::default();
    assert_eq!(code(FrameSelection::All, PixelLimits { frames: 8, ..limits }), Err("too-large"));
    assert_eq!(code(FrameSelection::Spread(8), PixelLimits { frames: 8, ..limits }), Ok(8));
    assert_eq!(code(FrameSelection::All, PixelLimits { pixels_per_frame: 3, ..limits }), Err("too-large"));
    assert_eq!(code(FrameSelection::All, PixelLimits { decoded_bytes: 35, ..limits }), Err("too-large"));
    assert_eq!(code(FrameSelection::These(vec![8, 9]), limits), Ok(1));
}

/// Three resolutions: the image can be halved twice, to 4 rows and 4 columns at the least.
#[test]
fn a_smaller_image_comes_where_it_serves() {
    let size = |least_size| {
        let request = DecodeRequest { frames: FrameSelection::All, least_size };
        let object = golden("jpeg2000_levels");
        let frames = decode(&object, &request, &PixelLimits::default(), &DecodePool::inline()).unwrap();
        assert_eq!(frames[0].samples.len() as u32, frames[0].rows * frames[0].columns);
        (frames[0].rows, frames[0].columns)
    };
    assert_eq!(size(None), (13, 16));
    assert_eq!(size(Some((7, 8))), (7, 8));
    assert_eq!(size(Some((8, 8))), (13, 16));
    assert_eq!(size(Some((1, 1))), (4, 4));
}

/// The darkest and the brightest value of an image without a window become black and white (PS3.3, C.11.2.1.2 leaves it
/// to the reader): those of a smaller image are averages, and would make other shades.
#[test]
fn an_image_without_a_window_comes_whole_unless_it_has_eight_bits() {
    let rows = |bits: (u16, u16), is_windowed: bool| {
        let object = ObjectBuilder::little().image("MONOCHROME2", 64, 64, bits, 0);
        let object = match is_windowed {
            true => object.element(0x28, 0x1050, "DS", b"2048").element(0x28, 0x1051, "DS", b"4096"),
            false => object,
        };
        let words: Vec<u8> = (0..64 * 64_u16).flat_map(|at| (at % 4096).to_le_bytes()).collect();
        let length = 64 * 64 * usize::from(bits.0 / 8);
        let object = object.pixels("OW", &words[..length]);
        let (limits, pool) = (PixelLimits::default(), DecodePool::inline());
        let file = transcode(&object, &"1.2.840.10008.1.2.4.90".parse().unwrap(), &limits, &pool).unwrap();
        let request = DecodeRequest { frames: FrameSelection::All, least_size: Some((32, 32)) };
        decode(&read(file.to_vec()), &request, &limits, &pool).unwrap()[0].rows
    };
    assert_eq!(rows((16, 12), true), 32);
    assert_eq!(rows((16, 12), false), 64);
    assert_eq!(rows((8, 8), false), 32);
}
