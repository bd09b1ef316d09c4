//! What looks at a whole channel, or across channels.

/// `(x - mean) / sqrt(variance + epsilon) * gamma + beta` over so many groups of channels.
pub fn normalization(
    input: &[f32],
    groups: usize,
    (gamma, beta): (&[f32], &[f32]),
    epsilon: f64,
) -> Vec<f64> {
    let group_len = input.len() / groups;
    let pixels = input.len() / gamma.len();
    let mut out = Vec::new();
    for group in input.chunks_exact(group_len) {
        let mean = group.iter().map(|x| f64::from(*x)).sum::<f64>() / group_len as f64;
        let variance = group.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / group_len as f64;
        for x in group {
            let channel = out.len() / pixels;
            let normal = (f64::from(*x) - mean) / (variance + epsilon).sqrt();
            out.push(normal * f64::from(gamma[channel]) + f64::from(beta[channel]));
        }
    }
    out
}

/// `x / (bias + alpha / size * Σ x²)^beta` over `size` channels around each.
pub fn local_response(
    input: &[f32],
    channels: usize,
    size: usize,
    (alpha, beta, bias): (f64, f64, f64),
) -> Vec<f64> {
    let pixels = input.len() / channels;
    let value = |channel: usize, pixel: usize| f64::from(input[channel * pixels + pixel]);
    let (before, after) = ((size - 1) / 2, size - 1 - (size - 1) / 2);
    let mut out = Vec::new();
    for channel in 0..channels {
        for pixel in 0..pixels {
            let around = channel.saturating_sub(before)..(channel + after + 1).min(channels);
            let sum: f64 = around.map(|it| value(it, pixel).powi(2)).sum();
            out.push(value(channel, pixel) / (bias + alpha / size as f64 * sum).powf(beta));
        }
    }
    out
}

/// `e^x / Σ e^x` over the channels of each pixel.
pub fn softmax(input: &[f32], channels: usize) -> Vec<f64> {
    let pixels = input.len() / channels;
    let value = |channel: usize, pixel: usize| f64::from(input[channel * pixels + pixel]);
    let mut out = Vec::new();
    for channel in 0..channels {
        for pixel in 0..pixels {
            let sum: f64 = (0..channels).map(|it| (value(it, pixel) - value(channel, pixel)).exp()).sum();
            out.push(1.0 / sum);
        }
    }
    out
}
