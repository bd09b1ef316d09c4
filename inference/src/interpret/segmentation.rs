//! One answer a class and pixel becomes one mask a label, as large as the frame.

use clinical::imaging::{Frame, FrameMap, LabelScore, Region};
use models::{Activation, Card, Label};
use ndarray::{Array3, ArrayView3, ArrayViewD, Axis, Ix3};

use crate::prepare::{WayBack, between};
use crate::{InferenceError, Outputs};

/// The most pixels of a mask; that of a larger frame has half of its rows and columns, or a quarter, and so on.
const MAX_PIXELS: u64 = 1 << 24;
/// How far probabilities may be from 0, 1 and a sum of 1, for rounding.
const TOLERANCE: f32 = 1e-3;
/// At or above it a pixel belongs to a label that has no threshold.
const HALF: f32 = 0.5;

/// Where one label lies in one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    /// The label's stable code.
    pub label: String,
    /// How surely each pixel belongs to it; nothing where the network did not look.
    pub fractions: FrameMap,
    /// Which pixels belong to it, as many as the map has: those at or above the label's threshold; of a label without
    /// one, those where it is likelier than each other class, or at least as likely as not where several may hold.
    pub is_set: Vec<bool>,
    /// The highest probability of a pixel.
    pub probability: f32,
    /// The least box around the pixels that belong to it.
    pub region: Option<Region>,
}

impl Mask {
    /// A label's mask over a frame, of how surely each of its pixels belongs to it, and whether it does.
    pub(crate) fn of(
        label: &Label,
        frame: u32,
        size: (u32, u32),
        pixels: impl Iterator<Item = (f32, bool)>,
    ) -> Self {
        let count = size.0 as usize * size.1 as usize;
        let (mut is_set, mut probability) = (Vec::with_capacity(count), 0.0_f32);
        let fractions = FrameMap::of_parts(
            frame,
            size.0,
            size.1,
            pixels.map(|(part, is_in)| {
                probability = probability.max(part);
                is_set.push(is_in);
                part
            }),
        );
        let region = region(frame, size, &is_set);
        Self { label: label.code.clone(), fractions, is_set, probability, region }
    }

    /// The label's score: how surely its surest pixel belongs to it.
    pub(crate) fn score(&self, card: &Card) -> LabelScore {
        let label = card.label(&self.label);
        LabelScore {
            label: self.label.clone(),
            meaning: label.map(|label| label.meaning.clone()).unwrap_or_default(),
            probability: self.probability,
            threshold: label.and_then(|label| label.threshold),
            frame: self.fractions.frame,
            region: self.region,
        }
    }
}

/// The masks of these labels of the card in their order, as large as the frame, each made when it is asked for.
///
/// # Errors
///
/// [`InferenceError::OutputShape`] where the mask is not `[1, classes, rows, columns]`,
/// [`InferenceError::NotProbabilities`].
pub(crate) fn masks<'a>(
    card: &'a Card,
    labels: impl IntoIterator<Item = &'a Label>,
    outputs: &Outputs,
    frame: &Frame,
) -> Result<impl Iterator<Item = Mask>, InferenceError> {
    let grid = probabilities(card, outputs)?;
    let (_, rows, columns) = grid.dim();
    let (frame_rows, frame_columns) = (frame.rows.max(1), frame.columns.max(1));
    let size = size_of(frame_rows, frame_columns);
    let way = WayBack::of(
        &card.input,
        (frame_rows as usize, frame_columns as usize),
        (rows, columns),
        (size.0 as usize, size.1 as usize),
    );
    let index = frame.index;
    Ok(labels.into_iter().map(move |label| mask(card, label, grid.view(), &way, (index, size))))
}

fn mask(
    card: &Card,
    label: &Label,
    grid: ArrayView3<'_, f32>,
    way: &WayBack,
    (frame, size): (u32, (u32, u32)),
) -> Mask {
    let excludes = excludes_each_other(card);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (class, plane) in card.outputs.classes.iter().zip(grid.axis_iter(Axis(0))) {
        if label.sum_of.contains(class) {
            ours.push(plane);
        } else if excludes && label.threshold.is_none() {
            // Only then it is asked what the others say.
            theirs.push(plane);
        }
    }
    let pixels = way.pixels().map(|place| {
        let Some(place) = place else { return (0.0, false) };
        let values = ours.iter().map(|plane| between(plane, place));
        let part = if excludes { values.sum() } else { values.fold(0.0, f32::max) }.clamp(0.0, 1.0);
        let is_set = match label.threshold {
            Some(threshold) => part >= threshold,
            None if excludes => theirs.iter().all(|plane| part > between(plane, place)),
            None => part >= HALF,
        };
        (part, is_set)
    });
    Mask::of(label, frame, size, pixels)
}

