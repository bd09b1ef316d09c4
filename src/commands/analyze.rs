//! `medilink analyze PATH…`: what the networks say of files, without a server.

mod of_series;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clinical::imaging::Outcome;
use ingest::part10::Part10;
use serde_json::{Value, json};

use self::of_series::Gathered;
use super::memory::peak_rss_mb;
use super::progress;
use crate::config::Config;
use crate::inputs::{self, Buffers, Input, InputError};
use crate::networks;
use crate::pipeline::{self, Bounds};
use crate::reader::{Asked, Reader, Reading};
use crate::wiring;

/// A file is held in memory whole; a longer one is refused.
const MOST_BYTES: u64 = 512 << 20;
/// What is read ahead of the networks takes at most so many bytes.
const AHEAD_BYTES: u64 = 64 << 20;
/// `USER_HZ`: the ticks a second in which Linux counts processor time (proc(5)).
const TICKS_PER_SECOND: f64 = 100.0;

/// What to analyse, and how to tell it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// DICOM files, folders and zip archives
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// One JSON object per image and network, one a line, and then one that sums up; its peak_rss_mb counts 10⁶ bytes
    #[arg(long)]
    json: bool,
    /// Ask this network instead of all active ones (may be repeated)
    #[arg(long = "model", visible_alias = "network", value_name = "NAME")]
    networks: Vec<String>,
    /// What runs the networks; auto: the fastest that answers as their reference vectors say
    #[arg(long, value_name = "NAME", value_parser = ["auto", "blocked", "tract", "onnxruntime", "openvino"])]
    backend: Option<String>,
    /// So many images at a time [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    threads: Option<u16>,
    /// Run networks on images that their cards do not fit, and mark what they say; for evaluation only
    #[arg(long)]
    force: bool,
}

impl Arguments {
    /// What the flags set, by the settings' keys.
    pub fn flags(&self) -> [(&'static str, Option<String>); 2] {
        let threads = self.threads.map(|threads| threads.to_string());
        [("backend", self.backend.clone()), ("analysis_threads", threads)]
    }

    fn asked(&self, reader: &Reader) -> Asked {
        match (self.networks.as_slice(), self.force) {
            ([], false) => Asked::Active,
            ([], true) => Asked::Forced(reader.registry().active().map(|card| card.name.clone()).collect()),
            (names, false) => Asked::Named(names.to_vec()),
            (names, true) => Asked::Forced(names.to_vec()),
        }
    }
}

/// Reads every file; fails when any of them could not be read.
pub fn run(config: &Config, arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let reader = wiring::reader(config)?;
    networks::hold_those_of_files(config, &reader)?;
    let asked = arguments.asked(&reader);
    reader.check(&asked)?;
    reader.loader().check()?;
    let threads = config.analysis_threads();
    // Frames of one instance share these threads; images have their own.
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .context("the threads cannot be started")?;
    let (inputs, unseen) = inputs::collect(&arguments.paths);
    let bar = progress::bar(inputs.len());
    let mut failed = unseen.len();
    let mut printer = Printer { json: arguments.json, ..Printer::default() };
    for (name, error) in &unseen {
        printer.print(&[error_line(name, error.code(), &error.to_string())])?;
    }
    let limit = config.instance_bytes.min(MOST_BYTES);
    let (buffers, gathered) = (Buffers::default(), Gathered::default());
    // By their numbers, which series know them by.
    let numbered: Vec<(usize, &Input)> = inputs.iter().enumerate().collect();
    // In the order of the files, so that few wait to be printed after one that takes long.
    let printed: std::io::Result<()> = pipeline::run(
        &numbered,
        Bounds { threads, bytes: AHEAD_BYTES },
        |(_, input)| input.size().min(limit),
        |(_, input)| input.read(limit, &buffers),
        |(number, input), bytes| match read(&reader, bytes) {
            Ok(object) => {
                gathered.add(&reader, &asked, *number, &object);
                lines_of(&reader, &input.name, &object, &asked)
            }
            Err((code, error)) => vec![error_line(&input.name, code, &error)],
        },
        |index, lines| {
            failed += usize::from(lines.iter().any(|line| !line["error"].is_null()));
            bar.inc(1);
            bar.suspend(|| printer.print_in_order(index, lines))
        },
    );
    bar.finish_and_clear();
    let printed = printed.and_then(|()| {
        gathered.lines(&reader, &inputs, limit).try_for_each(|line| {
            failed += usize::from(!line["error"].is_null());
            printer.print(&[line])
        })
    });
    let summed_up = printed.and_then(|()| {
        let images = inputs.len() + unseen.len();
        let backends = reader.backends();
        let backend = match backends.as_slice() {
            [] => reader.loader().choice().as_str().to_owned(),
            names => names.join("+"),
        };
        // Children that decode are counted once they have ended.
        drop(reader);
        let wall_s = started.elapsed().as_secs_f64();
        printer.sum_up(&Summary { images, failed, wall_s, backend })
    });
    match summed_up {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
        summed_up => summed_up?,
    }
    if failed > 0 {
        bail!("{failed} of the files have no answer: their lines say why");
    }
    if inputs.is_empty() {
        bail!("there is no file to analyse");
    }
    Ok(())
}

/// The whole in numbers.
struct Summary {
    images: usize,
    failed: usize,
    wall_s: f64,
    backend: String,
}

/// Seconds of processor time of this process and of its children that have ended; 0 where the system does not tell.
fn cpu_s() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // proc(5): after the name in brackets come the state and 10 other fields, then utime, stime, cutime, cstime.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / TICKS_PER_SECOND
}

