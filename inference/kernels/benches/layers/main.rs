//! CPU time of the layers that imaging networks are made of: `cargo bench -p kernels [-- avx512|avx2|portable] [NAME]`.
//!
//! Each layer is run until its least time has settled; memory is warm, as the layer before leaves it in a network.
//! The roof is the time that its products need at the processor's measured peak, or its bytes (each once) from the cache that
//! holds them, whichever is longer.

mod roof;

use kernels::{
    Activation, Affine, Bend, Channels, Combine, Convolution, ConvolutionSpec, Coordinates, Direction,
    Extent, Input, Interpolation, Isa, KernelError, Method, Normalization, OneThread, Operands, Options,
    Pair, Pool, PoolSpec, Pooling, Precision, Prologue, Resize, Scratch, Source, Tensor, Winograd,
};

const ROUNDS: usize = 15;

/// CPU time of this thread in milliseconds.
fn cpu_ms() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// The least CPU time of a run in milliseconds.
fn least_ms(mut run: impl FnMut()) -> f64 {
    run();
    let once = |run: &mut dyn FnMut()| {
        let start = cpu_ms();
        run();
        cpu_ms() - start
    };
    (0..ROUNDS).map(|_| once(&mut run)).fold(f64::INFINITY, f64::min)
}

/// Numbers from -1 to 1 that differ.
fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|it| (it * 7919 % 2003) as f32 / 1001.0 - 1.0).collect()
}

struct Layer {
    name: &'static str,
    spec: ConvolutionSpec,
    activation: Activation,
    has_prologue: bool,
}

fn layer(name: &'static str, channels: [usize; 2], extent: Extent, kernel: Extent, stride: usize) -> Layer {
    let input = Channels::dense(channels[0]).map(Input::Blocked).expect("no layer is empty");
    let pad = kernel.map(|it| it / 2);
    let spec = ConvolutionSpec::new(input, extent, channels[1], kernel).padded(pad);
    let spec = spec.strided(kernel.map(|it| if it == 1 && kernel[1] > 1 { 1 } else { stride }));
    Layer { name, spec, activation: Activation::Relu, has_prologue: false }
}

fn layers() -> Vec<Layer> {
    let image = |side: usize| [1, side, side];
    let (one, three) = ([1; 3], [1, 3, 3]);
    let mut all = vec![
        layer("7x7 3-64 @224 /2", [3, 64], image(224), [1, 7, 7], 2),
        layer("1x1 64-256 @56", [64, 256], image(56), one, 1),
        layer("1x1 256-64 @56", [256, 64], image(56), one, 1),
        layer("1x1 1024-256 @14", [1024, 256], image(14), one, 1),
        layer("1x1 2048-512 @7", [2048, 512], image(7), one, 1),
        layer("1x1 24-144 @56", [24, 144], image(56), one, 1),
        layer("1x1 256-512 @56 /2", [256, 512], image(56), [1, 1, 1], 1),
        layer("norm, 1x1 352-128 @28", [352, 128], image(28), one, 1),
        layer("3x3 128-128 @56 /2", [128, 128], image(56), three, 2),
        layer("3x3 24-24 @256", [24, 24], image(256), three, 1),
        layer("3x3 64-64 @56", [64, 64], image(56), three, 1),
        layer("3x3 128-128 @28", [128, 128], image(28), three, 1),
        layer("3x3 256-256 @14", [256, 256], image(14), three, 1),
        layer("3x3 512-512 @7", [512, 512], image(7), three, 1),
        layer("3x3 64-64 @256", [64, 64], image(256), three, 1),
        layer("3x3 256-256 @64", [256, 256], image(64), three, 1),
        layer("3x3 512-512 @32", [512, 512], image(32), three, 1),
        layer("3x3x3 32-32 @32", [32, 32], [32; 3], [3; 3], 1),
        layer("3x3x3 32-64 @32 /2", [32, 64], [32; 3], [3; 3], 2),
        layer("depthwise 3x3 144 @56", [144, 144], image(56), three, 1),
        layer("depthwise 5x5 672 @14", [672, 672], image(14), [1, 5, 5], 1),
        layer("8 groups 3x3 256 @28", [256, 256], image(28), three, 1),
        layer("transposed 2x2 128-64 @32 *2", [128, 64], image(32), [1, 2, 2], 2),
    ];
    all[0].spec.input = Input::Plain(3);
    all[6].spec.stride = [1, 2, 2];
    all[7].has_prologue = true;
    for index in [19, 20] {
        all[index].spec.groups = all[index].spec.out_channels;
        all[index].activation = Activation::Silu;
    }
    all[21].spec.groups = 8;
    all[22].spec = ConvolutionSpec {
        direction: Direction::Transposed { extra: [0; 3] },
        ..all[22].spec.clone().padded([0; 3]).strided([1, 2, 2])
    };
    all
}

