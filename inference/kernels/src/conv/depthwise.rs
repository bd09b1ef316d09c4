//! Depthwise convolution: each channel has a window of its own.
//!
//! A band of rows is brought into the nearest caches with its padding, so that every row is one run without borders;
//! where there is no padding, the kernels read the input where it lies.

use super::panels::piece;
use super::run::Io;
use super::spec::{Geometry, Input};
use crate::error::{KernelError, product};
use crate::isa::lanes::LANES;
use crate::primitive::curve::Curve;
use crate::primitive::map::Pairing;
use crate::primitive::window::{Tap, Window, Windowed};
use crate::tensor::Extent;

/// Bytes of a band.
const CACHE: usize = 128 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Depthwise {
    input: Extent,
    out: Extent,
    stride: Extent,
    pad: [isize; 3],
    /// Planes of the window and steps between them.
    planes: usize,
    plane_step: usize,
    /// Rows that one row of output reads.
    window: usize,
    bands: usize,
    /// Pixels of a row, and floats of a row and of a plane, in what the kernels read.
    columns: usize,
    row_len: usize,
    plane_len: usize,
    is_packed: bool,
    taps: Vec<Tap>,
    blocks: usize,
    /// Floats before the first block's weights.
    before: usize,
    pub len: usize,
}

impl Depthwise {
    pub(super) fn new(geometry: &Geometry, before: usize) -> Result<Self, KernelError> {
        let (spec, out) = (&geometry.spec, geometry.out);
        let blocks = geometry.in_blocks();
        let is_packed = spec.pad_before != [0; 3] || spec.pad_after != [0; 3];
        let window = (spec.kernel[1] - 1) * spec.dilation[1] + 1;
        let columns = (out[2] - 1) * spec.stride[2] + (spec.kernel[2] - 1) * spec.dilation[2] + 1;
        let planes = spec.kernel[0];
        let row_bytes = product(&[planes, columns, LANES, 4])?;
        let band = ((CACHE / row_bytes).saturating_sub(window) / spec.stride[1] + 1).clamp(1, out[1]);
        let bands = out[1].div_ceil(band);
        let rows = (out[1].div_ceil(bands) - 1) * spec.stride[1] + window;
        let (row_len, plane_len, plane_step) = if is_packed {
            (columns * LANES, product(&[rows, columns, LANES])?, 1)
        } else {
            (spec.extent[2] * LANES, spec.extent[1] * spec.extent[2] * LANES, spec.dilation[0])
        };
        product(&[planes, plane_len])?;
        let mut taps = Vec::with_capacity(geometry.taps);
        for z in 0..spec.kernel[0] {
            for y in 0..spec.kernel[1] {
                for x in 0..spec.kernel[2] {
                    let offset = z * plane_step * plane_len
                        + y * spec.dilation[1] * row_len
                        + x * spec.dilation[2] * LANES;
                    taps.push(Tap { offset: offset as isize, weight: taps.len() * LANES });
                }
            }
        }
        Ok(Depthwise {
            input: spec.extent,
            out,
            stride: spec.stride,
            pad: std::array::from_fn(|axis| spec.pad_before[axis] as isize),
            planes,
            plane_step: spec.dilation[0],
            window,
            bands,
            columns,
            row_len,
            plane_len,
            is_packed,
            taps,
            blocks,
            before,
            len: blocks * geometry.taps * LANES,
        })
    }

    pub(super) fn room(&self) -> usize {
        if self.is_packed { self.planes * self.plane_len } else { 0 }
    }

    pub(super) fn chunks(&self) -> usize {
        self.blocks
    }

    pub(super) fn pack(&self, geometry: &Geometry, weights: &[f32], to: &mut [f32]) {
        let Input::Blocked(channels) = &geometry.spec.input else { return };
        let blocks = to[self.before..].chunks_exact_mut(geometry.taps * LANES);
        for (block, to) in blocks.take(self.blocks).enumerate() {
            for (lane, channel) in channels.block(block).enumerate() {
                let Some(channel) = channel else { continue };
                for tap in 0..geometry.taps {
                    to[tap * LANES + lane] = weights[channel * geometry.taps + tap];
                }
            }
        }
    }

