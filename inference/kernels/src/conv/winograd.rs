//! 3×3 convolutions of stride 1 by Winograd's minimal filtering: tiles are brought in, multiplied, brought out.
//!
//! In three dimensions the window's planes are summed within the product; each input plane of a batch is brought in
//! once for all output planes that need it.

use super::panels::{Lines, Panel, Panels, piece, spans};
use super::run::Io;
use super::spec::{Direction, Geometry, Input, Winograd as Wish};
use crate::error::{KernelError, product};
use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::primitive::multiply::Product;
use crate::primitive::winograd::{TileIn, TileOut};
use crate::tensor::Extent;

/// Bytes of a batch's tiles that stay in the second cache beside the weights that stream by.
const CACHE: usize = 640 * 1024;
/// Bytes of input beyond which tiles are asked for before they are read.
const FAR: usize = 1024 * 1024;
/// Bytes of weights that do not stay in the third cache: they are fetched once for as many tiles as possible.
const STREAM: usize = 16 * 1024 * 1024;
/// Tiles of a batch that is worked on from the third cache.
const MANY: usize = 112;

#[derive(Debug, Clone)]
pub(super) struct Winograd {
    /// Outputs of a tile on each side: 2 or 4.
    size: usize,
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
        wish: Wish,
    ) -> Result<Option<Self>, KernelError> {
        let spec = &geometry.spec;
        let Some(size) = tile_size(geometry, wish) else { return Ok(None) };
        let [out_depth, height, width] = geometry.out;
        let (rows, columns) = (height.div_ceil(size), width.div_ceil(size));
        let (in_blocks, side) = (geometry.in_blocks(), size + 2);
        let products = side * side;
        let depth = spec.kernel[0];
        let plane_stride = spec.stride[0];
        let all_tiles = rows * columns;

        // one tile of one plane of all blocks
        let tile_bytes = products * in_blocks * LANES * size_of::<f32>();
        let multiple = table.tile(if table.is_wide() { 2 } else { 1 });
        let planes = if depth == 1 { 1 } else { out_depth.min(4) };
        let in_planes = (planes - 1) * plane_stride + depth;
        let fitting = CACHE / (tile_bytes * in_planes) / multiple * multiple;
        let weights =
            product(&[products, in_blocks * depth, LANES, geometry.out_channels.blocks(), LANES * 4])?;
        let is_streamed = weights > STREAM && all_tiles > fitting.max(multiple);
        let largest = if is_streamed {
            MANY.div_ceil(planes).next_multiple_of(multiple)
        } else {
            // larger batches than those of the widest row of tiles gain nothing
            fitting.clamp(multiple, 56 / multiple * multiple)
        };
        let tile_batches = all_tiles.div_ceil(largest);
        let tiles = all_tiles.div_ceil(tile_batches);

        let taps: Vec<usize> = (0..depth).collect();
        let copies = products;
        let panels = Panels::new(geometry, table, (tiles, before, copies), false, |_| {
            Lines::new(
                (&spec.input, false),
                |_| true,
                &taps,
                |block, plane| (plane * in_blocks + block) * tiles * LANES,
            )
        })?;
        let winograd = Winograd {
            size,
            input: spec.extent,
            out: geometry.out,
            pad: std::array::from_fn(|axis| spec.pad_before[axis] as isize),
            plane_stride,
            in_blocks,
            rows,
            columns,
            tiles,
            tile_batches,
            planes,
            plane_batches: out_depth.div_ceil(planes),
            in_planes,
            is_streamed,
            before,
            product_len: panels.len / products,
            panels,
        };
        product(&[products, winograd.in_stride() + winograd.out_stride(geometry.out_channels.blocks())])?;
        Ok(Some(winograd))
    }

    pub(super) fn tile(&self) -> usize {
        self.size
    }

    pub(super) fn is_streamed(&self) -> bool {
        self.is_streamed
    }

    fn side(&self) -> usize {
        self.size + 2
    }

    /// Floats between two of a tile's values on the way in: one line more than they need, so that they do not all
    /// fall into the same set of the cache.
    fn in_stride(&self) -> usize {
        self.in_planes * self.in_blocks * self.tiles * LANES + LANES
    }

    /// The same between two products of so many blocks.
    fn out_stride(&self, blocks: usize) -> usize {
        blocks * self.planes * self.tiles * LANES + LANES
    }

    /// Floats before one product's weights of a panel of so many rows.
    fn weights(&self, panel: &Panel, product: usize, rows: usize) -> usize {
        if self.is_streamed {
            return self.before
                + product * self.product_len
                + (panel.weights - self.before) / (self.side() * self.side());
        }
        panel.weights + product * rows * panel.blocks * LANES
    }

    /// Blocks of output whose products are kept at a time.
    fn kept_blocks(&self) -> usize {
        let blocks = self.panels.list.iter().map(|panel| panel.blocks);
        if self.is_streamed { blocks.sum() } else { blocks.max().unwrap_or(1) }
    }

    pub(super) fn room(&self) -> usize {
        self.side() * self.side() * (self.in_stride() + self.out_stride(self.kept_blocks()))
    }

    pub(super) fn chunks(&self) -> usize {
        self.tile_batches * self.plane_batches
    }

    /// Transforms the weights and writes them to their places.
    pub(super) fn pack(&self, geometry: &Geometry, weights: &[f32], to: &mut [f32]) {
        for panel in &self.panels.list {
            let width = panel.blocks * LANES;
            let rows = &self.panels.lines[panel.list].rows;
            for (index, row) in rows.iter().enumerate() {
                let Some(channel) = row.channel else { continue };
                for block in 0..panel.blocks {
                    let mut window = [[0.0; LANES]; 9];
                    for (tap, values) in window.iter_mut().enumerate() {
                        for (lane, value) in values.iter_mut().enumerate() {
                            let out = (panel.first_block + block) * LANES + lane;
                            *value = f64::from(geometry.weight(weights, out, channel, row.tap * 9 + tap));
                        }
                    }
                    let mut put = |product: usize, values: [f64; LANES]| {
                        let place = self.weights(panel, product, rows.len()) + index * width + block * LANES;
                        to[place..place + LANES]
                            .iter_mut()
                            .zip(values)
                            .for_each(|(it, value)| *it = value as f32);
                    };
                    match self.size {
                        4 => transform(&FOUR, &window, &mut put),
                        _ => transform(&TWO, &window, &mut put),
                    }
                }
            }
        }
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
        let (incoming, outgoing) = room.split_at_mut(products * self.in_stride());
        let panels = &self.panels.list[panels];
        let Some(first_block) = panels.first().map(|panel| panel.first_block) else { return };
        // SAFETY: batches and panels lie within what `io` was checked for; both rooms are as long as a full batch.
        unsafe {
            self.bring_in(tiles, planes, io, incoming);
            if self.is_streamed {
                let stride = self.out_stride(self.kept_blocks());
                for index in 0..products {
                    for panel in panels {
                        let to = (panel.first_block - first_block) * self.planes * self.tiles * LANES;
                        let to = outgoing.as_mut_ptr().add(index * stride + to);
                        self.multiply(index, *panel, (tiles.1, planes.1), incoming, to, io);
                    }
                }
                for panel in panels {
                    let from = (panel.first_block - first_block) * self.planes * self.tiles * LANES;
                    self.bring_out(*panel, tiles, planes, (outgoing.as_ptr().add(from), stride), io);
                }
            } else {
                let stride = self.out_stride(self.kept_blocks());
                for panel in panels {
                    for index in 0..products {
                        let to = outgoing.as_mut_ptr().add(index * stride);
                        self.multiply(index, *panel, (tiles.1, planes.1), incoming, to, io);
                    }
                    self.bring_out(*panel, tiles, planes, (outgoing.as_ptr(), stride), io);
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
        // SAFETY: see `run`; a panel has `rows` rows of weights for each product.
        unsafe {
            let weights = io.weights.add(self.weights(&panel, index, rows));
            let read = incoming.as_ptr().add(index * self.in_stride());
            for span in spans(&lines.segments, io.table.span(panel.blocks)) {
                let product = Product {
                    segments: span.segments,
                    step: LANES,
                    out_step: LANES,
                    block_stride: self.planes * self.tiles * LANES,
                    bias: std::ptr::null(),
                    is_paired: false,
                    goes_on: span.rows_before > 0,
                    bounds: None,
                };
                let weights = weights.add(span.rows_before * panel.blocks * LANES);
                for plane in 0..planes {
                    let read = read.add(plane * self.plane_stride * self.in_blocks * self.tiles * LANES);
                    let to = to.add(plane * self.tiles * LANES);
                    io.table.row((tiles, panel.blocks), read, weights, (to, std::ptr::null()), &product);
                }
            }
        }
    }

    /// The upper left corners of the tiles in an output plane, from one on.
    fn corners(&self, first_tile: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (size, width) = (self.size, self.columns * self.size);
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
        incoming: &mut [f32],
    ) {
        let [depth, height, width] = self.input;
        let in_planes =
            (planes - 1) * self.plane_stride + self.in_planes - (self.planes - 1) * self.plane_stride;
        let bring = if self.size == 4 { io.table.four_in } else { io.table.two_in };
        let is_far = self.in_blocks * depth * height * width * LANES * size_of::<f32>() > FAR;
        for plane in 0..in_planes {
            let z = (first_plane * self.plane_stride + plane) as isize - self.pad[0];
            let is_outside = z < 0 || z >= depth as isize;
            for block in 0..self.in_blocks {
                let place = (plane * self.in_blocks + block) * self.tiles * LANES;
                // a plane outside is one of no rows
                let (from, rows) = if is_outside { (0, 0) } else { (block * depth + z as usize, height) };
                // SAFETY: the prologue was checked against the input's blocks.
                let prologue = io.prologue.map(|by| unsafe { by.of_block(block) });
                for (index, (row, column)) in self.corners(first_tile).take(tiles).enumerate() {
                    // SAFETY: see `run`; what the tile reads outside of the plane it takes for zero.
                    unsafe {
                        bring(&TileIn {
                            plane: io.read.add(from * height * width * LANES),
                            height: rows,
                            width,
                            row: row as isize - self.pad[1],
                            column: column as isize - self.pad[2],
                            to: incoming.as_mut_ptr().add(place + index * LANES),
                            stride: self.in_stride(),
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
        (products, stride): (*const f32, usize),
        io: &Io<'_>,
    ) {
        let [depth, height, width] = self.out;
        let bring = if self.size == 4 { io.table.four_out } else { io.table.two_out };
        for block in 0..panel.blocks {
            for plane in 0..planes {
                let out_plane = (panel.first_block + block) * depth + first_plane + plane;
                for (index, (row, column)) in self.corners(first_tile).take(tiles).enumerate() {
                    let place = ((out_plane * height + row) * width + column) * LANES;
                    let (rows, columns) = (self.size.min(height - row), self.size.min(width - column));
                    // SAFETY: see `run`; only rows and columns that lie inside are written.
                    unsafe {
                        bring(&TileOut {
                            from: products.add(((block * self.planes + plane) * self.tiles + index) * LANES),
                            stride,
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

/// The side of a tile: none where the shape does not allow it or it does not pay.
fn tile_size(geometry: &Geometry, wish: Wish) -> Option<usize> {
    let spec = &geometry.spec;
    let is_possible = spec.kernel[1..] == [3, 3]
        && spec.stride[1..] == [1, 1]
        && spec.dilation == [1; 3]
        && spec.groups == 1
        && spec.direction == Direction::Forward
        && matches!(spec.input, Input::Blocked(_));
    if !is_possible {
        return None;
    }
    let [_, height, width] = geometry.out;
    match wish {
        Wish::Never => None,
        Wish::Two => Some(2),
        Wish::Four => Some(4),
        Wish::Auto if spec.in_channels() < 16 || spec.out_channels < 8 || height.min(width) <= 4 => None,
        // four times the weights for four tiles would be fetched from memory, not from a cache
        Wish::Auto if height.max(width) <= 8 && spec.in_channels() * spec.out_channels >= 1 << 17 => Some(2),
        Wish::Auto => Some(4),
    }
}

/// The weights' transform for tiles of four, at the points 0, ±√2/2, ±√2, ∞.
const FOUR: [[f64; 3]; 6] = {
    const ROOT: f64 = std::f64::consts::SQRT_2;
    [
        [1.0, 0.0, 0.0],
        [-2.0 / 3.0, -ROOT / 3.0, -1.0 / 3.0],
        [-2.0 / 3.0, ROOT / 3.0, -1.0 / 3.0],
        [1.0 / 6.0, ROOT / 6.0, 1.0 / 3.0],
        [1.0 / 6.0, -ROOT / 6.0, 1.0 / 3.0],
        [0.0, 0.0, 1.0],
    ]
};

/// For tiles of two, at the points 0, ±1, ∞.
const TWO: [[f64; 3]; 4] = [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

/// `G w Gᵀ` for sixteen windows at once.
fn transform<const SIDE: usize>(
    by: &[[f64; 3]; SIDE],
    window: &[[f64; LANES]; 9],
    put: &mut impl FnMut(usize, [f64; LANES]),
) {
    let mut rows = [[[0.0; LANES]; 3]; SIDE];
    for (row, weights) in rows.iter_mut().zip(by) {
        for (x, value) in row.iter_mut().enumerate() {
            for lane in 0..LANES {
                value[lane] = (0..3).map(|y| weights[y] * window[y * 3 + x][lane]).sum();
            }
        }
    }
    for (y, row) in rows.iter().enumerate() {
        for (x, weights) in by.iter().enumerate() {
            put(y * SIDE + x, std::array::from_fn(|lane| (0..3).map(|k| weights[k] * row[k][lane]).sum()));
        }
    }
}
