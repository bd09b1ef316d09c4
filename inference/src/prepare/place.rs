//! Which part of an image a network sees, and where in its input that lies.

use std::ops::Range;

use models::{Crop, Input};

/// A part of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Pixels from one row of the image to the next.
    pub(super) stride: usize,
}

impl Region {
    /// All of an image.
    pub(super) fn whole(rows: usize, columns: usize) -> Self {
        Self { top: 0, left: 0, rows, columns, stride: columns }
    }

    /// The square of an image with so many rows and columns; an odd margin is smaller above and to the left.
    pub(super) fn centred(rows: usize, columns: usize) -> Self {
        let side = rows.min(columns);
        Self {
            top: (rows - side) / 2,
            left: (columns - side) / 2,
            rows: side,
            columns: side,
            stride: columns,
        }
    }
}

/// What is seen of an image, how large it becomes, and where it then lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// What is seen.
    pub(super) region: Region,
    /// Rows and columns that it becomes.
    pub(super) size: (usize, usize),
    top: usize,
    left: usize,
}

impl Place {
    /// The place that the card gives an image with so many rows and columns, none of them 0.
    pub(super) fn of(rows: usize, columns: usize, input: &Input) -> Self {
        let (high, wide) = (input.rows(), input.columns());
        let region = match input.crop {
            Crop::CentreSquare => Region::centred(rows, columns),
            Crop::None => Region::whole(rows, columns),
        };
        if !input.pad {
            return Self { region, size: (high, wide), top: 0, left: 0 };
        }
        let scaled = |length: usize, new: usize, old: usize| {
            let halves = (2 * length as u128 * new as u128 + old as u128) / (2 * old as u128);
            usize::try_from(halves).unwrap_or(usize::MAX).max(1)
        };
        let size = if rows as u128 * wide as u128 >= columns as u128 * high as u128 {
            (high, scaled(columns, high, rows).min(wide))
        } else {
            (scaled(rows, wide, columns).min(high), wide)
        };
        Self { region, size, top: (high - size.0) / 2, left: (wide - size.1) / 2 }
    }

    /// Rows and columns of the input that hold the image.
    pub(super) fn within(&self) -> (Range<usize>, Range<usize>) {
        (self.top..self.top + self.size.0, self.left..self.left + self.size.1)
    }
}

#[cfg(test)]
mod tests {
    use models::Registry;

    use super::*;

    fn input(rows: usize, columns: usize, crop: Crop, pad: bool) -> Input {
        let mut input = Registry::built_in().get("pneumonia28").unwrap().input.clone();
        input.shape = vec![1, 1, rows, columns];
        Input { crop, pad, ..input }
    }

    #[test]
    fn the_square_stands_in_the_middle() {
        let square = |top, left, side, stride| Region { top, left, rows: side, columns: side, stride };
        assert_eq!(Region::centred(10, 5), square(2, 0, 5, 5));
        assert_eq!(Region::centred(4, 9), square(0, 2, 4, 9));
    }

    /// By hand: 100 by 50 into 28 by 28 is 28 by 14, with 7 columns to its left.
    #[test]
    fn a_padded_image_keeps_its_aspect_and_stands_in_the_middle() {
        let place = Place::of(100, 50, &input(28, 28, Crop::None, true));
        assert_eq!((place.size, place.within()), ((28, 14), (0..28, 7..21)));
        let place = Place::of(50, 100, &input(28, 28, Crop::None, true));
        assert_eq!((place.size, place.within()), ((14, 28), (7..21, 0..28)));
        let place = Place::of(100_000, 1, &input(28, 28, Crop::None, true));
        assert_eq!(place.size, (28, 1), "nothing vanishes");
    }

    #[test]
    fn without_crop_and_padding_the_whole_image_is_stretched() {
        let place = Place::of(100, 50, &input(20, 30, Crop::None, false));
        assert_eq!((place.region, place.size), (Region::whole(100, 50), (20, 30)));
    }
}
