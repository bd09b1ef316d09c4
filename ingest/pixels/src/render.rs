//! A frame as a picture for a screen: 8 bits, through its look-up tables, in a file format.

mod annotate;
mod encode;
mod jpeg;
mod scale;
mod shades;

use clinical::imaging::{Frame, Photometric, Window};

use crate::{FloatFrame, PixelError};
pub use encode::Animation;
use shades::{Shades, colours, float_shades};

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
    /// GIF: greys without loss, colours by a palette of 256.
    Gif,
}

/// A part of a frame, in pixels from its upper left corner; what lies outside the frame is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Columns left of it.
    pub left: u32,
    /// Rows above it.
    pub top: u32,
    /// Its columns.
    pub columns: u32,
    /// Its rows.
    pub rows: u32,
    /// Left and right change places.
    pub is_mirrored: bool,
    /// Top and bottom change places.
    pub is_upside_down: bool,
}

/// What of a frame is shown in how many pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewport {
    /// The most columns of the picture.
    pub columns: u32,
    /// The most rows of the picture.
    pub rows: u32,
    /// What is shown; `None` is the whole frame.
    pub region: Option<Region>,
}

/// How a frame is shown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RenderOptions {
    /// A window instead of the object's own.
    pub window: Option<Window>,
    /// The picture is shrunk into it, its aspect kept; it is never enlarged.
    pub viewport: Option<Viewport>,
    /// The file format.
    pub format: RenderFormat,
}

/// Pixels of 8 bits for a screen, not yet in a file format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    columns: u32,
    rows: u32,
    /// 1 for grey, 3 for RGB.
    channels: u8,
    /// `rows * columns * channels` of them.
    pixels: Vec<u8>,
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
    Picture::of(frame, options)?.encode(options.format)
}

impl Picture {
    /// The picture before it is put into a file format, as [`render`] makes it.
    ///
    /// # Errors
    ///
    /// [`PixelError::MalformedPixels`], as [`render`].
    pub fn of(frame: &Frame, options: &RenderOptions) -> Result<Self, PixelError> {
        check(options)?;
        let (channels, pixels) = match frame.photometric {
            Photometric::Rgb => (3, colours(frame)),
            _ => (1, Shades::new(frame, options.window).apply()),
        };
        Self { columns: frame.columns, rows: frame.rows, channels, pixels }.shown(options)
    }

    /// The picture of a frame of real numbers, by the same rules; what is no number is black as padding is.
    ///
    /// # Errors
    ///
    /// [`PixelError::MalformedPixels`], as [`render`].
    pub fn of_floats(frame: &FloatFrame, options: &RenderOptions) -> Result<Self, PixelError> {
        check(options)?;
        let pixels = float_shades(frame, options.window);
        Self { columns: frame.columns, rows: frame.rows, channels: 1, pixels }.shown(options)
    }

    /// What the viewport shows of a whole frame.
    fn shown(self, options: &RenderOptions) -> Result<Self, PixelError> {
        let whole = self;
        let filled = u64::from(whole.columns) * u64::from(whole.rows) * u64::from(whole.channels);
        if whole.pixels.len() as u64 != filled {
            return Err(PixelError::malformed("the frame's samples do not fill it"));
        }
        let Some(viewport) = options.viewport else { return Ok(whole) };
        let shown = match viewport.region {
            Some(region) => whole.cut(&region)?,
            None => whole,
        };
        Ok(shown.shrunk_into(viewport.columns.max(1), viewport.rows.max(1)))
    }

    /// The samples, row by row, and how many make a pixel: 1 for grey, 3 for RGB.
    pub fn samples(&self) -> (&[u8], u8) {
        (&self.pixels, self.channels)
    }

    /// Columns and rows.
    pub fn size(&self) -> (u32, u32) {
        (self.columns, self.rows)
    }
}

/// Whether the window wanted is one.
fn check(options: &RenderOptions) -> Result<(), PixelError> {
    if options.window.is_some_and(|window| !(window.width > 0.0 && window.center.is_finite())) {
        return Err(PixelError::malformed("a window's width is above zero"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clinical::imaging::{LutTable, ModalityLut, Rescale, Samples, VoiFunction, VoiLut};

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
        let viewport = |edge| Some(Viewport { columns: edge, rows: edge, region: None });
        let options =
            RenderOptions { viewport: viewport(8), format: RenderFormat::Jpeg { quality: 90 }, ..PNG };
        let picture = image::load_from_memory(&render(&image, &options).unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (8, 4));
        let options = RenderOptions { viewport: viewport(99), ..PNG };
        assert_eq!(shades(&image, &options).len(), 200);
    }

    #[test]
    fn a_frame_that_is_not_filled_is_an_error() {
        let mut image = frame(Samples::U8(vec![7; 3]));
        image.rows = 2;
        assert_eq!(render(&image, &PNG).unwrap_err().code(), "malformed-pixels");
    }
}