/// Whether a pixel belongs to one class alone: by softmax, and where ready probabilities of several classes are 1 together.
pub(crate) fn excludes_each_other(card: &Card) -> bool {
    card.outputs.activation == Some(Activation::Softmax)
        || (card.outputs.activation.is_none() && card.outputs.classes.len() > 1)
}

/// One probability a class and pixel of the network's grid.
fn probabilities(card: &Card, outputs: &Outputs) -> Result<Array3<f32>, InferenceError> {
    let name = card.outputs.answer();
    let classes = card.outputs.classes.len();
    let shaped = |values: ArrayViewD<'_, f32>| {
        let is_one = values.ndim() == 4 && values.shape()[0] == 1 && values.shape()[1] == classes;
        let planes =
            is_one.then(|| values.to_owned().index_axis_move(Axis(0), 0).into_dimensionality::<Ix3>());
        planes.and_then(Result::ok).filter(|planes| !planes.is_empty())
    };
    let found = outputs.get(name).map(|values| values.shape().to_vec()).unwrap_or_default();
    let planes = outputs.get(name).and_then(|values| shaped(values.view()));
    let mut planes = planes.ok_or_else(|| InferenceError::OutputShape {
        output: name.to_owned(),
        expected: format!("[1, {classes}, rows, columns]"),
        found,
    })?;
    activate(card, &mut planes)?;
    Ok(planes)
}

/// Makes probabilities of raw answers, class by class along the first axis; checks those that are some already.
pub(crate) fn activate<D: ndarray::Dimension + ndarray::RemoveAxis>(
    card: &Card,
    planes: &mut ndarray::Array<f32, D>,
) -> Result<(), InferenceError> {
    match card.outputs.activation {
        Some(Activation::Sigmoid) => planes.mapv_inplace(|value| 1.0 / (1.0 + (-value).exp())),
        Some(Activation::Softmax) => {
            for mut pixel in planes.lanes_mut(Axis(0)) {
                let highest = pixel.fold(f32::NEG_INFINITY, |one, other| one.max(*other));
                pixel.mapv_inplace(|value| (value - highest).exp());
                let whole = pixel.sum();
                pixel.mapv_inplace(|part| part / whole);
            }
        }
        None => {
            let is_one = |value: &f32| (-TOLERANCE..=1.0 + TOLERANCE).contains(value);
            if !planes.iter().all(is_one) {
                return Err(InferenceError::NotProbabilities(card.outputs.answer().to_owned()));
            }
        }
    }
    Ok(())
}

/// Rows and columns of a frame's mask.
fn size_of(mut rows: u32, mut columns: u32) -> (u32, u32) {
    while u64::from(rows) * u64::from(columns) > MAX_PIXELS {
        (rows, columns) = (rows.div_ceil(2), columns.div_ceil(2));
    }
    (rows, columns)
}

/// The least box around what is set.
fn region(frame: u32, (rows, columns): (u32, u32), is_set: &[bool]) -> Option<Region> {
    let (mut top, mut bottom, mut left, mut right) = (u32::MAX, 0, u32::MAX, 0);
    for (row, line) in (0..rows).zip(is_set.chunks_exact(columns as usize)) {
        let Some(first) = line.iter().position(|is_set| *is_set) else { continue };
        let last = line.iter().rposition(|is_set| *is_set).unwrap_or(first);
        (top, bottom) = (top.min(row), row + 1);
        (left, right) = (left.min(first as u32), right.max(last as u32 + 1));
    }
    let part = |value: u32, whole: u32| value as f32 / whole as f32;
    (top < bottom).then(|| Region {
        frame,
        left: part(left, columns),
        top: part(top, rows),
        width: part(right - left, columns),
        height: part(bottom - top, rows),
    })
}

#[cfg(test)]
mod tests {
    use clinical::imaging::{Photometric, Samples};
    use models::{Crop, Registry, Task};
    use ndarray::{ArrayD, IxDyn};

    use super::*;

    /// A network that marks `vessel` and `bleeding` in an image of 4 by 4.
    fn card(activation: Option<Activation>) -> Card {
        let mut card = Registry::built_in().get("pneumonia28").unwrap().clone();
        card.task = Task::Segmentation;
        card.input.shape = vec![1, 1, 4, 4];
        card.input.crop = Crop::None;
        card.outputs.probabilities = None;
        card.outputs.mask = Some("mask".to_owned());
        card.outputs.activation = activation;
        card.outputs.classes = ["nothing", "vessel", "bleeding"].map(str::to_owned).to_vec();
        let label = |code: &str, threshold| Label {
            code: code.to_owned(),
            meaning: code.to_owned(),
            sum_of: vec![code.to_owned()],
            threshold,
            chosen_for: None,
            coding: None,
        };
        card.labels = vec![label("vessel", Some(0.75)), label("bleeding", None)];
        card
    }

