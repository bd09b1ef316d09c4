//! 3×3 convolutions of stride 1 or 2, and a picture's 7×7, by Winograd's minimal filtering: tiles are brought in, multiplied, brought out.
//!
//! In three dimensions the window's planes are summed within the product; each input plane of a batch is brought in
//! once for all output planes that need it.

mod filter;
mod fold;
mod packing;

use super::panels::{Fnv, Lines, Panel, Panels, piece, spans};
use super::run::Io;
use super::spec::{Geometry, Input, Winograd as Wish};
use crate::error::{KernelError, product};
use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::primitive::multiply::Product;
use crate::primitive::winograd::{TileIn, TileOut};
use crate::tensor::Extent;
use filter::Filter;
use fold::Fold;

/// Bytes of a batch's tiles and products that stay in the second cache beside the weights that stream by.
const CACHE: usize = 768 * 1024;
/// Bytes of input beyond which tiles are asked for before they are read.
const FAR: usize = 1024 * 1024;
/// Bytes of weights that do not stay in the third cache: they are fetched once for as many tiles as possible.
const STREAM: usize = 16 * 1024 * 1024;
/// Tiles of a batch that is worked on from the third cache.
const MANY: usize = 112;

#[derive(Debug, Clone)]
pub(super) struct Winograd {
    filter: Filter,
    /// What becomes of a plain picture first.
    fold: Option<Fold>,
    /// What tiles are brought in from.
    input: Extent,
    out: Extent,
    pad: [isize; 3],
    plane_stride: usize,
    in_blocks: usize,
    /// Tiles of one plane.
    rows: usize,
    columns: usize,
    /// Tiles, and output planes, of the largest batch, and how many batches there are of each.
    tiles: usize,
    tile_batches: usize,
    planes: usize,
    plane_batches: usize,
    /// Input planes of the largest batch.
    in_planes: usize,
    /// Whether each of a tile's products is computed for all panels before the next one; the weights lie so too.
    is_streamed: bool,
    /// Floats before the weights, and of all weights of one product.
    before: usize,
    product_len: usize,
    pub panels: Panels,
}

impl Winograd {
    /// The way to compute it, where the shape allows and `wish` agrees.
    pub(super) fn new(
        geometry: &Geometry,
        table: &Table,
        before: usize,
        (wish, is_paired): (Wish, bool),
    ) -> Result<Option<Self>, KernelError> {
        let spec = &geometry.spec;
        let Some(filter) = Filter::of(geometry, wish, is_paired) else { return Ok(None) };
        let [out_depth, height, width] = geometry.out;
        let (rows, columns) = (height.div_ceil(filter.size()), width.div_ceil(filter.size()));
        let fold = (filter == Filter::Folded).then(|| Fold::new(geometry));
        let in_blocks = geometry.in_blocks();
        let (products, weights) = (filter.side().pow(2), filter.weights().len().pow(2));
        let depth = spec.kernel[0];
        let plane_stride = spec.stride[0];
        let all_tiles = rows * columns;

        // the inputs and products of one tile of so many planes
        let (multiple, blocks) = if table.is_wide() { (table.tile(2), 2) } else { (table.tile(1), 1) };
        let in_planes = |planes: usize| (planes - 1) * plane_stride + depth;
        let tile_bytes =
            |planes| products * (in_planes(planes) * in_blocks + planes * blocks) * LANES * size_of::<f32>();
        let planes = if depth == 1 { 1 } else { out_depth.min(4) };
        // the largest of `tile_bytes`
        product(&[multiple, products, in_planes(planes), in_blocks + blocks, LANES * size_of::<f32>()])?;
        let planes = (1..=planes).rev().find(|it| multiple * tile_bytes(*it) <= CACHE).unwrap_or(1);
        let fitting = CACHE / tile_bytes(planes);
        let weights_bytes =
            product(&[weights, in_blocks * depth, LANES, geometry.out_channels.blocks(), LANES * 4])?;
        let is_streamed = weights_bytes > STREAM && all_tiles > fitting.max(multiple);
        let largest = if is_streamed {
            MANY.div_ceil(planes).next_multiple_of(multiple)
        } else {
            // larger batches than those of the widest row of tiles gain nothing
            let most = fitting.min(56);
            if all_tiles <= most { all_tiles } else { (most / multiple * multiple).max(multiple) }
        };
        let tile_batches = all_tiles.div_ceil(largest);
        let tiles = all_tiles.div_ceil(tile_batches);

        let taps: Vec<usize> = (0..depth).collect();
        let folded = fold.as_ref().map(|it| Input::Plain(it.channels()));
        let panels = Panels::new(geometry, table, (tiles, before, weights), false, |_| {
            Lines::new(
                (folded.as_ref().unwrap_or(&spec.input), false),
                |_| true,
                &taps,
                |block, plane| (plane * in_blocks + block) * products * (tiles | 1) * LANES,
            )
        })?;
        let pad = spec.pad_before.map(|it| it as isize);
        let winograd = Winograd {
            filter,
            input: fold.as_ref().map_or(spec.extent, Fold::extent),
            out: geometry.out,
            pad: fold.as_ref().map(Fold::squares_before).map_or(pad, |[down, across]| [pad[0], down, across]),
            fold,
            plane_stride,
            in_blocks,
            rows,
            columns,
            tiles,
            tile_batches,
            planes,
            plane_batches: out_depth.div_ceil(planes),
            in_planes: in_planes(planes),
            is_streamed,
            before,
            product_len: panels.len / weights,
            panels,
        };
        let blocks = winograd.in_planes * in_blocks + winograd.planes * geometry.out_channels.blocks();
        product(&[winograd.block_len(), blocks])?;
        product(&[winograd.folded_rows(), winograd.input[2], LANES])?;
        Ok(Some(winograd))
    }

