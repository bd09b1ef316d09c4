//! `medilink models bench`

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use inference::{
    BackendChoice, BlockedBackend, Candidate, InferenceBackend, Isa, LoadedNetwork, Runtime, bare_card,
};
use models::{Card, Precision};
use ndarray::ArrayD;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::add::coded;
use crate::commands::memory::peak_rss_mb;
use crate::config::Config;

/// Threads beyond this are refused.
const MOST_THREADS: usize = 256;

/// What is timed.
#[derive(Debug, clap::Args)]
pub struct Bench {
    /// The network
    onnx: PathBuf,
    /// blocked, tract, onnxruntime or openvino
    #[arg(long, default_value = "blocked")]
    backend: String,
    /// Threads for one image; more than one only with blocked
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// How often the image is run
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// avx512, avx2 or portable; else the best that the processor has. Only with blocked
    #[arg(long)]
    isa: Option<String>,
    /// Plain sums only. Only with blocked
    #[arg(long)]
    exact: bool,
    /// Products of numbers rounded to bf16, where the processor has them. Only with blocked and openvino
    #[arg(long, conflicts_with = "exact")]
    bf16: bool,
    /// The image: little-endian 32-bit floating-point numbers
    #[arg(long)]
    input: Option<PathBuf>,
    /// Where the first output goes, in the same form
    #[arg(long)]
    output: Option<PathBuf>,
    /// Print one JSON object; its peak_rss_mb counts 10⁶ bytes
    #[arg(long)]
    json: bool,
}

/// Times of one image, in milliseconds, the least first.
struct Times {
    cpu: Vec<f64>,
    wall: Vec<f64>,
}

/// Loads the network, runs one image, and prints how long both took.
pub fn run(config: &Config, bench: &Bench) -> Result<()> {
    let file = models::read_network(&bench.onnx).map_err(|error| coded(error.code(), &error))?;
    let mut card = bare_card(&file).map_err(|error| coded(error.code(), &error))?;
    if bench.bf16 {
        card.run.precision.push(Precision::Bf16);
    }
    let kept = tempfile::tempdir().context("no folder for packed weights")?;
    let backend = open(config, bench, kept.path())?;
    let (mut network, load_ms) = load(backend.as_ref(), &card, &file)?;
    let mut cached_load_ms = None;
    if backend.keeps_packed_weights() {
        // as a service starts the second time, and every process after the first
        drop(network);
        let (again, again_ms) = load(backend.as_ref(), &card, &file)?;
        (network, cached_load_ms) = (again, Some(again_ms));
    }
    drop(file);
    let image = image(&card, bench.input.as_deref())?;
    let times = time(network.as_ref(), &card, &image, bench)?;
    let covered = network.coverage().map_or(0.0, inference::Coverage::share);
    let sha256 = card.sha256;
    let figures = json!({
        "backend": backend.name(),
        "sha256": sha256,
        "version": backend.version(),
        "precision": network.precision(),
        "cpu_ms_min": times.cpu[0],
        "cpu_ms_median": times.cpu[times.cpu.len() / 2],
        "wall_ms_median": times.wall[times.wall.len() / 2],
        "load_ms": load_ms,
        "cached_load_ms": cached_load_ms,
        "peak_rss_mb": peak_rss_mb(),
        "covered": covered,
    });
    if bench.json {
        println!("{figures}");
        return Ok(());
    }
    let (name, version) = (backend.name(), backend.version());
    println!("{name} {version} in {} on {}", network.precision().as_str(), bench.onnx.display());
    println!(
        "CPU time   {:9.2} ms at best, {:.2} ms in the middle",
        times.cpu[0],
        times.cpu[times.cpu.len() / 2]
    );
    println!("elapsed    {:9.2} ms in the middle", times.wall[times.wall.len() / 2]);
    println!("loading    {load_ms:9.0} ms");
    if let Some(again_ms) = cached_load_ms {
        println!("           {again_ms:9.0} ms once its weights are packed");
    }
    println!("memory     {:9.0} MB at most", peak_rss_mb());
    println!("covered    {:9.1} % of the multiplications", 100.0 * covered);
    Ok(())
}