fn rounded(value: f64, places: i32) -> f64 {
    let scale = 10_f64.powi(places);
    (value * scale).round() / scale
}

/// A file's object, or the code of what is wrong with the file, and that in words.
fn read(reader: &Reader, bytes: Result<Bytes, InputError>) -> Result<Part10, (&'static str, String)> {
    let bytes = bytes.map_err(|error| (error.code(), error.to_string()))?;
    reader.object(bytes).map_err(|error| (error.code(), error.to_string()))
}

fn lines_of(reader: &Reader, file: &str, object: &Part10, asked: &Asked) -> Vec<Value> {
    match reader.read(object, asked) {
        Ok(readings) => readings.iter().map(|reading| line(file, reading)).collect(),
        Err(error) => vec![error_line(file, error.code(), &error.to_string())],
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
        "forced": reading.is_forced,
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

    /// The last line.
    fn sum_up(&mut self, summary: &Summary) -> std::io::Result<()> {
        let Summary { images, failed, wall_s, backend } = summary;
        let (wall_s, cpu_s, peak_rss_mb) =
            (rounded(*wall_s, 3), rounded(cpu_s(), 2), rounded(peak_rss_mb(), 1));
        let mut out = std::io::stdout().lock();
        if self.json {
            let summary = json!({
                "images": images,
                "failed": failed,
                "wall_s": wall_s,
                "cpu_s": cpu_s,
                "peak_rss_mb": peak_rss_mb,
                "backend": backend,
            });
            writeln!(out, "{}", json!({ "summary": summary }))?;
        } else {
            writeln!(
                out,
                "{images} images, {failed} failed, in {wall_s:.1} s ({cpu_s:.1} s of processors, {peak_rss_mb:.0} MB) by {backend}"
            )?;
        }
        out.flush()
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
    let forced = if line["forced"] == true { "forced: " } else { "" };
    let series = match line["series"]["images"].as_u64() {
        Some(images) => format!("series of {images}: "),
        None => String::new(),
    };
    let label = |it: &Value| {
        let percent = it["probability"].as_f64().unwrap_or_default() * 100.0;
        let mark = if it["is_positive"] == true { " (positive)" } else { "" };
        format!("{} {percent:.1} %{mark}", it["label"].as_str().unwrap_or_default())
    };
    line["labels"]
        .as_array()
        .map(|labels| labels.iter().map(label).collect::<Vec<_>>().join(", "))
        .map_or_else(String::new, |labels| format!("{series}{forced}{labels}"))
}

/// The end of a long path, which tells more than its beginning.
fn shortened(path: &str) -> String {
    let count = path.chars().count();
    if count <= 40 {
        return path.to_owned();
    }
    format!("…{}", path.chars().skip(count - 39).collect::<String>())
}
