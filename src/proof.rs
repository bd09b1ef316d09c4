//! A network runs in this process once it has proved itself in a child: in its time, in its memory, with its answers.
//!
//! What a network file makes a runtime do is not known before it is done: loops without end, tensors without
//! bound, a fault in a shared library. The child is this same binary; it limits its memory, and the parent
//! ends it when it takes too long. A proof is kept beside the data, so that it is made once for each network,
//! runtime, version of either, and processor.

mod child;
mod message;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use inference::{Candidate, Runtimes};
use models::{Card, ReferenceVectors};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use child::run_child;
use message::{Answer, Task};

/// The longest that a runtime may take to start and to make a network ready.
const LOAD_TIME: Duration = Duration::from_secs(60);
/// What a message may take beside the work that it tells of.
const GRACE: Duration = Duration::from_secs(2);
/// What a child may write, in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// What a network has shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// The largest difference to its reference vectors; `None` where it has none.
    pub difference: Option<f32>,
    /// The quickest of some runs over one image.
    pub run_ms: f64,
}

/// Why a network has not proved itself.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProofError {
    /// No word on the network: the runtime is not there, or no child could be started.
    #[error("{0}")]
    NotTried(String),
    /// It was ended.
    #[error("it took longer than {} s to {what}, and was ended", limit.as_secs_f64())]
    TooLong {
        /// What it was doing.
        what: &'static str,
        /// The longest that this may take.
        limit: Duration,
    },
    /// The child has ended without an answer.
    #[error(
        "its process ended ({status}): a fault, or more than the {memory_limit_mib} MiB that its card allows"
    )]
    Ended {
        /// What the system says of the end.
        status: String,
        /// By the card.
        memory_limit_mib: u64,
    },
    /// It does not load, run or answer as it should.
    #[error("{reason}")]
    Refused {
        /// The stable code.
        code: String,
        /// What to mend.
        reason: String,
    },
}

impl ProofError {
    /// The stable code of the problem.
    pub fn code(&self) -> &str {
        match self {
            Self::NotTried(_) => "runtime-missing",
            Self::TooLong { .. } => "network-too-slow",
            Self::Ended { .. } => "network-ended",
            Self::Refused { code, .. } => code,
        }
    }
}

/// Has networks prove themselves in children, and keeps the proofs.
#[derive(Debug, Clone)]
pub struct Prover {
    /// The program that calls [`run_child`] when it is given `arguments`; commonly this very binary.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where proofs are kept; `None`, or a folder that is not there: nowhere.
    pub data_dir: Option<PathBuf>,
}

impl Prover {
    /// The proof that `candidate` runs this network, from the last time or from a child now.
    ///
    /// # Errors
    ///
    /// [`ProofError`]
    pub fn proof(
        &self,
        runtimes: &Runtimes,
        candidate: Candidate,
        card: &Card,
        weights: &[u8],
        reference: Option<&ReferenceVectors>,
    ) -> Result<Proof, ProofError> {
        let library = runtimes.library(candidate.runtime).map_err(not_tried)?;
        let kept_in = self.place(candidate, card, reference, library.as_deref());
        if let Some(proof) = kept_in.as_deref().and_then(read) {
            return Ok(proof);
        }
        let task = Task::of(runtimes, candidate, card, weights, reference);
        let proof = self.prove(task, card, weights, reference)?;
        if let Some(path) = kept_in {
            keep(&path, &proof);
        }
        Ok(proof)
    }

