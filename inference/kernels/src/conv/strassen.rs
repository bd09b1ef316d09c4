//! 1×1 convolutions of many channels by Strassen's product in Winograd's form: seven products of quarters for eight.
//!
//! Pixels, input channels and output channels are halved once. Of the left side `a` the sums are formed a cache full of pixels at a time,
//! those of the weights `b` when they are packed:
//!
//! ```text
//! s1 = a21 + a22    s2 = s1 - a11    s3 = a11 - a21    s4 = a12 - s2
//! t1 = b12 - b11    t2 = b22 - t1    t3 = b22 - b12    t4 = t2 - b21
//!
//! u = a11·b11                    c11 = u + a12·b21
//! u += s2·t2                     c21 = u + s3·t3 - a22·t4
//! v = s1·t1                      c22 = u + s3·t3 + v
//! u += v                         c12 = u + s4·b22
//! ```
//!
//! What a pixel holds so meets the one that lies half a chunk away: a value that is none spoils both.

use std::ops::Range;

use super::panels::{Fnv, PACKED, piece, spans};
use super::pointwise::CACHE;
use super::run::Io;
use super::spec::{Geometry, Input, Winograd as Wish};
use crate::error::{KernelError, product};
use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::primitive::map::{Bounds, Pairing};
use crate::primitive::multiply::{Product, Segment};

/// The seven matrices of weights, in this order: b11, b21, b22, -t4, t1, t2, t3.
const MATRICES: usize = 7;

#[derive(Debug, Clone)]
pub(super) struct Strassen {
    pixels: usize,
    chunks: usize,
    /// Pixels of half of the largest chunk.
    half: usize,
    /// Blocks of half of the input.
    in_half: usize,
    /// Blocks of output that are computed together: half of a pair of panels.
    width: usize,
    pub pairs: usize,
    /// Floats between two blocks of what is read, and of the output.
    read_stride: usize,
    out_stride: usize,
    /// Whether the input is brought into the scratch through the prologue first.
    is_packed: bool,
    /// What the products read of the input, and of its sums.
    of_input: Segments,
    of_sums: Segments,
    /// The channel of each place of the input.
    slots: Vec<usize>,
    /// Floats before the weights.
    before: usize,
    pub len: usize,
}

type Segments = Vec<Segment>;

/// Where a product's sums go.
struct Sums {
    to: *mut f32,
    block_stride: usize,
    /// Null, or what is added: of blocks that lie half a chunk apart.
    plus: *const f32,
    /// Null, or where the sums begin.
    bias: *const f32,
    /// Whether they go on from what stands there.
    goes_on: bool,
    bounds: Bounds,
}

impl Strassen {
    /// The way to compute it, where the shape allows and `wish` agrees.
    pub(super) fn new(
        geometry: &Geometry,
        table: &Table,
        before: usize,
        (wish, has_prologue): (Wish, bool),
    ) -> Result<Option<Self>, KernelError> {
        let Input::Blocked(channels) = &geometry.spec.input else { return Ok(None) };
        let (in_blocks, outs) = (channels.blocks(), geometry.spec.out_channels);
        let pixels: usize = geometry.out.iter().product();
        let width = if table.is_wide() { 2 } else { 1 };
        let is_even = in_blocks.is_multiple_of(2) && outs.is_multiple_of(2 * width * LANES);
        // a place without a channel holds any number, and sums would carry it on
        let Some(slots) = channels.slots().collect::<Option<Vec<usize>>>() else { return Ok(None) };
        if !is_even
            || geometry.spec.groups > 1
            || pixels < 2
            || !is_wanted(wish, table, (slots.len(), outs), pixels)
        {
            return Ok(None);
        }
        let tile = 2 * table.tile(width);
        let chunk =
            ((CACHE / (in_blocks * LANES * size_of::<f32>())).max(2 * tile) / tile * tile).min(pixels);
        let chunks = pixels.div_ceil(chunk);
        let largest = pixels.div_ceil(chunks);
        let (half, in_half) = (largest.div_ceil(2), in_blocks / 2);
        let read_stride = if has_prologue { largest * LANES } else { pixels * LANES };
        let segments = |stride: usize| {
            (0..in_half).map(|block| Segment { offset: block * stride, len: LANES }).collect::<Segments>()
        };
        let pairs = outs / (2 * width * LANES);
        let len = product(&[pairs, width * LANES, MATRICES * in_half * LANES + 1])?;
        Ok(Some(Strassen {
            pixels,
            chunks,
            half,
            in_half,
            width,
            pairs,
            read_stride,
            out_stride: pixels * LANES,
            is_packed: has_prologue,
            of_input: segments(read_stride),
            of_sums: segments(half * LANES),
            slots,
            before,
            len,
        }))
    }

