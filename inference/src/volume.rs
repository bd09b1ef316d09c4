//! A series as one volume: slices in the order in which they lie in the patient, at the spacing that a network learned
//! from, and back.
//!
//! First the positions are judged ([`Stack::of`]), then each slice is handed over once, decoded, in the stack's order
//! ([`Volume::push`]); it is made as small as the network wants it at once, so that never more than one is held whole.

mod tiles;

use clinical::imaging::{Frame, LabelScore, SlicePosition};
use models::{Card, Crop, Input, Label, Resize};
use ndarray::{Array2, Array3, Array4, ArrayView2, Axis};

use crate::interpret::segmentation;
use crate::prepare::{WayBack, between};
use crate::{InferenceError, Mask, Network, PrepareError, prepare};

/// The fewest slices that make a volume.
const LEAST_SLICES: usize = 3;
/// The most slices of a volume.
const MOST_SLICES: usize = 4_096;
/// The most values of a volume at the network's spacing, of its channels or of the network's classes.
const MOST_VALUES: usize = 1 << 27;
/// The most rows, and the most columns, at the network's spacing.
const MOST_LINES: f64 = 4_096.0;
/// A gap between slices may differ from the usual one by this part of it.
const UNEQUAL: f64 = 0.1;
/// At or above it a voxel belongs to a label that has no threshold, where several may hold.
const HALF: f32 = 0.5;
/// Directions and spacings may differ by so much, for rounding.
const ROUNDING: f64 = 1e-3;

