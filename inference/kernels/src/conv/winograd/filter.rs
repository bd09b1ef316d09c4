//! By which of Winograd's filters a shape is computed, and what becomes of its weights.

use super::super::spec::{Direction, Geometry, Input, Winograd as Wish};
use crate::isa::lanes::LANES;

/// How a tile is filtered, along each axis of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// `F(2, 3)`
    Two,
    /// `F(4, 3)`
    Four,
    /// `F(4, 3)` of stride 2
    Strided,
}

impl Filter {
    /// How tiles are filtered: none where the shape does not allow it or it does not pay.
    pub(super) fn of(geometry: &Geometry, wish: Wish, is_paired: bool) -> Option<Filter> {
        let spec = &geometry.spec;
        let is_possible = spec.kernel[1..] == [3, 3]
            && spec.dilation == [1; 3]
            && spec.groups == 1
            && spec.direction == Direction::Forward
            && matches!(spec.input, Input::Blocked(_));
        if !is_possible {
            return None;
        }
        let [_, height, width] = geometry.out;
        let is_narrow = spec.in_channels() < 16 || spec.out_channels < 8 || height.min(width) <= 4;
        // four times the weights for four tiles would be fetched from memory, not from a cache
        let is_heavy = height.max(width) <= 8 && spec.in_channels() * spec.out_channels >= 1 << 17;
        match (wish, &spec.stride[1..]) {
            (Wish::Two, [1, 1]) => Some(Filter::Two),
            (Wish::Four, [1, 1]) => Some(Filter::Four),
            (Wish::Four, [2, 2]) => Some(Filter::Strided),
            (Wish::Auto, [1, 1]) if !is_narrow => Some(if is_heavy { Filter::Two } else { Filter::Four }),
            // it needs 81 products for 144 of a plain sum, which would take half the time in pairs
            (Wish::Auto, [2, 2]) if !is_narrow && !is_heavy && !is_paired => Some(Filter::Strided),
            _ => None,
        }
    }

    /// Outputs of a tile.
    pub(super) fn size(self) -> usize {
        if self == Filter::Two { 2 } else { 4 }
    }

    /// Inputs between two outputs.
    pub(super) fn stride(self) -> usize {
        if self == Filter::Strided { 2 } else { 1 }
    }

    /// Inputs of a tile, and as many products.
    pub(super) fn side(self) -> usize {
        match self {
            Filter::Two => 4,
            Filter::Four => 6,
            Filter::Strided => 9,
        }
    }

    /// The weights' transform.
    pub(super) fn weights(self) -> &'static [[f64; 3]] {
        match self {
            Filter::Two => &TWO,
            Filter::Four => &FOUR,
            Filter::Strided => &STRIDED,
        }
    }

    /// Which of the transformed weights a product meets: of stride 2, the last is met by several.
    pub(super) fn weight(self, product: usize) -> usize {
        product.min(self.weights().len() - 1)
    }

    /// `G w Gᵀ` of this filter for sixteen windows at once.
    pub(super) fn transform(self, window: &[[f64; LANES]; 9], mut put: impl FnMut(usize, [f64; LANES])) {
        let by = self.weights();
        for (y, down) in by.iter().enumerate() {
            let mut row = [[0.0; LANES]; 3];
            for (x, value) in row.iter_mut().enumerate() {
                for lane in 0..LANES {
                    let [top, middle, bottom] = [window[x][lane], window[3 + x][lane], window[6 + x][lane]];
                    value[lane] = down[0] * top + down[1] * middle + down[2] * bottom;
                }
            }
            for (x, weights) in by.iter().enumerate() {
                let mut values = [0.0; LANES];
                for (lane, value) in values.iter_mut().enumerate() {
                    *value =
                        weights[0] * row[0][lane] + weights[1] * row[1][lane] + weights[2] * row[2][lane];
                }
                put(y * by.len() + x, values);
            }
        }
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

/// For tiles of four of stride 2: the outer weights at the points ±1, ±½, ∞, then the middle one.
const STRIDED: [[f64; 3]; 6] = [
    [2.0 / 3.0, 0.0, 2.0 / 3.0],
    [-2.0 / 3.0, 0.0, 2.0 / 3.0],
    [-4.0 / 3.0, 0.0, -2.0 / 3.0],
    [4.0 / 3.0, 0.0, -2.0 / 3.0],
    [0.0, 0.0, 1.0],
    [0.0, 1.0, 0.0],
];
