//! Which units stand together: as much of the network as can be computed without asking tract in between.

use std::collections::{BTreeMap, HashMap, HashSet};

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv};
use tract_onnx::tract_core::ops::einsum::EinSum;

use super::constants;
use super::recognize::Graph;
use super::unit::{Doing, Unit};
use super::values::Values;

/// The regions of a graph, and what it has beside them.
#[derive(Debug, Default)]
pub(super) struct Regions {
    pub all: Vec<Values>,
    /// Multiplications of convolutions and products that stay tract's.
    pub left: u64,
    /// How often an operator outside takes what a region gives, by the operator's name.
    pub ended_by: BTreeMap<String, usize>,
}

/// A place in the order of regions: how often one has gone in or out of what is covered on the longest way there.
type Level = (usize, bool);

impl Regions {
    /// Finds them all; one of no convolution is left to tract.
    pub fn of(graph: &Graph<'_>) -> TractResult<Regions> {
        let model = graph.model;
        let order = model.eval_order()?;
        let mut units = covered(graph, &order);
        let levels = levels(model, &order, &units)?;
        let mut regions = Regions::default();
        let mut by_level: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for node in &order {
            if units.contains_key(node) {
                by_level.entry(levels[node].0).or_default().push(*node);
            }
        }
        let mut ours = HashSet::new();
        for nodes in by_level.into_values() {
            let is_worth_it = nodes.iter().any(|node| matches!(units[node].doing, Doing::Convolve(_)));
            if !is_worth_it {
                continue;
            }
            for node in &nodes {
                ours.insert(*node);
                ours.extend(&units[node].absorbed);
            }
            regions.all.push(values(graph, &nodes, &mut units)?);
        }
        regions.look_at_the_rest(graph, &order, |node| ours.contains(&node))?;
        Ok(regions)
    }

    fn look_at_the_rest(
        &mut self,
        graph: &Graph<'_>,
        order: &[usize],
        is_ours: impl Fn(usize) -> bool,
    ) -> TractResult<()> {
        let model = graph.model;
        for node in order.iter().map(|node| model.node(*node)).filter(|node| !is_ours(node.id)) {
            let facts = model.node_input_facts(node.id)?;
            if constants::is_constant(graph, OutletId::new(node.id, 0)) {
                continue;
            }
            if node.op_is::<Conv>() || node.op_is::<EinSum>() {
                self.left += products(node.op.cost(&facts)?);
            } else if let Some(op) = node.op_as::<Deconv>() {
                let window: usize = op.pool_spec.kernel_shape.iter().product();
                let of_each = window * (op.pool_spec.output_channels / op.group.max(1));
                self.left += facts[0].shape.volume().to_usize()? as u64 * of_each as u64;
            }
            if node.inputs.iter().any(|input| is_ours(input.node)) {
                *self.ended_by.entry(node.op.name().into_owned()).or_default() += 1;
            }
        }
        Ok(())
    }
}

fn products(cost: TVec<(Cost, TDim)>) -> u64 {
    let each = cost.into_iter().filter(|(cost, _)| matches!(cost, Cost::FMA(_)));
    each.filter_map(|(_, count)| count.to_i64().ok()).map(|count| count.max(0) as u64).sum()
}

/// The unit of each node that is the last of one; what a unit absorbs has none.
fn covered(graph: &Graph<'_>, order: &[usize]) -> HashMap<usize, Unit> {
    let mut units: HashMap<usize, Unit> = HashMap::new();
    // from the end: what a later unit absorbs needs none of its own
    let mut absorbed = HashSet::new();
    for node in order.iter().rev() {
        if absorbed.contains(node) {
            continue;
        }
        if let Some(unit) = graph.unit(graph.model.node(*node)) {
            absorbed.extend(unit.absorbed.iter().copied());
            units.insert(*node, unit);
        }
    }
    units
}

fn levels(
    model: &TypedModel,
    order: &[usize],
    units: &HashMap<usize, Unit>,
) -> TractResult<HashMap<usize, Level>> {
    let mut levels: HashMap<usize, Level> = HashMap::new();
    for node in order {
        let unit = units.get(node);
        let inputs = unit.map_or(&model.node(*node).inputs[..], |unit| &unit.inputs[..]);
        let mut level = 0;
        for input in inputs {
            let (before, was_covered) = levels[&input.node];
            let is_constant = model.outlet_fact(*input)?.konst.is_some();
            let goes_over = was_covered != unit.is_some() && !is_constant;
            level = level.max(before + usize::from(goes_over));
        }
        levels.insert(*node, (level, unit.is_some()));
    }
    Ok(levels)
}

/// The values of one region, whose nodes come in order; the units are used up.
fn values(graph: &Graph<'_>, nodes: &[usize], units: &mut HashMap<usize, Unit>) -> TractResult<Values> {
    let model = graph.model;
    let mut values = Values::default();
    let mut place: HashMap<OutletId, usize> = HashMap::new();
    let mut inside: HashSet<usize> = nodes.iter().copied().collect();
    inside.extend(
        nodes.iter().filter_map(|node| units.get(node)).flat_map(|unit| unit.absorbed.iter().copied()),
    );
    for node in nodes {
        let unit = units.remove(node).context("a unit belongs to one region")?;
        let mut inputs = Vec::new();
        for outlet in unit.inputs {
            let value = match place.get(&outlet) {
                Some(value) => *value,
                None => {
                    let shape = graph.shape(outlet).context("what a region takes in has a shape of ours")?;
                    let value = values.add(Doing::Input, Vec::new(), (shape, outlet.node));
                    values.inputs.push((outlet, value));
                    place.insert(outlet, value);
                    value
                }
            };
            inputs.push(value);
        }
        let outlet = OutletId::new(*node, 0);
        let shape = graph.shape(outlet).context("a unit has a shape of ours")?;
        let value = values.add(unit.doing, inputs, (shape, *node));
        place.insert(outlet, value);
        let is_needed_outside = model.outputs.contains(&outlet)
            || model.outlet_successors(outlet).iter().any(|user| !inside.contains(&user.node));
        if is_needed_outside {
            values.all[value].is_output = true;
            values.outputs.push((outlet, value));
        }
    }
    values.fuse();
    Ok(values)
}
