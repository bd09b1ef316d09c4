//! A plain picture folded: the four pixels of each square of 2×2 lie side by side, as channels.
//!
//! A window of 7×7 of stride 2 over the picture is one of 4×4 of stride 1 over what is folded, which Winograd's way can compute. Channel
//! `4c + 2y + x` is channel `c` at row `y` and column `x` of a square.

use super::super::panels::Fnv;
use super::super::spec::Geometry;
use crate::isa::lanes::LANES;

#[derive(Debug, Clone, Copy)]
pub(super) struct Fold {
    /// Channels of the picture.
    channels: usize,
    height: usize,
    width: usize,
    /// The window's sides and the zeros before it, down and across.
    window: [usize; 2],
    pad: [usize; 2],
}

impl Fold {
    pub(super) fn new(geometry: &Geometry) -> Fold {
        let spec = &geometry.spec;
        let ([_, height, width], channels) = (spec.extent, spec.in_channels());
        let [window, pad] = [spec.kernel, spec.pad_before].map(|it| [it[1], it[2]]);
        Fold { channels, height, width, window, pad }
    }

    /// Adds to a hash by which halves of a square the window begins.
    pub(super) fn name(&self, hash: &mut Fnv) {
        self.pad.into_iter().for_each(|pad| hash.add(pad % 2));
    }

    /// Channels of what is folded.
    pub(super) fn channels(&self) -> usize {
        4 * self.channels
    }

    pub(super) fn extent(&self) -> [usize; 3] {
        [1, self.height.div_ceil(2), self.width.div_ceil(2)]
    }

    /// Squares before the first one, down and across, that the first output reads.
    pub(super) fn squares_before(&self) -> [isize; 2] {
        self.pad.map(|it| it.div_ceil(2) as isize)
    }

    /// The weight that a folded channel meets at a tap of the window over squares: its channel's and its place in the window, where that
    /// has one there.
    pub(super) fn weight(&self, folded: usize, (y, x): (usize, usize)) -> Option<usize> {
        let place = |axis: usize, tap: usize, half: usize| {
            let before = 2 * self.pad[axis].div_ceil(2) - self.pad[axis];
            (2 * tap + half).checked_sub(before).filter(|it| *it < self.window[axis])
        };
        let (channel, half) = (folded / 4, (folded / 2 % 2, folded % 2));
        let (y, x) = (place(0, y, half.0)?, place(1, x, half.1)?);
        Some((channel * self.window[0] + y) * self.window[1] + x)
    }

    /// Folds some rows of squares of the picture at `from`; what lies beyond its end is zero.
    ///
    /// # Safety
    ///
    /// The whole picture can be read at `from`.
    pub(super) unsafe fn bring_in(&self, from: *const f32, rows: std::ops::Range<usize>, to: &mut [f32]) {
        let [_, _, columns] = self.extent();
        to.fill(0.0);
        for (row, squares) in rows.zip(to.chunks_exact_mut(columns * LANES)) {
            for folded in 0..self.channels() {
                let (y, first) = (2 * row + folded / 2 % 2, folded % 2);
                if y >= self.height {
                    continue;
                }
                // SAFETY: the row lies within the picture.
                let line = unsafe {
                    std::slice::from_raw_parts(
                        from.add((folded / 4 * self.height + y) * self.width),
                        self.width,
                    )
                };
                let places = squares[folded..].iter_mut().step_by(LANES);
                places
                    .zip(line[first.min(self.width)..].iter().step_by(2))
                    .for_each(|(place, pixel)| *place = *pixel);
            }
        }
    }
}