fn time_convolution(
    layer: &Layer,
    (isa, winograd, precision): (Isa, Winograd, Precision),
) -> Result<(f64, Convolution), KernelError> {
    let spec = &layer.spec;
    let taps: usize = spec.kernel.iter().product();
    let weights = numbers(spec.out_channels * spec.in_channels() / spec.groups * taps);
    let bias = numbers(spec.out_channels);
    let options = Options { isa, winograd, precision, prologue: layer.has_prologue };
    let convolution = Convolution::new(spec.clone(), &weights, Some(&bias), &layer.activation, options)?;
    let plain = numbers(spec.in_channels() * spec.extent.iter().product::<usize>());
    let tensor = match &spec.input {
        Input::Blocked(channels) => Some(Tensor::from_plain(&plain, channels.clone(), spec.extent)?),
        Input::Plain(_) => None,
    };
    let mut output = Tensor::zeros(convolution.output_channels().clone(), convolution.output_extent())?;
    let (scale, mut scratch) = (numbers(spec.in_channels().next_multiple_of(16)), Scratch::new());
    let operands = Operands {
        source: tensor.as_ref().map_or(Source::Plain(&plain), |it| Source::Blocked(it.view())),
        prologue: layer.has_prologue.then_some(Prologue { scale: &scale, shift: &scale, bend: Bend::Relu }),
        residual: None,
    };
    convolution.run(&operands, &mut output.view_mut(), &mut scratch)?;
    let ms = least_ms(|| {
        // the shapes fit, as the run before has shown
        let _ = convolution.run(&operands, &mut output.view_mut(), &mut scratch);
    });
    Ok((ms, convolution))
}

/// What moves memory more than it computes: milliseconds and gigabytes a second, read and written.
fn time_others(isa: Isa) -> Result<(), KernelError> {
    let channels = Channels::dense(64)?;
    let extent = [1, 112, 112];
    let plain = numbers(64 * 112 * 112);
    let input = Tensor::from_plain(&plain, channels.clone(), extent)?;
    let bytes = |out: &Tensor, inputs: usize| ((inputs * plain.len() + out.view().data().len()) * 4) as f64;
    let show =
        |name: &str, ms: f64, bytes: f64| println!("| {name} | {ms:.3} | {:.1} GB/s |", bytes / ms / 1e6);

    let spec = PoolSpec {
        stride: [1, 2, 2],
        pad_before: [0, 1, 1],
        pad_after: [0, 1, 1],
        ..PoolSpec::new(extent, [1, 3, 3])
    };
    let pool = Pool::new(Pooling::Max, spec, isa)?;
    let mut half = Tensor::zeros(channels.clone(), pool.output_extent())?;
    let ms = least_ms(|| drop(pool.run(&input.view(), &mut half.view_mut())));
    show("maximum 3x3 64 @112 /2", ms, bytes(&half, 1));

    let mut output = Tensor::zeros(channels.clone(), extent)?;
    let combine = Combine::new(Pair::Add, &channels, &Activation::Relu, isa)?;
    let ms = least_ms(|| drop(combine.run(&input.view(), &input.view(), &mut output.view_mut())));
    show("sum, ReLU 64 @112", ms, bytes(&output, 2));

    let affine = Affine::identity(&channels, &Activation::Silu, isa)?;
    let ms = least_ms(|| drop(affine.run(&input.view(), &mut output.view_mut())));
    show("SiLU 64 @112", ms, bytes(&output, 1));

    let ones = vec![1.0; 64];
    let activation = Activation::LeakyRelu(0.01);
    let normalization = Normalization::new(&channels, 64, (&ones, &ones), 1e-5, &activation, isa)?;
    let ms = least_ms(|| drop(normalization.run_on(&OneThread, &input.view(), &mut output.view_mut())));
    show("instance norm, LeakyReLU 64 @112", ms, bytes(&output, 2));

    let way = (Interpolation::Linear, Coordinates::HalfPixel);
    let mut double = Tensor::zeros(channels, [1, 224, 224])?;
    let resize = Resize::new((extent, [1, 224, 224]), None, way, isa)?;
    let mut scratch = Scratch::new();
    let ms =
        least_ms(|| drop(resize.run_on(&OneThread, &input.view(), &mut double.view_mut(), &mut scratch)));
    show("linear *2 64 @112", ms, bytes(&double, 1));
    Ok(())
}

