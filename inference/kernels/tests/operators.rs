//! Pooling, resizing, sums, products and normalizations against the naive ones, between guards.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use kernels::{
    Activation, Affine, Channels, Combine, Coordinates, Interpolation, KernelError, LocalResponse,
    Normalization, OneThread, Pair, Pool, PoolSpec, Pooling, Resize, ScopedThreads, Scratch, Softmax, Tensor,
    pool_globally, reference,
};
use support::*;

/// Of the largest number.
const SHARE: f64 = 5e-6;

fn side(seeded: &mut Seeded) -> Against {
    seeded.one_of(&[Against::Start, Against::End])
}

#[test]
fn pools_of_every_shape_are_right() {
    for isa in isas() {
        for seed in cases(200) {
            let seeded = &mut Seeded::new(seed);
            let channels = untidy_channels(seeded, 20);
            let mut spec = PoolSpec::new(seeded.extent(1, 17), seeded.extent(1, 4));
            spec.stride = seeded.extent(1, 3);
            spec.dilation = seeded.extent(1, 2);
            spec.pad_before = seeded.extent(0, 2);
            spec.pad_after = seeded.extent(0, 2);
            spec.keeps_last = seeded.between(0, 1) == 1;
            let pooling = seeded.one_of(&[Pooling::Max, Pooling::Average, Pooling::AveragePadded]);
            let Ok(pool) = Pool::new(pooling, spec, isa) else { continue };
            let wanted = |input: &[f32]| reference::pooling(pooling, &spec, channels.count(), input).unwrap();
            let input = seeded.numbers(channels.count() * spec.extent.iter().product::<usize>());
            let against = side(seeded);
            let tensor = GuardedTensor::new(&input, &channels, spec.extent, against);
            let mut output = GuardedTensor::unwritten(&channels, pool.output_extent(), against);
            let threads = ScopedThreads(seeded.between(1, 3));
            let wanted = wanted(&input);
            pool.run_on(&threads, &tensor.view(), &mut output.view_mut()).unwrap();
            assert_close(&output.plain(), &wanted, SHARE, 1.0, &(pooling, spec));
        }
    }
}

/// Of 4 rows, a window of 2 with 5 rows between its places and one row of padding sees none: -1 and 4.
#[test]
fn a_window_that_steps_over_its_input_is_refused() {
    let spec = PoolSpec { stride: [1; 3], pad_before: [0, 1, 0], ..PoolSpec::new([1, 4, 4], [1, 2, 1]) };
    for isa in isas() {
        for pooling in [Pooling::Max, Pooling::Average, Pooling::AveragePadded] {
            let build = |dilation| Pool::new(pooling, PoolSpec { dilation: [1, dilation, 1], ..spec }, isa);
            assert!(matches!(build(5), Err(KernelError::Impossible(_))));
            assert!(build(4).is_ok(), "its first window sees row 3");
        }
    }
}

/// IEEE 754's maximum (2019, 9.6): what is no number is not lost in a window, wherever it stands.
#[test]
fn a_pool_keeps_what_is_no_number() {
    let (channels, extent) = (Channels::dense(1).unwrap(), [1, 3, 3]);
    for isa in isas() {
        let spec = PoolSpec::new(extent, extent);
        let pool = Pool::new(Pooling::Max, spec, isa).unwrap();
        for place in 0..9 {
            let mut numbers = [1.0; 9];
            numbers[place] = f32::NAN;
            let tensor = Tensor::from_plain(&numbers, channels.clone(), extent).unwrap();
            let mut output = Tensor::zeros(channels.clone(), [1; 3]).unwrap();
            pool.run(&tensor.view(), &mut output.view_mut()).unwrap();
            assert!(output.to_plain()[0].is_nan(), "{isa}: place {place} of a window");
            pool_globally(isa, Pooling::Max, &tensor.view(), &mut output.view_mut()).unwrap();
            assert!(output.to_plain()[0].is_nan(), "{isa}: place {place} of a channel");
        }
    }
}

#[test]
fn global_pools_see_every_pixel() {
    for isa in isas() {
        for seed in cases(40) {
            let seeded = &mut Seeded::new(seed);
            let channels = untidy_channels(seeded, 20);
            let spec = PoolSpec::new(seeded.extent(1, 12), [1; 3]);
            let spec = PoolSpec { kernel: spec.extent, ..spec };
            let input = seeded.numbers(channels.count() * spec.extent.iter().product::<usize>());
            for pooling in [Pooling::Max, Pooling::Average] {
                let tensor = GuardedTensor::new(&input, &channels, spec.extent, Against::End);
                let mut output = GuardedTensor::unwritten(&channels, [1; 3], Against::Start);
                pool_globally(isa, pooling, &tensor.view(), &mut output.view_mut()).unwrap();
                let wanted = reference::pooling(pooling, &spec, channels.count(), &input).unwrap();
                assert_close(&output.plain(), &wanted, SHARE, 1.0, &spec);
            }
        }
    }
}

