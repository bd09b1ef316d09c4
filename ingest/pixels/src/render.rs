//! A frame as a picture for a screen: 8 bits, through its look-up tables.

use clinical::imaging::{Frame, ModalityLut, Photometric, Samples, VoiLut, Window};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, RgbImage};

use crate::PixelError;

/// The file format of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenderFormat {
    /// JPEG of this quality, 1 to 100.
    Jpeg {
        /// 1 (small) to 100 (fine).
        quality: u8,
    },
    /// PNG, without loss.
    Png,
}

/// How a frame is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RenderOptions {
    /// A window instead of the object's own.
    pub window: Option<Window>,
    /// The most columns and rows; the picture is shrunk into them, its aspect kept.
    pub viewport: Option<(u32, u32)>,
    /// The file format.
    pub format: RenderFormat,
}

/// A picture of `frame`: Modality LUT, VOI LUT (or the frame's own least and greatest value, padding
/// left out), MONOCHROME1 inverted, padding black, colours as they are.
///
/// Source: PS3.4, annex N.2 (the pipeline); PS3.3, section C.11.
///
/// # Errors
///
/// [`PixelError::MalformedPixels`] where the frame's samples do not fill it or the window is
/// impossible, [`PixelError::CodecFailed`] where the encoder fails.
pub fn render(frame: &Frame, options: &RenderOptions) -> Result<Vec<u8>, PixelError> {
    if options.window.is_some_and(|window| !(window.width > 0.0 && window.center.is_finite())) {
        return Err(PixelError::malformed("a window's width is above zero"));
    }
    let unfilled = || PixelError::malformed("the frame's samples do not fill it");
    let picture = if frame.photometric == Photometric::Rgb {
        let pixels = colours(frame);
        DynamicImage::from(RgbImage::from_raw(frame.columns, frame.rows, pixels).ok_or_else(unfilled)?)
    } else {
        let pixels = Shades::new(frame, options.window).apply();
        DynamicImage::from(GrayImage::from_raw(frame.columns, frame.rows, pixels).ok_or_else(unfilled)?)
    };
    let picture = match options.viewport {
        Some((columns, rows)) if columns < frame.columns || rows < frame.rows => {
            picture.resize(columns.max(1), rows.max(1), FilterType::CatmullRom)
        }
        _ => picture,
    };
    let mut file = Vec::new();
    let encoded = match options.format {
        RenderFormat::Jpeg { quality } => {
            picture.write_with_encoder(JpegEncoder::new_with_quality(&mut file, quality.clamp(1, 100)))
        }
        RenderFormat::Png => picture.write_with_encoder(PngEncoder::new(&mut file)),
    };
    encoded.map_err(|error| PixelError::CodecFailed(error.to_string()))?;
    Ok(file)
}

/// Colours scaled to 8 bits.
fn colours(frame: &Frame) -> Vec<u8> {
    if let (Samples::U8(values), 8) = (&frame.samples, frame.bits_stored) {
        return values.clone();
    }
    let most = (1_u64 << frame.bits_stored) - 1;
    let samples = &frame.samples;
    (0..samples.len())
        .map(|index| (samples.at(index).clamp(0, most as i64) as u64 * 255 / most) as u8)
        .collect()
}

/// What becomes of modality units.
enum Voi<'a> {
    Given(&'a VoiLut),
    Own(VoiLut),
    /// From black to white in a line.
    Range(f64, f64),
}

/// The way from stored values to shades of grey.
struct Shades<'a> {
    frame: &'a Frame,
    voi: Voi<'a>,
}

impl<'a> Shades<'a> {
    fn new(frame: &'a Frame, window: Option<Window>) -> Self {
        let voi = match (window, &frame.voi_lut) {
            (Some(window), _) => Voi::Own(VoiLut::Window(window)),
            (None, Some(lut)) => Voi::Given(lut),
            (None, None) => {
                let (least, most) = Self::stored_range(frame);
                let ends = [modality(frame, least), modality(frame, most)];
                Voi::Range(ends[0].min(ends[1]), ends[0].max(ends[1]))
            }
        };
        Self { frame, voi }
    }

