//! The kernels of one instruction set, as pointers to functions.

use super::Isa;
use super::lanes::{LANES, PAIRS};
use super::portable::Portable;
use crate::primitive::across::{self, Response};
use crate::primitive::curve::{self, Curve};
use crate::primitive::map::{self, Affine, Between, Both, Bounds, Pairing};
use crate::primitive::multiply::{Product, multiply};
use crate::primitive::reduce::{self, Reduction};
use crate::primitive::strassen;
use crate::primitive::window::{self, Window, Windowed};
use crate::primitive::winograd::{self, Four, FourByFour, Six, Strided, TileIn, TileOut, Two};

type Multiply = unsafe fn(*const f32, *const f32, *mut f32, *const f32, &Product<'_>);

/// [`Multiply`] for one to `len` pixels a tile.
type Tiles = &'static [Multiply];

/// Every kernel of one instruction set.
///
/// Each pointer has the safety contract of the function in [`crate::primitive`] that it is made of, and can be called
/// only where the processor has the set, which [`Isa::table`] sees to.
pub(crate) struct Table {
    pub isa: Isa,
    /// By step between pixels (one, two, any other number of them), then by blocks of output channels (1, 2, 4).
    multiply: [[Tiles; 3]; 3],
    /// The same for pairs of bf16; there where [`Isa::has_bf16`] may be.
    multiply_pairs: [[Tiles; 3]; 3],
    /// In pairs, where [`Isa::has_bf16`] is.
    pub paired: unsafe fn(*const f32, *mut f32, usize, Option<&Affine>),
    pub bend: unsafe fn(*mut f32, usize, usize, Curve, *const f32),
    pub softmax: unsafe fn(*const f32, *mut f32, usize, (usize, usize), *const f32),
    pub affine: unsafe fn(*const f32, *mut f32, usize, &Affine),
    pub combine: unsafe fn(Pairing, Both, *mut f32, usize, Bounds),
    pub blend: unsafe fn(&[(*const f32, f32)], *mut f32, usize),
    pub resample: unsafe fn(*const f32, *mut f32, &[Between]),
    pub reduce: unsafe fn(Reduction, *const f32, usize, *mut f32),
    pub moments: unsafe fn(*const f32, usize, *mut f32, *mut f32),
    pub is_finite: unsafe fn(*const f32, usize) -> bool,
    pub slide: unsafe fn(Windowed, *const f32, *mut f32, usize, &Window<'_>),
    pub four_in: unsafe fn(&TileIn),
    pub four_out: unsafe fn(&TileOut),
    pub two_in: unsafe fn(&TileIn),
    pub two_out: unsafe fn(&TileOut),
    pub six_in: unsafe fn(&TileIn),
    pub six_out: unsafe fn(&TileOut),
    pub four_by_four_in: unsafe fn(&TileIn),
    pub four_by_four_out: unsafe fn(&TileOut),
    pub strided_in: unsafe fn(&TileIn),
    pub strided_out: unsafe fn(&TileOut),
    pub strassen_sums: unsafe fn([*const f32; 4], [*mut f32; 4], usize),
    pub respond: unsafe fn(*const f32, *mut f32, usize, *mut f32, &Response),
}

impl Table {
    /// Whether tiles of two and four blocks of output channels exist.
    pub fn is_wide(&self) -> bool {
        !self.multiply[0][1].is_empty()
    }

    /// Rows of weights of so many blocks that stay cached while several tiles meet them. Wide tiles use each weight often
    /// enough to fetch it from the second cache, narrow ones want the first.
    pub fn span(&self, blocks: usize) -> usize {
        (if self.is_wide() { 288 } else { 16 }) * 1024 / (blocks * LANES * size_of::<f32>())
    }

    /// Pixels of the largest tile of so many blocks.
    pub fn tile(&self, blocks: usize) -> usize {
        self.multiply[0][blocks / 2].len()
    }

    /// One row of pixels of one panel, cut into tiles of nearly the same size.
    ///
    /// # Safety
    ///
    /// As [`multiply`], for each of `pixels` pixels; `blocks` is 1, or 2 or 4 where the table is wide; pairs come only
    /// where [`Isa::has_bf16`] is.
    pub unsafe fn row(
        &self,
        (pixels, blocks): (usize, usize),
        read: *const f32,
        weights: *const f32,
        (out, residual): (*mut f32, *const f32),
        product: &Product<'_>,
    ) {
        let (by_step, pixel) =
            if product.is_paired { (&self.multiply_pairs, PAIRS) } else { (&self.multiply, LANES) };
        let steps = [pixel, 2 * pixel].into_iter().position(|it| it == product.step);
        let kernels = by_step[steps.unwrap_or(2)][blocks / 2];
        let tiles = pixels.div_ceil(kernels.len());
        let (size, larger) = (pixels / tiles, pixels % tiles);
        let mut first = 0;
        for tile in 0..tiles {
            let count = size + usize::from(tile < larger);
            let place = first * product.out_step;
            // SAFETY: the tiles are parts of the row that the caller vouches for; null stays null.
            unsafe {
                let residual = if residual.is_null() { residual } else { residual.add(place) };
                kernels[count - 1](
                    read.add(first * product.step),
                    weights,
                    out.add(place),
                    residual,
                    product,
                );
            }
            first += count;
        }
    }
}

macro_rules! tiles {
    ($blocks:literal, $step:literal; $($pixels:literal)*) => { &[$(tile::<$pixels, $blocks, $step> as Multiply),*] };
    (pairs $blocks:literal, $step:literal; $($pixels:literal)*) => {
        &[$(tile_of_pairs::<$pixels, $blocks, $step> as Multiply),*]
    };
}

/// Functions with the instruction set's attribute around the generic ones.
macro_rules! entries {
    ($attribute:tt $($name:ident = $generic:expr => ($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {$(
        # $attribute
        unsafe fn $name($($argument: $type),*) $(-> $result)? {
            // SAFETY: the caller keeps the contract of the generic function.
            unsafe { $generic($($argument),*) }
        }
    )*};
}

/// A tile of any size with the instruction set's attribute; what follows is the list that it is there for.
macro_rules! tile {
    ($name:ident, $attribute:tt, $lanes:ty, $is_paired:literal $(, $used_by:expr)?) => {
        # $attribute
        unsafe fn $name<const PIXELS: usize, const BLOCKS: usize, const STEP: usize>(
            read: *const f32,
            weights: *const f32,
            out: *mut f32,
            residual: *const f32,
            product: &Product<'_>,
        ) {
            // SAFETY: the caller keeps the contract of the generic function.
            unsafe {
                multiply::<$lanes, PIXELS, BLOCKS, STEP, $is_paired>(read, weights, out, residual, product)
            }
        }
    };
}

/// The tiles, or none of any size.
macro_rules! or_none {
    () => {
        [[&[]; 3]; 3]
    };
    ($tiles:expr) => {
        $tiles
    };
}

macro_rules! table_of {
    ($module:ident, $isa:expr, $lanes:ty, $attribute:tt, $multiply:expr, $of_pairs:tt $(, $multiply_pairs:expr)?) => {
        mod $module {
            use super::*;

            tile! { tile, $attribute, $lanes, false }
            $(tile! { tile_of_pairs, $of_pairs, $lanes, true, $multiply_pairs })?

            entries! { $of_pairs
                paired = map::paired::<$lanes>
                    => (from: *const f32, to: *mut f32, pixels: usize, by: Option<&Affine>);
            }

            entries! { $attribute
                bend = curve::bend::<$lanes>
                    => (at: *mut f32, pixels: usize, step: usize, curve: Curve, slopes: *const f32);
                softmax = curve::softmax::<$lanes>
                    => (from: *const f32, to: *mut f32, pixels: usize, blocks: (usize, usize), mask: *const f32);
                affine = map::affine::<$lanes> => (from: *const f32, to: *mut f32, pixels: usize, by: &Affine);
                combine = map::combine::<$lanes>
                    => (pairing: Pairing, pair: Both, to: *mut f32, pixels: usize,
                        bounds: Bounds);
                blend = map::blend::<$lanes> => (rows: &[(*const f32, f32)], to: *mut f32, pixels: usize);
                resample = map::resample::<$lanes> => (from: *const f32, to: *mut f32, places: &[Between]);
                reduce = reduce::reduce::<$lanes>
                    => (reduction: Reduction, from: *const f32, pixels: usize, to: *mut f32);
                moments = reduce::moments::<$lanes>
                    => (from: *const f32, pixels: usize, mean: *mut f32, spread: *mut f32);
                is_finite = reduce::is_finite::<$lanes> => (from: *const f32, blocks: usize) -> bool;
                slide = window::slide::<$lanes>
                    => (windowed: Windowed, read: *const f32, out: *mut f32, pixels: usize, window: &Window<'_>);
                four_in = winograd::tile_in::<$lanes, Four, 6, 4> => (tile: &TileIn);
                four_out = winograd::tile_out::<$lanes, Four, 6, 4> => (tile: &TileOut);
                two_in = winograd::tile_in::<$lanes, Two, 4, 2> => (tile: &TileIn);
                two_out = winograd::tile_out::<$lanes, Two, 4, 2> => (tile: &TileOut);
                six_in = winograd::tile_in::<$lanes, Six, 8, 6> => (tile: &TileIn);
                six_out = winograd::tile_out::<$lanes, Six, 8, 6> => (tile: &TileOut);
                four_by_four_in = winograd::tile_in::<$lanes, FourByFour, 7, 4> => (tile: &TileIn);
                four_by_four_out = winograd::tile_out::<$lanes, FourByFour, 7, 4> => (tile: &TileOut);
                strided_in = winograd::tile_in::<$lanes, Strided, 9, 4> => (tile: &TileIn);
                strided_out = winograd::tile_out::<$lanes, Strided, 9, 4> => (tile: &TileOut);
                strassen_sums = strassen::sums::<$lanes>
                    => (quarters: [*const f32; 4], to: [*mut f32; 4], pixels: usize);
                respond = across::respond::<$lanes>
                    => (from: *const f32, to: *mut f32, pixels: usize, line: *mut f32, by: &Response);
            }

            pub(crate) static TABLE: Table = Table {
                isa: $isa,
                multiply: $multiply,
                multiply_pairs: or_none!($($multiply_pairs)?),
                paired,
                bend,
                softmax,
                affine,
                combine,
                blend,
                resample,
                reduce,
                moments,
                is_finite,
                slide,
                four_in,
                four_out,
                two_in,
                two_out,
                six_in,
                six_out,
                four_by_four_in,
                four_by_four_out,
                strided_in,
                strided_out,
                strassen_sums,
                respond,
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
table_of! { avx512, Isa::Avx512, crate::isa::avx512::Avx512, [target_feature(enable = "avx512f,avx2,fma")], [
    [tiles!(1, 16; 1 2 3 4 5 6 7 8 9 10 11 12 13 14), tiles!(2, 16; 1 2 3 4 5 6 7 8 9 10 11 12 13 14), tiles!(4, 16; 1 2 3 4 5 6 7)],
    [tiles!(1, 32; 1 2 3 4 5 6 7 8 9 10 11 12 13 14), tiles!(2, 32; 1 2 3 4 5 6 7 8 9 10 11 12 13 14), tiles!(4, 32; 1 2 3 4 5 6 7)],
    [tiles!(1, 0; 1 2 3 4 5 6 7 8 9 10 11 12 13 14), tiles!(2, 0; 1 2 3 4 5 6 7 8 9 10 11 12 13 14), tiles!(4, 0; 1 2 3 4 5 6 7)],
], [target_feature(enable = "avx512f,avx512bf16,avx2,fma")], [
    [tiles!(pairs 1, 8; 1 2 3 4 5 6 7 8 9 10 11 12 13 14), tiles!(pairs 2, 8; 1 2 3 4 5 6 7 8 9 10 11 12 13 14), tiles!(pairs 4, 8; 1 2 3 4 5 6 7)],
    [tiles!(pairs 1, 16; 1 2 3 4 5 6 7 8 9 10 11 12 13 14), tiles!(pairs 2, 16; 1 2 3 4 5 6 7 8 9 10 11 12 13 14), tiles!(pairs 4, 16; 1 2 3 4 5 6 7)],
    [tiles!(pairs 1, 0; 1 2 3 4 5 6 7 8 9 10 11 12 13 14), tiles!(pairs 2, 0; 1 2 3 4 5 6 7 8 9 10 11 12 13 14), tiles!(pairs 4, 0; 1 2 3 4 5 6 7)],
] }

#[cfg(target_arch = "x86_64")]
table_of! { avx2, Isa::Avx2, crate::isa::avx2::Avx2, [target_feature(enable = "avx2,fma")], [
    [tiles!(1, 16; 1 2 3 4 5 6), &[], &[]],
    [tiles!(1, 32; 1 2 3 4 5 6), &[], &[]],
    [tiles!(1, 0; 1 2 3 4 5 6), &[], &[]],
], [target_feature(enable = "avx2,fma")] }

// 32 registers of four numbers (NEON) hold six pixels, 16 of them (SSE2) three
#[cfg(target_arch = "aarch64")]
table_of! { portable, Isa::Portable, Portable, [inline], [
    [tiles!(1, 16; 1 2 3 4 5 6), &[], &[]],
    [tiles!(1, 32; 1 2 3 4 5 6), &[], &[]],
    [tiles!(1, 0; 1 2 3 4 5 6), &[], &[]],
], [inline], [[tiles!(pairs 1, 0; 1 2 3 4 5 6), &[], &[]]; 3] }

#[cfg(not(target_arch = "aarch64"))]
table_of! { portable, Isa::Portable, Portable, [inline], [
    [tiles!(1, 16; 1 2 3), &[], &[]],
    [tiles!(1, 32; 1 2 3), &[], &[]],
    [tiles!(1, 0; 1 2 3), &[], &[]],
], [inline], [[tiles!(pairs 1, 0; 1 2 3), &[], &[]]; 3] }

pub(crate) use portable::TABLE as PORTABLE;
#[cfg(target_arch = "x86_64")]
pub(crate) use {avx2::TABLE as AVX2, avx512::TABLE as AVX512};