/// The least bytes that a layer moves: input, weights and output once each.
fn least_bytes(layer: &Layer, convolution: &Convolution) -> usize {
    let input = layer.spec.in_channels() * layer.spec.extent.iter().product::<usize>();
    let output = layer.spec.out_channels * convolution.output_extent().iter().product::<usize>();
    (input + output + convolution.packed().len()) * size_of::<f32>()
}

/// Times one way to compute a layer; the row tells its share of the processor's measured peak, and what bounds it: the
/// products, the memory, or what Winograd's transforms and the edges take beside them.
fn show(layer: &Layer, isa: Isa, winograd: Winograd, precision: Precision) -> Result<Method, KernelError> {
    let (ms, convolution) = time_convolution(layer, (isa, winograd, precision))?;
    let flops = 2.0 * convolution.multiplications() as f64;
    let method = convolution.method();
    let is_wide = precision == Precision::Bf16 && matches!(method, Method::Pointwise | Method::Direct);
    let peak = roof::peak(isa, if is_wide { Precision::Bf16 } else { Precision::F32 });
    // F(m×m, 3×3) needs (m + 2)² products for m² outputs of 9 each, 81 where it is of stride 2; a folded picture 49 for 16, each
    // over four times the channels and a window of 49
    let kept = match (method, layer.spec.kernel[2], layer.spec.stride[2]) {
        (Method::Winograd(_), 7, _) => 49.0 * 4.0 / (16.0 * 49.0),
        (Method::Winograd(_), _, 2) => 81.0 / (16.0 * 9.0),
        (Method::Winograd(side), ..) => ((side + 2) as f64 / side as f64).powi(2) / 9.0,
        (Method::Strassen, ..) => 7.0 / 8.0,
        _ => 1.0,
    };
    print!("| {} | {precision:?} | {method:?} | {ms:.3} | {:.0} |", layer.name, flops / ms / 1e6);
    let Some(peak) = peak else {
        println!(" | | |");
        return Ok(method);
    };
    let bytes = least_bytes(layer, &convolution);
    let (products, memory) = (kept * flops / peak / 1e6, bytes as f64 / roof::bandwidth(bytes) / 1e6);
    let (share, bound) = (products.max(memory) / ms, if products > memory { "products" } else { "memory" });
    let bound = if share < 0.7 { format!("neither; {bound} first") } else { bound.to_owned() };
    println!(" {:.0} % | {:.0} % | {bound} |", 100.0 * flops / ms / 1e6 / peak, 100.0 * share);
    Ok(method)
}

fn main() -> Result<(), KernelError> {
    let words: Vec<String> = std::env::args().skip(1).filter(|it| !it.starts_with("--")).collect();
    let isa = words.iter().find_map(|word| word.parse().ok()).unwrap_or(Isa::best());
    let name = words.iter().find(|word| word.parse::<Isa>().is_err());
    for precision in [Precision::F32, Precision::Bf16] {
        if let Some(peak) = roof::peak(isa, precision) {
            println!("peak of {isa} in {precision:?}: {peak:.0} GFLOP/s");
        }
    }
    println!(
        "\n| layer ({isa}) | numbers | way | ms | GFLOP/s of the plain sum | of the peak | of the roof | bound by |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for layer in layers() {
        if name.is_some_and(|name| !layer.name.contains(name.as_str())) {
            continue;
        }
        let method = show(&layer, isa, Winograd::Auto, Precision::F32)?;
        if matches!(method, Method::Winograd(_) | Method::Strassen) {
            show(&layer, isa, Winograd::Never, Precision::F32)?;
        }
        if isa.has_bf16() && matches!(method, Method::Pointwise | Method::Strassen | Method::Direct) {
            show(&layer, isa, Winograd::Auto, Precision::Bf16)?;
        }
    }
    if name.is_none() {
        println!("\n| other ({isa}) | ms | read and written |\n|---|---|---|");
        time_others(isa)?;
    }
    Ok(())
}
