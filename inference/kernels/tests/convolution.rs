//! Every convolution against the naive one, over shapes, strides, pads, groups and maps of channels, between guards.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::sync::Arc;

use kernels::{
    Activation, Bend, Channels, Convolution, ConvolutionSpec, Direction, Input, KernelError, Method,
    OneThread, Operands, Options, Precision, Prologue, ScopedThreads, Scratch, Source, Winograd, Workers,
    reference,
};
use support::*;

/// Of the largest sum: the error of Winograd's tiles of four is up to 5 · 10⁻⁶ of it, a plain sum's less; the rest is the curves'.
const SHARE: f64 = 1e-5;
/// Tiles of six: up to 1.1 · 10⁻⁵ at their corners.
const SHARE_OF_SIX: f64 = 2e-5;
/// A prologue's last bit decides which bf16 is the nearest, now and then: 2⁻⁸ of one product.
const SHARE_OF_ROUNDED: f64 = 1e-2;

/// The nearest bf16, to even between two.
fn rounded(number: f32) -> f32 {
    let bits = number.to_bits();
    f32::from_bits((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
}

fn activations(channels: usize, seeded: &mut Seeded) -> Vec<Activation> {
    vec![
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu(0.1),
        Activation::PRelu(seeded.numbers(channels)),
        Activation::Clip { min: -0.2, max: 0.7 },
        Activation::Silu,
        Activation::HardSwish,
        Activation::Sigmoid,
        Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Activation::Tanh,
        Activation::Gelu,
        Activation::GeluTanh,
    ]
}

/// Everything that one run is made of.
struct Case {
    spec: ConvolutionSpec,
    options: Options,
    has_residual: bool,
    against: Against,
    threads: usize,
}

/// Runs the case on guarded memory and holds it against the naive sums.
#[track_caller]
fn check(case: &Case, seeded: &mut Seeded) -> Method {
    let Case { spec, options, .. } = case;
    let what = format!("{spec:?} {options:?} residual {}", case.has_residual);
    let pixels: usize = spec.extent.iter().product();
    let input = seeded.numbers(spec.in_channels() * pixels);
    let pair_count = match spec.direction {
        Direction::Forward => spec.out_channels * (spec.in_channels() / spec.groups),
        Direction::Transposed { .. } => spec.in_channels() * (spec.out_channels / spec.groups),
    };
    let weights = seeded.numbers(pair_count * spec.kernel.iter().product::<usize>());
    let bias = seeded.numbers(spec.out_channels);
    let choices = activations(spec.out_channels, seeded);
    let activation = seeded.one_of(&choices);

    let built = Convolution::new(spec.clone(), &weights, Some(&bias), &activation, *options).expect(&what);
    let packed = Arc::new(Guarded::new(built.packed(), case.against));
    let convolution = Convolution::from_packed(spec.clone(), packed, &activation, *options).expect(&what);
    let (channels, extent) = (convolution.output_channels().clone(), convolution.output_extent());
    let out_pixels: usize = extent.iter().product();

    let residual = seeded.numbers(spec.out_channels * out_pixels);
    let residual_tensor = GuardedTensor::new(&residual, &channels, extent, case.against);
    let bend = seeded.one_of(&[Bend::None, Bend::Relu, Bend::LeakyRelu(0.2)]);
    let (scale, shift) = (seeded.numbers(spec.in_channels()), seeded.numbers(spec.in_channels()));
    let seen: Vec<f32> = if options.prologue {
        let scaled =
            input.iter().enumerate().map(|(index, x)| x * scale[index / pixels] + shift[index / pixels]);
        let bent = scaled.map(|x| match bend {
            Bend::None => x,
            Bend::Relu => x.max(0.0),
            Bend::LeakyRelu(slope) => x.max(0.0) + slope * x.min(0.0),
        });
        bent.collect()
    } else {
        input.clone()
    };
    let is_rounded =
        options.precision == Precision::Bf16 && matches!(built.method(), Method::Pointwise | Method::Direct);
    let share = match built.method() {
        _ if is_rounded && options.prologue => SHARE_OF_ROUNDED,
        Method::Winograd(6) => SHARE_OF_SIX,
        _ => SHARE,
    };
    let as_read = |numbers: Vec<f32>| match is_rounded {
        true => numbers.into_iter().map(rounded).collect(),
        false => numbers,
    };
    let (seen, weights) = (as_read(seen), as_read(weights));
    let mut sums = reference::convolution(spec, &seen, &weights, Some(&bias)).unwrap();
    if case.has_residual {
        sums.iter_mut().zip(&residual).for_each(|(sum, residual)| *sum += f64::from(*residual));
    }
    let activated =
        |(index, sum): (usize, &f64)| reference::activation(&activation, *sum, index / out_pixels);
    let wanted: Vec<f64> = sums.iter().enumerate().map(activated).collect();

    let plain = Guarded::new(&input, case.against);
    let blocked = match &spec.input {
        Input::Blocked(channels) => Some(GuardedTensor::new(&input, channels, spec.extent, case.against)),
        Input::Plain(_) => None,
    };
    let spread = |values: &[f32]| match &spec.input {
        Input::Blocked(channels) => Guarded::new(&channels.spread(values).unwrap(), case.against),
        Input::Plain(_) => Guarded::new(&[], case.against),
    };
    let (scale, shift) = (spread(&scale), spread(&shift));
    let operands = Operands {
        source: blocked.as_ref().map_or(Source::Plain(&plain), |it| Source::Blocked(it.view())),
        prologue: options.prologue.then_some(Prologue { scale: &scale, shift: &shift, bend }),
        residual: case.has_residual.then_some(residual_tensor.view()),
    };
    let mut output = GuardedTensor::unwritten(&channels, extent, case.against);
    let workers: &dyn Workers = if case.threads > 1 { &ScopedThreads(case.threads) } else { &OneThread };
    convolution.run_on(workers, &operands, &mut output.view_mut(), &mut Scratch::new()).expect(&what);
    assert_close(&output.plain(), &wanted, share, largest(sums), &what);
    convolution.method()
}

fn case(spec: ConvolutionSpec, isa: kernels::Isa, seeded: &mut Seeded) -> Case {
    let in_bf16 = isa.has_bf16() && seeded.between(0, 2) == 0;
    let precision = if in_bf16 { Precision::Bf16 } else { Precision::F32 };
    Case {
        spec,
        options: Options { isa, precision, ..Options::default() },
        has_residual: seeded.between(0, 1) == 1,
        against: seeded.one_of(&[Against::Start, Against::End]),
        threads: seeded.one_of(&[1, 1, 3]),
    }
}

#[test]
fn pointwise_convolutions_are_right() {
    for isa in isas() {
        for seed in cases(60) {
            let seeded = &mut Seeded::new(seed);
            let input = Input::Blocked(untidy_channels(seeded, 40));
            let extent = [seeded.between(1, 2), seeded.between(1, 9), seeded.between(1, 20)];
            let spec = ConvolutionSpec::new(input, extent, seeded.between(1, 90), [1; 3]);
            let mut case = case(spec, isa, seeded);
            case.options.prologue = seeded.between(0, 1) == 1;
            assert_eq!(check(&case, seeded), Method::Pointwise);
        }
    }
}

#[test]
fn windows_of_every_shape_are_right() {
    for isa in isas() {
        for seed in cases(150) {
            let seeded = &mut Seeded::new(1000 + seed);
            let is_plain = seeded.between(0, 3) == 0;
            let input = if is_plain {
                Input::Plain(seeded.between(1, 5))
            } else {
                Input::Blocked(untidy_channels(seeded, 24))
            };
            let mut spec =
                ConvolutionSpec::new(input, seeded.extent(1, 14), seeded.between(1, 70), seeded.extent(1, 4));
            spec.extent[0] = seeded.between(1, 3);
            spec.kernel[0] = seeded.between(1, 3);
            spec.stride = seeded.extent(1, 3);
            spec.dilation = seeded.extent(1, 2);
            spec.pad_before = seeded.extent(0, 3);
            spec.pad_after = seeded.extent(0, 3);
            if spec.output_extent().is_err() {
                continue;
            }
            let mut case = case(spec, isa, seeded);
            case.options.winograd = Winograd::Never;
            case.options.prologue = !is_plain && seeded.between(0, 1) == 1;
            check(&case, seeded);
        }
    }
}

#[test]
fn grouped_convolutions_are_right() {
    for isa in isas() {
        for seed in cases(80) {
            let seeded = &mut Seeded::new(2000 + seed);
            let groups = seeded.between(2, 6);
            let per_group = seeded.one_of(if cfg!(miri) { &[1, 5] } else { &[1, 2, 4, 7, 16, 20] });
            let channels = Channels::dense(groups * per_group).unwrap();
            let out_channels =
                groups * seeded.one_of(if cfg!(miri) { &[2, 3] } else { &[2, 3, 8, 16, 32, 33] });
            let kernel = seeded.one_of(&[[1, 1, 1], [1, 3, 3], [2, 1, 3]]);
            let mut spec =
                ConvolutionSpec::new(Input::Blocked(channels), seeded.extent(2, 8), out_channels, kernel);
            spec.groups = groups;
            spec = spec.padded([0, 1, 1]);
            let case = case(spec, isa, seeded);
            check(&case, seeded);
        }
    }
}

#[test]
fn depthwise_convolutions_are_right() {
    for isa in isas() {
        for seed in cases(100) {
            let seeded = &mut Seeded::new(3000 + seed);
            let channels = untidy_channels(seeded, 30);
            let count = channels.count();
            let mut spec = ConvolutionSpec::new(
                Input::Blocked(channels),
                seeded.extent(1, 20),
                count,
                seeded.extent(1, 5),
            );
            spec.groups = count;
            spec.extent[0] = seeded.between(1, 3);
            spec.stride = seeded.extent(1, 3);
            spec.dilation = seeded.extent(1, 2);
            if seeded.between(0, 3) > 0 {
                spec.pad_before = seeded.extent(0, 3);
                spec.pad_after = seeded.extent(0, 3);
            }
            if spec.output_extent().is_err() {
                continue;
            }
            let case = case(spec, isa, seeded);
            let method = check(&case, seeded);
            assert!(count == 1 || method == Method::Depthwise);
        }
    }
}

#[test]
fn transposed_convolutions_are_right() {
    for isa in isas() {
        for seed in cases(100) {
            let seeded = &mut Seeded::new(4000 + seed);
            let groups = seeded.one_of(&[1, 1, 1, 2]);
            let channels = Channels::dense(groups * seeded.between(1, 20)).unwrap();
            let out_channels = groups * seeded.between(1, 36);
            let mut spec = ConvolutionSpec::new(
                Input::Blocked(channels),
                seeded.extent(1, 7),
                out_channels,
                seeded.extent(1, 4),
            );
            spec.groups = groups;
            spec.stride = seeded.extent(1, 3);
            spec.dilation = seeded.extent(1, 2);
            spec.pad_before = seeded.extent(0, 2);
            spec.pad_after = seeded.extent(0, 2);
            spec.direction = Direction::Transposed { extra: seeded.extent(0, 1) };
            if spec.output_extent().is_err() {
                continue;
            }
            let mut case = case(spec, isa, seeded);
            case.options.prologue = seeded.between(0, 1) == 1;
            check(&case, seeded);
        }
    }
}

/// Each channel for itself, the channels out of order: the output's stand in order all the same.
#[test]
fn transposed_convolutions_of_untidy_channels_are_right() {
    for isa in isas() {
        for seed in cases(60) {
            let seeded = &mut Seeded::new(4500 + seed);
            let channels = untidy_channels(seeded, 20);
            let count = channels.count();
            let mut spec = ConvolutionSpec::new(
                Input::Blocked(channels),
                seeded.extent(1, 6),
                count,
                seeded.extent(1, 3),
            );
            spec.groups = count;
            spec.stride = seeded.extent(1, 3);
            spec.direction = Direction::Transposed { extra: [0; 3] };
            let case = case(spec, isa, seeded);
            check(&case, seeded);
        }
    }
}

/// A window of one and steps of two leave outputs that nothing is scattered to: they are the bias, and nothing is read.
#[test]
fn outputs_without_a_place_in_the_window_are_the_bias() {
    for isa in isas() {
        for prologue in [false, true] {
            let seeded = &mut Seeded::new(4600);
            let input = Input::Blocked(Channels::dense(20).unwrap());
            let mut spec = ConvolutionSpec::new(input, [1, 3, 5], 18, [1; 3]).strided([1, 2, 2]);
            spec.direction = Direction::Transposed { extra: [0, 1, 1] };
            let mut case = case(spec, isa, seeded);
            case.options.prologue = prologue;
            check(&case, seeded);
        }
    }
}

/// Weights that were packed for other instructions, another way or other channels have the same length and another order.
#[test]
#[cfg_attr(miri, ignore = "it needs more than one instruction set")]
fn weights_that_were_packed_otherwise_are_refused() {
    let spec = |channels: Channels| {
        ConvolutionSpec::new(Input::Blocked(channels), [1, 16, 16], 64, [1, 3, 3]).padded([0, 1, 1])
    };
    let (tidy, weights) = (Channels::dense(32).unwrap(), vec![0.5; 64 * 32 * 9]);
    let turned = tidy.permuted(&(0..32).rev().collect::<Vec<_>>()).unwrap();
    let pack = |options: Options| {
        let built = Convolution::new(spec(tidy.clone()), &weights, None, &Activation::None, options);
        Arc::new(built.unwrap().packed().to_vec())
    };
    let take = |channels: &Channels, packed: Arc<Vec<f32>>, options: Options| {
        Convolution::from_packed(spec(channels.clone()), packed, &Activation::None, options).map(|_| ())
    };
    let way = |isa, winograd| Options { isa, winograd, ..Options::default() };
    for isa in isas() {
        let plain = pack(way(isa, Winograd::Never));
        assert_eq!(take(&tidy, plain.clone(), way(isa, Winograd::Never)), Ok(()));
        let refused = take(&turned, plain.clone(), way(isa, Winograd::Never));
        assert!(matches!(refused, Err(KernelError::Mismatch(_))), "other channels: {refused:?}");
        assert!(take(&tidy, plain.clone(), way(isa, Winograd::Four)).is_err(), "another way");
        let in_bf16 = Options { precision: Precision::Bf16, ..way(isa, Winograd::Never) };
        match isa.has_bf16() {
            true => assert!(take(&tidy, plain, in_bf16).is_err(), "other numbers"),
            false => assert_eq!(take(&tidy, plain, in_bf16), Err(KernelError::MissingBf16(isa))),
        }
        for other in isas() {
            let packed = pack(way(other, Winograd::Four));
            let is_same = (isa == kernels::Isa::Avx512) == (other == kernels::Isa::Avx512);
            let taken = take(&tidy, packed, way(isa, Winograd::Four));
            assert_eq!(taken.is_ok(), is_same, "{other} for {isa}: {taken:?}");
        }
    }
}

/// A picture's window that begins at another half of a square meets its weights in other places.
#[test]
fn folded_weights_of_another_padding_are_refused() {
    for isa in isas() {
        let options = Options { isa, winograd: Winograd::Four, ..Options::default() };
        let spec = |pad| {
            let plain = ConvolutionSpec::new(Input::Plain(3), [1, 24, 24], 16, [1, 7, 7]).strided([1, 2, 2]);
            plain.padded([0, pad, 3])
        };
        let built = Convolution::new(spec(3), &vec![0.5; 16 * 3 * 49], None, &Activation::None, options);
        let packed = Arc::new(built.unwrap().packed().to_vec());
        let take =
            |pad| Convolution::from_packed(spec(pad), packed.clone(), &Activation::None, options).map(|_| ());
        assert_eq!(take(3), Ok(()));
        assert!(matches!(take(2), Err(KernelError::Mismatch(_))), "{:?}", take(2));
    }
}

/// Finite weights whose sums are not are refused by the ways that need those.
#[test]
fn sums_of_weights_beyond_all_numbers_are_refused() {
    let channels = Channels::dense(32).unwrap();
    let spec = ConvolutionSpec::new(Input::Blocked(channels), [1, 4, 4], 64, [1; 3]);
    let weights: Vec<f32> = (0..32 * 64).map(|it| [3e38, -3e38, -3e38, 3e38][it / 32 / 16]).collect();
    for isa in isas() {
        let build = |winograd| {
            let options = Options { isa, winograd, ..Options::default() };
            Convolution::new(spec.clone(), &weights, None, &Activation::None, options).map(|_| ())
        };
        assert_eq!(build(Winograd::Never), Ok(()));
        assert_eq!(build(Winograd::Four), Err(KernelError::NotFinite("a sum of weights")));
    }
}

#[test]
fn winograd_is_right_for_every_border() {
    for isa in isas() {
        for seed in cases(100) {
            let seeded = &mut Seeded::new(5000 + seed);
            let input = Input::Blocked(untidy_channels(seeded, 40));
            let depth = seeded.one_of(&[1, 1, 3]);
            let extent = [seeded.between(1, 6), seeded.between(1, 23), seeded.between(1, 23)];
            let mut spec = ConvolutionSpec::new(input, extent, seeded.between(1, 70), [depth, 3, 3]);
            let (wish, side, stride) = seeded.one_of(&[
                (Winograd::Two, 2, 1),
                (Winograd::Four, 4, 1),
                (Winograd::Six, 6, 1),
                (Winograd::Four, 4, 2),
            ]);
            spec.stride = [seeded.between(1, 2), stride, stride];
            spec.pad_before = [seeded.between(0, 2), seeded.between(0, 2), seeded.between(0, 2)];
            spec.pad_after = [seeded.between(0, 2), seeded.between(0, 2), seeded.between(0, 2)];
            if spec.output_extent().is_err() {
                continue;
            }
            let mut case = case(spec, isa, seeded);
            case.options.winograd = wish;
            case.options.prologue = seeded.between(0, 1) == 1;
            assert_eq!(check(&case, seeded), Method::Winograd(side));
        }
    }
}

/// A picture's first window, folded: every border, every number of channels that fit a block.
#[test]
fn folded_pictures_are_right() {
    for isa in isas() {
        for seed in cases(60) {
            let seeded = &mut Seeded::new(5500 + seed);
            let extent = [1, seeded.between(1, 60), seeded.between(1, 60)];
            let input = Input::Plain(seeded.between(1, 4));
            let mut spec =
                ConvolutionSpec::new(input, extent, seeded.between(1, 70), [1, 7, 7]).strided([1, 2, 2]);
            spec.pad_before = [0, seeded.between(0, 9), seeded.between(0, 9)];
            spec.pad_after = [0, seeded.between(0, 9), seeded.between(0, 9)];
            if spec.output_extent().is_err() {
                continue;
            }
            let mut case = case(spec, isa, seeded);
            case.options.winograd = Winograd::Four;
            assert_eq!(check(&case, seeded), Method::Winograd(4));
        }
    }
}

/// Quarters of every size, odd numbers of pixels among them; the pixel in the middle of those is in two of them.
#[test]
fn products_of_quarters_are_right() {
    for isa in isas() {
        for seed in cases(60) {
            let seeded = &mut Seeded::new(5800 + seed);
            // of 544 channels, narrow tiles meet the weights in two spans
            let channels = Channels::dense(32 * seeded.one_of(&[1, 2, 3, 5, 17])).unwrap();
            let extent = [seeded.between(1, 3), seeded.between(1, 20), seeded.between(2, 20)];
            let outs = 64 * seeded.between(1, 3);
            let mut case =
                case(ConvolutionSpec::new(Input::Blocked(channels), extent, outs, [1; 3]), isa, seeded);
            case.options.winograd = Winograd::Four;
            case.options.precision = Precision::F32;
            case.options.prologue = seeded.between(0, 1) == 1;
            assert_eq!(check(&case, seeded), Method::Strassen);
        }
    }
}

/// Large weights take ways of their own: they are streamed by Winograd, and met in spans by plain sums.
#[test]
#[cfg_attr(miri, ignore = "too large to be interpreted")]
fn large_weights_are_right() {
    let ways =
        [(15, 1, Winograd::Four), (29, 2, Winograd::Four), (7, 1, Winograd::Never), (7, 1, Winograd::Auto)];
    for isa in isas() {
        for (side, stride, winograd) in ways {
            let seeded = &mut Seeded::new(6000);
            let channels = Channels::dense(352).unwrap();
            let spec = ConvolutionSpec::new(Input::Blocked(channels), [1, side, side], 384, [1, 3, 3])
                .padded([0, 1, 1])
                .strided([1, stride, stride]);
            let mut case = case(spec, isa, seeded);
            case.options.winograd = winograd;
            check(&case, seeded);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too large to be interpreted")]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    for isa in isas() {
        let seeded = &mut Seeded::new(7000);
        let channels = Channels::dense(40).unwrap();
        let input = seeded.numbers(40 * 13 * 17);
        let input = GuardedTensor::new(&input, &channels, [1, 13, 17], Against::End);
        for kernel in [[1, 1, 1], [1, 3, 3], [1, 5, 5]] {
            let weights = seeded.numbers(70 * 40 * kernel.iter().product::<usize>());
            let spec = ConvolutionSpec::new(Input::Blocked(channels.clone()), [1, 13, 17], 70, kernel);
            let options = Options { isa, ..Options::default() };
            let convolution = Convolution::new(spec, &weights, None, &Activation::Silu, options).unwrap();
            let answers = [1, 2, 5].map(|threads| {
                let (channels, extent) = (convolution.output_channels(), convolution.output_extent());
                let mut output = GuardedTensor::unwritten(channels, extent, Against::End);
                let operands = Operands::from(input.view());
                let (workers, scratch) = (ScopedThreads(threads), &mut Scratch::new());
                convolution.run_on(&workers, &operands, &mut output.view_mut(), scratch).unwrap();
                output.plain()
            });
            assert_eq!(answers[0], answers[1]);
            assert_eq!(answers[0], answers[2]);
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let spec = || ConvolutionSpec::new(Input::Plain(3), [1, 8, 8], 4, [1, 3, 3]);
    let weights = vec![0.5; 4 * 3 * 9];
    let build = |spec: ConvolutionSpec, weights: &[f32]| {
        Convolution::new(spec, weights, None, &Activation::None, Options::default()).map(|_| ()).unwrap_err()
    };
    assert!(matches!(build(spec(), &weights[1..]), KernelError::Length { .. }));
    assert_eq!(
        build(ConvolutionSpec { kernel: [1, 9, 9], ..spec() }, &weights),
        KernelError::Impossible("the window is larger than the padded input")
    );
    assert!(matches!(build(ConvolutionSpec { stride: [1, 0, 1], ..spec() }, &weights), KernelError::Zero(_)));
    assert!(matches!(build(ConvolutionSpec { out_channels: 0, ..spec() }, &[]), KernelError::Zero(_)));
    assert!(matches!(build(ConvolutionSpec { groups: 0, ..spec() }, &weights), KernelError::Zero(_)));
    assert!(matches!(build(ConvolutionSpec { groups: 2, ..spec() }, &weights), KernelError::Impossible(_)));
    assert!(matches!(
        build(ConvolutionSpec { extent: [1, usize::MAX, 8], ..spec() }, &weights),
        KernelError::TooLarge
    ));
    let huge = ConvolutionSpec { extent: [1 << 20, 1 << 20, 1 << 20], ..spec() };
    assert!(matches!(build(huge, &weights), KernelError::TooLarge));
    let mut poisoned = weights.clone();
    poisoned[17] = f32::NAN;
    assert!(matches!(build(spec(), &poisoned), KernelError::NotFinite(_)));

    let convolution =
        Convolution::new(spec(), &weights, None, &Activation::None, Options::default()).unwrap();
    let cut: Arc<Vec<f32>> = Arc::new(convolution.packed()[1..].to_vec());
    let error =
        Convolution::from_packed(spec(), cut, &Activation::None, Options::default()).map(|_| ()).unwrap_err();
    assert!(matches!(error, KernelError::Length { .. }));
    let mut output = GuardedTensor::unwritten(convolution.output_channels(), [1, 6, 5], Against::End);
    let operands = Operands { source: Source::Plain(&[0.0; 192]), prologue: None, residual: None };
    let error = convolution.run(&operands, &mut output.view_mut(), &mut Scratch::new()).unwrap_err();
    assert!(matches!(error, KernelError::Mismatch(_)));
}
