//! Convolution of every kind, with what follows it done while the sums are at hand.

mod depthwise;
mod direct;
mod panels;
mod pointwise;
mod run;
mod spec;
mod strassen;
mod winograd;

use std::sync::Arc;

pub use run::{Bend, Operands, Prologue, Source};
pub use spec::{ConvolutionSpec, Direction, Input, Options, Precision, Winograd};

use crate::activation::{Activation, Finish};
use crate::error::{KernelError, same_length};
use crate::finite::is_finite;
use crate::isa::Isa;
use crate::isa::lanes::LANES;
use crate::isa::table::Table;
use crate::tensor::{Buffer, Channels, Extent, ViewMut};
use crate::workers::{OneThread, Scratch, Workers};
use depthwise::Depthwise;
use direct::Direct;
use panels::Fnv;
use pointwise::Pointwise;
use run::Io;
use spec::Geometry;
use strassen::Strassen;

/// Weights in the kernels' order: one's own, or somebody else's, as a file that several processes map.
pub type PackedWeights = Arc<dyn AsRef<[f32]> + Send + Sync>;

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// As one product over all pixels.
    Pointwise,
    /// As one product over all pixels, of seven products of its quarters.
    Strassen,
    /// Row by row.
    Direct,
    /// Each channel for itself.
    Depthwise,
    /// By Winograd's minimal filtering with tiles of this side.
    Winograd(usize),
}

#[derive(Debug, Clone)]
enum Plan {
    Pointwise(Pointwise),
    Strassen(Strassen),
    Direct(Vec<Direct>),
    Depthwise(Depthwise),
    Winograd(winograd::Winograd),
}

/// A convolution of one shape with its weights, ready to run as often as one likes.
///
/// `out = activation(bias + weights ∗ prologue(input) + residual)`
#[derive(Clone)]
pub struct Convolution {
    table: &'static Table,
    geometry: Geometry,
    plan: Plan,
    finish: Finish,
    packed: PackedWeights,
    has_prologue: bool,
}

impl std::fmt::Debug for Convolution {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = out.debug_struct("Convolution");
        out.field("spec", &self.geometry.spec)
            .field("method", &self.method())
            .field("isa", &self.isa())
            .finish()
    }
}

/// Counts up when packed weights change their order.
const LAYOUT: u32 = 2;

/// Floats before the weights: one line that names the layout, then the bias.
fn before_weights(geometry: &Geometry) -> usize {
    LANES + geometry.out_channels.blocks() * LANES
}

fn plan(geometry: &Geometry, table: &Table, options: Options) -> Result<Plan, KernelError> {
    let before = before_weights(geometry);
    if options.prologue && (matches!(geometry.spec.input, Input::Plain(_)) || geometry.is_depthwise()) {
        return Err(KernelError::Impossible("a prologue on a plain input or a depthwise convolution"));
    }
    if options.precision == Precision::Bf16 && !options.isa.has_bf16() {
        return Err(KernelError::MissingBf16(options.isa));
    }
    let way = (options.prologue, options.precision == Precision::Bf16);
    if geometry.is_depthwise() {
        return Ok(Plan::Depthwise(Depthwise::new(geometry, before)?));
    }
    if geometry.is_pointwise() {
        if !way.1
            && let Some(strassen) = Strassen::new(geometry, table, before, (options.winograd, way.0))?
        {
            return Ok(Plan::Strassen(strassen));
        }
        return Ok(Plan::Pointwise(Pointwise::new(geometry, table, before, way)?));
    }
    if let Some(winograd) = winograd::Winograd::new(geometry, table, before, (options.winograd, way.1))? {
        return Ok(Plan::Winograd(winograd));
    }
    Ok(Plan::Direct(Direct::all(geometry, table, before, way)?))
}

impl Plan {
    fn len(&self) -> usize {
        match self {
            Plan::Pointwise(it) => it.panels.len,
            Plan::Strassen(it) => it.len,
            Plan::Direct(all) => all.iter().map(|it| it.panels.len).sum(),
            Plan::Depthwise(it) => it.len,
            Plan::Winograd(it) => it.panels.len,
        }
    }