    /// Outputs of a tile on each side.
    pub(super) fn tile(&self) -> usize {
        self.filter.size()
    }

    pub(super) fn is_streamed(&self) -> bool {
        self.is_streamed
    }

    /// Adds to a hash which weight stands where.
    pub(super) fn name(&self, hash: &mut Fnv) {
        self.panels.name(hash);
        self.fold.iter().for_each(|fold| fold.name(hash));
    }

    /// Products of a tile on each side.
    pub(super) fn side(&self) -> usize {
        self.filter.side()
    }

    /// Floats between two of a tile's values, and of its products: an odd number of lines, so that they do not all fall into the same set
    /// of the cache.
    fn value_stride(&self) -> usize {
        (self.tiles | 1) * LANES
    }

    /// Floats of one block of one plane: its values lie together, so that a tile touches few pages.
    fn block_len(&self) -> usize {
        self.side() * self.side() * self.value_stride()
    }

    /// Floats of the values of a batch on their way in.
    fn in_len(&self) -> usize {
        self.in_planes * self.in_blocks * self.block_len()
    }

    /// Floats of the products that are kept.
    fn out_len(&self) -> usize {
        self.kept_blocks() * self.planes * self.block_len()
    }

    /// Floats before one of the transformed weights of a panel of so many rows.
    fn weights(&self, panel: &Panel, index: usize, rows: usize) -> usize {
        if self.is_streamed {
            return self.before
                + index * self.product_len
                + (panel.weights - self.before) / self.filter.weights().len().pow(2);
        }
        panel.weights + index * rows * panel.blocks * LANES
    }

    /// Blocks of output whose products are kept at a time.
    fn kept_blocks(&self) -> usize {
        let blocks = self.panels.list.iter().map(|panel| panel.blocks);
        if self.is_streamed { blocks.sum() } else { blocks.max().unwrap_or(1) }
    }

    pub(super) fn room(&self) -> usize {
        self.in_len() + self.out_len() + self.folded_rows() * self.input[2] * LANES
    }

    /// Rows of squares that a batch reads at most of a folded picture; none of any other.
    fn folded_rows(&self) -> usize {
        if self.fold.is_none() {
            return 0;
        }
        // a batch may begin at the last tile of a row
        let rows = 1 + (self.tiles - 1).div_ceil(self.columns);
        ((rows - 1) * self.filter.size() + self.side()).min(self.input[1])
    }

    pub(super) fn chunks(&self) -> usize {
        self.tile_batches * self.plane_batches
    }

