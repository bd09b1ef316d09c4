//! Averaging an image down: each new pixel is the mean over the area that it covers.
//!
//! Pixels that are covered in part count in part. Every pixel is read once, in
//! the order in which it lies in memory.

use ndarray::Array2;

use super::place::Region;

/// What a pixel is worth: one of 256 shades, whose sums are whole numbers, or any number.
pub(super) trait Tone: Copy + Default + Into<f32> {
    /// The sum of some.
    fn total(tones: impl Iterator<Item = Self>) -> f32;
}

impl Tone for u8 {
    fn total(tones: impl Iterator<Item = Self>) -> f32 {
        tones.map(u32::from).sum::<u32>() as f32
    }
}

impl Tone for f32 {
    fn total(tones: impl Iterator<Item = Self>) -> f32 {
        tones.sum()
    }
}

/// The old pixels of one row that a new pixel covers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cover {
    first: usize,
    last: usize,
    /// How much of the first is covered, up to 1.
    head: f32,
    /// How much of the last is covered, 0 where it is the first.
    tail: f32,
}

/// What each of `new` pixels covers of `old` ones.
///
/// Lengths are counted in parts of `1 / new` of an old pixel, so that they are whole numbers.
fn covers(old: usize, new: usize) -> Vec<Cover> {
    (0..new)
        .map(|index| {
            let (start, end) = (index * old, (index + 1) * old);
            let (first, last) = (start / new, (end - 1) / new);
            let head = end.min((first + 1) * new) - start;
            let tail = if last > first { end - last * new } else { 0 };
            Cover { first, last, head: head as f32 / new as f32, tail: tail as f32 / new as f32 }
        })
        .collect()
}

/// The region, averaged to `rows` and `columns`; `tone` gives what each pixel is worth.
///
/// `pixels` holds the whole image; the region lies within it.
pub(super) fn area_mean<P: Copy, T: Tone>(
    pixels: &[P],
    region: &Region,
    (rows, columns): (usize, usize),
    tone: impl Fn(P) -> T,
) -> Array2<f32> {
    let Region { top, left, rows: high, columns: wide, stride } = *region;
    let covers = covers(wide, columns);
    let mut sums = Array2::<f32>::zeros((rows, columns));
    let mut row_sums = vec![0.0_f32; columns];
    for (y, row) in pixels.chunks_exact(stride).skip(top).take(high).enumerate() {
        sum_row(&row[left..left + wide], &covers, &tone, &mut row_sums);
        let (start, end) = (y * rows, (y + 1) * rows);
        for target in start / high..=(end - 1) / high {
            let covered = end.min((target + 1) * high) - start.max(target * high);
            let weight = covered as f32 / rows as f32;
            for (sum, part) in sums.row_mut(target).iter_mut().zip(&row_sums) {
                *sum += weight * part;
            }
        }
    }
    let area = (high as f32 / rows as f32) * (wide as f32 / columns as f32);
    sums.mapv_into(|sum| sum / area)
}

/// Sums one row of old pixels into the new ones.
fn sum_row<P: Copy, T: Tone>(row: &[P], covers: &[Cover], tone: &impl Fn(P) -> T, sums: &mut [f32]) {
    for (sum, cover) in sums.iter_mut().zip(covers) {
        let pixels = &row[cover.first..=cover.last];
        let head = cover.head * tone(pixels[0]).into();
        *sum = match pixels {
            [_, whole @ .., last] => {
                head + T::total(whole.iter().map(|pixel| tone(*pixel))) + cover.tail * tone(*last).into()
            }
            _ => head,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: three pixels to two cover one and a half each.
    #[test]
    fn a_pixel_covered_in_part_counts_in_part() {
        let whole = |first, last, head, tail| Cover { first, last, head, tail };
        assert_eq!(covers(3, 2), [whole(0, 1, 1.0, 0.5), whole(1, 2, 0.5, 1.0)]);
        assert_eq!(covers(2, 4).iter().map(|cover| cover.first).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert_eq!(covers(2, 2), [whole(0, 0, 1.0, 0.0), whole(1, 1, 1.0, 0.0)]);
    }

    /// By hand: (1 + 0.5 * 4 + …) over an area of 1.5 * 1.5.
    #[test]
    fn three_rows_become_two() {
        let pixels: Vec<u8> = (0..9).map(|value| value * 10).collect();
        let mean = area_mean(&pixels, &Region::centred(3, 3), (2, 2), |value| value);
        let first = (0.0 + 0.5 * 10.0 + 0.5 * 30.0 + 0.25 * 40.0) / 2.25;
        assert!((mean[[0, 0]] - first).abs() < 1e-5, "{mean}");
    }

    /// By hand: the left half of a picture of two rows and four columns, each row to its own mean.
    #[test]
    fn a_region_that_is_no_square_is_averaged_too() {
        let pixels: Vec<u8> = vec![1, 3, 9, 9, 5, 7, 9, 9];
        let region = Region { top: 0, left: 0, rows: 2, columns: 2, stride: 4 };
        assert_eq!(area_mean(&pixels, &region, (2, 1), |value| value).as_slice().unwrap(), [2.0, 6.0]);
        let fine = area_mean(&pixels, &region, (1, 2), |value| f32::from(value) / 2.0);
        assert_eq!(fine.as_slice().unwrap(), [1.5, 2.5]);
    }
}