    pub(super) fn chunks(&self) -> usize {
        self.chunks
    }

    /// Floats of one quarter's sum.
    fn sum_len(&self) -> usize {
        self.in_half * self.half * LANES
    }

    /// Floats of the products that are kept.
    fn kept_len(&self) -> usize {
        self.width * self.half * LANES
    }

    pub(super) fn room(&self) -> usize {
        let packed = if self.is_packed { 2 * self.in_half * self.read_stride } else { 0 };
        packed + 4 * self.sum_len() + 2 * self.kept_len()
    }

    /// Floats of one matrix of weights.
    fn matrix_len(&self) -> usize {
        self.in_half * LANES * self.width * LANES
    }

    /// Floats before the weights of a pair: first by how much the second panel's bias is more than the first one's.
    fn weights(&self, pair: usize) -> usize {
        self.before + pair * (self.width * LANES + MATRICES * self.matrix_len())
    }

    pub(super) fn name(&self, hash: &mut Fnv) {
        [self.width, self.pairs, self.in_half].into_iter().for_each(|it| hash.add(it));
        self.slots.iter().for_each(|it| hash.add(*it));
    }

    /// Writes the weights to their places; the bias stands in `to` already.
    pub(super) fn pack(&self, geometry: &Geometry, weights: &[f32], to: &mut [f32]) {
        let width = self.width * LANES;
        let (upper, lower) = self.slots.split_at(self.in_half * LANES);
        for pair in 0..self.pairs {
            let first = 2 * pair * width;
            let place = self.weights(pair);
            for lane in 0..width {
                let bias = |out: usize| to[LANES + out];
                to[place + lane] = bias(first + width + lane) - bias(first + lane);
            }
            let matrices = &mut to[place + width..][..MATRICES * self.matrix_len()];
            // some rows of all outputs at a time, as other panels are packed
            for row in (0..upper.len()).step_by(PACKED) {
                for lane in 0..width {
                    for row in row..upper.len().min(row + PACKED) {
                        let weight = |channel: usize, out: usize| {
                            f64::from(geometry.weight(weights, first + out + lane, channel, 0))
                        };
                        let (b11, b12) = (weight(upper[row], 0), weight(upper[row], width));
                        let (b21, b22) = (weight(lower[row], 0), weight(lower[row], width));
                        let t1 = b12 - b11;
                        let t2 = b22 - t1;
                        let all = [b11, b21, b22, b21 - t2, t1, t2, b22 - b12];
                        for (matrix, weight) in all.into_iter().enumerate() {
                            matrices[matrix * self.matrix_len() + row * width + lane] = weight as f32;
                        }
                    }
                }
            }
        }
    }

