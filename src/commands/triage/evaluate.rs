//! How good a knowledge base is over cases whose diagnosis is known.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use indicatif::ProgressBar;
use models::Knowledge;
use rayon::prelude::*;
use triage::Engine;
use triage::evaluate::ddxplus::{self, DdxPlus, Manner};
use triage::evaluate::matching::Names;
use triage::evaluate::{Outcome, Summary, vignettes};

use super::read;
use crate::commands::progress;

/// What is measured, and over which cases.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The cases
    #[arg(required_unless_present = "simulate")]
    files: Vec<PathBuf>,
    /// How the cases are written
    #[arg(long, value_enum)]
    format: Format,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Write what came of each case, a JSON object a line
    #[arg(long, value_name = "OUT")]
    per_case: Option<PathBuf>,
    /// ddxplus: so many patients drawn from the presence rates, instead of files
    #[arg(long, value_name = "COUNT", conflicts_with = "files")]
    simulate: Option<usize>,
    /// ddxplus: with which seed they are drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// ddxplus: tell all evidences at once instead of asking
    #[arg(long)]
    all_at_once: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// JSON lines with correct_diagnosis, demographics, presentation, absent_findings …, perhaps urgency and accept
    Vignettes,
    /// The benchmark's CSV of patients; --knowledge names the folder of its conditions, evidences and presence rates
    Ddxplus,
}

/// `triage evaluate`
pub fn run(knowledge: Option<&Path>, arguments: &Arguments) -> Result<()> {
    let outcomes = match arguments.format {
        Format::Vignettes => over_vignettes(knowledge, arguments)?,
        Format::Ddxplus => over_patients(knowledge, arguments)?,
    };
    if outcomes.is_empty() {
        bail!("there are no cases");
    }
    if let Some(path) = &arguments.per_case {
        write(path, &outcomes).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let summary = Summary::of(&outcomes);
    if arguments.json {
        println!("{}", serde_json::to_string(&summary)?);
        return Ok(());
    }
    println!("{} cases, {} of them with a diagnosis that is known", summary.cases, summary.covered);
    for (name, figure) in summary.figures() {
        if let Some(figure) = figure {
            println!("{name:20} {:8.4}  ({:.4} to {:.4})", figure.value, figure.low, figure.high);
        }
    }
    Ok(())
}

fn over_vignettes(folder: Option<&Path>, arguments: &Arguments) -> Result<Vec<Outcome>> {
    if arguments.simulate.is_some() || arguments.all_at_once {
        bail!("--simulate and --all-at-once go with --format ddxplus");
    }
    let knowledge = match folder {
        Some(folder) => Knowledge::open(folder),
        None => Knowledge::built_in(),
    };
    let knowledge = Arc::new(knowledge.context("the knowledge does not read")?);
    let mut cases = Vec::new();
    for path in &arguments.files {
        let text = read(path)?;
        cases.extend(vignettes::read(&text).with_context(|| format!("{} does not read", path.display()))?);
    }
    let engine = Engine::new(Arc::clone(&knowledge));
    let names = Names::of(&knowledge);
    Ok(each(cases.len(), |at| cases[at].outcome(at + 1, &names, &engine.assess(&cases[at].told()))))
}

fn over_patients(folder: Option<&Path>, arguments: &Arguments) -> Result<Vec<Outcome>> {
    let folder = folder
        .context("--knowledge names the folder with the benchmark's conditions, evidences and rates")?;
    let texts = ddxplus::FILES.map(|name| read(&folder.join(name)));
    let [conditions, evidences, rates] = texts;
    let (conditions, evidences, rates) = (conditions?, evidences?, rates?);
    let world = DdxPlus::of([&conditions, &evidences, &rates]).context("the benchmark does not read")?;
    let mut patients = Vec::new();
    for path in &arguments.files {
        let text = read(path)?;
        patients.extend(world.patients(&text).with_context(|| format!("{} does not read", path.display()))?);
    }
    if let Some(count) = arguments.simulate {
        patients = world.simulate(count.min(10_000_000), arguments.seed);
    }
    let engine = Engine::new(Arc::new(world.knowledge().clone()));
    let manner = if arguments.all_at_once { Manner::AllAtOnce } else { Manner::Asked };
    Ok(each(patients.len(), |at| world.outcome(&engine, at + 1, &patients[at], manner)))
}

/// The outcomes of so many cases, in their order, over all processors, with a bar.
fn each(count: usize, outcome: impl Fn(usize) -> Outcome + Sync) -> Vec<Outcome> {
    let bar: ProgressBar = progress::bar_of(count, "cases");
    let outcomes = (0..count)
        .into_par_iter()
        .map(|at| {
            let outcome = outcome(at);
            bar.inc(1);
            outcome
        })
        .collect();
    bar.finish_and_clear();
    outcomes
}

fn write(path: &Path, outcomes: &[Outcome]) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for outcome in outcomes {
        serde_json::to_writer(&mut file, outcome)?;
        file.write_all(b"\n")?;
    }
    Ok(file.flush()?)
}