#[test]
fn resizes_of_every_kind_are_right() {
    for isa in isas() {
        for seed in cases(200) {
            let seeded = &mut Seeded::new(seed);
            let channels = untidy_channels(seeded, 20);
            let (from, to) = (seeded.extent(1, 9), seeded.extent(1, 13));
            let interpolation = seeded.one_of(&[
                Interpolation::Linear,
                Interpolation::Linear,
                Interpolation::NearestFloor,
                Interpolation::NearestCeil,
                Interpolation::NearestPreferFloor,
                Interpolation::NearestPreferCeil,
            ]);
            let coordinates = seeded.one_of(&[
                Coordinates::HalfPixel,
                Coordinates::PytorchHalfPixel,
                Coordinates::AlignCorners,
                Coordinates::Asymmetric,
            ]);
            let input = seeded.numbers(channels.count() * from.iter().product::<usize>());
            let wanted = reference::resize(&input, channels.count(), (from, to), interpolation, coordinates);
            let against = side(seeded);
            let tensor = GuardedTensor::new(&input, &channels, from, against);
            let mut output = GuardedTensor::unwritten(&channels, to, against);
            let resize = Resize::new((from, to), None, (interpolation, coordinates), isa).unwrap();
            let threads = ScopedThreads(seeded.between(1, 3));
            resize.run_on(&threads, &tensor.view(), &mut output.view_mut(), &mut Scratch::new()).unwrap();
            assert_close(&output.plain(), &wanted, SHARE, 1.0, &(from, to, interpolation, coordinates));
        }
    }
}

/// ONNX's own example `resize_upsample_scales_linear` (operator tests of onnx 1.17).
#[test]
fn linear_resizing_agrees_with_the_example_of_onnx() {
    let tensor = Tensor::from_plain(&[1.0, 2.0, 3.0, 4.0], Channels::dense(1).unwrap(), [1, 2, 2]).unwrap();
    let way = (Interpolation::Linear, Coordinates::HalfPixel);
    for isa in isas() {
        let mut output = Tensor::zeros(Channels::dense(1).unwrap(), [1, 4, 4]).unwrap();
        let resize = Resize::new(([1, 2, 2], [1, 4, 4]), None, way, isa).unwrap();
        resize.run_on(&OneThread, &tensor.view(), &mut output.view_mut(), &mut Scratch::new()).unwrap();
        let wanted =
            [[1.0, 1.25, 1.75, 2.0], [1.5, 1.75, 2.25, 2.5], [2.5, 2.75, 3.25, 3.5], [3.0, 3.25, 3.75, 4.0]];
        assert_eq!(output.to_plain(), wanted.concat());
    }
}

#[test]
fn sums_and_products_are_right_in_place_and_elsewhere() {
    for isa in isas() {
        for seed in cases(80) {
            let seeded = &mut Seeded::new(seed);
            let channels = untidy_channels(seeded, 20);
            let extent = seeded.extent(1, 9);
            let pixels: usize = extent.iter().product();
            let is_one_pixel = seeded.between(0, 1) == 1;
            let right_extent = if is_one_pixel { [1; 3] } else { extent };
            let left = seeded.numbers(channels.count() * pixels);
            let right = seeded.numbers(channels.count() * right_extent.iter().product::<usize>());
            let choices = [Activation::None, Activation::Relu, Activation::Silu, Activation::LeakyRelu(0.3)];
            let (pair, activation) = (seeded.one_of(&[Pair::Add, Pair::Multiply]), seeded.one_of(&choices));
            let wanted = |(index, left): (usize, &f32)| {
                let right = f64::from(right[if is_one_pixel { index / pixels } else { index }]);
                let joined = match pair {
                    Pair::Add => f64::from(*left) + right,
                    Pair::Multiply => f64::from(*left) * right,
                };
                reference::activation(&activation, joined, index / pixels)
            };
            let wanted: Vec<f64> = left.iter().enumerate().map(wanted).collect();

            let against = side(seeded);
            let mut left = GuardedTensor::new(&left, &channels, extent, against);
            let right = GuardedTensor::new(&right, &channels, right_extent, against);
            let mut output = GuardedTensor::unwritten(&channels, extent, against);
            let combine = Combine::new(pair, &channels, &activation, isa).unwrap();
            combine.run(&left.view(), &right.view(), &mut output.view_mut()).unwrap();
            assert_close(&output.plain(), &wanted, SHARE, 1.0, &(pair, &activation));
            combine.run_in_place(&OneThread, &mut left.view_mut(), &right.view()).unwrap();
            assert_close(&left.plain(), &wanted, SHARE, 1.0, &(pair, &activation));
        }
    }
}

