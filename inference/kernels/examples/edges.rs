//! Finds the edges of a circle with Sobel's two windows, pools their strength and shows it.

use std::time::Instant;

use kernels::{
    Activation, Channels, Convolution, ConvolutionSpec, Input, Isa, KernelError, Operands, Options, Pool,
    PoolSpec, Pooling, Scratch, Source, Tensor,
};

const SIDE: usize = 256;

fn main() -> Result<(), KernelError> {
    let from_center = |place: usize| place as f32 - SIDE as f32 / 2.0;
    let image: Vec<f32> = (0..SIDE * SIDE)
        .map(|pixel| {
            let distance = from_center(pixel / SIDE).hypot(from_center(pixel % SIDE));
            f32::from(distance < SIDE as f32 / 3.0)
        })
        .collect();

    // one grey channel to four: right, left, down and up, of which ReLU keeps what rises
    #[rustfmt::skip]
    let right = [-1.0, 0.0, 1.0,
                 -2.0, 0.0, 2.0,
                 -1.0, 0.0, 1.0];
    let down = [right[0], right[3], right[6], right[1], right[4], right[7], right[2], right[5], right[8]];
    let weights = [right, right.map(|it| -it), down, down.map(|it| -it)].concat();
    let spec = ConvolutionSpec::new(Input::Plain(1), [1, SIDE, SIDE], 4, [1, 3, 3]).padded([0, 1, 1]);
    let convolution = Convolution::new(spec, &weights, None, &Activation::Relu, Options::default())?;

    let mut edges = Tensor::zeros(convolution.output_channels().clone(), [1, SIDE, SIDE])?;
    let operands = Operands { source: Source::Plain(&image), prologue: None, residual: None };
    let mut scratch = Scratch::new();
    let start = Instant::now();
    convolution.run(&operands, &mut edges.view_mut(), &mut scratch)?;
    println!("{SIDE} x {SIDE} pixels with {} in {:?}", convolution.isa(), start.elapsed());

    let pool = Pool::new(Pooling::Max, PoolSpec::new([1, SIDE, SIDE], [1, 16, 8]), Isa::best())?;
    let mut small = Tensor::zeros(Channels::dense(4)?, pool.output_extent())?;
    pool.run(&edges.view(), &mut small.view_mut())?;
    let [_, rows, columns] = pool.output_extent();
    let strengths = small.to_plain();
    for row in 0..rows {
        let strength =
            |column: usize| (0..4).map(|channel| strengths[(channel * rows + row) * columns + column]).sum();
        let line: String =
            (0..columns).map(|column| if f32::gt(&strength(column), &2.0) { '#' } else { '.' }).collect();
        println!("{line}");
    }
    Ok(())
}
