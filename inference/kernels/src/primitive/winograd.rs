//! Winograd's minimal filtering: a tile in and out of the domain where a 3×3 convolution is a plain product.

mod transform;

use std::mem::MaybeUninit;

pub(crate) use transform::{Four, FourByFour, Six, Strided, Transform, Two};

use super::map::{Affine, AsItIs, Bounds, OnItsWay, by_affine};
use crate::isa::lanes::{LANES, Lanes};

/// A tile of one block on its way in.
#[derive(Clone, Copy)]
pub(crate) struct TileIn {
    /// The block's plane.
    pub plane: *const f32,
    pub height: usize,
    pub width: usize,
    /// The tile's upper left corner; it may lie outside, where all is zero.
    pub row: isize,
    pub column: isize,
    pub to: *mut f32,
    /// Floats between two of the tile's `IN * IN` results.
    pub stride: usize,
    pub prologue: Option<Affine>,
    /// Whether the plane lies beyond the nearer caches.
    pub is_far: bool,
}

/// Brings one tile in.
///
/// # Safety
///
/// `height * width * 16` numbers can be read at `plane`; sixteen can be written at `to + i * stride` for each of
/// `IN * IN` results; the prologue's numbers can be read.
#[inline(always)]
pub(crate) unsafe fn tile_in<L: Lanes, T: Transform<IN, OUT>, const IN: usize, const OUT: usize>(
    tile: &TileIn,
) {
    // SAFETY: the caller's.
    unsafe {
        match &tile.prologue {
            None => bring_in::<L, T, _, IN, OUT>(tile, AsItIs),
            Some(by) => by_affine!(L, by, |way| bring_in::<L, T, _, IN, OUT>(tile, way)),
        }
    }
}

/// # Safety
///
/// As [`tile_in`].
#[inline(always)]
unsafe fn bring_in<L: Lanes, T: Transform<IN, OUT>, W: OnItsWay<L>, const IN: usize, const OUT: usize>(
    tile: &TileIn,
    way: W,
) {
    let (height, width) = (tile.height as isize, tile.width as isize);
    let size = IN as isize;
    let is_inside =
        tile.row >= 0 && tile.column >= 0 && tile.row + size <= height && tile.column + size <= width;
    // SAFETY: only places inside of the plane are read; what is written the caller vouches for.
    unsafe {
        if !is_inside {
            // at the border, with zeros around
            let mut window = [[[0.0; LANES]; IN]; IN];
            for (y, line) in window.iter_mut().enumerate() {
                let row = tile.row + y as isize;
                if row < 0 || row >= height {
                    continue;
                }
                for (x, value) in line.iter_mut().enumerate() {
                    let column = tile.column + x as isize;
                    if column >= 0 && column < width {
                        let from = tile.plane.offset((row * width + column) * LANES as isize);
                        way.of(L::load(from)).store(value.as_mut_ptr());
                    }
                }
            }
            return filter_in::<L, T, _, IN, OUT>(window.as_ptr().cast(), IN * LANES, tile, AsItIs);
        }
        let corner = tile.row as usize * tile.width + tile.column as usize;
        if tile.is_far {
            // the tile after the next: so many rows are more than the processor foresees
            for y in 0..IN {
                for x in 0..T::ADVANCE {
                    let ahead = corner + y * tile.width + IN + T::ADVANCE + x;
                    L::fetch(tile.plane.wrapping_add(ahead * LANES));
                }
            }
        }
        filter_in::<L, T, W, IN, OUT>(tile.plane.add(corner * LANES), tile.width * LANES, tile, way);
    }
}

/// # Safety
///
/// As [`tile_in`]; `IN` rows of `IN` pixels, `row_len` floats apart, can be read at `from`.
#[inline(always)]
unsafe fn filter_in<L: Lanes, T: Transform<IN, OUT>, W: OnItsWay<L>, const IN: usize, const OUT: usize>(
    from: *const f32,
    row_len: usize,
    tile: &TileIn,
    way: W,
) {
    let zero = L::splat(0.0);
    // each is written before it is read; zeros would cost as much as the sums
    let mut columns = [[const { MaybeUninit::<L>::uninit() }; IN]; IN];
    // SAFETY: the caller's; all columns are written by the first loop.
    unsafe {
        for (x, transformed) in columns.iter_mut().enumerate() {
            let mut column = [zero; IN];
            for (y, it) in column.iter_mut().enumerate() {
                *it = way.of(L::load(from.add(y * row_len + x * LANES)));
            }
            for (it, value) in transformed.iter_mut().zip(T::of_input(column)) {
                it.write(value);
            }
        }
        for y in 0..IN {
            let mut row = [zero; IN];
            for (it, column) in row.iter_mut().zip(&columns) {
                *it = column[y].assume_init();
            }
            for (x, value) in T::of_input(row).into_iter().enumerate() {
                value.store(tile.to.add((y * IN + x) * tile.stride));
            }
        }
    }
}

/// A tile of one block on its way out.
#[derive(Clone, Copy)]
pub(crate) struct TileOut {
    pub from: *const f32,
    /// Floats between two of the tile's `IN * IN` products.
    pub stride: usize,
    /// The tile's upper left corner in the block's plane.
    pub out: *mut f32,
    /// Null, or the same corner of what is added.
    pub residual: *const f32,
    /// Floats between two rows of the plane.
    pub row_len: usize,
    /// Rows and columns that lie inside.
    pub rows: usize,
    pub columns: usize,
    /// Sixteen numbers.
    pub bias: *const f32,
    pub bounds: Bounds,
}

/// Brings one tile out.
///
/// # Safety
///
/// Sixteen numbers can be read at `from + i * stride` for each of `IN * IN` products; at `out`, and at `residual` where
/// it is not null, lie `rows` rows of `columns` pixels; `bias` holds sixteen numbers.
#[inline(always)]
pub(crate) unsafe fn tile_out<L: Lanes, T: Transform<IN, OUT>, const IN: usize, const OUT: usize>(
    tile: &TileOut,
) {
    let zero = L::splat(0.0);
    let mut columns = [[const { MaybeUninit::<L>::uninit() }; OUT]; IN];
    let (low, high) = tile.bounds.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
    let (low, high) = (L::splat(low), L::splat(high));
    // SAFETY: the caller vouches for every product and for the pixels within `rows` and `columns`; all of `columns` is
    // written by the first loop.
    unsafe {
        for (x, transformed) in columns.iter_mut().enumerate() {
            let mut products = [zero; IN];
            for (y, it) in products.iter_mut().enumerate() {
                *it = L::load(tile.from.add((y * IN + x) * tile.stride));
            }
            for (it, value) in transformed.iter_mut().zip(T::of_output(products)) {
                it.write(value);
            }
        }
        let bias = L::load(tile.bias);
        for y in 0..OUT {
            if y >= tile.rows {
                break;
            }
            let mut products = [zero; IN];
            for (it, column) in products.iter_mut().zip(&columns) {
                *it = column[y].assume_init();
            }
            for (x, sum) in T::of_output(products).into_iter().enumerate() {
                if x >= tile.columns {
                    break;
                }
                let place = y * tile.row_len + x * LANES;
                let mut value = sum.add(bias);
                if !tile.residual.is_null() {
                    value = value.add(L::load(tile.residual.add(place)));
                }
                high.min(low.max(value)).store(tile.out.add(place));
            }
        }
    }
}