    /// The stored values that become black and white: up to 8 bits they are shades already, as the networks
    /// take them too; above, the least and the greatest value that is no padding.
    fn stored_range(frame: &Frame) -> (i64, i64) {
        let samples = &frame.samples;
        let most = (1_i64 << frame.bits_stored) - 1;
        match samples {
            Samples::U8(_) => return (0, most),
            Samples::I8(_) => return (-(most + 1) / 2, most / 2),
            _ => {}
        }
        let values = (0..samples.len()).map(|index| samples.at(index)).filter(|it| !is_padding(frame, *it));
        values
            .fold(None, |range, value| {
                let (least, most) = range.unwrap_or((value, value));
                Some((value.min(least), value.max(most)))
            })
            .unwrap_or((0, 0))
    }

    fn apply(&self) -> Vec<u8> {
        let table =
            |range: std::ops::RangeInclusive<i64>| range.map(|it| self.shade(it)).collect::<Vec<u8>>();
        match &self.frame.samples {
            Samples::U8(values) => {
                let table = table(0..=255);
                values.iter().map(|it| table[usize::from(*it)]).collect()
            }
            Samples::I8(values) => {
                let table = table(-128..=127);
                values.iter().map(|it| table[(i16::from(*it) + 128) as usize]).collect()
            }
            Samples::U16(values) => {
                let most = values.iter().copied().max().unwrap_or(0);
                let table = table(0..=most.into());
                values.iter().map(|it| table[usize::from(*it)]).collect()
            }
            Samples::I16(values) => {
                let least = values.iter().copied().min().unwrap_or(0);
                let most = values.iter().copied().max().unwrap_or(0);
                let table = table(least.into()..=most.into());
                values.iter().map(|it| table[(i32::from(*it) - i32::from(least)) as usize]).collect()
            }
            samples => (0..samples.len()).map(|index| self.shade(samples.at(index))).collect(),
        }
    }

    /// The shade of one stored value.
    fn shade(&self, stored: i64) -> u8 {
        if is_padding(self.frame, stored) {
            return 0;
        }
        let value = modality(self.frame, stored);
        let table = |lut: &VoiLut| match lut {
            VoiLut::Window(window) => window.shade(value),
            VoiLut::Table(table) => {
                f64::from(table.at(value.round() as i32)) / ((1_u32 << table.bits) - 1) as f64
            }
        };
        let part = match &self.voi {
            Voi::Given(lut) => table(lut),
            Voi::Own(lut) => table(lut),
            Voi::Range(least, most) if most > least => (value - least) / (most - least),
            Voi::Range(..) => 0.5,
        };
        let part = if self.frame.photometric == Photometric::Monochrome1 { 1.0 - part } else { part };
        (part.clamp(0.0, 1.0) * 255.0).round() as u8
    }
}

fn is_padding(frame: &Frame, stored: i64) -> bool {
    frame.padding.is_some_and(|(first, last)| (first..=last).contains(&stored))
}