    /// One batch of tiles for some of the panels.
    ///
    /// # Safety
    ///
    /// `io` belongs to this convolution; `room` is as long as [`Winograd::room`] says.
    pub(super) unsafe fn run(
        &self,
        chunk: usize,
        panels: std::ops::Range<usize>,
        io: &Io<'_>,
        room: &mut [f32],
    ) {
        let (tile_batch, plane_batch) = (chunk % self.tile_batches, chunk / self.tile_batches);
        let tiles = piece(self.rows * self.columns, self.tile_batches, tile_batch);
        let planes = piece(self.out[0], self.plane_batches, plane_batch);
        let products = self.side() * self.side();
        let (incoming, rest) = room.split_at_mut(self.in_len());
        let (outgoing, folded) = rest.split_at_mut(self.out_len());
        let panels = &self.panels.list[panels];
        let Some(first_block) = panels.first().map(|panel| panel.first_block) else { return };
        // SAFETY: batches and panels lie within what `io` was checked for; both rooms are as long as a full batch.
        unsafe {
            self.bring_in(tiles, planes, io, (folded, incoming));
            let kept = |panel: &Panel| (panel.first_block - first_block) * self.planes * self.block_len();
            if self.is_streamed {
                for index in 0..products {
                    for panel in panels {
                        let to = outgoing.as_mut_ptr().add(kept(panel));
                        self.multiply(index, *panel, (tiles.1, planes.1), incoming, to, io);
                    }
                }
                for panel in panels {
                    self.bring_out(*panel, tiles, planes, outgoing.as_ptr().add(kept(panel)), io);
                }
            } else {
                for panel in panels {
                    for index in 0..products {
                        self.multiply(
                            index,
                            *panel,
                            (tiles.1, planes.1),
                            incoming,
                            outgoing.as_mut_ptr(),
                            io,
                        );
                    }
                    self.bring_out(*panel, tiles, planes, outgoing.as_ptr(), io);
                }
            }
        }
    }

    /// One product of every tile of a batch, for one panel.
    #[inline]
    unsafe fn multiply(
        &self,
        index: usize,
        panel: Panel,
        (tiles, planes): (usize, usize),
        incoming: &[f32],
        to: *mut f32,
        io: &Io<'_>,
    ) {
        let lines = &self.panels.lines[panel.list];
        let rows: usize = lines.segments.iter().map(|segment| segment.len).sum();
        let [y, x] = [index / self.side(), index % self.side()].map(|it| self.filter.weight(it));
        // SAFETY: see `run`; a panel has `rows` rows of weights for each product.
        unsafe {
            let transformed = y * self.filter.weights().len() + x;
            let weights = io.weights.add(self.weights(&panel, transformed, rows));
            let read = incoming.as_ptr().add(index * self.value_stride());
            let to = to.add(index * self.value_stride());
            for span in spans(&lines.segments, io.table.span(panel.blocks)) {
                let product = Product {
                    segments: span.segments,
                    step: LANES,
                    out_step: LANES,
                    block_stride: self.planes * self.block_len(),
                    residual_stride: 0,
                    bias: std::ptr::null(),
                    is_paired: false,
                    goes_on: span.rows_before > 0,
                    bounds: None,
                };
                let weights = weights.add(span.rows_before * panel.blocks * LANES);
                for plane in 0..planes {
                    let read = read.add(plane * self.plane_stride * self.in_blocks * self.block_len());
                    let to = to.add(plane * self.block_len());
                    io.table.row((tiles, panel.blocks), read, weights, (to, std::ptr::null()), &product);
                }
            }
        }
    }

    /// The upper left corners of the tiles in an output plane, from one on.
    fn corners(&self, first_tile: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let size = self.filter.size();
        let width = self.columns * size;
        let (mut row, mut column) = (first_tile / self.columns * size, first_tile % self.columns * size);
        std::iter::from_fn(move || {
            let corner = (row, column);
            column += size;
            if column == width {
                (row, column) = (row + size, 0);
            }
            Some(corner)
        })
    }

