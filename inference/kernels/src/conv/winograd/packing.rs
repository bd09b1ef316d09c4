//! Weights on their way into the domain where a convolution is a product.

use super::super::spec::Geometry;
use super::Winograd;
use super::filter::Weights;
use crate::isa::lanes::LANES;

impl Winograd {
    /// Transforms the weights and writes them to their places.
    pub(in super::super) fn pack(&self, geometry: &Geometry, weights: &[f32], to: &mut [f32]) {
        match self.filter.weights() {
            Weights::OfThree(by) => self.pack_by(by, geometry, weights, to),
            Weights::OfFour(by) => self.pack_by(by, geometry, weights, to),
        }
    }

    fn pack_by<const TAPS: usize>(
        &self,
        by: &[[f64; TAPS]],
        geometry: &Geometry,
        weights: &[f32],
        to: &mut [f32],
    ) {
        // one group, forward: an output's weights lie side by side, channel by channel
        let of_output = geometry.group_in * geometry.taps;
        for panel in &self.panels.list {
            let width = panel.blocks * LANES;
            let rows = &self.panels.lines[panel.list].rows;
            for (index, row) in rows.iter().enumerate() {
                let Some(channel) = row.channel else { continue };
                let place_of = |y: usize, x: usize| match &self.fold {
                    Some(fold) => fold.weight(channel, (y, x)),
                    None => Some(channel * geometry.taps + (row.tap * TAPS + y) * TAPS + x),
                };
                for block in 0..panel.blocks {
                    let mut window = [[[0.0; LANES]; TAPS]; TAPS];
                    let first = (panel.first_block + block) * LANES;
                    let outs = geometry.spec.out_channels.saturating_sub(first).min(LANES);
                    for (y, line) in window.iter_mut().enumerate() {
                        for (x, values) in line.iter_mut().enumerate() {
                            let Some(place) = place_of(y, x) else { continue };
                            let weights = weights[first * of_output + place..].iter().step_by(of_output);
                            let values = values.iter_mut().take(outs);
                            values.zip(weights).for_each(|(value, weight)| *value = f64::from(*weight));
                        }
                    }
                    transform(by, &window, |transformed, values| {
                        let place =
                            self.weights(panel, transformed, rows.len()) + index * width + block * LANES;
                        to[place..place + LANES]
                            .iter_mut()
                            .zip(values)
                            .for_each(|(it, value)| *it = value as f32);
                    });
                }
            }
        }
    }
}

/// `G w Gᵀ` for sixteen windows at once.
fn transform<const TAPS: usize>(
    by: &[[f64; TAPS]],
    window: &[[[f64; LANES]; TAPS]; TAPS],
    mut put: impl FnMut(usize, [f64; LANES]),
) {
    for (y, down) in by.iter().enumerate() {
        let mut row = [[0.0; LANES]; TAPS];
        for (x, value) in row.iter_mut().enumerate() {
            for (weight, line) in down.iter().zip(window) {
                add_times(value, *weight, &line[x]);
            }
        }
        for (x, across) in by.iter().enumerate() {
            let mut value = [0.0; LANES];
            for (weight, of) in across.iter().zip(&row) {
                add_times(&mut value, *weight, of);
            }
            put(y * by.len() + x, value);
        }
    }
}

#[inline]
fn add_times(value: &mut [f64; LANES], weight: f64, of: &[f64; LANES]) {
    value.iter_mut().zip(of).for_each(|(value, of)| *value += weight * of);
}