/// The modality units of a stored value.
fn modality(frame: &Frame, stored: i64) -> f64 {
    match &frame.modality_lut {
        None => stored as f64,
        Some(ModalityLut::Rescale(line)) => line.slope * stored as f64 + line.intercept,
        Some(ModalityLut::Table(table)) => {
            table.at(stored.clamp(i32::MIN.into(), i32::MAX.into()) as i32).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clinical::imaging::{LutTable, Rescale, VoiFunction};

    const PNG: RenderOptions = RenderOptions { window: None, viewport: None, format: RenderFormat::Png };

    fn frame(samples: Samples) -> Frame {
        Frame {
            index: 0,
            rows: 1,
            columns: samples.len() as u32,
            samples_per_pixel: 1,
            bits_stored: 16,
            samples,
            photometric: Photometric::Monochrome2,
            modality_lut: None,
            voi_lut: None,
            padding: None,
        }
    }

    fn shades(frame: &Frame, options: &RenderOptions) -> Vec<u8> {
        image::load_from_memory(&render(frame, options).unwrap()).unwrap().to_luma8().into_raw()
    }

    /// PS3.3, C.11.2.1.2.1: below c - 0.5 - (w-1)/2 black, above c - 0.5 + (w-1)/2 white; water (0 HU) of
    /// c=40, w=400 is (0 - 39.5) / 399 + 0.5 = 0.401, 102 of 255.
    #[test]
    fn a_ct_window_shows_water_darker_than_mid_grey() {
        let mut ct = frame(Samples::U16(vec![0, 1024, 4000]));
        ct.modality_lut = Some(ModalityLut::Rescale(Rescale { slope: 1.0, intercept: -1024.0 }));
        let window = Window { center: 40.0, width: 400.0, function: VoiFunction::Linear };
        ct.voi_lut = Some(VoiLut::Window(window));
        assert_eq!(shades(&ct, &PNG), [0, 102, 255]);
        ct.voi_lut = None;
        assert_eq!(shades(&ct, &RenderOptions { window: Some(window), ..PNG }), [0, 102, 255]);
    }

    #[test]
    fn without_a_window_the_frame_spans_black_to_white_without_its_padding() {
        let mut image = frame(Samples::I16(vec![-2000, 100, 150, 200]));
        image.padding = Some((-2000, -2000));
        assert_eq!(shades(&image, &PNG), [0, 0, 128, 255]);
    }

    #[test]
    fn monochrome1_shows_the_least_value_white() {
        let mut image = frame(Samples::U16(vec![100, 200]));
        image.photometric = Photometric::Monochrome1;
        assert_eq!(shades(&image, &PNG), [255, 0]);
    }

    #[test]
    fn without_a_window_eight_bits_are_shades_already() {
        let mut image = frame(Samples::U8(vec![10, 200]));
        image.bits_stored = 8;
        assert_eq!(shades(&image, &PNG), [10, 200]);
    }

    #[test]
    fn a_voi_table_gives_the_shades() {
        let mut image = frame(Samples::U8(vec![9, 10, 11]));
        image.voi_lut = Some(VoiLut::Table(LutTable { first_mapped: 9, bits: 8, entries: vec![255, 0, 51] }));
        assert_eq!(shades(&image, &PNG), [255, 0, 51]);
    }

    #[test]
    fn deep_colours_keep_their_brightness() {
        let mut image = frame(Samples::U16(vec![0, 32_896, 65_535]));
        (image.columns, image.samples_per_pixel, image.photometric) = (1, 3, Photometric::Rgb);
        let picture = image::load_from_memory(&render(&image, &PNG).unwrap()).unwrap().to_rgb8();
        assert_eq!(picture.into_raw(), [0, 128, 255]);
    }

    #[test]
    fn a_viewport_shrinks_and_keeps_the_aspect() {
        let mut image = frame(Samples::U8(vec![7; 200]));
        (image.rows, image.columns) = (10, 20);
        let options =
            RenderOptions { viewport: Some((8, 8)), format: RenderFormat::Jpeg { quality: 90 }, ..PNG };
        let picture = image::load_from_memory(&render(&image, &options).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (8, 4));
        let options = RenderOptions { viewport: Some((99, 99)), ..PNG };
        assert_eq!(shades(&image, &options).len(), 200);
    }

    #[test]
    fn a_frame_that_is_not_filled_is_an_error() {
        let mut image = frame(Samples::U8(vec![7; 3]));
        image.rows = 2;
        assert_eq!(render(&image, &PNG).unwrap_err().code(), "malformed-pixels");
    }
}
