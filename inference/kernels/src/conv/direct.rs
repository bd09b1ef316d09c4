//! Any window: a band of rows is brought into the cache with its padding, and every output row is a product over it.
//!
//! A transposed convolution is several of these, one for each place of an output between two inputs.

use super::panels::{Lines, Panels, piece, spans};
use super::pointwise::CACHE;
use super::run::Io;
use super::spec::{Direction, Geometry, Input};
use crate::error::{KernelError, product};
use crate::isa::lanes::{LANES, pair};
use crate::isa::table::Table;
use crate::primitive::multiply::Product;
use crate::tensor::Extent;

/// One place of a window: where its weight stands, and how far it reads from the output's base.
type Tap = (usize, [isize; 3]);

/// Which outputs are computed, and from where.
#[derive(Debug, Clone)]
struct Phase {
    taps: Vec<Tap>,
    /// Outputs on each axis.
    count: Extent,
    in_stride: Extent,
    out_stride: Extent,
    out_first: Extent,
}

#[derive(Debug, Clone)]
pub(super) struct Direct {
    phase: Phase,
    input: Extent,
    out: Extent,
    in_blocks: usize,
    /// Floats of a pixel in what the kernels read: 16 or the channels of a plain input; half of them for pairs of bf16.
    pixel: usize,
    /// The channels of a plain input.
    plain: Option<usize>,
    /// Whether bands are copied; else the kernels read the input where it lies.
    is_packed: bool,
    /// The earliest row and column that output 0 reads.
    first: [isize; 2],
    /// The planes that output 0 reads.
    planes: Vec<isize>,
    bands: usize,
    /// Rows of input that one more than `m` rows of output need: `(m - 1) * stride + window`.
    window: usize,
    columns: usize,
    /// Floats of a row and of a plane in what the kernels read.
    row_len: usize,
    plane_len: usize,
    pub panels: Panels,
}

/// The phases of a convolution: one, or where it is transposed one for each combination of remainders.
fn phases(geometry: &Geometry) -> Vec<Phase> {
    let spec = &geometry.spec;
    let places = |of: &dyn Fn([usize; 3]) -> Option<[isize; 3]>| -> Vec<Tap> {
        let [depth, height, width] = spec.kernel;
        let window =
            (0..depth).flat_map(|z| (0..height).flat_map(move |y| (0..width).map(move |x| [z, y, x])));
        window.enumerate().filter_map(|(tap, at)| of(at).map(|offset| (tap, offset))).collect()
    };
    if spec.direction == Direction::Forward {
        let taps = places(&|at| {
            Some(std::array::from_fn(|axis| {
                (at[axis] * spec.dilation[axis]) as isize - spec.pad_before[axis] as isize
            }))
        });
        let (count, in_stride) = (geometry.out, spec.stride);
        return vec![Phase { taps, count, in_stride, out_stride: [1; 3], out_first: [0; 3] }];
    }
    let [depth, height, width] = spec.stride;
    let mut phases = Vec::new();
    for remainder in 0..depth * height * width {
        let first = [remainder / (height * width), remainder / width % height, remainder % width];
        if (0..3).any(|axis| first[axis] >= geometry.out[axis]) {
            continue;
        }
        let count =
            std::array::from_fn(|axis| (geometry.out[axis] - first[axis]).div_ceil(spec.stride[axis]));
        // output o = stride * i + first gets input i + (first + pad - tap * dilation) / stride where that is whole
        let mut taps = places(&|at| {
            let mut offset = [0; 3];
            for axis in 0..3 {
                let stride = spec.stride[axis] as isize;
                let numerator = (first[axis] + spec.pad_before[axis]) as isize
                    - (at[axis] * spec.dilation[axis]) as isize;
                if numerator.rem_euclid(stride) != 0 {
                    return None;
                }
                offset[axis] = numerator.div_euclid(stride);
            }
            Some(offset)
        });
        taps.sort_by_key(|(_, offset)| *offset);
        phases.push(Phase { taps, count, in_stride: [1; 3], out_stride: spec.stride, out_first: first });
    }
    phases
}

impl Direct {
    /// One for each phase; `before` floats lie before the first one's weights.
    pub(super) fn all(
        geometry: &Geometry,
        table: &Table,
        before: usize,
        (has_prologue, is_paired): (bool, bool),
    ) -> Result<Vec<Self>, KernelError> {
        let (mut all, mut before) = (Vec::new(), before);
        for phase in phases(geometry) {
            let direct = Direct::new(geometry, table, phase, before, (has_prologue, is_paired))?;
            before += direct.panels.len;
            all.push(direct);
        }
        Ok(all)
    }

