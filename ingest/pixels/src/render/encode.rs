//! File formats: JPEG (ISO/IEC 10918-1), PNG (ISO/IEC 15948), GIF (GIF89a).

use std::borrow::Cow;

use gif::Repeat;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};

use super::{Picture, RenderFormat, jpeg};
use crate::PixelError;

/// How carefully colours are chosen for a palette, 1 (slow) to 30.
const PALETTE_SPEED: i32 = 10;

fn failed(error: impl ToString) -> PixelError {
    PixelError::CodecFailed(error.to_string())
}

impl Picture {
    /// The picture in a file format.
    ///
    /// # Errors
    ///
    /// [`PixelError::CodecFailed`] where the encoder fails, [`PixelError::TooLarge`] where the format holds no
    /// picture of that size.
    pub fn encode(&self, format: RenderFormat) -> Result<Vec<u8>, PixelError> {
        match format {
            RenderFormat::Jpeg { quality } => {
                let (columns, rows) = self.short_size()?;
                jpeg::encode(self, (columns, rows), quality.clamp(1, 100)).map_err(failed)
            }
            RenderFormat::Png => self.png(),
            RenderFormat::Gif => {
                let mut animation = Animation::begin(self, 0)?;
                animation.add(self.clone())?;
                animation.finish()
            }
        }
    }

    /// Columns and rows in 16 bits, which is what JPEG and GIF have.
    fn short_size(&self) -> Result<(u16, u16), PixelError> {
        let (columns, rows) = self.size();
        let short = |edge: u32| {
            u16::try_from(edge).map_err(|_| PixelError::TooLarge("an edge has over 65,535 pixels"))
        };
        Ok((short(columns)?, short(rows)?))
    }

    fn png(&self) -> Result<Vec<u8>, PixelError> {
        let colours = if self.channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        let mut file = Vec::new();
        let encoder = PngEncoder::new(&mut file);
        encoder.write_image(&self.pixels, self.columns, self.rows, colours).map_err(failed)?;
        Ok(file)
    }
}

/// Pictures that follow one another in one GIF, for ever.
pub struct Animation {
    encoder: gif::Encoder<Vec<u8>>,
    size: (u16, u16),
    /// How long each is shown, in hundredths of a second.
    delay: u16,
}

impl Animation {
    /// An animation of pictures as large as `first`, each shown for `delay_ms`.
    ///
    /// # Errors
    ///
    /// As [`Picture::encode`].
    pub fn begin(first: &Picture, delay_ms: u32) -> Result<Self, PixelError> {
        let size = first.short_size()?;
        let greys: Vec<u8> = (0..=u8::MAX).flat_map(|shade| [shade; 3]).collect();
        let palette: &[u8] = if first.channels == 1 { &greys } else { &[] };
        let mut encoder = gif::Encoder::new(Vec::new(), size.0, size.1, palette).map_err(failed)?;
        if delay_ms > 0 {
            encoder.set_repeat(Repeat::Infinite).map_err(failed)?;
        }
        let delay = u16::try_from(delay_ms.div_ceil(10)).unwrap_or(u16::MAX);
        Ok(Self { encoder, size, delay })
    }

    /// Adds a picture, of the first one's size.
    ///
    /// # Errors
    ///
    /// [`PixelError::MalformedPixels`] for a picture of another size.
    pub fn add(&mut self, picture: Picture) -> Result<(), PixelError> {
        let (width, height) = self.size;
        if picture.short_size()? != self.size {
            return Err(PixelError::malformed("the frames are not of one size"));
        }
        let mut frame = match picture.channels {
            1 => gif::Frame { width, height, buffer: Cow::Owned(picture.pixels), ..gif::Frame::default() },
            _ => gif::Frame::from_rgb_speed(width, height, &picture.pixels, PALETTE_SPEED),
        };
        frame.delay = self.delay;
        self.encoder.write_frame(&frame).map_err(failed)
    }

    /// The file.
    ///
    /// # Errors
    ///
    /// [`PixelError::CodecFailed`] where the encoder fails.
    pub fn finish(self) -> Result<Vec<u8>, PixelError> {
        self.encoder.into_inner().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(columns: u32, pixels: &[u8]) -> Picture {
        Picture { columns, rows: pixels.len() as u32 / columns, channels: 1, pixels: pixels.to_vec() }
    }

    /// Read back by the crate's own decoder: shades as they were, in their order, each for 40 ms.
    #[test]
    fn a_gif_holds_every_shade_of_every_frame() {
        let shades: Vec<u8> = (0..=255).collect();
        let backwards: Vec<u8> = (0..=255).rev().collect();
        let mut animation = Animation::begin(&grey(16, &shades), 40).unwrap();
        for frame in [&shades, &backwards] {
            animation.add(grey(16, frame)).unwrap();
        }
        assert!(animation.add(grey(8, &shades)).is_err(), "another size");
        let file = animation.finish().unwrap();
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut decoder = options.read_info(file.as_slice()).unwrap();
        for expected in [&shades, &backwards] {
            let frame = decoder.read_next_frame().unwrap().unwrap();
            let reds: Vec<u8> = frame.buffer.chunks_exact(4).map(|pixel| pixel[0]).collect();
            assert_eq!((&reds, frame.delay), (expected, 4));
        }
        assert!(decoder.read_next_frame().unwrap().is_none());
    }

    /// The quantization of quality 100 divides by 1: a ramp comes back within 2 levels.
    #[test]
    fn a_fine_jpeg_comes_back_nearly_as_it_was() {
        let ramp: Vec<u8> = (0..64 * 48).map(|at| (at % 64 * 4) as u8).collect();
        let file = grey(64, &ramp).encode(RenderFormat::Jpeg { quality: 100 }).unwrap();
        let back = image::load_from_memory(&file).unwrap().to_luma8().into_raw();
        let worst = ramp.iter().zip(&back).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(worst <= Some(2), "{worst:?}");
    }
}
