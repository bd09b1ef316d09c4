//! A network over a volume that may be larger than what it takes at once.

use models::Card;
use ndarray::{Array3, Array4, ArrayD, Axis, Ix4, Slice};
use rayon::prelude::*;

use super::VolumeError;
use crate::interpret::segmentation;
use crate::{InferenceError, Network};

/// The most parts of a volume.
const MOST_TILES: usize = 4_096;

/// One probability a class and voxel, `[classes, slices, rows, columns]`, for `[channels, slices, rows, columns]`.
pub(super) fn run(network: &Network, volume: &Array4<f32>) -> Result<Array4<f32>, VolumeError> {
    let card = network.card();
    let (_, depth, rows, columns) = volume.dim();
    let wanted =
        [card.input.slices().ok_or(VolumeError::NotForVolumes)?, card.input.rows(), card.input.columns()];
    let classes = card.outputs.classes.len();
    let starts = [starts(depth, wanted[0]), starts(rows, wanted[1]), starts(columns, wanted[2])];
    if starts.iter().map(Vec::len).product::<usize>() > MOST_TILES {
        return Err(VolumeError::TooLarge);
    }
    let mut sums = Array4::<f32>::zeros((classes, depth, rows, columns));
    let mut seen = Array3::<f32>::zeros((depth, rows, columns));
    let lengths = [depth, rows, columns];
    let within: [usize; 3] = std::array::from_fn(|axis| wanted[axis].min(lengths[axis]));
    let places: Vec<[usize; 3]> = starts[0]
        .iter()
        .flat_map(|slice| starts[1].iter().map(move |row| (slice, row)))
        .flat_map(|(slice, row)| starts[2].iter().map(move |column| [*slice, *row, *column]))
        .collect();
    // As many at a time as there are threads, added up in one order: the sums are the same bits again.
    for batch in places.chunks(rayon::current_num_threads().max(1)) {
        let answers: Vec<Array4<f32>> = batch
            .par_iter()
            .map(|at| probabilities(network, tile(card, volume, *at, within), wanted))
            .collect::<Result<_, _>>()?;
        for (at, answer) in batch.iter().zip(&answers) {
            let (mut answer, mut sum, mut count) = (answer.view(), sums.view_mut(), seen.view_mut());
            for (axis, length) in within.into_iter().enumerate() {
                let cut = Slice::from(at[axis]..at[axis] + length);
                answer.slice_axis_inplace(Axis(axis + 1), Slice::from(0..length));
                sum.slice_axis_inplace(Axis(axis + 1), cut);
                count.slice_axis_inplace(Axis(axis), cut);
            }
            sum += &answer;
            count += 1.0;
        }
    }
    for mut class in sums.axis_iter_mut(Axis(0)) {
        class /= &seen;
    }
    Ok(sums)
}

/// The part of a volume that begins at `at`, `within` voxels long, in an input of the network's, black beyond it.
fn tile(card: &Card, volume: &Array4<f32>, at: [usize; 3], within: [usize; 3]) -> ArrayD<f32> {
    let [black, _] = card.input.value_range;
    let mut tile = ArrayD::<f32>::zeros(card.input.shape.as_slice());
    for channel in 0..card.input.channels.count() {
        let (mean, deviation) = card.input.normalisation(channel);
        tile.index_axis_mut(Axis(1), channel).fill((black - mean) / deviation);
    }
    let mut part = volume.view();
    let mut target = tile.index_axis_mut(Axis(0), 0);
    for (axis, length) in within.into_iter().enumerate() {
        part.slice_axis_inplace(Axis(axis + 1), Slice::from(at[axis]..at[axis] + length));
        target.slice_axis_inplace(Axis(axis + 1), Slice::from(0..length));
    }
    target.assign(&part);
    tile
}

/// Where parts of `wanted` begin, spread evenly over `length`, so that all of it is seen.
fn starts(length: usize, wanted: usize) -> Vec<usize> {
    let count = length.div_ceil(wanted.max(1)).max(1);
    let last = length.saturating_sub(wanted);
    (0..count).map(|index| if count == 1 { 0 } else { index * last / (count - 1) }).collect()
}

/// One probability a class and voxel of one part.
fn probabilities(
    network: &Network,
    tile: ArrayD<f32>,
    wanted: [usize; 3],
) -> Result<Array4<f32>, VolumeError> {
    let card = network.card();
    let mut outputs = network.run(tile.view())?;
    let (name, classes) = (card.outputs.answer(), card.outputs.classes.len());
    let [slices, rows, columns] = wanted;
    let answer = outputs.remove(name);
    let found = answer.as_ref().map(|values| values.shape().to_vec()).unwrap_or_default();
    let shaped = answer.filter(|_| found == [1, classes, slices, rows, columns]);
    let planes =
        shaped.and_then(|values| values.index_axis_move(Axis(0), 0).into_dimensionality::<Ix4>().ok());
    let mut planes = planes.ok_or_else(|| InferenceError::OutputShape {
        output: name.to_owned(),
        expected: format!("[1, {classes}, {slices}, {rows}, {columns}]"),
        found,
    })?;
    segmentation::activate(card, &mut planes)?;
    Ok(planes)
}

/// How surely each voxel belongs to any of these classes taken together, else to the likeliest of them.
pub(super) fn of_classes(probabilities: &Array4<f32>, classes: &[usize], are_together: bool) -> Array3<f32> {
    let (_, depth, rows, columns) = probabilities.dim();
    let mut part = Array3::zeros((depth, rows, columns));
    for class in classes {
        part.zip_mut_with(&probabilities.index_axis(Axis(0), *class), |sum: &mut f32, value| {
            *sum = if are_together { (*sum + value).min(1.0) } else { sum.max(*value) };
        });
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand.
    #[test]
    fn parts_cover_all_of_a_length() {
        assert_eq!(starts(64, 64), [0]);
        assert_eq!(starts(10, 64), [0], "the rest is filled up");
        assert_eq!(starts(128, 64), [0, 64]);
        assert_eq!(starts(130, 64), [0, 33, 66]);
    }
}