    /// The line that names the layout: its version, the way, and a hash of which weight stands where. Each number is
    /// whole and below 2²⁴, so that the line is the same wherever it is read.
    fn layout(&self, geometry: &Geometry) -> [f32; LANES] {
        let mut hash = Fnv::new();
        let (method, tile, is_streamed) = match self {
            Plan::Pointwise(it) => {
                it.panels.name(&mut hash);
                (1, 0, false)
            }
            Plan::Direct(all) => {
                all.iter().for_each(|it| it.panels.name(&mut hash));
                (2, 0, false)
            }
            Plan::Depthwise(_) => {
                geometry.out_channels.slots().for_each(|slot| hash.add(slot.unwrap_or(usize::MAX)));
                hash.add(geometry.taps);
                (3, 0, false)
            }
            Plan::Strassen(it) => {
                it.name(&mut hash);
                (5, 0, false)
            }
            Plan::Winograd(it) => {
                it.name(&mut hash);
                (4, it.side() as u32, it.is_streamed())
            }
        };
        let mut line = [0.0; LANES];
        let named = [LAYOUT, method, tile, u32::from(is_streamed)].into_iter().chain(hash.sixteens());
        line.iter_mut().zip(named).for_each(|(it, number)| *it = number as f32);
        line
    }

    fn room(&self) -> usize {
        match self {
            Plan::Pointwise(it) => it.room(),
            Plan::Strassen(it) => it.room(),
            Plan::Direct(all) => all.iter().map(Direct::room).max().unwrap_or(0),
            Plan::Depthwise(it) => it.room(),
            Plan::Winograd(it) => it.room(),
        }
    }

    /// Pieces of work along the pixels, and panels that each may be split by.
    fn chunks(&self) -> (usize, usize) {
        match self {
            Plan::Pointwise(it) => (it.chunks(), it.panels.list.len()),
            Plan::Strassen(it) => (it.chunks(), it.pairs),
            Plan::Direct(all) => {
                (all.iter().map(Direct::chunks).sum(), all.first().map_or(1, |it| it.panels.list.len()))
            }
            Plan::Depthwise(it) => (it.chunks(), 1),
            Plan::Winograd(it) => (it.chunks(), it.panels.list.len()),
        }
    }

    fn pack(&self, geometry: &Geometry, weights: &[f32], to: &mut [f32]) {
        match self {
            Plan::Pointwise(it) => it.panels.pack(geometry, weights, to),
            Plan::Strassen(it) => it.pack(geometry, weights, to),
            Plan::Direct(all) => all.iter().for_each(|it| it.panels.pack(geometry, weights, to)),
            Plan::Depthwise(it) => it.pack(geometry, weights, to),
            Plan::Winograd(it) => it.pack(geometry, weights, to),
        }
    }

    fn forget_rows(&mut self) {
        match self {
            Plan::Pointwise(it) => it.panels.forget_rows(),
            Plan::Direct(all) => all.iter_mut().for_each(|it| it.panels.forget_rows()),
            Plan::Strassen(_) | Plan::Depthwise(_) => {}
            Plan::Winograd(it) => it.panels.forget_rows(),
        }
    }

    /// # Safety
    ///
    /// `io` belongs to this plan's convolution; `room` is as long as [`Plan::room`] says.
    unsafe fn run(&self, chunk: usize, (part, parts): (usize, usize), io: &Io<'_>, room: &mut [f32]) {
        let share_of = |panels: usize| {
            let (first, len) = panels::piece(panels, parts, part);
            first..first + len
        };
        let share = |panels: &panels::Panels| share_of(panels.list.len());
        // SAFETY: the caller's.
        unsafe {
            match self {
                Plan::Pointwise(it) => it.run(chunk, share(&it.panels), io, room),
                Plan::Strassen(it) => it.run(chunk, share_of(it.pairs), io, room),
                Plan::Direct(all) => {
                    let mut chunk = chunk;
                    for it in all {
                        if chunk < it.chunks() {
                            return it.run(chunk, share(&it.panels), io, room);
                        }
                        chunk -= it.chunks();
                    }
                }
                Plan::Depthwise(it) => it.run(chunk, io, room),
                Plan::Winograd(it) => it.run(chunk, share(&it.panels), io, room),
            }
        }
    }
}

