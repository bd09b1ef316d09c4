//! From the values of a region to steps over one stretch of memory.

use kernels::{
    Affine, Bend, Buffer, Channels, Combine, Convolution, ConvolutionSpec, Extent, Input, Isa, KernelError,
    LocalResponse, Normalization, Options, Pool, Pooling, Resize, Softmax, Winograd,
};
use models::Precision;

use super::packing::Packing;
use super::places::{Place, Places};
use super::recognize::Graph;
use super::unit::{Before, Convolve, Doing};
use super::values::Values;
use super::weights::Between;

/// Channels up to which a value from outside is read as it comes.
const MOST_PLAIN: usize = 8;

/// How a region is computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub isa: Isa,
    /// Whether only plain sums will do.
    pub is_exact: bool,
    /// In which numbers products may be formed.
    pub precision: Precision,
}

/// One step: what is done, with which values, to which value.
#[derive(Debug)]
pub(super) struct Step {
    pub work: Work,
    pub reads: Vec<usize>,
    pub writes: usize,
}

/// What one step does.
#[derive(Debug)]
pub(super) enum Work {
    /// Brings the numbers of this input into blocks.
    Block(usize),
    Convolve(Box<Convolving>),
    Scale(Affine),
    Join(Combine),
    Pool(Pool),
    PoolAll(Pooling),
    Resize(Resize),
    Normalize(Normalization),
    Respond(LocalResponse),
    Softmax(Softmax),
    /// Nothing where what is read lies in its place already.
    Concat,
    /// Likewise.
    Rename,
    /// The blocks as they are, from this block of the result on.
    Copy(usize),
    /// The same channels in the places of another map.
    Arrange,
}

/// A convolution with what it reads.
#[derive(Debug)]
pub(super) struct Convolving {
    pub convolution: Convolution,
    /// The input from outside that it reads as it comes; else the first value.
    pub plain: Option<usize>,
    pub before: Option<Prepared>,
    /// Whether the last value is added.
    pub has_residual: bool,
}

/// What happens to a convolution's input on its way in.
#[derive(Debug)]
pub(super) enum Prepared {
    Scale { scale: Buffer, shift: Buffer, bend: Bend },
    Normalize { normalization: Normalization, bend: Bend },
}

/// A region, ready to run.
#[derive(Debug)]
pub(super) struct Plan {
    pub isa: Isa,
    pub steps: Vec<Step>,
    pub places: Vec<Option<Place>>,
    pub outputs: Vec<usize>,
    /// Numbers of memory that an image needs.
    pub memory: usize,
    pub multiplications: u64,
    /// Bytes of packed weights.
    pub weights: usize,
}

/// An operator that the kernels refuse.
#[derive(Debug)]
pub(super) struct Refused {
    pub error: KernelError,
    /// tract's node that it stands for; none where it is the region as a whole.
    pub node: Option<usize>,
}

/// A plan that is being made.
struct Draft<'a> {
    graph: &'a Graph<'a>,
    packing: &'a mut Packing,
    way: Way,
    /// By value: its channels, its extent. A value that is read as it comes has no channels.
    channels: Vec<Option<Channels>>,
    extents: Vec<Extent>,
    steps: Vec<Step>,
}

impl Plan {
    /// Makes the plan; the weights are packed, one convolution's after the other.
    ///
    /// # Errors
    ///
    /// [`Refused`]: an operator that the kernels refuse.
    pub fn new(
        mut values: Values,
        way: Way,
        graph: &Graph<'_>,
        packing: &mut Packing,
    ) -> Result<Plan, Refused> {
        let count = values.all.len();
        let extents = values.all.iter().map(|it| it.shape.extent).collect();
        let channels = vec![None; count];
        let mut draft = Draft { graph, packing, way, channels, extents, steps: Vec::new() };
        for index in 0..count {
            let value = &mut values.all[index];
            let doing = std::mem::replace(&mut value.doing, Doing::Gone);
            let node = Some(value.node).filter(|_| !matches!(doing, Doing::Input));
            draft.step(&values, index, doing).map_err(|error| Refused { error, node })?;
        }
        let outputs: Vec<usize> = values.outputs.iter().map(|(_, value)| *value).collect();
        let Draft { channels, extents, steps, .. } = draft;
        let Places { all, memory, steps } =
            Places::of(steps, channels, extents, &outputs).map_err(|error| Refused { error, node: None })?;
        let convolutions = || {
            steps.iter().filter_map(|step| match &step.work {
                Work::Convolve(it) => Some(&it.convolution),
                _ => None,
            })
        };
        let multiplications = convolutions().map(Convolution::multiplications).sum();
        let weights = convolutions().map(|it| size_of_val(it.packed())).sum();
        Ok(Plan { isa: way.isa, places: all, steps, outputs, memory, multiplications, weights })
    }
}

