//! Why a network said what it said: what of a frame counted for a label, as a map over the frame.
//!
//! A network that gives class activation maps tells it itself, in one run. Of any other, parts of the image are hidden
//! one after the other: what hides what it needed makes the label less probable. That takes many runs, as many as the
//! caller lets go on.

mod occlusion;
pub(crate) mod overlay;

use clinical::imaging::{Frame, FrameMap, Region};
use models::{Card, Label, Task};
use ndarray::{Array2, Array3, ArrayView2, Axis, Ix3};

use crate::interpret::{self, detection, segmentation};
use crate::prepare::WayBack;
use crate::{InferenceError, Network, Outputs, prepare};

/// The longer side of a map that is no mask, in pixels.
const MAX_SIDE: u32 = 512;

/// By what a map was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// The network's own class activation maps (Zhou et al., 2016).
    ActivationMap,
    /// Parts of the image were hidden (Zeiler and Fergus, 2014).
    Occlusion,
    /// The network's mask: how surely each pixel belongs to the label.
    Mask,
    /// The network's boxes, each as strong as its score.
    Boxes,
}

/// What of a frame counted for one label.
#[derive(Debug, Clone, PartialEq)]
pub struct Saliency {
    /// The label's stable code.
    pub label: String,
    /// By what it was made.
    pub means: Means,
    /// Over the whole frame. Of activation maps and occlusion the greatest value is 65,535 wherever anything counted;
    /// of masks and boxes it is the probability.
    pub map: FrameMap,
}

/// What of a frame counted for each of these labels of the network's card, in their order; labels that the card does not
/// have are left out.
///
/// Masks are as large as the frame, other maps at most 512 pixels long. `keep_going` is asked before each batch of runs
/// over an image with a hidden part: once it says no, what was learned so far is the answer. It is empty where that is
/// nothing.
///
/// # Errors
///
/// As [`crate::analyze`], of the same frame.
pub fn explain(
    network: &Network,
    frame: &Frame,
    labels: &[&str],
    keep_going: &dyn Fn() -> bool,
) -> Result<Vec<Saliency>, InferenceError> {
    let card = network.card();
    let labels: Vec<&Label> = labels.iter().filter_map(|code| card.label(code)).collect();
    if labels.is_empty() || card.task == Task::Segmentation3d {
        return Ok(Vec::new());
    }
    let input = prepare(frame, &card.input)
        .map_err(|error| InferenceError::Frame { frame: frame.index, error })?
        .into_dyn();
    let outputs = network.run(input.view())?;
    match card.task {
        Task::Segmentation | Task::Segmentation3d => {
            let said = |mask: segmentation::Mask| Saliency {
                label: mask.label,
                means: Means::Mask,
                map: mask.fractions,
            };
            Ok(segmentation::masks(card, labels, &outputs, frame)?.map(said).collect())
        }
        Task::Detection => {
            let found = detection::findings(card, &outputs, frame)?;
            let boxes = |label: &&Label| {
                let own = found.iter().filter(|score| score.label == label.code);
                own.filter_map(|score| Some((score.region?, score.probability))).collect::<Vec<_>>()
            };
            let said = |label: &&Label| Saliency {
                label: label.code.clone(),
                means: Means::Boxes,
                map: painted(frame, &boxes(label)),
            };
            Ok(labels.iter().map(said).collect())
        }
        Task::Classification | Task::MultiLabel => match activation_maps(card, &outputs) {
            Some(maps) => {
                let probabilities = interpret::classification::probabilities(card, &outputs)?;
                let said = |label: &&Label| Saliency {
                    label: label.code.clone(),
                    means: Means::ActivationMap,
                    map: over_frame(card, frame, weighed(card, label, &maps, &probabilities).view()),
                };
                Ok(labels.iter().map(said).collect())
            }
            None => {
                let Some(grids) = occlusion::grids(network, frame.index, &input, &labels, keep_going)? else {
                    return Ok(Vec::new());
                };
                let said = |(label, grid): (&&Label, Array2<f32>)| Saliency {
                    label: label.code.clone(),
                    means: Means::Occlusion,
                    map: over_frame(card, frame, grid.view()),
                };
                Ok(labels.iter().zip(grids).map(said).collect())
            }
        },
    }
}

/// The class activation maps, `[classes, rows, columns]`, where the network gives some.
fn activation_maps(card: &Card, outputs: &Outputs) -> Option<Array3<f32>> {
    let maps = outputs.get(card.outputs.cam.as_deref()?)?;
    let fits = maps.ndim() == 4 && maps.shape()[0] == 1 && maps.shape()[1] == card.outputs.classes.len();
    let maps = fits.then(|| maps.index_axis(Axis(0), 0).to_owned().into_dimensionality::<Ix3>())?.ok()?;
    (!maps.is_empty()).then_some(maps)
}

/// What speaks for the label: of its classes' maps what is above 0, each as much as its class is probable.
fn weighed(card: &Card, label: &Label, maps: &Array3<f32>, probabilities: &[f32]) -> Array2<f32> {
    let mut sum = Array2::zeros((maps.dim().1, maps.dim().2));
    for (class, map) in maps.axis_iter(Axis(0)).enumerate() {
        if label.sum_of.contains(&card.outputs.classes[class]) {
            let weight = probabilities.get(class).copied().unwrap_or(0.0);
            sum.zip_mut_with(&map, |sum, value| *sum += weight * value.max(0.0));
        }
    }
    sum
}

/// A grid over the network's input as a map over the frame, its greatest value 1.
fn over_frame(card: &Card, frame: &Frame, grid: ArrayView2<'_, f32>) -> FrameMap {
    let (rows, columns) = size_of(frame);
    let way = WayBack::of(
        &card.input,
        (frame.rows.max(1) as usize, frame.columns.max(1) as usize),
        grid.dim(),
        (rows as usize, columns as usize),
    );
    let over = way.bring(grid);
    let most = over.fold(0.0_f32, |most, value| most.max(*value));
    let parts = over.iter().map(|value| if most > 0.0 { (value / most).max(0.0) } else { 0.0 });
    FrameMap::of_parts(frame.index, rows, columns, parts)
}

/// Boxes over the frame, each as strong as its score.
fn painted(frame: &Frame, boxes: &[(Region, f32)]) -> FrameMap {
    let (rows, columns) = size_of(frame);
    let holds = |start: f32, length: f32, at: u32, whole: u32| {
        let part = (at as f32 + 0.5) / whole as f32;
        (start..start + length).contains(&part)
    };
    let parts =
        (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))).map(|(row, column)| {
            let here = boxes.iter().filter(|(region, _)| {
                holds(region.top, region.height, row, rows)
                    && holds(region.left, region.width, column, columns)
            });
            here.map(|(_, score)| *score).fold(0.0, f32::max)
        });
    FrameMap::of_parts(frame.index, rows, columns, parts)
}

/// Rows and columns of a frame's map.
fn size_of(frame: &Frame) -> (u32, u32) {
    let (rows, columns) = (frame.rows.max(1), frame.columns.max(1));
    let longer = rows.max(columns);
    if longer <= MAX_SIDE {
        return (rows, columns);
    }
    let less = |side: u32| {
        let side = (u64::from(side) * u64::from(MAX_SIDE)).div_ceil(u64::from(longer));
        u32::try_from(side).unwrap_or(MAX_SIDE).max(1)
    };
    (less(rows), less(columns))
}

#[cfg(test)]
mod tests;
