//! The sums that Strassen's product in Winograd's form takes of the quarters of its left side.

use crate::isa::lanes::{LANES, Lanes};

/// `[a21 + a22, a21 + a22 - a11, a11 - a21, a12 - (a21 + a22 - a11)]` of `pixels` pixels of one block.
///
/// # Safety
///
/// `pixels * 16` numbers can be read at each quarter and written at each sum; no sum lies over a quarter.
#[inline(always)]
pub(crate) unsafe fn sums<L: Lanes>(quarters: [*const f32; 4], to: [*mut f32; 4], pixels: usize) {
    for pixel in 0..pixels {
        let place = pixel * LANES;
        // SAFETY: the caller's.
        unsafe {
            let (a11, a12) = (L::load(quarters[0].add(place)), L::load(quarters[1].add(place)));
            let (a21, a22) = (L::load(quarters[2].add(place)), L::load(quarters[3].add(place)));
            let first = a21.add(a22);
            let second = first.sub(a11);
            first.store(to[0].add(place));
            second.store(to[1].add(place));
            a11.sub(a21).store(to[2].add(place));
            a12.sub(second).store(to[3].add(place));
        }
    }
}