    /// The masks of all labels.
    fn all(card: &Card, outputs: &Outputs, frame: &Frame) -> Result<Vec<Mask>, InferenceError> {
        Ok(masks(card, &card.labels, outputs, frame)?.collect())
    }

    fn frame(rows: u32, columns: u32) -> Frame {
        Frame {
            index: 2,
            rows,
            columns,
            samples_per_pixel: 1,
            bits_stored: 8,
            samples: Samples::U8(vec![0; (rows * columns) as usize]),
            photometric: Photometric::Monochrome2,
            modality_lut: None,
            voi_lut: None,
            padding: None,
        }
    }

    /// `vessel` in the left half, `bleeding` in the lower right corner's pixel.
    fn answers(raw: bool) -> Outputs {
        let values = ArrayD::from_shape_fn(IxDyn(&[1, 3, 4, 4]), |at| {
            let true_class = match (at[2], at[3]) {
                (_, 0 | 1) => 1,
                (3, 3) => 2,
                _ => 0,
            };
            let parts = if at[1] == true_class { 0.8_f32 } else { 0.1 };
            if raw { parts.ln() } else { parts }
        });
        Outputs::from([("mask".to_owned(), values)])
    }

    #[test]
    fn a_mask_lies_where_the_network_saw_its_label() {
        for (activation, raw) in [(None, false), (Some(Activation::Softmax), true)] {
            let masks = all(&card(activation), &answers(raw), &frame(4, 4)).unwrap();
            let [vessel, bleeding] = masks.as_slice() else { panic!("two labels") };
            let set: Vec<usize> =
                vessel.is_set.iter().enumerate().filter(|(_, set)| **set).map(|(at, _)| at).collect();
            assert_eq!(set, [0, 1, 4, 5, 8, 9, 12, 13]);
            assert!((vessel.probability - 0.8).abs() < 1e-5);
            assert_eq!(vessel.fractions.part(0, 0), (0.8_f32 * 65535.0).round() / 65535.0);
            let half = Region { frame: 2, left: 0.0, top: 0.0, width: 0.5, height: 1.0 };
            assert_eq!(vessel.region, Some(half));
            let corner = Region { frame: 2, left: 0.75, top: 0.75, width: 0.25, height: 0.25 };
            assert_eq!(bleeding.region, Some(corner), "likelier than the others");
        }
    }

    /// By hand: sigmoid(0) is a half, and several classes may hold at one place.
    #[test]
    fn by_sigmoid_each_class_stands_for_itself() {
        let zeros = Outputs::from([("mask".to_owned(), ArrayD::zeros(IxDyn(&[1, 3, 2, 2])))]);
        let masks = all(&card(Some(Activation::Sigmoid)), &zeros, &frame(4, 4)).unwrap();
        assert!(masks.iter().all(|mask| mask.probability == 0.5));
        assert!(masks[0].is_set.iter().all(|set| !set), "its threshold is 0.75");
        assert!(masks[1].is_set.iter().all(|set| *set), "at least as likely as not");
        assert_eq!(masks[0].region, None);
        let score = masks[0].score(&card(None));
        assert_eq!((score.frame, score.is_positive()), (2, false));
    }

    #[test]
    fn a_mask_is_as_large_as_its_frame_up_to_a_bound() {
        assert_eq!(size_of(4000, 4000), (4000, 4000));
        assert_eq!(size_of(10_000, 4_000), (5_000, 2_000));
        assert_eq!(size_of(60_000, 60_000), (3_750, 3_750));
        let masks = all(&card(None), &answers(false), &frame(8, 12)).unwrap();
        assert_eq!((masks[0].fractions.rows, masks[0].fractions.columns), (8, 12));
        assert_eq!(
            masks[0].is_set.iter().filter(|set| **set).count(),
            8 * 5,
            "between columns 4 and 5 it falls below 0.75"
        );
    }

    #[test]
    fn what_is_no_mask_is_refused() {
        for shape in [&[1, 2, 4, 4][..], &[3, 4, 4], &[2, 3, 4, 4], &[1, 3, 0, 4], &[1, 3, 4, 4, 4]] {
            let outputs = Outputs::from([("mask".to_owned(), ArrayD::zeros(IxDyn(shape)))]);
            let refused = all(&card(None), &outputs, &frame(4, 4));
            assert!(matches!(refused, Err(InferenceError::OutputShape { .. })), "{shape:?}");
        }
        let refused = all(&card(None), &answers(true), &frame(4, 4));
        assert_eq!(
            refused,
            Err(InferenceError::NotProbabilities("mask".to_owned())),
            "these are raw answers"
        );
        assert!(all(&card(None), &Outputs::new(), &frame(4, 4)).is_err());
    }
}
