//! 1×1 convolutions: a product over all pixels, a cache full of them at a time.

use super::panels::{Lines, Panels, piece, spans};
use super::run::Io;
use super::spec::Geometry;
use crate::error::KernelError;
use crate::isa::lanes::{LANES, PAIRS};
use crate::isa::table::Table;
use crate::primitive::multiply::Product;

/// Bytes of input that are worked on at a time: they stay in the second cache beside the weights that stream by.
pub(super) const CACHE: usize = 256 * 1024;

#[derive(Debug, Clone)]
pub(super) struct Pointwise {
    pixels: usize,
    chunks: usize,
    /// Floats of one block in what the kernels read.
    read_stride: usize,
    out_stride: usize,
    in_blocks: usize,
    /// Whether the input is brought into the scratch first: through the prologue, as pairs of bf16, or both.
    is_packed: bool,
    /// Floats of a pixel in what the kernels read.
    pixel: usize,
    pub panels: Panels,
}

impl Pointwise {
    pub(super) fn new(
        geometry: &Geometry,
        table: &Table,
        before: usize,
        (has_prologue, is_paired): (bool, bool),
    ) -> Result<Self, KernelError> {
        let pixels: usize = geometry.out.iter().product();
        let in_blocks = geometry.in_blocks();
        let is_packed = has_prologue || is_paired;
        let pixel = if is_paired { PAIRS } else { LANES };
        let chunk = ((CACHE / (in_blocks * pixel * size_of::<f32>())).max(56) / 14 * 14).min(pixels);
        let chunks = pixels.div_ceil(chunk);
        let read_stride = if is_packed { pixels.div_ceil(chunks) * pixel } else { pixels * LANES };
        let panels = Panels::new(geometry, table, (pixels, before, 1), is_paired, |groups| {
            let wanted = |channel: usize| groups.contains(&(channel / geometry.group_in));
            Lines::new((&geometry.spec.input, is_paired), wanted, &[0], |block, _| block * read_stride)
        })?;
        let out_stride = pixels * LANES;
        Ok(Pointwise { pixels, chunks, read_stride, out_stride, in_blocks, is_packed, pixel, panels })
    }

    pub(super) fn room(&self) -> usize {
        if self.is_packed { self.in_blocks * self.read_stride } else { 0 }
    }

    pub(super) fn chunks(&self) -> usize {
        self.chunks
    }

    /// One chunk of pixels for some of the panels.
    ///
    /// # Safety
    ///
    /// `io` belongs to this convolution; `room` is as long as [`Pointwise::room`] says.
    pub(super) unsafe fn run(
        &self,
        chunk: usize,
        panels: std::ops::Range<usize>,
        io: &Io<'_>,
        room: &mut [f32],
    ) {
        let (first, count) = piece(self.pixels, self.chunks, chunk);
        // SAFETY: the chunk lies within the pixels of every block of input, output and residual.
        unsafe {
            let mut read = io.read.add(first * LANES);
            if self.is_packed {
                for block in 0..self.in_blocks {
                    let to = room.as_mut_ptr().add(block * self.read_stride);
                    let from = read.add(block * self.out_stride);
                    io.bring_in(from, to, count, (block, self.panels.is_paired));
                }
                read = room.as_ptr();
            }
            for panel in &self.panels.list[panels] {
                let place = panel.first_block * self.out_stride + first * LANES;
                let segments = &self.panels.lines[panel.list].segments;
                for span in spans(segments, io.table.span(panel.blocks)) {
                    let product = Product {
                        segments: span.segments,
                        is_paired: self.panels.is_paired,
                        step: self.pixel,
                        out_step: LANES,
                        block_stride: self.out_stride,
                        residual_stride: self.out_stride,
                        bias: io.bias.add(panel.first_block * LANES),
                        goes_on: span.rows_before > 0,
                        bounds: if span.is_last { io.finish.bounds } else { None },
                    };
                    let weights = io.weights.add(panel.weights + span.rows_before * panel.blocks * LANES);
                    io.row((count, panel.blocks), read, weights, (place, span.is_last), &product);
                }
                io.bend(place, (count, LANES), (panel.first_block, panel.blocks), self.out_stride);
            }
        }
    }
}