/// The network, ready, and the milliseconds that this took.
fn load(backend: &dyn InferenceBackend, card: &Card, file: &[u8]) -> Result<(Box<dyn LoadedNetwork>, f64)> {
    let started = Instant::now();
    let network = backend.load(card, file).map_err(|error| coded(error.code(), &error))?;
    Ok((network, started.elapsed().as_secs_f64() * 1e3))
}

/// The backend; it keeps packed weights in the folder, where it packs any.
fn open(config: &Config, bench: &Bench, kept: &Path) -> Result<Box<dyn InferenceBackend>> {
    let BackendChoice::Only(runtime) = bench.backend.parse::<BackendChoice>()? else {
        bail!("name one backend: blocked, tract, onnxruntime or openvino");
    };
    if bench.threads == 0 || bench.threads > MOST_THREADS {
        bail!("threads are 1 to {MOST_THREADS}");
    }
    if runtime != Runtime::Blocked {
        if bench.threads > 1 || bench.isa.is_some() || bench.exact {
            bail!("threads, isa and exact are for the backend blocked");
        }
        if bench.bf16 && runtime != Runtime::Openvino {
            bail!("bf16 is for the backends blocked and openvino");
        }
        let precision = if bench.bf16 { Precision::Bf16 } else { Precision::F32 };
        return Ok(config.runtimes().open(Candidate { runtime, precision })?);
    }
    let mut backend = BlockedBackend::default().with_packed_weights_in(kept).with_threads(bench.threads)?;
    if let Some(isa) = &bench.isa {
        backend = backend.with_isa(isa.parse::<Isa>()?)?;
    }
    if bench.bf16 {
        backend = backend.in_bf16()?;
    }
    Ok(Box::new(if bench.exact { backend.exact() } else { backend }))
}

/// The image of the file, else numbers from -1 to 1 that differ.
fn image(card: &Card, from: Option<&Path>) -> Result<ArrayD<f32>> {
    let sides = card.input.shape.as_slice();
    let count = sides.iter().try_fold(1_usize, |product, side| product.checked_mul(*side));
    let count = count.filter(|count| *count < 1 << 30).context("the network's input is too large")?;
    let numbers: Vec<f32> = match from {
        None => (0..count).map(|it| (it * 7919 % 2003) as f32 / 1001.0 - 1.0).collect(),
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| format!("{} is not read", path.display()))?;
            let (numbers, rest) = bytes.as_chunks::<4>();
            if numbers.len() != count || !rest.is_empty() {
                bail!("{} holds {} bytes, the network takes {}", path.display(), bytes.len(), 4 * count);
            }
            numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
        }
    };
    Ok(ArrayD::from_shape_vec(sides, numbers)?)
}

fn time(network: &dyn LoadedNetwork, card: &Card, image: &ArrayD<f32>, bench: &Bench) -> Result<Times> {
    let run = || network.run(image.view()).map_err(|error| coded(error.code(), &error));
    let warm = run()?;
    if let Some(path) = &bench.output {
        let answer = warm.get(card.outputs.answer()).context("the network gave its first output")?;
        let bytes: Vec<u8> = answer.iter().flat_map(|number| number.to_le_bytes()).collect();
        std::fs::write(path, bytes).with_context(|| format!("{} is not written", path.display()))?;
    }
    let mut times = Times { cpu: Vec::new(), wall: Vec::new() };
    for _ in 0..bench.rounds {
        let (cpu, wall) = (cpu_ms(), Instant::now());
        run()?;
        times.cpu.push(cpu_ms() - cpu);
        times.wall.push(wall.elapsed().as_secs_f64() * 1e3);
    }
    times.cpu.sort_by(f64::total_cmp);
    times.wall.sort_by(f64::total_cmp);
    Ok(times)
}

/// CPU time of this process, all its threads together, in milliseconds.
fn cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}
