//! The one-dimensional transforms of Winograd's minimal filtering (the weights' stand in `conv::winograd::filter`).
//!
//! Filtering at finite points `±p` pairs what is even and what is odd in `p`, so that two values cost one sum and one difference.

use crate::isa::lanes::Lanes;

/// The transforms of `F(OUT, IN + 1 - OUT)`: `IN` numbers in, `OUT` out.
pub(crate) trait Transform<const IN: usize, const OUT: usize> {
    /// Inputs between two tiles.
    const ADVANCE: usize;

    fn of_input<L: Lanes>(values: [L; IN]) -> [L; IN];
    fn of_output<L: Lanes>(products: [L; IN]) -> [L; OUT];
}

/// `F(4, 3)` at the points 0, ±√2/2, ±√2, ∞: a tenth of the error of Lavin's 0, ±1, ±2, ∞.
pub(crate) struct Four;

const ROOT: f32 = std::f32::consts::SQRT_2;

impl Transform<6, 4> for Four {
    const ADVANCE: usize = 4;

    #[inline(always)]
    fn of_input<L: Lanes>(d: [L; 6]) -> [L; 6] {
        let (root, half_root) = (L::splat(ROOT), L::splat(ROOT / 2.0));
        let first = L::splat(2.5).mul_sub_from(d[2], d[0]).add(d[4]);
        let last = L::splat(2.5).mul_sub_from(d[3], d[1]).add(d[5]);
        let a = L::splat(2.0).mul_sub_from(d[2], d[4]);
        let b = root.mul_sub_from(d[1], half_root.mul(d[3]));
        let c = L::splat(0.5).mul_sub_from(d[2], d[4]);
        let e = half_root.mul_sub_from(d[1], root.mul(d[3]));
        [first, a.add(b), a.sub(b), c.add(e), c.sub(e), last]
    }

    #[inline(always)]
    fn of_output<L: Lanes>(m: [L; 6]) -> [L; 4] {
        let (p, q) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (r, s) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(p).add(r),
            L::splat(ROOT).mul_add(s, L::splat(ROOT / 2.0).mul(q)),
            L::splat(2.0).mul_add(r, L::splat(0.5).mul(p)),
            L::splat(ROOT * 2.0).mul_add(s, L::splat(ROOT / 4.0).mul_add(q, m[5])),
        ]
    }
}

/// `F(6, 3)` at the points 0, ±½, ±1, ±2, ∞: four times the error of `F(4, 3)` on average, twice at most, for four fifths of its products.
pub(crate) struct Six;

impl Transform<8, 6> for Six {
    const ADVANCE: usize = 6;

    #[inline(always)]
    fn of_input<L: Lanes>(d: [L; 8]) -> [L; 8] {
        let (two, half, four, quarter) = (L::splat(2.0), L::splat(0.5), L::splat(4.0), L::splat(0.25));
        let first = L::splat(5.25).mul_add(d[2].sub(d[4]), d[6].sub(d[0]));
        let last = L::splat(5.25).mul_add(d[3].sub(d[5]), d[7].sub(d[1]));
        let five = L::splat(5.0);
        let a = four.mul_add(d[2], five.mul_sub_from(d[4], d[6]));
        let b = half.mul(four.mul_add(d[1], five.mul_sub_from(d[3], d[5])));
        let between = L::splat(4.25);
        let c = between.mul_sub_from(d[4], d[6].add(d[2]));
        let e = between.mul_sub_from(d[3], d[5].add(d[1]));
        let near = L::splat(1.25);
        let f = quarter.mul_add(d[2], near.mul_sub_from(d[4], d[6]));
        let g = two.mul(quarter.mul_add(d[1], near.mul_sub_from(d[3], d[5])));
        [first, a.add(b), a.sub(b), c.add(e), c.sub(e), f.add(g), f.sub(g), last]
    }

    #[inline(always)]
    fn of_output<L: Lanes>(m: [L; 8]) -> [L; 6] {
        let (p, q) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (r, s) = (m[3].add(m[4]), m[3].sub(m[4]));
        let (t, u) = (m[5].add(m[6]), m[5].sub(m[6]));
        [
            m[0].add(p).add(r.add(t)),
            weighed((0.5, q), (2.0, u), s),
            weighed((0.25, p), (4.0, t), r),
            weighed((0.125, q), (8.0, u), s),
            weighed((0.0625, p), (16.0, t), r),
            weighed((0.031_25, q), (32.0, u), s.add(m[7])),
        ]
    }
}

/// `F(4, 4)` at the points ±⅜, ±⅞, ±1¾, ∞.
pub(crate) struct FourByFour;

const NEAR: f32 = 0.375;
const MIDDLE: f32 = 0.875;
const FAR: f32 = 1.75;