    fn new(
        geometry: &Geometry,
        table: &Table,
        phase: Phase,
        before: usize,
        (has_prologue, is_paired): (bool, bool),
    ) -> Result<Self, KernelError> {
        let input = geometry.spec.extent;
        let (plain, lanes) = match &geometry.spec.input {
            Input::Blocked(_) => (None, LANES),
            Input::Plain(count) => (Some(*count), *count),
        };
        let pixel = if is_paired { lanes.div_ceil(2) } else { lanes };
        let range = |axis: usize| {
            let offsets = phase.taps.iter().map(|(_, offset)| offset[axis]);
            (offsets.clone().min().unwrap_or(0), offsets.max().unwrap_or(0))
        };
        let (rows, columns) = (range(1), range(2));
        let is_inside = (0..3).all(|axis| {
            let (low, high) = range(axis);
            low >= 0
                && ((phase.count[axis] - 1) * phase.in_stride[axis]) as isize + high < input[axis] as isize
        });
        let is_packed = plain.is_some() || is_paired || has_prologue || !is_inside;
        let mut planes: Vec<isize> = phase.taps.iter().map(|(_, offset)| offset[0]).collect();
        planes.sort_unstable();
        planes.dedup();

        let in_blocks = geometry.in_blocks();
        let window = (rows.1 - rows.0 + 1) as usize;
        let packed_columns = (phase.count[2] - 1) * phase.in_stride[2] + (columns.1 - columns.0 + 1) as usize;
        let height = phase.count[1];
        let row_bytes = in_blocks * planes.len().max(1) * packed_columns * pixel * size_of::<f32>();
        let band = ((CACHE / row_bytes).saturating_sub(window) / phase.in_stride[1] + 1).clamp(1, height);
        let bands = height.div_ceil(band);
        let packed_rows = (height.div_ceil(bands) - 1) * phase.in_stride[1] + window;
        let (row_len, plane_len) = if is_packed {
            (packed_columns * pixel, product(&[packed_rows, packed_columns, pixel])?)
        } else {
            (input[2] * LANES, input[1] * input[2] * LANES)
        };
        product(&[in_blocks, planes.len().max(1), plane_len])?;

        let taps: Vec<usize> = phase.taps.iter().map(|(tap, _)| *tap).collect();
        let block_len = geometry.block_len().0;
        let place = |block: usize, position: usize| {
            let [z, y, x] = phase.taps[position].1;
            if !is_packed {
                return block * block_len
                    + z as usize * plane_len
                    + y as usize * row_len
                    + x as usize * pixel;
            }
            let plane = planes.iter().position(|it| *it == z).unwrap_or(0);
            let (y, x) = ((y - rows.0) as usize, (x - columns.0) as usize);
            (block * planes.len() + plane) * plane_len + y * row_len + x * pixel
        };
        let panels = Panels::new(geometry, table, (phase.count[2], before, 1), is_paired, |groups| {
            let wanted = |channel: usize| groups.contains(&(channel / geometry.group_in));
            Lines::new((&geometry.spec.input, is_paired), wanted, &taps, place)
        })?;
        Ok(Direct {
            input,
            out: geometry.out,
            in_blocks,
            pixel,
            plain,
            is_packed,
            first: [rows.0, columns.0],
            planes,
            bands,
            window,
            columns: packed_columns,
            row_len,
            plane_len,
            panels,
            phase,
        })
    }

    pub(super) fn room(&self) -> usize {
        if self.is_packed { self.in_blocks * self.planes.len() * self.plane_len } else { 0 }
    }

    pub(super) fn chunks(&self) -> usize {
        self.phase.count[0] * self.bands
    }