#[test]
fn normalizations_of_every_grouping_are_right() {
    for isa in isas() {
        for seed in cases(80) {
            let seeded = &mut Seeded::new(seed);
            let channels = untidy_channels(seeded, 20);
            let divisors: Vec<usize> =
                (1..=channels.count()).filter(|it| channels.count().is_multiple_of(*it)).collect();
            let groups = seeded.one_of(&divisors);
            let extent = seeded.extent(2, 14);
            // far from zero: a sum of squares would lose the variance
            let input: Vec<f32> = seeded
                .numbers(channels.count() * extent.iter().product::<usize>())
                .iter()
                .map(|x| x + 30.0)
                .collect();
            let (gamma, beta) = (seeded.numbers(channels.count()), seeded.numbers(channels.count()));
            let wanted: Vec<f64> = reference::normalization(&input, groups, (&gamma, &beta), 1e-5)
                .into_iter()
                .map(|x| reference::activation(&Activation::LeakyRelu(0.01), x, 0))
                .collect();
            let against = side(seeded);
            let mut tensor = GuardedTensor::new(&input, &channels, extent, against);
            let mut output = GuardedTensor::unwritten(&channels, extent, against);
            let activation = Activation::LeakyRelu(0.01);
            let normalization =
                Normalization::new(&channels, groups, (&gamma, &beta), 1e-5, &activation, isa).unwrap();
            normalization.run_on(&ScopedThreads(2), &tensor.view(), &mut output.view_mut()).unwrap();
            // scale and shift are rounded to 24 bits, and the numbers are 30 times their spread
            assert_close(&output.plain(), &wanted, 2e-5, largest(wanted.iter().copied()), &(groups, extent));
            normalization.run_in_place(&ScopedThreads(2), &mut tensor.view_mut()).unwrap();
            assert_eq!(tensor.plain(), output.plain());
        }
    }
}

/// Scale and shift by hand: (x - 3) / sqrt(4) * 2 + 1 = x - 2.
#[test]
fn a_batch_normalization_becomes_a_scale_and_a_shift() {
    let numbers: [&[f32]; 4] = [&[2.0], &[1.0], &[3.0], &[3.0]];
    let (scale, shift) = Affine::of_batch_normalization(numbers, 1.0).unwrap();
    assert_eq!((&scale[..], &shift[..]), (&[1.0][..], &[-2.0][..]));
    let channels = Channels::dense(1).unwrap();
    for isa in isas() {
        let affine = Affine::new(&channels, &scale, &shift, &Activation::Relu, isa).unwrap();
        let mut tensor = Tensor::from_plain(&[1.0, 5.0], channels.clone(), [1, 1, 2]).unwrap();
        let mut output = Tensor::zeros(channels.clone(), [1, 1, 2]).unwrap();
        affine.run(&tensor.view(), &mut output.view_mut()).unwrap();
        affine.run_in_place(&OneThread, &mut tensor.view_mut()).unwrap();
        assert_eq!(output.to_plain(), [0.0, 3.0]);
        assert_eq!(tensor.to_plain(), [0.0, 3.0]);
    }
}

/// Each curve over a range where all its parts are met, and far outside of it.
#[test]
fn activations_are_right_from_end_to_end() {
    let channels = Channels::dense(1).unwrap();
    let step = if cfg!(miri) { 80 } else { 1 };
    let xs: Vec<f32> =
        (-400..=400).step_by(step).map(|it| it as f32 / 40.0).chain([-90.0, 90.0, -1e4, 1e4, 0.0]).collect();
    let all = [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu(0.1),
        Activation::PRelu(vec![0.25]),
        Activation::Clip { min: -0.5, max: 6.0 },
        Activation::Silu,
        Activation::HardSwish,
        Activation::Sigmoid,
        Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Activation::Tanh,
        Activation::Gelu,
        Activation::GeluTanh,
    ];
    for isa in isas() {
        for activation in &all {
            let affine = Affine::identity(&channels, activation, isa).unwrap();
            let mut tensor = Tensor::from_plain(&xs, channels.clone(), [1, 1, xs.len()]).unwrap();
            affine.run_in_place(&OneThread, &mut tensor.view_mut()).unwrap();
            for (x, got) in xs.iter().zip(tensor.to_plain()) {
                let wanted = reference::activation(activation, f64::from(*x), 0);
                // 1.5e-7 is the error of the formula for erf (Abramowitz and Stegun, 7.1.26)
                let most = 4e-7 * wanted.abs().max(1.0);
                assert!(
                    (f64::from(got) - wanted).abs() <= most,
                    "{isa} {activation:?}({x}) is {got}, not {wanted}"
                );
            }
        }
    }
}

