//! What hides what a network needed makes its label less probable.

use models::Label;
use ndarray::{Array2, ArrayD, Axis, Slice};
use rayon::prelude::*;

use crate::{InferenceError, Network, interpret};

/// So many parts a side are hidden one after the other: first large ones, then, while there is time, smaller ones.
const LEVELS: [usize; 3] = [4, 8, 16];
/// So many images are run between two questions whether to go on.
const BATCH: usize = 16;

/// For each label how much less probable it was with a part hidden, part by part over the input, the mean of every
/// size of parts that was tried through; `None` where there was no time for one.
pub(super) fn grids(
    network: &Network,
    frame: u32,
    input: &ArrayD<f32>,
    labels: &[&Label],
    keep_going: &dyn Fn() -> bool,
) -> Result<Option<Vec<Array2<f32>>>, InferenceError> {
    let (rows, columns) = (network.card().input.rows(), network.card().input.columns());
    let finest = *LEVELS.last().unwrap_or(&1);
    let whole = probabilities(network, frame, input, labels)?;
    let shades = means(input);
    let mut sums: Option<Vec<Array2<f32>>> = None;
    for parts in LEVELS {
        let side = (parts.min(rows), parts.min(columns));
        let places: Vec<(usize, usize)> =
            (0..side.0).flat_map(|row| (0..side.1).map(move |column| (row, column))).collect();
        let mut drops = vec![Array2::zeros(side); labels.len()];
        for batch in places.chunks(BATCH) {
            if !keep_going() {
                return Ok(sums);
            }
            let hidden: Vec<Vec<f32>> = batch
                .par_iter()
                .map(|(row, column)| {
                    let rows = row * rows / side.0..(row + 1) * rows / side.0;
                    let columns = column * columns / side.1..(column + 1) * columns / side.1;
                    let input = without(input, &shades, Slice::from(rows), Slice::from(columns));
                    probabilities(network, frame, &input, labels)
                })
                .collect::<Result<_, _>>()?;
            for (place, found) in batch.iter().zip(hidden) {
                for ((drops, found), whole) in drops.iter_mut().zip(found).zip(&whole) {
                    drops[*place] = (whole - found).max(0.0);
                }
            }
        }
        let sums = sums.get_or_insert_with(|| vec![Array2::zeros((finest, finest)); labels.len()]);
        for (sum, drops) in sums.iter_mut().zip(&drops) {
            for ((row, column), sum) in sum.indexed_iter_mut() {
                *sum += drops[[row * side.0 / finest, column * side.1 / finest]];
            }
        }
    }
    Ok(sums)
}

/// The probability of each label.
fn probabilities(
    network: &Network,
    frame: u32,
    input: &ArrayD<f32>,
    labels: &[&Label],
) -> Result<Vec<f32>, InferenceError> {
    let outputs = network.run(input.view())?;
    let scores = interpret::classification::labels(network.card(), &outputs, frame)?;
    let of = |label: &&Label| scores.iter().find(|score| score.label == label.code);
    Ok(labels.iter().map(|label| of(label).map_or(0.0, |score| score.probability)).collect())
}

/// The mean of each channel.
fn means(input: &ArrayD<f32>) -> Vec<f32> {
    (0..input.shape()[1]).map(|channel| input.index_axis(Axis(1), channel).mean().unwrap_or(0.0)).collect()
}

/// The input with one part in the means of its channels.
fn without(input: &ArrayD<f32>, shades: &[f32], rows: Slice, columns: Slice) -> ArrayD<f32> {
    let mut hidden = input.clone();
    for (channel, shade) in shades.iter().enumerate() {
        let mut plane = hidden.index_axis_mut(Axis(1), channel);
        let mut lines = plane.slice_axis_mut(Axis(1), rows);
        lines.slice_axis_mut(Axis(2), columns).fill(*shade);
    }
    hidden
}
