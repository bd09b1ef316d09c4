//! What runs in the child process.

use std::io::{self, BufRead, Read, Write};
use std::time::{Duration, Instant};

use inference::{InferenceError, Network};

use super::Proof;
use super::message::{Answer, Task};

/// What a runtime needs beside its network, in bytes.
const RUNTIME_BYTES: u64 = 512 << 20;
/// A network is timed over so many runs …
const TIMED_RUNS: usize = 7;
/// … or as many as go into this time, at least one.
const TIMED_FOR: Duration = Duration::from_millis(400);

/// Has the network of standard input prove itself, and tells how far it has come on standard output.
///
/// The hidden subcommand of the binary calls this and nothing else. The child limits its own memory, leaves no
/// core file, and is ended by its parent where it takes too long.
///
/// # Errors
///
/// Any [`io::Error`] of the pipes.
pub fn run_child() -> io::Result<()> {
    std::panic::set_hook(Box::new(|_| {}));
    let mut stdin = io::stdin().lock();
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    let task: Task = serde_json::from_str(&line)?;
    let mut weights = Vec::new();
    stdin.read_to_end(&mut weights)?;
    if weights.len() < task.weights_bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let images = weights.split_off(task.weights_bytes);
    limit_memory(RUNTIME_BYTES.saturating_add(task.card.run.memory_limit_mib.saturating_mul(1 << 20)))?;
    let last = match prove(&task, &weights, &images) {
        Ok(proof) => Answer::Proved(proof),
        Err(error @ InferenceError::NotAvailable { .. }) => Answer::NotAvailable(error.to_string()),
        Err(error) => Answer::Refused { code: error.code().to_owned(), reason: error.to_string() },
    };
    tell(&last);
    Ok(())
}

fn prove(task: &Task, weights: &[u8], images: &[u8]) -> Result<Proof, InferenceError> {
    let unknown = || InferenceError::NotRun("the parent asked for an unknown runtime".to_owned());
    let backend = task.runtimes().open(task.candidate().ok_or_else(unknown)?)?;
    let network = Network::load(backend.as_ref(), &task.card, weights)?;
    network.settle();
    tell(&Answer::Loaded);
    let first = timed(&network)?;
    if first > task.card.run.time_limit_ms as f64 {
        let allowed = task.card.run.time_limit_ms;
        return Err(InferenceError::NotRun(format!(
            "it took {first:.0} ms for an image, its card allows {allowed}"
        )));
    }
    tell(&Answer::Ran);
    let difference = task.reference(images).map(|reference| network.self_check(&reference)).transpose()?;
    tell(&Answer::Agreed);
    let started = Instant::now();
    let mut run_ms = first;
    for _ in 0..TIMED_RUNS {
        run_ms = run_ms.min(timed(&network)?);
        if started.elapsed() > TIMED_FOR {
            break;
        }
    }
    Ok(Proof { difference, run_ms })
}

/// How long one image takes, in milliseconds.
fn timed(network: &Network) -> Result<f64, InferenceError> {
    let started = Instant::now();
    network.try_out()?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}

/// Writes a line; a parent that does not read any more ends this child anyway.
fn tell(answer: &Answer) {
    let mut stdout = io::stdout().lock();
    let told = serde_json::to_writer(&mut stdout, answer).map_err(io::Error::from);
    let _ = told.and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush());
}

/// Limits what this process may hold beside its program, from what it holds now.
///
/// Data and not address space: shared libraries map far more than they use.
#[cfg(unix)]
fn limit_memory(bytes: u64) -> io::Result<()> {
    rlimit::setrlimit(rlimit::Resource::CORE, 0, 0)?;
    let (_, most) = rlimit::getrlimit(rlimit::Resource::DATA)?;
    rlimit::setrlimit(rlimit::Resource::DATA, data_held().saturating_add(bytes).min(most), most)
}

#[cfg(not(unix))]
fn limit_memory(_bytes: u64) -> io::Result<()> {
    Ok(())
}

/// Bytes of data in use; 0 where the system does not tell.
#[cfg(unix)]
fn data_held() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmData:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1_024
}
