//! `medilink analyze PATH…`: what the networks say of files, without a server.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use clinical::imaging::Outcome;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::progress;
use crate::config::Config;
use crate::inputs::{self, Input};
use crate::reader::{Asked, Reader, Reading};
use crate::wiring;

/// A file is held in memory whole; a longer one is refused.
const MOST_BYTES: u64 = 512 << 20;

/// What to analyse, and how to tell it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// DICOM files, folders and zip archives
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// One JSON object per image and network, one a line
    #[arg(long)]
    json: bool,
    /// Ask this network instead of all active ones (may be repeated)
    #[arg(long = "network", value_name = "NAME")]
    networks: Vec<String>,
}

/// Reads every file; fails when any of them could not be read.
pub fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    let reader = wiring::reader(config)?;
    let asked = match arguments.networks.as_slice() {
        [] => Asked::Active,
        names => Asked::Named(names.to_vec()),
    };
    reader.check(&asked)?;
    let (inputs, unseen) = inputs::collect(&arguments.paths);
    let bar = progress::bar(inputs.len());
    let has_failed = AtomicBool::new(!unseen.is_empty());
    let mut printer = Printer { json: arguments.json, ..Printer::default() };
    for (name, error) in &unseen {
        printer.print(&[error_line(name, error.code(), &error.to_string())])?;
    }
    let out = Mutex::new(printer);
    // In the order of the files, so that few wait to be printed after one that takes long.
    let printed: std::io::Result<()> =
        inputs.iter().enumerate().par_bridge().try_for_each(|(index, input)| {
            let lines = lines_of(&reader, config, input, &asked);
            if lines.iter().any(|line| !line["error"].is_null()) {
                has_failed.store(true, Ordering::Relaxed);
            }
            bar.inc(1);
            match out.lock() {
                Ok(mut printer) => bar.suspend(|| printer.print_in_order(index, lines)),
                Err(_) => Err(std::io::Error::other("another thread failed while printing")),
            }
        });
    bar.finish_and_clear();
    match printed {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
        printed => printed?,
    }
    if has_failed.into_inner() {
        bail!("some files could not be read");
    }
    if inputs.is_empty() {
        bail!("there is no file to analyse");
    }
    Ok(())
}

fn lines_of(reader: &Reader, config: &Config, input: &Input, asked: &Asked) -> Vec<Value> {
    let bytes = match input.read(config.instance_bytes.min(MOST_BYTES)) {
        Ok(bytes) => bytes,
        Err(error) => return vec![error_line(&input.name, error.code(), &error.to_string())],
    };
    match reader.read(bytes, asked) {
        Ok(readings) => readings.iter().map(|reading| line(&input.name, reading)).collect(),
        Err(error) => vec![error_line(&input.name, error.code(), &error.to_string())],
    }
}

fn error_line(file: &str, code: &str, error: &str) -> Value {
    json!({ "file": file, "code": code, "error": error })
}

fn line(file: &str, reading: &Reading) -> Value {
    let (labels, abstention) = match &reading.outcome {
        Outcome::Scored(labels) => (labels.as_slice(), None),
        Outcome::Abstained(abstention) => (&[][..], Some(abstention)),
    };
    let labels: Vec<Value> = labels
        .iter()
        .map(|label| {
            json!({
                "label": label.label,
                "meaning": label.meaning,
                "probability": label.probability,
                "threshold": label.threshold,
                "is_positive": label.threshold.map(|_| label.is_positive()),
                "frame": label.frame,
            })
        })
        .collect();
    json!({
        "file": file,
        "network": reading.network.as_ref().map(|card| &card.name),
        "version": reading.network.as_ref().map(|card| &card.version),
        "sha256": reading.network.as_ref().map(|card| &card.sha256),
        "labels": labels,
        "findings": reading.summary.findings,
        "recommendations": reading.summary.recommendations,
        "confidence": reading.summary.confidence,
        "abstention": abstention,
        "duration_ms": reading.duration_ms,
    })
}

#[derive(Default)]
struct Printer {
    json: bool,
    has_head: bool,
    /// Which file is printed next, counted from 0.
    next: usize,
    /// Lines of later files.
    early: BTreeMap<usize, Vec<Value>>,
}

impl Printer {
    /// Prints the lines of a file once those of all before it are printed, so that two runs print the same.
    fn print_in_order(&mut self, index: usize, lines: Vec<Value>) -> std::io::Result<()> {
        self.early.insert(index, lines);
        while let Some(lines) = self.early.remove(&self.next) {
            self.next += 1;
            self.print(&lines)?;
        }
        Ok(())
    }

    fn print(&mut self, lines: &[Value]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        for line in lines {
            if self.json {
                writeln!(out, "{line}")?;
                continue;
            }
            if !self.has_head {
                writeln!(out, "{:<40}  {:<14}  {:>8}  what was found", "file", "network", "ms")?;
                self.has_head = true;
            }
            let file = shortened(line["file"].as_str().unwrap_or_default());
            if let Some(error) = line["error"].as_str() {
                writeln!(out, "{file:<40}  {:<14}  {:>8}  error: {error}", "", "")?;
                continue;
            }
            let network = line["network"].as_str().unwrap_or("-");
            let duration_ms = line["duration_ms"].as_f64().unwrap_or_default();
            writeln!(out, "{file:<40}  {network:<14}  {duration_ms:>8.1}  {}", found(line))?;
        }
        out.flush()
    }
}

/// One line for people: the labels with their percentages, or why there are none.
fn found(line: &Value) -> String {
    if let Some(reason) = line["abstention"]["reason"].as_str() {
        return format!("abstained: {reason}");
    }
    let label = |it: &Value| {
        let percent = it["probability"].as_f64().unwrap_or_default() * 100.0;
        let mark = if it["is_positive"] == true { " (positive)" } else { "" };
        format!("{} {percent:.1} %{mark}", it["label"].as_str().unwrap_or_default())
    };
    line["labels"]
        .as_array()
        .map_or_else(String::new, |labels| labels.iter().map(label).collect::<Vec<_>>().join(", "))
}

/// The end of a long path, which tells more than its beginning.
fn shortened(path: &str) -> String {
    let count = path.chars().count();
    if count <= 40 {
        return path.to_owned();
    }
    format!("…{}", path.chars().skip(count - 39).collect::<String>())
}
