//! A window swept over one block of channels, for pooling: places outside of the input do not count.

use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::primitive::window::{Tap, Window, Windowed};
use crate::tensor::Extent;

/// A window swept over one block. Places outside of the input do not count: pixels at the borders get fewer taps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweep {
    pub input: Extent,
    pub out: Extent,
    pub kernel: Extent,
    pub stride: Extent,
    pub dilation: Extent,
    pub pad: Extent,
}

impl Sweep {
    /// Where an output reads along an axis: the input index of each place of the window that lies inside.
    fn inside(&self, axis: usize, output: usize) -> impl Iterator<Item = usize> + use<'_> {
        let first = output * self.stride[axis];
        (0..self.kernel[axis]).filter_map(move |place| {
            let index = (first + place * self.dilation[axis]).checked_sub(self.pad[axis])?;
            (index < self.input[axis]).then_some(index)
        })
    }

    /// The columns of output whose windows lie inside from side to side.
    fn interior(&self) -> std::ops::Range<usize> {
        let (stride, pad) = (self.stride[2], self.pad[2]);
        let window = (self.kernel[2] - 1) * self.dilation[2];
        let first = pad.div_ceil(stride).min(self.out[2]);
        let last = (self.input[2] + pad).checked_sub(window + 1).map_or(0, |room| room / stride + 1);
        first..last.clamp(first, self.out[2])
    }

    /// How many places of an output's window lie inside of the input with its padding.
    fn padded(&self, axis: usize, output: usize, pad_after: usize) -> usize {
        let room = (self.pad[axis] + self.input[axis] + pad_after).saturating_sub(output * self.stride[axis]);
        room.div_ceil(self.dilation[axis]).min(self.kernel[axis])
    }

    /// Sweeps over one block. `of` tells what a window makes of its places, by how many of them lie inside of the input
    /// and how many inside of the input with its padding.
    ///
    /// # Safety
    ///
    /// The whole input lies at `read`, the output at `out`; `of` never weighs.
    pub(crate) unsafe fn run(
        &self,
        table: &Table,
        pad_after: Extent,
        of: impl Fn(usize, usize) -> Windowed,
        read: *const f32,
        out: *mut f32,
    ) {
        let [_, height, width] = self.input;
        let interior = self.interior();
        let step = self.stride[2] * LANES;
        let mut taps = Vec::new();
        for row in 0..self.out[0] * self.out[1] {
            let (z, y) = (row / self.out[1], row % self.out[1]);
            let row_place = row * self.out[2];
            let mut slide = |columns: std::ops::Range<usize>| {
                if columns.is_empty() {
                    return;
                }
                taps.clear();
                for z in self.inside(0, z) {
                    for y in self.inside(1, y) {
                        for x in self.inside(2, columns.start) {
                            let offset = ((z * height + y) * width + x) as isize;
                            taps.push(Tap { offset: offset * LANES as isize, weight: 0 });
                        }
                    }
                }
                let (weights, bias) = (std::ptr::null(), std::ptr::null());
                let window = Window { taps: &taps, step, weights, bias, bounds: None, is_silu: false };
                let padded = [(0, z), (1, y), (2, columns.start)]
                    .map(|(axis, at)| self.padded(axis, at, pad_after[axis]));
                let windowed = of(taps.len(), padded.into_iter().product());
                // SAFETY: every tap of every column lies inside of the input, every column inside of the output.
                unsafe {
                    let to = out.add((row_place + columns.start) * LANES);
                    (table.slide)(windowed, read, to, columns.len(), &window);
                }
            };
            for column in 0..interior.start {
                slide(column..column + 1);
            }
            slide(interior.clone());
            for column in interior.end..self.out[2] {
                slide(column..column + 1);
            }
        }
    }
}