    /// One block of channels.
    ///
    /// # Safety
    ///
    /// `io` belongs to this convolution; `room` is as long as [`Depthwise::room`] says.
    pub(super) unsafe fn run(&self, block: usize, io: &Io<'_>, room: &mut [f32]) {
        let [depth, height, width] = self.out;
        let (in_len, out_len) =
            (self.input.iter().product::<usize>() * LANES, depth * height * width * LANES);
        // SAFETY: the block lies within what `io` was checked for; a band and its rows lie within the room, or, where
        // nothing is padded, every tap within the input.
        unsafe {
            let from = io.read.add(block * in_len);
            let is_silu = io.residual.is_null() && io.finish.curve == Some(Curve::Silu);
            let window = Window {
                taps: &self.taps,
                step: self.stride[2] * LANES,
                weights: io.weights.add(self.before + block * self.taps.len() * LANES),
                bias: io.bias.add(block * LANES),
                bounds: if io.residual.is_null() { io.finish.bounds } else { None },
                is_silu,
            };
            for chunk in 0..depth * self.bands {
                let (plane, band) = (chunk / self.bands, chunk % self.bands);
                let (first, count) = piece(height, self.bands, band);
                let (read, rows_before) = if self.is_packed {
                    self.bring_in(from, plane, (first, count), room);
                    (room.as_ptr(), 0)
                } else {
                    (from.add(plane * self.stride[0] * self.plane_len), first)
                };
                let place = block * out_len + (plane * height + first) * width * LANES;
                let at = io.out.add(place);
                for row in 0..count {
                    let read = read.add((rows_before + row) * self.stride[1] * self.row_len);
                    (io.table.slide)(Windowed::Weighed, read, at.add(row * width * LANES), width, &window);
                }
                if !io.residual.is_null() {
                    let pair = (at.cast_const(), io.residual.add(place), LANES);
                    (io.table.combine)(Pairing::Add, pair, at, count * width, io.finish.bounds);
                }
                if !is_silu {
                    io.bend(place, (count * width, LANES), (block, 1), 0);
                }
            }
        }
    }

    /// Brings the rows that a band needs into the room; what lies outside is zero.
    ///
    /// # Safety
    ///
    /// The block's input lies at `from`.
    unsafe fn bring_in(
        &self,
        from: *const f32,
        plane: usize,
        (first, count): (usize, usize),
        room: &mut [f32],
    ) {
        let [depth, height, width] = self.input;
        let rows = (count - 1) * self.stride[1] + self.window;
        let top = (first * self.stride[1]) as isize - self.pad[1];
        let left = (self.pad[2] as usize).min(self.columns);
        let right = (width + self.pad[2] as usize).clamp(left, self.columns);
        for (index, packed) in room.chunks_exact_mut(self.plane_len).take(self.planes).enumerate() {
            let z = (plane * self.stride[0] + index * self.plane_step) as isize - self.pad[0];
            for (row, to) in packed.chunks_exact_mut(self.row_len).take(rows).enumerate() {
                let y = top + row as isize;
                if z < 0 || z >= depth as isize || y < 0 || y >= height as isize || left >= right {
                    to.fill(0.0);
                    continue;
                }
                to[..left * LANES].fill(0.0);
                to[right * LANES..].fill(0.0);
                let inside = &mut to[left * LANES..right * LANES];
                let from_row = (z as usize * height + y as usize) * width * LANES;
                // SAFETY: the row lies within the block, and its first `right - left` pixels too.
                unsafe {
                    std::ptr::copy_nonoverlapping(from.add(from_row), inside.as_mut_ptr(), inside.len())
                };
            }
        }
    }
}