    /// One chunk of pixels for some of the pairs.
    ///
    /// # Safety
    ///
    /// `io` belongs to this convolution; `room` is as long as [`Strassen::room`] says.
    pub(super) unsafe fn run(&self, chunk: usize, pairs: Range<usize>, io: &Io<'_>, room: &mut [f32]) {
        let (first, count) = piece(self.pixels, self.chunks, chunk);
        let (packed, rest) = room.split_at_mut(self.room() - 4 * self.sum_len() - 2 * self.kept_len());
        let (sums, kept) = rest.split_at_mut(4 * self.sum_len());
        // of an odd number of pixels, the one in the middle belongs to both halves
        let half = count.div_ceil(2);
        let lower = (count - half) * LANES;
        // SAFETY: the chunk lies within the pixels of every block of input, output and residual, and within the room.
        unsafe {
            let mut read = io.read.add(first * LANES);
            if self.is_packed {
                for block in 0..2 * self.in_half {
                    let to = packed.as_mut_ptr().add(block * self.read_stride);
                    io.bring_in(read.add(block * self.out_stride), to, count, (block, false));
                }
                read = packed.as_ptr();
            }
            let right = self.in_half * self.read_stride;
            let sums = sums.as_mut_ptr();
            let sums = [0, 1, 2, 3].map(|it| sums.add(it * self.sum_len()));
            for block in 0..self.in_half {
                let at = read.add(block * self.read_stride);
                let to = sums.map(|it| it.add(block * self.half * LANES));
                (io.table.strassen_sums)([at, at.add(right), at.add(lower), at.add(lower + right)], to, half);
            }
            let [s1, s2, s3, s4] = sums.map(|it| (it.cast_const(), &self.of_sums));
            let [a11, a12, a22] = [0, right, right + lower].map(|it| (read.add(it), &self.of_input));
            let u = kept.as_mut_ptr();
            for pair in pairs {
                let block = 2 * pair * self.width;
                let place = block * self.out_stride + first * LANES;
                let c11 = io.out.add(place);
                let c12 = c11.add(self.width * self.out_stride);
                let (c21, c22) = (c11.add(lower), c12.add(lower));
                let more_bias = io.weights.add(self.weights(pair));
                let matrices = more_bias.add(self.width * LANES);
                let [b11, b21, b22, less_t4, t1, t2, t3] =
                    [0, 1, 2, 3, 4, 5, 6].map(|it| matrices.add(it * self.matrix_len()));
                let v = u.add(self.kept_len());
                let keep = |to, bias| Sums {
                    to,
                    block_stride: self.half * LANES,
                    plus: std::ptr::null(),
                    bias,
                    goes_on: false,
                    bounds: None,
                };
                let bounds = if io.residual.is_null() { io.finish.bounds } else { None };
                let write = |to, plus| Sums {
                    to,
                    block_stride: self.out_stride,
                    plus,
                    bounds,
                    ..keep(to, std::ptr::null())
                };

                self.multiply(half, a11, b11, &keep(u, io.bias.add(block * LANES)), io.table);
                self.multiply(half, a12, b21, &write(c11, u), io.table);
                self.multiply(half, s2, t2, &Sums { goes_on: true, ..keep(u, std::ptr::null()) }, io.table);
                self.multiply(half, s3, t3, &Sums { bounds: None, ..write(c21, u) }, io.table);
                self.multiply(half, s1, t1, &keep(v, more_bias), io.table);
                for block in 0..self.width {
                    let (far, near) = (block * self.out_stride, block * self.half * LANES);
                    let (c21, c22, u, v) = (c21.add(far), c22.add(far), u.add(near), v.add(near));
                    let add = io.table.combine;
                    add(Pairing::Add, (c21.cast_const(), v.cast_const(), LANES), c22, half, bounds);
                    add(Pairing::Add, (u.cast_const(), v.cast_const(), LANES), u, half, None);
                }
                self.multiply(
                    half,
                    a22,
                    less_t4,
                    &Sums { goes_on: true, ..write(c21, std::ptr::null()) },
                    io.table,
                );
                self.multiply(half, s4, b22, &write(c12, u), io.table);
                self.finish(place, count, block, io);
            }
        }
    }

    /// One product of quarters.
    ///
    /// # Safety
    ///
    /// As [`Table::row`].
    unsafe fn multiply(
        &self,
        pixels: usize,
        (read, segments): (*const f32, &Segments),
        weights: *const f32,
        sums: &Sums,
        table: &Table,
    ) {
        for span in spans(segments, table.span(self.width)) {
            let product = Product {
                segments: span.segments,
                is_paired: false,
                step: LANES,
                out_step: LANES,
                block_stride: sums.block_stride,
                residual_stride: self.half * LANES,
                bias: sums.bias,
                goes_on: sums.goes_on || span.rows_before > 0,
                bounds: if span.is_last { sums.bounds } else { None },
            };
            let plus = if span.is_last { sums.plus } else { std::ptr::null() };
            // SAFETY: the caller's.
            unsafe {
                let weights = weights.add(span.rows_before * self.width * LANES);
                table.row((pixels, self.width), read, weights, (sums.to, plus), &product);
            }
        }
    }

    /// The residual and the activation of a chunk of a pair's blocks.
    ///
    /// # Safety
    ///
    /// As [`Strassen::run`].
    unsafe fn finish(&self, place: usize, pixels: usize, first_block: usize, io: &Io<'_>) {
        // SAFETY: the caller's.
        unsafe {
            if !io.residual.is_null() {
                for block in 0..2 * self.width {
                    let place = place + block * self.out_stride;
                    let at = io.out.add(place);
                    let both = (at.cast_const(), io.residual.add(place), LANES);
                    (io.table.combine)(Pairing::Add, both, at, pixels, io.finish.bounds);
                }
            }
            io.bend(place, (pixels, LANES), (first_block, 2 * self.width), self.out_stride);
        }
    }
}

/// Whether it is asked for, or saves more products than its sums take.
fn is_wanted(wish: Wish, table: &Table, (ins, outs): (usize, usize), pixels: usize) -> bool {
    match wish {
        Wish::Never => false,
        // narrow tiles read and write more beside their products
        Wish::Auto if !table.is_wide() => false,
        Wish::Auto => pixels >= 96 && ins * outs > 1 << 14,
        Wish::Two | Wish::Four | Wish::Six => true,
    }
}