impl Draft<'_> {
    fn step(&mut self, values: &Values, index: usize, doing: Doing) -> Result<(), KernelError> {
        let value = &values.all[index];
        let inputs = &value.inputs[..];
        let isa = self.way.isa;
        let (work, reads, channels) = match doing {
            Doing::Gone => return Ok(()),
            Doing::Input => {
                let number = values.inputs.iter().position(|(_, it)| *it == index).unwrap_or_default();
                if is_read_as_it_comes(values, index) {
                    return Ok(());
                }
                (Work::Block(number), Vec::new(), Channels::dense(value.shape.channels)?)
            }
            Doing::Convolve(convolve) => {
                let (convolving, reads) = self.convolution(values, index, *convolve)?;
                let channels = convolving.convolution.output_channels().clone();
                (Work::Convolve(Box::new(convolving)), reads, channels)
            }
            Doing::Scale(scale) => {
                let channels = self.channels(inputs[0])?;
                let affine = match scale.by {
                    Some((by, shift)) => Affine::new(&channels, &by, &shift, &scale.activation, isa)?,
                    None => Affine::identity(&channels, &scale.activation, isa)?,
                };
                (Work::Scale(affine), vec![inputs[0]], channels)
            }
            Doing::Join(pair, activation) => {
                let channels = self.channels(inputs[0])?;
                let right = self.arranged(inputs[1], &channels)?;
                (
                    Work::Join(Combine::new(pair, &channels, &activation, isa)?),
                    vec![inputs[0], right],
                    channels,
                )
            }
            Doing::Concat => {
                let parts = inputs.iter().map(|it| self.channels(*it)).collect::<Result<Vec<_>, _>>()?;
                (Work::Concat, inputs.to_vec(), Channels::concat(&parts.iter().collect::<Vec<_>>())?)
            }
            Doing::Rename(order) => {
                let channels = self.channels(inputs[0])?;
                let channels = order.map_or(Ok(channels.clone()), |order| channels.permuted(&order))?;
                (Work::Rename, vec![inputs[0]], channels)
            }
            Doing::Pool(pooling, spec) => {
                (Work::Pool(Pool::new(pooling, spec, isa)?), vec![inputs[0]], self.channels(inputs[0])?)
            }
            Doing::PoolAll(pooling) => (Work::PoolAll(pooling), vec![inputs[0]], self.channels(inputs[0])?),
            Doing::Resize(by) => {
                let extents = (self.extents[inputs[0]], value.shape.extent);
                let resize = Resize::new(extents, by.scales, by.way, isa)?;
                (Work::Resize(resize), vec![inputs[0]], self.channels(inputs[0])?)
            }
            Doing::Normalize(it) => {
                let channels = self.channels(inputs[0])?;
                let by = (&it.gamma[..], &it.beta[..]);
                let normalization =
                    Normalization::new(&channels, it.groups, by, it.epsilon, &it.activation, isa)?;
                (Work::Normalize(normalization), vec![inputs[0]], channels)
            }
            Doing::Respond { size, by } => {
                let channels = Channels::dense(value.shape.channels)?;
                let input = self.arranged(inputs[0], &channels)?;
                (Work::Respond(LocalResponse::new(&channels, size, by, isa)?), vec![input], channels)
            }
            Doing::Softmax => {
                let channels = self.channels(inputs[0])?;
                (Work::Softmax(Softmax::new(&channels, isa)?), vec![inputs[0]], channels)
            }
        };
        self.channels[index] = Some(channels);
        self.steps.push(Step { work, reads, writes: index });
        Ok(())
    }

    fn channels(&self, value: usize) -> Result<Channels, KernelError> {
        self.channels[value].clone().ok_or(KernelError::Mismatch("a value that is read as it comes"))
    }

    /// The value with its channels in these places: itself, or another one that is made of it.
    fn arranged(&mut self, value: usize, channels: &Channels) -> Result<usize, KernelError> {
        if self.channels(value)? == *channels {
            return Ok(value);
        }
        self.channels.push(Some(channels.clone()));
        self.extents.push(self.extents[value]);
        let writes = self.extents.len() - 1;
        self.steps.push(Step { work: Work::Arrange, reads: vec![value], writes });
        Ok(writes)
    }

    fn convolution(
        &mut self,
        values: &Values,
        index: usize,
        convolve: Convolve,
    ) -> Result<(Convolving, Vec<usize>), KernelError> {
        let inputs = &values.all[index].inputs;
        let source = &values.all[inputs[0]];
        let is_plain = self.channels[inputs[0]].is_none();
        let input = if is_plain {
            Input::Plain(source.shape.channels)
        } else {
            Input::Blocked(self.channels(inputs[0])?)
        };
        let before = match (&convolve.before, &input) {
            (Some(before), Input::Blocked(channels)) => Some(self.prepared(before, channels)?),
            _ => None,
        };
        let mut spec =
            ConvolutionSpec::new(input, source.shape.extent, convolve.out_channels, convolve.window.kernel);
        convolve.shape_of(&mut spec);
        let winograd = if self.way.is_exact { Winograd::Never } else { Winograd::Auto };
        let precision = match self.way.precision {
            Precision::F32 => kernels::Precision::F32,
            Precision::Bf16 => kernels::Precision::Bf16,
        };
        let options = Options { isa: self.way.isa, winograd, precision, prologue: before.is_some() };
        let between = Between {
            ins: source.shape.channels,
            outs: convolve.out_channels,
            groups: convolve.groups,
            direction: convolve.direction,
        };
        let weights = || {
            let weights = convolve.weights.numbers(self.graph, between);
            Ok((
                weights.ok_or(KernelError::Mismatch("weights that hang on more than constants"))?,
                convolve.bias,
            ))
        };
        let name = &self.graph.model.node(values.all[index].node).name;
        let convolution = self.packing.convolution(name, spec, weights, (&convolve.activation, options))?;
        let mut reads = Vec::new();
        if !is_plain {
            reads.push(inputs[0]);
        }
        if let (true, Some(residual)) = (convolve.has_residual, inputs.last()) {
            let channels = convolution.output_channels().clone();
            reads.push(self.arranged(*residual, &channels)?);
        }
        let number = values.inputs.iter().position(|(_, it)| *it == inputs[0]);
        let plain = if is_plain { number } else { None };
        Ok((Convolving { convolution, plain, before, has_residual: convolve.has_residual }, reads))
    }

    fn prepared(&self, before: &Before, channels: &Channels) -> Result<Prepared, KernelError> {
        let bend = match before.activation() {
            kernels::Activation::Relu => Bend::Relu,
            kernels::Activation::LeakyRelu(slope) => Bend::LeakyRelu(*slope),
            _ => Bend::None,
        };
        Ok(match before {
            Before::Scale(scale) => {
                let count = channels.count();
                let (by, shift) = scale.by.clone().unwrap_or_else(|| (vec![1.0; count], vec![0.0; count]));
                Prepared::Scale { scale: channels.spread(&by)?, shift: channels.spread(&shift)?, bend }
            }
            Before::Normalize(it) => {
                let none = kernels::Activation::None;
                let by = (&it.gamma[..], &it.beta[..]);
                let normalization =
                    Normalization::new(channels, it.groups, by, it.epsilon, &none, self.way.isa)?;
                Prepared::Normalize { normalization, bend }
            }
        })
    }
}

/// Whether a value from outside goes to convolutions alone, which read its few channels as they come.
fn is_read_as_it_comes(values: &Values, index: usize) -> bool {
    let is_plain_use = |value: &super::values::Value| match &value.doing {
        Doing::Convolve(convolve) => {
            convolve.before.is_none() && value.inputs.iter().skip(1).all(|it| *it != index)
        }
        _ => false,
    };
    let value = &values.all[index];
    value.shape.channels <= MOST_PLAIN
        && !value.is_output
        && values.all.iter().filter(|it| it.inputs.contains(&index)).all(is_plain_use)
}