impl Convolution {
    /// A convolution with its weights, in ONNX's order (see [`Direction`]), and its bias, one number a channel.
    ///
    /// # Errors
    ///
    /// [`KernelError`]: a shape that cannot be, slices of another length, weights that are infinite or none at all, or
    /// instructions that the processor lacks.
    pub fn new(
        spec: ConvolutionSpec,
        weights: &[f32],
        bias: Option<&[f32]>,
        activation: &Activation,
        options: Options,
    ) -> Result<Self, KernelError> {
        let table = options.isa.table()?;
        let geometry = Geometry::new(spec)?;
        same_length("the weights", geometry.weight_count(), weights.len())?;
        if !weights.iter().chain(bias.unwrap_or_default()).all(|it| it.is_finite()) {
            return Err(KernelError::NotFinite("a weight"));
        }
        let plan = plan(&geometry, table, options)?;
        let mut packed = Buffer::zeros_apart(before_weights(&geometry) + plan.len());
        packed[..LANES].copy_from_slice(&plan.layout(&geometry));
        if let Some(bias) = bias {
            let bias = geometry.out_channels.spread(bias)?;
            packed[LANES..][..bias.len()].copy_from_slice(&bias);
        }
        plan.pack(&geometry, weights, &mut packed);
        // sums of weights may be larger than any number
        if matches!(plan, Plan::Strassen(_) | Plan::Winograd(_)) && !is_finite(options.isa, &packed)? {
            return Err(KernelError::NotFinite("a sum of weights"));
        }
        Convolution::joined(table, geometry, plan, Arc::new(packed), activation, options)
    }

    /// The same from weights that [`Convolution::packed`] gave for the same specification and options.
    ///
    /// Their length and the layout that they name are checked, not the numbers: whoever keeps them keeps a hash beside them.
    ///
    /// # Errors
    ///
    /// [`KernelError`]: as [`Convolution::new`]; [`KernelError::Length`] for weights of another shape,
    /// [`KernelError::Mismatch`] for those that were packed for another shape, way, instruction set or version.
    pub fn from_packed(
        spec: ConvolutionSpec,
        packed: PackedWeights,
        activation: &Activation,
        options: Options,
    ) -> Result<Self, KernelError> {
        let table = options.isa.table()?;
        let geometry = Geometry::new(spec)?;
        let given = (*packed).as_ref().len();
        // every weight has a place, or half of one (but those that a transposed window never reaches): this is seen before
        // anything is made for a shape that is only declared
        let expected = match options.precision {
            Precision::F32 => geometry.weight_count(),
            Precision::Bf16 => geometry.weight_count().div_ceil(2),
        };
        if geometry.spec.direction == Direction::Forward && given < expected {
            return Err(KernelError::Length { of: "the packed weights", expected, given });
        }
        let plan = plan(&geometry, table, options)?;
        let numbers = (*packed).as_ref();
        same_length("the packed weights", before_weights(&geometry) + plan.len(), numbers.len())?;
        let is_same = |(found, wanted): (&f32, &f32)| found.to_bits() == wanted.to_bits();
        if !numbers.iter().zip(&plan.layout(&geometry)).all(is_same) {
            return Err(KernelError::Mismatch("weights that were packed otherwise"));
        }
        Convolution::joined(table, geometry, plan, packed, activation, options)
    }

    fn joined(
        table: &'static Table,
        geometry: Geometry,
        mut plan: Plan,
        packed: PackedWeights,
        activation: &Activation,
        options: Options,
    ) -> Result<Self, KernelError> {
        plan.forget_rows();
        let finish = Finish::new(activation, &geometry.out_channels)?;
        Ok(Convolution { table, geometry, plan, finish, packed, has_prologue: options.prologue })
    }

    /// The weights as the kernels read them, to be kept for [`Convolution::from_packed`].
    pub fn packed(&self) -> &[f32] {
        (*self.packed).as_ref()
    }

    /// The same weights for somebody who may hold them longer than this convolution.
    pub fn packed_weights(&self) -> PackedWeights {
        Arc::clone(&self.packed)
    }

    /// The channels of the output and how they lie.
    pub fn output_channels(&self) -> &Channels {
        &self.geometry.out_channels
    }

    /// Depth, height and width of the output.
    pub fn output_extent(&self) -> Extent {
        self.geometry.out
    }

