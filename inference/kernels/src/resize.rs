//! Resizing by the nearest pixel or by straight lines between pixels.

use crate::error::{KernelError, product};
use crate::isa::Isa;
use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::primitive::map::Between;
use crate::tensor::{Extent, View, ViewMut, volume};
use crate::workers::{Scratch, Shared, SharedMut, Workers};

/// Which input place an output place stands for, by the names of ONNX's `coordinate_transformation_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coordinates {
    /// Pixels are areas: `(x + 1/2) / scale - 1/2`.
    #[default]
    HalfPixel,
    /// The same, but 0 where the output is one pixel.
    PytorchHalfPixel,
    /// First and last pixels meet: `x * (input - 1) / (output - 1)`.
    AlignCorners,
    /// `x / scale`
    Asymmetric,
}

/// How a place between pixels gets its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// From the pixel at the place rounded down.
    NearestFloor,
    /// From the pixel at the place rounded up.
    NearestCeil,
    /// From the nearest pixel, the first of two equally near.
    NearestPreferFloor,
    /// From the nearest pixel, the second of two equally near.
    NearestPreferCeil,
    /// By straight lines along each axis.
    Linear,
}

/// A resizing from one extent to another.
#[derive(Clone)]
pub struct Resize {
    table: &'static Table,
    from: Extent,
    to: Extent,
    axes: [Vec<Between>; 3],
}

impl std::fmt::Debug for Resize {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Resize").field("from", &self.from).field("to", &self.to).finish_non_exhaustive()
    }
}

impl Resize {
    /// From one extent to another; `scales` only where they are not `to / from`.
    ///
    /// # Errors
    ///
    /// [`KernelError::Zero`], [`KernelError::TooLarge`], [`KernelError::Impossible`] for scales that are not above zero;
    /// [`KernelError::MissingIsa`].
    pub fn new(
        (from, to): (Extent, Extent),
        scales: Option<[f64; 3]>,
        (interpolation, coordinates): (Interpolation, Coordinates),
        isa: Isa,
    ) -> Result<Self, KernelError> {
        product(&[volume(from)?, LANES])?;
        product(&[volume(to)?, LANES])?;
        let scales =
            scales.unwrap_or_else(|| std::array::from_fn(|axis| to[axis] as f64 / from[axis] as f64));
        if !scales.into_iter().all(|scale| scale > 0.0 && scale.is_finite()) {
            return Err(KernelError::Impossible("a scale that is not above zero"));
        }
        let axes = std::array::from_fn(|axis| {
            let place = |x| between(x, (from[axis], to[axis]), scales[axis], interpolation, coordinates);
            (0..to[axis]).map(place).collect()
        });
        Ok(Resize { table: isa.table()?, from, to, axes })
    }

    /// Runs on one thread or several; the bits are the same.
    ///
    /// # Errors
    ///
    /// [`KernelError::Mismatch`]: input or output has another shape.
    pub fn run_on(
        &self,
        workers: &dyn Workers,
        input: &View<'_>,
        output: &mut ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), KernelError> {
        if input.extent() != self.from || output.extent() != self.to || input.blocks() != output.blocks() {
            return Err(KernelError::Mismatch("the input or output of a resizing"));
        }
        let (from, to) = (Shared(input.data().as_ptr()), SharedMut(output.data().as_mut_ptr()));
        let [_, height, width] = self.from;
        let [out_depth, out_height, out_width] = self.to;
        let tasks = input.blocks() * out_depth;
        scratch.spread(workers, width * LANES, tasks, &|task, line| {
            let (block, z) = (task / out_depth, task % out_depth);
            for (y, down) in self.axes[1].iter().enumerate() {
                // SAFETY: every place of the axes lies within the input's extent; the line holds one row of it; each task
                // writes a plane of its own.
                unsafe {
                    let row = |z: usize, y: usize| {
                        from.at(((block * self.from[0] + z) * height + y) * width * LANES)
                    };
                    let mut rows = [(std::ptr::null(), 0.0); 4];
                    let mut count = 0;
                    for (z, y, weight) in corners(&self.axes[0][z], down) {
                        if weight != 0.0 {
                            rows[count] = (row(z, y), weight);
                            count += 1;
                        }
                    }
                    let read = match &rows[..count] {
                        [(only, _)] => *only,
                        rows => {
                            (self.table.blend)(rows, line.as_mut_ptr(), width);
                            line.as_ptr()
                        }
                    };
                    let place = ((block * out_depth + z) * out_height + y) * out_width * LANES;
                    (self.table.resample)(read, to.at(place), &self.axes[2]);
                }
            }
        });
        Ok(())
    }
}

/// The four rows around a place, each with its weight.
fn corners(deep: &Between, down: &Between) -> [(usize, usize, f32); 4] {
    let (near, far) = ((deep.first, 1.0 - deep.weight), (deep.second, deep.weight));
    let (upper, lower) = ((down.first, 1.0 - down.weight), (down.second, down.weight));
    [(near, upper), (near, lower), (far, upper), (far, lower)]
        .map(|((z, by_z), (y, by_y))| (z, y, by_z * by_y))
}

/// Where an output place of one axis comes from.
fn between(
    x: usize,
    (from, to): (usize, usize),
    scale: f64,
    interpolation: Interpolation,
    coordinates: Coordinates,
) -> Between {
    let last = (from - 1) as f64;
    let place = match coordinates {
        Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if to == 1 => 0.0,
        Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (x as f64 + 0.5) / scale - 0.5,
        Coordinates::AlignCorners => x as f64 * last / (to - 1) as f64,
        Coordinates::Asymmetric => x as f64 / scale,
    };
    let place = match interpolation {
        Interpolation::Linear => place,
        Interpolation::NearestFloor => place.floor(),
        Interpolation::NearestCeil => place.ceil(),
        Interpolation::NearestPreferFloor => (place - 0.5).ceil(),
        Interpolation::NearestPreferCeil => (place + 0.5).floor(),
    };
    let place = place.clamp(0.0, last);
    let first = place as usize;
    let weight = (place - first as f64) as f32;
    Between { first, second: (first + 1).min(from - 1), weight }
}
