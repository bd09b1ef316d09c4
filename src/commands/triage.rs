//! `medilink triage`: symptoms become an urgency, a differential and questions, without a server.

mod assess;
mod evaluate;
mod interview;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use clinical::decision::Presentation;
use models::{Formulary, Knowledge};
use triage::Advisor;

/// The largest file that is read, in bytes.
const MOST_BYTES: u64 = 1 << 30;

/// What to do; without an action it asks, question by question.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Another knowledge base than the one in the program: a folder as models/knowledge
    #[arg(long, global = true, value_name = "DIR")]
    knowledge: Option<PathBuf>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Assess one presentation: how soon to be seen, what it may be and why, what to ask next
    ///
    /// The file holds one JSON object, as POST /api/v1/assessments takes it: {"symptoms": ["fever", "cough"],
    /// "age": 30, "sex": "female"}, or a story in words: {"text": "Fever and cough for three days, no rash"}.
    Assess(File),
    /// Say what of a patient's medication does not go together, and what could not be checked
    ///
    /// The file holds one JSON object with medications, and allergies, conditions, age, sex, pregnant, egfr …
    Screen(File),
    /// Measure a knowledge base on vignettes or patients whose diagnosis is known
    ///
    /// Prints how often the right condition is the first, among the first three and five, how long it took to ask, how
    /// well probabilities hold, and how often the urgency is right and safe, each with an interval of 95 %. A
    /// condition is right by its name, another of its names, or its ICD-10-CM code: the rule stands in the
    /// documentation of triage::evaluate::matching. Every case counts, whether the knowledge has its diagnosis or not.
    Evaluate(evaluate::Arguments),
}

#[derive(Debug, Args)]
struct File {
    /// The presentation; - reads it from the standard input
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl File {
    fn read(&self) -> Result<Presentation> {
        let text = read(&self.file)?;
        let presentation: Presentation = serde_json::from_str(&text)
            .with_context(|| format!("{} is no presentation", self.file.display()))?;
        if let Err(faults) = presentation.check() {
            let faults: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
            bail!("{} cannot be assessed: {}", self.file.display(), faults.join("; "));
        }
        Ok(presentation)
    }
}

/// Runs what was asked for.
pub fn run(arguments: &Arguments) -> Result<()> {
    let advisor = || advisor(arguments.knowledge.as_deref());
    match &arguments.action {
        None => interview::run(&advisor()?),
        Some(Action::Assess(file)) => assess::assess(&advisor()?, file),
        Some(Action::Screen(file)) => assess::screen(&advisor()?, file),
        Some(Action::Evaluate(evaluation)) => evaluate::run(arguments.knowledge.as_deref(), evaluation),
    }
}

fn advisor(folder: Option<&Path>) -> Result<Advisor> {
    match folder {
        None => Advisor::built_in().context("the program's own knowledge does not read"),
        Some(folder) => {
            let knowledge = Knowledge::open(folder)
                .with_context(|| format!("{} holds no knowledge that can be used", folder.display()))?;
            let has_drugs = folder.join("drugs").is_dir();
            let formulary = if has_drugs { Formulary::open(folder) } else { Formulary::built_in() };
            let unusable = || format!("{} holds no formulary that can be used", folder.display());
            Ok(Advisor::new(knowledge, formulary.with_context(unusable)?))
        }
    }
}

/// A text file, or the standard input where the path is `-`.
fn read(path: &Path) -> Result<String> {
    let cannot = || format!("{} cannot be read", path.display());
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().take(MOST_BYTES).read_to_string(&mut text).with_context(cannot)?;
    } else {
        let file = fs::File::open(path).with_context(cannot)?;
        file.take(MOST_BYTES).read_to_string(&mut text).with_context(cannot)?;
    }
    Ok(text)
}