    /// One band of one plane for some of the panels.
    ///
    /// # Safety
    ///
    /// `io` belongs to this convolution; `room` is as long as [`Direct::room`] says.
    pub(super) unsafe fn run(
        &self,
        chunk: usize,
        panels: std::ops::Range<usize>,
        io: &Io<'_>,
        room: &mut [f32],
    ) {
        let (plane, band) = (chunk / self.bands, chunk % self.bands);
        let (first, count) = piece(self.phase.count[1], self.bands, band);
        let [out_depth, out_height, out_width] = self.out;
        let block_stride = out_depth * out_height * out_width * LANES;
        let (step, down) = if self.phase.taps.is_empty() {
            // nothing is read, and no address may leave what it was made from
            (0, 0)
        } else {
            (self.phase.in_stride[2] * self.pixel, self.phase.in_stride[1] * self.row_len)
        };
        let out_step = self.phase.out_stride[2] * LANES;
        let out_plane = plane * self.phase.out_stride[0] + self.phase.out_first[0];
        // SAFETY: bands, planes and panels lie within the tensors that `io` was checked for, and within the room.
        unsafe {
            let read = if self.is_packed {
                self.pack(plane, (first, count), io, room);
                room.as_ptr()
            } else {
                let depth = if self.planes.is_empty() { 0 } else { plane * self.phase.in_stride[0] };
                io.read.add(depth * self.plane_len + first * down)
            };
            for panel in &self.panels.list[panels] {
                let segments = &self.panels.lines[panel.list].segments;
                let most = if count == 1 { usize::MAX } else { io.table.span(panel.blocks) };
                for span in spans(segments, most) {
                    let product = Product {
                        segments: span.segments,
                        is_paired: self.panels.is_paired,
                        step,
                        out_step,
                        block_stride,
                        residual_stride: block_stride,
                        bias: io.bias.add(panel.first_block * LANES),
                        goes_on: span.rows_before > 0,
                        bounds: if span.is_last { io.finish.bounds } else { None },
                    };
                    let weights = io.weights.add(panel.weights + span.rows_before * panel.blocks * LANES);
                    for row in 0..count {
                        let out_row = (first + row) * self.phase.out_stride[1] + self.phase.out_first[1];
                        let out_row =
                            (out_plane * out_height + out_row) * out_width + self.phase.out_first[2];
                        let place = panel.first_block * block_stride + out_row * LANES;
                        let size = (self.phase.count[2], panel.blocks);
                        io.row(size, read.add(row * down), weights, (place, span.is_last), &product);
                        if span.is_last {
                            let blocks = (panel.first_block, panel.blocks);
                            io.bend(place, (self.phase.count[2], out_step), blocks, block_stride);
                        }
                    }
                }
            }
        }
    }

    /// Brings the rows that a band needs into the room; what lies outside is zero.
    ///
    /// # Safety
    ///
    /// As [`Direct::run`].
    unsafe fn pack(&self, plane: usize, (first, count): (usize, usize), io: &Io<'_>, room: &mut [f32]) {
        let [depth, height, width] = self.input;
        let rows = (count - 1) * self.phase.in_stride[1] + self.window;
        let top = (first * self.phase.in_stride[1]) as isize + self.first[0];
        // columns outside on the left, and the end of those inside
        let left = (-self.first[1]).clamp(0, self.columns as isize) as usize;
        let right = (width as isize - self.first[1]).clamp(left as isize, self.columns as isize) as usize;
        let from_column = (left as isize + self.first[1]) as usize;
        for block in 0..self.in_blocks {
            for (index, offset) in self.planes.iter().enumerate() {
                let z = (plane * self.phase.in_stride[0]) as isize + offset;
                let packed =
                    &mut room[(block * self.planes.len() + index) * self.plane_len..][..self.plane_len];
                for (row, to) in packed.chunks_exact_mut(self.row_len).take(rows).enumerate() {
                    let y = top + row as isize;
                    let is_outside = z < 0 || z >= depth as isize || y < 0 || y >= height as isize;
                    if is_outside || left >= right {
                        to.fill(0.0);
                        continue;
                    }
                    let pixel_row = (z as usize * height + y as usize) * width + from_column;
                    to[..left * self.pixel].fill(0.0);
                    to[right * self.pixel..].fill(0.0);
                    let inside = &mut to[left * self.pixel..right * self.pixel];
                    if let Some(channels) = self.plain {
                        // SAFETY: the row lies within the plain input of so many channels.
                        unsafe { self.interleave(io.read.add(pixel_row), channels, inside) };
                        continue;
                    }
                    // SAFETY: the row lies within the block of the input, and `inside` is as long.
                    unsafe {
                        let from = io.read.add(block * depth * height * width * LANES + pixel_row * LANES);
                        let how = (block, self.panels.is_paired);
                        io.bring_in(from, inside.as_mut_ptr(), right - left, how);
                    }
                }
            }
        }
    }

    /// Channels that lie plane by plane, brought side by side.
    ///
    /// # Safety
    ///
    /// `from` is a place in the first of so many plain channels, and the row goes on for `to.len() / pixel` numbers.
    unsafe fn interleave(&self, from: *const f32, channels: usize, to: &mut [f32]) {
        let channel_len = self.input.iter().product::<usize>();
        // SAFETY: the caller's, for a channel that there is.
        let at = |channel: usize, x: usize| unsafe { *from.add(channel * channel_len + x) };
        for place in 0..self.pixel {
            for (x, to) in to[place..].iter_mut().step_by(self.pixel).enumerate() {
                *to = if !self.panels.is_paired {
                    at(place, x)
                } else if 2 * place + 1 < channels {
                    pair(at(2 * place, x), at(2 * place + 1, x))
                } else {
                    pair(at(2 * place, x), 0.0)
                };
            }
        }
    }
}
