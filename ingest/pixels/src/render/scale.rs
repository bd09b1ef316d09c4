//! A part of a picture, in fewer pixels.

use super::{Picture, Region};
use crate::PixelError;

impl Picture {
    /// The pixels of `region` that the picture has.
    ///
    /// # Errors
    ///
    /// [`PixelError::MalformedPixels`] where it has none of them.
    pub(super) fn cut(self, region: &Region) -> Result<Self, PixelError> {
        let (left, top) = (region.left.min(self.columns), region.top.min(self.rows));
        let columns = region.columns.min(self.columns - left);
        let rows = region.rows.min(self.rows - top);
        if columns == 0 || rows == 0 {
            return Err(PixelError::malformed("the region lies outside the frame"));
        }
        let channels = usize::from(self.channels);
        let (width, line) = (columns as usize * channels, self.columns as usize * channels);
        let mut pixels = Vec::with_capacity(width * rows as usize);
        for row in 0..rows {
            let row = if region.is_upside_down { rows - 1 - row } else { row };
            let from = (top + row) as usize * line + left as usize * channels;
            let part = &self.pixels[from..from + width];
            if region.is_mirrored {
                part.rchunks_exact(channels).for_each(|pixel| pixels.extend_from_slice(pixel));
            } else {
                pixels.extend_from_slice(part);
            }
        }
        Ok(Self { columns, rows, pixels, ..self })
    }

    /// The picture in at most `columns` and `rows`, its aspect kept: each new pixel is the mean of what it covers.
    pub(super) fn shrunk_into(self, columns: u32, rows: u32) -> Self {
        if columns >= self.columns && rows >= self.rows {
            return self;
        }
        let shrink =
            (f64::from(self.columns) / f64::from(columns)).max(f64::from(self.rows) / f64::from(rows));
        let edge = |edge: u32| ((f64::from(edge) / shrink).round() as u32).max(1);
        let (columns, rows) = (edge(self.columns), edge(self.rows));
        let channels = usize::from(self.channels);
        let across = Covered::of(self.columns, columns);
        let down = Covered::of(self.rows, rows);
        let (line, width) = (self.columns as usize * channels, columns as usize * channels);
        let mut pixels = Vec::with_capacity(width * rows as usize);
        let mut sums = vec![0_u32; line];
        for covered in &down {
            // down first: whole lines are added at a time
            sums.fill(0);
            for (row, weight) in covered.pixels() {
                let above = &self.pixels[row * line..(row + 1) * line];
                sums.iter_mut().zip(above).for_each(|(sum, value)| *sum += weight * u32::from(*value));
            }
            for covered in &across {
                for channel in 0..channels {
                    let sum: u64 = covered
                        .pixels()
                        .map(|(column, weight)| {
                            u64::from(sums[column * channels + channel]) * u64::from(weight)
                        })
                        .sum();
                    pixels.push(((sum + HALF) >> (2 * WEIGHT_BITS)) as u8);
                }
            }
        }
        Self { columns, rows, pixels, ..self }
    }
}

/// Weights of the pixels that one covers add up to `1 << WEIGHT_BITS`.
const WEIGHT_BITS: u32 = 12;
const HALF: u64 = 1 << (2 * WEIGHT_BITS - 1);

/// The pixels of an edge that one pixel of a shorter edge covers.
struct Covered {
    first: usize,
    /// Of the first, of those between, of the last.
    weights: Vec<u32>,
}

impl Covered {
    /// For each pixel of the shorter edge.
    fn of(long: u32, short: u32) -> Vec<Self> {
        let step = f64::from(long) / f64::from(short);
        (0..short)
            .map(|index| {
                let (start, end) = (f64::from(index) * step, (f64::from(index) + 1.0) * step);
                let first = (start.floor() as u32).min(long - 1);
                let last = ((end.ceil() as u32).saturating_sub(1)).clamp(first, long - 1);
                let part = |pixel: u32| end.min(f64::from(pixel) + 1.0) - start.max(f64::from(pixel));
                let mut left = 1_u32 << WEIGHT_BITS;
                let mut weights = Vec::with_capacity((last - first + 1) as usize);
                for pixel in first..=last {
                    let weight =
                        (part(pixel).max(0.0) / step * f64::from(1_u32 << WEIGHT_BITS)).round() as u32;
                    // the last one takes what rounding has left, so that white stays white
                    let weight = if pixel == last { left } else { weight.min(left) };
                    left -= weight;
                    weights.push(weight);
                }
                Self { first: first as usize, weights }
            })
            .collect()
    }

    fn pixels(&self) -> impl Iterator<Item = (usize, u32)> {
        self.weights.iter().enumerate().map(|(index, weight)| (self.first + index, *weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(columns: u32, pixels: &[u8]) -> Picture {
        Picture { columns, rows: pixels.len() as u32 / columns, channels: 1, pixels: pixels.to_vec() }
    }

    #[test]
    fn a_region_is_cut_out_and_turned_as_asked() {
        let picture = grey(3, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let region = Region { left: 1, top: 1, columns: 9, rows: 2, is_mirrored: true, is_upside_down: true };
        assert_eq!(picture.clone().cut(&region).unwrap(), grey(2, &[9, 8, 6, 5]));
        assert!(picture.cut(&Region { left: 3, ..region }).is_err());
        let colours = Picture { columns: 2, rows: 1, channels: 3, pixels: vec![1, 2, 3, 4, 5, 6] };
        let turned =
            Region { left: 0, top: 0, columns: 2, rows: 1, is_mirrored: true, is_upside_down: false };
        assert_eq!(colours.cut(&turned).unwrap().pixels, [4, 5, 6, 1, 2, 3]);
    }

    #[test]
    fn a_pixel_is_the_mean_of_what_it_covers() {
        let picture = grey(4, &[0, 10, 100, 100, 20, 30, 100, 101, 1, 1, 2, 2, 1, 1, 2, 2]);
        assert_eq!(picture.shrunk_into(2, 9), grey(2, &[15, 100, 1, 2]));
        // each of two covers one and a half of three
        assert_eq!(grey(3, &[0, 90, 255]).shrunk_into(2, 1), grey(2, &[30, 200]));
        let colours = Picture { columns: 2, rows: 1, channels: 3, pixels: vec![1, 2, 3, 5, 6, 7] };
        assert_eq!(colours.shrunk_into(1, 1).pixels, [3, 4, 5]);
    }

    #[test]
    fn white_stays_white_at_every_size() {
        for edge in 1..100 {
            let shrunk = grey(100, &[255; 100 * 7]).shrunk_into(edge, 7);
            assert!(shrunk.pixels.iter().all(|shade| *shade == 255), "{edge}");
        }
    }

    #[test]
    fn a_long_picture_keeps_at_least_one_pixel_of_its_short_edge() {
        assert_eq!(grey(1, &[7; 900]).shrunk_into(10, 10).size(), (1, 10));
    }
}