/// Why slices are no volume.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VolumeError {
    /// The network takes images.
    #[error("the network takes images and no volumes")]
    NotForVolumes,
    /// Not so many slices as a volume has.
    #[error("there are {found} slices; a volume has {LEAST_SLICES} to {MOST_SLICES}")]
    SliceCount {
        /// So many there are.
        found: usize,
    },
    /// Directions that are none, of length 1 and at right angles.
    #[error("a slice's orientation is no pair of directions at right angles")]
    Orientation,
    /// Slices that are turned against each other, or of other spacing.
    #[error("the slices do not lie parallel with the same pixel spacing")]
    NotParallel,
    /// Two slices at one place, as of several phases.
    #[error("two slices lie at the same place")]
    SamePlace,
    /// A slice is missing, or the gaps grow.
    #[error("the slices are not equally spaced: gaps from {least_mm:.2} to {most_mm:.2} mm")]
    UnequalGaps {
        /// The least gap.
        least_mm: f64,
        /// The greatest gap.
        most_mm: f64,
    },
    /// More than this program holds.
    #[error("the volume is too large at the network's spacing")]
    TooLarge,
    /// A slice of another size, or more or fewer of them than there are positions.
    #[error("the slices are not all of one size, one for each position")]
    Slices,
    /// A slice that cannot be made into an input.
    #[error("a slice does not fit: {0}")]
    Prepare(#[from] PrepareError),
    /// Values that are no numbers.
    #[error("a slice holds values that are not finite")]
    NotFinite,
    /// The network failed.
    #[error(transparent)]
    Network(#[from] InferenceError),
}

/// Slices in their order through the patient.
#[derive(Debug, Clone, PartialEq)]
pub struct Stack {
    order: Vec<usize>,
    gap_mm: f64,
    spacing_mm: [f64; 2],
}

impl Stack {
    /// The order of slices along their common normal, once they have proved to lie parallel, in equal steps.
    ///
    /// # Errors
    ///
    /// [`VolumeError`], each with what is wrong.
    pub fn of(slices: &[SlicePosition]) -> Result<Self, VolumeError> {
        let [first, ..] = slices else { return Err(VolumeError::SliceCount { found: 0 }) };
        if !(LEAST_SLICES..=MOST_SLICES).contains(&slices.len()) {
            return Err(VolumeError::SliceCount { found: slices.len() });
        }
        let [rows, columns] = [0, 3].map(|from| [0, 1, 2].map(|axis| first.orientation[from + axis]));
        let product = |one: [f64; 3], other: [f64; 3]| one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
        // What is no number is off, too.
        let is_off = |found: f64, wanted: f64| !found.is_finite() || (found - wanted).abs() > ROUNDING;
        if is_off(product(rows, rows), 1.0)
            || is_off(product(columns, columns), 1.0)
            || is_off(product(rows, columns), 0.0)
        {
            return Err(VolumeError::Orientation);
        }
        let is_like_first = |slice: &SlicePosition| {
            let near = |one: &[f64], other: &[f64]| one.iter().zip(other).all(|(a, b)| !is_off(*a, *b));
            near(&slice.orientation, &first.orientation) && near(&slice.spacing_mm, &first.spacing_mm)
        };
        let is_spaced = first.spacing_mm.iter().all(|spacing| spacing.is_finite() && *spacing > 0.0);
        if !is_spaced || !slices.iter().all(is_like_first) {
            return Err(VolumeError::NotParallel);
        }
        let depths: Vec<f64> = slices.iter().map(SlicePosition::along_normal_mm).collect();
        let mut order: Vec<usize> = (0..slices.len()).collect();
        order.sort_by(|one, other| depths[*one].total_cmp(&depths[*other]));
        let gaps: Vec<f64> = order.windows(2).map(|pair| depths[pair[1]] - depths[pair[0]]).collect();
        let least_mm = gaps.iter().copied().fold(f64::INFINITY, f64::min);
        let most_mm = gaps.iter().copied().fold(0.0, f64::max);
        let gap_mm = gaps.iter().sum::<f64>() / gaps.len() as f64;
        // One that is no number is not above it.
        if !gaps.iter().all(|gap| *gap > ROUNDING) || !most_mm.is_finite() {
            return Err(VolumeError::SamePlace);
        }
        if most_mm - gap_mm > UNEQUAL * gap_mm || gap_mm - least_mm > UNEQUAL * gap_mm {
            return Err(VolumeError::UnequalGaps { least_mm, most_mm });
        }
        Ok(Self { order, gap_mm, spacing_mm: first.spacing_mm })
    }

    /// The slices, by their places among those that were given, in the order in which they lie.
    pub fn order(&self) -> &[usize] {
        &self.order
    }
}

/// A series at a network's spacing.
#[derive(Debug, Clone)]
pub struct Volume {
    stack: Stack,
    /// What a slice is made by.
    input: Input,
    /// Rows and columns of each slice as it came.
    frame: (u32, u32),
    /// `[channels, slices, rows, columns]`, slices as many as came.
    values: Array4<f32>,
    pushed: usize,
    /// Slices at the network's spacing.
    depth: usize,
}

impl Volume {
    /// Room for the slices of a stack, each with so many rows and columns, as the card's network wants them.
    ///
    /// # Errors
    ///
    /// [`VolumeError::NotForVolumes`], [`VolumeError::TooLarge`], [`VolumeError::Slices`] for slices without pixels.
    pub fn of(card: &Card, stack: Stack, rows: u32, columns: u32) -> Result<Self, VolumeError> {
        let slices = card.input.slices().ok_or(VolumeError::NotForVolumes)?;
        if rows == 0 || columns == 0 {
            return Err(VolumeError::Slices);
        }
        let at = |count: f64, spacing_mm: f64, wanted_mm: f32| {
            let lines = (count * spacing_mm / f64::from(wanted_mm)).round().max(1.0);
            if lines <= MOST_LINES { Ok(lines as usize) } else { Err(VolumeError::TooLarge) }
        };
        let count = stack.order.len();
        let (depth, size) = match card.input.spacing_mm {
            None => (slices, (card.input.rows(), card.input.columns())),
            Some([through, down, across]) => (
                at(count as f64, stack.gap_mm, through)?,
                (
                    at(f64::from(rows), stack.spacing_mm[0], down)?,
                    at(f64::from(columns), stack.spacing_mm[1], across)?,
                ),
            ),
        };
        let channels = card.input.channels.count();
        let deep = channels.max(card.outputs.classes.len());
        let values = count.max(depth).saturating_mul(deep).saturating_mul(size.0 * size.1);
        if values > MOST_VALUES {
            return Err(VolumeError::TooLarge);
        }
        let input = Input {
            shape: vec![1, channels, size.0, size.1],
            crop: Crop::None,
            pad: false,
            spacing_mm: None,
            ..card.input.clone()
        };
        let values = Array4::zeros((channels, count, size.0, size.1));
        Ok(Self { stack, input, frame: (rows, columns), values, pushed: 0, depth })
    }

    /// Takes the next slice in the stack's order.
    ///
    /// # Errors
    ///
    /// [`VolumeError::Slices`] for one of another size, and one too many; [`VolumeError::Prepare`];
    /// [`VolumeError::NotFinite`].
    pub fn push(&mut self, frame: &Frame) -> Result<(), VolumeError> {
        if (frame.rows, frame.columns) != self.frame || self.pushed == self.stack.order.len() {
            return Err(VolumeError::Slices);
        }
        let prepared = prepare(frame, &self.input)?;
        if !prepared.iter().all(|value| value.is_finite()) {
            return Err(VolumeError::NotFinite);
        }
        self.values.index_axis_mut(Axis(1), self.pushed).assign(&prepared.index_axis(Axis(0), 0));
        self.pushed += 1;
        Ok(())
    }

    /// What the network says of every voxel.
    ///
    /// At a spacing of its own a network sees the volume part by part; where parts overlap, the mean counts.
    ///
    /// # Errors
    ///
    /// [`VolumeError::Slices`] where some have not come; [`VolumeError::Network`].
    pub fn segment(self, network: &Network) -> Result<Segmented, VolumeError> {
        let Self { stack, input, frame, values, pushed, depth } = self;
        if pushed != stack.order.len() {
            return Err(VolumeError::Slices);
        }
        let resampled = through(values, depth, input.resize);
        let probabilities = tiles::run(network, &resampled)?;
        Ok(Segmented { card: network.card().clone(), stack, input, frame, probabilities })
    }
}

/// What a network says of every voxel of a series.
#[derive(Debug, Clone)]
pub struct Segmented {
    card: Card,
    stack: Stack,
    input: Input,
    /// Rows and columns of each slice as it came.
    frame: (u32, u32),
    /// `[classes, slices, rows, columns]` at the network's spacing.
    probabilities: Array4<f32>,
}

impl Segmented {
    /// The card's labels in their order, each made when it is asked for: it is as large as the volume.
    pub fn labels(&self) -> impl Iterator<Item = SegmentedLabel<'_>> {
        self.card.labels.iter().map(|label| {
            let is_own = |class: &usize| label.sum_of.contains(&self.card.outputs.classes[*class]);
            let (own, others): (Vec<usize>, Vec<usize>) =
                (0..self.card.outputs.classes.len()).partition(is_own);
            let excludes = segmentation::excludes_each_other(&self.card);
            let grid = tiles::of_classes(&self.probabilities, &own, excludes);
            // Only of a label without a threshold it is asked what the others say, each for itself.
            let others = (excludes && label.threshold.is_none())
                .then(|| tiles::of_classes(&self.probabilities, &others, false));
            SegmentedLabel { label, volume: self, grid, others }
        })
    }
}