    unsafe fn bring_in(
        &self,
        (first_tile, tiles): (usize, usize),
        (first_plane, planes): (usize, usize),
        io: &Io<'_>,
        (folded, incoming): (&mut [f32], &mut [f32]),
    ) {
        let [depth, height, width] = self.input;
        let in_planes =
            (planes - 1) * self.plane_stride + self.in_planes - (self.planes - 1) * self.plane_stride;
        let bring = match self.filter {
            Filter::Two => io.table.two_in,
            Filter::Four => io.table.four_in,
            Filter::Six => io.table.six_in,
            Filter::Strided => io.table.strided_in,
            Filter::Folded => io.table.four_by_four_in,
        };
        let stride = self.filter.stride();
        // what is read, and the row that it begins with
        let (read, top, height) = match &self.fold {
            None => (io.read, 0, height),
            Some(fold) => {
                let row_of = |tile: usize| (tile / self.columns * self.filter.size()) as isize - self.pad[1];
                let clamped = |row: isize| row.clamp(0, height as isize) as usize;
                let top = clamped(row_of(first_tile));
                let end = clamped(row_of(first_tile + tiles - 1) + self.side() as isize).max(top);
                let folded = &mut folded[..(end - top) * width * LANES];
                // SAFETY: a fold is of the picture that `io` was checked for.
                unsafe { fold.bring_in(io.read, top..end, folded) };
                (folded.as_ptr(), top, end - top)
            }
        };
        let is_far = self.in_blocks * depth * height * width * LANES * size_of::<f32>() > FAR;
        for plane in 0..in_planes {
            let z = (first_plane * self.plane_stride + plane) as isize - self.pad[0];
            let is_outside = z < 0 || z >= depth as isize;
            for block in 0..self.in_blocks {
                let place = (plane * self.in_blocks + block) * self.block_len();
                // a plane outside is one of no rows
                let (from, rows) = if is_outside { (0, 0) } else { (block * depth + z as usize, height) };
                // SAFETY: the prologue was checked against the input's blocks.
                let prologue = io.prologue.map(|by| unsafe { by.of_block(block) });
                for (index, (row, column)) in self.corners(first_tile).take(tiles).enumerate() {
                    // SAFETY: see `run`; what the tile reads outside of the plane it takes for zero.
                    unsafe {
                        bring(&TileIn {
                            plane: read.add(from * height * width * LANES),
                            height: rows,
                            width,
                            row: (row * stride) as isize - self.pad[1] - top as isize,
                            column: (column * stride) as isize - self.pad[2],
                            to: incoming.as_mut_ptr().add(place + index * LANES),
                            stride: self.value_stride(),
                            prologue,
                            is_far,
                        });
                    }
                }
            }
        }
    }

    unsafe fn bring_out(
        &self,
        panel: Panel,
        (first_tile, tiles): (usize, usize),
        (first_plane, planes): (usize, usize),
        products: *const f32,
        io: &Io<'_>,
    ) {
        let [depth, height, width] = self.out;
        let bring = match self.filter {
            Filter::Two => io.table.two_out,
            Filter::Four => io.table.four_out,
            Filter::Six => io.table.six_out,
            Filter::Strided => io.table.strided_out,
            Filter::Folded => io.table.four_by_four_out,
        };
        let size = self.filter.size();
        for block in 0..panel.blocks {
            for plane in 0..planes {
                let out_plane = (panel.first_block + block) * depth + first_plane + plane;
                for (index, (row, column)) in self.corners(first_tile).take(tiles).enumerate() {
                    let place = ((out_plane * height + row) * width + column) * LANES;
                    let (rows, columns) = (size.min(height - row), size.min(width - column));
                    // SAFETY: see `run`; only rows and columns that lie inside are written.
                    unsafe {
                        bring(&TileOut {
                            from: products
                                .add((block * self.planes + plane) * self.block_len() + index * LANES),
                            stride: self.value_stride(),
                            out: io.out.add(place),
                            residual: if io.residual.is_null() {
                                io.residual
                            } else {
                                io.residual.add(place)
                            },
                            row_len: width * LANES,
                            rows,
                            columns,
                            bias: io.bias.add((panel.first_block + block) * LANES),
                            bounds: io.finish.bounds,
                        });
                        for row in 0..rows {
                            let place = place + row * width * LANES;
                            io.bend(place, (columns, LANES), (panel.first_block + block, 1), 0);
                        }
                    }
                }
            }
        }
    }
}
