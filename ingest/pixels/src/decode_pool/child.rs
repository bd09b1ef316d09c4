//! What runs in a child process.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::message;

/// Decodes frames from standard input to standard output until the parent closes the pipe.
///
/// The hidden subcommand of the binary calls this and nothing else. The child limits its own
/// memory, leaves no core file (it would hold pixels), and ends itself where its parent is gone.
///
/// # Errors
///
/// Any [`io::Error`] of the pipes; the child is then of no use and should end.
pub fn run_child() -> io::Result<()> {
    // a codec's panic is the frame's error, told to the parent; its words could name what is in the file
    std::panic::set_hook(Box::new(|_| {}));
    let (mut stdin, mut stdout) = (io::stdin().lock(), io::stdout().lock());
    let watch = start_watch();
    let mut is_limited = false;
    while let Some((request, stream)) = message::read_request(&mut stdin)? {
        if !std::mem::replace(&mut is_limited, true) {
            limit_memory(request.memory_bytes)?;
        }
        let patience = Duration::from_millis(request.patience_ms.saturating_mul(2));
        // the watch ends only with this process, so both messages arrive
        let _ = watch.send(Some(patience));
        let answer = request.codec.decode(&stream, &request.expected);
        let _ = watch.send(None);
        message::write_answer(&mut stdout, answer)?;
    }
    Ok(())
}

/// Ends the process where a frame takes longer than it may and no parent has killed it.
fn start_watch() -> Sender<Option<Duration>> {
    let (sender, receiver) = channel::<Option<Duration>>();
    thread::spawn(move || {
        while let Ok(message) = receiver.recv() {
            let Some(patience) = message else { continue };
            if receiver.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                std::process::exit(1);
            }
        }
    });
    sender
}

/// Limits the address space to what is in use now and `share` more.
#[cfg(unix)]
fn limit_memory(share: u64) -> io::Result<()> {
    let limit = address_space().saturating_add(share);
    rlimit::setrlimit(rlimit::Resource::CORE, 0, 0)?;
    rlimit::setrlimit(rlimit::Resource::AS, limit, limit)
}

#[cfg(not(unix))]
fn limit_memory(_share: u64) -> io::Result<()> {
    Ok(())
}

/// Bytes of address space in use; 0 where the system does not tell.
#[cfg(unix)]
fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap_or_default();
    let kibibytes: u64 = line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0);
    kibibytes * 1_024
}