/// What of a volume belongs to one label.
#[derive(Debug)]
pub struct SegmentedLabel<'a> {
    label: &'a Label,
    volume: &'a Segmented,
    /// How surely each voxel does, `[slices, rows, columns]`.
    grid: Array3<f32>,
    /// How surely each belongs to the likeliest other class, where that decides.
    others: Option<Array3<f32>>,
}

impl SegmentedLabel<'_> {
    /// How surely its surest voxel belongs to it; the frame is the slice, in the stack's order, in which most of it
    /// lies.
    pub fn score(&self) -> LabelScore {
        let (mut probability, mut most, mut frame) = (0.0_f32, 0, 0);
        for slice in self.slices() {
            probability = probability.max(slice.probability);
            let belongs = slice.is_set.iter().filter(|is_set| **is_set).count();
            if belongs > most {
                (most, frame) = (belongs, slice.fractions.frame);
            }
        }
        LabelScore {
            label: self.label.code.clone(),
            meaning: self.label.meaning.clone(),
            probability: probability.clamp(0.0, 1.0),
            threshold: self.label.threshold,
            frame,
            region: None,
        }
    }

    /// Its mask slice by slice, in the stack's order, at the network's in-plane size or the slice's own, whichever has
    /// fewer pixels.
    pub fn slices(&self) -> impl Iterator<Item = Mask> + '_ {
        let threshold = self.label.threshold.unwrap_or(HALF);
        let (rows, columns) = self.volume.frame;
        let (_, high, wide) = self.grid.dim();
        let size = if (high as u64) * (wide as u64) < u64::from(rows) * u64::from(columns) {
            (high as u32, wide as u32)
        } else {
            (rows, columns)
        };
        let way = WayBack::of(
            &self.volume.input,
            (rows as usize, columns as usize),
            (high, wide),
            (size.0 as usize, size.1 as usize),
        );
        let count = self.volume.stack.order.len();
        (0..count).map(move |slice| {
            let plane = slice_at(&self.grid, slice, count);
            let others = self.others.as_ref().map(|others| slice_at(others, slice, count));
            let pixels = way.pixels().map(|place| {
                let Some(place) = place else { return (0.0, false) };
                let part = between(&plane.view(), place);
                let is_set = match &others {
                    Some(others) => part > between(&others.view(), place),
                    None => part >= threshold,
                };
                (part, is_set)
            });
            Mask::of(self.label, slice as u32, size, pixels)
        })
    }
}

