//! Convolution, forward and transposed.

use super::{index, places};
use crate::conv::{ConvolutionSpec, Direction};
use crate::error::KernelError;

/// The sums of a convolution with its bias, before residual and activation.
///
/// # Errors
///
/// As [`ConvolutionSpec::output_extent`].
pub fn convolution(
    spec: &ConvolutionSpec,
    input: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
) -> Result<Vec<f64>, KernelError> {
    let out_extent = spec.output_extent()?;
    let (group_in, group_out) = (spec.in_channels() / spec.groups, spec.out_channels / spec.groups);
    let taps: usize = spec.kernel.iter().product();
    let out_pixels: usize = out_extent.iter().product();
    let pixels: usize = spec.extent.iter().product();
    let mut out = vec![0.0; spec.out_channels * out_pixels];
    for (pixel, output) in places(out_extent).enumerate() {
        // which of a channel's numbers meets which weight
        let reached: Vec<(usize, usize)> = places(spec.kernel)
            .enumerate()
            .filter_map(|(tap, window)| {
                Some((tap, index(spec.extent, window_reaches(spec, output, window)?)?))
            })
            .collect();
        for channel in 0..spec.out_channels {
            let mut sum = bias.map_or(0.0, |bias| f64::from(bias[channel]));
            for of_group in 0..group_in {
                let from = channel / group_out * group_in + of_group;
                let pair = match spec.direction {
                    Direction::Forward => channel * group_in + of_group,
                    Direction::Transposed { .. } => from * group_out + channel % group_out,
                };
                for (tap, index) in &reached {
                    sum += f64::from(input[from * pixels + index]) * f64::from(weights[pair * taps + tap]);
                }
            }
            out[channel * out_pixels + pixel] = sum;
        }
    }
    Ok(out)
}

/// The input that an output meets at a place of the window.
fn window_reaches(spec: &ConvolutionSpec, output: [usize; 3], window: [usize; 3]) -> Option<[isize; 3]> {
    let mut place = [0; 3];
    for axis in 0..3 {
        let (stride, pad) = (spec.stride[axis] as isize, spec.pad_before[axis] as isize);
        let (output, step) = (output[axis] as isize, (window[axis] * spec.dilation[axis]) as isize);
        place[axis] = match spec.direction {
            Direction::Forward => output * stride - pad + step,
            Direction::Transposed { .. } => {
                let numerator = output + pad - step;
                if numerator.rem_euclid(stride) != 0 {
                    return None;
                }
                numerator.div_euclid(stride)
            }
        };
    }
    Some(place)
}