    fn prove(
        &self,
        task: Task,
        card: &Card,
        weights: &[u8],
        reference: Option<&ReferenceVectors>,
    ) -> Result<Proof, ProofError> {
        let mut child = Running::start(self, task, message::body(weights, reference)).map_err(not_tried)?;
        let one = Duration::from_millis(card.run.time_limit_ms);
        let vectors = reference.map_or(0, |reference| reference.vectors.len());
        let all = one.saturating_mul(u32::try_from(vectors).unwrap_or(u32::MAX).max(1));
        let stages = [
            ("load", LOAD_TIME),
            ("read one image", one),
            ("read its reference images", all),
            ("be timed", all),
        ];
        for (what, limit) in stages {
            match child.next(limit.saturating_add(GRACE)) {
                Ok(Answer::Loaded | Answer::Ran | Answer::Agreed) => {}
                Ok(Answer::Proved(proof)) => return Ok(proof),
                Ok(Answer::NotAvailable(reason)) => return Err(ProofError::NotTried(reason)),
                Ok(Answer::Refused { code, reason }) => return Err(ProofError::Refused { code, reason }),
                Err(RecvTimeoutError::Timeout) => return Err(ProofError::TooLong { what, limit }),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(ProofError::Ended {
                        status: child.end(),
                        memory_limit_mib: card.run.memory_limit_mib,
                    });
                }
            }
        }
        Err(ProofError::Refused {
            code: "network-failed".to_owned(),
            reason: "its process answered nonsense".to_owned(),
        })
    }

    /// The file of a proof; another card, other reference vectors, library or version of ours have another one.
    fn place(
        &self,
        candidate: Candidate,
        card: &Card,
        reference: Option<&ReferenceVectors>,
        library: Option<&Path>,
    ) -> Option<PathBuf> {
        let data_dir = self.data_dir.as_deref().filter(|folder| folder.is_dir())?;
        let mut hash = Sha256::new();
        hash.update(env!("CARGO_PKG_VERSION"));
        hash.update(candidate.to_string());
        // what is fastest, and which kernels answer, hangs on the processor
        hash.update(inference::Isa::best().to_string());
        hash.update(processor());
        hash.update(serde_json::to_vec(card).ok()?);
        hash.update(message::body(&[], reference));
        let expected: Vec<&Vec<f32>> =
            reference.iter().flat_map(|it| &it.vectors).map(|vector| &vector.probabilities).collect();
        hash.update(serde_json::to_vec(&expected).ok()?);
        if let Some(library) = library {
            let about = fs::metadata(library).ok()?;
            hash.update(library.as_os_str().as_encoded_bytes());
            hash.update(about.len().to_le_bytes());
            hash.update(format!("{:?}", about.modified().ok()?));
        }
        let name: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Some(data_dir.join("proofs").join(format!("{name}.json")))
    }
}

/// The processor's name; empty where the system does not tell.
fn processor() -> String {
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map(|(_, name)| name.trim().to_owned()).unwrap_or_default()
}

fn not_tried(error: impl std::fmt::Display) -> ProofError {
    ProofError::NotTried(error.to_string())
}

fn read(path: &Path) -> Option<Proof> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Keeps a proof; where that fails, the next start makes it anew.
fn keep(path: &Path, proof: &Proof) {
    let write = || -> std::io::Result<()> {
        let folder = path.parent().ok_or_else(|| std::io::Error::other("a proof has no folder"))?;
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut file, proof)?;
        file.persist(path)?;
        Ok(())
    };
    if let Err(error) = write() {
        tracing::debug!(%error, "a network's proof is not kept");
    }
}

/// A child at work; dropped, it is ended.
struct Running {
    child: Child,
    answers: Receiver<Answer>,
}

impl Running {
    fn start(prover: &Prover, task: Task, weights: Vec<u8>) -> std::io::Result<Self> {
        let mut child = Command::new(&prover.program)
            .args(&prover.arguments)
            // What the allocator sets aside at once would count as used before the limit is set.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(std::io::Error::other("the child has no pipes"));
        };
        // Either direction may block on a sick child; it is ended all the same.
        thread::spawn(move || {
            let mut send = || -> std::io::Result<()> {
                serde_json::to_writer(&mut stdin, &task)?;
                stdin.write_all(b"\n")?;
                stdin.write_all(&weights)
            };
            // A child that has ended tells more by that than by the broken pipe.
            let _ = send();
        });
        let (answered, answers) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout.take(MAX_ANSWER)).lines().map_while(Result::ok) {
                // A library may write what it likes.
                let Ok(answer) = serde_json::from_str(&line) else { continue };
                if answered.send(answer).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, answers })
    }

    fn next(&self, within: Duration) -> Result<Answer, RecvTimeoutError> {
        self.answers.recv_timeout(within)
    }

    /// How the child has ended.
    fn end(&mut self) -> String {
        let until = Instant::now() + GRACE;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.to_string();
            }
            thread::sleep(Duration::from_millis(5));
        }
        "it closed its pipe".to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended already; waiting takes it out of the process table.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