/// Between which two of `of` slices the slice `index` of `count` lies, and how far it is on the way to the second.
fn place(index: usize, count: usize, of: usize) -> (usize, usize, f32) {
    let centre = ((index as f64 + 0.5) * of as f64 / count as f64 - 0.5).clamp(0.0, (of.max(1) - 1) as f64);
    let first = centre.floor() as usize;
    (first, (first + 1).min(of.max(1) - 1), (centre - centre.floor()) as f32)
}

/// The volume with `depth` slices in place of those it has.
fn through(values: Array4<f32>, depth: usize, resize: Resize) -> Array4<f32> {
    let (channels, count, rows, columns) = values.dim();
    if depth == count {
        return values;
    }
    let mut resampled = Array4::zeros((channels, depth, rows, columns));
    for index in 0..depth {
        let (first, second, part) = place(index, depth, count);
        let part = if resize == Resize::Nearest { part.round() } else { part };
        let mut target = resampled.index_axis_mut(Axis(1), index);
        target.assign(&values.index_axis(Axis(1), first));
        target.zip_mut_with(&values.index_axis(Axis(1), second), |one, other| {
            *one = *one * (1.0 - part) + other * part;
        });
    }
    resampled
}

/// The plane of a grid `[slices, rows, columns]` at the slice `index` of `count`.
fn slice_at(grid: &Array3<f32>, index: usize, count: usize) -> Array2<f32> {
    let (first, second, part) = place(index, count, grid.dim().0);
    let (one, other): (ArrayView2<'_, f32>, ArrayView2<'_, f32>) =
        (grid.index_axis(Axis(0), first), grid.index_axis(Axis(0), second));
    let mut plane = one.to_owned();
    plane.zip_mut_with(&other, |one, other| *one = *one * (1.0 - part) + other * part);
    plane
}

#[cfg(test)]
mod tests;