#[test]
fn what_is_no_number_passes_through_bounds() {
    let channels = Channels::dense(1).unwrap();
    for isa in isas() {
        for activation in
            [Activation::Relu, Activation::Clip { min: 0.0, max: 6.0 }, Activation::LeakyRelu(0.1)]
        {
            let affine = Affine::identity(&channels, &activation, isa).unwrap();
            let mut tensor = Tensor::from_plain(&[f32::NAN], channels.clone(), [1; 3]).unwrap();
            affine.run_in_place(&OneThread, &mut tensor.view_mut()).unwrap();
            assert!(tensor.to_plain()[0].is_nan(), "{isa} {activation:?}");
        }
    }
}

#[test]
fn local_responses_are_right() {
    for isa in isas() {
        for seed in cases(60) {
            let seeded = &mut Seeded::new(seed);
            let channels = Channels::dense(seeded.between(1, 40)).unwrap();
            let (extent, size) = (seeded.extent(1, 9), seeded.between(1, 7));
            let beta = seeded.one_of(&[0.75, 0.5]);
            let input = seeded.numbers(channels.count() * extent.iter().product::<usize>());
            let wanted =
                reference::local_response(&input, channels.count(), size, (0.9, f64::from(beta), 1.0));
            let against = side(seeded);
            let tensor = GuardedTensor::new(&input, &channels, extent, against);
            let mut output = GuardedTensor::unwritten(&channels, extent, against);
            let response = LocalResponse::new(&channels, size, (0.9, beta, 1.0), isa).unwrap();
            let threads = ScopedThreads(2);
            response.run_on(&threads, &tensor.view(), &mut output.view_mut(), &mut Scratch::new()).unwrap();
            assert_close(&output.plain(), &wanted, SHARE, 1.0, &(channels.count(), extent, size, beta));
        }
        let untidy = Channels::dense(3).unwrap().permuted(&[2, 1, 0]).unwrap();
        let error = LocalResponse::new(&untidy, 5, (1.0, 0.75, 1.0), isa).unwrap_err();
        assert!(matches!(error, KernelError::Impossible(_)));
    }
}

#[test]
fn softmax_sees_channels_only() {
    for isa in isas() {
        for seed in cases(60) {
            let seeded = &mut Seeded::new(seed);
            let channels = untidy_channels(seeded, 20);
            let extent = seeded.extent(1, 9);
            let input: Vec<f32> = seeded
                .numbers(channels.count() * extent.iter().product::<usize>())
                .iter()
                .map(|x| x * 50.0)
                .collect();
            let against = side(seeded);
            let tensor = GuardedTensor::new(&input, &channels, extent, against);
            let mut output = GuardedTensor::unwritten(&channels, extent, against);
            let softmax = Softmax::new(&channels, isa).unwrap();
            softmax.run_on(&OneThread, &tensor.view(), &mut output.view_mut()).unwrap();
            let wanted = reference::softmax(&input, channels.count());
            assert_close(&output.plain(), &wanted, SHARE, 1.0, &(channels.count(), extent));
        }
    }
}

#[test]
fn tensors_of_another_shape_are_refused() {
    let channels = Channels::dense(20).unwrap();
    let small = Tensor::zeros(channels.clone(), [1, 2, 2]).unwrap();
    let mut large = Tensor::zeros(channels.clone(), [1, 4, 4]).unwrap();
    let isa = kernels::Isa::Portable;
    let view = small.view();
    let combine = Combine::new(Pair::Add, &channels, &Activation::None, isa).unwrap();
    assert!(combine.run(&view, &view, &mut large.view_mut()).is_err());
    let affine = Affine::identity(&channels, &Activation::None, isa).unwrap();
    assert!(affine.run(&view, &mut large.view_mut()).is_err());
    let softmax = Softmax::new(&channels, isa).unwrap();
    assert!(softmax.run_on(&OneThread, &view, &mut large.view_mut()).is_err());
    assert!(pool_globally(isa, Pooling::Max, &view, &mut large.view_mut()).is_err());
    let spec = PoolSpec { pad_before: [0, 2, 0], ..PoolSpec::new([1, 2, 2], [1, 2, 2]) };
    assert!(matches!(Pool::new(Pooling::Max, spec, isa), Err(KernelError::Impossible(_))));
    let way = (Interpolation::Linear, Coordinates::HalfPixel);
    assert!(Resize::new(([1, 2, 2], [1, 0, 2]), None, way, isa).is_err());
    // 2^40 columns would be a table of 24 TiB before a single number was there
    let declared = Resize::new(([1, 2, 2], [1, 1, 1 << 40]), None, way, isa).map(|_| ());
    assert_eq!(declared, Err(KernelError::TooLarge));
    assert!(Resize::new(([1, 2, 2], [1, 2, 2]), Some([1.0, f64::NAN, 1.0]), way, isa).is_err());
}
