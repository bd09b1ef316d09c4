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
    /// `F(6, 3)`
    Six,
    /// `F(4, 3)` of stride 2
    Strided,
    /// `F(4, 4)` over a folded picture: a window of seven of stride 2
    Folded,
}

/// `G`: what weighs the taps of a window for each product.
pub(super) enum Weights {
    OfThree(&'static [[f64; 3]]),
    OfFour(&'static [[f64; 4]]),
}

impl Weights {
    pub(super) fn len(&self) -> usize {
        match self {
            Weights::OfThree(by) => by.len(),
            Weights::OfFour(by) => by.len(),
        }
    }
}

impl Filter {
    /// How tiles are filtered: none where the shape does not allow it or it does not pay.
    pub(super) fn of(geometry: &Geometry, wish: Wish, is_paired: bool) -> Option<Filter> {
        let spec = &geometry.spec;
        let is_possible = spec.dilation == [1; 3] && spec.groups == 1 && spec.direction == Direction::Forward;
        if !is_possible || wish == Wish::Never {
            return None;
        }
        let [_, height, width] = geometry.out;
        let is_narrow = spec.out_channels < 8 || height.min(width) <= 4;
        match (&spec.input, &spec.kernel[1..], &spec.stride[1..], wish) {
            (Input::Plain(count), [7, 7], [2, 2], Wish::Four | Wish::Auto) => {
                let is_flat = spec.kernel[0] == 1 && spec.extent[0] == 1 && geometry.out[0] == 1;
                // a batch of tiles folds whole rows: those of a wider picture would be folded again and again
                let pays = !is_narrow && width <= 448;
                // its squares of four pixels fill a block, or part of one
                let is_taken = is_flat && 4 * count <= LANES && (wish == Wish::Four || pays);
                is_taken.then_some(Filter::Folded)
            }
            (Input::Plain(_), ..) => None,
            (_, [3, 3], [1, 1], Wish::Two) => Some(Filter::Two),
            (_, [3, 3], [1, 1], Wish::Four) => Some(Filter::Four),
            (_, [3, 3], [1, 1], Wish::Six) => Some(Filter::Six),
            (_, [3, 3], [2, 2], Wish::Four) => Some(Filter::Strided),
            (_, [3, 3], steps, Wish::Auto) if !is_narrow && spec.in_channels() >= 16 => match steps {
                [1, 1] => {
                    [Filter::Two, Filter::Four, Filter::Six].into_iter().min_by_key(|it| it.cost(geometry))
                }
                // it needs 81 products for 144 of a plain sum, which would take half the time in pairs
                [2, 2] if !is_paired && height.max(width) > 8 => Some(Filter::Strided),
                _ => None,
            },
            _ => None,
        }
    }

    /// What a pair of channels takes: its products, and its weights, of which each is fetched while so many products go by (of many channels
    /// from memory, not from a cache).
    fn cost(self, geometry: &Geometry) -> usize {
        let [depth, height, width] = geometry.out;
        let tiles = depth * height.div_ceil(self.size()) * width.div_ceil(self.size());
        let is_heavy = geometry.spec.in_channels() * geometry.spec.out_channels >= 1 << 17;
        self.side() * self.side() * (tiles + if is_heavy { 8 } else { 3 })
    }

    /// Outputs of a tile.
    pub(super) fn size(self) -> usize {
        match self {
            Filter::Two => 2,
            Filter::Four | Filter::Strided | Filter::Folded => 4,
            Filter::Six => 6,
        }
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
            Filter::Six => 8,
            Filter::Strided => 9,
            Filter::Folded => 7,
        }
    }

    /// The weights' transform.
    pub(super) fn weights(self) -> Weights {
        match self {
            Filter::Two => Weights::OfThree(&TWO),
            Filter::Four => Weights::OfThree(&FOUR),
            Filter::Six => Weights::OfThree(&SIX),
            Filter::Strided => Weights::OfThree(&STRIDED),
            Filter::Folded => Weights::OfFour(&FOUR_BY_FOUR),
        }
    }

    /// Which of the transformed weights a product meets: of stride 2, the last is met by several.
    pub(super) fn weight(self, product: usize) -> usize {
        product.min(self.weights().len() - 1)
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

/// For tiles of six, at the points 0, ±½, ±1, ±2, ∞.
const SIX: [[f64; 3]; 8] = [
    [-1.0, 0.0, 0.0],
    [32.0 / 45.0, 16.0 / 45.0, 8.0 / 45.0],
    [32.0 / 45.0, -16.0 / 45.0, 8.0 / 45.0],
    [-2.0 / 9.0, -2.0 / 9.0, -2.0 / 9.0],
    [-2.0 / 9.0, 2.0 / 9.0, -2.0 / 9.0],
    [1.0 / 90.0, 1.0 / 45.0, 2.0 / 45.0],
    [1.0 / 90.0, -1.0 / 45.0, 2.0 / 45.0],
    [0.0, 0.0, 1.0],
];

/// Four taps for tiles of four, at the points ±⅜, ±⅞, ±1¾, ∞.
const FOUR_BY_FOUR: [[f64; 4]; 7] = {
    /// The powers of a point over what the polynomial of all the others is there.
    const fn row(point: f64, other: f64, third: f64) -> [f64; 4] {
        let square = point * point;
        let by = 1.0 / (2.0 * point * (square - other * other) * (square - third * third));
        [by, by * point, by * square, by * square * point]
    }
    const A: f64 = 0.375;
    const B: f64 = 0.875;
    const C: f64 = 1.75;
    [
        row(A, B, C),
        row(-A, B, C),
        row(B, A, C),
        row(-B, A, C),
        row(C, A, B),
        row(-C, A, B),
        [0.0, 0.0, 0.0, 1.0],
    ]
};
