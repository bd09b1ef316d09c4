//! The way back: from a network's input to the frame that it was made of.

use clinical::imaging::Region as FrameRegion;
use models::Input;
use ndarray::{Array2, ArrayView2};

use super::place::Place;

/// Between which two of a grid's lines a line of the frame lies, and how far it is on the way to the second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Between {
    first: usize,
    second: usize,
    part: f32,
}

/// How each pixel over a frame is found in a grid over the network's input.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WayBack {
    /// `None` for rows that the network did not see.
    rows: Vec<Option<Between>>,
    columns: Vec<Option<Between>>,
}

impl WayBack {
    /// From a grid of `grid` rows and columns over the whole input to `size` rows and columns over the whole of a
    /// frame that has `frame` rows and columns, none of them 0.
    pub(crate) fn of(
        input: &Input,
        frame: (usize, usize),
        grid: (usize, usize),
        size: (usize, usize),
    ) -> Self {
        let place = Place::of(frame.0, frame.1, input);
        let (rows, columns) = place.within();
        let down = Axis {
            seen: place.region.top,
            length: place.region.rows,
            within: rows.start,
            size: place.size.0,
        };
        let across = Axis {
            seen: place.region.left,
            length: place.region.columns,
            within: columns.start,
            size: place.size.1,
        };
        Self {
            rows: down.betweens(frame.0, size.0, grid.0, input.rows()),
            columns: across.betweens(frame.1, size.1, grid.1, input.columns()),
        }
    }

    /// The pixels in rows, one after the other: where each lies in the grid; `None` outside of what the network saw.
    pub(crate) fn pixels(&self) -> impl Iterator<Item = Option<(Between, Between)>> + '_ {
        self.rows.iter().flat_map(|row| self.columns.iter().map(move |column| row.zip(*column)))
    }

    /// The grid over the frame, between its four nearest values; 0 outside of what the network saw.
    pub(crate) fn bring(&self, grid: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut over = Array2::zeros((self.rows.len(), self.columns.len()));
        for (target, place) in over.iter_mut().zip(self.pixels()) {
            *target = place.map_or(0.0, |place| between(&grid, place));
        }
        over
    }
}

/// The value between four of a grid.
pub(crate) fn between(grid: &ArrayView2<'_, f32>, (row, column): (Between, Between)) -> f32 {
    let along = |row: usize| {
        grid[[row, column.first]] * (1.0 - column.part) + grid[[row, column.second]] * column.part
    };
    along(row.first) * (1.0 - row.part) + along(row.second) * row.part
}

/// One direction of a place.
struct Axis {
    /// Where what is seen begins in the frame.
    seen: usize,
    length: usize,
    /// Where it begins in the input.
    within: usize,
    size: usize,
}

impl Axis {
    fn betweens(&self, frame: usize, count: usize, grid: usize, input: usize) -> Vec<Option<Between>> {
        let scale = frame as f64 / count as f64;
        let line = |index: usize| {
            let seen = ((index as f64 + 0.5) * scale - self.seen as f64) / self.length as f64;
            if !(0.0..=1.0).contains(&seen) || grid == 0 {
                return None;
            }
            let in_input = self.within as f64 + seen * self.size as f64;
            let centre = (in_input * grid as f64 / input as f64 - 0.5).clamp(0.0, (grid - 1) as f64);
            let first = centre.floor() as usize;
            Some(Between { first, second: (first + 1).min(grid - 1), part: (centre - centre.floor()) as f32 })
        };
        (0..count).map(line).collect()
    }

    /// Where a line of the input lies in the frame, as a part of its length; held to what is seen.
    fn part(&self, line: f32, frame: usize) -> f32 {
        let seen = ((line - self.within as f32) / self.size as f32).clamp(0.0, 1.0);
        (self.seen as f32 + seen * self.length as f32) / frame as f32
    }
}

/// A box over the input, in its pixels, over the frame; `None` where nothing of it lies over the image.
pub(crate) fn region_on_frame(
    input: &Input,
    (index, rows, columns): (u32, usize, usize),
    [left, top, right, bottom]: [f32; 4],
) -> Option<FrameRegion> {
    let place = Place::of(rows, columns, input);
    let (down, across) = place.within();
    let down =
        Axis { seen: place.region.top, length: place.region.rows, within: down.start, size: place.size.0 };
    let across = Axis {
        seen: place.region.left,
        length: place.region.columns,
        within: across.start,
        size: place.size.1,
    };
    let (left, right) = (across.part(left, columns), across.part(right, columns));
    let (top, bottom) = (down.part(top, rows), down.part(bottom, rows));
    let is_there = left < right && top < bottom;
    is_there.then_some(FrameRegion { frame: index, left, top, width: right - left, height: bottom - top })
}

#[cfg(test)]
mod tests {
    use models::{Crop, Registry};
    use ndarray::array;

    use super::*;

    fn input(rows: usize, columns: usize, crop: Crop, pad: bool) -> Input {
        let mut input = Registry::built_in().get("pneumonia28").unwrap().input.clone();
        input.shape = vec![1, 1, rows, columns];
        Input { crop, pad, ..input }
    }

    /// By hand: of four pixels over two, the centres are at -0.25, 0.25, 0.75 and 1.25, the outer ones held to the edge.
    #[test]
    fn a_coarse_grid_lies_evenly_over_the_frame() {
        let way = WayBack::of(&input(28, 28, Crop::None, false), (56, 56), (1, 2), (1, 4));
        assert_eq!(way.bring(array![[0.0, 1.0]].view()), array![[0.0, 0.25, 0.75, 1.0]]);
    }

    /// By hand: of 2 rows and 4 columns the square of columns 1 and 2 is seen, and nothing of 0 and 3.
    #[test]
    fn what_was_cut_away_stays_empty() {
        let way = WayBack::of(&input(2, 2, Crop::CentreSquare, false), (2, 4), (2, 2), (2, 4));
        let over = way.bring(array![[1.0, 2.0], [3.0, 4.0]].view());
        assert_eq!(over, array![[0.0, 1.0, 2.0, 0.0], [0.0, 3.0, 4.0, 0.0]]);
    }

    /// By hand: 4 rows and 2 columns in a square of 4 stand in columns 1 and 2 of it.
    #[test]
    fn what_was_filled_up_is_left_out() {
        let way = WayBack::of(&input(4, 4, Crop::None, true), (4, 2), (4, 4), (4, 2));
        let grid = Array2::from_shape_fn((4, 4), |(row, column)| (10 * row + column) as f32);
        assert_eq!(way.bring(grid.view()), array![[1.0, 2.0], [11.0, 12.0], [21.0, 22.0], [31.0, 32.0]]);
    }

    /// By hand: 100 rows and 50 columns become 28 by 14, from column 7 on.
    #[test]
    fn a_box_finds_its_place_in_the_frame() {
        let input = input(28, 28, Crop::None, true);
        let region = region_on_frame(&input, (3, 100, 50), [7.0, 0.0, 14.0, 7.0]).unwrap();
        let expected = FrameRegion { frame: 3, left: 0.0, top: 0.0, width: 0.5, height: 0.25 };
        assert_eq!(region, expected);
        assert_eq!(
            region_on_frame(&input, (0, 100, 50), [0.0, 0.0, 7.0, 9.0]),
            None,
            "over the filling alone"
        );
        assert_eq!(region_on_frame(&input, (0, 100, 50), [9.0, 3.0, 8.0, 9.0]), None, "turned over");
    }
}