impl Transform<7, 4> for FourByFour {
    const ADVANCE: usize = 4;

    #[inline(always)]
    fn of_input<L: Lanes>(d: [L; 7]) -> [L; 7] {
        let (a, b, c) = (NEAR * NEAR, MIDDLE * MIDDLE, FAR * FAR);
        let (one, two) = pair(d, NEAR, (b, c));
        let (three, four) = pair(d, MIDDLE, (a, c));
        let (five, six) = pair(d, FAR, (a, b));
        let last = L::splat(a * b + b * c + a * c).mul_add(
            d[2],
            L::splat(a + b + c).mul_sub_from(d[4], L::splat(a * b * c).mul_sub_from(d[0], d[6])),
        );
        [one, two, three, four, five, six, last]
    }

    #[inline(always)]
    fn of_output<L: Lanes>(m: [L; 7]) -> [L; 4] {
        let (p, q) = (m[0].add(m[1]), m[0].sub(m[1]));
        let (r, s) = (m[2].add(m[3]), m[2].sub(m[3]));
        let (t, u) = (m[4].add(m[5]), m[4].sub(m[5]));
        [
            p.add(r).add(t),
            weighed((NEAR, q), (MIDDLE, s), L::splat(FAR).mul(u)),
            weighed((NEAR * NEAR, p), (MIDDLE * MIDDLE, r), L::splat(FAR * FAR).mul(t)),
            weighed(
                (NEAR * NEAR * NEAR, q),
                (MIDDLE * MIDDLE * MIDDLE, s),
                L::splat(FAR * FAR * FAR).mul_add(u, m[6]),
            ),
        ]
    }
}

/// Both values of `±point`, of inputs through the polynomial that is zero at the squares of two others: what is odd, and what is even.
#[inline(always)]
fn pair<L: Lanes>(d: [L; 7], point: f32, (one, other): (f32, f32)) -> (L, L) {
    let (sum, product) = (L::splat(one + other), L::splat(one * other));
    let even = product.mul_add(d[0], sum.mul_sub_from(d[2], d[4]));
    let odd = product.mul_add(d[1], sum.mul_sub_from(d[3], d[5]));
    let even = L::splat(point).mul(even);
    (odd.add(even), odd.sub(even))
}

/// The sum of two weighed values and a third.
#[inline(always)]
fn weighed<L: Lanes>((a, x): (f32, L), (b, y): (f32, L), third: L) -> L {
    L::splat(a).mul_add(x, L::splat(b).mul_add(y, third))
}

/// `F(2, 3)` at the points 0, ±1, ∞: for images too small for tiles of four.
pub(crate) struct Two;

impl Transform<4, 2> for Two {
    const ADVANCE: usize = 2;

    #[inline(always)]
    fn of_input<L: Lanes>(d: [L; 4]) -> [L; 4] {
        [d[0].sub(d[2]), d[1].add(d[2]), d[2].sub(d[1]), d[3].sub(d[1])]
    }

    #[inline(always)]
    fn of_output<L: Lanes>(m: [L; 4]) -> [L; 2] {
        [m[0].add(m[1]).add(m[2]), m[1].sub(m[2]).add(m[3])]
    }
}

/// `F(4, 3)` of stride 2: every other input meets the window's two outer weights, which is an `F(4, 2)` at the points ±1, ±½, ∞;
/// those between meet the middle one, four plain products.
pub(crate) struct Strided;

impl Transform<9, 4> for Strided {
    const ADVANCE: usize = 8;

    #[inline(always)]
    fn of_input<L: Lanes>(d: [L; 9]) -> [L; 9] {
        let (half, quarter) = (L::splat(0.5), L::splat(0.25));
        let (a, b) = (quarter.mul_sub_from(d[2], d[6]), quarter.mul_sub_from(d[0], d[4]));
        let (c, e) = (d[6].sub(d[2]), d[4].sub(d[0]));
        let last = quarter.mul_sub_from(e, d[8].sub(d[4]));
        let (low, high) = (half.mul_sub_from(e, c), half.mul_add(e, c));
        [a.add(b), a.sub(b), high, low, last, d[1], d[3], d[5], d[7]]
    }

    #[inline(always)]
    fn of_output<L: Lanes>(m: [L; 9]) -> [L; 4] {
        let (p, q) = (m[0].add(m[1]), m[0].sub(m[1]));
        let (r, s) = (m[2].add(m[3]), m[2].sub(m[3]));
        [
            p.add(r).add(m[5]),
            L::splat(0.5).mul_add(s, q.add(m[6])),
            L::splat(0.25).mul_add(r, p.add(m[7])),
            L::splat(0.125).mul_add(s, q.add(m[4].add(m[8]))),
        ]
    }
}
