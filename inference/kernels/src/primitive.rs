//! The loops that a processor's instructions are made for, each written once over [`Lanes`](crate::isa::lanes::Lanes).
//!
//! They take raw pointers and believe what they are told; the operators above them check every shape first.

pub(crate) mod across;
pub(crate) mod curve;
pub(crate) mod map;
pub(crate) mod multiply;
pub(crate) mod reduce;
pub(crate) mod strassen;
pub(crate) mod window;
pub(crate) mod winograd;

/// Repeats a block of code with a constant counter, so that accumulators stay in registers: over plain loops
/// the compiler spills every one of them.
macro_rules! unroll {
    ($count:expr, $i:ident, $body:block) => { unroll!(@each $count, $i, $body; 0 1 2 3 4 5 6 7 8 9 10 11 12 13) };
    (@each $count:expr, $i:ident, $body:block; $($value:literal)*) => {
        $({ const $i: usize = $value; if $i < $count $body })*
    };
}

/// As `unroll!`, up to four.
macro_rules! unroll_blocks {
    ($count:expr, $i:ident, $body:block) => { unroll!(@each $count, $i, $body; 0 1 2 3) };
}

pub(crate) use {unroll, unroll_blocks};