    /// How it is computed.
    pub fn method(&self) -> Method {
        match &self.plan {
            Plan::Pointwise(_) => Method::Pointwise,
            Plan::Strassen(_) => Method::Strassen,
            Plan::Direct(_) => Method::Direct,
            Plan::Depthwise(_) => Method::Depthwise,
            Plan::Winograd(it) => Method::Winograd(it.tile()),
        }
    }

    /// The instructions it uses.
    pub fn isa(&self) -> Isa {
        self.table.isa
    }

    /// Multiplications of the plain sum: what its share of a network is measured by.
    pub fn multiplications(&self) -> u64 {
        let pixels: u64 = match self.geometry.spec.direction {
            Direction::Forward => self.geometry.out.iter().map(|it| *it as u64).product(),
            Direction::Transposed { .. } => self.geometry.spec.extent.iter().map(|it| *it as u64).product(),
        };
        let channels = match self.geometry.spec.direction {
            Direction::Forward => self.geometry.group_in * self.geometry.spec.out_channels,
            Direction::Transposed { .. } => self.geometry.group_out * self.geometry.spec.in_channels(),
        };
        pixels * (channels * self.geometry.taps) as u64
    }

    /// Numbers of room that each worker needs.
    pub fn room(&self) -> usize {
        self.plan.room()
    }

    /// Runs on the calling thread; every place of `output` is written.
    ///
    /// # Errors
    ///
    /// [`KernelError`]: an operand or the output has another shape.
    pub fn run(
        &self,
        operands: &Operands<'_>,
        output: &mut ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), KernelError> {
        self.run_on(&OneThread, operands, output, scratch)
    }

    /// Runs on several threads; the bits are the same.
    ///
    /// # Errors
    ///
    /// As [`Convolution::run`].
    pub fn run_on(
        &self,
        workers: &dyn Workers,
        operands: &Operands<'_>,
        output: &mut ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<(), KernelError> {
        let io = self.checked(operands, output)?;
        let (chunks, panels) = self.plan.chunks();
        let wanted = if workers.count() > 1 { 3 * workers.count() } else { 1 };
        let parts = wanted.div_ceil(chunks).clamp(1, panels);
        scratch.spread(workers, self.plan.room(), chunks * parts, &|task, room| {
            // SAFETY: `checked` has held every slice against this convolution; tasks write different places.
            unsafe { self.plan.run(task / parts, (task % parts, parts), &io, room) }
        });
        Ok(())
    }

    fn checked<'a>(
        &'a self,
        operands: &Operands<'_>,
        output: &mut ViewMut<'_>,
    ) -> Result<Io<'a>, KernelError> {
        let spec = &self.geometry.spec;
        let (read, prologue) = match (&operands.source, &spec.input) {
            (Source::Blocked(view), Input::Blocked(channels)) => {
                if view.blocks() != channels.blocks() || view.extent() != spec.extent {
                    return Err(KernelError::Mismatch("the input of a convolution"));
                }
                let prologue = operands.prologue.map(|it| it.checked(channels)).transpose()?;
                (view.data().as_ptr(), prologue)
            }
            (Source::Plain(data), Input::Plain(count)) => {
                same_length("the plain input", count * spec.extent.iter().product::<usize>(), data.len())?;
                (data.as_ptr(), None)
            }
            _ => return Err(KernelError::Mismatch("a plain input and one in blocks")),
        };
        if operands.prologue.is_some() != self.has_prologue {
            return Err(KernelError::Mismatch("a prologue that the convolution was not built for, or none"));
        }
        let (blocks, extent) = (self.geometry.out_channels.blocks(), self.geometry.out);
        if output.blocks() != blocks || output.extent() != extent {
            return Err(KernelError::Mismatch("the output of a convolution"));
        }
        let residual = match &operands.residual {
            None => std::ptr::null(),
            Some(view) if view.blocks() == blocks && view.extent() == extent => view.data().as_ptr(),
            Some(_) => return Err(KernelError::Mismatch("the residual of a convolution")),
        };
        // asked once and checked again: a foreign `AsRef` may answer otherwise than when the convolution was built
        let packed = self.packed();
        same_length("the packed weights", before_weights(&self.geometry) + self.plan.len(), packed.len())?;
        let weights = packed.as_ptr();
        let bias = packed[LANES..].as_ptr();
        let out = output.data().as_mut_ptr();
        Ok(Io { table: self.table, finish: &self.finish, read, out, residual, prologue, weights, bias })
    }
}
