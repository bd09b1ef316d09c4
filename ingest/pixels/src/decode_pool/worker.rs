//! One child process, as the parent holds it.

use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::PoolSettings;
use super::message::{self, Request};
use crate::decoded::{CodecError, Decoded};

/// What the child answered: an image, or why there is none.
type Answer = Result<Decoded, CodecError>;

/// Why a child is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WorkerError {
    /// It did not answer in time.
    Late,
    /// It has ended.
    Gone,
    /// What it wrote is no answer.
    Nonsense,
}

/// A child process and the thread that speaks with it; dropping it kills the child.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    requests: Sender<(Request, Bytes)>,
    answers: Receiver<io::Result<Answer>>,
    idle_since: Instant,
}

impl Worker {
    /// Starts a child.
    pub(super) fn start(settings: &PoolSettings) -> io::Result<Self> {
        let mut child = Command::new(&settings.program)
            .args(&settings.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(mut stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the child has no pipes"));
        };
        let (requests, to_send) = channel::<(Request, Bytes)>();
        let (answered, answers) = channel();
        // both directions can block on a sick child: only this thread does, until the child is killed
        thread::spawn(move || {
            for (request, stream) in to_send {
                let answer = message::write_request(&mut stdin, &request, &stream)
                    .and_then(|()| message::read_answer(&mut stdout, &request.expected));
                let is_last = answer.is_err();
                if answered.send(answer).is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Self { child, requests, answers, idle_since: Instant::now() })
    }

    /// Has the child decode one frame. After an error the child must not be used again.
    pub(super) fn ask(
        &mut self,
        request: Request,
        stream: Bytes,
        timeout: Duration,
    ) -> Result<Answer, WorkerError> {
        self.requests.send((request, stream)).map_err(|_| WorkerError::Gone)?;
        match self.answers.recv_timeout(timeout) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Err(WorkerError::Nonsense),
            Ok(Err(_)) | Err(RecvTimeoutError::Disconnected) => Err(WorkerError::Gone),
            Err(RecvTimeoutError::Timeout) => Err(WorkerError::Late),
        }
    }

    /// Whether the process is still there.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Marks the beginning of a time without work.
    pub(super) fn rest(&mut self) {
        self.idle_since = Instant::now();
    }

    /// How long there has been no work.
    pub(super) fn idle_for(&self) -> Duration {
        self.idle_since.elapsed()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // an error means that it has ended already; waiting takes it out of the process table
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
