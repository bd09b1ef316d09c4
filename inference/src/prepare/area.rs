//! Averaging an image down: each new pixel is the mean over the area that it covers.
//!
//! Pixels that are covered in part count in part. Every pixel is read once, in
//! the order in which it lies in memory.

use ndarray::Array2;

/// The square in the middle of an image, as large as its shorter side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Square {
    top: usize,
    left: usize,
    side: usize,
    /// Pixels from one row of the image to the next.
    stride: usize,
}

impl Square {
    /// The square of an image with so many rows and columns; an odd margin is smaller above and to the left.
    pub(super) fn centred(rows: usize, columns: usize) -> Self {
        let side = rows.min(columns);
        Self { top: (rows - side) / 2, left: (columns - side) / 2, side, stride: columns }
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

/// The square, averaged to `rows` and `columns`; `grey` gives each pixel's shade.
///
/// `pixels` holds the whole image; the square lies within it.
pub(super) fn area_mean<P: Copy>(
    pixels: &[P],
    square: &Square,
    (rows, columns): (usize, usize),
    grey: impl Fn(P) -> u8,
) -> Array2<f32> {
    let Square { top, left, side, stride } = *square;
    let covers = covers(side, columns);
    let mut sums = Array2::<f32>::zeros((rows, columns));
    let mut row_sums = vec![0.0_f32; columns];
    for (y, row) in pixels.chunks_exact(stride).skip(top).take(side).enumerate() {
        sum_row(&row[left..left + side], &covers, &grey, &mut row_sums);
        let (start, end) = (y * rows, (y + 1) * rows);
        for target in start / side..=(end - 1) / side {
            let covered = end.min((target + 1) * side) - start.max(target * side);
            let weight = covered as f32 / rows as f32;
            for (sum, part) in sums.row_mut(target).iter_mut().zip(&row_sums) {
                *sum += weight * part;
            }
        }
    }
    let area = (side as f32 / rows as f32) * (side as f32 / columns as f32);
    sums.mapv_into(|sum| sum / area)
}

/// Sums one row of old pixels into the new ones.
fn sum_row<P: Copy>(row: &[P], covers: &[Cover], grey: &impl Fn(P) -> u8, sums: &mut [f32]) {
    for (sum, cover) in sums.iter_mut().zip(covers) {
        let pixels = &row[cover.first..=cover.last];
        let head = cover.head * f32::from(grey(pixels[0]));
        *sum = match pixels {
            [_, whole @ .., last] => {
                let inner: u32 = whole.iter().map(|pixel| u32::from(grey(*pixel))).sum();
                head + inner as f32 + cover.tail * f32::from(grey(*last))
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
        let mean = area_mean(&pixels, &Square::centred(3, 3), (2, 2), |value| value);
        let first = (0.0 + 0.5 * 10.0 + 0.5 * 30.0 + 0.25 * 40.0) / 2.25;
        assert!((mean[[0, 0]] - first).abs() < 1e-5, "{mean}");
    }

    #[test]
    fn the_square_stands_in_the_middle() {
        assert_eq!(Square::centred(10, 5), Square { top: 2, left: 0, side: 5, stride: 5 });
        assert_eq!(Square::centred(4, 9), Square { top: 0, left: 2, side: 4, stride: 9 });
    }
}
